//! Quality constraints: the smallest model that is no worse than this. A new one is a row of [`CONSTRAINTS`], from
//! which flag, key, schema and the documents' tables are made.
//!
//! The share of the multiply-accumulates is found by bisection, with a trial for each step. What is constrained is
//! measured on held-out samples, which had no part in the choice or the repair, and holds for the very model that is
//! returned. Errors need not grow evenly with what goes, so of all trials the smallest that satisfied the constraint
//! counts.

use super::{Score, SearchError, Trial};
use crate::plan::{Budget, ChooseError, Plan, Share};
use serde::Serialize;
use std::fmt;

/// All kinds of constraints, in the order in which help lists them.
pub static CONSTRAINTS: [ConstraintKind; 2] = [
    ConstraintKind {
        name: "max-drift",
        about: "Instead of a budget: the smallest model whose outputs drift no further from the original's on held-out \
                samples (relative L2, such as 0.02)",
        unit: BoundUnit::Number,
        loss: |score| Some(score.drift),
        needs_labels: false,
    },
    ConstraintKind {
        name: "max-drop",
        about: "Instead of a budget: the smallest model that loses no more accuracy on held-out samples (1% is a point of \
                accuracy, or an error that is 1 % larger); needs --labels",
        unit: BoundUnit::Share,
        loss: |score| score.metric.as_ref().map(|metric| metric.drop),
        needs_labels: true,
    },
];

/// A kind of quality constraint.
#[derive(Debug)]
pub struct ConstraintKind {
    /// What its flag and its key are called, and what reports say.
    pub name: &'static str,
    /// What it means, as help says it.
    pub about: &'static str,
    /// How its bound is written.
    pub unit: BoundUnit,
    /// What it bounds from above; `None` where that was not measured, which satisfies no constraint.
    pub loss: fn(&Score) -> Option<f64>,
    /// Whether held-out samples must have labels, or a task that needs none.
    pub needs_labels: bool,
}

/// How the bound of a constraint is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoundUnit {
    /// A number above 0.
    Number,
    /// A share: `0.01` or `1%`.
    Share,
}

impl ConstraintKind {
    /// The kind of a name, if there is one.
    pub fn named(name: &str) -> Option<&'static ConstraintKind> {
        CONSTRAINTS.iter().find(|kind| kind.name == name)
    }

    /// What stands for the bound in help.
    pub fn value(&self) -> &'static str {
        match self.unit {
            BoundUnit::Number => "X",
            BoundUnit::Share => "SHARE",
        }
    }

    /// The constraint of this kind with a bound as people write it.
    pub fn constraint(&'static self, bound: &str) -> Result<Constraint, String> {
        let bound = match self.unit {
            BoundUnit::Number => above_zero(bound)?,
            BoundUnit::Share => bound.parse::<Share>().map_err(|e| e.to_string())?.0,
        };
        Ok(Constraint { kind: self, bound })
    }
}

fn above_zero(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok();
    number.filter(|x| x.is_finite() && *x > 0.0).ok_or_else(|| format!("`{text}` is not a number above 0"))
}

/// What a model must not lose more of.
///
/// ```
/// use secateur::job::search::Constraint;
///
/// assert_eq!(Constraint::new("max-drop", "1%")?.to_string(), "max-drop 1%");
/// assert!(Constraint::new("max-drift", "-1").is_err());
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Constraint {
    kind: &'static ConstraintKind,
    bound: f64,
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (name, bound) = (self.kind.name, self.bound);
        match self.kind.unit {
            BoundUnit::Number => write!(f, "{name} {bound}"),
            BoundUnit::Share => write!(f, "{name} {}%", bound * 100.0),
        }
    }
}

impl Constraint {
    /// A constraint by the name of its kind, with a bound as people write it.
    pub fn new(name: &str, bound: &str) -> Result<Constraint, String> {
        let unknown = || format!("there is no constraint `{name}`");
        ConstraintKind::named(name).ok_or_else(unknown)?.constraint(bound)
    }

    /// Its row of the table.
    pub fn kind(self) -> &'static ConstraintKind {
        self.kind
    }

    /// Whether a trial satisfies it.
    pub fn is_satisfied(&self, trial: &Trial) -> bool {
        (self.kind.loss)(&trial.score).is_some_and(|loss| loss <= self.bound)
    }
}

/// What the search under a constraint came to.
#[derive(Clone, Debug, Serialize)]
pub struct ConstrainedSearch {
    /// The constraint, as the command line says it.
    #[serde(rename = "promised")]
    pub constraint: String,
    /// The plans that were tried, in order; a share at which nothing would go has none.
    pub trials: Vec<Trial>,
    /// The trial whose model is the smallest that satisfies it; `None` where the mildest cut violates it.
    pub chosen: Option<usize>,
}

/// How often the range of shares is halved: what is found is less than a hundredth of the model from the limit.
pub const STEPS: usize = 7;

/// Looks for the smallest model that satisfies a constraint. `plan` makes the plan for a budget and `tried` evaluates
/// it; `done` hears of every step.
pub fn smallest(
    constraint: Constraint,
    plan: &dyn Fn(Budget) -> Result<Plan, SearchError>,
    tried: &dyn Fn(Budget, Plan) -> Result<Trial, SearchError>,
    done: &dyn Fn(),
) -> Result<ConstrainedSearch, SearchError> {
    let (mut low, mut high) = (0.0, 1.0);
    let mut trials: Vec<Trial> = vec![];
    let mut chosen: Option<usize> = None;
    for _ in 0..STEPS {
        let share = (low + high) / 2.0;
        let budget = Budget::macs(share);
        let satisfied = match plan(budget) {
            // Units are too coarse for so little: nothing goes, and nothing is lost.
            Ok(plan) if plan.is_empty() => true,
            Ok(plan) => {
                let trial = tried(budget, plan)?;
                let satisfied = constraint.is_satisfied(&trial);
                if satisfied && chosen.is_none_or(|c| trial.after.macs < trials[c].after.macs) {
                    chosen = Some(trials.len());
                }
                trials.push(trial);
                satisfied
            }
            // There is no such model.
            Err(SearchError::Choose(ChooseError::Unreachable { .. })) => false,
            Err(other) => return Err(other),
        };
        *(if satisfied { &mut high } else { &mut low }) = share;
        done();
    }
    Ok(ConstrainedSearch { constraint: constraint.to_string(), trials, chosen })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::Cost;
    use proptest::prelude::*;

    fn plan(budget: Budget) -> Plan {
        let cut = crate::plan::GroupCut { group: "c0".into(), units: 2, remove: vec![0], places: vec![] };
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
    fn found(most: f64, floor: f64) -> ConstrainedSearch {
        let tried = |budget: Budget, plan| {
            let share = budget.share().unwrap();
            let after = Cost { macs: (1000.0 * share) as u64, ..Cost::default() };
            Ok(Trial { budget, after, score: Score { drift: 1.0 - share, metric: None }, plan })
        };
        let make = |budget: Budget| match budget.share() {
            Some(x) if x < floor => Err(ChooseError::Unreachable { asked: budget, floor: 100.0 * floor }.into()),
            _ => Ok(plan(budget)),
        };
        smallest(Constraint::new("max-drift", &most.to_string()).unwrap(), &make, &tried, &|| ()).unwrap()
    }

    proptest! {
        #[test]
        fn the_smallest_model_that_satisfies_it(most in 0.01..0.99f64, floor in 0.0..0.5f64) {
            let found = found(most, floor);
            let share = found.trials[found.chosen.unwrap()].after.macs as f64 / 1000.0;
            let limit = (1.0 - most).max(floor);
            prop_assert!(share >= limit - 0.001 && share <= limit + 0.01, "{} {}", share, limit);
        }
    }

    #[test]
    fn a_constraint_that_nothing_satisfies() {
        let found = found(0.001, 0.0);
        assert_eq!((found.chosen, found.trials.len()), (None, STEPS));
        assert!(found.trials[STEPS - 1].after.macs > 990);
    }
}
