//! Rotary embeddings.

use crate::case::Case;
use crate::draw::Draw;
use crate::{Generator, check};
use secateur::ir::Tensor;

pub(super) const CASES: &[(&str, Generator)] =
    &[("RotaryEmbedding", rotary), ("com.microsoft.RotaryEmbedding", rotary)];

#[test]
fn laws() {
    check(CASES, 10);
}

/// ONNX has cosines, sines, positions; ONNX Runtime's own has positions first.
fn rotary(op: &str, d: &mut Draw) -> Case {
    let (b, h, s, half) = (d.range(1, 2), d.range(1, 3), d.range(1, 3), d.range(1, 2));
    let x = d.floats(&[b, h, s, 2 * half]);
    let (cos, sin) = (d.floats(&[4, half]), d.floats(&[4, half]));
    let count = (b * s) as i64;
    let positions = Tensor::from_i64(vec![b, s], &(0..count).map(|i| i % s as i64).collect::<Vec<_>>());
    let case = Case::new(op, if op.contains('.') { 1 } else { 23 }).data(x);
    if op.contains('.') { case.fixed(positions).data(cos).data(sin) } else { case.data(cos).data(sin).fixed(positions) }
}
