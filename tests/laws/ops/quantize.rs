//! Quantization.

use crate::case::Case;
use crate::draw::Draw;
use crate::{Generator, check};
use secateur::ir::DType;

pub(super) const CASES: &[(&str, Generator)] = &[
    ("DequantizeLinear", linear),
    ("DynamicQuantizeLinear", dynamic),
    ("QuantizeLinear", linear),
    ("com.microsoft.DequantizeLinear", linear),
    ("com.microsoft.QuantizeLinear", linear),
];

#[test]
fn laws() {
    check(CASES, 20);
}

fn linear(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(1, 4);
    let opset = if op.contains('.') { 1 } else { d.pick(&[13, 10, 19]) };
    let mut case = Case::new(op, opset);
    let mut scales = vec![];
    if opset != 10 && d.flip() {
        let axis = d.axis(x.len());
        scales = vec![x[axis.rem_euclid(x.len() as i64) as usize]];
        case = case.attribute("axis", axis);
    }
    let quantized = d.pick(&[DType::U8, DType::I8]);
    let from = if op.ends_with("DequantizeLinear") { quantized } else { DType::F32 };
    let (low, high) = if from == DType::U8 { (0.0, 200.0) } else { (-100.0, 100.0) };
    case = case.data(d.tensor(from, &x, low, high)).data(d.tensor(DType::F32, &scales, 0.5, 2.0));
    match d.range(0, 2) {
        0 => case.data(d.tensor(quantized, &scales, 0.0, 0.0)),
        1 => case.data(d.tensor(quantized, &scales, 0.0, 9.0)),
        _ => case,
    }
}

fn dynamic(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(1, 3);
    Case::new(op, 11).data(d.floats(&x)).results(3)
}
