//! Operators that pick, sort or count elements by value.

use crate::case::{Case, number};
use crate::draw::Draw;
use crate::{Generator, check};
use secateur::ir::{DType, Tensor};

pub(super) const CASES: &[(&str, Generator)] =
    &[("Compress", compress), ("NonZero", nonzero), ("OneHot", one_hot), ("TopK", top_k)];

#[test]
fn laws() {
    check(CASES, 16);
}

fn compress(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(1, 3);
    let axis = d.range(0, x.len() - 1);
    let condition = d.tensor(DType::Bool, &[x[axis]], 0.0, 1.0);
    Case::new(op, 11).attribute("axis", axis).data(d.floats(&x)).fixed(condition)
}

fn nonzero(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(1, 3);
    Case::new(op, 13).data(d.floats(&x))
}

fn one_hot(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(1, 3);
    let depth = d.range(1, 4);
    let case = Case::new(op, 11).attribute("axis", d.int(-1, x.len() as i64));
    let case = case.data(d.tensor(DType::I64, &x, 0.0, depth as f64 - 1.0)).fixed(number(depth as i64));
    case.fixed(Tensor::from_f32(vec![2], &[0.0, 1.0]))
}

fn top_k(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(1, 3);
    let axis = d.range(0, x.len() - 1);
    let k = d.int(1, x[axis] as i64);
    Case::new(op, d.pick(&[11, 10])).attribute("axis", axis).data(d.floats(&x)).list(&[k]).results(2)
}
