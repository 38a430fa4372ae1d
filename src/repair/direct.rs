//! The direct fit: weights that bring a contraction's outputs in the pruned model to what they should be.
//!
//! With `p` the patch that an output is a sum over, in the pruned model, and `t` what the output lacks, the change of the
//! weights is `Cov(t, p) (Cov(p, p) + λI)⁻¹`. All channels and taps are fitted together, padding included. What is
//! lacking is the original output minus the present one; where the result is added to something else (a residual
//! sum), what that other operand lacks by now is lacking too, so that the sum comes out right.
//!
//! λ is the one that does best on held-out halves of the samples; if none does better than nothing, nothing changes.
//!
//! Sources: He, Zhang and Sun, Channel Pruning for Accelerating Very Deep Neural Networks, 2017 (arXiv 1707.06168), for
//! the fit of outputs and the residual sum; Frantar and Alistarh, Optimal Brain Compression, 2022 (arXiv 2208.11580).
//!
//! The **direct fit** regresses what an output lacks on the patch that it is a sum over: all channels and taps together,
//! with the zeros of the padding in it, so that borders need no care. Which element meets which weight is in the bindings,
//! and for kernels in the law `windows` of a rule (`layout.rs`); on the first feed this is checked by computing the outputs.
//! What a contraction lacks is the original output minus the present one. Where its result ends in a sum (the law
//! `bypass` says so both ways), what the other operand lacks by now is added, so that a branch makes up for the errors of
//! the path beside it. Between result and sum may be what is a straight line for each channel; the original's numbers
//! tell, and the slope. Contractions that lost nothing themselves are fitted as well once something before them changed,
//! and kernels that each channel has for itself (`candidates.rs` looks at a depthwise convolution as a sum over one element
//! in each group).
//! Patches of more than 5000 numbers, those for which the work or the memory of a stage does not suffice, and operators
//! whose layout is not known (a transposed convolution, a recurrence's inputs) or does not hold on the first feed fall back on a second affine fit, of what is read now to what was
//! read before. Sources: He et al., Channel Pruning, 2017 (arXiv 1707.06168), for outputs and residual sums; the rest is
//! named in the files.

use faer::linalg::matmul::matmul;
use faer::linalg::solvers::Solve;
use faer::{Accum, Mat, MatRef, Par, Side};

/// Sums over positions, for one half of the samples.
pub(super) struct Sums {
    pub count: f64,
    pub groups: Vec<GroupSums>,
    /// For each output, of the original: the numbers at the contraction's result and at the sum's operand.
    pub lines: Vec<Line>,
}

/// Sums over the patches of one group.
pub(super) struct GroupSums {
    /// `Σ p pᵀ` of patches with a 1 behind.
    gram: Mat<f64>,
    /// `Σ p tᵀ` for what the outputs lack themselves, and for what the other operand of the sum lacks.
    own: Mat<f64>,
    beside: Mat<f64>,
}

/// First and second moments of two numbers: is one a straight line of the other?
#[derive(Clone, Copy, Default)]
pub(super) struct Line {
    count: f64,
    x: f64,
    y: f64,
    xx: f64,
    xy: f64,
    yy: f64,
}

/// How strongly changes are held back, as shares of the mean variance.
const RIDGES: [f64; 7] = [1e-4, 1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0];

/// Those that are tried where the strongest of these is best, or none better than nothing.
const STRONG: [f64; 2] = [10.0, 100.0];

impl Sums {
    /// No positions yet: so many groups with patches of `depth` numbers and so many outputs each.
    pub fn new(groups: usize, depth: usize, outputs: usize) -> Sums {
        let side = depth + 1;
        let group = || GroupSums {
            gram: Mat::zeros(side, side),
            own: Mat::zeros(side, outputs),
            beside: Mat::zeros(side, outputs),
        };
        let lines = vec![Line::default(); groups * outputs];
        Sums { count: 0.0, groups: (0..groups).map(|_| group()).collect(), lines }
    }
}

impl GroupSums {
    /// Adds patches, a row each, and what the outputs lack there.
    pub fn add(&mut self, patches: &Mat<f64>, own: &Mat<f64>, beside: Option<&Mat<f64>>) {
        let add = |to: &mut Mat<f64>, with: MatRef<f64>| {
            matmul(to.as_mut(), Accum::Add, patches.transpose(), with, 1.0, Par::Seq);
        };
        add(&mut self.gram, patches.as_ref());
        add(&mut self.own, own.as_ref());
        if let Some(beside) = beside {
            add(&mut self.beside, beside.as_ref());
        }
    }
}

impl Line {
    pub fn add(&mut self, x: f64, y: f64) {
        self.count += 1.0;
        self.x += x;
        self.y += y;
        self.xx += x * x;
        self.xy += x * y;
        self.yy += y * y;
    }

    fn merged(&self, o: &Line) -> Line {
        let count = self.count + o.count;
        Line { count, x: self.x + o.x, y: self.y + o.y, xx: self.xx + o.xx, xy: self.xy + o.xy, yy: self.yy + o.yy }
    }

    /// The slope of `y` over `x`, if all lies on a line; 0 where neither varies.
    fn slope(&self) -> Option<f64> {
        let n = self.count.max(1.0);
        let (xx, yy) = (self.xx - self.x * self.x / n, self.yy - self.y * self.y / n);
        let xy = self.xy - self.x * self.y / n;
        if xx <= 1e-9 * self.xx && yy <= 1e-9 * self.yy {
            return Some(0.0);
        }
        let straight = xx > 0.0 && xy * xy >= (1.0 - 1e-6) * xx * yy;
        straight.then_some(xy / xx)
    }
}

/// Moments of one group with one target.
struct Problem {
    /// Covariance of the patches, their mean, and their second moments (with the 1 behind).
    covariance: Mat<f64>,
    gram: Mat<f64>,
    cross: Mat<f64>,
}

impl Problem {
    fn new(sums: &GroupSums, count: f64, inverse: Option<&[f64]>) -> Problem {
        let n = count.max(1.0);
        let side = sums.gram.nrows();
        let beside = |i: usize, o: usize| inverse.map_or(0.0, |s| sums.beside[(i, o)] * s[o]);
        let cross = Mat::from_fn(side, sums.own.ncols(), |i, o| (sums.own[(i, o)] + beside(i, o)) / n);
        let gram = Mat::from_fn(side, side, |i, j| sums.gram[(i, j)] / n);
        let mean = |i: usize| gram[(i, side - 1)];
        let covariance = Mat::from_fn(side - 1, side - 1, |i, j| gram[(i, j)] - mean(i) * mean(j));
        Problem { covariance, gram, cross }
    }

    /// The change for one ridge, `[patch and 1, outputs]`.
    fn solve(&self, ridge: f64) -> Mat<f64> {
        let (n, outputs) = (self.covariance.nrows(), self.cross.ncols());
        let mean = |i: usize| self.gram[(i, n)];
        let variance = (0..n).map(|i| self.covariance[(i, i)]).sum::<f64>() / n.max(1) as f64;
        let damping = ridge * variance + f64::MIN_POSITIVE.sqrt();
        let damped = Mat::from_fn(n, n, |i, j| self.covariance[(i, j)] + if i == j { damping } else { 0.0 });
        let target = Mat::from_fn(n, outputs, |i, o| self.cross[(i, o)] - mean(i) * self.cross[(n, o)]);
        let change = match damped.llt(Side::Lower) {
            Ok(llt) => llt.solve(&target),
            Err(_) => Mat::zeros(n, outputs),
        };
        let shift = |o: usize| self.cross[(n, o)] - (0..n).map(|i| change[(i, o)] * mean(i)).sum::<f64>();
        Mat::from_fn(n + 1, outputs, |i, o| if i < n { change[(i, o)] } else { shift(o) })
    }

    /// By how much a change makes the error larger than no change does.
    fn loss(&self, change: &Mat<f64>) -> f64 {
        let through = &self.gram * change;
        let of = |o: usize| {
            (0..change.nrows()).map(|i| change[(i, o)] * (through[(i, o)] - 2.0 * self.cross[(i, o)])).sum::<f64>()
        };
        (0..change.ncols()).map(of).sum()
    }
}

/// The best change of the weights, for each group `[patch and 1, outputs]`; `None` if it is best to change nothing.
/// `beside` says whether the other operand of a sum was measured and may be made up for.
pub(super) fn fit(halves: &[Sums; 2], beside: bool) -> Option<Vec<Mat<f64>>> {
    if halves.iter().any(|h| h.count == 0.0) {
        return None;
    }
    let inverse: Option<Vec<f64>> = beside.then(|| inverse_slopes(halves)).flatten();
    let groups = halves[0].groups.len();
    let outputs = halves[0].lines.len() / groups.max(1);
    let problem = |sums: &Sums, g: usize| {
        let mine = inverse.as_ref().map(|s| &s[g * outputs..(g + 1) * outputs]);
        Problem::new(&sums.groups[g], sums.count, mine)
    };
    // The ridge that does best on held-out halves, and how much better than nothing it does.
    let best = |ridges: &[f64]| {
        let mut losses = vec![0.0; ridges.len()];
        for g in 0..groups {
            let (a, b) = (problem(&halves[0], g), problem(&halves[1], g));
            for (loss, &ridge) in losses.iter_mut().zip(ridges) {
                *loss += b.loss(&a.solve(ridge)) + a.loss(&b.solve(ridge));
            }
        }
        losses.into_iter().zip(ridges.iter().copied()).min_by(|a, b| a.0.total_cmp(&b.0))
    };
    let (mut loss, mut ridge) = best(&RIDGES)?;
    if loss >= 0.0 || RIDGES.last() == Some(&ridge) {
        (loss, ridge) = best(&STRONG).filter(|strong| strong.0 < loss).unwrap_or((loss, ridge));
    }
    if loss >= 0.0 {
        return None;
    }
    let whole = merged(halves);
    Some((0..groups).map(|g| problem(&whole, g).solve(ridge)).collect())
}

/// By how much each output has to change for the sum to grow by one: nothing where that would be far more than of
/// others. `None` where the sum's operand is no straight line of the output.
fn inverse_slopes(halves: &[Sums; 2]) -> Option<Vec<f64>> {
    let lines = halves[0].lines.iter().zip(&halves[1].lines);
    let slopes: Option<Vec<f64>> = lines.map(|(a, b)| a.merged(b).slope()).collect();
    let slopes = slopes?;
    let largest = slopes.iter().fold(0.0f64, |m, s| m.max(s.abs()));
    Some(slopes.into_iter().map(|s| if s.abs() > 1e-3 * largest { 1.0 / s } else { 0.0 }).collect())
}

fn merged(halves: &[Sums; 2]) -> Sums {
    let [a, b] = halves;
    let group = |(a, b): (&GroupSums, &GroupSums)| GroupSums {
        gram: &a.gram + &b.gram,
        own: &a.own + &b.own,
        beside: &a.beside + &b.beside,
    };
    Sums {
        count: a.count + b.count,
        groups: a.groups.iter().zip(&b.groups).map(group).collect(),
        lines: a.lines.iter().zip(&b.lines).map(|(a, b)| a.merged(b)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Patches of two numbers; the outputs lack `2 a - b + 3`, the sum beside them `a`.
    fn sums(turn: usize) -> Sums {
        let mut sums = Sums::new(1, 2, 1);
        let number = |t: usize, k: usize| [((t * 7 + turn) % 13) as f64, ((t * 5 + turn * 3) % 11) as f64][k];
        let patches = Mat::from_fn(60, 3, |t, k| if k < 2 { number(t, k) } else { 1.0 });
        let own = Mat::from_fn(60, 1, |t, _| 2.0 * number(t, 0) - number(t, 1) + 3.0);
        let beside = Mat::from_fn(60, 1, |t, _| number(t, 0));
        sums.groups[0].add(&patches, &own, Some(&beside));
        sums.count += 60.0;
        (0..60).for_each(|t| sums.lines[0].add(number(t, 1), 0.5 * number(t, 1) + 1.0));
        sums
    }

    #[test]
    fn what_is_lacking_is_found() {
        let change = fit(&[sums(0), sums(1)], false).unwrap().remove(0);
        let near = |x: f64, y: f64| assert!((x - y).abs() < 1e-2, "{x} is not {y}");
        near(change[(0, 0)], 2.0);
        near(change[(1, 0)], -1.0);
        near(change[(2, 0)], 3.0);
    }

    #[test]
    fn what_the_other_operand_lacks_is_made_up_for() {
        // Half of what the output gains reaches the sum, so it takes twice as much.
        let change = fit(&[sums(0), sums(1)], true).unwrap().remove(0);
        assert!((change[(0, 0)] - 4.0).abs() < 1e-2 && (change[(1, 0)] + 1.0).abs() < 1e-2);
    }

    #[test]
    fn nothing_changes_without_a_reason() {
        let mut none = [sums(0), sums(1)];
        none.iter_mut().for_each(|s| s.groups[0].own = Mat::zeros(3, 1));
        assert!(fit(&none, false).is_none());
        let empty = || Sums::new(1, 2, 1);
        assert!(fit(&[empty(), sums(0)], false).is_none(), "there is nothing to hold out");
    }
}
