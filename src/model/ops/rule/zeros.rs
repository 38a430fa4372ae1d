//! What becomes of zeros: by this the analysis knows where dropping units computes what zeroing them computes.

use super::Site;

/// What an operator makes of units at which operands are zero. Each law is asked with `true` at the slots that are zero
/// there; a slot that does not carry the unit's label is `false`, unless it is one zero for all.
#[derive(Clone, Copy)]
pub struct ZeroLaws {
    /// Whether the results are zero at such a unit.
    pub results: fn(&Site, &[bool]) -> bool,
    /// Whether zero is absorbing in a contraction: whether the sum over a label's units gets nothing from such a unit.
    /// It does not from any whose factor is zero, unless something is added to a factor first: a zero point, a bias
    /// inside an attention.
    pub absorbing: fn(&Site, &[bool]) -> bool,
    /// Whether the results may be infinite, or no numbers, at such a unit: the masked model has no meaning there.
    pub pole: fn(&Site, &[bool]) -> bool,
}

impl ZeroLaws {
    /// Nothing is known: no result is said to be zero, and no contraction to be exact.
    pub const OPAQUE: ZeroLaws = ZeroLaws { results: zero::never, absorbing: zero::never, pole: zero::never };

    /// A sum of products, of which any operand is a factor.
    pub const PRODUCT: ZeroLaws = ZeroLaws { results: zero::any, absorbing: zero::any, ..ZeroLaws::OPAQUE };

    /// What is taken over all units of an operand, and does not change where these are zero: a sum, a norm, a range.
    pub const SUM: ZeroLaws = ZeroLaws { absorbing: zero::any, ..ZeroLaws::OPAQUE };

    /// A product of the first two operands, to which a third is added.
    pub const AFFINE: ZeroLaws = ZeroLaws { results: zero::affine, ..ZeroLaws::PRODUCT };
}

/// The laws of zeros that operators share.
pub mod zero {
    use super::Site;

    /// Nothing is known, or a function that is not zero at zero.
    pub fn never(_: &Site, _: &[bool]) -> bool {
        false
    }

    /// A product: zero where any factor is.
    pub fn any(_: &Site, operands: &[bool]) -> bool {
        operands.contains(&true)
    }

    /// A sum, or data moved about: zero where all operands are.
    pub fn all(site: &Site, operands: &[bool]) -> bool {
        (0..operands.len()).all(|i| operands[i] || !site.has(i))
    }

    /// Zero where the first operand is; the others only say how.
    pub fn first(_: &Site, operands: &[bool]) -> bool {
        operands.first() == Some(&true)
    }

    /// Zero where the second operand is: a divisor.
    pub fn second(_: &Site, operands: &[bool]) -> bool {
        operands.get(1) == Some(&true)
    }

    /// A weighted sum with a bias: `(x · w) + b`.
    pub fn affine(site: &Site, operands: &[bool]) -> bool {
        let at = |i: usize| operands.get(i) == Some(&true);
        (at(0) || at(1)) && (at(2) || !site.has(2))
    }
}
