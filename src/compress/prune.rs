//! The main job: a model and options in, a pruned model and a report out.
//!
//! Preparation removes what stands between a constant and its use and gives every use a constant of its own; it
//! changes no number. The plan is made and carried out there, so what is removed is told in terms of the input file.
//! Only then is the model simplified: folding before would lose where a weight came from.

mod calls;
mod rows;
mod slim;
pub mod trial;

pub use crate::analysis::prepare;
pub use crate::apply::{Applied, ApplyError, Removed, apply, refresh_declarations};
pub use crate::compress::{layers, stats};
pub use crate::layers::{Shortened, shorten};
pub use crate::lossless::Ranges;
pub use crate::pipelines::{FOLD, OPTIMIZE, PREPARE, SIMPLIFY, SIMPLIFY_KEEP_BN, TIDY, UNFOLD, unfolded};
pub use crate::reference::{ReferenceError, masked, reference};
pub use crate::run::pipelines;
pub use calls::{CallReport, CallSize};
pub use rows::{GroupReport, PinReport, pins, reason};

use crate::analysis::Analysis;
use crate::apply;
use crate::axes::KeepSets;
use crate::cost::{self, Cost, OpenDims};
use crate::infer;
use crate::ir::Model;
use crate::lossless::{self, Certificate, Merged};
use crate::oracle::Setup;
use crate::pipelines::RunError;
use crate::plan::{self, Budget, Plan};
use crate::pruning;
use crate::repair::{self, RepairError, Repaired, Repairs, Unrepaired};
use crate::sparsity::{self, SparsityError, Thinned, Zeroed};
use crate::stats::{Measured, RunOptions, Samples};
use std::time::{Duration, Instant};

/// What keys of a model's metadata begin with that tell how it was made.
pub const SIGNATURE: &str = "secateur.";

/// A pruned model and what was done to it.
pub struct Pruned {
    /// The pruned model.
    pub model: Model,
    /// The same before it was repaired, which is what the proof is about; `None` where nothing was repaired.
    pub cut: Option<Model>,
    /// How the contractions fared that were repaired.
    pub repaired: Vec<Repaired>,
    /// What the repair took, if there was one.
    pub costs: Option<repair::Costs>,
    /// The calls that lost units they sum over, and were not repaired though a repair was asked for.
    pub unrepaired: Vec<Unrepaired>,
    /// What the model cost as it was read.
    pub before: Cost,
    /// What it costs now.
    pub after: Cost,
    /// What each call cost, and costs.
    pub calls: Vec<CallReport>,
    /// The groups that lost units.
    pub groups: Vec<GroupReport>,
    /// The units that went without loss.
    pub lossless: Vec<Certificate>,
    /// The slices of the input file's constants that are gone, but for those of units that went without loss.
    pub removed: Vec<apply::Removed>,
    /// The units that stayed, in terms of the analysis, and those that went without loss: what the result must equal is
    /// the original with these.
    pub keep: KeepSets,
    /// The matrices that have single weights at zero; `None` where nobody asked for that.
    pub thinned: Option<Vec<Thinned>>,
    /// The same weights in terms of the input file, where nothing else became of the model: they belong to what it must
    /// equal.
    pub zeroed: Vec<Zeroed>,
}

/// Times of the stages of a job.
#[derive(Debug, Default)]
pub struct Stages(Vec<(&'static str, Duration)>);

impl Stages {
    /// Runs a stage and takes its time.
    pub fn time<T>(&mut self, name: &'static str, stage: impl FnOnce() -> T) -> T {
        let span = tracing::info_span!("stage", name).entered();
        let start = Instant::now();
        let out = stage();
        let time = start.elapsed();
        tracing::info!(stage = name, seconds = time.as_secs_f64(), "done");
        drop(span);
        self.0.push((name, time));
        out
    }

    /// The stages so far, in order.
    pub fn iter(&self) -> impl Iterator<Item = &(&'static str, Duration)> {
        self.0.iter()
    }
}

/// What a model costs as it was read.
pub fn whole(model: &Model, open: &OpenDims) -> Result<Cost, PruneError> {
    let whole = unfolded(model)?;
    Ok(cost::cost(&whole, &infer::infer(&whole), open))
}

/// Why a plan could not be carried out.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say what each is.
pub enum PruneError {
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error(transparent)]
    Passes(#[from] RunError),
    #[error(transparent)]
    Plan(#[from] plan::PlanError),
    #[error("repairing: {0}")]
    Repair(#[from] RepairError),
    #[error("setting weights to zero: {0}")]
    Sparsity(#[from] SparsityError),
    #[error("the plan cuts `{0}` in another way than the training was given it")]
    Trained(String),
    #[error("writing the plan as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl PruneError {
    /// Whether it says that a rule is wrong, and nothing of what was asked for: other groups may be cut all the same.
    pub fn is_defect(&self) -> bool {
        matches!(self, PruneError::Apply(_))
    }
}

/// What share of a model a cut saves: of multiply-accumulates, of parameters or of bytes, whichever is most.
pub fn saved(before: &Cost, after: &Cost) -> f64 {
    let share = |a: u64, b: u64| 1.0 - b as f64 / u64::max(a, 1) as f64;
    let counts = [(before.macs, after.macs), (before.params, after.params), (before.bytes, after.bytes)];
    counts.into_iter().map(|(a, b)| share(a, b)).fold(0.0, f64::max)
}

/// What is saved below this share of a model is nearly nothing.
const TINY: f64 = 0.01;

/// Whether what a cut saves is worth what it changes. Units that compute a share `s` of what a model computes account, if
/// they are like the others, for `s` of the energy of its outputs, so that the outputs change by `√s` (relative L2) without
/// them. A cut that saves nearly nothing and changes more than that takes out units that matter more than most.
pub fn is_worth(saved: f64, drift: f64) -> bool {
    saved >= TINY || drift <= saved.max(0.0).sqrt()
}

/// Runs any passes.
fn run_passes(pipeline: &str, model: &mut Model) -> Result<(), RunError> {
    pruning::registry().parse(pipeline)?.run(model, pipelines::settings())?;
    Ok(())
}

/// What a repair goes by.
#[derive(Clone, Copy)]
pub struct Repair<'a> {
    /// What was measured of the prepared model before its cut.
    pub measured: &'a Measured,
    /// The samples that both models are run on.
    pub samples: &'a dyn Samples,
    /// By what both models are run.
    pub execution: RunOptions<'a>,
    /// Told of every feed that was run.
    pub done: &'a dyn Fn(),
}

/// How single weights are set to zero.
#[derive(Clone, Copy)]
pub struct Sparsify<'a> {
    /// What becomes zero, and by which method.
    pub options: &'a sparsity::Options,
    /// What is measured on.
    pub samples: Option<&'a dyn Samples>,
    /// What runs the model.
    pub setup: &'a Setup,
}

/// What becomes of a model after its cut.
#[derive(Clone, Copy)]
pub struct After<'a> {
    /// The pipeline in the end.
    pub simplify: &'a str,
    /// How what is left is refitted; `None` to leave the weights as they are.
    pub repair: Option<Repair<'a>>,
    /// The same cut with weights that were trained: it takes the place of what is repaired.
    pub trained: Option<&'a Model>,
    /// How single weights become zero in the end, if they do.
    pub sparsify: Option<Sparsify<'a>>,
}

/// A prepared model after surgery and repair, before it is simplified: its nodes are those of the analyzed model.
pub struct CutModel {
    /// The model after the repair, if there was one.
    pub model: Model,
    /// The same before it was repaired.
    pub bare: Model,
    /// How the contractions fared that were repaired, if there was a repair.
    pub repaired: Option<Repairs>,
    /// The slices of the input file's constants that are gone, but for those of units that went without loss.
    pub removed: Vec<apply::Removed>,
    /// The units that stayed.
    pub keep: KeepSets,
    /// The units that went without loss.
    pub merged: Merged,
}

/// Carries out a plan and repairs what is left.
pub fn cut(analysis: &Analysis, plan: &Plan, repair: Option<Repair>) -> Result<CutModel, PruneError> {
    let keep = plan.keep_sets(analysis)?;
    let Applied { mut model, mut removed, .. } = apply::apply(analysis, &keep)?;
    let merged = plan.lossless.as_ref().map(|ranges| lossless::find(analysis, ranges).merged(analysis, &keep));
    let merged = merged.unwrap_or_default();
    let proved = merged.with(analysis, &keep);
    let mut bare = model.clone();
    if !merged.is_empty() {
        removed = apply::removed_by(analysis, &proved);
        repair::absorb(analysis, &keep, &merged, &mut bare)?;
    }
    let mut repaired = None;
    // What goes without loss leaves nothing to repair.
    match repair.filter(|_| !proved.is_empty()) {
        Some(Repair { measured, samples, execution, done }) => {
            let stats = &measured.stats;
            repaired = Some(repair::repair(analysis, &keep, stats, samples, &execution, &mut model, done)?);
        }
        None => model = bare.clone(),
    }
    Ok(CutModel { model, bare, repaired, removed, keep, merged })
}

/// Carries out a plan, repairs what is left and simplifies it.
///
/// `original` is the model as it was read: what the cut is compared with. The analysis is the prepared model's, and
/// [`shorten`] has removed the plan's layers from it.
pub fn execute(
    original: &Model,
    analysis: &Analysis,
    plan: &Plan,
    simplify: &str,
    open: &OpenDims,
    repair: Option<Repair>,
) -> Result<Pruned, PruneError> {
    finish(original, analysis, plan, open, After { simplify, repair, trained: None, sparsify: None })
}

/// The same; and trained weights take the place of a repair, and single weights are set to zero after it.
pub fn finish(
    original: &Model,
    analysis: &Analysis,
    plan: &Plan,
    open: &OpenDims,
    after: After,
) -> Result<Pruned, PruneError> {
    let After { simplify, repair, trained, sparsify } = after;
    let whole = unfolded(original)?;
    let whole_facts = infer::infer(&whole);
    let before = cost::cost(&whole, &whole_facts, open);
    let repair = repair.filter(|_| trained.is_none());
    let CutModel { mut model, mut bare, repaired, mut removed, keep, merged } = cut(analysis, plan, repair)?;
    apply::leave_out_uses(original, &mut removed);
    if let Some(trained) = trained {
        check_shapes(&bare, trained)?;
        model = trained.clone();
    }
    let refitted = repaired.is_some() || trained.is_some();
    let thinned = sparsify.map(|t| sparsity::thin(&mut model, t.options, t.samples)).transpose()?;
    // Weights that took others over are none of the file's either.
    let zeroed = thinned.as_ref().map(|t| sparsity::zeroed(analysis, &keep, &model, t).filter(|_| merged.is_empty()));
    // What was refitted is no more what zeros make of the file; then the proof is about the model before that.
    let mut proved = None;
    if refitted || zeroed == Some(None) {
        slim::simplified(&mut bare, simplify, &before, open)?;
        run_passes(FOLD, &mut bare)?;
        proved = Some(bare);
    }
    let zeroed = zeroed.flatten().filter(|_| proved.is_none()).unwrap_or_default();
    let simplify = slim::simplified(&mut model, simplify, &before, open)?;
    if !plan.is_empty() || thinned.is_some() {
        sign_with(&mut model, plan, sparsify.map(|t| t.options), simplify)?;
    }
    let facts = infer::infer(&model);
    apply::refresh_declarations(&mut model.graph, &facts);
    let (after, groups) = (cost::cost(&model, &facts, open), rows::cut_groups(analysis, plan));
    let calls = calls::report((&whole, &whole_facts), (&model, &facts), open);
    let unrepaired = repaired.as_ref().map_or_else(Vec::new, |r| repair::unrepaired(analysis, &keep, r, open));
    let costs = repaired.as_ref().map(|r| r.costs);
    let repaired = repaired.map_or_else(Vec::new, |r| r.done);
    let lossless = merged.certificates(analysis);
    run_passes(FOLD, &mut model)?;
    let (cut, keep) = (proved, merged.with(analysis, &keep));
    Ok(Pruned {
        model,
        cut,
        repaired,
        costs,
        unrepaired,
        before,
        after,
        calls,
        groups,
        lossless,
        removed,
        keep,
        thinned,
        zeroed,
    })
}

/// Fails where a trained model is not the one that the plan cuts: the proof is about the cut alone.
fn check_shapes(cut: &Model, trained: &Model) -> Result<(), PruneError> {
    for node in cut.graph.constants().into_iter().filter(|&n| trained.graph.contains(n)) {
        let (Some(cut), Some(trained)) = (cut.graph.constant(node), trained.graph.constant(node)) else { continue };
        // How shapes are spelled depends on how many cuts led to them.
        let is_weight = cut.tensor.dtype.is_float();
        if is_weight && cut.name == trained.name && cut.tensor.shape != trained.tensor.shape {
            return Err(PruneError::Trained(cut.name.clone()));
        }
    }
    Ok(())
}

/// Writes into the model's metadata how it was made. What an earlier run wrote there is replaced.
fn sign_with(
    model: &mut Model,
    plan: &Plan,
    sparsify: Option<&sparsity::Options>,
    simplify: &str,
) -> Result<(), PruneError> {
    let choice = plan.budget.split_once(' ');
    let cut = choice.map(|(key, share)| format!("prune-channels{{{key}={share} score={}}}", plan.criterion));
    // A plan may be edited by hand and say anything; what is written must parse.
    let cut = cut.filter(|text| pruning::registry().parse(text).is_ok()).unwrap_or_else(|| "prune-channels".to_owned());
    let cut =
        if plan.budget.parse::<Budget>().is_ok_and(Budget::is_lossless) { "remove-redundant".to_owned() } else { cut };
    let layers = Some(plan.layers.len()).filter(|n| *n > 0).map(|n| format!("remove-layers{{count={n}}}"));
    let cut = Some(cut).filter(|_| !plan.cuts.is_empty());
    let fold = Some(FOLD.to_owned());
    let parts =
        [Some(PREPARE.to_owned()), layers, cut, sparsify.map(ToString::to_string), Some(simplify.to_owned()), fold];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let passes = parts.join(",");
    let entries = [("version", env!("CARGO_PKG_VERSION").to_owned()), ("plan", plan.hash()?), ("passes", passes)];
    model.metadata.retain(|(key, _)| !key.starts_with(SIGNATURE));
    sign(model, &entries);
    Ok(())
}

/// Adds to what a model's metadata tell of how it was made; an empty text says nothing and is left out.
pub fn sign(model: &mut Model, entries: &[(&str, String)]) {
    let told = entries.iter().filter(|(_, value)| !value.is_empty());
    model.metadata.extend(told.map(|(key, value)| (format!("{SIGNATURE}{key}"), value.clone())));
}
