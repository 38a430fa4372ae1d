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
    let roots: [f64; TERMS + 1] = std::array::from_fn(|k| (k as f64).sqrt());
    for i in 0..POINTS {
        let z = -REACH + step * i as f64;
        let weight = (-0.5 * z * z).exp();
        let y = f(mean + deviation * z);
        let (mut last, mut now) = (0.0, 1.0);
        for (k, term) in terms.iter_mut().enumerate() {
            *term += weight * y * now;
            // Orthonormal: √(k+1) h₍ₖ₊₁₎ = z hₖ - √k h₍ₖ₋₁₎.
            (last, now) = (now, (z * now - roots[k] * last) / roots[k + 1]);
        }
        square += weight * y * y;
        whole += weight;
    }
    terms.iter_mut().for_each(|t| *t /= whole);
    Series { terms, variance: (square / whole - terms[0] * terms[0]).max(0.0) }
}

/// Makes of the covariance of variables that of functions with these series of them.
pub(super) fn covariance(series: &[Series], of: &mut Mat<f64>) {
    let n = series.len();
    let deviation: Vec<f64> = (0..n).map(|i| of[(i, i)].max(0.0).sqrt()).collect();
    // Term by term, so that a column is gone through many numbers at a time.
    let terms: Vec<Vec<f64>> = (0..TERMS).map(|k| series.iter().map(|s| s.terms[k]).collect()).collect();
    for j in 0..n {
        let (b, scale) = (&series[j].terms, deviation[j]);
        let column = &mut of.col_mut(j).try_as_col_major_mut().expect("columns are contiguous").as_slice_mut()[j..];
        let sums = &mut vec![0.0; n - j][..];
        let rhos: Vec<f64> = column.iter().zip(&deviation[j..]).map(|(c, d)| rho(*c, d * scale)).collect();
        // Horner's scheme over the terms from the last to the first.
        for k in (1..TERMS).rev() {
            for ((sum, rho), a) in sums.iter_mut().zip(&rhos).zip(&terms[k][j..]) {
                *sum = (*sum + a * b[k]) * rho;
            }
        }
        column.copy_from_slice(sums);
        column[0] = series[j].variance;
    }
    mirror(of);
}

/// Makes a matrix symmetric of which there is the lower triangle.
pub(super) fn mirror(matrix: &mut Mat<f64>) {
    // Tile by tile, since one side is gone through against the grain.
    const TILE: usize = 32;
    let n = matrix.ncols();
    for (top, left) in (0..n).step_by(TILE).flat_map(|top| (0..=top).step_by(TILE).map(move |left| (top, left))) {
        for j in left..(left + TILE).min(n) {
            for i in top.max(j + 1)..(top + TILE).min(n) {
                matrix[(j, i)] = matrix[(i, j)];
            }
        }
    }
}

/// A correlation.
fn rho(covariance: f64, scale: f64) -> f64 {
    if scale > 0.0 { (covariance / scale).clamp(-1.0, 1.0) } else { 0.0 }
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
        let mut c = Mat::from_fn(2, 2, |i, j| if i == j { 1.0 } else { 0.5 });
        covariance(&[series(relu, 0.0, 1.0), series(relu, 0.0, 1.0)], &mut c);
        assert!((c[(0, 1)] - (kernel - 0.5 / pi)).abs() < 1e-3, "{} {kernel}", c[(0, 1)]);
    }

    #[test]
    fn a_line_stays_a_line() {
        let mut c = Mat::from_fn(2, 2, |i, j| [[4.0, -1.0], [-1.0, 9.0]][i][j]);
        covariance(&[series(|x| 2.0 * x + 1.0, 0.5, 2.0), series(|x| -x, 1.0, 3.0)], &mut c);
        assert!((c[(0, 0)] - 16.0).abs() < 1e-3 && (c[(0, 1)] - 2.0).abs() < 1e-3);
    }
}
