//! `taylor`: what the loss says to first order.
//!
//! Gradients of everything that goes with a unit, in all constants, are summed before they are squared.
//!
//! Scores compare between groups, which is measured to be better than to scale them to the same mean in each (figures
//! in brackets): without repair, at 50 and 35 % of the MACs, `digits_resnet` keeps 98.6 and 84.2 % (74.0 and 31.2),
//! `digits_vgg` 96.6 and 86.0 % (73.6 and 41.6), `letters_mobilenet` 56.7 and 13.2 % (41.1 and 12.5). With the repair
//! the two are at most 1.2 points apart.

use super::Criterion;
use super::gradient::measured;
use crate::gradients::Want;

/// First-order Taylor expansion of the loss.
pub(super) const TAYLOR: Criterion = Criterion {
    name: "taylor",
    aliases: &["taylor-fo"],
    about: "squared change of the loss without the unit, to first order",
    source: "Molchanov et al., Importance Estimation for Neural Network Pruning, 2019 (arXiv 1906.10771); \
             Theis et al., Faster Gaze Prediction with Dense Networks and Fisher Pruning, 2018 (arXiv 1801.05787)",
    needs_data: true,
    comparable: true,
    gradient: Some(Want::Taylor),
    score: |context, group| measured(context, group, Want::Taylor),
};
