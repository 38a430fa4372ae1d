//! ONNX's attention. Heads are a factor of the features: query heads `(k r)`, r of them for each key head k.

use super::shared::dims::{agree, elements, expect_rank};
use super::{AxisRule, CutSizes, Refit, Rule, Site, ZeroLaws, lower};
use crate::facts::Fact;
use crate::ir::{Attribute, Dim};

pub(super) const RULES: &[(&str, Rule)] = &[("Attention", ATTENTION), ("LinearAttention", LINEAR_ATTENTION)];

/// `y[(k r), s, e] = Σ softmax(scale · Σ q[(k r), s, d] · k[k, t, d] + mask) · v[k, t, e]` over t and d.
/// Operands: q, k, v, mask, past keys, past values; a rank of 3 has all heads in the last axis.
const ATTENTION: Rule = Rule {
    infer: attention_types,
    axes: attention_axes,
    zeros: ZeroLaws {
        results: |site, at| {
            let on = |slot: usize| at.get(slot) == Some(&true);
            let values = on(2) && (on(5) || !site.has(5));
            let keys = on(1) && (on(4) || !site.has(4));
            values && (keys || !wants(site, 1)) && !wants(site, 3)
        },
        ..ZeroLaws::PRODUCT
    },
    refit: |site, cut| {
        let before = heads(site)?.and_then(|h| h.d.size());
        let mut refit = scale_of(before, cut, site.call.has("scale"));
        let (k, r) = (cut.size("k"), cut.size("r"));
        if let (Some(k), Some(r)) = (k, r) {
            refit = refit_heads(site, refit, "q_num_heads", Some(k.clone() * r));
            refit = refit_heads(site, refit, "kv_num_heads", Some(k));
        }
        Ok(refit)
    },
    cost: |site| match (site.shape(0), site.shape(1), site.result_shape(0)) {
        (Some(q), Some(k), Some(y)) if k.len() > 2 => (elements(q) + elements(y)) * k[k.len() - 2].clone(),
        _ => site.unknown(),
    },
    lower: lower::attention::attention,
    ..Rule::OPAQUE
};

/// A recurrence over outer products of keys and values. Operands: q, k, v with heads in the last axis, the state, decay
/// and rate. Only its types are known.
const LINEAR_ATTENTION: Rule = Rule {
    infer: |site| {
        let (query, key) = (site.call.int("q_num_heads", 0), site.call.int("kv_num_heads", 0));
        for (slot, name) in [(0, "queries"), (1, "keys"), (2, "values")] {
            expect_rank(site, slot, 3, name)?;
        }
        let part = |slot: usize| match site.dim(slot, 2) {
            Some(width) => divide(width, &Dim::Fixed(key), "heads"),
            None => Ok(None),
        };
        let (d, e) = (part(1)?, part(2)?);
        let (y, state) = match (site.shape(0), d, e) {
            (Some([b, t, _]), Some(d), Some(e)) => (
                Some(vec![b.clone(), t.clone(), e.clone() * Dim::Fixed(query)]),
                Some(vec![b.clone(), Dim::Fixed(key), d, e]),
            ),
            _ => (None, None),
        };
        let kept = if site.has(3) { site.dtype(3) } else { site.dtype(0) };
        Ok(vec![Fact::maybe(site.dtype(0), y), Fact::maybe(kept, state)])
    },
    ..Rule::OPAQUE
};

/// The numbers of an attention: query heads, key heads, query heads for each key head, features of a head.
struct Heads {
    query: Dim,
    key: Dim,
    repeat: Dim,
    d: Dim,
    e: Dim,
}

/// A division that must come out even; `None` where that is not known.
pub(super) fn divide(whole: &Dim, by: &Dim, what: &str) -> Result<Option<Dim>, String> {
    if by.fixed().is_some_and(|n| n < 1) {
        return Err(format!("{by} {what}"));
    }
    match (whole.div_exact(by), whole.fixed(), by.fixed()) {
        (Some(part), _, _) => Ok(Some(part)),
        (None, Some(whole), Some(by)) => Err(format!("{whole} does not divide into {by} {what}")),
        _ => Ok(None),
    }
}

pub(super) fn wants(site: &Site, port: usize) -> bool {
    site.call.results.get(port).is_some_and(|r| !r.is_empty())
}

fn heads(site: &Site) -> Result<Option<Heads>, String> {
    let (Some(q), Some(k), Some(v)) = (site.shape(0), site.shape(1), site.shape(2)) else { return Ok(None) };
    let (query, key, d, width, e) = match (q, k, v) {
        ([_, h, _, d], [_, kv, _, dk], [_, _, _, e]) => (h.clone(), kv.clone(), d.clone(), dk.clone(), e.clone()),
        ([_, _, q], [_, _, k], [_, _, v]) => {
            let count = |name: &str| Dim::Fixed(site.call.int(name, 0));
            let (h, kv) = (count("q_num_heads"), count("kv_num_heads"));
            let parts = (divide(q, &h, "heads")?, divide(k, &kv, "heads")?, divide(v, &kv, "heads")?);
            let (Some(d), Some(width), Some(e)) = parts else { return Ok(None) };
            (h, kv, d, width, e)
        }
        _ => return Err(format!("operands of rank {}, {} and {}", q.len(), k.len(), v.len())),
    };
    agree(&d, &width, |d, w| format!("heads of {d} features meet heads of {w}"))?;
    let repeat = divide(&query, &key, "key heads")?;
    Ok(repeat.map(|repeat| Heads { query, key, repeat, d, e }))
}

fn attention_types(site: &Site) -> Result<Vec<Fact>, String> {
    let facts = |shapes: [Option<Vec<Dim>>; 4]| shapes.map(|s| Fact::maybe(site.dtype(0), s)).to_vec();
    for (slot, name) in [(4, "past keys"), (5, "past values")] {
        expect_rank(site, slot, 4, name)?;
    }
    let (Some(h), Some(q), Some(k)) = (heads(site)?, site.shape(0), site.shape(1)) else {
        return Ok(facts([None, None, None, None]));
    };
    let (batch, steps, fresh) = match q.len() {
        4 => (&q[0], &q[2], &k[2]),
        _ => (&q[0], &q[1], &k[1]),
    };
    let total = match (site.has(4), site.dim(4, 2)) {
        (false, _) => fresh.clone(),
        (true, Some(past)) => past.clone() + fresh.clone(),
        (true, None) => site.unknown(),
    };
    let shape = |axes: [&Dim; 4]| Some(axes.map(Dim::clone).to_vec());
    let y = match q.len() {
        4 => shape([batch, &h.query, steps, &h.e]),
        _ => Some(vec![batch.clone(), steps.clone(), h.query.clone() * h.e.clone()]),
    };
    let scores = shape([batch, &h.query, steps, &total]);
    Ok(facts([y, shape([batch, &h.key, &total, &h.d]), shape([batch, &h.key, &total, &h.e]), scores]))
}

/// The features of a head in a rule. Keys in a cache stay as wide as they are: what they are contracted with is not
/// all here to be looked at.
pub(super) struct Cached {
    pub d: String,
    pub e: String,
}

impl Cached {
    pub(super) fn text(cached: bool, d: &Dim, e: &Dim) -> Option<Cached> {
        let text =
            |label: &str, size: &Dim| if cached { size.size().map(|n| n.to_string()) } else { Some(label.into()) };
        Some(Cached { d: text("d", d)?, e: text("e", e)? })
    }
}

fn attention_axes(site: &Site) -> Option<AxisRule> {
    let h = heads(site).ok()??;
    let cached = site.has(4) || site.has(5) || wants(site, 1) || wants(site, 2);
    let flat = site.rank(0)? == 3;
    let text = if flat {
        let Cached { d, e } = Cached::text(cached, &h.d, &h.e)?;
        format!(
            "b _ (k r {d}), b _ (k {d}), b _ (k {e}), MASK, PAST, PAST, b -> b _ (k r {e}), PAST, PAST, b (k r) _ _"
        )
    } else {
        let (d, e) = if cached { ("_", "_") } else { ("d", "e") };
        format!("b (k r) _ {d}, b k _ {d}, b k _ {e}, MASK, PAST, PAST, b -> b (k r) _ {e}, PAST, PAST, b (k r) _ _")
    };
    let text = text.replace("MASK", &mask_text(site, 3, &h.query, "(k r)")?).replace("PAST", "b k _ _");
    let rule = AxisRule::new(text).size("k", h.key).size("r", h.repeat).size("d", h.d).size("e", h.e);
    Some(rule.why("positions are weighed against each other").attends(&["k", "r"], &["d", "e"]))
}

/// The axes of a mask or bias that broadcasts to batch, heads, queries and keys.
pub(super) fn mask_text(site: &Site, slot: usize, heads: &Dim, label: &str) -> Option<String> {
    if !site.has(slot) {
        return Some("_*".into());
    }
    let shape = site.shape(slot)?;
    let head = match shape.len() {
        0..=2 => return Some("_*".into()),
        3 | 4 => &shape[shape.len() - 3],
        _ => return None,
    };
    let head = match head {
        Dim::Fixed(1) => "1",
        h if h == heads => label,
        _ => return None,
    };
    Some(if shape.len() == 4 { format!("b {head} _ _") } else { format!("{head} _ _") })
}

/// The scale is `1 / √d` unless it is given: it must stay what it was when heads lose features.
pub(super) fn scale_of(before: Option<usize>, cut: &CutSizes, given: bool) -> Refit {
    match (before, cut.size("d").and_then(|d| d.size())) {
        (Some(before), Some(after)) if before != after && !given => {
            Refit::default().attribute("scale", Attribute::Float((1.0 / (before as f64).sqrt()) as f32))
        }
        _ => Refit::default(),
    }
}

/// A number of heads that is given, where it changed.
pub(super) fn refit_heads(site: &Site, refit: Refit, name: &'static str, heads: Option<Dim>) -> Refit {
    match heads.and_then(|h| h.fixed()) {
        Some(h) if h > 0 && site.call.int(name, 0) > 0 && h != site.call.int(name, 0) => {
            refit.attribute(name, Attribute::Int(h))
        }
        _ => refit,
    }
}

#[cfg(test)]
mod tests {
    use crate::ops::testing::{Case, show};
    use insta::assert_snapshot;

    #[test]
    fn heads_in_an_axis_of_their_own() {
        let case = |attributes: &str, results| {
            Case::new("Attention", 23, attributes, &["=2 8 5 16", "=2 4 6 16", "=2 4 6 32"], results)
        };
        assert_snapshot!(
            case("", 1).show(),
            @"[c0:2, (c1:4 c2:2), 5, c4:16], [c0:2, c1:4, 6, c4:16], [c0:2, c1:4, 6, c7:32] -> f32[c0:2, (c1:4 c2:2), 5, c7:32]"
        );
        assert_snapshot!(case("", 1).refit("d", &[0, 1, 2]), @"scale=Float(0.25)");
        assert_snapshot!(case("scale=0.5", 1).refit("d", &[0, 1, 2]), @"");
        assert_snapshot!(
            case("", 3).show(),
            @"[c0:2, (c1:4 c2:2), 5, 16], [c0:2, c1:4, 6, 16], [c0:2, c1:4, 6, 32] -> f32[c0:2, (c1:4 c2:2), 5, 32], f32[c0:2, c1:4, 6, 16], f32[c0:2, c1:4, 6, 32]"
        );
        assert_snapshot!(case("", 1).cost(), @"23040");
        assert_snapshot!(case("", 1).reasons(), @"positions are weighed against each other");
        assert!(case("", 1).zero(&[false, false, true]));
        assert!(!case("", 3).zero(&[false, false, true]));
    }

    #[test]
    fn heads_in_the_last_axis() {
        let case =
            |operands: &[&str], results| Case::new("Attention", 23, "q_num_heads=8 kv_num_heads=4", operands, results);
        let plain = case(&["=2 5 128", "=2 6 64", "=2 6 128", "=1 8 5 6"], 1);
        assert_snapshot!(
            plain.show(),
            @"[c0:2, 5, (c2:4 c3:2 c4:16)], [c0:2, 6, (c2:4 c4:16)], [c0:2, 6, (c2:4 c7:32)], [1, (c2:4 c3:2), 5, 6] -> f32[c0:2, 5, (c2:4 c3:2 c7:32)]"
        );
        assert_snapshot!(plain.refit("k", &[0, 2, 3]), @"q_num_heads=6, kv_num_heads=3");
        assert_snapshot!(plain.refit("r", &[1]), @"q_num_heads=4");
        assert_snapshot!(
            case(&["2 5 128", "2 6 64", "2 6 128", "", "2 4 P 16", "2 4 P 32"], 4).show(),
            @"[2, 5, (4 2 16)], [2, 6, (4 16)], [2, 6, (4 32)], -, [2, 4, P, 16], [2, 4, P, 32] -> f32[2, 5, (4 2 32)], f32[2, 4, 6+P, 16], f32[2, 4, 6+P, 32], f32[2, (4 2), 5, 6+P]"
        );
        assert_snapshot!(
            case(&["2 5 128", "2 6 60", "2 6 128"], 1).show(),
            @"error: heads of 16 features meet heads of 15"
        );
        assert_snapshot!(case(&["2 5 127", "2 6 64", "2 6 128"], 1).show(), @"error: 127 does not divide into 8 heads");
        assert_snapshot!(
            case(&["2 5 D", "2 6 64", "2 6 128"], 1).show(),
            @"[2, 5, D], [2, 6, 64], [2, 6, 128] -> f32[..]"
        );
        assert_snapshot!(show("Attention", 23, "", &["2 5 128", "2 6 64", "2 6 128"]), @"error: 0 heads");
        assert_snapshot!(
            show("Attention", 23, "", &["2 5 128", "2 6 64", "2 1 6 128"]),
            @"error: operands of rank 3, 3 and 4"
        );
    }

    #[test]
    fn linear_attention_has_types() {
        let case = |heads: &str| {
            Case::new("LinearAttention", 27, heads, &["2 5 32", "2 5 16", "2 5 24", "f16:2 2 8 12"], 2).show()
        };
        assert_snapshot!(case("q_num_heads=4 kv_num_heads=2"), @"[2, 5, 32], [2, 5, 16], [2, 5, 24], [2, 2, 8, 12] -> f32[2, 5, 48], f16[2, 2, 8, 12]");
        assert_snapshot!(case("q_num_heads=4 kv_num_heads=5"), @"error: 16 does not divide into 5 heads");
    }
}
