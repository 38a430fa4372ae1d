//! `activation`: how large the units are where they are read.

use super::Criterion;
use super::reading::over_readings;

/// Root mean square of what contractions read of a unit.
pub(super) const ACTIVATION: Criterion = Criterion {
    name: "activation",
    aliases: &["activation-rms"],
    about: "root mean square of the unit where it is read; l2 where nothing measures it",
    source: "Molchanov et al., Pruning Convolutional Neural Networks for Resource Efficient Inference, 2017 \
             (arXiv 1611.06440)",
    needs_data: true,
    comparable: false,
    gradient: None,
    score: |context, group| {
        over_readings(context, group, |reading| Ok(reading.energy().into_iter().map(f64::sqrt).collect()))
    },
};
