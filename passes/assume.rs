//! Which branch of an If a model needs to run, where the condition is not known.
//!
//! ```text
//! y = If<then_branch = t () => (a) { a = Squeeze(x, last) }, else_branch = e () => (b) { b = Identity(x) }>(c)
//! z, … = LSTM(Unsqueeze(y, first), …)
//! ```
//!
//! Exporters squeeze an axis if it turns out to have length 1. The branches then differ in rank, nobody knows that of the
//! result, and all that follows would be opaque. But here only one of the branches leads to operands that the LSTM can
//! take: each is tried, and where the other makes a call that runs in any case contradict its operands, the types are
//! those of this one. The If stays in the model; inputs for which the other branch were taken are none of the model's.

use crate::facts::Facts;
use crate::infer;
use crate::ir::{Attribute, Graph, Model, NodeId};
use crate::ops::body::{self, ASSUMED};
use std::collections::{HashMap, HashSet};

/// How many branches are tried in a model.
const TRIALS: usize = 64;

/// Writes down at open Ifs whose branches differ in rank which of them runs, where only one can.
pub(super) fn assume(model: &mut Model) {
    let is_if = |n: &NodeId| model.graph.call(*n).is_some_and(body::is_choice);
    let ifs: Vec<NodeId> = model.graph.topological().into_iter().filter(is_if).collect();
    if ifs.is_empty() {
        return;
    }
    let mut facts = infer::infer(model);
    let mut left = TRIALS;
    for node in ifs {
        if left < 2 || !is_open_question(&model.graph, &facts, node) {
            continue;
        }
        let mut possible = vec![];
        for which in 0..2 {
            mark(&mut model.graph, node, which);
            let tried = infer::infer(model);
            left -= 1;
            if !contradicts(&model.graph, &facts, &tried, node) {
                possible.push((which, tried));
            }
        }
        match possible.pop().filter(|_| possible.is_empty()) {
            Some((which, tried)) => {
                mark(&mut model.graph, node, which);
                facts = tried;
            }
            None => _ = model.graph.call_mut(node).map(|c| c.attributes.shift_remove(ASSUMED)),
        }
    }
}

fn mark(graph: &mut Graph, node: NodeId, which: i64) {
    if let Some(call) = graph.call_mut(node) {
        call.attributes.insert(ASSUMED.to_owned(), Attribute::Int(which));
    }
}

/// Whether the branches of an If differ in rank, and nothing says which of them is taken.
fn is_open_question(graph: &Graph, facts: &Facts, node: NodeId) -> bool {
    let Some(call) = graph.call(node) else { return false };
    if branch(graph, facts, node).is_some() {
        return false;
    }
    let rank = |slot: usize| Some(facts.shape(graph.operand(node, slot)?)?.len());
    let mut pairs = body::returned(call, 0).zip(body::returned(call, 1));
    pairs.any(|(a, b)| rank(a).is_some() && rank(b).is_some() && rank(a) != rank(b))
}

/// Which branch of an open If is known to run.
fn branch(graph: &Graph, facts: &Facts, node: NodeId) -> Option<usize> {
    let call = graph.call(node).filter(|c| body::is_choice(c))?;
    let assumed = || usize::try_from(call.int(ASSUMED, -1)).ok();
    graph.operand(node, 0).and_then(|v| body::branch(call, facts.get(v))).or_else(assumed)
}

/// Whether a trial makes a call contradict its operands that is computed wherever the If is.
fn contradicts(graph: &Graph, before: &Facts, tried: &Facts, node: NodeId) -> bool {
    let known: HashSet<NodeId> = before.contradictions.iter().map(|c| c.node).collect();
    let new: Vec<NodeId> = tried.contradictions.iter().map(|c| c.node).filter(|n| !known.contains(n)).collect();
    if new.is_empty() {
        return false;
    }
    // Of each body, whose it is and which.
    let open = graph.calls().into_iter().filter(|&n| graph.call(n).is_some_and(body::is_open));
    let owners: HashMap<u32, (NodeId, usize)> = open
        .flat_map(|n| {
            graph.call(n).map(body::regions).unwrap_or_default().into_iter().enumerate().map(move |(k, r)| (r, (n, k)))
        })
        .collect();
    let outer = |region: u32| owners.get(&region).map(|(call, _)| graph.region(*call));
    let around: HashSet<u32> = std::iter::successors(Some(graph.region(node)), |&r| outer(r)).collect();
    let runs = |at: NodeId| {
        let mut region = graph.region(at);
        while !around.contains(&region) {
            let Some(&(call, which)) = owners.get(&region) else { return false };
            if branch(graph, tried, call) != Some(which) {
                return false;
            }
            region = graph.region(call);
        }
        true
    };
    new.into_iter().any(runs)
}
