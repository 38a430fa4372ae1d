//! `fisher`: what the loss says to second order, by squared gradients.

use super::Criterion;
use super::gradient::measured;
use crate::gradients::Want;

/// Optimal Brain Damage with the diagonal of the Fisher information.
pub const FISHER: Criterion = Criterion {
    name: "fisher",
    about: "growth of the loss without the weights, with squared gradients as its curvature",
    source: "LeCun et al., Optimal Brain Damage, 1989; Kunstner et al., Limitations of the Empirical Fisher Approximation, 2019 \
             (arXiv 1905.12558)",
    needs_data: true,
    comparable: true,
    gradient: Some(Want::Fisher),
    score: |context, group| measured(context, group, Want::Fisher),
};
