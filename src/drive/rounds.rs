//! Rounds: a budget reached in several steps, with statistics measured anew at each.
//!
//! The share that is kept goes down geometrically. After each round the plan so far is carried out and repaired, on the
//! original and with its statistics as targets, so that errors of early repairs do not add up. The next round measures
//! and scores that smaller model. What it takes out is told in units of the original (the sets of kept units are
//! composed), so what comes out is a plan like any other, and the proof covers all of it.

use super::{DriveError, Subject};
use crate::analysis::Analysis;
use crate::axes::{Group, Kept};
use crate::cost;
use crate::ir::ValueId;
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
    let mut options = Options { whole: options.whole.clone().or(Some(whole)), max_ratio, ..options.clone() };
    let step = |round: usize| match budget {
        Budget::Ratio(ratio) => Budget::Ratio(1.0 - (1.0 - ratio).powf(part)),
        _ => budget.with_share(budget.share().unwrap_or(1.0).powf(part * round as f64)),
    };
    let mut plan = plan::choose(analysis, &Options { budget: step(1), ..options.clone() })?;
    for round in 2..=count {
        let now = Analysis::new(prune::cut(analysis, &plan, macs, subject.repair)?.model);
        if let Some(samples) = samples.filter(|_| options.measured.is_some()) {
            options.measured = Some(Arc::new(Measured::new(&now, samples, done)?));
        }
        let next = plan::choose(&now, &Options { budget: step(round), ..options.clone() })?;
        plan = composed(analysis, &plan, &now, &next)?;
    }
    Ok(Plan { budget: budget.to_string(), ..plan })
}

/// A plan and a second one for what the first leaves, as one plan for the original.
fn composed(original: &Analysis, first: &Plan, now: &Analysis, second: &Plan) -> Result<Plan, DriveError> {
    let keep = first.keep_sets(original).map_err(prune::PruneError::Plan)?;
    let mut gone: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for cut in &first.cuts {
        let group = original.groups.named(&cut.group).ok_or(DriveError::Lost)?;
        gone.insert(group.id.0, cut.remove.clone());
    }
    for cut in &second.cuts {
        let smaller = now.groups.named(&cut.group).ok_or(DriveError::Lost)?;
        let elements = |v: ValueId, axis: usize| {
            let var = *original.axes.of(v)?.get(axis)?;
            Some((
                var,
                match keep.of(&original.axes, var) {
                    Kept::All => None,
                    Kept::Some(kept) => Some(kept),
                    Kept::Open => return None,
                },
            ))
        };
        let found = smaller.members.iter().find_map(|m| {
            let (var, kept) = elements(m.constant, m.axis)?;
            let units = now.axes.units_of(*now.axes.of(m.constant)?.get(m.axis)?, smaller.leaf);
            original.axes.solver().leaves(var).into_iter().find_map(|leaf| {
                let group = original.groups.of_leaf(leaf)?;
                let left = left(group, gone.get(&group.id.0));
                let all = original.axes.units_of(var, leaf);
                let kept = kept.clone().unwrap_or_else(|| (0..all.len()).collect());
                let same = kept.len() == units.len()
                    && kept.iter().zip(&units).all(|(&e, now)| all[e] == now.map(|u| left[u as usize] as u32));
                (same && left.len() == smaller.size).then_some((group, left))
            })
        });
        let (group, left) = found.ok_or(DriveError::Lost)?;
        let all = gone.entry(group.id.0).or_default();
        all.extend(cut.remove.iter().map(|&u| left[u]));
        all.sort_unstable();
    }
    let cuts = gone.into_iter().map(|(id, remove)| {
        let group = original.groups.get(crate::axes::GroupId(id));
        Cut { group: group.id.to_string(), units: group.size, remove, places: places(&original.model, group) }
    });
    Ok(Plan { cuts: cuts.collect(), ..first.clone() })
}

/// The units of a group that are not gone.
fn left(group: &Group, gone: Option<&Vec<usize>>) -> Vec<usize> {
    (0..group.size).filter(|u| !gone.is_some_and(|g| g.contains(u))).collect()
}
