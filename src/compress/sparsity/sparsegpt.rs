//! SparseGPT: the weights of a row that stay make up for those that go.
//!
//! With `H` the second moments of what a row is multiplied with (damped), taking out weight `k` costs `w² / [H⁻¹]ₖₖ` if
//! those behind it are refitted. Rows share `H`, so that one Cholesky factor `H⁻¹ = UᵀU` does for all of them: going
//! through the columns from the left, row `k` of `U` says what the columns to the right take over. Columns are worked
//! on in blocks; the weights that go are chosen for a block when its turn comes, and what a block leaves to the columns
//! behind it is one product of matrices. A convolution's taps are rows of their own, which share the moments of the
//! channels.

use super::choose::{count, lowest};
use super::{Pattern, Scope};
use crate::contraction::{Contraction, Row};
use crate::stats::Moments;
use faer::linalg::matmul::matmul;
use faer::linalg::solvers::DenseSolveCore;
use faer::{Accum, Mat, Par, Side};

/// Damping, as a share of the mean of `H`'s diagonal.
const DAMPING: f64 = 1e-2;

/// Columns of a block; rounded up to whole groups of a pattern.
const BLOCK: usize = 128;

/// Sets weights of a matrix to zero and refits the others.
pub(super) fn thin(c: &Contraction, shape: &[usize], numbers: &mut [f64], pattern: Pattern, moments: &Moments) {
    let depth = c.depth();
    let mut groups: Vec<Vec<Row>> = vec![vec![]; c.groups];
    c.rows(shape, depth).into_iter().for_each(|row| groups[row.group].push(row));
    for (group, rows) in groups.iter().enumerate() {
        let gram =
            |i: usize, j: usize| moments.product[(group * depth + i, group * depth + j)] / moments.count.max(1.0);
        let gram = Mat::from_fn(depth, depth, gram);
        let mut w = Mat::from_fn(rows.len(), depth, |r, k| numbers[rows[r].start + k * rows[r].step]);
        prune(&mut w, &gram, pattern);
        for (r, row) in rows.iter().enumerate() {
            (0..depth).for_each(|k| numbers[row.start + k * row.step] = w[(r, k)]);
        }
    }
}

/// Prunes the rows of a matrix that all read data with these second moments.
pub(super) fn prune(w: &mut Mat<f64>, gram: &Mat<f64>, pattern: Pattern) {
    let (rows, depth) = (w.nrows(), w.ncols());
    let upper = factor(gram);
    let block = match pattern {
        Pattern::Of { m, .. } => BLOCK.next_multiple_of(m),
        Pattern::Share(..) => BLOCK,
    };
    for from in (0..depth).step_by(block) {
        let to = (from + block).min(depth);
        let mut gone = vec![false; rows * (to - from)];
        let mut errors = Mat::<f64>::zeros(rows, to - from);
        for k in from..to {
            if let Some(width) = turn(pattern, k - from, to - k) {
                choose(w, &upper, pattern, k..k + width, from, &mut gone);
            }
            for r in 0..rows {
                let error = if gone[r * (to - from) + k - from] { w[(r, k)] / upper[(k, k)] } else { 0.0 };
                if error != 0.0 {
                    (k + 1..to).for_each(|j| w[(r, j)] -= error * upper[(k, j)]);
                    errors[(r, k - from)] = error;
                }
                if gone[r * (to - from) + k - from] {
                    w[(r, k)] = 0.0;
                }
            }
        }
        let behind = upper.as_ref().submatrix(from, to, to - from, depth - to);
        let rest = w.as_mut().submatrix_mut(0, to, rows, depth - to);
        matmul(rest, Accum::Add, errors.as_ref(), behind, -1.0, Par::Seq);
    }
}

/// How many columns are chosen from when this column's turn comes.
fn turn(pattern: Pattern, column: usize, left: usize) -> Option<usize> {
    match pattern {
        Pattern::Share(..) => (column == 0).then_some(left),
        Pattern::Of { m, .. } => (column.is_multiple_of(m) && left >= m).then_some(m),
    }
}

/// Marks the weights of some columns that go; `from` is where the block begins.
fn choose(
    w: &Mat<f64>,
    upper: &Mat<f64>,
    pattern: Pattern,
    columns: std::ops::Range<usize>,
    from: usize,
    gone: &mut [bool],
) {
    let (rows, width, block) = (w.nrows(), columns.len(), gone.len() / w.nrows().max(1));
    let costs: Vec<f64> = (0..rows)
        .flat_map(|r| columns.clone().map(move |k| (r, k)))
        .map(|(r, k)| (w[(r, k)] / upper[(k, k)]).powi(2))
        .collect();
    let row = |r: usize| (r * width..(r + 1) * width).collect::<Vec<usize>>();
    let chosen: Vec<usize> = match pattern {
        Pattern::Share(share, Scope::Row) => {
            (0..rows).flat_map(|r| lowest(row(r), &costs, count(share, width))).collect()
        }
        Pattern::Share(share, _) => lowest((0..costs.len()).collect(), &costs, count(share, costs.len())),
        Pattern::Of { n, m } => (0..rows).flat_map(|r| lowest(row(r), &costs, m - n)).collect(),
    };
    chosen.into_iter().for_each(|i| gone[i / width * block + columns.start - from + i % width] = true);
}

/// The upper factor `U` of the inverse, `H⁻¹ = UᵀU`. Without one, that of the diagonal: every weight for itself.
fn factor(gram: &Mat<f64>) -> Mat<f64> {
    let n = gram.nrows();
    let mean = (0..n).map(|i| gram[(i, i)]).sum::<f64>() / n.max(1) as f64;
    let damping = (DAMPING * mean).max(f64::MIN_POSITIVE);
    let damped = Mat::from_fn(n, n, |i, j| gram[(i, j)] + if i == j { damping } else { 0.0 });
    let inverse = damped.llt(Side::Lower).ok().map(|llt| llt.inverse());
    match inverse.and_then(|inverse| inverse.llt(Side::Lower).ok()) {
        Some(llt) => llt.L().transpose().to_owned(),
        None => {
            Mat::from_fn(n, n, |i, j| if i == j { damped[(i, i)].max(f64::MIN_POSITIVE).sqrt().recip() } else { 0.0 })
        }
    }
}
