//! Operators that map every element on its own.

use crate::case::Case;
use crate::draw::Draw;
use crate::{Generator, check};
use secateur::ir::{DType, Tensor};

pub(super) const CASES: &[(&str, Generator)] = &[
    ("Abs", unary),
    ("Acos", unary),
    ("Acosh", unary),
    ("Asin", unary),
    ("Asinh", unary),
    ("Atan", unary),
    ("Atanh", unary),
    ("BitCast", bit_cast),
    ("BitwiseNot", bits_of_one),
    ("Cast", cast),
    ("CastLike", cast_like),
    ("Ceil", unary),
    ("Celu", unary),
    ("Clip", clip),
    ("Cos", unary),
    ("Cosh", unary),
    ("Dropout", dropout),
    ("Elu", unary),
    ("Erf", unary),
    ("Exp", unary),
    ("Floor", unary),
    ("Gelu", unary),
    ("HardSigmoid", unary),
    ("HardSwish", unary),
    ("Identity", unary),
    ("IsInf", unary),
    ("IsNaN", unary),
    ("LeakyRelu", unary),
    ("Log", unary),
    ("Mish", unary),
    ("Neg", unary),
    ("Not", not),
    ("Reciprocal", unary),
    ("Relu", unary),
    ("Round", unary),
    ("Selu", unary),
    ("Shrink", unary),
    ("Sigmoid", unary),
    ("Sign", unary),
    ("Sin", unary),
    ("Sinh", unary),
    ("Softplus", unary),
    ("Softsign", unary),
    ("Sqrt", unary),
    ("Swish", unary),
    ("Tan", unary),
    ("Tanh", unary),
    ("ThresholdedRelu", unary),
    ("com.microsoft.Gelu", unary),
    ("com.microsoft.QuickGelu", unary),
];

#[test]
fn laws() {
    check(CASES, 10);
}

fn unary(op: &str, d: &mut Draw) -> Case {
    let (attributes, opsets) = particulars(op);
    let shape = d.shape(0, 4);
    let mut case = Case::new(op, if op.contains('.') { 1 } else { d.pick(opsets) });
    for name in attributes {
        if d.flip() {
            case = case.attribute(name, d.pick(&["0.5", "0.25", "0.75"]));
        }
    }
    let (low, high) = match op {
        "Acosh" => (1.0, 3.0),
        "Log" | "Reciprocal" | "Sqrt" => (0.5, 3.0),
        "Acos" | "Asin" | "Atanh" => (-0.9, 0.9),
        _ => (-2.0, 2.0),
    };
    case.data(d.tensor(DType::F32, &shape, low, high))
}

/// Float attributes that some of them have, and opsets of theirs.
fn particulars(op: &str) -> (&'static [&'static str], &'static [i64]) {
    match op {
        "Elu" | "LeakyRelu" | "ThresholdedRelu" => (&["alpha"], &[17, 6]),
        "Celu" | "Swish" | "com.microsoft.QuickGelu" => (&["alpha"], &[24]),
        "HardSigmoid" => (&["alpha", "beta"], &[17, 6]),
        "Selu" => (&["alpha", "gamma"], &[17, 6]),
        "Shrink" => (&["lambd", "bias"], &[17]),
        _ => (&[], &[17, 13, 20]),
    }
}

fn bits_of_one(op: &str, d: &mut Draw) -> Case {
    let shape = d.shape(0, 3);
    Case::new(op, 18).data(d.tensor(DType::I32, &shape, -5.0, 5.0))
}

fn bit_cast(op: &str, d: &mut Draw) -> Case {
    let shape = d.shape(0, 3);
    Case::new(op, 26).attribute("to", DType::I32.code()).data(d.tensor(DType::F32, &shape, -3.0, 3.0))
}

fn cast(op: &str, d: &mut Draw) -> Case {
    let shape = d.shape(0, 3);
    let to = d.pick(&[DType::F32, DType::I64, DType::I32, DType::F64, DType::Bool]);
    let from = d.pick(&[DType::F32, DType::I64]);
    Case::new(op, d.pick(&[13, 9, 19])).attribute("to", to.code()).data(d.tensor(from, &shape, -3.0, 3.0))
}

fn cast_like(op: &str, d: &mut Draw) -> Case {
    let shape = d.shape(0, 3);
    let like = d.pick(&[DType::I64, DType::F32]);
    Case::new(op, 15).data(d.floats(&shape)).data(d.tensor(like, &[2], 0.0, 1.0))
}

/// The limits are attributes before opset 11.
fn clip(op: &str, d: &mut Draw) -> Case {
    let shape = d.shape(0, 4);
    let (low, high) = (d.pick(&[-0.5f32, 0.0, 0.1, -9.0]), d.pick(&[0.5f32, 0.2, 9.0]));
    let case = Case::new(op, d.pick(&[13, 11, 6])).data(d.floats(&shape));
    if case.opset == 6 {
        let case = if d.flip() { case.attribute("min", format!("{low:?}")) } else { case };
        return if d.flip() { case.attribute("max", format!("{high:?}")) } else { case };
    }
    let limit = |x: f32| Tensor::from_f32(vec![], &[x]);
    match d.range(0, 3) {
        0 => case.fixed(limit(low)).fixed(limit(high)),
        1 => case.fixed(limit(low)),
        2 => case.absent().fixed(limit(high)),
        _ => case,
    }
}

/// The ratio is an attribute before opset 12.
fn dropout(op: &str, d: &mut Draw) -> Case {
    let shape = d.shape(1, 4);
    let case = Case::new(op, d.pick(&[13, 10, 7, 12])).data(d.floats(&shape));
    match case.opset {
        ..12 => case.attribute("ratio", "0.3"),
        _ if d.flip() => case.fixed(Tensor::from_f32(vec![], &[0.3])),
        _ => case,
    }
}

fn not(op: &str, d: &mut Draw) -> Case {
    let shape = d.shape(0, 3);
    Case::new(op, 17).data(d.tensor(DType::Bool, &shape, 0.0, 1.0))
}
