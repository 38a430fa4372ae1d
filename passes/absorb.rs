//! Factors and summands behind a sum of products, taken into its weights.
//!
//! A call is *affine* along an axis if it multiplies each unit of it by a number and adds one. A chain of such calls is
//! affine too. Where what they start from is a sum of products with a constant (its law `sum` says so), the factors can go
//! into the weights: `s (W x + b) + t = (s W) x + (s b + t)`. The axis rule says to which unit of the result each weight
//! belongs, by the labels of that axis, wherever the weight carries them. So convolutions of all sorts (grouped,
//! depthwise, transposed) and matrix products are one case.
//!
//! What is added goes into the operand for it, where there is one; else one `Add` stays behind the call. Factors are
//! computed in 64 bits, and the weights keep their type. The values in between have no other use; weights that others use
//! are copied where that makes the model no larger.

use super::edit::{ask, dense, is_listed, new_constant, rename};
use super::foldable::SMALL;
use super::{Change, Context};
use crate::axes::{Axes, Expr, RuleText};
use crate::facts::Facts;
use crate::ir::{Call, Form, Graph, Model, Node, NodeId, Tensor, Use, ValueId};
use crate::ops::{self, Bias, Site};
use std::collections::HashSet;

/// What a call does to its data: times the first, plus the second; for each unit of an axis, or one for all.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Affine {
    /// The operand that is the data.
    pub data: u16,
    pub axis: Option<usize>,
    pub scale: Vec<f64>,
    pub shift: Vec<f64>,
}

impl Affine {
    /// This one, and then another one; `None` where they are along different axes.
    fn then(&self, next: &Affine) -> Option<Affine> {
        let (axis, count) = match (self.axis, next.axis) {
            (Some(a), Some(b)) if a != b || self.scale.len() != next.scale.len() => return None,
            (None, b) => (b, next.scale.len()),
            (a, _) => (a, self.scale.len()),
        };
        let (one, two) = (self.stretched(count), next.stretched(count));
        let scale = one.0.iter().zip(&two.0).map(|(a, b)| a * b).collect();
        let shift = (0..count).map(|i| one.1[i] * two.0[i] + two.1[i]).collect();
        Some(Affine { data: self.data, axis, scale, shift })
    }

    /// Factors and summands of so many units.
    fn stretched(&self, count: usize) -> (Vec<f64>, Vec<f64>) {
        let stretch = |v: &[f64]| if self.axis.is_none() { vec![v[0]; count] } else { v.to_vec() };
        (stretch(&self.scale), stretch(&self.shift))
    }
}

/// What a pass takes for an affine call.
pub(super) type Law = fn(&Site) -> Option<Affine>;

/// A chain of affine calls, and what takes its place.
struct Fold {
    call: NodeId,
    chain: Vec<NodeId>,
    weight: (u16, Tensor),
    bias: Option<(u16, Tensor)>,
    /// What an `Add` behind the call adds.
    behind: Option<Tensor>,
}

/// Takes chains of affine calls into the weights before them, each with at least one that `wanted` names.
pub(super) fn absorb(model: &mut Model, cx: &mut Context, law: Law, wanted: fn(&Call) -> bool) -> Change {
    let facts = cx.facts(model);
    let chains: Vec<(NodeId, Vec<NodeId>, Affine)> = chains(model, &facts, law, wanted);
    if chains.is_empty() {
        return Change::default();
    }
    let axes = cx.axes(model);
    let site = |c: &(NodeId, Vec<NodeId>, Affine)| Place { model, facts: &facts, axes: &axes, call: c.0 };
    let folds: Vec<Fold> = chains.iter().filter_map(|c| site(c).fold(&c.1, &c.2)).collect();
    let mut taken = if folds.is_empty() { HashSet::new() } else { model.graph.all_names() };
    let count = folds.len();
    folds.into_iter().for_each(|f| apply(model, f, &mut taken));
    Change(count)
}

/// Sums of products with the affine calls behind them.
fn chains(model: &Model, facts: &Facts, law: Law, wanted: fn(&Call) -> bool) -> Vec<(NodeId, Vec<NodeId>, Affine)> {
    let graph = &model.graph;
    let mut found = vec![];
    for node in graph.calls() {
        let sums = |site: &Site| (ops::rule_of(model, site.call).operands.sum)(site).is_some();
        if graph.call(node).is_none_or(|c| c.results.len() != 1) || ask(model, facts, node, sums) != Some(true) {
            continue;
        }
        let (mut chain, mut total): (Vec<NodeId>, Option<Affine>) = (vec![], None);
        let mut value = ValueId { node, port: 0 };
        while let [at] = graph.uses(value)[..]
            && is_listed(graph, at)
            && graph.region(at.node) == graph.region(node)
            && let Some(Some(next)) = ask(model, facts, at.node, law)
            && next.data == at.slot
            && let Some(both) = total.as_ref().map_or(Some(next.clone()), |t| t.then(&next))
        {
            total = Some(both);
            chain.push(at.node);
            value = ValueId { node: at.node, port: 0 };
        }
        let is_wanted = |&n: &NodeId| graph.call(n).is_some_and(wanted);
        if let Some(total) = total.filter(|_| chain.iter().any(is_wanted)) {
            found.push((node, chain, total));
        }
    }
    found
}

/// A sum of products, with what is known around it.
struct Place<'a> {
    model: &'a Model,
    facts: &'a Facts,
    axes: &'a Axes,
    call: NodeId,
}

impl Place<'_> {
    /// Decides whether the call can do its chain's work, and with which weights.
    fn fold(&self, chain: &[NodeId], affine: &Affine) -> Option<Fold> {
        let rank = self.facts.get(ValueId { node: self.call, port: 0 }).rank()?;
        let last = rank.checked_sub(1)?;
        let axes = affine.axis.map_or_else(|| vec![1.min(last), last], |axis| vec![axis]);
        axes.into_iter().find_map(|axis| self.fold_along(chain, affine, axis))
    }

    fn fold_along(&self, chain: &[NodeId], affine: &Affine, axis: usize) -> Option<Fold> {
        let graph = &self.model.graph;
        let shape = self.facts.shape(ValueId { node: self.call, port: 0 })?;
        let (count, behind) = (shape.get(axis)?.size()?, shape.len() - axis - 1);
        if affine.axis.is_some() && affine.scale.len() != count {
            return None;
        }
        let (scale, shift) = affine.stretched(count);
        let text = self.text()?;
        let unit = text.results.first()?.for_rank(shape.len())?.get(axis)?.clone();
        let slot = self.weight_slot()?;
        let weight = &graph.tensor(graph.operand(self.call, usize::from(slot))?)?;
        let units = self.units(
            &text.operands.get(usize::from(slot))?.for_rank(weight.shape.len())?,
            &unit,
            &weight.shape,
            count,
        )?;
        let scaled: Vec<f64> = weight.to_f64().ok()?.into_iter().zip(&units).map(|(w, &u)| w * scale[u]).collect();
        let added = match self.bias(&text, &unit, axis, (&scale, &shift), weight)? {
            Added::Nothing => (None, None),
            Added::Operand(slot, bias) => (Some((slot, bias)), None),
            // An Add that is there already is as good.
            Added::Behind(_) if chain.len() == 1 && scale.iter().all(|&s| s == 1.0) => return None,
            Added::Behind(sum) => {
                let shape = std::iter::once(count).chain((0..behind).map(|_| 1)).collect();
                (None, Some(Tensor { shape, ..sum }))
            }
        };
        let fold = Fold {
            call: self.call,
            chain: chain.to_vec(),
            weight: (slot, with_data(weight, &scaled)?),
            bias: added.0,
            behind: added.1,
        };
        self.pays(&fold).then_some(fold)
    }

    fn ask<T>(&self, question: impl FnOnce(&ops::Rule, &Site) -> T) -> Option<T> {
        let rule = ops::rule_of(self.model, self.model.graph.call(self.call)?);
        ask(self.model, self.facts, self.call, |site| question(rule, site))
    }

    fn text(&self) -> Option<RuleText> {
        RuleText::parse(&self.ask(|rule, site| (rule.axes)(site))??.text).ok()
    }

    /// The operand that is the constant of the products: the only one, but for what is added.
    fn weight_slot(&self) -> Option<u16> {
        let sum = self.ask(|rule, site| (rule.operands.sum)(site))??;
        let addend = sum.addend.map(|a| a.0);
        let graph = &self.model.graph;
        let factors = (0..graph.call(self.call)?.arity).filter(|s| Some(*s) != addend);
        let is_weight = |slot: &u16| {
            let constant = graph.operand(self.call, usize::from(*slot)).and_then(|v| dense(graph, v));
            constant.is_some_and(|c| c.tensor.dtype.is_float() && c.tensor.raw().is_ok())
        };
        let mut weights = factors.filter(is_weight);
        weights.next().filter(|_| weights.next().is_none())
    }

    /// For each weight the unit of the result's axis that it belongs to.
    fn units(&self, weight: &[Expr], unit: &Expr, shape: &[usize], count: usize) -> Option<Vec<usize>> {
        let size = |label: &str| {
            let binding = self.axes.bindings(self.call).iter().find(|b| b.name == label);
            binding.map_or(Some(1), |b| self.axes.solver().size(b.var).size())
        };
        // Row-major strides of the axis's labels. A label of length 1 does not move anything.
        let mut strides: Vec<(&str, usize)> = vec![];
        let mut stride = 1;
        for part in factors(unit).iter().rev() {
            let Expr::Label(label) = part else { return None };
            let size = size(&label.name)?;
            if size > 1 {
                strides.push((&label.name, stride));
            }
            stride *= size;
        }
        let mut seen = vec![];
        let mut units = vec![0];
        for (expr, &length) in weight.iter().zip(shape) {
            let offsets = offsets(expr, length, &strides, &size, &mut seen)?;
            units = units.iter().flat_map(|c| offsets.iter().map(move |o| c + o)).collect();
        }
        // Each label once: a weight that lacks one is shared between units.
        let whole = seen.len() == strides.len() && strides.iter().all(|s| seen.contains(&s.0.to_owned()));
        (whole && stride == count).then_some(units)
    }

    /// Where what is added goes, and what it is then.
    fn bias(
        &self,
        text: &RuleText,
        unit: &Expr,
        axis: usize,
        (scale, shift): (&[f64], &[f64]),
        weight: &Tensor,
    ) -> Option<Added> {
        let graph = &self.model.graph;
        let count = scale.len();
        let (sum, place, rank) =
            self.ask(|rule, site| ((rule.operands.sum)(site), (rule.operands.bias)(site), site.result(0).rank()))?;
        let addend = sum?.addend;
        let old = addend.and_then(|(slot, factor)| Some((slot, factor, graph.operand(self.call, usize::from(slot))?)));
        if let Some((slot, factor, value)) = old {
            let old = &dense(graph, value)?.tensor;
            let exprs = text.operands.get(usize::from(slot))?.for_rank(old.shape.len())?;
            if exprs.last() != Some(unit) || old.count() != count || old.shape.last() != Some(&count) {
                return None;
            }
            // `factor` is what the call multiplies its bias by.
            let numbers = old.to_f64().ok()?;
            let new: Vec<f64> = (0..count).map(|i| numbers[i] * scale[i] + shift[i] / factor).collect();
            return Some(Added::Operand(slot, with_data(old, &new)?));
        }
        if shift.iter().all(|&t| t == 0.0) {
            return Some(Added::Nothing);
        }
        let vector = |factor: f64| {
            let numbers: Vec<f64> = shift.iter().map(|t| t / factor).collect();
            Tensor::from_f64(weight.dtype, vec![count], &numbers).filter(|t| fits(t, &numbers))
        };
        if let Some((slot, factor)) = addend {
            let said = text.operands.get(usize::from(slot)).and_then(|t| t.for_rank(1));
            let is_last = place == Some(Bias::Operand(slot)) && rank == Some(axis + 1);
            if said.is_some_and(|exprs| exprs == [unit.clone()]) || is_last {
                return Some(Added::Operand(slot, vector(factor)?));
            }
        }
        let broadcasts = self.model.opset("") >= 7;
        broadcasts.then(|| vector(1.0)).flatten().map(Added::Behind)
    }

    /// Whether the model takes no more bytes afterwards, or hardly any.
    fn pays(&self, fold: &Fold) -> bool {
        let graph = &self.model.graph;
        let is_own = |v: &ValueId| graph.uses(*v).len() == 1;
        let copied = |(slot, new): &(u16, Tensor)| match graph.operand(fold.call, usize::from(*slot)) {
            Some(old) if is_own(&old) => 0,
            _ => new.byte_len(),
        };
        let new = copied(&fold.weight)
            + fold.bias.as_ref().map_or(0, copied)
            + fold.behind.as_ref().map_or(0, Tensor::byte_len);
        let constants: HashSet<ValueId> = fold.chain.iter().flat_map(|&n| graph.operands(n)).flatten().collect();
        let goes = |v: &ValueId| graph.uses(*v).iter().all(|u| fold.chain.contains(&u.node));
        let freed: usize =
            constants.iter().filter(|v| goes(v)).filter_map(|&v| graph.tensor(v)).map(Tensor::byte_len).sum();
        new <= freed.max(SMALL * fold.chain.len())
    }
}

/// Where what is added goes.
enum Added {
    Nothing,
    Operand(u16, Tensor),
    Behind(Tensor),
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

/// The same tensor with other numbers, if its type can hold them.
fn with_data(t: &Tensor, values: &[f64]) -> Option<Tensor> {
    let new = Tensor::from_f64(t.dtype, t.shape.clone(), values).filter(|new| fits(new, values))?;
    Some(Tensor { store: t.store, extra: t.extra.clone(), ..new })
}

/// Whether numbers became finite ones of a tensor's type, and did not drown in what is too small for it.
fn fits(t: &Tensor, values: &[f64]) -> bool {
    const ROUNDING: f64 = 1.0 / 128.0;
    let most = values.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    let close = |(new, old): (f64, &f64)| new.is_finite() && (new - old).abs() <= ROUNDING * most;
    t.dtype.is_float() && t.to_f64().is_ok_and(|new| new.into_iter().zip(values).all(close))
}

fn apply(model: &mut Model, fold: Fold, taken: &mut HashSet<String>) {
    let Fold { call, chain, weight: (slot, weight), bias, behind } = fold;
    set_operand(model, Use { node: call, slot }, weight, taken);
    if let Some((slot, bias)) = bias {
        if let Some(call) = model.graph.call_mut(call) {
            call.arity = call.arity.max(slot + 1);
        }
        set_operand(model, Use { node: call, slot }, bias, taken);
    }
    let Some((&first, &last)) = chain.first().zip(chain.last()) else { return };
    let graph = &mut model.graph;
    // Whoever knows the result by name still does.
    let name = graph.value_name(ValueId { node: last, port: 0 }).to_owned();
    let old = ValueId { node: last, port: 0 };
    let mut new = ValueId { node: call, port: 0 };
    if let Some(sum) = behind {
        let constant = graph.fresh_name(&base_of_bias(graph, call), taken);
        let constant = graph.add_before(first, new_constant(model.ir_version, constant, sum));
        let add = Call { arity: 2, results: vec![name.clone()], ..Call::new("Add") };
        let add = graph.add_before(first, Node::Call(Box::new(add)));
        graph.connect(new, Use { node: add, slot: 0 });
        graph.connect(ValueId { node: constant, port: 0 }, Use { node: add, slot: 1 });
        new = ValueId { node: add, port: 0 };
    }
    graph.replace(old, new);
    chain.into_iter().for_each(|n| _ = graph.remove(n));
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
    let mut node = new_constant(model.ir_version, name, tensor);
    if let (Node::Constant(constant), Some(origin)) = (&mut node, origin) {
        constant.origin = origin;
    }
    let node = graph.add_before(at.node, node);
    graph.connect(ValueId { node, port: 0 }, at);
}

/// How the bias of a call that had none is named: like its weights.
fn base_of_bias(graph: &Graph, node: NodeId) -> String {
    let weight = graph.operands(node).into_iter().flatten().find(|v| graph.constant(v.node).is_some());
    format!("{}_bias", weight.map_or("", |v| graph.value_name(v)).trim_end_matches(".weight"))
}
