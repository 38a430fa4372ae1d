//! Islands of calls that do not care in which order their axes come, between transpositions.

use super::edit::{ask, dense, new_constant, rename, replace_call};
use super::foldable::SMALL;
use super::merge_transposes::{Turns, as_attribute, inverse};
use crate::axes::{Expr, RuleText};
use crate::facts::Facts;
use crate::ir::{Call, Graph, Model, Node, NodeId, Payload, Tensor, Use, ValueId};
use crate::ops;
use std::collections::{BTreeSet, HashSet};

/// Calls that are turned together, and what is done at their shore.
pub(super) struct Island {
    calls: Vec<NodeId>,
    /// What leads into the island permutes axes like this.
    perm: Vec<usize>,
    /// Operands that are the values here instead.
    instead: Vec<(Use, ValueId)>,
    /// Operands that have to be turned back first.
    turned: Vec<(ValueId, Vec<Use>)>,
    constants: Vec<(Use, Tensor)>,
    /// Transpositions that are not needed any more, each with the value that it stood for.
    gone: Vec<(NodeId, ValueId)>,
    /// Values that others read as they were.
    read: Vec<ValueId>,
}

/// The islands that are worth it. No two of them meet.
pub(super) fn find(model: &Model, facts: &Facts, turned: &Turns) -> Vec<Island> {
    let graph = &model.graph;
    let (mut seen, mut touched): (HashSet<NodeId>, HashSet<NodeId>) = Default::default();
    let mut islands = vec![];
    let shores: Vec<NodeId> = graph.topological().into_iter().filter(|n| turned.contains_key(n)).collect();
    for node in shores {
        let perm = &turned[&node];
        for at in graph.uses(ValueId { node, port: 0 }) {
            if seen.contains(&at.node) || !is_free(model, facts, at.node, perm.len()) {
                continue;
            }
            let calls = grow(model, facts, at.node, perm.len());
            seen.extend(&calls);
            let island = Shore { model, facts, turned, perm, calls: &calls }.island();
            // One that is beside another waits for the next round, when it is known what became of that.
            let Some(island) = island.filter(|i| i.nodes(graph).all(|n| !touched.contains(&n))) else { continue };
            touched.extend(island.nodes(graph));
            islands.push(island);
        }
    }
    islands
}

/// All calls that hang together with one by values of this rank, and do not care in which order axes come.
fn grow(model: &Model, facts: &Facts, from: NodeId, rank: usize) -> BTreeSet<NodeId> {
    let graph = &model.graph;
    let mut calls = BTreeSet::from([from]);
    let mut waiting = vec![from];
    while let Some(node) = waiting.pop() {
        let before = graph.operands(node).into_iter().flatten().map(|v| v.node);
        let behind = graph.uses(ValueId { node, port: 0 }).into_iter().map(|u| u.node);
        for next in before.chain(behind).collect::<Vec<_>>() {
            let here = graph.region(next) == graph.region(from);
            if here && !calls.contains(&next) && is_free(model, facts, next, rank) {
                calls.insert(next);
                waiting.push(next);
            }
        }
    }
    calls
}

/// Whether a call does the same whatever the order of its axes: its rule passes all of them through, and what is
/// computed has them all.
fn is_free(model: &Model, facts: &Facts, node: NodeId, rank: usize) -> bool {
    let graph = &model.graph;
    let known = || {
        let call = graph.call(node).filter(|c| c.results.len() == 1 && c.graphs().next().is_none())?;
        let rule = ops::rule_of(model, call);
        let text = RuleText::parse(&ask(model, facts, node, |site| (rule.axes)(site))??.text).ok()?;
        let rest: Vec<Expr> = (0..rank).rev().map(|k| Expr::label(&format!(".{k}"))).collect();
        let is_through =
            |slot: usize| text.operands.get(slot).and_then(|t| t.for_rank(rank)).is_some_and(|t| t == rest);
        let fits = |(slot, value): (usize, Option<ValueId>)| {
            let Some(value) = value else { return true };
            let constant = dense(graph, value).map(|c| &c.tensor);
            match constant {
                Some(t) if t.count() == 1 && t.shape.len() <= rank => true,
                Some(t) => is_through(slot) && call.domain.is_empty() && can_turn(graph, value, t, rank),
                None => is_through(slot) && facts.get(value).rank() == Some(rank),
            }
        };
        let result =
            facts.get(ValueId { node, port: 0 }).rank()? == rank && text.results.first()?.for_rank(rank)? == rest;
        let listed = graph.operands(node).len() == usize::from(call.arity);
        let operands = graph.operands(node).into_iter().enumerate().all(fits);
        Some(result && listed && operands && !ops::is_random(call) && call.domain != crate::ir::BODY_DOMAIN)
    };
    known() == Some(true)
}

/// Whether a constant can have other axes without a copy that takes room.
fn can_turn(graph: &Graph, value: ValueId, t: &Tensor, rank: usize) -> bool {
    let own = graph.uses(value).len() == 1 || t.byte_len() <= SMALL;
    own && t.shape.len() <= rank && t.dtype.bits() >= 8 && t.raw().is_ok()
}

/// What is around the calls of an island.
struct Shore<'a> {
    model: &'a Model,
    facts: &'a Facts,
    turned: &'a Turns,
    perm: &'a [usize],
    calls: &'a BTreeSet<NodeId>,
}

impl Shore<'_> {
    /// The island, if turning it leaves fewer transpositions.
    fn island(&self) -> Option<Island> {
        let graph = &self.model.graph;
        let back = inverse(self.perm);
        let mut island = Island {
            calls: self.calls.iter().copied().collect(),
            perm: self.perm.to_vec(),
            instead: vec![],
            turned: vec![],
            constants: vec![],
            gone: vec![],
            read: vec![],
        };
        for &node in self.calls {
            for (slot, value) in graph.operands(node).into_iter().enumerate() {
                let at = Use { node, slot: slot as u16 };
                value.into_iter().try_for_each(|v| self.operand(&mut island, at, v, &back))?;
            }
            let result = ValueId { node, port: 0 };
            let outside = graph.uses(result).into_iter().filter(|u| !self.calls.contains(&u.node));
            let (gone, read): (Vec<Use>, Vec<Use>) = outside.partition(|u| self.turned.get(&u.node) == Some(&back));
            island.gone.extend(gone.into_iter().map(|u| (u.node, result)));
            if !read.is_empty() {
                island.read.push(result);
            }
        }
        // Transpositions into the island that nobody else needs go too.
        let only_here = |v: &ValueId| graph.uses(*v).iter().all(|u| self.calls.contains(&u.node));
        let into: HashSet<ValueId> =
            island.instead.iter().filter_map(|(at, _)| graph.operand(at.node, usize::from(at.slot))).collect();
        let saved = island.gone.len() + into.iter().filter(|v| only_here(v)).count();
        (saved > island.turned.len() + island.read.len()).then_some(island)
    }

    fn operand(&self, island: &mut Island, at: Use, value: ValueId, back: &[usize]) -> Option<()> {
        let graph = &self.model.graph;
        if self.calls.contains(&value.node) {
            return Some(());
        }
        if let Some(constant) = dense(graph, value) {
            if constant.tensor.count() > 1 {
                island.constants.push((at, turn(&constant.tensor, back)?));
            }
        } else if self.turned.get(&value.node).is_some_and(|p| p == self.perm) {
            island.instead.push((at, graph.operand(value.node, 0)?));
        } else {
            self.facts.get(value).rank()?;
            match island.turned.iter_mut().find(|t| t.0 == value) {
                Some((_, uses)) => uses.push(at),
                None => island.turned.push((value, vec![at])),
            }
        }
        Some(())
    }
}

impl Island {
    /// The calls, and all transpositions and values around them that matter.
    fn nodes<'a>(&'a self, graph: &'a Graph) -> impl Iterator<Item = NodeId> + 'a {
        let into = self.instead.iter().filter_map(|(at, _)| graph.operand(at.node, usize::from(at.slot)));
        let values = into.chain(self.turned.iter().map(|t| t.0)).map(|v| v.node);
        self.calls.iter().copied().chain(values).chain(self.gone.iter().map(|g| g.0))
    }

    /// Turns the calls to the order of axes that their operands had before.
    pub(super) fn turn(self, model: &mut Model, taken: &mut HashSet<String>) {
        let back = inverse(&self.perm);
        let graph = &mut model.graph;
        let mut stale: HashSet<String> =
            self.calls.iter().map(|&node| graph.value_name(ValueId { node, port: 0 }).to_owned()).collect();
        let inside: HashSet<NodeId> = self.calls.iter().copied().chain(self.gone.iter().map(|g| g.0)).collect();
        for value in &self.read {
            let uses: Vec<Use> = graph.uses(*value).into_iter().filter(|u| !inside.contains(&u.node)).collect();
            let Some(&first) = uses.first() else { continue };
            // Others know the value by its name, and it has that order of axes.
            let name = graph.value_name(*value).to_owned();
            let own = graph.fresh_name(&name, taken);
            rename(graph, *value, own);
            stale.remove(&name);
            let anchor = if graph.call(first.node).is_some() { first.node } else { value.node };
            let new = transposition(graph, *value, &self.perm, name, anchor);
            uses.into_iter().for_each(|u| graph.connect(new, u));
        }
        for (value, uses) in self.turned {
            let name = graph.value_name(value).to_owned();
            let name = graph.fresh_name(&name, taken);
            let new = transposition(graph, value, &back, name, uses[0].node);
            uses.into_iter().for_each(|u| graph.connect(new, u));
        }
        self.instead.into_iter().for_each(|(at, value)| graph.connect(value, at));
        for (at, tensor) in self.constants {
            let name =
                graph.operand(at.node, usize::from(at.slot)).map_or(String::new(), |v| graph.value_name(v).to_owned());
            let name = graph.fresh_name(&name, taken);
            let node = graph.add_before(at.node, new_constant(model.ir_version, name, tensor));
            graph.connect(ValueId { node, port: 0 }, at);
        }
        for (node, value) in self.gone {
            if !replace_call(graph, node, value)
                && let Some(call) = graph.call_mut(node)
            {
                (call.op, call.domain) = (ops::IDENTITY.into(), String::new());
                call.attributes.clear();
                graph.connect(value, Use { node, slot: 0 });
            }
        }
        graph.value_info.retain(|info| !stale.contains(&info.name));
    }
}

/// A new transposition of a value.
fn transposition(graph: &mut Graph, value: ValueId, perm: &[usize], name: String, before: NodeId) -> ValueId {
    let mut call = Call { arity: 1, results: vec![name], ..Call::new("Transpose") };
    call.attributes.insert("perm".into(), as_attribute(perm));
    let node = graph.add_before(before, Node::Call(Box::new(call)));
    graph.connect(value, Use { node, slot: 0 });
    ValueId { node, port: 0 }
}

/// A constant with its axes permuted, those that it lacks in front counted as of length 1.
fn turn(t: &Tensor, perm: &[usize]) -> Option<Tensor> {
    let mut shape = vec![1; perm.len().checked_sub(t.shape.len())?];
    shape.extend(&t.shape);
    let strides: Vec<usize> = (0..shape.len()).map(|i| shape[i + 1..].iter().product()).collect();
    let new: Vec<usize> = perm.iter().map(|&p| shape[p]).collect();
    let (data, size) = (t.raw().ok()?, t.dtype.bits() / 8);
    let mut at = vec![0];
    for (&p, &length) in perm.iter().zip(&new) {
        let stride = strides[p];
        at = at.iter().flat_map(|o| (0..length).map(move |i| o + i * stride)).collect();
    }
    let bytes: Vec<u8> = at.into_iter().flat_map(|i| &data[i * size..(i + 1) * size]).copied().collect();
    Some(Tensor { shape: new, payload: Payload::Raw(bytes.into()), ..t.clone() })
}
