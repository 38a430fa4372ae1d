//! `taylor`: what the loss says to first order.
//!
//! Gradients of everything that goes with a unit, in all constants, are summed before they are squared.

use super::Criterion;
use super::gradient::measured;
use crate::gradients::Want;

/// First-order Taylor expansion of the loss.
pub const TAYLOR: Criterion = Criterion {
    name: "taylor",
    about: "squared change of the loss without the unit, to first order",
    source: "Molchanov et al., Importance Estimation for Neural Network Pruning, 2019 (arXiv 1906.10771); \
             Theis et al., Faster Gaze Prediction with Dense Networks and Fisher Pruning, 2018 (arXiv 1801.05787)",
    needs_data: true,
    comparable: true,
    gradient: Some(Want::Taylor),
    score: |context, group| measured(context, group, Want::Taylor),
};
