//! `grasp`: what gradients would lose, before any training.

use super::Criterion;
use super::gradient::measured;
use crate::gradients::Want;

/// What the gradient loses, at initialization. The paper removes the weights for which `-w Hg` is largest.
pub(super) const GRASP: Criterion = Criterion {
    name: "grasp",
    aliases: &[],
    about: "what the gradient's norm would lose, for models that are not trained yet",
    source: "Wang et al., Picking Winning Tickets Before Training by Preserving Gradient Flow, 2020 (arXiv 2002.07376)",
    needs_data: true,
    comparable: true,
    gradient: Some(Want::Grasp),
    score: |context, group| measured(context, group, Want::Grasp),
};
