//! Residual branches, from the graph alone.
//!
//! A call *merges* a branch if its rule says that it passes one operand on where the other is zero
//! ([`bypass`](crate::ops::ValueLaws::bypass)): the operand passed on is the branch's *entry*, the other its *exit*.
//! The branch is all that lies on the ways from entry to exit. It can go if nothing else reads what is in it, so that
//! the merge is the one way out, and if the merge's result has the entry's type. What comes in from the side (masks,
//! positions, another network's states) does not matter.
//!
//! The walk goes forward from the entry, to nodes that stand before the exit in topological order, and from there back.
//! So it takes as long as branches are, times how deep they are nested.

use super::{Layer, Layers, Refused};
use crate::facts::Facts;
use crate::ir::{DType, Dim, Graph, Model, Node, NodeId, Use, ValueId};
use crate::ops::{self, Site};
use std::collections::{HashMap, HashSet};

/// Finds the branches of the main graph.
pub fn find(model: &Model, facts: &Facts) -> Layers {
    let order = model.graph.topological();
    let places = order.iter().enumerate().map(|(i, &n)| (n, i)).collect();
    let search = Search { model, graph: &model.graph, facts, places };
    let mut out = Layers::default();
    for merge in order {
        match search.at(merge) {
            Some(Ok(layer)) => out.layers.push(layer),
            Some(Err(why)) => out.refused.push(Refused { merge, why }),
            None => {}
        }
    }
    out
}

struct Search<'a> {
    model: &'a Model,
    graph: &'a Graph,
    facts: &'a Facts,
    /// Where nodes stand in topological order.
    places: HashMap<NodeId, usize>,
}

impl Search<'_> {
    /// The layer that a call merges, or why there is none although it looks like a merge.
    fn at(&self, merge: NodeId) -> Option<Result<Layer, String>> {
        let call = self.graph.call(merge)?;
        let unknowns = crate::facts::Unknowns::of_questions();
        let site = Site::new(self.model, self.graph, merge, call, self.facts, &unknowns);
        let rule = ops::rule_of(self.model, call);
        let mut verdict = None;
        let mut sides = 0;
        for slot in 0..call.arity {
            let Some(kept) = (rule.values.bypass)(&site, usize::from(slot)) else { continue };
            let ends = self.graph.operand(merge, kept).zip(self.graph.operand(merge, usize::from(slot)));
            let Some((entry, exit)) = ends.filter(|&(entry, exit)| self.is_data(entry) && self.is_data(exit)) else {
                continue;
            };
            sides += 1;
            verdict = verdict.or_else(|| self.between(entry, exit, Use { node: merge, slot }));
        }
        // Positions in the file tell layers apart, and those in a body are its own.
        if self.graph.region(merge) != 0 {
            return verdict.map(|_| Err("it is in the body of a call".to_owned()));
        }
        let independent = || "neither operand is made from the other, so nothing bypasses a branch".to_owned();
        verdict.or_else(|| (sides > 1 && self.same_type(merge)).then(|| Err(independent())))
    }

    /// Whether a value is made of numbers that the model computes.
    fn is_data(&self, value: ValueId) -> bool {
        self.graph.constant(value.node).is_none() && self.facts.get(value).dtype.is_some_and(DType::is_float)
    }

    /// Whether all operands and the first result of a call have one type.
    fn same_type(&self, call: NodeId) -> bool {
        let result = ValueId { node: call, port: 0 };
        self.graph.operands(call).into_iter().flatten().all(|v| self.is_same_type(v, result))
    }

    fn is_same_type(&self, a: ValueId, b: ValueId) -> bool {
        let (a, b) = (self.facts.get(a), self.facts.get(b));
        a.dtype == b.dtype && a.shape.is_some() && a.shape == b.shape
    }

    /// The branch between two values; nothing if the exit is not made from the entry.
    fn between(&self, entry: ValueId, exit: ValueId, at: Use) -> Option<Result<Layer, String>> {
        let calls = self.ways(entry, exit.node)?;
        let result = ValueId { node: at.node, port: 0 };
        if !self.is_same_type(entry, result) {
            let ty = |v: ValueId| self.facts.get(v).ty().map_or_else(|| "unknown".to_owned(), |t| t.to_string());
            return Some(Err(format!("its result is {}, but what bypasses it is {}", ty(result), ty(entry))));
        }
        let inside: HashSet<NodeId> = calls.iter().copied().collect();
        for &node in &calls {
            if let Some(reader) = self.readers(node).find(|u| !inside.contains(&u.node) && *u != at) {
                let (node, reader) = (self.graph.label(node), self.graph.label(reader.node));
                return Some(Err(format!("`{node}` in the branch is read by `{reader}` outside it too")));
            }
        }
        if !self.is_work(&calls) {
            return Some(Err("the branch maps single elements, without weights or products of matrices".into()));
        }
        let gone = self.gone(&calls, at.node, entry.node);
        Some(Ok(Layer { merge: at.node, slot: at.slot, entry, exit, calls, gone }))
    }

    /// The nodes on the ways from a value to a node, that node included, in topological order.
    fn ways(&self, from: ValueId, to: NodeId) -> Option<Vec<NodeId>> {
        let end = *self.places.get(&to)?;
        let before = |n: &NodeId| self.places.get(n).is_some_and(|&p| p <= end);
        let mut reached: HashSet<NodeId> = HashSet::new();
        let mut waiting: Vec<NodeId> = self.graph.uses(from).into_iter().map(|u| u.node).filter(before).collect();
        while let Some(node) = waiting.pop() {
            if reached.insert(node) {
                waiting.extend(self.readers(node).map(|u| u.node).filter(before));
            }
        }
        let mut ways: HashSet<NodeId> = HashSet::new();
        waiting.extend(Some(to).filter(|n| reached.contains(n)));
        while let Some(node) = waiting.pop() {
            if ways.insert(node) {
                let operands = self.graph.operands(node).into_iter().flatten().map(|v| v.node);
                waiting.extend(operands.filter(|n| reached.contains(n)));
            }
        }
        let mut ways: Vec<NodeId> = ways.into_iter().collect();
        ways.sort_by_key(|n| self.places[n]);
        Some(ways).filter(|w| !w.is_empty())
    }

    fn readers(&self, node: NodeId) -> impl Iterator<Item = Use> {
        self.graph.results(node).flat_map(|v| self.graph.uses(v))
    }

    /// All that goes with a branch: its calls, the merge, and whatever nothing else reads.
    fn gone(&self, calls: &[NodeId], merge: NodeId, entry: NodeId) -> Vec<NodeId> {
        let mut gone: HashSet<NodeId> = calls.iter().copied().chain([merge]).collect();
        let mut waiting: Vec<NodeId> = calls.to_vec();
        while let Some(node) = waiting.pop() {
            for operand in self.graph.operands(node).into_iter().flatten().map(|v| v.node) {
                let removable = matches!(self.graph.node(operand), Node::Call(_) | Node::Constant(_));
                let stays = operand == entry || gone.contains(&operand);
                if removable && !stays && self.readers(operand).all(|u| gone.contains(&u.node)) {
                    gone.insert(operand);
                    waiting.push(operand);
                }
            }
        }
        let mut gone: Vec<NodeId> = gone.into_iter().collect();
        gone.sort_by_key(|n| self.places.get(n));
        gone
    }

    /// Whether there is anything to a branch but functions of single elements: an activation that is written out,
    /// `x + 0.04 x³`, is a branch as well, and no layer.
    fn is_work(&self, calls: &[NodeId]) -> bool {
        let weight = |v: ValueId| self.graph.tensor(v).is_some_and(|t| t.count() > 1 && t.dtype.is_float());
        let weighs = |n: &NodeId| self.graph.operands(*n).into_iter().flatten().any(weight);
        calls.iter().any(|n| weighs(n) || self.multiplies(*n))
    }

    fn multiplies(&self, node: NodeId) -> bool {
        let Some(call) = self.graph.call(node) else { return false };
        let unknowns = crate::facts::Unknowns::of_questions();
        let site = Site::new(self.model, self.graph, node, call, self.facts, &unknowns);
        (ops::rule_of(self.model, call).cost)(&site) != Dim::Fixed(0)
    }
}
