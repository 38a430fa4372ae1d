//! The surrogate: a Gaussian process that learns from the trials made what one more would come to.
//!
//! Points are vectors of the logarithms of what each group keeps; values are losses. The kernel is a squared
//! exponential whose length is the median distance of the points. What is asked of it is the *expected improvement* on
//! the best value so far: large where the mean is low, and where little is known.
//!
//! Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, algorithm 2.1; Jones, Schonlau and Welch,
//! Efficient Global Optimization of Expensive Black-Box Functions, 1998.

use faer::linalg::solvers::Solve;
use faer::{Mat, Side};

/// What a trial's chance is worth, as a share of the variance of all values.
const NOISE: f64 = 1e-2;

/// A Gaussian process over the points so far.
pub(super) struct Surrogate {
    points: Vec<Vec<f64>>,
    length: f64,
    /// Values are scaled to mean 0 and deviation 1.
    mean: f64,
    deviation: f64,
    best: f64,
    factor: faer::linalg::solvers::Llt<f64>,
    weights: Mat<f64>,
}

impl Surrogate {
    /// Learns from points and their values. `None` where they say nothing: fewer than two, or all alike.
    pub(super) fn new(points: &[Vec<f64>], values: &[f64]) -> Option<Surrogate> {
        let n = points.len();
        let mean = values.iter().sum::<f64>() / n.max(1) as f64;
        let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n.max(1) as f64).sqrt();
        let mut distances: Vec<f64> = vec![];
        for i in 0..n {
            distances.extend((0..i).map(|j| distance(&points[i], &points[j])).filter(|d| *d > 0.0));
        }
        distances.sort_by(f64::total_cmp);
        let length = *distances.get(distances.len() / 2)?;
        if !deviation.is_finite() || deviation <= 0.0 {
            return None;
        }
        let own = |i: usize, j: usize| kernel(&points[i], &points[j], length) + if i == j { NOISE } else { 0.0 };
        let factor = Mat::from_fn(n, n, own).llt(Side::Lower).ok()?;
        let weights = factor.solve(&Mat::from_fn(n, 1, |i, _| (values[i] - mean) / deviation));
        let best = values.iter().copied().fold(f64::INFINITY, f64::min);
        Some(Surrogate { points: points.to_vec(), length, mean, deviation, best, factor, weights })
    }

    /// The expected value at a point, and its standard deviation.
    pub(super) fn predicted(&self, point: &[f64]) -> (f64, f64) {
        let near = Mat::from_fn(self.points.len(), 1, |i, _| kernel(&self.points[i], point, self.length));
        let solved: Mat<f64> = self.factor.solve(&near);
        let dot = |a: &Mat<f64>, b: &Mat<f64>| (0..a.nrows()).map(|i| a[(i, 0)] * b[(i, 0)]).sum::<f64>();
        let mean = self.mean + self.deviation * dot(&near, &self.weights);
        (mean, self.deviation * (1.0 - dot(&near, &solved)).max(0.0).sqrt())
    }

    /// By how much a point is expected to be below the best value so far.
    pub(super) fn improvement(&self, point: &[f64]) -> f64 {
        let (mean, deviation) = self.predicted(point);
        let gain = self.best - mean;
        if deviation <= 0.0 {
            return gain.max(0.0);
        }
        let z = gain / deviation;
        gain * below(z) + deviation * (-0.5 * z * z).exp() / std::f64::consts::TAU.sqrt()
    }
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt()
}

fn kernel(a: &[f64], b: &[f64], length: f64) -> f64 {
    (-0.5 * (distance(a, b) / length).powi(2)).exp()
}

/// The share of the standard normal distribution below `z`, to three digits (Tocher's logistic approximation).
fn below(z: f64) -> f64 {
    1.0 / (1.0 + (-2.0 * (2.0 / std::f64::consts::PI).sqrt() * z * (1.0 + 0.044715 * z * z)).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bowl(x: f64) -> f64 {
        (x - 0.3).powi(2)
    }

    #[test]
    fn it_knows_what_it_was_told_and_doubts_the_rest() {
        let points: Vec<Vec<f64>> = [-1.0, -0.5, 0.0, 0.5, 1.0].map(|x| vec![x]).to_vec();
        let values: Vec<f64> = points.iter().map(|p| bowl(p[0])).collect();
        let surrogate = Surrogate::new(&points, &values).unwrap();
        for (point, value) in points.iter().zip(&values) {
            assert!((surrogate.predicted(point).0 - value).abs() < 0.1, "{point:?}");
        }
        assert!(surrogate.predicted(&[4.0]).1 > 5.0 * surrogate.predicted(&[0.5]).1);
        // The next point to try is nearer to the bottom than to the ends.
        let tried = (0..=40).map(|i| f64::from(i) / 20.0 - 1.0);
        let next = tried.max_by(|a, b| surrogate.improvement(&[*a]).total_cmp(&surrogate.improvement(&[*b]))).unwrap();
        assert!((next - 0.3).abs() < 0.25, "{next}");
    }

    #[test]
    fn points_that_say_nothing() {
        assert!(Surrogate::new(&[vec![0.0]], &[1.0]).is_none());
        assert!(Surrogate::new(&[vec![0.0], vec![1.0]], &[1.0, 1.0]).is_none());
        assert!(Surrogate::new(&[vec![0.0], vec![0.0]], &[1.0, 2.0]).is_none());
        assert!(Surrogate::new(&[vec![0.0], vec![1.0]], &[1.0, f64::INFINITY]).is_none());
    }
}
