//! Searches: the whole job is done again and again, to find out how far it may go.
//!
//! All of this stands on one thing, a [`Trial`]: a plan is carried out, the result repaired, and run on samples that
//! neither chose nor repaired it. Under a [`Constraint`] the smallest model that satisfies it is looked for
//! ([`smallest`]), or a better allocation of one budget ([`search_allocation`]); a [`sweep`] makes a family of models,
//! and [`folds`] tell how much of it all is chance. What was measured of the model is measured once.
//!
//! # How
//!
//! `src/job/search/` does the whole job again and again. A *trial* is a plan carried out, repaired, and run on samples
//! that neither chose nor repaired it (a held-out *evaluator*, which keeps the original's outputs up to a limit).
//! Scores and statistics are made once (`plan::Ranking`), so a trial costs a choice, a repair and a few runs.
//!
//! - A **constraint** is satisfied by bisection over the share of MACs. Losses need not grow evenly, so of all trials
//!   that satisfied it the smallest counts. What is written is the very model that was evaluated: the samples held out
//!   stay out of it.
//! - A **search** of the allocation multiplies the scores of a few groups by random factors, and fills the budget again
//!   (`tilt`), so every offspring is a plan of the same budget. A Gaussian process over the logarithms of what groups
//!   keep picks, by expected improvement, which of many offspring is tried.
//! - **Rounds** measure and score the model as it is by then: a cut and repaired model that is not simplified has the
//!   nodes of the analyzed one, so a group of it is the group of the original whose units lie at the same places of a
//!   constant. Each round's plan is composed with those before and carried out anew on the original: repairs keep the
//!   original's targets, and the proof needs nothing new.
//! - **Folds** leave out a part of the samples in turn. The agreement is the mean Jaccard index of the units that go.

mod allocation;
mod constraint;
mod folds;
mod rounds;
mod surrogate;
mod sweep;
mod trial;
mod tuning;

pub use allocation::{AllocationSearch, search_allocation};
pub use constraint::{BoundUnit, CONSTRAINTS, ConstrainedSearch, Constraint, ConstraintKind, STEPS, smallest};
pub use folds::{Fold, Folds, Spread, folds};
pub use rounds::{Iterated, Rounds, rounds};
pub use sweep::{POINTS, sweep};
pub use trial::{Evaluator, Metric, Score, Subject, Trial};
pub use tuning::{RoundTrainer, RoundTraining};

use super::monitor::Cancelled;
use crate::compare::CompareError;
use crate::feed::FeedError;
use crate::gradients::GradientError;
use crate::judge::EvalError;
use crate::oracle::OracleError;
use crate::plan::{Budget, ChooseError};
use crate::prune::PruneError;
use crate::stats::StatsError;
use crate::tune::TuneError;
use crate::verify::VerifyError;
use serde::Serialize;

/// What was tried before a model was made, for the report.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SearchReport {
    /// How many samples the trials were evaluated on.
    pub held_out: usize,
    #[serde(rename = "promise", skip_serializing_if = "Option::is_none")]
    pub constraint: Option<ConstrainedSearch>,
    #[serde(rename = "search", skip_serializing_if = "Option::is_none")]
    pub allocation: Option<AllocationSearch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folds: Option<Folds>,
    /// How each round's training went.
    #[serde(rename = "tuned", skip_serializing_if = "Vec::is_empty")]
    pub rounds: Vec<RoundTraining>,
}

impl SearchReport {
    /// The budget that the trials came to, if there were some.
    pub fn budget(&self) -> Option<Budget> {
        let searched = self.allocation.as_ref().map(|s| s.trials[s.best].budget);
        searched.or_else(|| self.constraint.as_ref().and_then(|c| Some(c.trials[c.chosen?].budget)))
    }

    /// How much training there was, as models tell it of themselves.
    pub fn training(&self) -> Option<String> {
        let steps = self.rounds.iter().map(|t| t.steps).sum::<usize>();
        (!self.rounds.is_empty()).then(|| format!("{steps} steps in {} rounds", self.rounds.len()))
    }

    /// Why nothing is cut, if that is what the trials say.
    pub fn violated(&self) -> Option<String> {
        let search = self.constraint.as_ref().filter(|c| c.chosen.is_none())?;
        let mildest = search.trials.iter().max_by_key(|t| t.after.macs);
        Some(match mildest {
            Some(trial) => {
                format!("even the mildest cut violates {}: with {}, {}", search.constraint, trial.budget, trial.score)
            }
            None => format!("no cut satisfies {}: none is small enough", search.constraint),
        })
    }
}

/// Why nothing could be tried.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say what each is.
pub enum SearchError {
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    #[error(transparent)]
    Choose(#[from] ChooseError),
    #[error(transparent)]
    Prune(#[from] PruneError),
    #[error("measuring: {0}")]
    Stats(#[from] StatsError),
    #[error("gradients: {0}")]
    Gradients(#[from] GradientError),
    #[error("the samples held out: {0}")]
    Feed(#[from] FeedError),
    #[error("tuning: {0}")]
    Tune(#[from] Box<TuneError>),
    #[error("running a trial: {0}")]
    Verify(#[from] VerifyError),
    #[error("running a trial: {0}")]
    Oracle(#[from] OracleError),
    #[error("comparing outputs: {0}")]
    Compare(#[from] CompareError),
    #[error("evaluating a trial: {0}")]
    Judge(#[from] EvalError),
    #[error("no samples are left to evaluate on: one in four is held out; give more, or separate ones")]
    NoSamples,
    #[error("the smaller model has a group that the original does not have; plan in one round")]
    Lost,
}
