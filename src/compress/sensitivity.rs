//! Sensitivity: how much a model's outputs change when units of one group go, and nothing else.
//!
//! The model is cut and run; by the masked equivalence that is the model with the units' weights at zero, only faster.

use crate::analysis::Analysis;
use crate::apply::{self, ApplyError};
use crate::axes::{Group, KeepSets};
use crate::compare::{CompareError, Comparison, largest};
use crate::feed::Feed;
use crate::ir::Model;
use crate::oracle::{OracleError, Outputs, Runner, Setup};
use crate::passes;
use crate::save::{self, SaveError};
use crate::widen::{widened, widened_feed};

/// The shares of a group's units that are tried.
pub(crate) const RATIOS: [f64; 5] = [0.1, 0.25, 0.5, 0.75, 0.9];

/// A model that is cut in one way and another, to see what becomes of its outputs.
pub(crate) struct Ablation<'a> {
    analysis: &'a Analysis,
    feeds: &'a [Feed],
    /// What runs the models.
    setup: &'a Setup,
    /// What the whole model computes, feed by feed.
    outputs: Vec<Outputs>,
}

/// Why nothing was tried.
#[derive(Debug, thiserror::Error)]
pub enum AblationError {
    #[error("running the model on samples: {0}")]
    Oracle(#[from] OracleError),
    #[error("encoding the model: {0}")]
    Save(#[from] SaveError),
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error("comparing outputs: {0}")]
    Compare(#[from] CompareError),
}

impl Ablation<'_> {
    /// Runs the model on the feeds, which are of one signature.
    pub(crate) fn new<'a>(
        analysis: &'a Analysis,
        feeds: &'a [Feed],
        setup: &'a Setup,
    ) -> Result<Ablation<'a>, AblationError> {
        Ok(Ablation { analysis, feeds, setup, outputs: run(&analysis.model, feeds, setup)? })
    }

    /// ‖a−b‖ over ‖a‖ of the outputs a and those without these units, for the output where it is largest.
    pub(crate) fn without(&self, group: &Group, units: &[usize]) -> Result<f64, AblationError> {
        let mut keep = KeepSets::default();
        keep.keep(group.leaf, (0..group.size).filter(|u| !units.contains(u)).collect());
        let cut = apply::apply(self.analysis, &keep)?.model;
        let mut comparison = Comparison::default();
        for (before, after) in self.outputs.iter().zip(run(&cut, self.feeds, self.setup)?) {
            comparison.add(before, &after)?;
        }
        let outputs = comparison.finish().outputs;
        Ok(largest(outputs.iter().filter(|o| o.differing.is_none()).map(|o| o.relative_l2)))
    }
}

fn run(model: &Model, feeds: &[Feed], setup: &Setup) -> Result<Vec<Outputs>, AblationError> {
    let Some(first) = feeds.first() else { return Ok(vec![]) };
    // If its bodies can't be closed, saving says so.
    let whole = passes::closed(model).unwrap_or_else(|_| model.clone());
    let bytes = save::to_bytes(&widened(&whole))?;
    let runner = Runner::on(setup, &bytes, None, &widened_feed(first).signature())?;
    let feeds: Vec<Feed> = feeds.iter().map(|feed| widened_feed(feed).into_owned()).collect();
    Ok(runner.run_all(&feeds)?)
}

/// What becomes of the outputs as a group loses units, those with the lowest scores first: pairs of the share that is
/// gone and the error. Shares that the group can't lose are left out.
pub(crate) fn curve(ablation: &Ablation, group: &Group, scores: &[f64]) -> Result<Vec<(f64, f64)>, AblationError> {
    let order = ascending(scores);
    let most = group.size - group.floor.clamp(1, group.size);
    let mut points = vec![];
    let mut last = 0;
    for ratio in RATIOS {
        let count = (ratio * group.size as f64).round() as usize;
        if count > last && count <= most {
            points.push((count as f64 / group.size as f64, ablation.without(group, &order[..count])?));
            last = count;
        }
    }
    Ok(points)
}

/// The units, those with the lowest scores first.
pub(crate) fn ascending(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(a.cmp(&b)));
    order
}
