//! Normalization by channels, by planes, by neighbours.

use crate::case::Case;
use crate::draw::Draw;
use crate::{Generator, check};
use secateur::ir::DType;

pub(super) const CASES: &[(&str, Generator)] = &[
    ("BatchNormalization", batch),
    ("InstanceNormalization", instance),
    ("LRN", local),
    ("LpNormalization", norm),
    ("MeanVarianceNormalization", mean_variance),
];

#[test]
fn laws() {
    check(CASES, 16);
}

fn batch(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(2, 4);
    let c = [x[1]];
    let mut case = Case::new(op, d.pick(&[15, 9, 14])).data(d.floats(&x));
    case = case.data(d.floats(&c)).data(d.floats(&c)).data(d.floats(&c)).data(d.tensor(DType::F32, &c, 0.5, 2.0));
    if d.flip() { case.attribute("epsilon", "0.01") } else { case }
}

fn instance(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(3, 4);
    Case::new(op, 6).data(d.floats(&x)).data(d.floats(&[x[1]])).data(d.floats(&[x[1]]))
}

fn local(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(4, 4);
    Case::new(op, d.pick(&[13, 1])).attribute("size", d.pick(&[3, 1, 5])).data(d.floats(&x))
}

fn norm(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(1, 4);
    Case::new(op, 1).attribute("axis", d.axis(x.len())).attribute("p", d.range(1, 2)).data(d.floats(&x))
}

fn mean_variance(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(4, 4);
    let case = Case::new(op, d.pick(&[13, 9])).data(d.floats(&x));
    if d.flip() { case } else { case.ints("axes", &[2, 3]) }
}
