//! `fisher`: what the loss says to second order, by squared gradients.
//!
//! Scores compare between groups, which is measured to be better than to scale them to the same mean in each (figures
//! in brackets): without repair, at 50 and 35 % of the MACs, `digits_resnet` keeps 98.4 and 83.4 % (64.2 and 20.2),
//! `digits_vgg` 90.4 and 65.2 % (77.8 and 26.2), `letters_mobilenet` 56.5 and 8.1 % (44.6 and 12.4). With the repair
//! the two are at most 1.2 points apart.

use super::Criterion;
use super::gradient::measured;
use crate::gradients::Want;

/// Optimal Brain Damage with the diagonal of the Fisher information.
pub(super) const FISHER: Criterion = Criterion {
    name: "fisher",
    aliases: &["obd", "optimal-brain-damage", "empirical-fisher"],
    about: "growth of the loss without the weights, with squared gradients as its curvature",
    source: "LeCun et al., Optimal Brain Damage, 1989; Kunstner et al., Limitations of the Empirical Fisher Approximation, 2019 \
             (arXiv 1905.12558)",
    needs_data: true,
    comparable: true,
    gradient: Some(Want::Fisher),
    score: |context, group| measured(context, group, Want::Fisher),
};
