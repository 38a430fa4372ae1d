//! The fit: what a removed unit computed, predicted from those that stay.
//!
//! With `x` the vector that a contraction read before the cut and `y` what it reads now, the best affine prediction is
//! `x ≈ B y + s` with `B = Cov(x, y) (Cov(y, y) + λI)⁻¹` and `s = E x - B E y`. The contraction's weights become `W B`,
//! and `W s` is added to what it computes. Kept units are pulled towards themselves, so that with little data nothing
//! happens: `B = S + (Cov(x, y) - S Cov(y, y)) (Cov(y, y) + λI)⁻¹`, where `S` puts each kept unit in its place.
//!
//! Sources: Frantar and Alistarh, Optimal Brain Compression, 2022 (arXiv 2208.11580); An et al., FLAP, 2023
//! (arXiv 2312.11983), for the bias.

use crate::stats::Moments;
use faer::linalg::solvers::Solve;
use faer::{Mat, Side};

/// An affine map from what is read now to what was read before.
#[derive(Clone, Debug)]
pub(super) struct Affine {
    /// `[before, now]`.
    pub matrix: Mat<f64>,
    /// One number for each element read before.
    pub shift: Vec<f64>,
}

/// Moments of what was read before (`x`) and what is read now (`y`).
#[derive(Clone, Debug)]
pub(super) struct Pair {
    /// `x` with `y`.
    pub cross: Moments,
    /// `y` with itself.
    pub own: Moments,
}

impl Pair {
    /// The same model before and after: what is read now is a part of what was read.
    pub(super) fn within(whole: &Moments, kept: &[usize]) -> Pair {
        let pick = |v: &[f64]| kept.iter().map(|&i| v[i]).collect::<Vec<f64>>();
        let (m, n) = (whole.sum.0.len(), kept.len());
        let cross = Moments {
            count: whole.count,
            sum: (whole.sum.0.clone(), pick(&whole.sum.1)),
            product: Mat::from_fn(m, n, |i, j| whole.product[(i, kept[j])]),
        };
        let own = Moments {
            count: whole.count,
            sum: (pick(&whole.sum.0), pick(&whole.sum.1)),
            product: Mat::from_fn(n, n, |i, j| whole.product[(kept[i], kept[j])]),
        };
        Pair { cross, own }
    }

    /// Both samples together.
    pub(super) fn merged(&self, other: &Pair) -> Pair {
        Pair { cross: self.cross.merged(&other.cross), own: self.own.merged(&other.own) }
    }
}

/// How strongly predictions are held back, as shares of the mean variance; the best is found on held-out samples.
const RIDGES: [f64; 6] = [1e-4, 1e-3, 1e-2, 3e-2, 1e-1, 1.0];

/// Those that are tried where the strongest of these is best: in the end nothing is predicted but means.
const STRONG: [f64; 3] = [10.0, 100.0, f64::INFINITY];

/// A map, and how it did on samples that it was not fitted to.
pub(super) struct Fitted {
    pub map: Affine,
    /// For either half, what a map that was fitted to the other half gets wrong there: see [`loss`].
    pub losses: [f64; 2],
}

/// The map that fits best. `kept[j]` is the element of `x` that element `j` of `y` is; `importance` (`[before,
/// before]`) is how much errors in `x` matter, `WᵀW`. Fits made on one half of the samples are tried on the other. If none
/// does better there than to take what is read as it is, so it is taken; and so it is where nothing can be held out.
pub(super) fn fit(halves: &[Pair; 2], kept: &[usize], importance: &Mat<f64>) -> Fitted {
    let nothing = dropped(importance.nrows(), kept);
    let losses = [0, 1].map(|h| loss(&nothing, &halves[h], importance));
    let mut best = Fitted { map: nothing, losses };
    if halves.iter().any(|h| h.own.count == 0.0) {
        return best;
    }
    let mut ridge: Option<f64> = None;
    for trial in RIDGES.into_iter().chain(STRONG) {
        if STRONG.contains(&trial) && ridge.is_some_and(|best| Some(&best) < RIDGES.last()) {
            break;
        }
        let losses = [0, 1].map(|h| loss(&solve(&halves[1 - h], kept, trial), &halves[h], importance));
        if losses[0] + losses[1] < best.losses[0] + best.losses[1] {
            (ridge, best.losses) = (Some(trial), losses);
        }
    }
    if let Some(ridge) = ridge {
        best.map = solve(&halves[0].merged(&halves[1]), kept, ridge);
    }
    best
}

/// The map for one ridge.
fn solve(pair: &Pair, kept: &[usize], ridge: f64) -> Affine {
    let (cross, own) = (pair.cross.covariance(), pair.own.covariance());
    let n = kept.len();
    let mean = (0..n).map(|j| own[(j, j)]).sum::<f64>() / n.max(1) as f64;
    // Units that never vary stay solvable.
    let damping = ridge * mean + f64::MIN_POSITIVE.sqrt();
    let damped = Mat::from_fn(n, n, |i, j| own[(i, j)] + if i == j { damping } else { 0.0 });
    let mut rest = cross;
    kept.iter().enumerate().for_each(|(j, &i)| (0..n).for_each(|k| rest[(i, k)] -= own[(j, k)]));
    let mut matrix = match damped.llt(Side::Lower) {
        Ok(llt) if ridge.is_finite() => llt.solve(rest.transpose()).transpose().to_owned(),
        _ => Mat::zeros(rest.nrows(), n),
    };
    kept.iter().enumerate().for_each(|(j, &i)| matrix[(i, j)] += 1.0);
    let (x, y) = (pair.cross.means().0, pair.own.means().0);
    let shift = (0..x.len()).map(|i| x[i] - (0..n).map(|j| matrix[(i, j)] * y[j]).sum::<f64>()).collect();
    Affine { matrix, shift }
}

/// What a map gets wrong, up to what no map can change: `E‖W(x - B y - s)‖² - E‖W x‖²`.
pub(super) fn loss(map: &Affine, of: &Pair, importance: &Mat<f64>) -> f64 {
    let (m, n) = (map.matrix.nrows(), map.matrix.ncols());
    let count = of.own.count.max(1.0);
    // Second moments of (y, 1), and of x with it.
    let own = Mat::from_fn(n + 1, n + 1, |i, j| match (i == n, j == n) {
        (false, false) => of.own.product[(i, j)] / count,
        (true, true) => 1.0,
        (true, false) => of.own.sum.0[j] / count,
        (false, true) => of.own.sum.0[i] / count,
    });
    let cross = Mat::from_fn(m, n + 1, |i, j| match j == n {
        false => of.cross.product[(i, j)] / count,
        true => of.cross.sum.0[i] / count,
    });
    let whole = Mat::from_fn(m, n + 1, |i, j| if j == n { map.shift[i] } else { map.matrix[(i, j)] });
    let weighted = importance * &whole;
    let square = &whole * &own - Mat::from_fn(m, n + 1, |i, j| 2.0 * cross[(i, j)]);
    (0..m).map(|i| (0..=n).map(|j| weighted[(i, j)] * square[(i, j)]).sum::<f64>()).sum()
}

/// What a map gets wrong, as a share of what the contraction computes, `E‖W(x - B y - s)‖² / Var(W x)`: the loss is
/// that on some samples with these moments, the variance that of all.
pub(super) fn relative_error(loss: f64, moments: &Moments, whole: &Moments, importance: &Mat<f64>) -> f64 {
    let trace = |m: &Mat<f64>| (0..m.nrows()).map(|i| m[(i, i)]).sum::<f64>();
    let variance = trace(&(importance * whole.covariance()));
    let energy = trace(&(importance * &moments.product)) / moments.count.max(1.0);
    if variance > 0.0 { ((energy + loss) / variance).max(0.0) } else { 0.0 }
}

/// The map that takes what is read now as it is, and zero for what is gone.
pub(super) fn dropped(length: usize, kept: &[usize]) -> Affine {
    let mut matrix = Mat::zeros(length, kept.len());
    kept.iter().enumerate().for_each(|(j, &i)| matrix[(i, j)] = 1.0);
    Affine { matrix, shift: vec![0.0; length] }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two free numbers, and a third that is their sum plus five.
    fn moments(turn: usize) -> Moments {
        let mut m = Moments::new(3, 3);
        let x = Mat::from_fn(50, 3, |t, k| {
            let (a, b) = (((t * 7 + turn) % 13) as f32, ((t * 5 + turn * 3) % 11) as f32);
            [a, b, a + b + 5.0][k]
        });
        m.add(&x, &x);
        m
    }

    #[test]
    fn what_others_tell_is_predicted() {
        let halves = [moments(0), moments(1)];
        let pairs = [Pair::within(&halves[0], &[0, 1]), Pair::within(&halves[1], &[0, 1])];
        let importance = Mat::identity(3, 3);
        let Fitted { map, losses } = fit(&pairs, &[0, 1], &importance);
        assert!((map.matrix[(2, 0)] - 1.0).abs() < 1e-2 && (map.matrix[(2, 1)] - 1.0).abs() < 1e-2);
        assert!((map.shift[2] - 5.0).abs() < 0.1, "{:?}", map.shift);
        let (whole, pair) = (halves[0].merged(&halves[1]), pairs[0].merged(&pairs[1]));
        let before = relative_error(loss(&dropped(3, &[0, 1]), &pair, &importance), &whole, &whole, &importance);
        let after = relative_error(losses[1], &halves[1], &whole, &importance);
        assert!(before > 1.0 && after < 1e-4, "{before} {after}");
    }

    #[test]
    fn what_stays_stays_as_it_is() {
        let halves = [moments(0), moments(1)];
        let pairs = [Pair::within(&halves[0], &[0, 2]), Pair::within(&halves[1], &[0, 2])];
        let map = fit(&pairs, &[0, 2], &Mat::identity(3, 3)).map;
        assert_eq!(
            [map.matrix[(0, 0)], map.matrix[(0, 1)], map.matrix[(2, 0)], map.matrix[(2, 1)]],
            [1.0, 0.0, 0.0, 1.0]
        );
        assert!(map.shift[0].abs() < 1e-9 && map.shift[2].abs() < 1e-9);
    }

    #[test]
    fn units_that_never_vary_are_no_trouble() {
        let mut m = Moments::new(2, 2);
        let x = Mat::from_fn(10, 2, |_, k| [3.0f32, 4.0][k]);
        m.add(&x, &x);
        let pairs = [Pair::within(&m, &[0]), Pair::within(&m, &[0])];
        let map = fit(&pairs, &[0], &Mat::identity(2, 2)).map;
        assert_eq!((map.matrix[(1, 0)], map.shift[1]), (0.0, 4.0));
    }

    /// Ten numbers of which none tells anything of another, for so many samples.
    fn noise(samples: usize, seed: usize) -> Moments {
        let mut m = Moments::new(10, 10);
        let x = Mat::from_fn(samples, 10, |t, k| {
            let hash = ((t * 10 + k + seed * 7919) as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            ((hash ^ (hash >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        });
        m.add(&x, &x);
        m
    }

    #[test]
    fn few_samples_are_not_learned_by_heart() {
        let kept = [0, 1, 2, 3, 4, 5, 6];
        let importance = Mat::identity(10, 10);
        let halves = [noise(4, 1), noise(4, 2)];
        let found = fit(&halves.each_ref().map(|m| Pair::within(m, &kept)), &kept, &importance);
        // What others say of a number that nothing tells is little, and the error that is told is no smaller than it is.
        let largest = (7..10).flat_map(|i| (0..7).map(move |j| (i, j))).map(|at| found.map.matrix[at].abs());
        assert!(largest.fold(0.0, f64::max) < 0.2);
        let other = noise(1000, 3);
        let real =
            relative_error(loss(&found.map, &Pair::within(&other, &kept), &importance), &other, &other, &importance);
        let told = (0..2).map(|h| relative_error(found.losses[h], &halves[h], &other, &importance)).sum::<f64>() / 2.0;
        assert!(told > real / 2.0, "{told} {real}");
    }

    #[test]
    fn nothing_is_done_where_nothing_can_be_held_out() {
        let halves = [noise(5, 1), Moments::new(10, 10)].map(|m| Pair::within(&m, &[0, 1]));
        let map = fit(&halves, &[0, 1], &Mat::identity(10, 10)).map;
        assert_eq!((map.matrix, map.shift), {
            let d = dropped(10, &[0, 1]);
            (d.matrix, d.shift)
        });
    }
}
