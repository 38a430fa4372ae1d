//! Functions of Gaussian vectors: means and covariances by Hermite series.
//!
//! With `x = μ + σ z` for a standard normal `z`, a function has the series `f(x) = Σ cₖ hₖ(z)` in orthonormal Hermite
//! polynomials, and `Cov(f(x), g(y)) = Σ cₖ dₖ ρᵏ` over k ≥ 1 for correlation ρ (Mehler). For the rectifier this is the
//! arc-cosine kernel of Cho and Saul, 2009, with means.

use faer::Mat;

/// How many terms of a series count.
const TERMS: usize = 8;
/// Where functions are looked at: as many points, over so many deviations to both sides.
const POINTS: usize = 121;
const REACH: f64 = 6.0;

/// The Hermite series of a function of a Gaussian, and its variance.
pub(super) struct Series {
    pub terms: [f64; TERMS],
    pub variance: f64,
}

/// The series of `f(mean + deviation · z)`.
pub(super) fn series(f: impl Fn(f64) -> f64, mean: f64, deviation: f64) -> Series {
    let step = 2.0 * REACH / (POINTS - 1) as f64;
    let (mut terms, mut square, mut whole) = ([0.0; TERMS], 0.0, 0.0);
    for i in 0..POINTS {
        let z = -REACH + step * i as f64;
        let weight = (-0.5 * z * z).exp();
        let y = f(mean + deviation * z);
        let (mut last, mut now) = (0.0, 1.0);
        for (k, term) in terms.iter_mut().enumerate() {
            *term += weight * y * now;
            // Orthonormal: √(k+1) h₍ₖ₊₁₎ = z hₖ - √k h₍ₖ₋₁₎.
            (last, now) = (now, (z * now - (k as f64).sqrt() * last) / ((k + 1) as f64).sqrt());
        }
        square += weight * y * y;
        whole += weight;
    }
    terms.iter_mut().for_each(|t| *t /= whole);
    Series { terms, variance: (square / whole - terms[0] * terms[0]).max(0.0) }
}

/// The covariance of functions with these series of variables with this covariance.
pub(super) fn covariance(series: &[Series], of: &Mat<f64>) -> Mat<f64> {
    let deviation: Vec<f64> = (0..series.len()).map(|i| of[(i, i)].max(0.0).sqrt()).collect();
    Mat::from_fn(series.len(), series.len(), |i, j| {
        if i == j {
            return series[i].variance;
        }
        let scale = deviation[i] * deviation[j];
        let rho = if scale > 0.0 { (of[(i, j)] / scale).clamp(-1.0, 1.0) } else { 0.0 };
        // Horner's scheme over the terms from the last to the first.
        let (a, b) = (&series[i].terms, &series[j].terms);
        (1..TERMS).rev().fold(0.0, |sum, k| (sum + a[k] * b[k]) * rho)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rectifier_of_a_standard_normal() {
        let relu = |x: f64| x.max(0.0);
        let s = series(relu, 0.0, 1.0);
        let pi = std::f64::consts::PI;
        assert!((s.terms[0] - (2.0 * pi).sqrt().recip()).abs() < 1e-3);
        assert!((s.variance - (0.5 - 0.5 / pi)).abs() < 1e-3);
        // The arc-cosine kernel at a correlation of one half, less the product of the means.
        let angle: f64 = 0.5f64.acos();
        let kernel = (angle.sin() + (pi - angle) * 0.5) / (2.0 * pi);
        let c = covariance(
            &[series(relu, 0.0, 1.0), series(relu, 0.0, 1.0)],
            &Mat::from_fn(2, 2, |i, j| if i == j { 1.0 } else { 0.5 }),
        );
        assert!((c[(0, 1)] - (kernel - 0.5 / pi)).abs() < 1e-3, "{} {kernel}", c[(0, 1)]);
    }

    #[test]
    fn a_line_stays_a_line() {
        let of = Mat::from_fn(2, 2, |i, j| [[4.0, -1.0], [-1.0, 9.0]][i][j]);
        let c = covariance(&[series(|x| 2.0 * x + 1.0, 0.5, 2.0), series(|x| -x, 1.0, 3.0)], &of);
        assert!((c[(0, 0)] - 16.0).abs() < 1e-3 && (c[(0, 1)] - 2.0).abs() < 1e-3);
    }
}
