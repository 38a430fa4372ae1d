//! Which calls of constants are computed before the run.
//!
//! All that can be computed is a part of the graph that hangs together by its constants: *islands*. An island is
//! computed whole where what comes out of it takes no more bytes than the constants that go with it. Of any other island
//! single calls are computed, in the order of the data, as long as each takes no more than it frees: a tensor that the
//! file builds from few numbers stays built from them, and what is made of it stays a call. Each call that is computed
//! may make others worth it, so this is done until nothing changes.

use super::edit::{ask, dense, is_listed};
use crate::facts::{Facts, count};
use crate::ir::{Call, Graph, Model, NodeId, Tensor, ValueId};
use crate::ops;
use std::collections::{HashMap, HashSet};

/// Results of at most so many bytes are welcome, whatever they are made of: the call takes as many in the file.
pub(super) const SMALL: usize = 128;

/// What is computed on the way may take so many bytes, or as many as all constants together.
const ON_THE_WAY: usize = 1 << 26;

/// So many bytes, or so many times what all constants take, may be computed in all.
const IN_ALL: usize = 1 << 27;
const TIMES: usize = 8;

/// The most multiplications in all.
const MACS: u64 = 1 << 33;

/// How often islands are looked at anew.
const ROUNDS: usize = 16;

/// The calls that can be computed, in topological order: known operators, with nothing but constants behind them.
pub(super) fn computable(model: &Model, facts: &Facts) -> Vec<NodeId> {
    let graph = &model.graph;
    let constants: usize =
        graph.constants().into_iter().filter_map(|n| graph.constant(n)).map(|c| c.tensor.byte_len()).sum();
    let most = constants.max(ON_THE_WAY);
    let (mut left, mut macs_left) = (IN_ALL.max(constants.saturating_mul(TIMES)), MACS);
    let (mut found, mut known) = (vec![], HashSet::new());
    for node in graph.topological() {
        let Some(call) = graph.call(node) else { continue };
        let operands: Vec<ValueId> = graph.operands(node).into_iter().flatten().collect();
        let is_constant =
            |v: &ValueId| known.contains(&v.node) || dense(graph, *v).is_some_and(|c| c.tensor.raw().is_ok());
        let fits = || graph.results(node).all(|v| graph.uses(v).is_empty() || bytes(facts, v) <= most);
        if operands.is_empty() || !is_plain(model, call) || !operands.iter().all(is_constant) || !fits() {
            continue;
        }
        let used = graph.results(node).filter(|&v| !graph.uses(v).is_empty());
        let size = used.map(|v| bytes(facts, v)).fold(0, usize::saturating_add);
        let macs =
            ask(model, facts, node, ops::rule_of(model, call).cost).and_then(|macs| u64::try_from(macs.fixed()?).ok());
        // A few nodes can ask for any amount of work. Those that follow on what is left out stay as well.
        if let (Some(rest), Some(macs_rest)) = (left.checked_sub(size), macs.and_then(|m| macs_left.checked_sub(m))) {
            (left, macs_left) = (rest, macs_rest);
            known.insert(node);
            found.push(node);
        }
    }
    found
}

/// Those of them that are computed so that the model gets no larger; `small` bytes are always welcome.
pub(super) fn without_growth(graph: &Graph, facts: &Facts, computable: &[NodeId], small: usize) -> HashSet<NodeId> {
    // Graph outputs and subgraphs keep the call that makes their value.
    let stays = |n: &NodeId| graph.results(*n).flat_map(|v| graph.uses(v)).any(|u| !is_listed(graph, u));
    let (kept, mut left): (Vec<NodeId>, Vec<NodeId>) = computable.iter().partition(|n| stays(n));
    let mut choice = Choice { graph, facts, small, kept: kept.into_iter().collect(), done: HashSet::new() };
    for _ in 0..ROUNDS {
        let before = choice.done.len();
        for island in islands(graph, &left) {
            if choice.pays(&island) {
                choice.done.extend(island);
                continue;
            }
            for node in island {
                if choice.is_ready(node) && choice.pays(&[node]) {
                    choice.done.insert(node);
                }
            }
        }
        left.retain(|n| !choice.done.contains(n));
        if choice.done.len() == before {
            break;
        }
    }
    choice.done
}

/// Whether a call is worth computing: one that gives the same each time. Runtimes know weights that they keep in few bits by
/// their DequantizeLinear.
fn is_plain(model: &Model, call: &Call) -> bool {
    ops::is_function(model, call) && call.op != "DequantizeLinear"
}

struct Choice<'a> {
    graph: &'a Graph,
    facts: &'a Facts,
    small: usize,
    /// Calls that can be computed, but stay.
    kept: HashSet<NodeId>,
    /// The calls that are computed.
    done: HashSet<NodeId>,
}

impl Choice<'_> {
    /// Whether computing these calls too takes no more bytes than it frees.
    fn pays(&self, nodes: &[NodeId]) -> bool {
        let inside: HashSet<NodeId> = nodes.iter().copied().collect();
        let goes = |n: NodeId| inside.contains(&n) || self.done.contains(&n);
        let is_needed = |v: &ValueId| self.graph.uses(*v).iter().any(|u| !goes(u.node));
        let results = nodes.iter().flat_map(|&n| self.graph.results(n)).filter(is_needed);
        let new = results.map(|v| bytes(self.facts, v)).filter(|&n| n > self.small).fold(0, usize::saturating_add);
        if new == 0 {
            return true;
        }
        let operands: HashSet<ValueId> = nodes.iter().flat_map(|&n| self.graph.operands(n)).flatten().collect();
        let stored = operands.into_iter().filter(|v| !inside.contains(&v.node) && !self.kept.contains(&v.node));
        let freed = stored.filter(|v| !is_needed(v)).map(|v| self.stored(v)).fold(0, usize::saturating_add);
        new <= freed
    }

    /// Whether all operands are there once what was decided is done.
    fn is_ready(&self, node: NodeId) -> bool {
        let there = |v: ValueId| {
            self.graph.constant(v.node).is_some() || self.done.contains(&v.node) || self.kept.contains(&v.node)
        };
        self.graph.operands(node).into_iter().flatten().all(there)
    }

    /// The bytes that a constant takes, or a result that becomes one.
    fn stored(&self, value: ValueId) -> usize {
        match self.graph.constant(value.node) {
            // An input's default stays declared, and a mentioned constant stays.
            Some(_) if self.graph.mentioned.contains(self.graph.value_name(value)) => 0,
            Some(constant) => Tensor::byte_len(&constant.tensor),
            None => Some(bytes(self.facts, value)).filter(|&n| n > self.small).unwrap_or(0),
        }
    }
}

/// Bytes of the constants that nothing outside a set of nodes uses.
pub(super) fn freed(graph: &Graph, cone: &HashSet<NodeId>) -> usize {
    let inside = |v: ValueId| graph.uses(v).iter().all(|u| cone.contains(&u.node));
    let values = cone.iter().map(|&node| ValueId { node, port: 0 }).filter(|&v| graph.constant(v.node).is_some());
    values.filter(|&v| inside(v)).filter_map(|v| graph.tensor(v)).map(Tensor::byte_len).sum()
}

/// The bytes of a value; as many as there can be where that is not known.
pub(super) fn bytes(facts: &Facts, value: ValueId) -> usize {
    let known = || Some((facts.get(value).dtype?, count(facts.shape(value)?)?));
    known().map_or(usize::MAX, |(dtype, count)| dtype.bytes(count))
}

/// Calls that hang together by what they make or by constants that they share, each in the given order.
fn islands(graph: &Graph, nodes: &[NodeId]) -> Vec<Vec<NodeId>> {
    let at: HashMap<NodeId, usize> = nodes.iter().enumerate().map(|(i, &n)| (n, i)).collect();
    let mut parent: Vec<usize> = (0..nodes.len()).collect();
    fn find(parent: &mut [usize], mut i: usize) -> usize {
        while parent[i] != i {
            parent[i] = parent[parent[i]];
            i = parent[i];
        }
        i
    }
    let mut first: HashMap<NodeId, usize> = HashMap::new();
    for (i, &node) in nodes.iter().enumerate() {
        for value in graph.operands(node).into_iter().flatten() {
            let other = *at.get(&value.node).unwrap_or_else(|| first.entry(value.node).or_insert(i));
            let (a, b) = (find(&mut parent, i), find(&mut parent, other));
            parent[a.max(b)] = a.min(b);
        }
    }
    let mut islands: Vec<Vec<NodeId>> = vec![vec![]; nodes.len()];
    for (i, &node) in nodes.iter().enumerate() {
        islands[find(&mut parent, i)].push(node);
    }
    islands.retain(|island| !island.is_empty());
    islands
}
