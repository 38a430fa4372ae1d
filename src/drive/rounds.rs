//! Rounds: a budget reached in several steps, with statistics measured anew at each.
//!
//! The share that is kept goes down geometrically. After each round the plan so far is carried out and repaired, on the
//! original and with its statistics as targets, so that errors of early repairs do not add up. The next round measures
//! and scores that smaller model. What it takes out is told in units of the original (the sets of kept units are
//! composed), so what comes out is a plan like any other, and the proof covers all of it.

use super::{DriveError, Subject};
use crate::analysis::Analysis;
use crate::axes::{Group, GroupId, KeepSets, Kept, Var};
use crate::cost;
use crate::gradients::Gradients;
use crate::plan::{self, Budget, Cut, Options, Plan, places};
use crate::prune;
use crate::stats::{Measured, Samples};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The plan for a budget in `count` rounds. `options` have what was measured of the whole model; `samples` are what the
/// later rounds measure on, if their criterion asks for it, and `done` is told of every feed.
pub fn rounds(
    subject: &Subject,
    options: &Options,
    budget: Budget,
    count: usize,
    samples: Option<&dyn Samples>,
    done: &dyn Fn(),
) -> Result<Plan, DriveError> {
    let analysis = subject.analysis;
    let whole = cost::cost(&analysis.model, &analysis.facts, subject.open);
    let macs = whole.macs;
    let part = 1.0 / count.max(1) as f64;
    // A group may lose as much in all as it may in one round.
    let max_ratio = 1.0 - (1.0 - options.max_ratio).powf(part);
    // Units that go without loss are taken over once, in the end.
    let lossless = options.lossless.clone();
    let mut options =
        Options { whole: options.whole.clone().or(Some(whole)), max_ratio, lossless: None, ..options.clone() };
    let step = |round: usize| match budget {
        Budget::Ratio(ratio) => Budget::Ratio(1.0 - (1.0 - ratio).powf(part)),
        _ => budget.with_share(budget.share().unwrap_or(1.0).powf(part * round as f64)),
    };
    let mut plan = plan::choose(analysis, &Options { budget: step(1), ..options.clone() })?;
    for round in 2..=count {
        let now = Analysis::new(prune::cut(analysis, &plan, macs, subject.repair)?.model);
        if let Some(samples) = samples.filter(|_| options.criterion.needs_data()) {
            options.measured = Some(Arc::new(Measured::new(&now, samples, done)?));
        }
        options.gradients = Gradients::wanted(&options.criterion, &now, samples, options.seed, done)?;
        let next = plan::choose(&now, &Options { budget: step(round), ..options.clone() })?;
        plan = composed(analysis, &plan, &now, &next)?;
    }
    Ok(Plan { budget: budget.to_string(), lossless, ..plan })
}

/// A plan and a second one for what the first leaves, as one plan for the original.
fn composed(original: &Analysis, first: &Plan, now: &Analysis, second: &Plan) -> Result<Plan, DriveError> {
    let keep = first.keep_sets(original).map_err(prune::PruneError::Plan)?;
    let mut gone: BTreeMap<GroupId, Vec<usize>> = BTreeMap::new();
    for cut in &first.cuts {
        let group = original.groups.named(&cut.group).ok_or(DriveError::Lost)?;
        gone.insert(group.id, cut.remove.clone());
    }
    let whole = Whole { original, keep, now };
    for cut in &second.cuts {
        let smaller = now.groups.named(&cut.group).ok_or(DriveError::Lost)?;
        let (group, left) = whole.of(smaller).ok_or(DriveError::Lost)?;
        let all = gone.entry(group.id).or_default();
        all.extend(cut.remove.iter().map(|&unit| left[unit]));
        all.sort_unstable();
    }
    let cuts = gone.into_iter().map(|(id, remove)| {
        let group = original.groups.get(id);
        Cut { group: id.to_string(), units: group.size, remove, places: places(&original.model, group) }
    });
    Ok(Plan { cuts: cuts.collect(), ..first.clone() })
}

/// What is known of a model before a cut and after it.
struct Whole<'a> {
    original: &'a Analysis,
    /// What stayed.
    keep: KeepSets,
    now: &'a Analysis,
}

impl Whole<'_> {
    /// The group that a group of the smaller model was, and its units that stayed: the units of both lie at the same
    /// places of a constant.
    fn of(&self, smaller: &Group) -> Option<(&Group, Vec<usize>)> {
        smaller.members.iter().find_map(|member| {
            let axis = |analysis: &Analysis| analysis.axes.of(member.constant)?.get(member.axis).copied();
            let (before, after) = (axis(self.original)?, axis(self.now)?);
            let units = self.now.axes.units_of(after, smaller.leaf);
            let leaves = self.original.axes.solver().leaves(before);
            // What must stay was not cut, whatever its units look like by now.
            let free = |leaf: Var| self.original.groups.of_leaf(leaf).filter(|g| g.is_free());
            let was = |leaf: Var| free(leaf).filter(|_| self.units_left(before, leaf) == units);
            let group = leaves.into_iter().find_map(was)?;
            Some((group, self.left(group.leaf)?))
        })
    }

    /// The units of a leaf that stayed; `None` where their number is open.
    fn left(&self, leaf: Var) -> Option<Vec<usize>> {
        let size = self.original.axes.solver().size(leaf).size()?;
        match self.keep.of(&self.original.axes, leaf) {
            Kept::All => Some((0..size).collect()),
            Kept::Some(units) => Some(units),
            Kept::Open => None,
        }
    }

    /// For each index of an axis that stayed the unit of this leaf, counted among those that stayed.
    fn units_left(&self, axis: Var, leaf: Var) -> Vec<Option<u32>> {
        let axes = &self.original.axes;
        let all = axes.units_of(axis, leaf);
        let left = self.left(leaf).unwrap_or_default();
        let rank = |unit: u32| left.binary_search(&(unit as usize)).ok().map(|rank| rank as u32);
        match self.keep.of(axes, axis) {
            Kept::All => all,
            Kept::Some(kept) => kept.into_iter().map(|i| all[i].and_then(rank)).collect(),
            Kept::Open => vec![],
        }
    }
}
