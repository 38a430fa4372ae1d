//! What secateur knows about operators: one [`Rule`] each, by families, and nowhere else.
//!
//! A rule is a handful of functions over a [`Site`], and laws, in groups by what they are for. What a rule leaves out is
//! [`Rule::OPAQUE`]'s: the types stay unknown, every axis is pinned, no zero is claimed, nothing is refitted. So an
//! omission is conservative, and visible.
//!
//! A family has one name: its rules are in `NAME.rs`, what they are made of is in `lower/NAME.rs`, and the cases on which
//! their laws are checked are in `tests/laws/ops/NAME.rs`. What is no family lies in a folder: `rule` is what rules are
//! written in, `shared` is what several families need, `testing` is for tests.

mod attention;
pub mod body;
mod branch;
mod broadcast;
mod contrib_attention;
mod conv;
mod einsum;
mod elementwise;
mod fused;
mod gather;
mod integer;
mod layer_norm;
mod loss;
mod matmul;
mod ml;
mod movement;
mod norm;
mod packed;
mod pool;
mod qlinear;
mod quantize;
mod random;
mod recurrent;
mod reduce;
mod reshape;
mod resize;
mod rotary;
#[cfg(test)]
mod scale_shift;
mod scan;
mod scatter;
mod select;
mod shape;
mod signal;
mod slice;
mod softmax;

mod lower;
mod rule;
mod shared;
#[cfg(test)]
pub mod testing;

pub use movement::known_margins;
pub use random::is_random;
pub use reshape::reshape_target;
pub use rule::{
    AxisRule, Bias, CutSizes, End, Granularity, GranularityError, Homogeneity, Interval, LabelCut, Lower, Open,
    Operands, Quantization, Refit, Rule, Site, SlidingWindow, Sum, ValueLaws, ZeroLaws, bounds, homogeneity,
    normalize_axis, zero,
};

use crate::facts::Facts;
use crate::ir::{Call, Model, NodeId};
use std::collections::HashMap;
use std::sync::LazyLock;

/// Operators by name. Those of other domains carry theirs in front (`com.microsoft.Gelu`).
type Family = &'static [(&'static str, Rule)];

/// Families by the names of their files.
macro_rules! families {
    ($($(#[$attribute:meta])* $name:ident),* $(,)?) => { &[$($(#[$attribute])* (stringify!($name), $name::RULES)),*] };
}

/// Every family. A new file is added here and nowhere else.
const FAMILIES: &[(&str, Family)] = families![
    attention,
    body,
    branch,
    broadcast,
    contrib_attention,
    conv,
    einsum,
    elementwise,
    fused,
    gather,
    integer,
    layer_norm,
    loss,
    matmul,
    ml,
    movement,
    norm,
    packed,
    pool,
    qlinear,
    quantize,
    random,
    recurrent,
    reduce,
    reshape,
    resize,
    rotary,
    #[cfg(test)]
    scale_shift,
    scan,
    scatter,
    select,
    shape,
    signal,
    slice,
    softmax,
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
        LazyLock::new(|| FAMILIES.iter().flat_map(|(_, rules)| rules.iter()).map(|(op, rule)| (*op, rule)).collect());
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
    let zero = |at: &dyn Fn(u16) -> bool| (rule.zeros.results)(&site, &(0..call.arity).map(at).collect::<Vec<bool>>());
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

/// The families: their names, and those of their operators.
pub fn families() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    FAMILIES.iter().map(|(name, rules)| (*name, rules.iter().map(|(op, _)| *op).collect()))
}

/// The names of all operators that have a rule, sorted.
pub fn known() -> Vec<&'static str> {
    let mut names: Vec<&str> = families().flat_map(|(_, operators)| operators).collect();
    names.sort_unstable();
    names
}
