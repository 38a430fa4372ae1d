//! `lrp` and `lrp-epsilon`: how much of the score of a sample's class is owed to a unit.

use super::Criterion;
use super::gradient::measured;
use crate::gradients::{RelevanceRule, Want};

const POSITIVE: Want = Want::Relevance(RelevanceRule::Positive);
const EPSILON: Want = Want::Relevance(RelevanceRule::Epsilon);

/// Relevance that products with weights share out by what is above zero (the rule z⁺).
pub(super) const LRP: Criterion = Criterion {
    name: "lrp",
    aliases: &["relevance"],
    about: "relevance of the unit for the class, propagated through positive products",
    source: "Montavon et al., Explaining Nonlinear Classification Decisions with Deep Taylor Decomposition, 2017 \
             (arXiv 1512.02479); Yeom et al., Pruning by Explaining, 2021 (arXiv 1912.08881)",
    needs_data: true,
    comparable: true,
    gradient: Some(POSITIVE),
    score: |context, group| measured(context, group, POSITIVE),
};

/// Relevance that products with weights share out by all of them (the rule ε).
pub(super) const LRP_EPSILON: Criterion = Criterion {
    name: "lrp-epsilon",
    aliases: &[],
    about: "relevance of the unit for the class, propagated through all products",
    source: "Bach et al., On Pixel-Wise Explanations for Non-Linear Classifier Decisions by Layer-Wise Relevance \
             Propagation, 2015; Yeom et al., Pruning by Explaining, 2021 (arXiv 1912.08881)",
    needs_data: true,
    comparable: true,
    gradient: Some(EPSILON),
    score: |context, group| measured(context, group, EPSILON),
};
