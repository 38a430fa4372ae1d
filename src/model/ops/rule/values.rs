//! How the numbers of results follow from those of operands: what can be said of them without a run, and which calls can
//! go.

use super::homogeneity::{self, Homogeneity};
use super::interval::{Interval, bounds};
use super::{End, Site};

/// How the numbers of results follow from those of operands.
#[derive(Clone, Copy)]
pub struct ValueLaws {
    /// Whether the operator is data movement: all numbers of the results are numbers of the operands. Then the law of
    /// zeros holds of any number.
    pub data_movement: bool,
    /// Whether the first result is the first operand, so that the call can go.
    pub identity: fn(&Site) -> bool,
    /// The bypass operand: the one that the first result is, but for broadcasting, where the operand at this slot is zero
    /// throughout; one zero, broadcast, does for all.
    pub bypass: fn(&Site, usize) -> Option<usize>,
    /// Bounds of the results where the operands keep within these. Not needed of sums of products, nor of data movement.
    pub bounds: fn(&Site, &[Interval]) -> Option<Interval>,
    /// By what these operands (`true`) can be multiplied at once so that the results are too. Not needed of sums of
    /// products, nor of data movement.
    pub homogeneity: fn(&Site, &[bool]) -> Homogeneity,
}

impl ValueLaws {
    /// Nothing is known.
    pub const OPAQUE: ValueLaws = ValueLaws {
        data_movement: false,
        identity: |_| false,
        bypass: |_, _| None,
        bounds: bounds::unknown,
        homogeneity: homogeneity::none,
    };

    /// Data movement, which is not the identity.
    pub const MOVED: ValueLaws = ValueLaws { data_movement: true, ..ValueLaws::OPAQUE };
}

/// What the numbers of quantized operands and results stand for.
#[derive(Clone, Copy)]
pub struct Quantization {
    /// Where the zero point of a quantized operand or result stands; `None` for one whose zero is the number 0. The
    /// laws of zeros speak of what numbers stand for, so they need not ask for zero points.
    pub zero_point: fn(End) -> Option<End>,
    /// Where the scale of a quantized operand stands.
    pub scale: fn(usize) -> Option<usize>,
}

impl Quantization {
    /// Numbers stand for themselves.
    pub const NONE: Quantization = Quantization { zero_point: |_| None, scale: |_| None };
}
