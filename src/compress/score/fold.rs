//! `fold`: what the consumers could not make up for, by statistics that the weights imply.
//!
//! Without samples, the weights of the producers tell which units are alike, and the statistics of batch normalizations
//! how large they are ([`crate::stats::Implied`]). Units are then taken out as by [`super::obs`], and the
//! consumers' weights for those that go are folded into those of units that stay.

use super::{Criterion, obs};

/// The error that remains after folding.
pub(super) const FOLD: Criterion = Criterion {
    name: "fold",
    aliases: &["model-folding"],
    about: "error of the consumers after the best merge, by statistics that the weights imply",
    source: "Wang et al., Model Folding, 2025 (arXiv 2502.10216); Cho and Saul, Kernel Methods for Deep Learning, 2009; \
             Kurtic et al., ZipLM, 2023 (arXiv 2302.04089)",
    needs_data: false,
    comparable: true,
    gradient: None,
    score: obs::score,
};
