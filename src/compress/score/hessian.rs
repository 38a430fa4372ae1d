//! `hessian`: what the loss says to second order, by differences of gradients.
//!
//! Without labels the targets are the model's own answers, so the curvature is that of the divergence from what the model
//! says. Measured on 128 samples, without repair, at 50 and 35 % of the MACs: `digits_resnet` keeps 99.0 and 91.4 % right,
//! `digits_vgg` 99.2 and 86.6 %. An estimate of the diagonal by signs of single weights kept 16.8 and 8.6, 94.4 and 76.8 %:
//! noise of all pairs of weights hid it. It is still there where layers have many units: `letters_mobilenet` keeps 10.7 and
//! 6.9 % (`taylor` 56.7 and 13.2). Random signs for every four samples would make that 32.7 and 11.8, and take longer.

use super::Criterion;
use super::gradient::measured;
use crate::gradients::Want;

/// Optimal Brain Damage for units: the Hessian's quadratic form in all weights of a unit, by differences of gradients.
pub(super) const HESSIAN: Criterion = Criterion {
    name: "hessian",
    aliases: &[],
    about: "growth of the loss without the unit, to second order, with an estimate of its curvature",
    source: "LeCun et al., Optimal Brain Damage, 1989; Hutchinson, A Stochastic Estimator of the Trace of the Influence Matrix, \
             1989; Yu et al., Hessian-Aware Pruning and Optimal Neural Implant, 2022 (arXiv 2101.08940)",
    needs_data: true,
    comparable: true,
    gradient: Some(Want::Hessian),
    score: |context, group| measured(context, group, Want::Hessian),
};
