//! A trial: a plan, carried out and judged.

use super::SearchError;
use crate::analysis::Analysis;
use crate::compare::Comparison;
use crate::cost::{Cost, OpenDims};
use crate::feed::{Feed, FeedError, Samples};
use crate::ir::Model;
use crate::judge::{self, Figure, Judgement, Task};
use crate::oracle::{Outputs, Setup};
use crate::plan::{Budget, Plan};
use crate::prune::{self, Pruned, Repair};
use crate::stats::RunOptions;
use crate::verify::{Role, Series};
use serde::Serialize;
use std::fmt;

/// The model that plans are tried on.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// As it was read.
    pub original: &'a Model,
    /// The prepared model, without the layers that go: what plans speak of.
    pub analysis: &'a Analysis,
    pub open: &'a OpenDims,
    /// The pipeline after the cut.
    pub simplify: &'a str,
    /// What results are repaired by, if they are.
    pub repair: Option<Repair<'a>>,
    /// By what models are run.
    pub execution: RunOptions<'a>,
}

/// What became of a plan.
#[derive(Clone, Debug, Serialize)]
pub struct Trial {
    pub budget: Budget,
    #[serde(flatten)]
    pub after: Cost,
    #[serde(flatten)]
    pub score: Score,
    #[serde(skip)]
    pub plan: Plan,
}

impl Subject<'_> {
    /// Carries a plan out.
    pub fn carried_out(&self, plan: &Plan) -> Result<Pruned, SearchError> {
        Ok(prune::execute(self.original, self.analysis, plan, self.simplify, self.open, self.repair)?)
    }

    /// Carries a plan out and judges the result.
    pub fn tried(&self, budget: Budget, plan: Plan, evaluator: &Evaluator) -> Result<Trial, SearchError> {
        let pruned = self.carried_out(&plan)?;
        Ok(Trial { budget, after: pruned.after, score: evaluator.score(&pruned.model)?, plan })
    }
}

/// How good a model is, beside the original.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Score {
    /// ‖a−b‖ over ‖a‖ of the original's outputs a, for the output where it is largest; of outputs that are no floats
    /// the share that differs.
    pub drift: f64,
    /// By labels, where there are some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<Metric>,
}

/// The figure that matters most, by labels.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Metric {
    pub name: &'static str,
    pub before: f64,
    pub after: f64,
    /// What was lost: of a share its points, of an error by how much it grew, as a share of what it was.
    pub drop: f64,
}

/// What the drift counts beside a metric: it decides between models that are equally right.
const TIE: f64 = 0.01;

impl Score {
    /// What to keep low: the drop by labels, else the drift.
    pub fn loss(&self) -> f64 {
        match &self.metric {
            Some(m) => m.drop + TIE * self.drift.min(1.0),
            None => self.drift,
        }
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "the drift is {:.4}", self.drift)?;
        self.metric.as_ref().map_or(Ok(()), |m| write!(f, ", {} {:.4} instead of {:.4}", m.name, m.after, m.before))
    }
}

impl Metric {
    fn new(before: Figure, after: Figure) -> Metric {
        // Shares are of what is right; all other figures that come first are errors.
        let drop = match before.share {
            true => before.value - after.value,
            false => (after.value - before.value) / before.value.abs().max(f64::MIN_POSITIVE),
        };
        Metric { name: before.name, before: before.value, after: after.value, drop }
    }
}

/// Samples that had no part in a plan, and what the original makes of them.
pub struct Evaluator<'a> {
    samples: &'a Samples,
    original: &'a Model,
    /// What runs the models.
    setup: &'a Setup,
    /// The original's outputs of the first feeds; beyond [`REMEMBERED`] they are computed again.
    known: Vec<Outputs>,
    /// What the model is for, and how good the original is at it.
    by_labels: Option<(judge::Options, Judgement)>,
}

/// How many samples are run at a time.
const BATCH: usize = 16;

/// How many bytes of outputs are kept at most.
const REMEMBERED: usize = 1 << 27;

impl Evaluator<'_> {
    /// Runs the original on samples. With a task, models are judged by the samples' labels too.
    pub fn new<'a>(
        original: &'a Model,
        samples: &'a Samples,
        task: Option<Task>,
        setup: &'a Setup,
    ) -> Result<Evaluator<'a>, SearchError> {
        if samples.is_empty() {
            return Err(SearchError::NoSamples);
        }
        let (mut known, mut bytes) = (vec![], 0);
        let mut series = Series::new(setup, original, Role::Original);
        'all: for feeds in portions(samples, series.at_once()) {
            for outputs in series.run(&feeds?)? {
                bytes += outputs.iter().map(|(_, t)| t.byte_len()).sum::<usize>();
                if bytes > REMEMBERED {
                    break 'all;
                }
                known.push(outputs);
            }
        }
        let by_labels = match task {
            Some(task) => {
                let options = judge::Options { task, output: None, batch: BATCH, setup: setup.clone() };
                let judgement = judge::evaluate(original, samples, &options, &|_| ())?;
                Some((options, judgement))
            }
            None => None,
        };
        Ok(Evaluator { samples, original, setup, known, by_labels })
    }

    /// How many samples there are.
    pub fn count(&self) -> usize {
        self.samples.len()
    }

    /// How good a model is, which has the original's inputs and outputs.
    pub fn score(&self, model: &Model) -> Result<Score, SearchError> {
        let mut comparison = Comparison::default();
        let mut before = Series::new(self.setup, self.original, Role::Original);
        let mut after = Series::new(self.setup, model, Role::Pruned);
        let mut known = self.known.iter();
        for feeds in portions(self.samples, after.at_once()) {
            let feeds = feeds?;
            for (feed, outputs) in feeds.iter().zip(after.run(&feeds)?) {
                match known.next() {
                    Some(known) => comparison.add(known, &outputs)?,
                    None => comparison.add(&before.run(std::slice::from_ref(feed))?.remove(0), &outputs)?,
                }
            }
        }
        let drift = comparison.finish().drift();
        let metric = match &self.by_labels {
            Some((options, before)) => {
                let after = judge::evaluate(model, self.samples, options, &|_| ())?;
                Some(Metric::new(before.figures()[0], after.figures()[0]))
            }
            None => None,
        };
        Ok(Score { drift, metric })
    }
}

/// The feeds of samples, so many at a time.
fn portions(samples: &Samples, count: usize) -> impl Iterator<Item = Result<Vec<Feed>, FeedError>> {
    let mut feeds = samples.feeds(BATCH);
    std::iter::from_fn(move || {
        let portion: Result<Vec<Feed>, FeedError> = feeds.by_ref().take(count.max(1)).collect();
        (!matches!(&portion, Ok(feeds) if feeds.is_empty())).then_some(portion)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_metric_lost() {
        let figure = |value, share| Figure { name: "f", value, share };
        assert_eq!(Metric::new(figure(0.75, true), figure(0.5, true)).drop, 0.25);
        assert_eq!(Metric::new(figure(2.0, false), figure(3.0, false)).drop, 0.5);
        let score = |drop, drift| {
            let metric = Metric { name: "f", before: 0.0, after: 0.0, drop };
            Score { drift, metric: Some(metric) }.loss()
        };
        assert!(score(0.1, 0.5) < score(0.1, 0.9) && score(0.1, f64::INFINITY) < score(0.2, 0.0));
    }
}
