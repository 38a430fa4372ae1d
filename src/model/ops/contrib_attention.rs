//! ONNX Runtime's attentions. They differ in where queries, keys and values lie, and in what may be left out.

use super::attention::{Cached, divide, mask_text, refit_heads, scale_of, wants};
use super::shared::dims::{agree, elements, expect_rank, expect_vector};
use super::{AxisRule, CutSizes, End, Quantization, Refit, Rule, Site, ZeroLaws, lower};
use crate::facts::Fact;
use crate::ir::{Attribute, Dim};

pub(super) const RULES: &[(&str, Rule)] = &[
    ("com.microsoft.Attention", ATTENTION),
    ("com.microsoft.GroupQueryAttention", GROUP_QUERY_ATTENTION),
    ("com.microsoft.MultiHeadAttention", MULTI_HEAD_ATTENTION),
    ("com.microsoft.QAttention", Q_ATTENTION),
];

const WHY: &str = "positions are weighed against each other";

/// Attention with its projections: x, weights `i, (h d)+(h d)+(h e)`, bias, mask, past, attention bias.
const ATTENTION: Rule = Rule {
    infer: |site| {
        expect_rank(site, 0, 3, "input")?;
        expect_rank(site, 4, 5, "past")?;
        let (Some(x), Some(p)) = (site.shape(0), projected(site)?) else {
            return Ok(vec![Fact::maybe(site.dtype(0), None); 2]);
        };
        let y = vec![x[0].clone(), x[1].clone(), p.heads.clone() * p.e];
        let present = vec![Dim::Fixed(2), x[0].clone(), p.heads, site.unknown(), p.d];
        Ok([y, present].map(|shape| Fact::maybe(site.dtype(0), Some(shape))).to_vec())
    },
    axes: projected_axes,
    zeros: ZeroLaws {
        results: |site, at| on(at, 1) && vanishes(site, at, 2) && vanishes(site, at, 4),
        // The bias is constant, and so as zero as the weights are.
        absorbing: |_, at| on(at, 0) || on(at, 1),
        ..ZeroLaws::OPAQUE
    },
    refit: refit_projected,
    cost: |site| match (site.shape(0), site.shape(1), site.result_shape(0)) {
        (Some([b, s, _]), Some(w), Some(y)) => {
            b.clone() * s.clone() * elements(w) + Dim::Fixed(2) * elements(y) * s.clone()
        }
        _ => site.unknown(),
    },
    lower: lower::contrib_attention::projected,
    ..Rule::OPAQUE
};

/// Attention with quantized projections: x, weights, bias, x_scale, w_scale, mask, x_zero, w_zero, past.
const Q_ATTENTION: Rule = Rule {
    infer: |site| {
        expect_rank(site, 0, 3, "input")?;
        expect_rank(site, 8, 5, "past")?;
        let (Some(x), Some(p)) = (site.shape(0), projected(site)?) else {
            return Ok(vec![Fact::maybe(site.dtype(2), None); 2]);
        };
        let y = vec![x[0].clone(), x[1].clone(), p.heads.clone() * p.e];
        let present = vec![Dim::Fixed(2), x[0].clone(), p.heads, site.unknown(), p.d];
        Ok([y, present].map(|shape| Fact::maybe(site.dtype(2), Some(shape))).to_vec())
    },
    axes: |site| {
        let p = projected(site).ok()??;
        let zero_point = site.tensor(7).map(|t| t.to_f64().is_ok_and(|v| v.iter().all(|&z| z == 0.0)));
        let zero_point = !site.has(7) || zero_point == Some(true);
        let constant = site.tensor(1).is_some() && site.tensor(2).is_some();
        if !constant || !zero_point || site.call.int("do_rotary", 0) != 0 {
            return None;
        }
        let columns = "(h d)+(h d)+(h d)";
        let per_column = |slot: usize| match site.shape(slot) {
            Some([n]) if *n != Dim::Fixed(1) => columns,
            _ => "_*",
        };
        let (scale, zero) = (per_column(4), per_column(7));
        let text =
            format!("b _ i, i {columns}, {columns}, _*, {scale}, _*, _*, {zero}, _ b h _ d -> b _ (h d), _ b h _ d");
        Some(AxisRule::new(text).size("h", p.heads).size("d", p.d).why(WHY))
    },
    zeros: ZeroLaws {
        results: |site, at| (on(at, 1) || on(at, 4)) && on(at, 2) && vanishes(site, at, 8),
        absorbing: |_, at| on(at, 0) || on(at, 1),
        ..ATTENTION.zeros
    },
    quantization: Quantization {
        zero_point: |end| match end {
            End::Operand(0) => Some(End::Operand(6)),
            End::Operand(1) => Some(End::Operand(7)),
            _ => None,
        },
        scale: |slot| (slot < 2).then_some(slot + 3),
    },
    lower: Rule::OPAQUE.lower,
    ..ATTENTION
};

/// Attention of projected operands: q, k, v, bias `(h d)+(h d)+(h e)`, padding, attention bias, past keys and values.
const MULTI_HEAD_ATTENTION: Rule = Rule {
    infer: |site| {
        expect_rank(site, 6, 4, "past keys")?;
        expect_rank(site, 7, 4, "past values")?;
        let (Some([b, s, _]), Some(p)) = (site.shape(0), separate(site)?) else {
            return Ok(vec![Fact::maybe(site.dtype(0), None); 4]);
        };
        let total = site.unknown();
        let cache = |width: &Dim| vec![b.clone(), p.heads.clone(), total.clone(), width.clone()];
        let y = vec![b.clone(), s.clone(), p.heads.clone() * p.e.clone()];
        let scores = vec![b.clone(), p.heads.clone(), s.clone(), total.clone()];
        Ok([y, cache(&p.d), cache(&p.e), scores].map(|shape| Fact::maybe(site.dtype(0), Some(shape))).to_vec())
    },
    axes: |site| {
        let p = separate(site).ok()??;
        let cached = site.has(6) || site.has(7) || wants(site, 1) || wants(site, 2);
        let Cached { d, e } = Cached::text(cached, &p.d, &p.e)?;
        let bias = mask_text(site, 5, &p.heads, "h")?;
        let text = format!(
            "b _ (h {d}), b _ (h {d}), b _ (h {e}), (h {d})+(h {d})+(h {e}), _*, {bias}, b h _ _, b h _ _ \
             -> b _ (h {e}), b h _ _, b h _ _, b h _ _"
        );
        Some(AxisRule::new(text).size("h", p.heads).size("d", p.d).size("e", p.e).why(WHY).attends(&["h"], &["d", "e"]))
    },
    zeros: ZeroLaws {
        results: |site, at| {
            let values = on(at, 2) && vanishes(site, at, 3) && vanishes(site, at, 7);
            let keys = on(at, 1) && vanishes(site, at, 6);
            values && (keys || !wants(site, 1)) && !wants(site, 3)
        },
        absorbing: |site, at| (on(at, 0) || on(at, 1)) && vanishes(site, at, 3),
        ..ZeroLaws::OPAQUE
    },
    refit: |site, cut| {
        let before = separate(site)?.and_then(|p| p.d.size());
        let refit = scale_of(before, cut, site.call.float("scale", 0.0) != 0.0);
        Ok(refit_heads(site, refit, "num_heads", cut.size("h")))
    },
    cost: attention_cost,
    lower: lower::contrib_attention::multi_head,
    ..Rule::OPAQUE
};

/// Attention with r query heads for each key head: q (or all three in one), k, v, past keys and values.
const GROUP_QUERY_ATTENTION: Rule = Rule {
    infer: |site| {
        expect_rank(site, 3, 4, "past keys")?;
        expect_rank(site, 4, 4, "past values")?;
        expect_rank(site, 11, 1, "head sink")?;
        let (Some([b, s, _]), Some(g)) = (site.shape(0), grouped(site)?) else {
            return Ok(vec![Fact::maybe(site.dtype(0), None); 4]);
        };
        let query = g.key.clone() * g.repeat;
        let cache = Fact::maybe(site.dtype(0), Some(vec![b.clone(), g.key, site.unknown(), g.d.clone()]));
        let scores = vec![b.clone(), query.clone(), s.clone(), site.unknown()];
        let y = vec![b.clone(), s.clone(), query * g.d];
        let [y, scores] = [y, scores].map(|shape| Fact::maybe(site.dtype(0), Some(shape)));
        Ok(vec![y, cache.clone(), cache, scores])
    },
    axes: |site| {
        let g = grouped(site).ok()??;
        // Quantized caches and norms of single features come behind.
        if (12..site.arity()).any(|slot| site.has(slot)) {
            return None;
        }
        let d = g.d.size()?;
        let (kv, y) = (format!("b _ (k {d})"), format!("b _ (k r {d})"));
        let q = if site.has(1) { y.clone() } else { format!("b _ (k r {d})+(k {d})+(k {d})") };
        let bias = mask_text(site, 10, &(g.key.clone() * g.repeat.clone()), "(k r)")?;
        let text = format!(
            "{q}, {kv}, {kv}, b k _ _, b k _ _, _*, _*, _*, _*, _*, {bias}, (k r) \
             -> {y}, b k _ _, b k _ _, b (k r) _ _"
        );
        Some(AxisRule::new(text).size("k", g.key).size("r", g.repeat).why(WHY).attends(&["k", "r"], &[]))
    },
    zeros: ZeroLaws {
        // Where all three are one operand, a head of it that is zero may be one of queries only.
        results: |site, at| {
            let values = on(at, 2) && vanishes(site, at, 4);
            let keys = on(at, 1) && vanishes(site, at, 3);
            values && (keys || !wants(site, 1)) && !wants(site, 3)
        },
        ..ZeroLaws::PRODUCT
    },
    refit: |site, cut| {
        let (Some(k), Some(r)) = (cut.size("k"), cut.size("r")) else { return Ok(Refit::default()) };
        let refit = refit_heads(site, Refit::default(), "num_heads", Some(k.clone() * r));
        Ok(refit_heads(site, refit, "kv_num_heads", Some(k)))
    },
    cost: attention_cost,
    lower: lower::contrib_attention::group_query,
    ..Rule::OPAQUE
};

fn on(at: &[bool], slot: usize) -> bool {
    at.get(slot) == Some(&true)
}

/// Whether an addend, or what comes before, is zero or absent.
fn vanishes(site: &Site, at: &[bool], slot: usize) -> bool {
    on(at, slot) || !site.has(slot)
}

/// Heads of d features for queries and keys, and of e for values.
struct Parts {
    heads: Dim,
    d: Dim,
    e: Dim,
}

/// The parts of the weights' columns.
fn projected(site: &Site) -> Result<Option<Parts>, String> {
    expect_rank(site, 1, 2, "weights")?;
    let heads = Dim::Fixed(site.call.int("num_heads", 0));
    let Some([_, columns]) = site.shape(1) else { return Ok(None) };
    expect_vector(site, 2, columns, "bias")?;
    if let (Some([_, _, x]), Some(w)) = (site.shape(0), site.dim(1, 0)) {
        agree(w, x, |w, x| format!("the weights expect {w} features but the input has {x}"))?;
    }
    let (keys, values) = match site.call.ints("qkv_hidden_sizes") {
        Some(&[q, k, v]) => {
            agree(&Dim::Fixed(q), &Dim::Fixed(k), |q, k| format!("{q} features of queries meet {k} of keys"))?;
            let all = Dim::Fixed(q) + Dim::Fixed(k) + Dim::Fixed(v);
            agree(&all, columns, |a, c| format!("`qkv_hidden_sizes` add up to {a}, not {c}"))?;
            (Dim::Fixed(q), Dim::Fixed(v))
        }
        Some(sizes) if !sizes.is_empty() => return Err(format!("`qkv_hidden_sizes` has {} entries", sizes.len())),
        _ => match divide(columns, &Dim::Fixed(3), "parts")? {
            Some(part) => (part.clone(), part),
            None => return Ok(None),
        },
    };
    let (d, e) = (divide(&keys, &heads, "heads")?, divide(&values, &heads, "heads")?);
    Ok(d.zip(e).map(|(d, e)| Parts { heads, d, e }))
}

fn projected_axes(site: &Site) -> Option<AxisRule> {
    let p = projected(site).ok()??;
    let constant = |slot: usize| !site.has(slot) || site.tensor(slot).is_some();
    let cached = site.has(4) || wants(site, 1);
    // With a cache, values are as wide as keys. Rotation pairs features.
    if !constant(1) || !constant(2) || site.call.int("do_rotary", 0) != 0 || (cached && p.d != p.e) {
        return None;
    }
    let e = if cached { "d" } else { "e" };
    let columns = format!("(h d)+(h d)+(h {e})");
    let bias = mask_text(site, 5, &p.heads, "h")?;
    let text = format!("b _ i, i {columns}, {columns}, _*, _ b h _ d, {bias}, _* -> b _ (h {e}), _ b h _ d");
    Some(AxisRule::new(text).size("h", p.heads).size("d", p.d).size("e", p.e).why(WHY).attends(&["h"], &["d", "e"]))
}

fn refit_projected(site: &Site, cut: &CutSizes) -> Result<Refit, String> {
    let Some(before) = projected(site)? else { return Ok(Refit::default()) };
    let refit = scale_of(before.d.size(), cut, site.call.float("scale", 0.0) != 0.0);
    let (Some(h), Some(d)) = (cut.size("h"), cut.size("d")) else { return Ok(refit) };
    let e = cut.size("e").unwrap_or(d.clone());
    let refit = refit_heads(site, refit, "num_heads", Some(h.clone()));
    let (keys, values) = (h.clone() * d.clone(), h * e.clone());
    let uneven = d != e || site.call.has("qkv_hidden_sizes");
    match (keys.fixed(), values.fixed()) {
        (Some(k), Some(v)) if uneven => Ok(refit.attribute("qkv_hidden_sizes", Attribute::Ints(vec![k, k, v]))),
        _ => Ok(refit),
    }
}

/// The parts of operands that are projected already; `None` where they are packed into fewer.
fn separate(site: &Site) -> Result<Option<Parts>, String> {
    let (Some([_, _, q]), Some([_, _, k]), Some([_, _, v])) = (site.shape(0), site.shape(1), site.shape(2)) else {
        return Ok(None);
    };
    let heads = Dim::Fixed(site.call.int("num_heads", 0));
    agree(q, k, |q, k| format!("{q} features of queries meet {k} of keys"))?;
    expect_vector(site, 3, &(q.clone() + k.clone() + v.clone()), "bias")?;
    let (d, e) = (divide(q, &heads, "heads")?, divide(v, &heads, "heads")?);
    Ok(d.zip(e).map(|(d, e)| Parts { heads, d, e }))
}

/// Key heads, query heads for each, and the features of a head.
struct Grouped {
    key: Dim,
    repeat: Dim,
    d: Dim,
}

fn grouped(site: &Site) -> Result<Option<Grouped>, String> {
    let (query, key) = (site.call.int("num_heads", 0), site.call.int("kv_num_heads", 0));
    let (query, key) = (Dim::Fixed(query), Dim::Fixed(key));
    let Some(repeat) = divide(&query, &key, "key heads")? else { return Ok(None) };
    expect_rank(site, 0, 3, "queries")?;
    let Some([_, _, width]) = site.shape(0) else { return Ok(None) };
    let packed = Dim::Fixed(2) * key.clone();
    let all = if site.has(1) { query } else { query + packed };
    let Some(d) = divide(width, &all, "heads")? else { return Ok(None) };
    for (slot, name) in [(1, "keys"), (2, "values")].into_iter().filter(|s| site.has(s.0)) {
        expect_rank(site, slot, 3, name)?;
        let Some(own) = site.dim(slot, 2) else { return Ok(None) };
        agree(own, &(key.clone() * d.clone()), |w, e| format!("the {name} have {w} features, not {e}"))?;
    }
    Ok(Some(Grouped { key, repeat, d }))
}

/// Every pair of positions takes one product for each feature of queries and of values.
fn attention_cost(site: &Site) -> Dim {
    let keys = if site.has(1) { site.dim(1, 1) } else { site.dim(0, 1) };
    match (site.result_shape(0), keys) {
        (Some(y), Some(t)) => Dim::Fixed(2) * elements(y) * t.clone(),
        _ => site.unknown(),
    }
}

#[cfg(test)]
mod tests {
    use crate::ops::testing::Case;
    use insta::assert_snapshot;

    #[test]
    fn with_quantized_projections() {
        let case = |zero: &str| {
            let operands = ["u8:=2 5 10", "i8:=10 96", "=96", "=", "=", "i32:=2", "u8:=", zero];
            Case::new("com.microsoft.QAttention", 1, "num_heads=4", &operands, 1)
        };
        assert_snapshot!(case("=i8[0]").show(), @"[c0:2, 5, c2:10], [c2:10, (c3:4 c4:8)+(c3:4 c4:8)+(c3:4 c4:8)], [(c3:4 c4:8)+(c3:4 c4:8)+(c3:4 c4:8)], [], [], [2], [], [1] -> f32[c0:2, 5, (c3:4 c4:8)]");
        assert_snapshot!(case("=i8[3]").show(), @"[2, 5, 10], [10, 96], [96], [], [], [2], [], [1] -> f32[2, 5, 32]");
        assert_snapshot!(case("=i8[0]").refit("d", &[0, 2]), @"scale=Float(0.35355338)");
    }

    #[test]
    fn with_projections() {
        let case = |attributes: &str, operands: &[&str], results| {
            Case::new("com.microsoft.Attention", 1, attributes, operands, results)
        };
        let plain = case("num_heads=4", &["=2 5 10", "=10 96", "=96", "i32:=2"], 1);
        assert_snapshot!(
            plain.show(),
            @"[c0:2, 5, c2:10], [c2:10, (c3:4 c4:8)+(c3:4 c4:8)+(c3:4 c5:8)], [(c3:4 c4:8)+(c3:4 c4:8)+(c3:4 c5:8)], [2] -> f32[c0:2, 5, (c3:4 c5:8)]"
        );
        assert_snapshot!(plain.refit("h", &[0, 2, 3]), @"num_heads=3");
        assert_snapshot!(plain.refit("d", &[0, 2]), @"scale=Float(0.35355338), qkv_hidden_sizes=[8, 8, 32]");
        let sizes = case("num_heads=4 qkv_hidden_sizes=[32,32,64]", &["=2 5 10", "=10 128", "=128"], 1);
        assert_snapshot!(
            sizes.show(),
            @"[c0:2, 5, c2:10], [c2:10, (c3:4 c4:8)+(c3:4 c4:8)+(c3:4 c5:16)], [(c3:4 c4:8)+(c3:4 c4:8)+(c3:4 c5:16)] -> f32[c0:2, 5, (c3:4 c5:16)]"
        );
        assert_snapshot!(sizes.refit("h", &[0]), @"num_heads=1, qkv_hidden_sizes=[8, 8, 16]");
        assert_snapshot!(
            case("num_heads=4", &["=2 5 10", "=10 96", "=96", "", "2 2 4 P 8"], 2).show(),
            @"[2, 5, c2:10], [c2:10, (4 8)+(4 8)+(4 8)], [(4 8)+(4 8)+(4 8)], -, [2, 2, 4, P, 8] -> f32[2, 5, (4 8)], f32[2, 2, 4, ?0, 8]"
        );
        assert_snapshot!(
            case("num_heads=4", &["=2 5 10", "10 96", "=96"], 1).show(),
            @"[2, 5, 10], [10, 96], [96] -> f32[2, 5, 32]"
        );
        assert_snapshot!(
            case("num_heads=5", &["=2 5 10", "=10 96", "=96"], 1).show(),
            @"error: 32 does not divide into 5 heads"
        );
        assert_snapshot!(case("", &["=2 5 10", "=10 96", "=96"], 1).show(), @"error: 0 heads");
    }

    #[test]
    fn of_projected_operands() {
        let case = |attributes: &str, operands: &[&str], results| {
            Case::new("com.microsoft.MultiHeadAttention", 1, attributes, operands, results)
        };
        let q = ["=2 5 32", "=2 6 32", "=2 6 64", "=128", "", "=1 4 5 6"];
        assert_snapshot!(
            case("num_heads=4", &q, 1).show(),
            @"[c0:2, 5, (c2:4 c3:8)], [c0:2, 6, (c2:4 c3:8)], [c0:2, 6, (c2:4 c6:16)], [(c2:4 c3:8)+(c2:4 c3:8)+(c2:4 c6:16)], -, [1, c2:4, 5, 6] -> f32[c0:2, 5, (c2:4 c6:16)]"
        );
        assert_snapshot!(case("num_heads=4", &q, 1).refit("d", &[0, 2]), @"scale=Float(0.35355338)");
        assert_snapshot!(case("num_heads=4 scale=0.5", &q, 1).refit("d", &[0, 2]), @"");
        assert_snapshot!(
            case("num_heads=4", &q[..3], 3).show(),
            @"[c0:2, 5, (c2:4 8)], [c0:2, 6, (c2:4 8)], [c0:2, 6, (c2:4 16)] -> f32[c0:2, 5, (c2:4 16)], f32[c0:2, c2:4, ?0, 8], f32[c0:2, c2:4, ?0, 16]"
        );
        assert_snapshot!(case("num_heads=4", &["2 5 4 3 8"], 1).show(), @"[2, 5, 4, 3, 8] -> f32[..]");
        assert_snapshot!(
            case("num_heads=4", &["=2 5 32", "=2 6 24", "=2 6 64"], 1).show(),
            @"error: 32 features of queries meet 24 of keys"
        );
    }

    #[test]
    fn of_shared_keys() {
        let case = |attributes: &str, operands: &[&str], results| {
            let heads = format!("num_heads=8 kv_num_heads=2 {attributes}");
            Case::new("com.microsoft.GroupQueryAttention", 1, &heads, operands, results)
        };
        let plain = case("", &["=2 5 128", "=2 5 32", "=2 5 32", "", "", "i32:=2", "i32:="], 3);
        assert_snapshot!(
            plain.show(),
            @"[c0:2, 5, (c2:2 c3:4 16)], [c0:2, 5, (c2:2 16)], [c0:2, 5, (c2:2 16)], -, -, [2], [] -> f32[c0:2, 5, (c2:2 c3:4 16)], f32[c0:2, c2:2, ?0, 16], f32[c0:2, c2:2, ?0, 16]"
        );
        assert_snapshot!(plain.refit("k", &[1]), @"num_heads=4, kv_num_heads=1");
        assert_snapshot!(plain.refit("r", &[1, 2, 3]), @"num_heads=6");
        assert_snapshot!(
            case("do_rotary=1", &["=2 5 192"], 1).show(),
            @"[c0:2, 5, (c2:2 c3:4 16)+(c2:2 16)+(c2:2 16)] -> f32[c0:2, 5, (c2:2 c3:4 16)]"
        );
        assert_snapshot!(
            case("", &["=2 5 128", "=2 5 32", "=2 5 16"], 1).show(),
            @"error: the values have 16 features, not 32"
        );
        assert_snapshot!(
            case("", &["=2 5 127", "=2 5 32", "=2 5 32"], 1).show(),
            @"error: 127 does not divide into 8 heads"
        );
    }
}
