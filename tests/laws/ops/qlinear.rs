//! ONNX Runtime's quantized forms of other operators.

use crate::case::Case;
use crate::draw::Draw;
use crate::{Generator, check};
use secateur::ir::DType;

pub(super) const CASES: &[(&str, Generator)] = &[
    ("com.microsoft.NhwcMaxPool", max_pool),
    ("com.microsoft.QLinearAdd", two),
    ("com.microsoft.QLinearAveragePool", pool),
    ("com.microsoft.QLinearConcat", concat),
    ("com.microsoft.QLinearGlobalAveragePool", pool),
    ("com.microsoft.QLinearLeakyRelu", one),
    ("com.microsoft.QLinearMul", two),
    ("com.microsoft.QLinearReduceMean", reduce),
    ("com.microsoft.QLinearSigmoid", one),
    ("com.microsoft.QLinearSoftmax", one),
    ("com.microsoft.QLinearWhere", choose),
];

#[test]
fn laws() {
    check(CASES, 12);
}

fn max_pool(op: &str, d: &mut Draw) -> Case {
    let c = d.range(1, 4);
    Case::new(op, 1).ints("kernel_shape", &[2, 2]).quantized(d, &[2, 4, 4, c])
}

fn two(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(1, 4);
    let y = if d.flip() { x.clone() } else { x[1..].to_vec() };
    Case::new(op, 1).quantized(d, &x).scaled(d).quantized(d, &y).scaled(d).scaled(d)
}

fn pool(op: &str, d: &mut Draw) -> Case {
    let (c, last) = (d.range(1, 4), d.flip());
    let x = if last { [2, 4, 4, c] } else { [2, c, 4, 4] };
    let case = Case::new(op, 1).attribute("channels_last", usize::from(last));
    let case = if op.ends_with("GlobalAveragePool") { case } else { case.ints("kernel_shape", &[2, 2]) };
    case.quantized(d, &x).scaled(d).scaled(d)
}

fn concat(op: &str, d: &mut Draw) -> Case {
    let mut x = d.shape(2, 3);
    let case = Case::new(op, 1).attribute("axis", 1).scaled(d).quantized(d, &x).scaled(d);
    x[1] = d.range(1, 4);
    case.quantized(d, &x).scaled(d)
}

fn one(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(1, 3);
    Case::new(op, 1).quantized(d, &x).scaled(d).scaled(d)
}

fn reduce(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(2, 4);
    let axis = d.axis(x.len());
    Case::new(op, 1)
        .ints("axes", &[axis])
        .attribute("keepdims", usize::from(d.flip()))
        .quantized(d, &x)
        .scaled(d)
        .scaled(d)
}

fn choose(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(1, 3);
    let condition = d.tensor(DType::Bool, &x, 0.0, 1.0);
    Case::new(op, 1).data(condition).quantized(d, &x).scaled(d).quantized(d, &x).scaled(d).scaled(d)
}
