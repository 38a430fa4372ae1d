//! Homogeneity: what becomes of a result when operands are multiplied by a number.

use super::Site;

/// By which numbers some operands can be multiplied, so that the results are multiplied by the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scales {
    No,
    /// By positive ones.
    Positive,
    /// By any.
    Any,
}

impl Scales {
    /// Whether a factor is one of them.
    pub fn takes(self, factor: f64) -> bool {
        match self {
            Scales::No => false,
            Scales::Positive => factor > 0.0,
            Scales::Any => factor != 0.0,
        }
    }
}

/// No operator that is not said to be homogeneous is.
pub fn no(_: &Site, _: &[bool]) -> Scales {
    Scales::No
}

/// A linear function of the first operand.
pub fn first(_: &Site, at: &[bool]) -> Scales {
    if at.iter().enumerate().all(|(slot, &on)| on == (slot == 0)) { Scales::Any } else { Scales::No }
}

/// The same for positive factors alone: a rectifier, a maximum over a window.
pub fn first_positive(site: &Site, at: &[bool]) -> Scales {
    if first(site, at) == Scales::Any { Scales::Positive } else { Scales::No }
}

/// A sum: all terms at once.
pub fn all(site: &Site, at: &[bool]) -> Scales {
    if (0..at.len()).all(|slot| at[slot] || !site.has(slot)) { Scales::Any } else { Scales::No }
}

/// A maximum: all of them at once, and in order.
pub fn all_positive(site: &Site, at: &[bool]) -> Scales {
    if all(site, at) == Scales::Any { Scales::Positive } else { Scales::No }
}

/// A product: one factor.
pub fn one(_: &Site, at: &[bool]) -> Scales {
    if at.iter().filter(|&&on| on).count() == 1 { Scales::Any } else { Scales::No }
}
