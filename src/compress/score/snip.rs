//! `snip`: how much the loss depends on the weights, before any training.

use super::Criterion;
use super::gradient::measured;
use crate::gradients::Want;

/// Sensitivity of the loss to each weight, at initialization.
pub(super) const SNIP: Criterion = Criterion {
    name: "snip",
    aliases: &[],
    about: "size of weights times gradients, for models that are not trained yet",
    source: "Lee et al., SNIP: Single-shot Network Pruning based on Connection Sensitivity, 2019 (arXiv 1810.02340)",
    needs_data: true,
    comparable: true,
    gradient: Some(Want::Snip),
    score: |context, group| measured(context, group, Want::Snip),
};
