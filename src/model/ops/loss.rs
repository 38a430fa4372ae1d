//! Losses: what a training graph ends in. Classes lie along axis 1 and are chosen by the targets, or weighed against
//! each other: only types are known.

use super::{Rule, Site, lower};
use crate::facts::Fact;
use crate::ir::Dim;

pub(super) const RULES: &[(&str, Rule)] =
    &[("NegativeLogLikelihoodLoss", NEGATIVE_LOG_LIKELIHOOD), ("SoftmaxCrossEntropyLoss", SOFTMAX_CROSS_ENTROPY)];

/// `-x[n, target[n, d], d]`. Operands: x, targets, weights of classes.
const NEGATIVE_LOG_LIKELIHOOD: Rule = Rule {
    infer: |site| Ok(vec![Fact::maybe(site.dtype(0), reduced(site)?)]),
    lower: lower::loss::likelihood,
    ..Rule::OPAQUE
};

/// The same of a softmax's logarithm, which is the second result.
const SOFTMAX_CROSS_ENTROPY: Rule = Rule {
    infer: |site| {
        let scores = site.fact(0).shape.clone();
        Ok(vec![Fact::maybe(site.dtype(0), reduced(site)?), Fact::maybe(site.dtype(0), scores)])
    },
    lower: lower::loss::cross_entropy,
    ..Rule::OPAQUE
};

/// The shape of the loss: that of the targets, or of a single number.
fn reduced(site: &Site) -> Result<Option<Vec<Dim>>, String> {
    if let (Some(x), Some(target)) = (site.rank(0), site.rank(1))
        && x != target + 1
    {
        return Err(format!("targets of rank {target} for scores of rank {x}"));
    }
    Ok(match site.call.string("reduction", "mean") {
        "none" => site.fact(1).shape.clone(),
        _ => Some(vec![]),
    })
}

#[cfg(test)]
mod tests {
    use crate::ops::testing::{Case, show};
    use insta::assert_snapshot;

    #[test]
    fn losses() {
        let nll = |attributes: &str, operands: &[&str]| show("NegativeLogLikelihoodLoss", 22, attributes, operands);
        assert_snapshot!(nll("", &["=3 5", "i64:3", "=5"]), @"[3, 5], [3], [5] -> f32[]");
        assert_snapshot!(nll("reduction=none", &["=3 5 6", "i64:3 6"]), @"[3, 5, 6], [3, 6] -> f32[3, 6]");
        assert_snapshot!(nll("", &["=3 5", "i64:3 5"]), @"error: targets of rank 2 for scores of rank 2");
        let case = Case::new("SoftmaxCrossEntropyLoss", 13, "reduction=none", &["=3 5 6", "i64:3 6"], 2);
        assert_snapshot!(case.show(), @"[3, 5, 6], [3, 6] -> f32[3, 6], f32[3, 5, 6]");
    }
}
