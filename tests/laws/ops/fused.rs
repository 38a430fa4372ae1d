//! ONNX Runtime's fused products. The oracle runs none of them.

use crate::case::Case;
use crate::draw::Draw;
use crate::{Generator, check};

pub(super) const CASES: &[(&str, Generator)] = &[
    ("com.microsoft.FusedConv", conv),
    ("com.microsoft.FusedGemm", gemm),
    ("com.microsoft.FusedMatMul", matmul),
    ("com.microsoft.TransposeMatMul", matmul),
];

#[test]
fn laws() {
    check(CASES, 10);
}

fn conv(op: &str, d: &mut Draw) -> Case {
    let (g, i, o) = (d.range(1, 3), d.range(1, 3), d.range(1, 3));
    let case = Case::new(op, 1).attribute("group", g).attribute("activation", "\"Relu\"");
    let case = case.data(d.floats(&[2, g * i, 4, 3])).data(d.floats(&[g * o, i, 2, 2])).data(d.floats(&[g * o]));
    if d.flip() { case } else { case.data(d.floats(&[2, g * o, 3, 2])) }
}

fn gemm(op: &str, d: &mut Draw) -> Case {
    let (m, k, n) = (d.range(1, 4), d.range(1, 4), d.range(1, 4));
    let case = Case::new(op, 1).attribute("transB", 1).attribute("activation", "\"Relu\"");
    case.data(d.floats(&[m, k])).data(d.floats(&[n, k])).data(d.floats(&[n]))
}

fn matmul(op: &str, d: &mut Draw) -> Case {
    let (b, m, k, n) = (d.range(1, 3), d.range(1, 4), d.range(1, 4), d.range(1, 4));
    let (ta, tb) = (d.flip(), d.flip());
    let shape = |t: bool, a: usize, c: usize| if t { [b, c, a] } else { [b, a, c] };
    let case = Case::new(op, 1).attribute("transA", i32::from(ta)).attribute("transB", i32::from(tb));
    case.data(d.floats(&shape(ta, m, k))).data(d.floats(&shape(tb, k, n)))
}
