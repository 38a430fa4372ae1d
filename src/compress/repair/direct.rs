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
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::linalg::solvers::Solve;
use faer::{Accum, Mat, MatRef, Par, Side};

/// Sums over positions, for one half of the samples.
pub(super) struct Sums {
    pub count: f64,
    pub groups: Vec<GroupSums>,
    /// For each output, of the original: the numbers at the contraction's result and at the sum's operand.
    pub lines: Vec<Line>,
}

/// Sums over the patches of one group. Products are made in 32 bits, of patches about a fixed centre and a block of them at
/// a time; sums over blocks are in double precision.
pub(super) struct GroupSums {
    /// `Σ p pᵀ`, of which the lower half is filled in, and `Σ p`.
    gram: Mat<f64>,
    patches: Vec<f64>,
    /// `Σ p tᵀ` and `Σ t`, for what the outputs lack themselves, and for what the other operand of the sum lacks.
    own: Target,
    beside: Target,
    /// Patches that are not added yet, one after the other.
    waiting: Vec<f32>,
}

#[derive(Clone)]
struct Target {
    cross: Mat<f64>,
    sum: Vec<f64>,
    waiting: Vec<f32>,
}

/// How many patches are a block.
const BLOCK: usize = 512;

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
    pub(super) fn new(groups: usize, depth: usize, outputs: usize) -> Sums {
        let lines = vec![Line::default(); groups * outputs];
        Sums { count: 0.0, groups: (0..groups).map(|_| GroupSums::new(depth, outputs)).collect(), lines }
    }
}

impl GroupSums {
    fn new(depth: usize, outputs: usize) -> GroupSums {
        let target = Target { cross: Mat::zeros(depth, outputs), sum: vec![0.0; outputs], waiting: vec![] };
        let (gram, patches) = (Mat::zeros(depth, depth), vec![0.0; depth]);
        GroupSums { gram, patches, own: target.clone(), beside: target, waiting: vec![] }
    }

    /// Adds patches about their centre, a column each, and what the outputs lack there.
    pub(super) fn add(&mut self, patches: MatRef<f32>, own: MatRef<f32>, beside: Option<MatRef<f32>>) {
        append(&mut self.waiting, patches);
        append(&mut self.own.waiting, own);
        beside.into_iter().for_each(|b| append(&mut self.beside.waiting, b));
        if self.waiting.len() >= BLOCK * self.patches.len() {
            self.finish();
        }
    }

    /// Adds what is waiting.
    pub(super) fn finish(&mut self) {
        let (depth, block) = (self.patches.len(), std::mem::take(&mut self.waiting));
        let count = block.len() / depth.max(1);
        if count == 0 {
            return;
        }
        let patches = MatRef::from_column_major_slice(&block, depth, count);
        let mut gram = Mat::<f32>::zeros(depth, depth);
        let (lower, whole) = (BlockStructure::TriangularLower, BlockStructure::Rectangular);
        let (to, transposed) = (gram.as_mut(), patches.transpose());
        triangular::matmul(to, lower, Accum::Replace, patches, whole, transposed, whole, 1.0, Par::Seq);
        for j in 0..depth {
            let block = gram.col(j);
            self.gram.col_mut(j).iter_mut().enumerate().skip(j).for_each(|(i, sum)| *sum += f64::from(block[i]));
        }
        for column in block.chunks_exact(depth) {
            self.patches.iter_mut().zip(column).for_each(|(sum, x)| *sum += f64::from(*x));
        }
        self.own.add(patches);
        self.beside.add(patches);
    }
}

impl Target {
    fn add(&mut self, patches: MatRef<f32>) {
        let outputs = self.sum.len();
        if self.waiting.is_empty() {
            return;
        }
        let lacks = MatRef::from_column_major_slice(&self.waiting, outputs, patches.ncols());
        let mut cross = Mat::<f32>::zeros(patches.nrows(), outputs);
        matmul(cross.as_mut(), Accum::Replace, patches, lacks.transpose(), 1.0, Par::Seq);
        for j in 0..outputs {
            let block = cross.col(j);
            self.cross.col_mut(j).iter_mut().enumerate().for_each(|(i, sum)| *sum += f64::from(block[i]));
        }
        for column in self.waiting.chunks_exact(outputs) {
            self.sum.iter_mut().zip(column).for_each(|(sum, x)| *sum += f64::from(*x));
        }
        self.waiting.clear();
    }

    fn merged(&self, other: &Target) -> Target {
        let sum = self.sum.iter().zip(&other.sum).map(|(a, b)| a + b).collect();
        Target { cross: &self.cross + &other.cross, sum, waiting: vec![] }
    }
}

/// Adds columns to a list.
fn append(to: &mut Vec<f32>, columns: MatRef<f32>) {
    (0..columns.ncols()).for_each(|j| to.extend(columns.col(j).iter()));
}

impl Line {
    pub(super) fn add(&mut self, x: f32, y: f32) {
        let (x, y) = (f64::from(x), f64::from(y));
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
    /// Covariance of the patches, their second moments (with the 1 behind), and their products with the target.
    covariance: Mat<f64>,
    gram: Mat<f64>,
    cross: Mat<f64>,
}

impl Problem {
    fn new(sums: &GroupSums, count: f64, inverse: Option<&[f64]>) -> Problem {
        let n = count.max(1.0);
        let (depth, outputs) = (sums.patches.len(), sums.own.sum.len());
        let cross = Mat::from_fn(depth + 1, outputs, |i, o| {
            let of = |t: &Target| if i < depth { t.cross[(i, o)] } else { t.sum[o] };
            (of(&sums.own) + inverse.map_or(0.0, |s| of(&sums.beside) * s[o])) / n
        });
        let gram = Mat::from_fn(depth + 1, depth + 1, |i, j| match (i.max(j), i.min(j)) {
            (high, low) if high < depth => sums.gram[(high, low)] / n,
            (_, low) if low < depth => sums.patches[low] / n,
            _ => count / n,
        });
        let mean = |i: usize| gram[(i, depth)];
        let covariance = Mat::from_fn(depth, depth, |i, j| gram[(i, j)] - mean(i) * mean(j));
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
/// `centres` are what patches were summed about. `beside` says whether the other operand of a sum was measured and may be
/// made up for.
pub(super) fn fit(halves: &mut [Sums; 2], centres: &[Vec<f32>], beside: bool) -> Option<Vec<Mat<f64>>> {
    halves.iter_mut().flat_map(|h| &mut h.groups).for_each(GroupSums::finish);
    let halves = &*halves;
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
    let change = |g: usize| about_zero(problem(&whole, g).solve(ridge), &centres[g]);
    Some((0..groups).map(change).collect())
}

/// A change that was found for patches about a centre, for the patches themselves.
fn about_zero(mut change: Mat<f64>, centre: &[f32]) -> Mat<f64> {
    for o in 0..change.ncols() {
        let moved: f64 = centre.iter().enumerate().map(|(i, c)| change[(i, o)] * f64::from(*c)).sum();
        change[(centre.len(), o)] -= moved;
    }
    change
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
        patches: a.patches.iter().zip(&b.patches).map(|(x, y)| x + y).collect(),
        own: a.own.merged(&b.own),
        beside: a.beside.merged(&b.beside),
        waiting: vec![],
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

    /// What all patches are summed about.
    const CENTRE: [f32; 2] = [5.0, -2.0];

    /// Patches of two numbers; the outputs lack `2 a - b + 3`, the sum beside them `a`.
    fn sums(turn: usize) -> Sums {
        let mut sums = Sums::new(1, 2, 1);
        let number = |t: usize, k: usize| [((t * 7 + turn) % 13) as f32, ((t * 5 + turn * 3) % 11) as f32][k];
        let patches = Mat::from_fn(2, 60, |k, t| number(t, k) - CENTRE[k]);
        let own = Mat::from_fn(1, 60, |_, t| 2.0 * number(t, 0) - number(t, 1) + 3.0);
        let beside = Mat::from_fn(1, 60, |_, t| number(t, 0));
        sums.groups[0].add(patches.as_ref(), own.as_ref(), Some(beside.as_ref()));
        sums.count += 60.0;
        (0..60).for_each(|t| sums.lines[0].add(number(t, 1), number(t, 1) * 0.5 + 1.0));
        sums
    }

    fn fit(mut halves: [Sums; 2], beside: bool) -> Option<Mat<f64>> {
        Some(super::fit(&mut halves, &[CENTRE.to_vec()], beside)?.remove(0))
    }

    #[test]
    fn what_is_lacking_is_found() {
        let change = fit([sums(0), sums(1)], false).unwrap();
        let near = |x: f64, y: f64| assert!((x - y).abs() < 1e-2, "{x} is not {y}");
        near(change[(0, 0)], 2.0);
        near(change[(1, 0)], -1.0);
        near(change[(2, 0)], 3.0);
    }

    #[test]
    fn what_the_other_operand_lacks_is_made_up_for() {
        // Half of what the output gains reaches the sum, so it takes twice as much.
        let change = fit([sums(0), sums(1)], true).unwrap();
        assert!((change[(0, 0)] - 4.0).abs() < 1e-2 && (change[(1, 0)] + 1.0).abs() < 1e-2);
    }

    #[test]
    fn nothing_changes_without_a_reason() {
        let none = || {
            let mut none = Sums::new(1, 2, 1);
            none.groups[0].add(Mat::identity(2, 60).as_ref(), Mat::zeros(1, 60).as_ref(), None);
            Sums { count: 60.0, ..none }
        };
        assert!(fit([none(), none()], false).is_none());
        assert!(fit([Sums::new(1, 2, 1), sums(0)], false).is_none(), "there is nothing to hold out");
    }

    #[test]
    fn blocks_add_up() {
        let patch = |t: usize, k: usize| ((t * (3 + k) + k * k) % 17) as f32 - 8.0;
        let of = |rows: std::ops::Range<usize>| {
            let patches = Mat::from_fn(4, rows.len(), |k, t| patch(rows.start + t, k));
            let own = Mat::from_fn(2, rows.len(), |o, t| patch(rows.start + t, o + 1));
            (patches, own)
        };
        let mut sums = GroupSums::new(4, 2);
        for start in (0..2000).step_by(250) {
            let (patches, own) = of(start..start + 250);
            sums.add(patches.as_ref(), own.as_ref(), None);
        }
        sums.finish();
        let sum = |f: &dyn Fn(usize) -> f32| (0..2000).map(|t| f64::from(f(t))).sum::<f64>();
        assert_eq!(sums.gram[(3, 1)], sum(&|t| patch(t, 3) * patch(t, 1)));
        assert_eq!(sums.own.cross[(2, 1)], sum(&|t| patch(t, 2) * patch(t, 2)));
        assert_eq!((sums.patches[2], sums.own.sum[0]), (sum(&|t| patch(t, 2)), sum(&|t| patch(t, 1))));
    }
}
