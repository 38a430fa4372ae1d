//! Normalization with statistics that are known, or taken over a window or a plane.

use super::shared::dims::{expect_rank, expect_vector, row};
use super::{AxisRule, Homogeneity, Interval, Operands, Rule, Site, ValueLaws, ZeroLaws, lower, normalize_axis, zero};
use crate::facts::Fact;

pub(super) const RULES: &[(&str, Rule)] = &[
    ("BatchNormalization", BATCH_NORMALIZATION),
    ("InstanceNormalization", INSTANCE_NORMALIZATION),
    ("LRN", LRN),
    ("LpNormalization", LP_NORMALIZATION),
    ("MeanVarianceNormalization", MEAN_VARIANCE_NORMALIZATION),
];

/// `y = scale · (x - mean) / √(var + ε) + bias`, with statistics from training, one a channel.
const BATCH_NORMALIZATION: Rule = Rule {
    infer: |site| {
        channel_vectors(site, &["scale", "bias", "mean", "variance"])?;
        let mut facts = vec![site.fact(0).clone()];
        // In training also the running mean and variance.
        facts.resize(site.call.results.len().max(1), site.fact(3).clone());
        Ok(facts.into_iter().map(without_content).collect())
    },
    axes: |site| {
        if site.call.int("spatial", 1) == 0 {
            return None;
        }
        if is_training(site) {
            let running = ", c".repeat(site.call.results.len().saturating_sub(1));
            let text = format!("_ c _*, c, c, c, c -> _ c _*{running}");
            return Some(AxisRule::new(text).why("in training mode its statistics are taken along it"));
        }
        Some(channelwise(site, "n c ..., c, c, c, c -> n c ...", "n _ ..., _, _, _, _ -> n _ ..."))
    },
    zeros: ZeroLaws {
        // The masked variance is zero, and so is what is divided by its root: ε is not.
        results: |_, at| {
            let at = |i: usize| at.get(i) == Some(&true);
            (at(1) || (at(0) && at(3))) && at(2)
        },
        ..ZeroLaws::OPAQUE
    },
    operands: Operands { statistics: |site| (!is_training(site)).then_some((3, 4)), ..Operands::OPAQUE },
    values: ValueLaws {
        bounds: |site, at| {
            let &[x, scale, bias, mean, variance] = at else { return None };
            let epsilon = f64::from(site.call.float("epsilon", 1e-5));
            let usable = !is_training(site) && variance.lo + epsilon > 0.0;
            let inverse = Interval::new((variance.hi + epsilon).sqrt().recip(), (variance.lo + epsilon).sqrt().recip());
            usable.then(|| (x - mean) * (scale * inverse) + bias)
        },
        homogeneity: |_, at| {
            if *at == [false, true, true, false, false] { Homogeneity::Any } else { Homogeneity::None }
        },
        ..ValueLaws::OPAQUE
    },
    lower: lower::norm::batch,
    ..Rule::OPAQUE
};

/// `y = scale · (x - mean) / √(var + ε) + bias`, with statistics over each plane of x.
const INSTANCE_NORMALIZATION: Rule = Rule {
    infer: |site| {
        channel_vectors(site, &["scale", "bias"])?;
        Ok(vec![without_content(site.fact(0).clone())])
    },
    axes: |site| {
        let rule = channelwise(site, "n c _*, c, c -> n c _*", "n _*, _, _ -> n _*");
        Some(if rule.why.is_empty() { rule.why("its mean and variance are taken along it") } else { rule })
    },
    zeros: ZeroLaws {
        results: |_, at| {
            let at = |i: usize| at.get(i) == Some(&true);
            (at(0) || at(1)) && at(2)
        },
        ..ZeroLaws::OPAQUE
    },
    lower: lower::norm::instance,
    ..Rule::OPAQUE
};

/// `y[n, c] = x[n, c] / (bias + alpha/size · Σ x[n, c']²)^beta` over the channels c' around c.
const LRN: Rule = Rule {
    infer: |site| {
        channel_vectors(site, &[])?;
        Ok(vec![without_content(site.fact(0).clone())])
    },
    axes: |_| Some(AxisRule::new("n _ ... -> n _ ...").why("each channel is normalized by its neighbours")),
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    lower: lower::norm::neighbours,
    ..Rule::OPAQUE
};

/// `y = x / ‖x‖` along one axis. A row of zeros has no direction, so the other axes can't be masked.
const LP_NORMALIZATION: Rule = Rule {
    infer: |site| {
        if let Some(rank) = site.rank(0) {
            site.axis("axis", -1, rank)?;
        }
        Ok(vec![without_content(site.fact(0).clone())])
    },
    axes: |site| {
        let rank = site.rank(0)?;
        let axis = site.axis("axis", -1, rank).ok()?;
        let x = row(rank, |i| if i == axis { "c!".into() } else { "_".into() });
        Some(AxisRule::new(format!("{x} -> {x}")).why("it is divided by the norm"))
    },
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    lower: lower::norm::norm,
    ..Rule::OPAQUE
};

/// `y = (x - mean) / √var` with statistics over some axes.
const MEAN_VARIANCE_NORMALIZATION: Rule = Rule {
    infer: |site| {
        averaged_axes(site)?;
        Ok(vec![without_content(site.fact(0).clone())])
    },
    axes: |site| {
        let axes = averaged_axes(site).ok()??;
        let x = row(site.rank(0)?, |i| if axes.contains(&i) { "_".into() } else { format!("a{i}") });
        Some(AxisRule::new(format!("{x} -> {x}")).why("its mean and variance are taken along it"))
    },
    zeros: ZeroLaws {
        results: zero::first,
        // Whether something is added to a variance of 0 is left to the runtime.
        pole: zero::first,
        ..ZeroLaws::OPAQUE
    },
    lower: lower::norm::mean_variance,
    ..Rule::OPAQUE
};

pub(super) fn averaged_axes(site: &Site) -> Result<Option<Vec<usize>>, String> {
    let Some(rank) = site.rank(0) else { return Ok(None) };
    let axes = site.call.ints("axes").unwrap_or(&[0, 2, 3]);
    axes.iter().map(|&axis| normalize_axis(axis, rank)).collect::<Result<_, _>>().map(Some)
}

/// Whether statistics are taken from the batch. Before opset 14 the number of results says so.
pub(super) fn is_training(site: &Site) -> bool {
    site.call.int("training_mode", 0) != 0 || site.call.results.iter().skip(1).any(|r| !r.is_empty())
}

/// A rule by channel, or the one that pins the channels where the masked model would divide by zero.
fn channelwise(site: &Site, text: &str, pinned: &str) -> AxisRule {
    if site.call.float("epsilon", 1e-5) > 0.0 {
        return AxisRule::new(text);
    }
    AxisRule::new(pinned).why("without an epsilon, a channel of zeros is divided by zero")
}

pub(super) fn without_content(fact: Fact) -> Fact {
    Fact { content: None, ..fact }
}

/// Checks that the operands from 1 on are vectors with one element a channel.
fn channel_vectors(site: &Site, names: &[&str]) -> Result<(), String> {
    let spatial = site.call.int("spatial", 1) != 0;
    match site.shape(0) {
        Some([_, channels, ..]) if spatial => {
            names.iter().enumerate().try_for_each(|(i, name)| expect_vector(site, i + 1, channels, name))
        }
        Some([] | [_]) => Err("it normalizes channels, and its input has none".into()),
        _ if spatial => names.iter().enumerate().try_for_each(|(i, name)| expect_rank(site, i + 1, 1, name)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::ops::testing::{Case, show};
    use insta::assert_snapshot;

    #[test]
    fn batch_normalization() {
        let operands = ["=2 8 5 5", "=8", "=8", "=8", "=8"];
        let bn = |attributes: &str, results| Case::new("BatchNormalization", 15, attributes, &operands, results);
        assert_snapshot!(
            bn("", 1).show(),
            @"[c0:2, c1:8, c2:5, c3:5], [c1:8], [c1:8], [c1:8], [c1:8] -> f32[c0:2, c1:8, c2:5, c3:5]"
        );
        assert_snapshot!(
            bn("training_mode=1", 1).show(),
            @"[2, c1:8, 5, 5], [c1:8], [c1:8], [c1:8], [c1:8] -> f32[2, c1:8, 5, 5]"
        );
        assert_snapshot!(
            bn("", 3).show(),
            @"[2, c1:8, 5, 5], [c1:8], [c1:8], [c1:8], [c1:8] -> f32[2, c1:8, 5, 5], f32[c1:8], f32[c1:8]"
        );
        assert_snapshot!(
            bn("epsilon=0.0", 1).show(),
            @"[c0:2, 8, c2:5, c3:5], [8], [8], [8], [8] -> f32[c0:2, 8, c2:5, c3:5]"
        );
        assert_snapshot!(bn("epsilon=0.0", 1).reasons(), @"without an epsilon, a channel of zeros is divided by zero");
        assert!(bn("", 1).zero(&[false, true, true, true, true]));
        assert!(!bn("", 1).zero(&[true, true, false, true, true]));
        assert_snapshot!(
            show("BatchNormalization", 9, "", &["N 8", "=8", "=8", "=8", "=8"]),
            @"[N, 8], [8], [8], [8], [8] -> f32[N, 8]"
        );
        assert_snapshot!(
            show("BatchNormalization", 9, "", &["N 8", "=8", "=8", "=8", "=7"]),
            @"error: the variance has 7 elements but there are 8 channels"
        );
        assert_snapshot!(
            show("BatchNormalization", 9, "", &["N", "=8", "=8", "=8", "=7"]),
            @"error: it normalizes channels, and its input has none"
        );
        assert_snapshot!(
            show("BatchNormalization", 7, "spatial=0", &["N 8 5", "=8 5", "=8 5", "=8 5", "=8 5"]),
            @"[N, 8, 5], [8, 5], [8, 5], [8, 5], [8, 5] -> f32[N, 8, 5]"
        );
        assert_snapshot!(
            show("BatchNormalization", 9, "", &["?", "=8", "=8", "=8", "=8"]),
            @"[..], [8], [8], [8], [8] -> f32[..]"
        );
    }

    #[test]
    fn instance_normalization() {
        let case = Case::new("InstanceNormalization", 6, "", &["=2 8 5 5", "=8", "=8"], 1);
        assert_snapshot!(case.show(), @"[c0:2, c1:8, 5, 5], [c1:8], [c1:8] -> f32[c0:2, c1:8, 5, 5]");
        assert_snapshot!(case.reasons(), @"its mean and variance are taken along it");
        assert!(case.zero(&[false, true, true]));
        assert_snapshot!(
            show("InstanceNormalization", 6, "epsilon=0.0", &["=2 8 5 5", "=8", "=8"]),
            @"[c0:2, 8, 5, 5], [8], [8] -> f32[c0:2, 8, 5, 5]"
        );
    }

    #[test]
    fn lrn() {
        assert_snapshot!(
            show("LRN", 13, "size=5", &["=2 8 5 5"]),
            @"[c0:2, 8, c2:5, c3:5] -> f32[c0:2, 8, c2:5, c3:5]"
        );
    }

    #[test]
    fn norms() {
        assert_snapshot!(show("LpNormalization", 1, "", &["=2 8"]), @"[2, c1!:8] -> f32[2, c1!:8]");
        assert_snapshot!(show("LpNormalization", 1, "axis=2", &["=2 8"]), @"error: axis 2 of a tensor of rank 2");
        assert_snapshot!(
            show("MeanVarianceNormalization", 13, "", &["=2 8 5 5"]),
            @"[2, c1!:8, 5, 5] -> f32[2, c1!:8, 5, 5]"
        );
        assert_snapshot!(show("MeanVarianceNormalization", 13, "axes=[-1]", &["=2 8"]), @"[c0!:2, 8] -> f32[c0!:2, 8]");
        assert_snapshot!(show("MeanVarianceNormalization", 13, "", &["=2 8"]), @"error: axis 2 of a tensor of rank 2");
    }
}
