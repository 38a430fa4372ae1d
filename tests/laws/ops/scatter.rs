//! Elements and slices written by index.

use crate::case::Case;
use crate::draw::Draw;
use crate::{Generator, check};
use secateur::ir::Tensor;

pub(super) const CASES: &[(&str, Generator)] = &[
    ("Scatter", scatter_elements),
    ("ScatterElements", scatter_elements),
    ("ScatterND", scatter_nd),
    ("TensorScatter", tensor_scatter),
];

#[test]
fn laws() {
    check(CASES, 16);
}

fn scatter_elements(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(1, 3);
    let axis = d.range(0, x.len() - 1);
    // All different along the axis, lest the order of writing counts.
    let n = x[axis];
    let inner: usize = x[axis + 1..].iter().product();
    let perm = d.permutation(n);
    let at: Vec<i64> = (0..x.iter().product()).map(|i| perm[i / inner % n] as i64).collect();
    let case = Case::new(op, if op == "Scatter" { 9 } else { 13 }).attribute("axis", axis);
    case.data(d.floats(&x)).fixed(Tensor::from_i64(x.clone(), &at)).data(d.floats(&x))
}

fn scatter_nd(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(2, 3);
    let mut rows = d.permutation(x[0]);
    rows.truncate(d.range(1, x[0]));
    let updates: Vec<usize> = [rows.len()].into_iter().chain(x[1..].iter().copied()).collect();
    let at: Vec<i64> = rows.iter().map(|&r| r as i64).collect();
    let case = Case::new(op, d.pick(&[13, 11])).data(d.floats(&x));
    case.fixed(Tensor::from_i64(vec![rows.len(), 1], &at)).data(d.floats(&updates))
}

fn tensor_scatter(op: &str, d: &mut Draw) -> Case {
    let (mut x, length) = (d.shape(3, 4), d.range(2, 4));
    let axis = x.len() - 2;
    x[axis] = length;
    let cache = d.floats(&x);
    x[axis] = d.range(1, 2);
    let first: Vec<i64> = (0..x[0]).map(|_| d.int(0, (length - x[axis]) as i64)).collect();
    Case::new(op, 24).data(cache).data(d.floats(&x)).list(&first)
}
