//! `l2`: the Euclidean norm of the weights.

use super::{Context, Criterion, ScoreError, over_slices};
use crate::axes::Group;

/// Euclidean norm over all slices of a unit.
pub(super) const L2: Criterion = Criterion {
    name: "l2",
    aliases: &["magnitude", "weight", "l2-norm"],
    about: "Euclidean norm of the weights, over all slices that go with a unit",
    source: "Fang et al., DepGraph: Towards Any Structural Pruning, 2023 (arXiv 2301.12900)",
    needs_data: false,
    comparable: false,
    gradient: None,
    score: norms,
};

fn norms(context: &Context, group: &Group) -> Result<Vec<f64>, ScoreError> {
    let mut squares = over_slices(context, group, |x| x * x)?;
    squares.iter_mut().for_each(|s| *s = s.sqrt());
    Ok(squares)
}

/// For groups of which nothing was measured, under a criterion whose scores are shares of an error: squared norms as
/// shares of their sum.
pub(super) fn unmeasured(context: &Context, group: &Group) -> Result<Vec<f64>, ScoreError> {
    let mut squares = over_slices(context, group, |x| x * x)?;
    let sum = squares.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    squares.iter_mut().for_each(|s| *s /= sum);
    Ok(squares)
}
