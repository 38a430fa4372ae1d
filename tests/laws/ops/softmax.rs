//! Softmax and its kin.

use crate::case::Case;
use crate::draw::Draw;
use crate::{Generator, check};

pub(super) const CASES: &[(&str, Generator)] = &[("Hardmax", softmax), ("LogSoftmax", softmax), ("Softmax", softmax)];

#[test]
fn laws() {
    check(CASES, 16);
}

/// Along one axis since opset 13, before along all from it on.
fn softmax(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(2, 4);
    let case = Case::new(op, d.pick(&[13, 11])).data(d.floats(&x));
    if d.flip() { case } else { case.attribute("axis", d.axis(x.len())) }
}
