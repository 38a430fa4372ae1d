//! ONNX Runtime's attentions.

use super::attention::{Attend, FirstQuery, behind, joined};
use super::rotary::{Rotation, heads_apart};
use crate::ops::Site;
use crate::ops::attention::wants;
use crate::program::{Args, NumberKind, Term};

/// Attention with its projections: `x`, weights, a bias, a mask, the past, an attention bias.
pub(crate) fn projected<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    if site.call.int("do_rotary", 0) != 0 || site.has(6) || site.call.int("past_present_share_buffer", 0) != 0 {
        return Err("rotation (`do_rotary`) and a shared buffer for the past are not supported".into());
    }
    let all = at.at(0)?.matmul(at.at(1)?);
    let all = at.get(2).map_or(all, |bias| all + bias);
    let sizes: Vec<usize> = match site.call.ints("qkv_hidden_sizes") {
        Some(sizes) if !sizes.is_empty() => sizes.iter().map(|&n| n.max(0) as usize).collect(),
        _ => vec![all.size(2) / 3; 3],
    };
    let heads = number(site, "num_heads");
    let parts = all.split(2, &sizes);
    let &[q, k, v] = &parts[..] else { return Err(format!("{} parts instead of three", parts.len())) };
    let [q, k, v] = [heads_apart(q, heads)?, heads_apart(k, heads)?, heads_apart(v, heads)?];
    let past = |i: usize| at.get(4).map(|past| past.narrow(0, i, 1).squeeze(&[0]));
    let before = at.get(4).map_or(0, |past| past.size(3));
    let mut attend = Attend::new(q, behind(past(0), k), behind(past(1), v));
    scaled(site, &mut attend);
    if let Some(mask) = at.get(3) {
        padded(site, &mut attend, mask)?;
    }
    if let Some(bias) = at.get(5) {
        attend.add(bias);
    }
    if site.call.int("unidirectional", 0) != 0 {
        attend.within(FirstQuery::At(before as i64), None, Some(0));
    }
    let mut results = vec![joined(attend.run().y)];
    if wants(site, 1) {
        results.push(Term::concat(&[attend.k.unsqueeze(0), attend.v.unsqueeze(0)], 0));
    }
    Ok(results)
}

/// MultiHeadAttention: queries, keys, values, a bias, padding, an attention bias, past keys and values.
pub(crate) fn multi_head<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    if at.at(0)?.rank() != 3 || [1, 2].iter().any(|&slot| at.get(slot).is_none_or(|t| t.rank() != 3)) {
        return Err("queries, keys and values that are packed, or have heads apart, are not supported".into());
    }
    if site.has(8) || site.has(9) {
        return Err("a shared buffer for the past is not supported".into());
    }
    let mut parts = [at.at(0)?, at.at(1)?, at.at(2)?];
    if let Some(bias) = at.get(3) {
        let sizes = parts.map(|p| p.size(2));
        let biases = bias.split(0, &sizes);
        parts.iter_mut().zip(biases).for_each(|(part, bias)| *part = *part + bias);
    }
    let heads = number(site, "num_heads");
    let [q, k, v] = [heads_apart(parts[0], heads)?, heads_apart(parts[1], heads)?, heads_apart(parts[2], heads)?];
    let mut attend = Attend::new(q, behind(at.get(6), k), behind(at.get(7), v));
    scaled(site, &mut attend);
    if let Some(mask) = at.get(4) {
        padded(site, &mut attend, mask)?;
    }
    if let Some(bias) = at.get(5) {
        attend.add(bias);
    }
    if site.call.int("unidirectional", 0) != 0 {
        attend.within(FirstQuery::At(at.get(6).map_or(0, |p| p.size(2)) as i64), None, Some(0));
    }
    let told = attend.run();
    Ok(vec![joined(told.y), attend.k, attend.v, told.shares])
}

/// GroupQueryAttention: queries (or all three in one), keys, values, past keys and values, lengths, cosines and sines,
/// positions, an attention bias. Padding behind samples is not looked at: it is later than all that matters.
pub(crate) fn group_query<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    refuse(site)?;
    let (heads, keys) = (number(site, "num_heads"), number(site, "kv_num_heads"));
    let (q, k, v) = match (at.get(1), at.get(2)) {
        (Some(k), Some(v)) => (at.at(0)?, k, v),
        _ => {
            let all = at.at(0)?;
            let d = all.size(2) / (heads + 2 * keys).max(1);
            let parts = all.split(2, &[heads * d, keys * d, keys * d]);
            (parts[0], parts[1], parts[2])
        }
    };
    let [mut q, mut k, v] = [heads_apart(q, heads)?, heads_apart(k, keys)?, heads_apart(v, keys)?];
    let (steps, past) = (q.size(2), at.get(3).map_or(0, |p| p.size(2)));
    let total = site.ints(6).and_then(|v| v.first().copied());
    if past > 0 && total != Some((past + steps) as i64) {
        return Err("a past of a length that is not known before the run is not supported".into());
    }
    if site.call.int("do_rotary", 0) != 0 {
        let interleaved = site.call.int("rotary_interleaved", 0) != 0;
        let rotation = Rotation { cos: at.at(7)?, sin: at.at(8)?, interleaved };
        let count = || at.builder.ints((past as i64..(past + steps) as i64).collect(), &[1, steps]);
        let positions = Some(at.get(9).unwrap_or_else(count));
        (q, k) = (rotation.turn(q, positions)?, rotation.turn(k, positions)?);
    }
    let before = |slot: usize| at.get(slot).filter(|_| past > 0);
    let mut attend = Attend::new(q, behind(before(3), k), behind(before(4), v));
    scaled(site, &mut attend);
    attend.softcap = site.call.float("softcap", 0.0).into();
    if let Some(bias) = at.get(10) {
        attend.add(bias);
    }
    let causal = site.call.int("causal", 1) != 0;
    let left = Some(site.call.int("local_window_size", -1)).filter(|&w| w >= 0);
    attend.within(FirstQuery::At(past as i64), left.map(|w| w - 1), causal.then_some(0));
    let told = attend.run();
    Ok(vec![joined(told.y), attend.k, attend.v])
}

/// What of a GroupQueryAttention is not supported.
fn refuse(site: &Site) -> Result<(), String> {
    let flags = ["smooth_softmax", "sliding_window_cache", "qk_output"];
    if let Some(flag) = flags.into_iter().find(|f| site.call.int(f, 0) > 0) {
        return Err(format!("`{flag}` is not supported"));
    }
    if (11..site.arity()).any(|slot| site.has(slot)) {
        return Err("head sinks, quantized caches and norms of queries and keys are not supported".into());
    }
    Ok(())
}

fn number(site: &Site, name: &str) -> usize {
    usize::try_from(site.call.int(name, 0)).unwrap_or(0)
}

fn scaled(site: &Site, attend: &mut Attend) {
    match site.call.float("scale", 0.0) {
        0.0 => {}
        scale => attend.scale = scale.into(),
    }
}

/// What a mask of integers hides is not gone, but pushed down by a number. It has an element for each key, or pair,
/// or gives ends, or ends and starts.
fn padded<'b>(site: &Site, attend: &mut Attend<'b>, mask: Term<'b>) -> Result<(), String> {
    let (batch, keys, shape) = (attend.q.size(0), attend.k.size(2), mask.shape());
    let column = |part: Term<'b>| part.reshape(&[batch, 1, 1, 1]);
    let seen = match shape[..] {
        [b] if b == batch => attend.positions().less(column(mask)),
        [both] if both == 2 * batch => {
            let [ends, starts] = [0, batch].map(|from| column(mask.narrow(0, from, batch)));
            let positions = attend.positions();
            positions.less(ends).and(!positions.less(starts))
        }
        [b, t] if b == batch && t == keys => mask.reshape(&[b, 1, 1, t]).cast(NumberKind::Bool),
        [b, s, t] if b == batch && t == keys => mask.reshape(&[b, 1, s, t]).cast(NumberKind::Bool),
        _ => return Err(format!("a mask of shape {shape:?} is not supported")),
    };
    let number = |v: f64| seen.builder().floats(vec![v], &[1; 4]);
    let hidden = site.call.float("mask_filter_value", -10000.0);
    attend.add(seen.select(number(0.0), number(hidden.into())));
    Ok(())
}

#[cfg(test)]
#[cfg(all(feature = "tract", feature = "gradients"))]
mod tests {
    use crate::autograd::testing::{Trial, close};
    use crate::ir::{DType, Tensor};

    fn trial(op: &str, attributes: &str, operands: &[&str], results: usize) -> Trial {
        Trial::new(&format!("com.microsoft.{op}"), 1, attributes, operands, results)
    }

    fn tensor(dtype: DType, shape: &[usize], v: &[f64]) -> Tensor {
        Tensor::from_f64(dtype, shape.to_vec(), v).unwrap()
    }

    #[test]
    fn with_projections() {
        let heads = "num_heads=2 qkv_hidden_sizes=[4,4,6]";
        trial("Attention", heads, &["2 3 5", "=5 14", "=14", "i32:2 3"], 1).check_derivative();
        let past = ["2 3 5", "=5 12", "=12", "", "2 2 2 2 2"];
        trial("Attention", "num_heads=2 unidirectional=1 scale=0.3", &past, 2).check_derivative();
        let biased = ["2 3 5", "=5 12", "=12", "", "", "1 2 3 3"];
        trial("Attention", "num_heads=2", &biased, 1).check_derivative();
    }

    #[test]
    fn masks_of_projections() {
        // Queries and keys are zero, values are x.
        let means = |mask: &str, elements: Tensor| {
            let x = tensor(DType::F32, &[1, 3, 1], &[1.0, 10.0, 100.0]);
            let trial = trial("Attention", "num_heads=1", &["1 3 1", "1 3", "=[0 0 0]", mask], 1);
            let w = tensor(DType::F32, &[1, 3], &[0.0, 0.0, 1.0]);
            trial.with("x0", x).with("x1", w).with("x3", elements).run()[0].1.to_f64().unwrap()
        };
        let ints = |shape: &[usize], v: &[f64]| tensor(DType::I32, shape, v);
        close("keys", &[50.5; 3], &means("i32:1 3", ints(&[1, 3], &[1.0, 0.0, 1.0])), 1e-6);
        close("ends", &[5.5; 3], &means("i32:1", ints(&[1], &[2.0])), 1e-6);
        close("starts", &[10.0; 3], &means("i32:2", ints(&[2], &[2.0, 1.0])), 1e-6);
        let pairs = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0];
        close("pairs", &[1.0, 10.0, 5.5], &means("i32:1 3 3", ints(&[1, 3, 3], &pairs)), 1e-6);
    }

    #[test]
    fn of_projected_operands() {
        let operands = ["2 3 4", "2 5 4", "2 5 6", "=14", "i32:2 5", "1 2 3 5"];
        trial("MultiHeadAttention", "num_heads=2", &operands, 1).check_derivative();
        let past = ["2 3 4", "2 3 4", "2 3 4", "", "", "", "2 2 2 2", "2 2 2 2"];
        trial("MultiHeadAttention", "num_heads=2 unidirectional=1", &past, 3).check_derivative();
    }

    #[test]
    fn of_shared_keys() {
        let heads = "num_heads=4 kv_num_heads=2";
        let plain = ["2 3 32", "2 3 16", "2 3 16", "", "", "=i32[2 2]", "=i32[3]"];
        trial("GroupQueryAttention", heads, &plain, 1).check_derivative();
        let packed = ["2 3 128", "", "", "", "", "=i32[2 2]", "=i32[3]", "=9 8", "=9 8"];
        for rotation in ["do_rotary=1 softcap=3.0", "do_rotary=1 rotary_interleaved=1 local_window_size=1"] {
            trial("GroupQueryAttention", &format!("{heads} {rotation}"), &packed, 1).check_derivative();
        }
        let past = ["1 2 64", "1 2 32", "1 2 32", "1 2 3 16", "1 2 3 16", "=i32[4]", "=i32[5]", "=9 8", "=9 8"];
        let window = format!("{heads} local_window_size=2 do_rotary=1");
        trial("GroupQueryAttention", &window, &past, 3).check_derivative();
    }
}
