//! What second derivatives say. Products with the Hessian are differences of gradients in double precision.

use super::first::BATCH;
use super::slopes::{Batch, Study};
use super::{GradientError, Numbers, add};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Random vectors for each batch.
const PROBES: usize = 2;

/// How far weights are moved, as a share of their root mean square. A kink of the loss (a ReLU) that lies further away
/// does not count.
const STEP: f64 = 1e-4;

/// `½ Σ w² h`, where `h` is the diagonal of the Hessian as Hutchinson estimates it: the mean of `z ⊙ Hz` over random
/// signs `z`, other ones for each batch.
pub fn hessian(study: &Study) -> Result<Numbers, GradientError> {
    let mut signs = ChaCha8Rng::seed_from_u64(study.seed);
    // Another stream than that of the targets.
    signs.set_stream(1);
    let mut total = Numbers::new();
    study.each(BATCH, |batch| {
        for _ in 0..PROBES {
            let z: Vec<Vec<f64>> = batch.weights.numbers.iter().map(|n| drawn(n.len(), &mut signs)).collect();
            let hz = product(batch, &z)?;
            let times = |(z, hz): (&Vec<f64>, Vec<f64>)| z.iter().zip(hz).map(|(z, h)| z * h).collect();
            let diagonal: Vec<Vec<f64>> = z.iter().zip(hz).map(times).collect();
            add(&mut total, batch.weights.sums(&diagonal, |w, h| 0.5 * w * w * h), |sum| sum / PROBES as f64);
        }
        Ok(())
    })?;
    Ok(total)
}

/// Random signs.
fn drawn(count: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    (0..count).map(|_| if rng.random_range(0..2) == 0 { -1.0 } else { 1.0 }).collect()
}

/// `Σ w (H g)`: by how much the squared norm of the gradient would fall without a weight, to first order and up to a
/// factor; `g` and `H` of all samples together.
pub fn grasp(study: &Study) -> Result<Numbers, GradientError> {
    let mut gradient: Vec<Vec<f64>> = vec![];
    study.each(BATCH, |batch| {
        let slopes = batch.slopes()?;
        gradient.resize_with(slopes.len(), Vec::new);
        for (sum, slope) in gradient.iter_mut().zip(slopes) {
            sum.resize(slope.len(), 0.0);
            sum.iter_mut().zip(slope).for_each(|(s, g)| *s += g);
        }
        Ok(())
    })?;
    let mut total = Numbers::new();
    study.each(BATCH, |batch| {
        add(&mut total, batch.weights.sums(&product(batch, &gradient)?, |w, hg| w * hg), |sum| sum);
        Ok(())
    })?;
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
