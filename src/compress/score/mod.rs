//! Scores: one number per unit of a group, by a criterion. Units with low scores go first.
//!
//! A criterion looks at the whole group: at every slice, in every constant, that goes when the unit goes, or at what is
//! measured of all that reads it. Scores compare between groups, so that one ranking can fill a budget.

mod activation;
mod apoz;
mod bn_scale;
mod dequantize;
mod elimination;
mod fisher;
mod fold;
mod formula;
mod fpgm;
mod gradient;
mod grasp;
mod hessian;
#[cfg(test)]
mod l0;
mod l1;
mod l2;
mod lamp;
mod lrp;
mod obs;
mod random;
mod reading;
mod sensitivity;
mod snip;
mod synflow;
mod taylor;
mod wanda;
mod wifv;

pub use formula::Formula;

use crate::analysis::Analysis;
use crate::axes::{Axes, Group, Member, Var};
use crate::contraction::Contraction;
use crate::gradients::{Gradients, Want};
use crate::ir::{Graph, Tensor, TensorError, Use, ValueId};
use crate::oracle::Setup;
use crate::sensitivity::AblationError;
use crate::stats::Measured;
use std::collections::HashSet;
use std::sync::Arc;

/// What a criterion may look at.
pub struct Context<'a> {
    /// The model with its axes, which say to which unit an index belongs.
    pub analysis: &'a Analysis,
    /// Seed of criteria that draw lots.
    pub seed: u64,
    /// The contractions of the model, and what was measured of them.
    pub measured: Option<&'a Measured>,
    /// What was measured of gradients.
    pub gradients: Option<&'a Gradients>,
    /// What runs the model, for criteria that try.
    pub setup: &'a Setup,
}

impl<'a> Context<'a> {
    /// A model of which nothing is measured; seed 0.
    pub fn new(analysis: &'a Analysis, setup: &'a Setup) -> Context<'a> {
        Context { analysis, seed: 0, measured: None, gradients: None, setup }
    }

    /// All contractions of the model, in topological order.
    fn contractions(&self) -> Arc<Vec<Contraction>> {
        self.analysis.derived(&"every contraction", || Contraction::every(self.analysis))
    }

    fn graph(&self) -> &'a Graph {
        &self.analysis.model.graph
    }

    fn axes(&self) -> &'a Axes {
        &self.analysis.axes
    }
}

/// A way to tell which units matter.
pub struct Criterion {
    /// The name on the command line.
    pub name: &'static str,
    /// Other names that papers and other tools have for it.
    pub aliases: &'static [&'static str],
    /// What it measures, in a line.
    pub about: &'static str,
    /// Where it is from.
    pub source: &'static str,
    /// Whether it looks at statistics of samples.
    pub needs_data: bool,
    /// Whether scores of different groups mean the same as they are; others are scaled to mean 1 in each group.
    pub comparable: bool,
    /// What it looks at of gradients.
    pub gradient: Option<Want>,
    /// One number per unit, not yet normalized.
    score: fn(&Context, &Group) -> Result<Vec<f64>, ScoreError>,
}

/// Why a group has no scores.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say what each is.
pub enum ScoreError {
    #[error("constant `{name}`: {error}")]
    Tensor { name: String, error: TensorError },
    #[error(transparent)]
    Ablation(Box<AblationError>),
    #[error("no criterion is called `{0}`; there are {1}")]
    Unknown(String, String),
}

impl From<AblationError> for ScoreError {
    fn from(error: AblationError) -> ScoreError {
        ScoreError::Ablation(Box::new(error))
    }
}

/// Every criterion. A new one is a file and a line here.
pub const CRITERIA: &[Criterion] = &[
    l1::L1,
    l2::L2,
    lamp::LAMP,
    bn_scale::BN_SCALE,
    fpgm::FPGM,
    random::RANDOM,
    fold::FOLD,
    obs::OBS,
    activation::ACTIVATION,
    apoz::APOZ,
    wanda::WANDA,
    wifv::WIFV,
    sensitivity::SENSITIVITY,
    taylor::TAYLOR,
    fisher::FISHER,
    hessian::HESSIAN,
    lrp::LRP,
    lrp::LRP_EPSILON,
    snip::SNIP,
    grasp::GRASP,
    synflow::SYNFLOW,
];

impl Criterion {
    /// The criterion with this name, or with this alias.
    pub fn named(name: &str) -> Result<&'static Criterion, ScoreError> {
        CRITERIA.iter().find(|c| c.name == name || c.aliases.contains(&name)).ok_or_else(|| {
            let names: Vec<String> = CRITERIA.iter().map(|c| format!("`{}`", c.name)).collect();
            ScoreError::Unknown(name.to_owned(), names.join(", "))
        })
    }

    /// The scores of a group's units.
    pub fn score(&self, context: &Context, group: &Group) -> Result<Vec<f64>, ScoreError> {
        let mut scores = (self.score)(context, group)?;
        if !self.comparable {
            normalize(&mut scores);
        }
        Ok(scores)
    }
}

/// Scales numbers so that their mean is 1; all zeros stay.
fn normalize(scores: &mut [f64]) {
    let mean = scores.iter().sum::<f64>() / scores.len().max(1) as f64;
    if mean > 0.0 && mean.is_finite() {
        scores.iter_mut().for_each(|s| *s /= mean);
    }
}

/// Sums `f` of every element over the slices of each unit, member by member.
fn over_slices(context: &Context, group: &Group, f: impl Fn(f64) -> f64 + Copy) -> Result<Vec<f64>, ScoreError> {
    over_members(context, group, |tensor, axis, units| {
        let mut mine = vec![0.0; group.size];
        for (sum, unit) in tensor.slice_sums(axis, f)?.into_iter().zip(units) {
            if let Some(u) = unit {
                mine[*u as usize] += sum;
            }
        }
        Ok(mine)
    })
}

/// Sums what `f` says of each unit over the members that hold floats; `f` gets a constant, the member's axis, and the
/// unit of each index there. Within a member the numbers are scaled to mean 1, and members count by the elements that a
/// unit has in them: a convolution's kernel says more than one number of a running mean.
fn over_members(
    context: &Context,
    group: &Group,
    f: impl Fn(&Tensor, usize, &[Option<u32>]) -> Result<Vec<f64>, TensorError>,
) -> Result<Vec<f64>, ScoreError> {
    let mut total = vec![0.0; group.size];
    let mut seen = HashSet::new();
    for &member in &group.members {
        for Member { constant: value, axis } in read_as(context, group, member) {
            let Some(&var) = context.axes().of(value).and_then(|a| a.get(axis)) else { continue };
            let Some(weights) = seen.insert((value, axis)).then(|| dequantize::weights(context, value)).flatten()
            else {
                continue;
            };
            let mine = f(&weights, axis, &context.axes().units_of(var, group.leaf));
            let name = || context.graph().value_name(value).to_owned();
            let mut mine = mine.map_err(|error| ScoreError::Tensor { name: name(), error })?;
            normalize(&mut mine);
            let weight = weights.count() as f64 / group.size as f64;
            total.iter_mut().zip(&mine).for_each(|(t, m)| *t += weight * m);
        }
    }
    Ok(total)
}

/// Where a member's slices meet data: the constant itself, or what calls make of it and other constants, if the group is on
/// an axis of that.
fn read_as(context: &Context, group: &Group, member: Member) -> Vec<Member> {
    let (graph, axes) = (context.graph(), context.axes());
    let (mut found, mut waiting, mut seen) = (vec![], vec![member.constant], HashSet::new());
    while let Some(value) = waiting.pop() {
        let (inside, outside): (Vec<Use>, Vec<Use>) = graph
            .uses(value)
            .into_iter()
            .partition(|u| context.analysis.is_computed(ValueId { node: u.node, port: 0 }));
        waiting.extend(inside.into_iter().flat_map(|u| graph.results(u.node)).filter(|v| seen.insert(*v)));
        if !outside.is_empty() {
            found.push(value);
        }
    }
    let of = |value: ValueId| {
        let carries = |(_, v): &(usize, &Var)| axes.solver().leaves(**v).contains(&group.leaf);
        let on = axes.of(value).into_iter().flatten().enumerate().filter(carries).map(|(axis, _)| axis);
        on.map(|axis| Member { constant: value, axis }).collect::<Vec<_>>()
    };
    let read: Vec<Member> = match found[..] {
        [] => vec![],
        [value] if value == member.constant => vec![member],
        ref all => all.iter().flat_map(|&v| if v == member.constant { vec![member] } else { of(v) }).collect(),
    };
    let is_known = |m: &Member| m.constant == member.constant || context.analysis.weight(m.constant).is_some();
    if !read.is_empty() && read.iter().all(is_known) { read } else { vec![member] }
}

#[cfg(test)]
mod tests;
