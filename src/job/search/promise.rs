//! Promises: the smallest model that is no worse than this.
//!
//! The share of the multiply-accumulates is halved down to, with a trial for each step. What is promised is measured on
//! samples that had no part in the choice or the repair, and holds for the very model that is returned. Errors need not
//! grow evenly with what goes, so of all trials the smallest that kept the promise counts.

use super::{DriveError, Trial};
use crate::plan::{Budget, ChooseError, Plan};
use serde::Serialize;
use std::fmt;

/// What a model must not lose more of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Promise {
    /// The outputs' relative distance (L2) from the original's.
    Drift(f64),
    /// The metric, by labels: points of a share, or the growth of an error.
    Drop(f64),
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Promise::Drift(x) => write!(f, "max-drift {x}"),
            Promise::Drop(x) => write!(f, "max-drop {}%", x * 100.0),
        }
    }
}

impl Promise {
    /// Whether a trial keeps it.
    pub fn is_kept(&self, trial: &Trial) -> bool {
        match self {
            Promise::Drift(most) => trial.score.drift <= *most,
            Promise::Drop(most) => trial.score.metric.as_ref().is_some_and(|m| m.drop <= *most),
        }
    }
}

/// What became of a promise.
#[derive(Clone, Debug, Serialize)]
pub struct Kept {
    /// What was promised, as the command line says it.
    pub promised: String,
    pub trials: Vec<Trial>,
    /// The trial whose model is the smallest that keeps the promise; `None` where the gentlest cut breaks it.
    pub chosen: Option<usize>,
}

/// How often the range of shares is halved: what is found is less than a hundredth of the model from the limit.
pub const STEPS: usize = 7;

/// Looks for the smallest model that keeps a promise. `plan` makes the plan for a budget and `tried` judges it; `done`
/// is told of every step.
pub fn keep(
    promise: Promise,
    plan: &dyn Fn(Budget) -> Result<Plan, DriveError>,
    tried: &dyn Fn(Budget, Plan) -> Result<Trial, DriveError>,
    done: &dyn Fn(),
) -> Result<Kept, DriveError> {
    let (mut low, mut high) = (0.0, 1.0);
    let mut trials: Vec<Trial> = vec![];
    let mut chosen: Option<usize> = None;
    for _ in 0..STEPS {
        let share = (low + high) / 2.0;
        let budget = Budget::Macs(share);
        let kept = match plan(budget) {
            // Units are too coarse for so little: nothing goes, and nothing is lost.
            Ok(plan) if plan.is_empty() => true,
            Ok(plan) => {
                let trial = tried(budget, plan)?;
                let kept = promise.is_kept(&trial);
                if kept && chosen.is_none_or(|c| trial.after.macs < trials[c].after.macs) {
                    chosen = Some(trials.len());
                }
                trials.push(trial);
                kept
            }
            // There is no such model.
            Err(DriveError::Choose(ChooseError::Unreachable { .. })) => false,
            Err(other) => return Err(other),
        };
        *(if kept { &mut high } else { &mut low }) = share;
        done();
    }
    Ok(Kept { promised: promise.to_string(), trials, chosen })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::Cost;
    use crate::job::search::Score;
    use proptest::prelude::*;

    fn plan(budget: Budget) -> Plan {
        let cut = crate::plan::Cut { group: "c0".into(), units: 2, remove: vec![0], places: vec![] };
        let (architecture, criterion) = (String::new(), String::new());
        Plan {
            version: 1,
            architecture,
            criterion,
            budget: budget.to_string(),
            options: String::new(),
            lossless: None,
            layers: vec![],
            cuts: vec![cut],
        }
    }

    /// Models of 1000 operations; what goes is what they drift, and less than `floor` can't be left.
    fn found(most: f64, floor: f64) -> Kept {
        let tried = |budget: Budget, plan| {
            let share = budget.share().unwrap();
            let after = Cost { macs: (1000.0 * share) as u64, ..Cost::default() };
            Ok(Trial { budget, after, score: Score { drift: 1.0 - share, metric: None }, plan })
        };
        let make = |budget| match budget {
            Budget::Macs(x) if x < floor => {
                Err(ChooseError::Unreachable { asked: budget, floor: 100.0 * floor }.into())
            }
            budget => Ok(plan(budget)),
        };
        keep(Promise::Drift(most), &make, &tried, &|| ()).unwrap()
    }

    proptest! {
        #[test]
        fn the_smallest_model_that_keeps_it(most in 0.01..0.99f64, floor in 0.0..0.5f64) {
            let kept = found(most, floor);
            let share = kept.trials[kept.chosen.unwrap()].after.macs as f64 / 1000.0;
            let limit = (1.0 - most).max(floor);
            prop_assert!(share >= limit - 0.001 && share <= limit + 0.01, "{} {}", share, limit);
        }
    }

    #[test]
    fn a_promise_that_nothing_keeps() {
        let kept = found(0.001, 0.0);
        assert_eq!((kept.chosen, kept.trials.len()), (None, STEPS));
        assert!(kept.trials[STEPS - 1].after.macs > 990);
    }
}
