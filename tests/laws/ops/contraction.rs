//! Convolutions and matrix products.

use super::windows::{fitting, window};
use crate::case::Case;
use crate::draw::Draw;
use crate::{Generator, check};

pub const CASES: &[(&str, Generator)] = &[
    ("CausalConvWithState", causal),
    ("Conv", conv),
    ("ConvTranspose", conv_transpose),
    ("Gemm", gemm),
    ("MatMul", matmul),
];

#[test]
fn laws() {
    check(CASES, 30);
}

fn conv(op: &str, d: &mut Draw) -> Case {
    let (g, i, o) = (d.range(1, 3), d.range(1, 3), d.range(1, 3));
    let (space, kernel, attributes) = window(d, true);
    let x: Vec<usize> = [d.range(1, 3), g * i].into_iter().chain(space).collect();
    let w: Vec<usize> = [g * o, i].into_iter().chain(kernel).collect();
    let mut case = Case::new(op, d.pick(&[11, 1, 22])).attribute("group", g);
    case.attributes.extend(attributes);
    case = case.data(d.floats(&x)).data(d.floats(&w));
    if d.flip() { case.data(d.floats(&[g * o])) } else { case }
}

fn causal(op: &str, d: &mut Draw) -> Case {
    let (n, c, k) = (d.range(1, 3), d.range(1, 4), d.range(1, 3));
    let case = Case::new(op, 27).data(d.floats(&[n, c, 4])).data(d.floats(&[c, 1, k])).results(d.range(1, 2));
    let case = if d.flip() { case.data(d.floats(&[c])) } else { case.absent() };
    if d.flip() && k > 1 { case.data(d.floats(&[n, c, k - 1])) } else { case }
}

fn conv_transpose(op: &str, d: &mut Draw) -> Case {
    let (g, i, o) = (d.range(1, 3), d.range(1, 3), d.range(1, 3));
    let rank = d.range(1, 2);
    let space = fitting(d, &vec![1; rank]);
    let kernel: Vec<usize> = (0..rank).map(|_| d.range(1, 3)).collect();
    let x: Vec<usize> = [d.range(1, 2), g * i].into_iter().chain(space).collect();
    let w: Vec<usize> = [g * i, o].into_iter().chain(kernel).collect();
    let mut case = Case::new(op, d.pick(&[11, 1])).attribute("group", g);
    if d.flip() {
        case = case.ints("strides", &vec![2; rank]);
        if d.flip() {
            case = case.ints("output_padding", &vec![1; rank]);
        }
    }
    case = case.data(d.floats(&x)).data(d.floats(&w));
    if d.flip() { case.data(d.floats(&[g * o])) } else { case }
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
