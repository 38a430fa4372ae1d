//! Products of quantized operands.

use crate::case::Case;
use crate::draw::Draw;
use crate::{Generator, check};
use secateur::ir::{DType, Tensor};

pub(super) const CASES: &[(&str, Generator)] = &[
    ("ConvInteger", conv_integer),
    ("MatMulInteger", matmul_integer),
    ("QLinearConv", qlinear_conv),
    ("QLinearMatMul", qlinear_matmul),
    ("com.microsoft.DynamicQuantizeMatMul", dynamic_matmul),
    ("com.microsoft.MatMulIntegerToFloat", to_float),
    ("com.microsoft.QGemm", gemm),
    ("com.microsoft.QLinearConv", conv),
];

#[test]
fn laws() {
    check(CASES, 16);
}

fn conv_integer(op: &str, d: &mut Draw) -> Case {
    let (g, i, o) = (d.range(1, 2), d.range(1, 3), d.range(1, 3));
    let x = d.tensor(DType::U8, &[2, g * i, 4, 3], 0.0, 9.0);
    let w = d.tensor(DType::U8, &[g * o, i, 2, 2], 0.0, 9.0);
    let case = Case::new(op, 10).attribute("group", g).data(x).data(w);
    if d.flip() { case } else { case.data(d.tensor(DType::U8, &[], 0.0, 5.0)).data(d.tensor(DType::U8, &[], 0.0, 5.0)) }
}

fn matmul_integer(op: &str, d: &mut Draw) -> Case {
    let (m, k, n) = (d.range(1, 4), d.range(1, 4), d.range(1, 4));
    let case =
        Case::new(op, 10).data(d.tensor(DType::U8, &[m, k], 0.0, 9.0)).data(d.tensor(DType::I8, &[k, n], -9.0, 9.0));
    match d.range(0, 2) {
        0 => case,
        1 => case.data(d.tensor(DType::U8, &[], 0.0, 5.0)),
        _ => {
            let a = d.tensor(DType::U8, &[], 0.0, 5.0);
            case.data(a).data(zero_point(d, DType::I8, n))
        }
    }
}

/// A zero point: zero, or not, for all or for each of `n`.
fn zero_point(d: &mut Draw, dtype: DType, n: usize) -> Tensor {
    let shape = if d.flip() { vec![n] } else { vec![] };
    let high = d.pick(&[0.0, 5.0]);
    d.tensor(dtype, &shape, 0.0, high)
}

fn qlinear_conv(op: &str, d: &mut Draw) -> Case {
    let (g, i, o) = (d.range(1, 2), d.range(1, 3), d.range(1, 3));
    let case = Case::new(op, 10).attribute("group", g);
    let case = case.data(d.tensor(DType::U8, &[2, g * i, 4, 3], 0.0, 9.0)).data(d.tensor(DType::F32, &[], 0.5, 1.0));
    let case = case.data(d.tensor(DType::U8, &[], 0.0, 2.0)).data(d.tensor(DType::U8, &[g * o, i, 2, 2], 0.0, 9.0));
    let (scale, zero) = (scale(d, g * o), d.tensor(DType::U8, &[], 0.0, 0.0));
    let case = case.data(scale).data(zero).data(d.tensor(DType::F32, &[], 1.0, 2.0));
    let case = case.data(d.tensor(DType::U8, &[], 0.0, 0.0));
    if d.flip() { case } else { case.data(d.tensor(DType::I32, &[g * o], -9.0, 9.0)) }
}

fn scale(d: &mut Draw, n: usize) -> Tensor {
    let shape = if d.flip() { vec![n] } else { vec![] };
    d.tensor(DType::F32, &shape, 0.5, 2.0)
}

fn qlinear_matmul(op: &str, d: &mut Draw) -> Case {
    let (m, k, n) = (d.range(1, 4), d.range(1, 4), d.range(1, 4));
    let one = |d: &mut Draw| d.tensor(DType::F32, &[], 0.5, 1.0);
    let case = Case::new(op, 10).data(d.tensor(DType::U8, &[m, k], 0.0, 9.0)).data(one(d));
    let case = case.data(d.tensor(DType::U8, &[], 0.0, 3.0)).data(d.tensor(DType::U8, &[k, n], 0.0, 9.0)).data(one(d));
    let high = d.pick(&[0.0, 3.0]);
    case.data(d.tensor(DType::U8, &[], 0.0, high)).data(one(d)).data(d.tensor(DType::U8, &[], 0.0, high))
}

fn to_float(op: &str, d: &mut Draw) -> Case {
    let (m, k, n) = (d.range(1, 4), d.range(1, 4), d.range(1, 4));
    let case =
        Case::new(op, 1).data(d.tensor(DType::U8, &[m, k], 0.0, 9.0)).data(d.tensor(DType::I8, &[k, n], -9.0, 9.0));
    let case = case.data(d.tensor(DType::F32, &[], 0.5, 1.0)).data(scale(d, n));
    case.data(d.tensor(DType::U8, &[], 0.0, 3.0)).data(zero_point(d, DType::I8, n))
}

fn dynamic_matmul(op: &str, d: &mut Draw) -> Case {
    let (m, k, n) = (d.range(1, 4), d.range(1, 4), d.range(1, 4));
    let case = Case::new(op, 1).data(d.floats(&[2, m, k])).data(d.tensor(DType::I8, &[k, n], -9.0, 9.0));
    case.data(d.tensor(DType::F32, &[n], 0.5, 1.0)).data(d.tensor(DType::I8, &[n], 0.0, 3.0)).data(d.floats(&[n]))
}

fn gemm(op: &str, d: &mut Draw) -> Case {
    let (m, k, n) = (d.range(1, 4), d.range(1, 4), d.range(1, 4));
    let case = Case::new(op, 1).attribute("transB", 1).quantized(d, &[m, k]).scaled(d).quantized(d, &[n, k]).scaled(d);
    let case = case.data(d.tensor(DType::I32, &[n], -9.0, 9.0));
    if d.flip() { case } else { case.scaled(d) }
}

fn conv(op: &str, d: &mut Draw) -> Case {
    let (g, i, o, last) = (d.range(1, 2), d.range(1, 3), d.range(1, 3), d.flip());
    let x = if last { [2, 4, 3, g * i] } else { [2, g * i, 4, 3] };
    let case = Case::new(op, 1).attribute("group", g).attribute("channels_last", usize::from(last));
    let case = case.quantized(d, &x).scaled(d).quantized(d, &[g * o, i, 2, 2]).scaled(d).scaled(d);
    if d.flip() { case } else { case.data(d.tensor(DType::I32, &[g * o], -9.0, 9.0)) }
}
