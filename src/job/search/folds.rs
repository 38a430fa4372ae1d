//! Folds: is what was chosen a matter of the samples?
//!
//! The samples fall into parts. Each part in turn is left out: units are chosen and what is left is repaired by all
//! others, and the result is judged on the part that is left out. If the figures differ much, or different units go
//! each time, there are too few samples for what is asked of them.

use super::{Evaluator, SearchError, Subject, Trial};
use crate::feed;
use crate::gradients::Gradients;
use crate::judge::Task;
use crate::plan::{self, Options, Plan};
use crate::prune::Repair;
use crate::stats::{Batches, Measured};
use serde::Serialize;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What became of all folds.
#[derive(Clone, Debug, Serialize)]
pub struct Folds {
    pub folds: Vec<Fold>,
    /// The figures over the folds.
    pub spread: Vec<Spread>,
    /// How far the folds agree on the units that go: the mean over pairs of folds of the share of units that both
    /// remove among those that either does (Jaccard).
    pub agreement: f64,
}

/// One part of the samples left out.
#[derive(Clone, Debug, Serialize)]
pub struct Fold {
    /// How many samples were left out.
    pub samples: usize,
    #[serde(flatten)]
    pub trial: Trial,
}

/// A figure over all folds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spread {
    pub name: &'static str,
    pub mean: f64,
    /// The standard deviation, of a sample.
    pub deviation: f64,
}

/// How many samples are measured at a time.
const BATCH: usize = 8;

/// Chooses and judges once for each of `count` parts of the samples. `options` say how, with nothing measured yet; a
/// repair there is if `repairs`. `done` is told of every fold.
pub fn folds(
    subject: &Subject,
    options: &Options,
    samples: &feed::Samples,
    (count, repairs): (usize, bool),
    task: Option<Task>,
    done: &dyn Fn(),
) -> Result<Folds, SearchError> {
    let mut folds = vec![];
    for k in 0..count {
        let (rest, left_out) = samples.fold(k, count);
        if rest.is_empty() || left_out.is_empty() {
            return Err(SearchError::NoSamples);
        }
        let batches = Batches { samples: rest, batch: BATCH };
        let measured = Arc::new(Measured::new(subject.analysis, &batches, &subject.execution, &|| ())?);
        let gradients = Gradients::wanted(
            options.criterion.wants(),
            subject.analysis,
            Some(&batches),
            options.seed,
            options.device,
            &|| (),
        )?;
        let options = Options { measured: Some(measured.clone()), gradients, ..options.clone() };
        let plan = plan::choose(subject.analysis, &options)?;
        let (measured, samples, execution) = (&*measured, &batches, subject.execution);
        let repair = repairs.then_some(Repair { measured, samples, execution, done: &|| () });
        let evaluator = Evaluator::new(subject.original, &left_out, task, execution.setup)?;
        let trial = Subject { repair, ..*subject }.tried(options.budget, plan, &evaluator)?;
        folds.push(Fold { samples: left_out.len(), trial });
        done();
    }
    let plans: Vec<&Plan> = folds.iter().map(|f| &f.trial.plan).collect();
    Ok(Folds { spread: spreads(&folds), agreement: agreement(&plans), folds })
}

fn spreads(folds: &[Fold]) -> Vec<Spread> {
    let drifts = folds.iter().map(|f| f.trial.score.drift).collect::<Vec<_>>();
    let mut spreads = vec![Spread::new("drift", &drifts)];
    let metrics: Vec<_> = folds.iter().filter_map(|f| f.trial.score.metric.as_ref()).collect();
    if let Some(first) = metrics.first() {
        spreads.push(Spread::new(first.name, &metrics.iter().map(|m| m.after).collect::<Vec<_>>()));
        spreads.push(Spread::new("drop", &metrics.iter().map(|m| m.drop).collect::<Vec<_>>()));
    }
    spreads
}

impl Spread {
    /// The mean and the deviation of numbers.
    pub fn new(name: &'static str, numbers: &[f64]) -> Spread {
        let n = numbers.len() as f64;
        let mean = numbers.iter().sum::<f64>() / n.max(1.0);
        let squares: f64 = numbers.iter().map(|x| (x - mean).powi(2)).sum();
        Spread { name, mean, deviation: (squares / (n - 1.0).max(1.0)).sqrt() }
    }
}

fn agreement(plans: &[&Plan]) -> f64 {
    let units = |plan: &&Plan| {
        let cuts = plan.cuts.iter().flat_map(|c| c.remove.iter().map(|&u| (c.group.clone(), u)));
        cuts.collect::<BTreeSet<(String, usize)>>()
    };
    let sets: Vec<_> = plans.iter().map(units).collect();
    let mut shares = vec![];
    for (i, a) in sets.iter().enumerate() {
        for b in &sets[..i] {
            let either = a.union(b).count();
            shares.push(if either == 0 { 1.0 } else { a.intersection(b).count() as f64 / either as f64 });
        }
    }
    if shares.is_empty() { 1.0 } else { shares.iter().sum::<f64>() / shares.len() as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::GroupCut;

    #[test]
    fn agreement_is_the_share_of_common_units() {
        let plan = |remove: &[usize]| {
            let cut = GroupCut { group: "c0".into(), units: 9, remove: remove.to_vec(), places: vec![] };
            let (architecture, criterion, budget) = Default::default();
            Plan {
                version: 1,
                architecture,
                criterion,
                budget,
                options: String::new(),
                lossless: None,
                layers: vec![],
                cuts: vec![cut],
            }
        };
        let (a, b, c) = (plan(&[0, 1]), plan(&[1, 2]), plan(&[0, 1]));
        assert_eq!(agreement(&[&a, &c]), 1.0);
        assert!((agreement(&[&a, &b, &c]) - (1.0 / 3.0 + 1.0 / 3.0 + 1.0) / 3.0).abs() < 1e-12);
        assert_eq!((agreement(&[&a]), agreement(&[&plan(&[]), &plan(&[])])), (1.0, 1.0));
    }

    #[test]
    fn means_and_deviations() {
        let spread = Spread::new("x", &[1.0, 2.0, 3.0]);
        assert_eq!((spread.mean, spread.deviation), (2.0, 1.0));
        assert_eq!(Spread::new("x", &[4.0]).deviation, 0.0);
    }
}
