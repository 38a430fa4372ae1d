//! `fold-bn` folds BatchNormalization into the weights before it.
//!
//! ```text
//! a = Conv(x, w, b)
//! y = BatchNormalization(a, γ, β, μ, σ²)        →        y = Conv(x, w', b')
//! ```
//!
//! In inference a BatchNormalization is `y = s a + t` for each channel, with `s = γ / √(σ² + ε)` and `t = β - μ s`. The
//! call before it is linear in its weights, so `s` can go into them: `w' = s w` and `b' = s b + t`. Exact but for
//! rounding: the factors are computed in 64 bits, the weights keep their type.
//!
//! No operator before the BatchNormalization is asked for by name. It has to be affine in operand 1, which its law of
//! zeros tells, and its axis rule says to which channel each weight belongs: by the labels of the result's second axis,
//! wherever the weight carries them. So convolutions of all sorts (grouped, depthwise, transposed) and matrix
//! products are one case. The sum has to have no other use; weights that others use too are copied.

use super::edit::{ask, dense, rename};
use super::{Change, Context, Pass, PassError};
use crate::axes::{Axes, Expr, RuleText};
use crate::infer::Facts;
use crate::ir::{Form, Graph, Model, Node, NodeId, Tensor, Use, ValueId};
use crate::ops::{self, Site};
use std::collections::HashSet;

pub struct FoldBn;

/// A BatchNormalization and the call that takes its place.
struct Fold {
    norm: NodeId,
    call: NodeId,
    weight: Tensor,
    bias: Tensor,
}

/// What is done to each channel: times the first, plus the second.
struct Affine {
    scale: Vec<f64>,
    shift: Vec<f64>,
}

impl Pass for FoldBn {
    fn name(&self) -> &'static str {
        "fold-bn"
    }

    fn run(&self, model: &mut Model, cx: &mut Context) -> Result<Change, PassError> {
        let facts = cx.facts(model);
        let affine = |n| Some((n, ask(model, &facts, n, affine)??));
        let norms: Vec<(NodeId, Affine)> = model.graph.calls().into_iter().filter_map(affine).collect();
        if norms.is_empty() {
            return Ok(Change::default());
        }
        let axes = cx.axes(model);
        let folds: Vec<Fold> = norms.iter().filter_map(|(n, a)| fold(model, &facts, &axes, *n, a)).collect();
        let mut taken = model.graph.all_names();
        let count = folds.len();
        folds.into_iter().for_each(|f| apply(model, f, &mut taken));
        Ok(Change(count))
    }
}

/// What a BatchNormalization does in inference, if the call is one whose parameters are constant.
fn affine(site: &Site) -> Option<Affine> {
    let call = site.call;
    let inference = call.int("training_mode", 0) == 0 && call.results.iter().skip(1).all(String::is_empty);
    // Before operator set 7 an attribute said whether it trains; before 9 statistics could be had for each position.
    let usual = site.opset >= 7 && call.int("spatial", 1) == 1;
    if call.qualified() != "BatchNormalization" || !inference || !usual {
        return None;
    }
    let operand = |slot| site.tensor(slot)?.to_f64().ok();
    let (gamma, beta, mean, variance) = (operand(1)?, operand(2)?, operand(3)?, operand(4)?);
    let channels = gamma.len();
    if [&beta, &mean, &variance].iter().any(|v| v.len() != channels) {
        return None;
    }
    let epsilon = f64::from(call.float("epsilon", 1e-5));
    let scale: Vec<f64> = gamma.iter().zip(&variance).map(|(g, v)| g / (v + epsilon).sqrt()).collect();
    let shift = (0..channels).map(|c| beta[c] - mean[c] * scale[c]).collect();
    Some(Affine { scale, shift })
}

/// Decides whether the call before a BatchNormalization can do its work, and with which weights.
fn fold(model: &Model, facts: &Facts, axes: &Axes, norm: NodeId, affine: &Affine) -> Option<Fold> {
    let graph = &model.graph;
    let value = graph.operand(norm, 0)?;
    let call = graph.call(value.node)?;
    if call.results.len() != 1 || graph.uses(value).len() != 1 {
        return None;
    }
    let operands = graph.operands(value.node);
    let weight = &dense(graph, operands.get(1).copied()??)?.tensor;
    let bias = match operands.get(2).copied().flatten() {
        Some(bias) => Some(&dense(graph, bias)?.tensor),
        None => None,
    };
    if !ask(model, facts, value.node, |site| is_affine(model, site))? {
        return None;
    }
    let channels = channels(model, facts, axes, value.node, &weight.shape, affine.scale.len())?;
    let factor = |(w, &c): (f64, &usize)| w * affine.scale[c];
    let scaled: Vec<f64> = weight.to_f64().ok()?.into_iter().zip(&channels).map(factor).collect();
    // `beta` is what an operator that has it multiplies its bias by.
    let bias = shifted(weight, bias, affine, f64::from(call.float("beta", 1.0)))?;
    Some(Fold { norm, call: value.node, weight: with_data(weight, &scaled)?, bias })
}

/// Whether a call is linear in its weights (operand 1) but for a bias (operand 2): its result is zero where the bias
/// and the data or the weights are, and not where one of these is not.
fn is_affine(model: &Model, site: &Site) -> bool {
    let zero = |operands: [bool; 3]| (ops::rule_of(model, site.call).zero)(site, &operands);
    let plain = site.call.domain.is_empty() && site.arity() <= 3 && site.call.graphs().next().is_none();
    plain
        && zero([false, true, true])
        && zero([true, false, true])
        && !zero([false, false, true])
        && zero([false, true, false]) != site.has(2)
}

/// For each element of the weights its channel, an index into the second axis of the call's result.
fn channels(
    model: &Model,
    facts: &Facts,
    axes: &Axes,
    node: NodeId,
    shape: &[usize],
    count: usize,
) -> Option<Vec<usize>> {
    let rule = ops::rule_of(model, model.graph.call(node)?);
    let text = RuleText::parse(&ask(model, facts, node, |site| (rule.axes)(site))??.text).ok()?;
    let size = |label: &str| {
        let binding = axes.bindings(node).iter().find(|b| b.name == label)?;
        axes.solver().size(binding.var).size()
    };
    let rank = facts.get(ValueId { node, port: 0 }).rank()?;
    let channel = text.results.first()?.for_rank(rank)?.get(1)?.clone();
    let weight = text.operands.get(1)?.for_rank(shape.len())?;
    // Operand 2 has to be a bias for each channel, not a zero point, say.
    if text.operands.get(2)?.for_rank(1).is_none_or(|bias| bias != [channel.clone()]) {
        return None;
    }
    // Row-major strides of the channel's labels. A label of length 1 does not move anything.
    let mut strides: Vec<(&str, usize)> = vec![];
    let mut stride = 1;
    for part in factors(&channel).iter().rev() {
        let Expr::Label(label) = part else { return None };
        let size = size(&label.name)?;
        if size > 1 {
            strides.push((&label.name, stride));
        }
        stride *= size;
    }
    let mut seen = vec![];
    let mut channels = vec![0];
    for (expr, &length) in weight.iter().zip(shape) {
        let offsets = offsets(expr, length, &strides, &size, &mut seen)?;
        channels = channels.iter().flat_map(|c| offsets.iter().map(move |o| c + o)).collect();
    }
    // Each label once: a weight that lacks one is shared between channels.
    let whole = seen.len() == strides.len() && strides.iter().all(|s| seen.contains(&s.0.to_owned()));
    (whole && stride == count).then_some(channels)
}

fn factors(expr: &Expr) -> &[Expr] {
    match expr {
        Expr::Product(parts) => parts,
        _ => std::slice::from_ref(expr),
    }
}

/// What each index of an axis adds to the channel.
fn offsets(
    expr: &Expr,
    length: usize,
    strides: &[(&str, usize)],
    size: &dyn Fn(&str) -> Option<usize>,
    seen: &mut Vec<String>,
) -> Option<Vec<usize>> {
    let stride = |name: &str| strides.iter().find(|s| s.0 == name).map(|s| s.1);
    if !expr.labels().iter().any(|l| stride(&l.name).is_some()) {
        return Some(vec![0; length]);
    }
    let mut offsets = vec![0];
    for part in factors(expr) {
        let (size, stride) = match part {
            Expr::Label(l) => {
                seen.extend(stride(&l.name).map(|_| l.name.clone()));
                (size(&l.name)?, stride(&l.name).unwrap_or(0))
            }
            Expr::Fixed(n) => (*n, 0),
            _ => return None,
        };
        offsets = offsets.iter().flat_map(|o| (0..size).map(move |i| o + i * stride)).collect();
    }
    (offsets.len() == length).then_some(offsets)
}

/// The bias with a BatchNormalization in it; `factor` is what the call multiplies it by.
fn shifted(weight: &Tensor, bias: Option<&Tensor>, affine: &Affine, factor: f64) -> Option<Tensor> {
    let channels = affine.scale.len();
    let old = match bias {
        Some(t) if t.count() == channels && t.shape.last() == Some(&channels) => t.to_f64().ok()?,
        Some(_) => return None,
        None => vec![0.0; channels],
    };
    let new: Vec<f64> = (0..channels).map(|c| old[c] * affine.scale[c] + affine.shift[c] / factor).collect();
    match bias {
        Some(t) => with_data(t, &new),
        None => Tensor::from_f64(weight.dtype, vec![channels], &new).filter(is_finite),
    }
}

/// The same tensor with other numbers, if its type can hold them.
fn with_data(t: &Tensor, values: &[f64]) -> Option<Tensor> {
    let new = Tensor::from_f64(t.dtype, t.shape.clone(), values).filter(is_finite)?;
    Some(Tensor { store: t.store, extra: t.extra.clone(), ..new })
}

fn is_finite(t: &Tensor) -> bool {
    t.dtype.is_float() && t.to_f64().is_ok_and(|v| v.iter().all(|x| x.is_finite()))
}

fn apply(model: &mut Model, fold: Fold, taken: &mut HashSet<String>) {
    let Fold { norm, call, weight, bias } = fold;
    set_operand(model, Use { node: call, slot: 1 }, weight, taken);
    if let Some(call) = model.graph.call_mut(call) {
        call.arity = call.arity.max(3);
    }
    set_operand(model, Use { node: call, slot: 2 }, bias, taken);
    let graph = &mut model.graph;
    let (old, new) = (ValueId { node: norm, port: 0 }, ValueId { node: call, port: 0 });
    // Whoever knows the result by name still does.
    let name = graph.value_name(old).to_owned();
    graph.replace(old, new);
    graph.remove(norm);
    rename(graph, new, name);
}

/// Gives an operand other data: in place where it is the constant's only use.
fn set_operand(model: &mut Model, at: Use, tensor: Tensor, taken: &mut HashSet<String>) {
    let graph = &mut model.graph;
    let old = graph.operand(at.node, usize::from(at.slot));
    if let Some(value) = old.filter(|&v| graph.uses(v).len() == 1)
        && let Some(constant) = graph.constant_mut(value.node)
    {
        if let Form::Node { original, .. } = &mut constant.form {
            *original = None;
        }
        constant.tensor = tensor;
        return;
    }
    let model_of = old.and_then(|v| graph.constant(v.node));
    let origin = model_of.map(|c| c.origin.clone());
    let base = model_of.map_or_else(|| base_of_bias(graph, at.node), |c| c.name.clone());
    let name = graph.fresh_name(&base, taken);
    let mut node = super::edit::new_constant(model.ir_version, name, tensor);
    if let (Node::Constant(constant), Some(origin)) = (&mut node, origin) {
        constant.origin = origin;
    }
    let node = graph.add_before(at.node, node);
    graph.connect(ValueId { node, port: 0 }, at);
}

/// How the bias of a call that had none is named: like its weights.
fn base_of_bias(graph: &Graph, node: NodeId) -> String {
    let weight = graph.operand(node, 1).map_or("", |v| graph.value_name(v));
    format!("{}_bias", weight.trim_end_matches(".weight"))
}

#[cfg(test)]
mod tests {
    use crate::passes::tests::{after, nothing_to_do};

    const NORM: &str = "
        f32[2] scale = {2.0, 3.0}
        f32[2] beta = {1.0, -1.0}
        f32[2] mean = {0.5, 0.25}
        f32[2] var = {0.25, 1.0}
        y = BatchNormalization<epsilon=0.0>(a, scale, beta, mean, var)
    }";

    #[test]
    fn a_convolution_takes_it_in() {
        let text = "g (f32[1,1,4,4] x) => (f32[1,2,4,4] y) {
            f32[2,1,1,1] w = {1.0, 2.0}
            a = Conv(x, w)";
        insta::assert_snapshot!(after("fold-bn,dce", &format!("{text}{NORM}")), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[1,1,4,4] x) => (f32[1,2,4,4] y) {
          f32[2,1,1,1] w = {4.0, 6.0}
          f32[2] w_bias_0 = {-1.0, -1.75}
          y = Conv(x, w, w_bias_0)
        }
        "#);
    }

    #[test]
    fn groups_of_a_transposed_convolution_are_told_apart() {
        let text = "g (f32[1,4,4,4] x) => (f32[1,2,4,4] y) {
            f32[4,1,1,1] w = {1.0, 2.0, 3.0, 4.0}
            f32[2] b = {1.0, 2.0}
            a = ConvTranspose<group=2>(x, w, b)";
        insta::assert_snapshot!(after("fold-bn,dce", &format!("{text}{NORM}")), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[1,4,4,4] x) => (f32[1,2,4,4] y) {
          f32[4,1,1,1] w = {4.0, 8.0, 9.0, 12.0}
          f32[2] b = {3.0, 4.25}
          y = ConvTranspose<group=2>(x, w, b)
        }
        "#);
    }

    #[test]
    fn shared_weights_are_copied() {
        let text = "g (f32[1,2] x) => (f32[1,2] y, f32[1,2] z) {
            f32[2,2] w = {1.0, 2.0, 3.0, 4.0}
            f32[2] b = {1.0, 2.0}
            a = Gemm<beta=0.5>(x, w, b)
            z = Gemm(x, w)";
        insta::assert_snapshot!(after("fold-bn,dce", &format!("{text}{NORM}")), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[1,2] x) => (f32[1,2] y, f32[1,2] z) {
          f32[2,2] w = {1.0, 2.0, 3.0, 4.0}
          f32[2] b = {2.0, 2.5}
          f32[2,2] w_0 = {4.0, 6.0, 12.0, 12.0}
          y = Gemm<beta=0.5>(x, w_0, b)
          z = Gemm(x, w)
        }
        "#);
    }

    #[test]
    fn what_others_see_stays() {
        let text = "g (f32[1,1,4,4] x) => (f32[1,2,4,4] y, f32[1,2,4,4] a) {
            f32[2,1,1,1] w = {1.0, 2.0}
            a = Conv(x, w)";
        nothing_to_do("fold-bn", &format!("{text}{NORM}"));
    }

    #[test]
    fn a_call_that_is_not_linear_stays() {
        let text = "g (f32[1,2,4,4] x) => (f32[1,2,4,4] y) {
            f32[2,1,1] w = {1.0, 2.0}
            a = PRelu(x, w)";
        nothing_to_do("fold-bn", &format!("{text}{NORM}"));
    }
}
