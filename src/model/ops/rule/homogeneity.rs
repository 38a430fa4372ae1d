//! Homogeneity: what becomes of a result when operands are multiplied by a number.

use super::Site;

/// By which numbers some operands can be multiplied, so that the results are multiplied by the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Homogeneity {
    /// By none but 1.
    None,
    /// By positive ones.
    Positive,
    /// By any.
    Any,
}

impl Homogeneity {
    /// Whether a factor is one of them.
    pub fn takes(self, factor: f64) -> bool {
        match self {
            Homogeneity::None => false,
            Homogeneity::Positive => factor > 0.0,
            Homogeneity::Any => factor != 0.0,
        }
    }
}

/// No operator that is not said to be homogeneous is.
pub fn none(_: &Site, _: &[bool]) -> Homogeneity {
    Homogeneity::None
}

/// A linear function of the first operand.
pub fn first(_: &Site, at: &[bool]) -> Homogeneity {
    if at.iter().enumerate().all(|(slot, &on)| on == (slot == 0)) { Homogeneity::Any } else { Homogeneity::None }
}

/// The same for positive factors alone: a rectifier, a maximum over a window.
pub fn first_positive(site: &Site, at: &[bool]) -> Homogeneity {
    if first(site, at) == Homogeneity::Any { Homogeneity::Positive } else { Homogeneity::None }
}

/// A sum: all terms at once.
pub fn all(site: &Site, at: &[bool]) -> Homogeneity {
    if (0..at.len()).all(|slot| at[slot] || !site.has(slot)) { Homogeneity::Any } else { Homogeneity::None }
}

/// A maximum: all of them at once, and in order.
pub fn all_positive(site: &Site, at: &[bool]) -> Homogeneity {
    if all(site, at) == Homogeneity::Any { Homogeneity::Positive } else { Homogeneity::None }
}

/// A product: one factor.
pub fn one(_: &Site, at: &[bool]) -> Homogeneity {
    if at.iter().filter(|&&on| on).count() == 1 { Homogeneity::Any } else { Homogeneity::None }
}
