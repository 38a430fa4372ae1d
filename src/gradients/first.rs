//! What first derivatives say.

use super::slopes::Study;
use super::{GradientError, Numbers, add};

/// Samples that are run at a time where their sum is what counts.
pub const BATCH: usize = 32;

/// `Σ (Σ g w)²`: the inner sum over all that belongs to a unit, the outer over samples (over batches, where the model
/// takes no single sample).
pub fn taylor(study: &Study) -> Result<Numbers, GradientError> {
    let mut total = Numbers::new();
    study.each(1, |batch| {
        add(&mut total, batch.weights.sums(&batch.slopes()?, |w, g| w * g), |sum| sum * sum);
        Ok(())
    })?;
    Ok(total)
}

/// `½ Σ w² Σ g²` over samples. Where the model takes no single sample, `g` is a batch's sum.
pub fn fisher(study: &Study) -> Result<Numbers, GradientError> {
    let mut total = Numbers::new();
    study.each(1, |batch| {
        add(&mut total, batch.weights.sums(&batch.slopes()?, |w, g| 0.5 * (w * g).powi(2)), |sum| sum);
        Ok(())
    })?;
    Ok(total)
}

/// `Σ |w g|`, with the gradient of a batch; summed over batches.
pub fn snip(study: &Study) -> Result<Numbers, GradientError> {
    let mut total = Numbers::new();
    study.each(BATCH, |batch| {
        add(&mut total, batch.weights.sums(&batch.slopes()?, |w, g| (w * g).abs()), |sum| sum);
        Ok(())
    })?;
    Ok(total)
}
