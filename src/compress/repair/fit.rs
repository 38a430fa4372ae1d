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
    /// What is `gone`, and what is read now, of what was read: the same model before and after.
    pub(super) fn within(whole: &Moments, gone: &[usize], kept: &[usize]) -> Pair {
        let pick = |v: &[f64], of: &[usize]| of.iter().map(|&i| v[i]).collect::<Vec<f64>>();
        let block = |x: &[usize], y: &[usize]| Moments {
            count: whole.count,
            sum: (pick(&whole.sum.0, x), pick(&whole.sum.1, y)),
            product: Mat::from_fn(x.len(), y.len(), |i, j| whole.product[(x[i], y[j])]),
        };
        Pair { cross: block(gone, kept), own: block(kept, kept) }
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

/// What a fit rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grounds {
    /// Two halves of samples: what is fitted to one is tried on the other.
    Samples,
    /// What the weights imply, twice: there is nothing to learn by heart.
    Weights,
}

/// The map that fits best. `kept[j]` is the element of `x` that element `j` of `y` is; `importance` (`[before,
/// before]`) is how much errors in `x` matter, `WᵀW`. Fits made on one half of the samples are tried on the other. If none
/// does better there than to take what is read as it is, so it is taken; and so it is where nothing can be held out.
pub(super) fn fit(halves: &[Pair; 2], kept: &[usize], importance: &Mat<f64>, grounds: Grounds) -> Fitted {
    let nothing = dropped(importance.nrows(), halves[0].own.sum.0.len(), kept);
    let losses = [0, 1].map(|h| loss(&nothing, &halves[h], importance));
    let mut best = Fitted { map: nothing, losses };
    if halves.iter().any(|h| h.own.count == 0.0) {
        return best;
    }
    if grounds == Grounds::Weights {
        // On what it is fitted to the weakest ridge is best.
        let map = solve(&halves[0], kept, RIDGES[0]);
        let loss = loss(&map, &halves[0], importance);
        return if loss < best.losses[0] { Fitted { map, losses: [loss; 2] } } else { best };
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

/// The same where what is read now is a part of what was read: so only what is gone has to be predicted.
pub(super) fn fit_within(halves: &[Moments; 2], kept: &[usize], importance: &Mat<f64>, grounds: Grounds) -> Fitted {
    let length = importance.nrows();
    let gone = without(length, kept);
    let some = Mat::from_fn(gone.len(), gone.len(), |i, j| importance[(gone[i], gone[j])]);
    let found = fit(&halves.each_ref().map(|m| Pair::within(m, &gone, kept)), &[], &some, grounds);
    let mut map = dropped(length, kept.len(), kept);
    for (i, &element) in gone.iter().enumerate() {
        (0..kept.len()).for_each(|j| map.matrix[(element, j)] = found.map.matrix[(i, j)]);
        map.shift[element] = found.map.shift[i];
    }
    let losses = [0, 1].map(|h| found.losses[h] + loss_of_dropped(kept, &halves[h], importance));
    Fitted { map, losses }
}

/// What is wrong, as [`loss`] says it, if what is gone counts as zero and the rest is taken as it is.
pub(super) fn loss_of_dropped(kept: &[usize], moments: &Moments, importance: &Mat<f64>) -> f64 {
    let all: Vec<usize> = (0..importance.nrows()).collect();
    let gone = without(all.len(), kept);
    let energy = |of: &[usize]| {
        let row = |&i: &usize| of.iter().map(|&j| importance[(i, j)] * moments.product[(j, i)]).sum::<f64>();
        of.iter().map(row).sum::<f64>() / moments.count.max(1.0)
    };
    energy(&gone) - energy(&all)
}

/// The elements that are not kept.
fn without(length: usize, kept: &[usize]) -> Vec<usize> {
    let kept: std::collections::HashSet<usize> = kept.iter().copied().collect();
    (0..length).filter(|i| !kept.contains(i)).collect()
}

/// The map for one ridge.
fn solve(pair: &Pair, kept: &[usize], ridge: f64) -> Affine {
    let (cross, own) = (pair.cross.covariance(), pair.own.covariance());
    let n = own.nrows();
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
    // The trace of the product; both are symmetric.
    let trace = |m: &Mat<f64>| importance.col_iter().zip(m.col_iter()).map(|(a, b)| a.transpose() * b).sum::<f64>();
    let variance = trace(&whole.covariance());
    let energy = trace(&moments.product) / moments.count.max(1.0);
    if variance > 0.0 { ((energy + loss) / variance).max(0.0) } else { 0.0 }
}

/// The map that takes what is read now as it is, and zero for what is gone.
fn dropped(length: usize, now: usize, kept: &[usize]) -> Affine {
    let mut matrix = Mat::zeros(length, now);
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
        let importance = Mat::identity(3, 3);
        let Fitted { map, losses } = fit_within(&halves, &[0, 1], &importance, Grounds::Samples);
        assert!((map.matrix[(2, 0)] - 1.0).abs() < 1e-2 && (map.matrix[(2, 1)] - 1.0).abs() < 1e-2);
        assert!((map.shift[2] - 5.0).abs() < 0.1, "{:?}", map.shift);
        let whole = halves[0].merged(&halves[1]);
        let before = relative_error(loss_of_dropped(&[0, 1], &whole, &importance), &whole, &whole, &importance);
        let after = relative_error(losses[1], &halves[1], &whole, &importance);
        assert!(before > 1.0 && after < 1e-4, "{before} {after}");
    }

    #[test]
    fn what_stays_stays_as_it_is() {
        let halves = [moments(0), moments(1)];
        let map = fit_within(&halves, &[0, 2], &Mat::identity(3, 3), Grounds::Samples).map;
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
        let map = fit_within(&[m.clone(), m], &[0], &Mat::identity(2, 2), Grounds::Samples).map;
        assert_eq!((map.matrix[(1, 0)], map.shift[1]), (0.0, 4.0));
    }

    /// All that was read beside what is read now.
    fn whole(m: &Moments, kept: &[usize]) -> Pair {
        Pair::within(m, &(0..m.sum.0.len()).collect::<Vec<_>>(), kept)
    }

    #[test]
    fn what_is_kept_need_not_be_fitted() {
        let kept = [1, 2, 5, 7];
        let importance = Mat::from_fn(10, 10, |i, j| if i == j { 2.0 } else { 0.1 });
        for (grounds, other) in [(Grounds::Samples, 2), (Grounds::Weights, 1)] {
            let halves = [noise(40, 1), noise(40, other)];
            let all = fit(&halves.each_ref().map(|m| whole(m, &kept)), &kept, &importance, grounds);
            let gone = fit_within(&halves, &kept, &importance, grounds);
            let near = |a: f64, b: f64| (a - b).abs() < 1e-6;
            assert!(all.losses.iter().zip(gone.losses).all(|(a, b)| near(*a, b)), "{:?} {:?}", all.losses, gone.losses);
            for (i, j) in (0..10).flat_map(|i| (0..4).map(move |j| (i, j))) {
                assert!(near(all.map.matrix[(i, j)], gone.map.matrix[(i, j)]), "{grounds:?} {i} {j}");
            }
            let none = loss(&dropped(10, 4, &kept), &whole(&halves[0], &kept), &importance);
            assert!(near(none, loss_of_dropped(&kept, &halves[0], &importance)));
        }
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
        let found = fit_within(&halves, &kept, &importance, Grounds::Samples);
        // What others say of a number that nothing tells is little, and the error that is told is no smaller than it is.
        let largest = (7..10).flat_map(|i| (0..7).map(move |j| (i, j))).map(|at| found.map.matrix[at].abs());
        assert!(largest.fold(0.0, f64::max) < 0.2);
        let other = noise(1000, 3);
        let real = relative_error(loss(&found.map, &whole(&other, &kept), &importance), &other, &other, &importance);
        let told = (0..2).map(|h| relative_error(found.losses[h], &halves[h], &other, &importance)).sum::<f64>() / 2.0;
        assert!(told > real / 2.0, "{told} {real}");
    }

    #[test]
    fn nothing_is_done_where_nothing_can_be_held_out() {
        let halves = [noise(5, 1), Moments::new(10, 10)];
        let map = fit_within(&halves, &[0, 1], &Mat::identity(10, 10), Grounds::Samples).map;
        assert_eq!((map.matrix, map.shift), {
            let d = dropped(10, 2, &[0, 1]);
            (d.matrix, d.shift)
        });
    }
}
