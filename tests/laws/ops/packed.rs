//! Products with packed weights.

use crate::case::Case;
use crate::draw::Draw;
use crate::{Generator, check};
use secateur::ir::DType;

pub(super) const CASES: &[(&str, Generator)] = &[("com.microsoft.MatMulNBits", blocks)];

#[test]
fn laws() {
    check(CASES, 16);
}

/// Weights of four bits in one block of 32.
fn blocks(op: &str, d: &mut Draw) -> Case {
    let (m, n) = (d.range(1, 3), d.range(1, 5));
    let case = Case::new(op, 1).attribute("K", 32).attribute("N", n).attribute("bits", 4).attribute("block_size", 32);
    case.data(d.floats(&[m, 32])).data(d.tensor(DType::U8, &[n, 1, 16], 0.0, 255.0)).data(d.floats(&[n]))
}
