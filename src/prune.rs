//! The main job: a model and options in, a pruned model and a report out.
//!
//! Preparation removes what stands between a constant and its use and gives every use a constant of its own; it
//! changes no number. The plan is made and carried out there, so what is removed is told in terms of the input file.
//! Only then is the model simplified: folding before would lose where a weight came from.

use crate::analysis::Analysis;
use crate::apply::{self, Applied, ApplyError};
use crate::axes::{Group, Pin, PinKind};
use crate::cost::{self, Cost, OpenDims};
use crate::infer;
use crate::ir::{Graph, Model};
use crate::passes::{Pipeline, PipelineError, Settings, SyntaxError};
use crate::plan::{self, Plan};
use crate::report::{GroupReport, PinReport};
use std::time::{Duration, Instant};

/// What brings all that a model computes into one graph.
pub const UNFOLD: &str = "inline-functions,fold-if,open-bodies";

/// What undoes `open-bodies`: the last thing that happens before a model is written.
pub const FOLD: &str = "close-bodies";

/// What happens to a model before it is analyzed.
pub const PREPARE: &str =
    "inline-functions,fold-if,open-bodies,fix(drop-identity,fold-shapes,dce),fold-weights,dce,split-constants";

/// What happens to a model after surgery.
pub const SIMPLIFY: &str = "merge-constants,fold-constants,fold-bn,fix(drop-identity,fold-shapes,dce),merge-constants";

/// The same, for those who want to keep their BatchNormalization.
pub const SIMPLIFY_KEEP_BN: &str = "merge-constants,fold-constants,fix(drop-identity,fold-shapes,dce),merge-constants";

/// What keys of a model's metadata begin with that tell how it was made.
pub const SIGNATURE: &str = "secateur.";

/// A pruned model and what was done to it.
pub struct Pruned {
    pub model: Model,
    /// What the model cost as it was read.
    pub before: Cost,
    /// What it costs now.
    pub after: Cost,
    /// The groups that lost units.
    pub groups: Vec<GroupReport>,
    /// The slices of the input file's constants that are gone.
    pub removed: Vec<apply::Removed>,
}

/// Times of the stages of a job.
#[derive(Debug, Default)]
pub struct Stages(Vec<(&'static str, Duration)>);

impl Stages {
    /// Runs a stage and takes its time.
    pub fn time<T>(&mut self, name: &'static str, stage: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let out = stage();
        self.0.push((name, start.elapsed()));
        out
    }

    /// The stages so far, in order.
    pub fn iter(&self) -> impl Iterator<Item = &(&'static str, Duration)> {
        self.0.iter()
    }
}

/// Prepares a model and derives its groups.
pub fn prepare(model: &Model) -> Result<Analysis, PruneError> {
    let mut model = model.clone();
    run_passes(PREPARE, &mut model)?;
    Ok(Analysis::new(model))
}

/// A model with all that it computes in one graph, as costs are counted.
pub fn unfolded(model: &Model) -> Result<Model, PruneError> {
    let mut model = model.clone();
    run_passes(UNFOLD, &mut model)?;
    Ok(model)
}

/// Why a plan could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    #[error(transparent)]
    Pass(#[from] PipelineError),
    #[error(transparent)]
    Plan(#[from] plan::PlanError),
    #[error("writing the plan as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

fn run_passes(pipeline: &str, model: &mut Model) -> Result<(), PruneError> {
    pipeline.parse::<Pipeline>()?.run(model, Settings::default())?;
    Ok(())
}

/// Carries out a plan and simplifies what is left.
///
/// `original` is the model as it was read: what the cut is compared with.
pub fn execute(
    original: &Model,
    analysis: &Analysis,
    plan: &Plan,
    simplify: &str,
    open: &OpenDims,
) -> Result<Pruned, PruneError> {
    let keep = plan.keep_sets(analysis)?;
    let whole = unfolded(original)?;
    let before = cost::cost(&whole, &infer::infer(&whole), open);
    let Applied { mut model, removed, .. } = apply::apply(analysis, &keep)?;
    run_passes(simplify, &mut model)?;
    if !plan.is_empty() {
        sign(&mut model, plan, simplify)?;
    }
    let facts = infer::infer(&model);
    apply::refresh_declarations(&mut model.graph, &facts);
    let after = cost::cost(&model, &facts, open);
    run_passes(FOLD, &mut model)?;
    Ok(Pruned { model, before, after, groups: cut_groups(analysis, plan), removed })
}

/// Writes into the model's metadata how it was made. What an earlier run wrote there is replaced.
fn sign(model: &mut Model, plan: &Plan, simplify: &str) -> Result<(), PruneError> {
    let choice = plan.budget.split_once(' ');
    let cut = choice.map(|(key, share)| format!("prune-channels{{{key}={share} score={}}}", plan.criterion));
    // A plan may be edited by hand and say anything; what is written must parse.
    let cut = cut.filter(|text| text.parse::<Pipeline>().is_ok()).unwrap_or_else(|| "prune-channels".to_owned());
    let passes = format!("{PREPARE},{cut},{simplify},{FOLD}");
    let entries = [("version", env!("CARGO_PKG_VERSION").to_owned()), ("plan", plan.hash()?), ("passes", passes)];
    model.metadata.retain(|(key, _)| !key.starts_with(SIGNATURE));
    model.metadata.extend(entries.map(|(key, value)| (format!("{SIGNATURE}{key}"), value)));
    Ok(())
}

fn cut_groups(analysis: &Analysis, plan: &Plan) -> Vec<GroupReport> {
    let groups = plan.cuts.iter().filter(|c| !c.remove.is_empty()).filter_map(|cut| {
        let group = analysis.groups.all.iter().find(|g| g.id.to_string() == cut.group)?;
        Some(GroupReport {
            label: cut.group.clone(),
            before: group.size,
            after: group.size - cut.remove.len(),
            exact: group.inexact.is_empty(),
            places: plan::places(&analysis.model, group),
        })
    });
    groups.collect()
}

/// The groups that stay whole, with their reasons; kernels' taps and other structure left out.
pub fn pins(analysis: &Analysis, inexact: bool) -> Vec<PinReport> {
    let graph = &analysis.model.graph;
    let report = |group: &Group| {
        let pin = group.pins.first().or_else(|| group.inexact.first().filter(|_| !inexact))?;
        if pin.kind == PinKind::Structure {
            return None;
        }
        Some(PinReport {
            label: group.id.to_string(),
            size: group.size,
            places: plan::places(&analysis.model, group),
            why: reason(graph, pin),
        })
    };
    analysis.groups.all.iter().filter_map(report).collect()
}

/// A pin's reason, with the node that asks for it.
pub fn reason(graph: &Graph, pin: &Pin) -> String {
    let op = graph.call(pin.node).map(|c| format!("{} ", c.qualified())).unwrap_or_default();
    format!("{op}`{}`: {}", graph.label(pin.node), pin.why)
}
