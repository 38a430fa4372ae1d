//! `l1`: the sum of absolute weights.

use super::{Criterion, over_slices};

/// Sum of absolute weights over all slices of a unit.
pub(super) const L1: Criterion = Criterion {
    name: "l1",
    aliases: &["magnitude-l1", "l1-norm"],
    about: "sum of absolute weights, over all slices that go with a unit",
    source: "Li et al., Pruning Filters for Efficient ConvNets, 2017 (arXiv 1608.08710)",
    needs_data: false,
    comparable: false,
    gradient: None,
    score: |context, group| over_slices(context, group, f64::abs),
};
