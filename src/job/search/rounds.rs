//! Rounds: a budget reached in several steps, with statistics measured anew at each.
//!
//! Without training the share that is kept goes down geometrically. After each round the plan so far is carried out and
//! repaired, on the original and with its statistics as targets, so that errors of early repairs do not add up. The
//! next round measures and scores that smaller model. What it takes out is told in units of the original (the sets of
//! kept units are composed), so what comes out is a plan like any other, and the proof covers all of it.
//!
//! With training ([`RoundTrainer`]) the weights of each round are those that the last one learned, and the cuts are
//! large at first and small in the end (Zhu and Gupta 2017), when little is left to learn with.

use super::tuning::{RoundTrainer, RoundTraining};
use super::{SearchError, Subject};
use crate::analysis::Analysis;
use crate::axes::places;
use crate::axes::{Group, GroupId, KeepSets, Kept, Var};
use crate::cost;
use crate::gradients::Gradients;
use crate::ir::Model;
use crate::plan::{self, Budget, GroupCut, Options, Plan};
use crate::prune::{self, Repair};
use crate::stats::{Measured, Samples};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How a budget is come down to.
pub struct Rounds<'a> {
    /// How many there are.
    pub count: usize,
    /// What later rounds measure on, if their criterion or repair asks for it.
    pub samples: Option<&'a dyn Samples>,
    /// The training after each.
    pub tuning: Option<&'a RoundTrainer<'a>>,
    /// Told of every feed that is measured.
    pub done: &'a dyn Fn(),
}

/// What rounds come to.
pub struct Iterated {
    /// All that goes, as a plan for the original.
    pub plan: Plan,
    /// The prepared model that the last training left, and how each training went.
    pub trained: Option<Model>,
    pub rounds: Vec<RoundTraining>,
}

/// The plan for a budget in rounds. `options` have what was measured of the whole model.
pub fn rounds(subject: &Subject, options: &Options, budget: Budget, how: &Rounds) -> Result<Iterated, SearchError> {
    let analysis = subject.analysis;
    let whole = cost::cost(&analysis.model, &analysis.facts, subject.open);
    // Units that go without loss are taken over once, in the end.
    let lossless = options.lossless.clone();
    let mut options = Options { whole: options.whole.clone().or(Some(whole)), lossless: None, ..options.clone() };
    let (mut plan, mut tuned): (Option<Plan>, Vec<RoundTraining>) = (None, vec![]);
    let mut smaller: Option<Analysis> = None;
    for round in 1..=how.count.max(1) {
        let now = smaller.as_ref().unwrap_or(analysis);
        if round > 1 {
            how.measure(now, subject, &mut options)?;
        }
        let next = plan::choose(now, &how.step(round, budget, &options))?;
        let all = match &plan {
            Some(plan) => composed(analysis, plan, now, &next)?,
            None => next.clone(),
        };
        if let Some(tuning) = how.tuning {
            let model = prune::cut(now, &next, how.repair(subject, &options))?.model;
            let (model, training) = tuning.train(round, model)?;
            tuned.push(training);
            smaller = Some(Analysis::new(model));
        } else if round < how.count {
            smaller = Some(Analysis::new(prune::cut(analysis, &all, subject.repair)?.model));
        }
        plan = Some(all);
    }
    let plan = plan.expect("there is a first round");
    let trained = smaller.filter(|_| how.tuning.is_some()).map(|a| a.model);
    Ok(Iterated { plan: Plan { budget: budget.to_string(), lossless, ..plan }, trained, rounds: tuned })
}

/// How the share that is left goes down.
#[derive(Clone, Copy)]
struct Pace {
    rounds: usize,
    /// Fast at first and slow in the end, rather than by the same factor.
    cubic: bool,
}

impl Pace {
    /// The share that is left after a round, where this one is left in the end.
    fn left(self, share: f64, round: usize) -> f64 {
        let part = round as f64 / self.rounds as f64;
        if self.cubic { share + (1.0 - share) * (1.0 - part).powi(3) } else { share.powf(part) }
    }

    /// The same as a share of what the round begins with.
    fn left_of_last(self, share: f64, round: usize) -> f64 {
        if self.cubic { self.left(share, round) / self.left(share, round - 1) } else { self.left(share, 1) }
    }
}

impl Rounds<'_> {
    fn pace(&self) -> Pace {
        Pace { rounds: self.count.max(1), cubic: self.tuning.is_some() }
    }

    /// What a round chooses by.
    fn step(&self, round: usize, budget: Budget, options: &Options) -> Options {
        let pace = self.pace();
        let budget = match budget.ratio_of_groups() {
            Some(ratio) => budget.with_share(1.0 - pace.left_of_last(1.0 - ratio, round)),
            None => budget.with_share(pace.left(budget.share().unwrap_or(1.0), round)),
        };
        // A group may lose as much in all as it may in one round.
        let max_ratio = 1.0 - pace.left_of_last(1.0 - options.max_ratio, round);
        let rules = options.rules.iter().map(|r| r.with_left(|share| pace.left_of_last(share, round))).collect();
        Options { budget, max_ratio, rules, ..options.clone() }
    }

    /// Measures what is left, as far as the next round asks for that.
    fn measure(&self, now: &Analysis, subject: &Subject, options: &mut Options) -> Result<(), SearchError> {
        let refits = self.tuning.is_some() && subject.repair.is_some();
        if let Some(samples) = self.samples.filter(|_| refits || options.criterion.needs_data()) {
            options.measured = Some(Arc::new(Measured::new(now, samples, &subject.execution, self.done)?));
        }
        options.gradients =
            Gradients::wanted(options.criterion.wants(), now, self.samples, options.seed, options.device, self.done)?;
        Ok(())
    }

    /// What the cut of a round before its training is repaired by.
    fn repair<'a>(&'a self, subject: &Subject<'a>, options: &'a Options) -> Option<Repair<'a>> {
        let (measured, samples) = (options.measured.as_deref()?, self.samples?);
        let (execution, done) = (subject.execution, self.done);
        subject.repair.map(|_| Repair { measured, samples, execution, done })
    }
}

/// A plan and a second one for what the first leaves, as one plan for the original.
fn composed(original: &Analysis, first: &Plan, now: &Analysis, second: &Plan) -> Result<Plan, SearchError> {
    let keep = first.keep_sets(original).map_err(prune::PruneError::Plan)?;
    let mut gone: BTreeMap<GroupId, Vec<usize>> = BTreeMap::new();
    for cut in &first.cuts {
        let group = original.groups.named(&cut.group).ok_or(SearchError::Lost)?;
        gone.insert(group.id, cut.remove.clone());
    }
    let whole = Whole { original, keep, now };
    for cut in &second.cuts {
        let smaller = now.groups.named(&cut.group).ok_or(SearchError::Lost)?;
        let (group, left) = whole.of(smaller).ok_or(SearchError::Lost)?;
        let all = gone.entry(group.id).or_default();
        all.extend(cut.remove.iter().map(|&unit| left[unit]));
        all.sort_unstable();
    }
    let cuts = gone.into_iter().map(|(id, remove)| {
        let group = original.groups.get(id);
        GroupCut { group: id.to_string(), units: group.size, remove, places: places(&original.model, group) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_are_large_at_first_where_there_is_training() {
        let [even, cubic] = [false, true].map(|cubic| Pace { rounds: 4, cubic });
        let shares = |pace: Pace| [0, 1, 2, 3, 4].map(|round| (pace.left(0.0625, round) * 1e4).round() / 1e4);
        assert_eq!(shares(even), [1.0, 0.5, 0.25, 0.125, 0.0625]);
        assert_eq!(shares(cubic), [1.0, 0.458, 0.1797, 0.0771, 0.0625]);
        for pace in [even, cubic] {
            let product: f64 = (1..=4).map(|round| pace.left_of_last(0.3, round)).product();
            assert!((product - 0.3).abs() < 1e-12, "{product}");
        }
    }
}
