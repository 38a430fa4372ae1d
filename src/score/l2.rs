//! `l2`: the Euclidean norm of the weights.

use super::{Criterion, over_slices};

/// Euclidean norm over all slices of a unit.
pub const L2: Criterion = Criterion {
    name: "l2",
    about: "Euclidean norm of the weights, over all slices that go with a unit",
    source: "Fang et al., DepGraph: Towards Any Structural Pruning, 2023 (arXiv 2301.12900)",
    score: |context, group| {
        let mut squares = over_slices(context, group, |x| x * x)?;
        squares.iter_mut().for_each(|s| *s = s.sqrt());
        Ok(squares)
    },
};
