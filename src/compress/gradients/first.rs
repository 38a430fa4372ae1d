//! What first derivatives say.

use super::slopes::{Batch, Study};
use super::{GradientError, Numbers, add};

/// Samples that are run at a time where their sum is what counts.
pub(super) const BATCH: usize = 32;

/// `Σ (Σ g w)²`: the inner sum over all that belongs to a unit, the outer over samples (over batches, where the model
/// takes no single sample).
pub(super) fn taylor(study: &Study) -> Result<Numbers, GradientError> {
    summed(study, 1, |w, g| w * g, |sum| sum * sum)
}

/// `½ Σ w² Σ g²` over samples. Where the model takes no single sample, `g` is a batch's sum.
pub(super) fn fisher(study: &Study) -> Result<Numbers, GradientError> {
    summed(study, 1, |w, g| 0.5 * (w * g).powi(2), |sum| sum)
}

/// `Σ |w g|`, with the gradient of a batch; summed over batches.
pub(super) fn snip(study: &Study) -> Result<Numbers, GradientError> {
    summed(study, BATCH, |w, g| (w * g).abs(), |sum| sum)
}

/// The sum over batches of what `outer` makes of each unit's sum of `inner`, a weight and its gradient.
fn summed(
    study: &Study,
    batch: usize,
    inner: impl Fn(f64, f64) -> f64 + Sync,
    outer: impl Fn(f64) -> f64,
) -> Result<Numbers, GradientError> {
    let mut total = Numbers::new();
    let measure = |batch: &Batch| Ok(batch.weights.sums(&batch.slopes()?, &inner));
    study.each(batch, measure, |sums| add(&mut total, sums, &outer))?;
    Ok(total)
}
