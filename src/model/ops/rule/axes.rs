//! How axes of results relate to those of operands.

use super::Granularity;
use crate::ir::Dim;

/// An axis rule: its text and the sizes of labels that no operand axis gives alone.
///
/// The notation stands in `axes/text.rs`.
#[derive(Clone, Debug, PartialEq)]
pub struct AxisRule {
    /// The rule, in the notation.
    pub text: String,
    /// Sizes of labels that no operand axis gives alone.
    pub sizes: Vec<(String, Dim)>,
    /// Whether each result is made by the operands that carry its labels, and no others.
    pub apart: bool,
    /// Why axes written `_` (and operands that the text does not mention) are pinned.
    pub why: &'static str,
    /// Whether the results' elements are elements of the first operand, moved about.
    pub carries: bool,
    /// How many units of a label must stay at least.
    pub at_least: Vec<(String, usize)>,
    /// What kind of units labels have, where the call alone knows.
    pub roles: Vec<(&'static str, Granularity)>,
}

impl AxisRule {
    /// A rule whose text says it all.
    pub fn new(text: impl Into<String>) -> AxisRule {
        let (sizes, at_least, roles) = (vec![], vec![], vec![]);
        AxisRule { text: text.into(), sizes, apart: false, why: "", carries: false, at_least, roles }
    }

    /// The same rule with the size of a label.
    pub fn size(mut self, label: impl Into<String>, size: impl Into<Dim>) -> AxisRule {
        self.sizes.push((label.into(), size.into()));
        self
    }

    /// The same rule of an operator that only moves the elements of its first operand about, so that indices among
    /// them stay what they are.
    pub fn carries(mut self) -> AxisRule {
        self.carries = true;
        self
    }

    /// The same rule, which needs so many units of a label.
    pub fn at_least(mut self, label: impl Into<String>, count: usize) -> AxisRule {
        self.at_least.push((label.into(), count));
        self
    }

    /// The same rule of an attention, of which these labels are heads, and those dimensions of a head.
    pub fn attends(mut self, heads: &[&'static str], dims: &[&'static str]) -> AxisRule {
        self.roles.extend(heads.iter().map(|&label| (label, Granularity::Head)));
        self.roles.extend(dims.iter().map(|&label| (label, Granularity::HeadDim)));
        self
    }

    /// The same rule for results that have nothing to do with each other.
    pub fn apart(mut self) -> AxisRule {
        self.apart = true;
        self
    }

    /// The same rule with the reason for its pins.
    pub fn why(mut self, why: &'static str) -> AxisRule {
        self.why = why;
        self
    }
}
