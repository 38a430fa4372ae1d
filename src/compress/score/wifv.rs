//! `wifv`: weighted input feature variance. What hardly varies can be made up for by a bias.

use super::Criterion;
use super::reading::over_readings;

/// Variance of a unit, times the squared norm of the weights that read it.
pub(super) const WIFV: Criterion = Criterion {
    name: "wifv",
    aliases: &["flap"],
    about: "variance of the unit times the squared norm of the weights that read it; l2 where nothing measures it",
    source: "An et al., Fluctuation-based Adaptive Structured Pruning for Large Language Models, 2023 \
             (arXiv 2312.11983)",
    needs_data: true,
    comparable: false,
    gradient: None,
    score: |context, group| {
        over_readings(context, group, |reading| {
            let variances = reading.variance();
            Ok(reading.weights(|w| w * w)?.into_iter().zip(variances).map(|(w, v)| w * v).collect())
        })
    },
};
