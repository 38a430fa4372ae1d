//! `apoz`: how often a unit says nothing.

use super::Criterion;
use super::reading::over_readings;

/// One less the average share of zeros: how often the unit is positive where it is read.
pub(super) const APOZ: Criterion = Criterion {
    name: "apoz",
    aliases: &["network-trimming"],
    about: "how often the unit is above zero where it is read; l2 where nothing measures it",
    source: "Hu et al., Network Trimming, 2016 (arXiv 1607.03250)",
    needs_data: true,
    comparable: false,
    gradient: None,
    score: |context, group| {
        over_readings(context, group, |reading| {
            let shares = reading.stats.positive(reading.contraction);
            Ok(shares.unwrap_or_else(|| vec![0.0; reading.contraction.view.length]))
        })
    },
};
