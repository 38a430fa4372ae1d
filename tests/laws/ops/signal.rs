//! Fourier transforms.

use crate::case::Case;
use crate::draw::Draw;
use crate::{Generator, check};
use secateur::ir::Tensor;

pub(super) const CASES: &[(&str, Generator)] = &[("DFT", dft), ("STFT", stft)];

#[test]
fn laws() {
    check(CASES, 20);
}

/// The last axis holds the parts of complex numbers. Since opset 20 the axis is an operand.
fn dft(op: &str, d: &mut Draw) -> Case {
    let mut x = d.shape(1, 2);
    let axis = d.range(0, x.len() - 1) as i64;
    x.push(d.range(1, 2));
    let onesided = x.last() == Some(&1) && d.flip();
    let case = Case::new(op, 19).attribute("onesided", i64::from(onesided));
    case.attribute("axis", axis).data(d.floats(&x))
}

fn stft(op: &str, d: &mut Draw) -> Case {
    let (batch, length) = (d.range(1, 4), d.range(2, 5));
    let case = Case::new(op, 17).attribute("onesided", d.range(0, 1)).data(d.floats(&[batch, 12, 1]));
    let case = case.fixed(Tensor::from_i64(vec![], &[d.int(1, 4)]));
    case.data(d.floats(&[length])).fixed(Tensor::from_i64(vec![], &[length as i64]))
}
