//! Normalization with statistics over the features of each sample: removing a feature changes the others.

use super::norm::without_content;
use super::shared::dims::{agree, expect_rank, row};
use super::{AxisRule, CutSizes, Operands, Refit, Rule, Site, ZeroLaws, lower};
use crate::facts::Fact;
use crate::ir::{Attribute, DType, Dim};

pub(super) const RULES: &[(&str, Rule)] = &[
    ("GroupNormalization", GROUP_NORMALIZATION),
    ("LayerNormalization", LAYER_NORMALIZATION),
    ("RMSNormalization", RMS_NORMALIZATION),
    ("SimplifiedLayerNormalization", RMS_NORMALIZATION),
    ("com.microsoft.EmbedLayerNormalization", EMBED_LAYER_NORMALIZATION),
    ("com.microsoft.SimplifiedLayerNormalization", RMS_NORMALIZATION),
    ("com.microsoft.SkipLayerNormalization", SKIP_LAYER_NORMALIZATION),
    ("com.microsoft.SkipSimplifiedLayerNormalization", SKIP_SIMPLIFIED_LAYER_NORMALIZATION),
];

/// The operands of an embedding with their ranks.
const EMBEDDED: [(&str, usize); 7] = [
    ("input ids", 2),
    ("segment ids", 2),
    ("word embedding", 2),
    ("position embedding", 2),
    ("segment embedding", 2),
    ("gamma", 1),
    ("beta", 1),
];

const STATISTIC: &str = "its statistics are taken over all of them";

/// `y = (x - mean) / √(var + ε) · scale + bias` with statistics over all axes from `axis` on.
const LAYER_NORMALIZATION: Rule = Rule {
    infer: layer_types,
    axes: |site| {
        let from = norm_axis(site)?;
        let rank = site.rank(0)?;
        let (x, scale, bias) = (normalized_row(rank, from), aligned(site, 1, rank)?, aligned(site, 2, rank)?);
        let statistics = format!("{}{}", row(from, |i| format!("a{i}")), " 1".repeat(rank - from));
        let text = format!("{x}, {scale}, {bias} -> {x}, {statistics}, {statistics}");
        Some(AxisRule::new(text).why(STATISTIC))
    },
    zeros: ZeroLaws {
        results: |site, at| on(at, 1) && vanishes(site, at, 2) && !wants_statistics(site),
        ..ZeroLaws::SUM
    },
    lower: lower::layer_norm::layer,
    ..Rule::OPAQUE
};

/// `y = x / √(mean(x²) + ε) · scale` with the mean over all axes from `axis` on.
const RMS_NORMALIZATION: Rule = Rule {
    zeros: ZeroLaws {
        results: |site, at| (on(at, 0) || on(at, 1)) && !wants_statistics(site),
        ..LAYER_NORMALIZATION.zeros
    },
    lower: lower::layer_norm::rms,
    ..LAYER_NORMALIZATION
};

/// The layer normalization of `s = x + skip + bias`, and s itself: x, skip, gamma, beta, bias.
const SKIP_LAYER_NORMALIZATION: Rule = Rule {
    infer: skip_types,
    axes: |site| skip_axes(site, 5),
    zeros: ZeroLaws {
        results: |site, at| {
            let sum = on(at, 0) && on(at, 1) && vanishes(site, at, 4);
            on(at, 2) && vanishes(site, at, 3) && (sum || !wants(site, 3)) && !wants_statistics(site)
        },
        ..ZeroLaws::SUM
    },
    lower: lower::layer_norm::skip,
    ..Rule::OPAQUE
};

/// The RMS normalization of `s = x + skip + bias`, and s itself: x, skip, gamma, bias.
const SKIP_SIMPLIFIED_LAYER_NORMALIZATION: Rule = Rule {
    infer: skip_types,
    axes: |site| skip_axes(site, 4),
    zeros: ZeroLaws {
        results: |site, at| {
            let sum = on(at, 0) && on(at, 1) && vanishes(site, at, 3);
            (sum || (on(at, 2) && !wants(site, 3))) && !wants_statistics(site)
        },
        ..ZeroLaws::SUM
    },
    lower: lower::layer_norm::skip_rms,
    ..Rule::OPAQUE
};

/// The layer normalization of `s = words[id] + positions[i] + segments[segment]`, and s itself.
const EMBED_LAYER_NORMALIZATION: Rule = Rule {
    infer: |site| {
        for (slot, (name, rank)) in EMBEDDED.into_iter().enumerate() {
            expect_rank(site, slot, rank, name)?;
        }
        let (ids, words) = (site.shape(0), site.shape(2));
        let (batch, shape) = match (ids, words) {
            (Some([b, s]), Some([_, h])) => (Some(vec![b.clone()]), Some(vec![b.clone(), s.clone(), h.clone()])),
            _ => (None, None),
        };
        let y = Fact::maybe(site.dtype(2), shape);
        Ok(vec![y.clone(), Fact::maybe(Some(DType::I32), batch), y])
    },
    axes: |site| {
        // Where no positions are given, a token's position is its index.
        let text = "b _, b _, _ h!, _ h, _ h, h, h, b _*, b _ -> b _ h, b, b _ h";
        has_epsilon(site, 1e-12).then(|| AxisRule::new(text).why(STATISTIC))
    },
    zeros: ZeroLaws {
        results: |site, at| {
            let sum = on(at, 2) && on(at, 3) && vanishes(site, at, 4);
            on(at, 5) && on(at, 6) && (sum || !wants(site, 2))
        },
        ..ZeroLaws::SUM
    },
    operands: Operands {
        indices: |site| {
            let rows = |(ids, table): (usize, usize)| site.dim(table, 0).map(|n| (ids, n.clone()));
            [(0, 2), (1, 4), (8, 3)].into_iter().filter_map(rows).collect()
        },
        ..Operands::OPAQUE
    },
    lower: lower::layer_norm::embedded,
    ..Rule::OPAQUE
};

/// As a layer normalization of each group of channels and all that is behind them; scale and bias have one element
/// a group (before opset 21) or one a channel. Groups know nothing of each other.
const GROUP_NORMALIZATION: Rule = Rule {
    infer: |site| {
        groups(site)?;
        Ok(vec![without_content(site.fact(0).clone())])
    },
    axes: |site| {
        let (group, vector) = groups(site).ok()??;
        let text = format!("n (g c!) _*, {vector}, {vector} -> n (g c) _*");
        has_epsilon(site, 1e-5).then(|| AxisRule::new(text).size("g", group).why(STATISTIC))
    },
    zeros: ZeroLaws { results: |_, at| on(at, 1) && on(at, 2), ..ZeroLaws::OPAQUE },
    refit: |site, cut: &CutSizes| match cut.size("g") {
        Some(Dim::Fixed(g)) if g != site.call.int("num_groups", 0) => {
            Ok(Refit::default().attribute("num_groups", Attribute::Int(g)))
        }
        _ => Ok(Refit::default()),
    },
    lower: lower::layer_norm::group,
    ..Rule::OPAQUE
};

fn on(at: &[bool], slot: usize) -> bool {
    at.get(slot) == Some(&true)
}

/// Whether an addend is zero or absent.
fn vanishes(site: &Site, at: &[bool], slot: usize) -> bool {
    on(at, slot) || !site.has(slot)
}

fn wants(site: &Site, port: usize) -> bool {
    site.call.results.get(port).is_some_and(|r| !r.is_empty())
}

/// Means and deviations are not zero where what is normalized is.
fn wants_statistics(site: &Site) -> bool {
    wants(site, 1) || wants(site, 2)
}

/// Without an epsilon, zeros are divided by zero.
fn has_epsilon(site: &Site, default: f32) -> bool {
    site.call.float("epsilon", default) > 0.0
}

/// The first normalized axis, where the call can be masked.
fn norm_axis(site: &Site) -> Option<usize> {
    let from = site.axis("axis", -1, site.rank(0)?).ok()?;
    has_epsilon(site, 1e-5).then_some(from)
}

fn normalized_row(rank: usize, from: usize) -> String {
    row(rank, |i| if i < from { format!("a{i}") } else { format!("a{i}!") })
}

/// The axes of an operand that broadcasts against x.
fn aligned(site: &Site, slot: usize, rank: usize) -> Option<String> {
    if !site.has(slot) {
        return Some(String::new());
    }
    let own = site.rank(slot)?;
    let lead = rank.checked_sub(own)?;
    Some(row(own, |i| format!("a{}", lead + i)))
}

/// A contradiction where an operand does not broadcast to the shape of x.
fn expect_aligned(site: &Site, slot: usize, name: &str) -> Result<(), String> {
    let (Some(x), Some(v)) = (site.shape(0), site.shape(slot)) else { return Ok(()) };
    let lead = x.len().checked_sub(v.len()).ok_or_else(|| format!("the {name} has a higher rank than the input"))?;
    let longer = v.iter().zip(&x[lead..]).filter(|(v, _)| **v != Dim::Fixed(1));
    longer
        .into_iter()
        .try_for_each(|(v, d)| agree(v, d, |v, d| format!("the {name} has {v} elements for {d} features")))
}

fn layer_types(site: &Site) -> Result<Vec<Fact>, String> {
    let Some(x) = site.shape(0) else {
        return Ok(vec![Fact::maybe(site.dtype(0), None); site.call.results.len()]);
    };
    if x.is_empty() {
        return Err("a scalar has no features".into());
    }
    let from = site.axis("axis", -1, x.len())?;
    expect_aligned(site, 1, "scale")?;
    expect_aligned(site, 2, "bias")?;
    let statistic = x.iter().enumerate().map(|(i, d)| if i < from { d.clone() } else { Dim::Fixed(1) }).collect();
    let stash = i32::try_from(site.call.int("stash_type", 1)).ok().and_then(DType::from_code);
    let statistic = Fact::maybe(stash, Some(statistic));
    // The scale may be wider than the input of the simplified one.
    let dtype = if site.call.op == "SimplifiedLayerNormalization" { site.dtype(1) } else { site.dtype(0) };
    Ok(vec![Fact::maybe(dtype, Some(x.to_vec())), statistic.clone(), statistic])
}

fn skip_types(site: &Site) -> Result<Vec<Fact>, String> {
    let Some(x) = site.shape(0) else { return Ok(vec![Fact::maybe(site.dtype(0), None)]) };
    if x.is_empty() {
        return Err("a scalar has no features".into());
    }
    (1..site.arity())
        .try_for_each(|slot| expect_aligned(site, slot, ["skip", "gamma", "beta", "bias"][(slot - 1).min(3)]))?;
    let mut statistic = x.to_vec();
    statistic[x.len() - 1] = Dim::Fixed(1);
    let statistic = Fact::maybe(Some(DType::F32), Some(statistic));
    let y = Fact::maybe(site.dtype(0), Some(x.to_vec()));
    Ok(vec![y.clone(), statistic.clone(), statistic, y])
}

/// The last axis is normalized; all operands broadcast against x.
fn skip_axes(site: &Site, operands: usize) -> Option<AxisRule> {
    let rank = site.rank(0)?;
    let x = normalized_row(rank, rank.checked_sub(1)?);
    let rest = (1..operands).map(|slot| aligned(site, slot, rank)).collect::<Option<Vec<_>>>()?.join(", ");
    let statistic = format!("{} 1", row(rank - 1, |i| format!("a{i}")));
    let text = format!("{x}, {rest} -> {x}, {statistic}, {statistic}, {x}");
    has_epsilon(site, 1e-12).then(|| AxisRule::new(text).why(STATISTIC))
}

/// The number of groups, and the axis of scale and bias: `g` or `(g c)`.
fn groups(site: &Site) -> Result<Option<(i64, &'static str)>, String> {
    let group = site.call.int("num_groups", 0);
    if group < 1 {
        return Err(format!("`num_groups` is {group}"));
    }
    let Some(x) = site.shape(0) else { return Ok(None) };
    let [_, channels, ..] = x else { return Err("it normalizes channels, and its input has none".into()) };
    let Some(channels) = channels.fixed() else { return Ok(None) };
    if channels % group != 0 {
        return Err(format!("{channels} channels do not divide into {group} groups"));
    }
    let mut vector = None;
    for slot in [1, 2] {
        let along = match site.shape(slot) {
            None => return Ok(None),
            Some([Dim::Fixed(n)]) if *n == channels => "(g c)",
            Some([Dim::Fixed(n)]) if *n == group => "g",
            Some([Dim::Open(_)]) => return Ok(None),
            Some(_) => return Err(format!("scale and bias fit neither {channels} channels nor {group} groups")),
        };
        if *vector.get_or_insert(along) != along {
            return Ok(None);
        }
    }
    Ok(vector.map(|v| (group, v)))
}

#[cfg(test)]
mod tests {
    use crate::ops::testing::{Case, show};
    use insta::assert_snapshot;

    #[test]
    fn layers() {
        let ln = |attributes: &str, operands: &[&str]| show("LayerNormalization", 17, attributes, operands);
        assert_snapshot!(
            ln("", &["=2 3 8", "=8", "=8"]),
            @"[c0:2, c1:3, c2!:8], [c2!:8], [c2!:8] -> f32[c0:2, c1:3, c2!:8]"
        );
        assert_snapshot!(
            ln("axis=1", &["=2 3 8", "=3 8"]),
            @"[c0:2, c1!:3, c2!:8], [c1!:3, c2!:8] -> f32[c0:2, c1!:3, c2!:8]"
        );
        assert_snapshot!(
            ln("axis=1", &["=2 3 8", "=1 8", "=3 1"]),
            @"[c0:2, c1!:3, c2!:8], [1, c2!:8], [c1!:3, 1] -> f32[c0:2, c1!:3, c2!:8]"
        );
        assert_snapshot!(ln("", &["=2 3 8", "=7"]), @"error: the scale has 7 elements for 8 features");
        assert_snapshot!(ln("", &["=8", "=1 8"]), @"error: the scale has a higher rank than the input");
        assert_snapshot!(ln("axis=3", &["=2 3 8", "=8"]), @"error: axis 3 of a tensor of rank 3");
        assert_snapshot!(ln("", &["?", "=8"]), @"[..], [8] -> f32[..]");
        assert_snapshot!(ln("", &["=2 3 8", "?"]), @"[2, 3, 8], [..] -> f32[2, 3, 8]");
        assert_snapshot!(ln("epsilon=0.0", &["=2 3 8", "=8"]), @"[2, 3, 8], [8] -> f32[2, 3, 8]");
        assert_snapshot!(
            Case::new("LayerNormalization", 17, "axis=-2", &["=2 3 8", "=3 8"], 3).show(),
            @"[c0:2, c1!:3, c2!:8], [c1!:3, c2!:8] -> f32[c0:2, c1!:3, c2!:8], f32[c0:2, 1, 1], f32[c0:2, 1, 1]"
        );
        assert_snapshot!(
            show("RMSNormalization", 23, "", &["=2 3 8", "=8"]),
            @"[c0:2, c1:3, c2!:8], [c2!:8] -> f32[c0:2, c1:3, c2!:8]"
        );
        assert_snapshot!(
            show("SimplifiedLayerNormalization", 1, "", &["=2 3 8", "=8"]),
            @"[c0:2, c1:3, c2!:8], [c2!:8] -> f32[c0:2, c1:3, c2!:8]"
        );
    }

    #[test]
    fn skips() {
        let skip = |operands: &[&str], results| {
            Case::new("com.microsoft.SkipLayerNormalization", 1, "", operands, results).show()
        };
        assert_snapshot!(
            skip(&["=2 3 8", "=2 3 8", "=8", "=8", "=8"], 4),
            @"[c0:2, c1:3, c2!:8], [c0:2, c1:3, c2!:8], [c2!:8], [c2!:8], [c2!:8] -> f32[c0:2, c1:3, c2!:8], f32[c0:2, c1:3, 1], f32[c0:2, c1:3, 1], f32[c0:2, c1:3, c2!:8]"
        );
        assert_snapshot!(
            skip(&["=2 3 8", "=1 3 8", "=8"], 1),
            @"[c0:2, c1:3, c2!:8], [1, c1:3, c2!:8], [c2!:8] -> f32[c0:2, c1:3, c2!:8]"
        );
        assert_snapshot!(
            skip(&["=6 8", "=6 8", "=8"], 1),
            @"[c0:6, c1!:8], [c0:6, c1!:8], [c1!:8] -> f32[c0:6, c1!:8]"
        );
        assert_snapshot!(skip(&["=6 8", "=6 9", "=8"], 1), @"error: the skip has 9 elements for 8 features");
        let simple = ["=2 3 8", "=2 3 8", "=8"];
        let simple = |results| Case::new("com.microsoft.SkipSimplifiedLayerNormalization", 1, "", &simple, results);
        assert_snapshot!(
            simple(4).show(),
            @"[c0:2, c1:3, c2!:8], [c0:2, c1:3, c2!:8], [c2!:8] -> f32[c0:2, c1:3, c2!:8], f32[c0:2, c1:3, 1], f32[c0:2, c1:3, 1], f32[c0:2, c1:3, c2!:8]"
        );
        assert!(simple(1).zero(&[false, false, true]));
        assert!(!simple(4).zero(&[false, false, true]));
        assert!(simple(1).zero(&[true, true, false]));
        assert!(!simple(4).zero(&[true, true, true]));
    }

    #[test]
    fn embeddings() {
        let operands = ["i32:B 3", "i32:B 3", "=100 8", "=16 8", "=2 8", "=8", "=8", "i32:B 3"];
        let case = Case::new("com.microsoft.EmbedLayerNormalization", 1, "", &operands, 3);
        assert_snapshot!(
            case.show(),
            @"[B, 3], [B, 3], [100, c1!:8], [16, c1!:8], [2, c1!:8], [c1!:8], [c1!:8], [B, 3] -> f32[B, 3, c1!:8], i32[B], f32[B, 3, c1!:8]"
        );
    }

    #[test]
    fn groups() {
        let gn = |opset, attributes: &str, v: &str| show("GroupNormalization", opset, attributes, &["=2 8 5 5", v, v]);
        assert_snapshot!(
            gn(21, "num_groups=4", "=8"),
            @"[c0:2, (c1:4 c2!:2), 5, 5], [(c1:4 c2!:2)], [(c1:4 c2!:2)] -> f32[c0:2, (c1:4 c2!:2), 5, 5]"
        );
        assert_snapshot!(
            gn(18, "num_groups=4", "=4"),
            @"[c0:2, (c1:4 c2!:2), 5, 5], [c1:4], [c1:4] -> f32[c0:2, (c1:4 c2!:2), 5, 5]"
        );
        assert_snapshot!(
            gn(21, "num_groups=1", "=8"),
            @"[c0:2, c1!:8, 5, 5], [c1!:8], [c1!:8] -> f32[c0:2, c1!:8, 5, 5]"
        );
        assert_snapshot!(gn(21, "num_groups=8", "=8"), @"[c0:2, c1:8, 5, 5], [c1:8], [c1:8] -> f32[c0:2, c1:8, 5, 5]");
        assert_snapshot!(gn(21, "num_groups=3", "=8"), @"error: 8 channels do not divide into 3 groups");
        assert_snapshot!(gn(21, "num_groups=0", "=8"), @"error: `num_groups` is 0");
        assert_snapshot!(gn(21, "num_groups=4", "=2"), @"error: scale and bias fit neither 8 channels nor 4 groups");
        let case = Case::new("GroupNormalization", 21, "num_groups=4", &["=2 8 5 5", "=8", "=8"], 1);
        assert_snapshot!(case.refit("g", &[1]), @"num_groups=1");
    }
}
