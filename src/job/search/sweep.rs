//! A family of models of many sizes, from one calibration.

use super::{Evaluator, SearchError, Subject, Trial};
use crate::plan::{Budget, ChooseError, Plan};
use crate::prune::Pruned;

/// The shares of the multiply-accumulates that a family has, unless others are asked for.
pub const POINTS: [f64; 10] = [0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1];

/// Makes a model of each size, largest first, and hands it on. Returns the sizes that can't be reached.
pub fn sweep<E: From<SearchError>>(
    subject: &Subject,
    evaluator: &Evaluator,
    budgets: &[Budget],
    plan: &dyn Fn(Budget) -> Result<Plan, SearchError>,
    each: &mut dyn FnMut(Trial, Pruned) -> Result<(), E>,
) -> Result<Vec<Budget>, E> {
    let mut beyond = vec![];
    for &budget in budgets {
        let plan = match plan(budget) {
            Err(SearchError::Choose(ChooseError::Unreachable { .. })) => {
                beyond.push(budget);
                continue;
            }
            plan => plan?,
        };
        let pruned = subject.carried_out(&plan)?;
        let score = evaluator.score(&pruned.model)?;
        each(Trial { budget, after: pruned.after.clone(), score, plan }, pruned)?;
    }
    Ok(beyond)
}
