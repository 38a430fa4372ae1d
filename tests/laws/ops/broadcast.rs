//! Operators that work element by element on operands that broadcast.

use crate::case::Case;
use crate::draw::Draw;
use crate::{Generator, check};
use secateur::ir::DType;

pub(super) const CASES: &[(&str, Generator)] = &[
    ("Add", arithmetic),
    ("And", logic),
    ("BitShift", shift),
    ("BitwiseAnd", bits),
    ("BitwiseOr", bits),
    ("BitwiseXor", bits),
    ("Div", arithmetic),
    ("Equal", comparison),
    ("Greater", comparison),
    ("GreaterOrEqual", comparison),
    ("Less", comparison),
    ("LessOrEqual", comparison),
    ("Max", variadic),
    ("Mean", variadic),
    ("Min", variadic),
    ("Mod", modulo),
    ("Mul", arithmetic),
    ("Or", logic),
    ("PRelu", prelu),
    ("Pow", power),
    ("Sub", arithmetic),
    ("Sum", variadic),
    ("SwiGLU", gated),
    ("Where", choice),
    ("Xor", logic),
    ("com.microsoft.BiasGelu", bias_gelu),
    ("com.microsoft.FastGelu", bias_gelu),
];

#[test]
fn laws() {
    check(CASES, 20);
}

fn arithmetic(op: &str, d: &mut Draw) -> Case {
    let opset = d.pick(&[14, 7, 13]);
    match d.range(0, 3) {
        3 => two(op, opset, d, DType::I64, 1.0, 9.0),
        _ => two(op, opset, d, DType::F32, 0.5, 2.0),
    }
}

fn two(op: &str, opset: i64, d: &mut Draw, dtype: DType, low: f64, high: f64) -> Case {
    let (a, b) = pair(d);
    Case::new(op, opset).data(d.tensor(dtype, &a, low, high)).data(d.tensor(dtype, &b, low, high))
}

/// Two shapes that broadcast together; half of the time the first is the whole.
fn pair(d: &mut Draw) -> (Vec<usize>, Vec<usize>) {
    let whole = d.shape(0, 4);
    let part = d.broadcast(&whole);
    match d.range(0, 3) {
        0 | 1 => (whole, part),
        2 => (part, whole),
        // Both may stretch, if on different axes: here a column and a row.
        _ => (vec![d.range(1, 4), 1], vec![1, d.range(1, 4)]),
    }
}

fn logic(op: &str, d: &mut Draw) -> Case {
    two(op, 7, d, DType::Bool, 0.0, 1.0)
}

fn shift(op: &str, d: &mut Draw) -> Case {
    let case = two(op, 11, d, DType::U32, 0.0, 3.0);
    case.attribute("direction", d.pick(&["\"LEFT\"", "\"RIGHT\""]))
}

fn bits(op: &str, d: &mut Draw) -> Case {
    two(op, 18, d, DType::I32, 0.0, 15.0)
}

fn comparison(op: &str, d: &mut Draw) -> Case {
    let opset = if op.ends_with("OrEqual") { 16 } else { d.pick(&[13, 11]) };
    let dtype = d.pick(&[DType::F32, DType::I64]);
    two(op, opset, d, dtype, -2.0, 2.0)
}

fn variadic(op: &str, d: &mut Draw) -> Case {
    let (a, b) = pair(d);
    let case = Case::new(op, d.pick(&[13, 8])).data(d.floats(&a)).data(d.floats(&b));
    if d.flip() { case.data(d.floats(&b)) } else { case }
}

fn modulo(op: &str, d: &mut Draw) -> Case {
    let (dtype, low, high) = d.pick(&[(DType::I64, 1.0, 9.0), (DType::F32, 0.5, 4.0)]);
    let case = two(op, 13, d, dtype, low, high);
    if dtype == DType::F32 { case.attribute("fmod", 1) } else { case }
}

/// Before opset 7 the slope was one number a channel.
fn prelu(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(2, 4);
    let case = Case::new(op, d.pick(&[16, 9, 7]));
    let slope = if d.flip() { d.broadcast(&x) } else { [vec![x[1]], vec![1; x.len() - 2]].concat() };
    case.data(d.floats(&x)).data(d.floats(&slope))
}

fn power(op: &str, d: &mut Draw) -> Case {
    let (a, b) = pair(d);
    let (low, high) = d.pick(&[(0.5, 2.0), (-2.0, 2.0)]);
    Case::new(op, d.pick(&[13, 7])).data(d.tensor(DType::F32, &a, 0.5, 2.0)).data(d.tensor(DType::F32, &b, low, high))
}

fn gated(op: &str, d: &mut Draw) -> Case {
    let shape = d.shape(0, 3);
    Case::new(op, 28).attribute("alpha", d.pick(&["1.0", "0.5"])).data(d.floats(&shape)).data(d.floats(&shape))
}

fn choice(op: &str, d: &mut Draw) -> Case {
    let (a, b) = pair(d);
    let (condition, rest) = if d.flip() { (a, b) } else { (b, a) };
    let case = Case::new(op, 16).data(d.tensor(DType::Bool, &condition, 0.0, 1.0));
    case.data(d.floats(&rest)).data(d.floats(&condition))
}

fn bias_gelu(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(1, 3);
    let case = Case::new(op, 1).data(d.floats(&x));
    if op.ends_with("FastGelu") && d.flip() { case } else { case.data(d.floats(&x[x.len() - 1..])) }
}
