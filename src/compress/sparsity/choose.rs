//! Which weights become zero: a score for each, and the lowest of a row, of every few of a row, or of the matrix.

use super::{Pattern, Scope};
use crate::contraction::Contraction;
use crate::ir::{Tensor, TensorError};
use crate::stats::Moments;

/// The size of each weight, times the size of what it is multiplied with where that was measured.
pub(super) fn scores(c: &Contraction, weight: &Tensor, moments: Option<&Moments>) -> Result<Vec<f64>, TensorError> {
    let mut scores = weight.to_f64()?;
    scores.iter_mut().for_each(|w| *w = w.abs());
    let Some(moments) = moments else { return Ok(scores) };
    let size = |k: usize| (moments.product[(k, k)] / moments.count.max(1.0)).sqrt();
    let depth = c.depth();
    for row in c.rows(&weight.shape, depth) {
        (0..depth).for_each(|k| scores[row.start + k * row.step] *= size(row.group * depth + k));
    }
    Ok(scores)
}

/// The weights that become zero, as positions in the tensor.
pub(super) fn choose(c: &Contraction, shape: &[usize], scores: &[f64], pattern: Pattern) -> Vec<usize> {
    let depth = c.depth();
    let rows = c.rows(shape, depth).into_iter();
    let rows = rows.map(|row| (0..depth).map(|k| row.start + k * row.step).collect::<Vec<usize>>());
    match pattern {
        Pattern::Share(share, Scope::Row) => rows.flat_map(|row| lowest(row, scores, count(share, depth))).collect(),
        Pattern::Share(share, _) => lowest((0..scores.len()).collect(), scores, count(share, scores.len())),
        // What is left over at the end of a row stays.
        Pattern::Of { n, m } => rows
            .flat_map(|r| r.chunks_exact(m).flat_map(|c| lowest(c.to_vec(), scores, m - n)).collect::<Vec<_>>())
            .collect(),
    }
}

/// How many of so many weights a share is.
pub(super) fn count(share: f64, of: usize) -> usize {
    ((share * of as f64 + 1e-9) as usize).min(of)
}

/// The `count` positions with the lowest scores; of equals the first.
pub(super) fn lowest(mut positions: Vec<usize>, scores: &[f64], count: usize) -> Vec<usize> {
    if count == 0 {
        return vec![];
    }
    if count < positions.len() {
        positions.select_nth_unstable_by(count, |&a, &b| scores[a].total_cmp(&scores[b]).then(a.cmp(&b)));
    }
    positions.truncate(count);
    positions
}
