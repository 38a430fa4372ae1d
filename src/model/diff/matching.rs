//! Which node of one graph is which of the other.
//!
//! Names go first: that of a node together with its operator, then that of what it makes. What is left is matched by
//! its place, again and again until nothing is added: two calls of one operator that read the same values, then two
//! nodes that are read at the same place. Last, names alone.

use crate::ir::{Call, Graph, Node, NodeId, Use, ValueId};
use std::collections::{HashMap, HashSet};

/// Pairs of nodes; no node is in two.
#[derive(Default)]
pub(super) struct Matching {
    to: HashMap<NodeId, NodeId>,
    taken: HashSet<NodeId>,
}

/// What a node is called for the sake of a comparison.
type Name<'a> = fn(&'a Graph, NodeId) -> Option<(u8, String)>;

impl Matching {
    pub(super) fn of(a: &Graph, b: &Graph) -> Matching {
        let mut matching = Matching::default();
        matching.by_name(a, b, name_and_operator);
        matching.by_name(a, b, result_and_operator);
        matching.by_place(a, b);
        matching.by_name(a, b, |g, n| named(1, &g.call(n)?.name));
        matching.by_name(a, b, |g, n| named(2, g.call(n)?.results.first()?));
        matching.by_place(a, b);
        matching
    }

    /// The node of the second graph that a node of the first one is.
    pub(super) fn node(&self, node: NodeId) -> Option<NodeId> {
        self.to.get(&node).copied()
    }

    /// The value of the second graph that a value of the first one is.
    pub(super) fn value(&self, value: ValueId) -> Option<ValueId> {
        self.node(value.node).map(|node| ValueId { node, ..value })
    }

    /// All nodes of both, in the first graph's order; what the second one has beside stands behind what it follows.
    pub(super) fn pairs(&self, a: &Graph, b: &Graph) -> Vec<(Option<NodeId>, Option<NodeId>)> {
        let mut left = a.nodes().into_iter().peekable();
        let mut all = vec![];
        let mut done = HashSet::new();
        let from: HashMap<NodeId, NodeId> = self.to.iter().map(|(a, b)| (*b, *a)).collect();
        for node in b.nodes() {
            let Some(&partner) = from.get(&node) else {
                all.push((None, Some(node)));
                continue;
            };
            // What stands before the partner and has none itself.
            while let Some(next) = left.next_if(|n| *n != partner && !done.contains(&partner)) {
                done.insert(next);
                all.push((Some(next), self.node(next)));
            }
            if done.insert(partner) {
                left.next_if_eq(&partner);
                all.push((Some(partner), Some(node)));
            }
        }
        all.extend(left.filter(|n| !done.contains(n)).map(|n| (Some(n), self.node(n))));
        all
    }

    fn add(&mut self, a: NodeId, b: NodeId) -> bool {
        let new = !self.to.contains_key(&a) && self.taken.insert(b);
        if new {
            self.to.insert(a, b);
        }
        new
    }

    fn is_free(&self, a: NodeId, b: NodeId) -> bool {
        !self.to.contains_key(&a) && !self.taken.contains(&b)
    }

    /// Pairs nodes of one name, where each graph has just one of it.
    fn by_name<'a>(&mut self, a: &'a Graph, b: &'a Graph, name: Name<'a>) {
        let (left, right) = (unique(a, name), unique(b, name));
        for node in a.nodes() {
            let partner = name(a, node).filter(|n| left.contains_key(n)).and_then(|n| right.get(&n).copied());
            _ = partner.is_some_and(|partner| self.add(node, partner));
        }
    }

    fn by_place(&mut self, a: &Graph, b: &Graph) {
        let order = a.topological();
        loop {
            let mut found = false;
            order.iter().for_each(|&node| found |= self.forwards(a, b, node));
            order.iter().rev().for_each(|&node| found |= self.backwards(a, b, node));
            if !found {
                return;
            }
        }
    }

    /// Pairs a call with one that reads the same values.
    fn forwards(&mut self, a: &Graph, b: &Graph, node: NodeId) -> bool {
        let Some(call) = a.call(node).filter(|_| !self.to.contains_key(&node)) else { return false };
        let operands = a.operands(node);
        let computed = |v: &ValueId| a.constant(v.node).is_none();
        let first = operands.iter().position(|v| v.as_ref().is_some_and(computed));
        let Some((slot, there)) = first.and_then(|s| Some((s, self.value(operands[s]?)?))) else { return false };
        let reads_the_same = |u: &Use| {
            let its = b.operands(u.node);
            let same = |(mine, its): (&Option<ValueId>, &Option<ValueId>)| match (mine, its) {
                (Some(m), Some(i)) if a.constant(m.node).is_some() => {
                    b.constant(i.node).is_some() && self.node(m.node).is_none_or(|n| n == i.node)
                }
                (Some(m), i) => self.value(*m) == *i,
                (None, i) => i.is_none(),
            };
            usize::from(u.slot) == slot && its.len() == operands.len() && operands.iter().zip(&its).all(same)
        };
        let uses = b.uses(there);
        let is_it = |u: &&Use| {
            b.call(u.node).is_some_and(|c| alike(call, c)) && self.is_free(node, u.node) && reads_the_same(u)
        };
        uses.iter().find(is_it).map(|u| u.node).is_some_and(|partner| self.add(node, partner))
    }

    /// Pairs what a node reads with what its partner reads at the same places.
    fn backwards(&mut self, a: &Graph, b: &Graph, node: NodeId) -> bool {
        let Some(partner) = self.node(node) else { return false };
        let mut found = false;
        for (mine, its) in a.operands(node).into_iter().zip(b.operands(partner)) {
            let (Some(mine), Some(its)) = (mine, its) else { continue };
            let fits = match (a.node(mine.node), b.node(its.node)) {
                (Node::Constant(_), Node::Constant(_)) => true,
                (Node::Call(m), Node::Call(i)) => alike(m, i) && mine.port == its.port,
                _ => false,
            };
            found |= fits && self.add(mine.node, its.node);
        }
        found
    }
}

fn alike(a: &Call, b: &Call) -> bool {
    a.op == b.op && a.domain == b.domain
}

/// The nodes whose name no other node has.
fn unique<'a>(graph: &'a Graph, name: Name<'a>) -> HashMap<(u8, String), NodeId> {
    let mut found: HashMap<(u8, String), Option<NodeId>> = HashMap::new();
    for node in graph.nodes() {
        if let Some(name) = name(graph, node) {
            found.entry(name).and_modify(|n| *n = None).or_insert(Some(node));
        }
    }
    found.into_iter().filter_map(|(name, node)| Some((name, node?))).collect()
}

fn named(kind: u8, name: &str) -> Option<(u8, String)> {
    (!name.is_empty()).then(|| (kind, name.to_owned()))
}

fn name_and_operator(graph: &Graph, node: NodeId) -> Option<(u8, String)> {
    match graph.node(node) {
        Node::Input(i) => named(3, &i.info.name),
        Node::Constant(c) => named(4, &c.name),
        Node::Output(o) => named(5, &o.info.name),
        Node::Call(c) => named(6, &c.name).map(|(kind, name)| (kind, format!("{} {name}", c.qualified()))),
    }
}

fn result_and_operator(graph: &Graph, node: NodeId) -> Option<(u8, String)> {
    let call = graph.call(node)?;
    let (kind, name) = named(7, call.results.first()?)?;
    Some((kind, format!("{} {name}", call.qualified())))
}
