//! What second derivatives say. Products with the Hessian are differences of gradients in double precision.

use super::first::BATCH;
use super::slopes::{Batch, Study};
use super::{GradientError, Numbers, add};
use crate::axes::GroupId;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How many sets the groups are put into at most; those of a set are moved at a time. Each costs two gradients.
const SETS: usize = 16;

/// How far weights are moved, as a share of their root mean square. A kink of the loss (a ReLU) that lies further away
/// does not count.
const STEP: f64 = 1e-4;

/// `½ wᵀHw` of all that belongs to a unit, estimated with random signs `z` of units (Hutchinson): the mean of
/// `z w_uᵀH (Σ z w)` is that of the unit alone. What other units add to it is noise, so not many groups are moved at a
/// time. Signs of single weights, which estimate the diagonal, drown it in that of all pairs of weights.
pub(super) fn hessian(study: &Study) -> Result<Numbers, GradientError> {
    let (seed, mut total) = (study.seed, Numbers::new());
    study.each(BATCH, |batch| curvature(batch, seed), |found| add(&mut total, found, |n| n))?;
    Ok(total)
}

/// What one batch says.
fn curvature(batch: &Batch, seed: u64) -> Result<Numbers, GradientError> {
    let weights = &batch.weights;
    let mut signs = ChaCha8Rng::seed_from_u64(seed);
    // Another stream than that of the targets.
    signs.set_stream(1 + batch.at as u64);
    let counts: Vec<(GroupId, usize)> = weights.units.counts().collect();
    let mut total = Numbers::new();
    for first in 0..SETS.min(counts.len()) {
        let some = counts.iter().skip(first).step_by(SETS);
        let z: Numbers = some.map(|&(group, count)| (group, drawn(count, &mut signs))).collect();
        let moved = product(batch, &weights.of_units(&z))?;
        for (group, mut found) in weights.sums(&moved, |w, hv| 0.5 * w * hv) {
            let Some(z) = z.get(&group) else { continue };
            found.iter_mut().zip(z).for_each(|(n, z)| *n *= z);
            total.insert(group, found);
        }
    }
    Ok(total)
}

/// Random signs.
fn drawn(count: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    (0..count).map(|_| if rng.random_range(0..2) == 0 { -1.0 } else { 1.0 }).collect()
}

/// `Σ w (H g)`: by how much the squared norm of the gradient would fall without a weight, to first order and up to a
/// factor; `g` and `H` of all samples together.
pub(super) fn grasp(study: &Study) -> Result<Numbers, GradientError> {
    let mut gradient: Vec<Vec<f64>> = vec![];
    study.each(BATCH, Batch::slopes, |slopes| {
        gradient.resize_with(slopes.len(), Vec::new);
        for (sum, slope) in gradient.iter_mut().zip(slopes) {
            sum.resize(slope.len(), 0.0);
            sum.iter_mut().zip(slope).for_each(|(s, g)| *s += g);
        }
    })?;
    let mut total = Numbers::new();
    let measure = |batch: &Batch| Ok(batch.weights.sums(&product(batch, &gradient)?, |w, hg| w * hg));
    study.each(BATCH, measure, |found| add(&mut total, found, |sum| sum))?;
    Ok(total)
}

/// The Hessian of a batch's loss times a vector, by central differences.
fn product(batch: &Batch, vector: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, GradientError> {
    let (weights, length) = (size(&batch.weights.numbers), size(vector));
    if length == 0.0 {
        return Ok(vector.to_vec());
    }
    let step = STEP * if weights > 0.0 { weights } else { 1.0 } / length;
    let (ahead, behind) = (batch.slopes_at(vector, step)?, batch.slopes_at(vector, -step)?);
    let difference = |(a, b): (Vec<f64>, Vec<f64>)| a.iter().zip(b).map(|(a, b)| (a - b) / (2.0 * step)).collect();
    Ok(ahead.into_iter().zip(behind).map(difference).collect())
}

/// The root mean square.
fn size(numbers: &[Vec<f64>]) -> f64 {
    let count: usize = numbers.iter().map(Vec::len).sum();
    (numbers.iter().flatten().map(|n| n * n).sum::<f64>() / count.max(1) as f64).sqrt()
}
