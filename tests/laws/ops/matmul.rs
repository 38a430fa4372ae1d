//! Products of matrices.

use crate::case::Case;
use crate::draw::Draw;
use crate::{Generator, check};

pub(super) const CASES: &[(&str, Generator)] = &[("Gemm", gemm), ("MatMul", matmul)];

#[test]
fn laws() {
    check(CASES, 30);
}

fn gemm(op: &str, d: &mut Draw) -> Case {
    let (m, k, n) = (d.range(1, 4), d.range(1, 4), d.range(1, 4));
    let (ta, tb) = (d.flip(), d.flip());
    let mut case = Case::new(op, d.pick(&[13, 11, 9]));
    case = case.attribute("transA", i32::from(ta)).attribute("transB", i32::from(tb));
    if d.flip() {
        case = case.attribute("alpha", "0.5").attribute("beta", "2.0");
    }
    let shape = |t: bool, a: usize, b: usize| if t { [b, a] } else { [a, b] };
    case = case.data(d.floats(&shape(ta, m, k))).data(d.floats(&shape(tb, k, n)));
    if d.flip() || case.opset < 11 {
        let bias = d.broadcast(&[m, n]);
        return case.data(d.floats(&bias));
    }
    case
}

fn matmul(op: &str, d: &mut Draw) -> Case {
    let (m, k, n) = (d.range(1, 4), d.range(1, 4), d.range(1, 4));
    let batch = d.shape(0, 2);
    let mut a = d.broadcast(&batch);
    let mut b = if a.len() == batch.len() { d.broadcast(&batch) } else { batch };
    a.extend([m, k]);
    b.extend([k, n]);
    match d.range(0, 5) {
        4 => a = vec![k],
        5 => b = vec![k],
        _ => {}
    }
    Case::new(op, d.pick(&[13, 9, 1])).data(d.floats(&a)).data(d.floats(&b))
}
