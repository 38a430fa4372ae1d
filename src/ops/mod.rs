//! What secateur knows about operators: one [`Rule`] each, in one file per family, and nowhere else.
//!
//! A rule is five functions and two laws of zeros over a [`Site`]. What a rule leaves out is [`Rule::OPAQUE`]'s: the
//! types stay unknown, every axis is pinned, nothing is refitted, costs nothing and is no identity. So an omission
//! is conservative, and visible.

mod attention;
pub mod body;
mod branch;
mod broadcast;
mod content;
mod contrib_attention;
mod conv;
mod dims;
mod einsum;
mod elementwise;
mod fused;
mod gather;
mod integer;
mod layer_norm;
mod matmul;
mod movement;
#[cfg(test)]
mod nets;
mod norm;
#[cfg(test)]
mod odd;
mod pool;
mod quantize;
mod random;
mod recurrent;
mod reduce;
mod reshape;
mod resize;
mod scan;
mod scatter;
mod select;
mod shape;
mod site;
mod slice;
mod softmax;
#[cfg(test)]
mod testing;
mod window;

pub use site::{Cut, LabelCut, Refit, Site, normalize_axis};

use crate::infer::Fact;
use crate::ir::{Call, Dim, Model};
use std::collections::HashMap;
use std::sync::LazyLock;

/// What secateur knows about an operator.
#[derive(Clone, Copy)]
pub struct Rule {
    /// The facts of the results, from those of the operands; an error is a contradiction in the model.
    pub infer: fn(&Site) -> Result<Vec<Fact>, String>,
    /// How the axes of the results relate to the axes of the operands; `None` pins them all.
    pub axes: fn(&Site) -> Option<AxisRule>,
    /// Whether the results are zero at a unit where these operands are (`true` at the slots that are zero there;
    /// a slot that does not carry the unit's label is `false`). Needed to know that dropping equals zeroing.
    pub zero: fn(&Site, &[bool]) -> bool,
    /// Whether a contraction adds nothing at a unit where these operands are zero (`true` as for `zero`). Any factor
    /// does, unless something is added to a factor first: a zero point, a bias inside an attention.
    pub adds_nothing: fn(&Site, &[bool]) -> bool,
    /// What has to change beside the constants once axes got shorter: attributes and shape operands.
    pub refit: fn(&Site, &Cut) -> Result<Refit, String>,
    /// Multiply-accumulate operations of one run.
    pub cost: fn(&Site) -> Dim,
    /// Whether the first result is the first operand, so that the call can go.
    pub is_identity: fn(&Site) -> bool,
}

impl Rule {
    /// Nothing is known. The base of every rule: `Rule { infer, axes, ..Rule::OPAQUE }`.
    pub const OPAQUE: Rule = Rule {
        infer: |site| Ok(vec![Fact::default(); site.call.results.len()]),
        axes: |_| None,
        zero: |_, _| false,
        adds_nothing: zero::any,
        refit: |_, _| Ok(Refit::default()),
        cost: |_| Dim::Fixed(0),
        is_identity: |_| false,
    };
}

/// An axis rule: its text and the sizes of labels that no operand axis gives alone.
///
/// The notation stands in [`crate::axes`].
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
}

impl AxisRule {
    /// A rule whose text says it all.
    pub fn new(text: impl Into<String>) -> AxisRule {
        AxisRule { text: text.into(), sizes: vec![], apart: false, why: "" }
    }

    /// The same rule with the size of a label.
    pub fn size(mut self, label: impl Into<String>, size: impl Into<Dim>) -> AxisRule {
        self.sizes.push((label.into(), size.into()));
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

/// The laws of zeros that operators share.
pub mod zero {
    use super::Site;

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

    /// A weighted sum with a bias: `(x · w) + b`.
    pub fn affine(site: &Site, operands: &[bool]) -> bool {
        let at = |i: usize| operands.get(i) == Some(&true);
        (at(0) || at(1)) && (at(2) || !site.has(2))
    }
}

/// One family: operators by name. Operators of other domains carry theirs in front (`com.microsoft.Gelu`).
type Family = &'static [(&'static str, Rule)];

/// Every family. A new file is added here and nowhere else.
const FAMILIES: &[Family] = &[
    attention::RULES,
    body::RULES,
    branch::RULES,
    broadcast::RULES,
    contrib_attention::RULES,
    conv::RULES,
    einsum::RULES,
    elementwise::RULES,
    fused::RULES,
    gather::RULES,
    integer::RULES,
    layer_norm::RULES,
    matmul::RULES,
    movement::RULES,
    norm::RULES,
    pool::RULES,
    quantize::RULES,
    random::RULES,
    recurrent::RULES,
    reduce::RULES,
    reshape::RULES,
    resize::RULES,
    scan::RULES,
    scatter::RULES,
    select::RULES,
    shape::RULES,
    slice::RULES,
    softmax::RULES,
];

/// The operator that does nothing.
pub const IDENTITY: &str = "Identity";

/// The rule of a call. Local functions hide operators of the same name, and are opaque.
pub fn rule_of(model: &Model, call: &Call) -> &'static Rule {
    static OPAQUE: Rule = Rule::OPAQUE;
    if model.is_local(call) {
        return &OPAQUE;
    }
    rule(&call.domain, &call.op).unwrap_or(&OPAQUE)
}

/// The rule of an operator, if there is one.
pub fn rule(domain: &str, op: &str) -> Option<&'static Rule> {
    static TABLE: LazyLock<HashMap<&str, &Rule>> =
        LazyLock::new(|| FAMILIES.iter().flat_map(|f| f.iter()).map(|(name, rule)| (*name, rule)).collect());
    match domain {
        "" | "ai.onnx" => TABLE.get(op).copied(),
        _ => TABLE.get(format!("{domain}.{op}").as_str()).copied(),
    }
}

/// The names of all operators that have a rule, sorted.
pub fn known() -> Vec<&'static str> {
    let mut names: Vec<&str> = FAMILIES.iter().flat_map(|f| f.iter()).map(|(name, _)| *name).collect();
    names.sort_unstable();
    names
}
