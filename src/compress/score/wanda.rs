//! `wanda`: weights times the size of what they are multiplied with.

use super::Criterion;
use super::reading::over_readings;

/// Sum of the absolute weights that read a unit, each times the size of what it reads.
pub(super) const WANDA: Criterion = Criterion {
    name: "wanda",
    aliases: &[],
    about: "absolute weights that read the unit, times the size of what they read; l2 where nothing measures it",
    source: "Sun et al., A Simple and Effective Pruning Approach for Large Language Models, 2023 (arXiv 2306.11695)",
    needs_data: true,
    comparable: false,
    gradient: None,
    score: |context, group| {
        over_readings(context, group, |reading| {
            let sizes = reading.energy().into_iter().map(f64::sqrt);
            Ok(reading.weights(f64::abs)?.into_iter().zip(sizes).map(|(w, x)| w * x).collect())
        })
    },
};
