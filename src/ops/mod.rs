//! What secateur knows about operators: one [`Rule`] each, in one file per family, and nowhere else.
//!
//! A rule is a handful of functions over a [`Site`], and laws. What a rule leaves out is [`Rule::OPAQUE`]'s: the
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
mod granularity;
mod integer;
mod interval;
mod layer_norm;
mod loss;
mod lower;
mod matmul;
mod ml;
mod movement;
#[cfg(test)]
mod nets;
mod norm;
#[cfg(test)]
mod odd;
mod packed;
mod pool;
mod qlinear;
mod quantize;
mod random;
mod recurrent;
mod reduce;
mod reshape;
mod resize;
#[cfg(test)]
mod scale_shift;
mod scales;
mod scan;
mod scatter;
mod select;
mod shape;
mod signal;
mod site;
mod slice;
mod softmax;
#[cfg(test)]
pub mod testing;
mod window;

pub use granularity::{Granularity, GranularityError};
pub use interval::{Interval, bounds};
pub use movement::known_margins;
pub use random::is_random;
pub use reshape::reshape_target;
pub use scales::Scales;
pub use site::{Cut, LabelCut, Refit, Site, normalize_axis};

use crate::facts::{Fact, Facts};
use crate::ir::{Call, Dim, Model, NodeId};
use crate::program::{Args, Term};
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
    /// a slot that does not carry the unit's label is `false`, unless it is one zero for all). Needed to know that
    /// dropping equals zeroing.
    pub zero: fn(&Site, &[bool]) -> bool,
    /// Whether a contraction adds nothing at a unit where these operands are zero (`true` as for `zero`). Any factor
    /// does, unless something is added to a factor first: a zero point, a bias inside an attention.
    pub adds_nothing: fn(&Site, &[bool]) -> bool,
    /// Whether the results may be infinite, or no numbers, at a unit where these operands are zero (`true` as for
    /// `zero`): the masked model has no meaning there.
    pub pole: fn(&Site, &[bool]) -> bool,
    /// Where the zero point of a quantized operand or result stands; `None` for one whose zero is the number 0. The
    /// laws of zeros speak of what numbers stand for, so they need not ask for zero points.
    pub zero_point: fn(End) -> Option<End>,
    /// Where the scale of a quantized operand stands, for those who want to know what its numbers are worth.
    pub scale: fn(usize) -> Option<usize>,
    /// Whether all numbers of the results are numbers of the operands: then `zero` holds of any number.
    pub moves: bool,
    /// The operands whose elements are indices, by slot, each with the length of the axis that they point into.
    pub indices: fn(&Site) -> Vec<(usize, Dim)>,
    /// What has to change beside the constants once axes got shorter: attributes and shape operands.
    pub refit: fn(&Site, &Cut) -> Result<Refit, String>,
    /// Multiply-accumulate operations of one run.
    pub cost: fn(&Site) -> Dim,
    /// Whether the first result is the first operand, so that the call can go.
    pub is_identity: fn(&Site) -> bool,
    /// The operand that the first result is, but for broadcasting, where the operand at this slot is zero throughout;
    /// one zero, broadcast, does for all.
    pub passes_on: fn(&Site, usize) -> Option<usize>,
    /// Where a constant can be added to the sums that the call computes; `None` where it is more than a sum.
    pub bias: fn(&Site) -> Option<Bias>,
    /// How a constant slides over the data that it is summed with; empty where it does not, or nobody said.
    pub slides: fn(&Site) -> Vec<Slide>,
    /// Whether the call is a sum of products and nothing more.
    pub sum: fn(&Site) -> Option<Sum>,
    /// The slots of constants that are the mean and the variance of the first operand, unit by unit.
    pub statistics: fn(&Site) -> Option<(u16, u16)>,
    /// Bounds of the results where the operands keep within these. Not needed of sums, nor of what `moves`.
    pub bounds: fn(&Site, &[Interval]) -> Option<Interval>,
    /// By what these operands (`true`) can be multiplied at once so that the results are too. Not needed of sums, nor of
    /// what `moves`.
    pub scales: fn(&Site, &[bool]) -> Scales,
    /// What the results are made of, in operations that can be run and differentiated.
    pub lower: Lower,
}

/// The results of a call, from the terms of its operands; an error says why there are none. All sizes around the call
/// are numbers, and integers that are known before the run stand in the facts ([`Site::ints`]). Results that nobody
/// could learn through may be left out at the end.
pub type Lower = for<'b> fn(&Site, &Args<'b>) -> Result<Vec<Term<'b>>, String>;

/// An axis along which a constant slides: position `p` of the result meets tap `t` of the constant at element
/// `p · stride + t · dilation - before` of the data, which counts as zero outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slide {
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

impl Rule {
    /// Nothing is known. The base of every rule: `Rule { infer, axes, ..Rule::OPAQUE }`.
    pub const OPAQUE: Rule = Rule {
        infer: |site| Ok(vec![Fact::default(); site.call.results.len()]),
        axes: |_| None,
        zero: |_, _| false,
        adds_nothing: zero::any,
        pole: |_, _| false,
        zero_point: |_| None,
        scale: |_| None,
        moves: false,
        indices: |_| vec![],
        refit: |_, _| Ok(Refit::default()),
        cost: |_| Dim::Fixed(0),
        is_identity: |_| false,
        passes_on: |_, _| None,
        bias: |_| None,
        slides: |_| vec![],
        sum: |_| None,
        statistics: |_| None,
        bounds: bounds::unknown,
        scales: scales::no,
        lower: |_, _| Err("no derivative is known".into()),
    };
}

/// A tensor at a call: one that it reads, by slot, or one that it makes, by port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Operand(usize),
    Result(usize),
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
    /// Whether the results' elements are elements of the first operand, moved about.
    pub carries: bool,
    /// How many units of a label must stay at least.
    pub at_least: Vec<(String, usize)>,
    /// What sort of units labels have, where the call alone knows.
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
    loss::RULES,
    matmul::RULES,
    ml::RULES,
    movement::RULES,
    norm::RULES,
    packed::RULES,
    pool::RULES,
    qlinear::RULES,
    quantize::RULES,
    random::RULES,
    recurrent::RULES,
    reduce::RULES,
    reshape::RULES,
    resize::RULES,
    #[cfg(test)]
    scale_shift::RULES,
    scan::RULES,
    scatter::RULES,
    select::RULES,
    shape::RULES,
    signal::RULES,
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

/// The slots of a call's constants that it multiplies with the data. By the law of zeros these are the constants
/// that can't make a result without the data, and without which the other constants can't make it zero.
pub fn factors(model: &Model, facts: &Facts, node: NodeId) -> Vec<u16> {
    let Some(call) = model.graph.call(node) else { return vec![] };
    let unknowns = crate::facts::Unknowns::of_questions();
    let site = Site::new(model, &model.graph, node, call, facts, &unknowns);
    let rule = rule_of(model, call);
    let tensor = |slot: u16| site.tensor(usize::from(slot));
    let zero = |at: &dyn Fn(u16) -> bool| (rule.zero)(&site, &(0..call.arity).map(at).collect::<Vec<bool>>());
    let is_factor = |&slot: &u16| {
        tensor(slot).is_some_and(|t| t.dtype.is_float() && t.count() > 1)
            && zero(&|s| s != slot)
            && zero(&|s| tensor(s).is_some())
            && !zero(&|s| tensor(s).is_some() && s != slot)
    };
    (0..call.arity).filter(is_factor).collect()
}

/// Whether a call makes the same of the same operands each time, and nothing else decides: no random numbers, no body, no
/// operator that nobody knows.
pub fn is_function(model: &Model, call: &Call) -> bool {
    let known = rule(&call.domain, &call.op).is_some() && !model.is_local(call);
    known && call.graphs().next().is_none() && call.domain != crate::ir::BODY_DOMAIN && !random::is_random(call)
}

/// The names of all operators that have a rule, sorted.
pub fn known() -> Vec<&'static str> {
    let mut names: Vec<&str> = FAMILIES.iter().flat_map(|f| f.iter()).map(|(name, _)| *name).collect();
    names.sort_unstable();
    names
}
