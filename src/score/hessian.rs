//! `hessian`: what the loss says to second order, by differences of gradients.

use super::Criterion;
use super::gradient::measured;
use crate::gradients::Want;

/// Optimal Brain Damage with an estimate of the diagonal of the Hessian.
pub const HESSIAN: Criterion = Criterion {
    name: "hessian",
    about: "growth of the loss without the weights, with an estimate of its curvature",
    source: "LeCun et al., Optimal Brain Damage, 1989; Hutchinson, A Stochastic Estimator of the Trace of the Influence Matrix, \
             1989; Yu et al., Hessian-Aware Pruning and Optimal Neural Implant, 2022 (arXiv 2101.08940)",
    needs_data: true,
    comparable: true,
    gradient: Some(Want::Hessian),
    score: |context, group| measured(context, group, Want::Hessian),
};
