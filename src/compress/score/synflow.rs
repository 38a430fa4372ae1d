//! `synflow`: how much can flow through a unit.

use super::Criterion;
use super::gradient::measured;
use crate::gradients::Want;

/// Synaptic flow.
pub(super) const SYNFLOW: Criterion = Criterion {
    name: "synflow",
    aliases: &[],
    about: "share of what flows from inputs to outputs, with all weights above zero",
    source: "Tanaka et al., Pruning Neural Networks without Any Data by Iteratively Conserving Synaptic Flow, 2020 \
             (arXiv 2006.05467)",
    needs_data: false,
    comparable: true,
    gradient: Some(Want::Synflow),
    score: |context, group| measured(context, group, Want::Synflow),
};
