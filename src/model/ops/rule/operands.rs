//! What operands are to a call: weights of a sum, a kernel, a bias, statistics, indices.

use super::Site;
use crate::ir::Dim;

/// What operands are to a call.
#[derive(Clone, Copy)]
pub struct Operands {
    /// Whether the call is a sum of products and nothing more.
    pub sum: fn(&Site) -> Option<Sum>,
    /// Where a constant can be added to the sums that the call computes; `None` where it is more than a sum.
    pub bias: fn(&Site) -> Option<Bias>,
    /// The windows in which a constant runs over the data that it is summed with; empty where it does not, or nobody said.
    pub windows: fn(&Site) -> Vec<SlidingWindow>,
    /// The slots of constants that are the mean and the variance of the first operand, unit by unit.
    pub statistics: fn(&Site) -> Option<(u16, u16)>,
    /// The operands whose elements are indices, by slot, each with the length of the axis that they point into.
    pub indices: fn(&Site) -> Vec<(usize, Dim)>,
}

impl Operands {
    /// Nothing is known.
    pub const OPAQUE: Operands =
        Operands { sum: |_| None, bias: |_| None, windows: |_| vec![], statistics: |_| None, indices: |_| vec![] };
}

/// An axis along which the window of a constant slides: position `p` of the result meets tap `t` of the constant at
/// element `p · stride + t · dilation - before` of the data, which counts as zero outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlidingWindow {
    /// The axes of data, constant and result.
    pub data: usize,
    pub taps: usize,
    pub result: usize,
    pub stride: usize,
    pub dilation: usize,
    /// Zeros before the first element.
    pub before: usize,
}

/// A sum of products, over the labels that no result carries, of the operands that carry them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sum {
    /// What the products are multiplied with.
    pub factor: f64,
    /// The operand that is added, and what it is multiplied with.
    pub addend: Option<(u16, f64)>,
    /// Whether every element of the result is a sum over all weights: none falls beyond a border.
    pub full: bool,
}

impl Sum {
    /// A product of matrices.
    pub const PLAIN: Sum = Sum { factor: 1.0, addend: None, full: true };
}

/// Where a constant can be added to a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bias {
    /// In the vector operand at this slot.
    Operand(u16),
    /// Behind the call.
    Behind,
    /// In the operand at this slot: a number for each row of the constant (its axes but the summed one), in the first of
    /// so many equal parts of the last axis.
    Rows { slot: u16, parts: usize },
}
