//! `fpgm`: distance from the geometric median. What lies in the middle of the others can be replaced by them.
//!
//! Squared distances come from the products of all slices with one another, `|u - v|² = |u|² + |v|² - 2 u·v`, so that
//! one product of matrices does for a member.

use super::{Criterion, over_members};
use crate::ir::{Tensor, TensorError};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};

/// Sum of the distances of a unit's slices from those of all others.
pub(super) const FPGM: Criterion = Criterion {
    name: "fpgm",
    aliases: &["geometric-median"],
    about: "sum of the distances of the unit's weights from those of all other units of its group",
    source: "He et al., Filter Pruning via Geometric Median, 2019 (arXiv 1811.00250)",
    needs_data: false,
    comparable: false,
    gradient: None,
    score: |context, group| over_members(context, group, |t, axis, units| distances(t, axis, units, group.size)),
};

/// Groups with more units are compared with so many of them, at even distances.
const OTHERS: usize = 2048;

/// Numbers of a slice that are multiplied at once.
const CHUNK: usize = 4096;

fn distances(tensor: &Tensor, axis: usize, units: &[Option<u32>], size: usize) -> Result<Vec<f64>, TensorError> {
    let slices = slices(tensor, axis, units, size)?;
    let step = size.div_ceil(OTHERS).max(1);
    let others: Vec<usize> = (0..size).step_by(step).collect();
    let length = slices.iter().map(Vec::len).min().unwrap_or(0);
    let mut products = Mat::zeros(size, others.len());
    for from in (0..length).step_by(CHUNK) {
        let width = CHUNK.min(length - from);
        let all = Mat::from_fn(size, width, |u, k| slices[u][from + k]);
        let some = Mat::from_fn(others.len(), width, |o, k| slices[others[o]][from + k]);
        matmul(products.as_mut(), Accum::Add, all.as_ref(), some.transpose(), 1.0, Par::Seq);
    }
    let squares: Vec<f64> = slices.iter().map(|s| s.iter().map(|x| x * x).sum()).collect();
    let distance = |u: usize, o: usize| match squares[u] + squares[others[o]] - 2.0 * products[(u, o)] {
        // What is left of two equal slices is rounding.
        d if d > 1e-12 * (squares[u] + squares[others[o]]) => d.sqrt(),
        _ => 0.0,
    };
    Ok((0..size).map(|u| (0..others.len()).map(|o| distance(u, o)).sum()).collect())
}

/// The numbers of each unit, in the order of the tensor.
fn slices(tensor: &Tensor, axis: usize, units: &[Option<u32>], size: usize) -> Result<Vec<Vec<f64>>, TensorError> {
    let inner: usize = tensor.shape[axis + 1..].iter().product();
    let mut slices = vec![vec![]; size];
    for (run, numbers) in tensor.to_f64()?.chunks_exact(inner.max(1)).enumerate() {
        if let Some(u) = units[run % units.len()] {
            slices[u as usize].extend_from_slice(numbers);
        }
    }
    Ok(slices)
}
