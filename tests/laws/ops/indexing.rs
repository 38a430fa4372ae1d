//! Operators that index, sort and scan.

use crate::case::Case;
use crate::draw::Draw;
use crate::{Generator, check};
use secateur::ir::{DType, Tensor};

pub const CASES: &[(&str, Generator)] = &[
    ("Col2Im", col2im),
    ("Compress", compress),
    ("CumProd", cumulative),
    ("CumSum", cumulative),
    ("Det", det),
    ("GatherElements", gather_elements),
    ("GatherND", gather_nd),
    ("NonZero", nonzero),
    ("OneHot", one_hot),
    ("ReverseSequence", reverse),
    ("Scatter", scatter_elements),
    ("ScatterElements", scatter_elements),
    ("ScatterND", scatter_nd),
    ("TensorScatter", tensor_scatter),
    ("TopK", top_k),
    ("Trilu", trilu),
];

#[test]
fn laws() {
    check(CASES, 16);
}

fn number(n: i64) -> Tensor {
    Tensor::from_i64(vec![], &[n])
}

fn cumulative(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(1, 3);
    let case = Case::new(op, if op == "CumProd" { 26 } else { d.pick(&[14, 11]) });
    let case = case.attribute("exclusive", d.range(0, 1)).attribute("reverse", d.range(0, 1));
    case.data(d.floats(&x)).fixed(number(d.axis(x.len())))
}

fn trilu(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(2, 4);
    let case = Case::new(op, 14).attribute("upper", d.range(0, 1)).data(d.floats(&x));
    if d.flip() { case } else { case.fixed(number(d.int(-2, 2))) }
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

fn det(op: &str, d: &mut Draw) -> Case {
    let (b, n) = (d.range(1, 4), d.range(1, 3));
    Case::new(op, 11).data(d.floats(&[b, n, n]))
}

fn reverse(op: &str, d: &mut Draw) -> Case {
    let (steps, batch, width) = (d.range(1, 4), d.range(1, 3), d.range(1, 4));
    let lengths: Vec<i64> = (0..batch).map(|_| d.int(1, steps as i64)).collect();
    Case::new(op, 10).data(d.floats(&[steps, batch, width])).list(&lengths)
}

/// Indices of the shape of a tensor, along one of its axes.
fn indices(d: &mut Draw, shape: &[usize], axis: usize) -> Tensor {
    d.tensor(DType::I64, shape, 0.0, shape[axis] as f64 - 1.0)
}

fn gather_elements(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(1, 3);
    let axis = d.range(0, x.len() - 1);
    Case::new(op, d.pick(&[13, 11])).attribute("axis", axis).data(d.floats(&x)).fixed(indices(d, &x, axis))
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

fn gather_nd(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(2, 3);
    let count = d.range(1, 3);
    let high = x[0] as f64 - 1.0;
    Case::new(op, d.pick(&[13, 12])).data(d.floats(&x)).fixed(d.tensor(DType::I64, &[count, 1], 0.0, high))
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

fn col2im(op: &str, d: &mut Draw) -> Case {
    let (n, c) = (d.range(1, 2), d.range(1, 4));
    Case::new(op, 18).data(d.floats(&[n, 4 * c, 9])).list(&[4, 4]).list(&[2, 2])
}
