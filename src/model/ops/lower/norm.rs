//! Normalization by channels, by planes, by neighbours.

use crate::ops::Site;
use crate::ops::norm::{averaged_axes, is_training};
use crate::program::{Args, Kernel, Term};

/// BatchNormalization: `x`, a scale, a bias, the running mean and variance. The later results are the new ones.
pub(crate) fn batch<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let [x, scale, bias, mean, variance] = [at.at(0)?, at.at(1)?, at.at(2)?, at.at(3)?, at.at(4)?];
    let epsilon = f64::from(site.call.float("epsilon", 1e-5));
    let along = Features::of(site, x);
    if !is_training(site) && !at.by_batch() {
        let slope = along.spread(scale / (variance + epsilon).sqrt());
        return Ok(vec![x * slope + (along.spread(bias) - along.spread(mean) * slope)]);
    }
    let own = x.mean(&along.averaged);
    let centered = x - own;
    let spread = centered.square().mean(&along.averaged);
    let y = centered * (along.spread(scale) / (spread + epsilon).sqrt()) + along.spread(bias);
    let momentum = f64::from(site.call.float("momentum", 0.9));
    let (own, spread) = (own.reshape(&mean.shape()), spread.reshape(&variance.shape()));
    at.tell((3, 4), own, spread, x.count() / own.count().max(1), momentum);
    let moved = |old: Term<'b>, new: Term<'b>| old * momentum + new * (1.0 - momentum);
    let all = [y, moved(mean, own), moved(variance, spread), own, spread];
    Ok(all.into_iter().take(site.call.results.len()).collect())
}

/// Which axes statistics are taken over, and how their vectors lie along the others.
struct Features {
    averaged: Vec<usize>,
    shape: Vec<usize>,
}

impl Features {
    /// Before opset 9 each position can have statistics of its own.
    fn of(site: &Site, x: Term) -> Features {
        let each = site.call.int("spatial", 1) == 0;
        let averaged: Vec<usize> = (0..x.rank()).filter(|&a| a == 0 || (a > 1 && !each)).collect();
        let shape = x.shape().into_iter().enumerate().map(|(a, n)| if averaged.contains(&a) { 1 } else { n }).collect();
        Features { averaged, shape }
    }

    fn spread<'b>(&self, vector: Term<'b>) -> Term<'b> {
        vector.reshape(&self.shape)
    }
}

/// InstanceNormalization: `x`, a scale, a bias; statistics of each plane.
pub(crate) fn instance<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let (x, scale, bias) = (at.at(0)?, at.at(1)?, at.at(2)?);
    let space: Vec<usize> = (2..x.rank()).collect();
    let (y, ..) = standardized(x, &space, f64::from(site.call.float("epsilon", 1e-5)));
    Ok(vec![y * channels(scale, x.rank())? + channels(bias, x.rank())?])
}

/// A vector along axis 1 of a tensor of this rank.
pub(crate) fn channels(vector: Term, rank: usize) -> Result<Term, String> {
    let mut shape = vec![1; rank];
    *shape.get_mut(1).ok_or("a tensor of one axis has no channels")? = vector.count();
    Ok(vector.reshape(&shape))
}

/// `(x - mean) / √(variance + ε)` with statistics over these axes; the mean, and the inverse of the root.
pub(crate) fn standardized<'b>(x: Term<'b>, axes: &[usize], epsilon: f64) -> (Term<'b>, Term<'b>, Term<'b>) {
    let mean = x.mean(axes);
    let centered = x - mean;
    let inverse = (centered.square().mean(axes) + epsilon).sqrt().recip();
    (centered * inverse, mean, inverse)
}

/// LRN: the sum of squares over neighbouring channels is a mean over a window that slides over them.
pub(crate) fn neighbours<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let x = at.at(0)?;
    let size = usize::try_from(site.call.int("size", 0)).ok().filter(|n| (1..=1 << 16).contains(n));
    let size = size.ok_or("`size` is not positive, or too large")?;
    let shape = x.shape();
    let plane = [shape[0], 1, shape[1], shape[2..].iter().product()];
    let (before, behind) = ((size - 1) / 2, size / 2);
    let squares = x.square().reshape(&plane).pad(&[(0, 0), (0, 0), (before, behind), (0, 0)], 0.0);
    let window = Kernel { size: [size, 1], stride: [1, 1], padding: [0, 0], dilation: [1, 1] };
    let [alpha, beta, bias] = [("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0)].map(|(n, d)| site.call.float(n, d));
    let around = squares.mean_pool(window).reshape(&shape) * f64::from(alpha) + f64::from(bias);
    Ok(vec![x * around.powf(-f64::from(beta))])
}

/// LpNormalization: divided by the sum of sizes, or by the root of the sum of squares.
pub(crate) fn norm<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let x = at.at(0)?;
    let axes = [site.axis("axis", -1, x.rank())?];
    let length = match site.call.int("p", 2) {
        1 => x.abs().sum(&axes),
        2 => x.square().sum(&axes).sqrt(),
        p => return Err(format!("the norm of order {p} is not supported, only those of order 1 and 2")),
    };
    Ok(vec![x / length])
}

/// MeanVarianceNormalization. What keeps it from dividing by zero is the standard's.
pub(crate) fn mean_variance<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let x = at.at(0)?;
    let axes = averaged_axes(site)?.ok_or("its rank is not known")?;
    let centered = x - x.mean(&axes);
    Ok(vec![centered / (centered.square().mean(&axes).sqrt() + 1e-9)])
}

#[cfg(test)]
#[cfg(all(feature = "tract", feature = "gradients"))]
mod tests {
    use crate::autograd::testing::{Trial, close};

    fn batch(opset: i64, attributes: &str, operands: &[&str]) -> Trial {
        Trial::within("BatchNormalization", opset, attributes, operands, 1, 0.2, 1.5)
    }

    #[test]
    fn batches_by_running_statistics() {
        batch(15, "", &["2 3 4 5", "=3", "=3", "=3", "=3"]).check();
        batch(9, "epsilon=0.01", &["2 3 4", "=3", "=3", "=3", "=3"]).check();
        batch(15, "", &["4 3", "=3", "=3", "=3", "=3"]).check_derivative();
        batch(7, "spatial=0", &["2 3 4", "=3 4", "=3 4", "=3 4", "=3 4"]).check_derivative();
    }

    #[test]
    fn batches_by_their_own_statistics() {
        let own = ["3 2", "=[2 3]", "=[1 -1]", "=[0 0]", "=[1 1]"];
        let x = [1.0, 10.0, 2.0, 10.0, 3.0, 40.0];
        let x = crate::ir::Tensor::from_f64(crate::ir::DType::F32, vec![3, 2], &x).unwrap();
        let y = batch(15, "epsilon=0.0", &own).by_batch().with("x0", x);
        // Means 2 and 20, deviations √(2/3) and √200.
        let (a, b) = (2.0 / (2.0_f64 / 3.0).sqrt(), 3.0 / 200.0_f64.sqrt());
        let expected = [1.0 - a, -1.0 - 10.0 * b, 1.0, -1.0 - 10.0 * b, 1.0 + a, -1.0 + 20.0 * b];
        close("y", &expected, &y.run()[0].1.to_f64().unwrap(), 1e-6);
        batch(15, "", &["3 2 4 3", "=2", "=2", "=2", "=2"]).by_batch().check_derivative();
        batch(7, "spatial=0", &["3 2 4", "=2 4", "=2 4", "=2 4", "=2 4"]).by_batch().check_derivative();
    }

    #[test]
    fn batches_that_move_the_running_statistics() {
        let operands = ["2 1", "=[1]", "=[0]", "=[4]", "=[8]"];
        let x = crate::ir::Tensor::from_f64(crate::ir::DType::F32, vec![2, 1], &[1.0, 3.0]).unwrap();
        let trial = Trial::new("BatchNormalization", 15, "training_mode=1 momentum=0.75", &operands, 3).with("x0", x);
        let found: Vec<Vec<f64>> = trial.run().iter().map(|(_, t)| t.to_f64().unwrap()).collect();
        close("mean", &[3.5], &found[1], 1e-6);
        close("variance", &[6.25], &found[2], 1e-6);
        trial.check_derivative();
    }

    #[test]
    fn planes() {
        Trial::new("InstanceNormalization", 6, "", &["2 3 4 5", "=3", "=3"], 1).check();
        Trial::new("InstanceNormalization", 6, "epsilon=0.1", &["2 3 7", "3", "3"], 1).check();
    }

    #[test]
    fn neighbours() {
        Trial::new("LRN", 13, "size=3 alpha=0.5 beta=0.6 bias=2.0", &["2 5 3 4"], 1).check();
        Trial::new("LRN", 13, "size=2 alpha=0.5", &["2 5 3 4"], 1).check_derivative();
    }

    #[test]
    fn lengths() {
        Trial::new("LpNormalization", 1, "", &["2 3 4"], 1).check();
        Trial::new("LpNormalization", 1, "axis=1 p=1", &["2 3 4"], 1).check();
        Trial::new("MeanVarianceNormalization", 13, "", &["2 3 4 5"], 1).check_derivative();
        Trial::new("MeanVarianceNormalization", 13, "axes=[1,2]", &["2 3 4"], 1).check_derivative();
    }
}
