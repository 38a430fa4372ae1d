//! Fused subgraphs: what a runtime computes in one go, and how its shape is written.
//!
//! A fused subgraph is a call and the calls behind it that work on its result element by element, with constants at
//! most: an added bias, a batch normalization, an activation. No operator is asked for its name; a call goes with the
//! one before if it multiplies no matrices, nobody else reads that one's result, and the type stays the same.

use crate::analysis::Analysis;
use crate::axes::{Group, Shape, Var};
use crate::cost::{self, OpenDims};
use crate::ir::{Attribute, Call, NodeId, ValueId};
use std::collections::HashSet;
use std::fmt::Write;

/// Calls that are measured together.
#[derive(Clone, Debug)]
pub(crate) struct FusedSubgraph {
    /// Each but the first reads the one before.
    pub calls: Vec<NodeId>,
    /// The axes that can get shorter, in the order of their letters in the shape.
    pub widths: Vec<Var>,
    /// Operators, attributes, and types of operands; fused subgraphs of one shape take the same time. An axis that can
    /// get shorter has a letter: `Conv<group=1>(f32[1,a:16,8,8], #f32[b:32,a:16,3,3])`, where `#` is a constant.
    pub shape: String,
}

/// Integers of constants up to this many are part of a shape.
const CONTENT: usize = 16;

/// The fused subgraphs of a model, in topological order.
pub(crate) fn fused_subgraphs(analysis: &Analysis, open: &OpenDims) -> Vec<FusedSubgraph> {
    let graph = &analysis.model.graph;
    let costs = cost::per_node(&analysis.model, &analysis.facts, open);
    let products: HashSet<NodeId> = costs.into_iter().filter(|(_, c)| c.macs > 0).map(|(node, _)| node).collect();
    let mut taken: HashSet<NodeId> = HashSet::new();
    let mut all = vec![];
    for node in graph.topological() {
        if taken.contains(&node) || !is_run(analysis, node) {
            continue;
        }
        // What is taken, and what is more than a change of elements, goes with no call before it.
        let calls = chain(analysis, node, &|next| taken.contains(&next) || products.contains(&next));
        taken.extend(&calls);
        all.push(described(analysis, open, calls));
    }
    all
}

/// Whether a call is computed anew in each run, and stands alone.
fn is_run(analysis: &Analysis, node: NodeId) -> bool {
    let graph = &analysis.model.graph;
    let Some(call) = graph.call(node) else { return false };
    let computed = graph.operands(node).into_iter().flatten().any(|v| graph.constant(v.node).is_none());
    computed && call.domain != crate::ir::BODY_DOMAIN && call.graphs().next().is_none()
}

/// A call and those that go with it.
fn chain(analysis: &Analysis, first: NodeId, stands_alone: &dyn Fn(NodeId) -> bool) -> Vec<NodeId> {
    let graph = &analysis.model.graph;
    let mut calls = vec![first];
    loop {
        let last = calls[calls.len() - 1];
        let value = ValueId { node: last, port: 0 };
        let [next] = graph.uses(value)[..] else { return calls };
        let only = |v: ValueId| v == value || graph.constant(v.node).is_some();
        let alone = graph.result_count(last) == 1
            && is_run(analysis, next.node)
            && !stands_alone(next.node)
            && graph.region(next.node) == graph.region(last)
            && graph.operands(next.node).into_iter().flatten().all(only)
            && graph.result_count(next.node) == 1;
        let (before, after) = (analysis.facts.get(value), analysis.facts.get(ValueId { node: next.node, port: 0 }));
        if !alone || before.shape.is_none() || before.shape != after.shape || before.dtype != after.dtype {
            return calls;
        }
        calls.push(next.node);
    }
}

fn described(analysis: &Analysis, open: &OpenDims, calls: Vec<NodeId>) -> FusedSubgraph {
    let graph = &analysis.model.graph;
    let mut words = Words { analysis, open, names: vec![], widths: vec![] };
    let mut shape = String::new();
    for (i, &node) in calls.iter().enumerate() {
        let Some(call) = graph.call(node) else { continue };
        let operand = |v: Option<ValueId>| match v {
            Some(v) if i > 0 && v.node == calls[i - 1] => "_".to_owned(),
            Some(v) => words.value(v),
            None => String::new(),
        };
        let operands: Vec<String> = graph.operands(node).into_iter().map(operand).collect();
        let part = format!("{}{}({})", call.qualified(), attributes(call), operands.join(", "));
        _ = write!(shape, "{}{part}", if i > 0 { "; " } else { "" });
    }
    // What a result has that no operand has changes the shape too.
    if let Some(&last) = calls.last() {
        let results: Vec<String> = graph.results(last).map(|v| words.value(v)).collect();
        _ = write!(shape, " -> {}", results.join(", "));
    }
    FusedSubgraph { widths: words.widths, calls, shape }
}

/// Writes shapes, and gives letters to axes.
struct Words<'a> {
    analysis: &'a Analysis,
    open: &'a OpenDims,
    /// The expressions that have letters.
    names: Vec<String>,
    widths: Vec<Var>,
}

impl Words<'_> {
    fn value(&mut self, value: ValueId) -> String {
        let analysis = self.analysis;
        let (graph, fact) = (&analysis.model.graph, analysis.facts.get(value));
        let constant = graph.constant(value.node).is_some();
        let dtype = fact.dtype.map_or("?", |d| d.name());
        let axes = match (analysis.axes.of(value), &fact.shape) {
            (Some(vars), _) => vars.iter().map(|&v| self.axis(v)).collect::<Vec<_>>().join(","),
            (None, Some(dims)) => dims.iter().map(|d| self.open.eval(d).to_string()).collect::<Vec<_>>().join(","),
            (None, None) => "..".to_owned(),
        };
        let numbers =
            fact.ints().filter(|n| constant && n.len() <= CONTENT && fact.dtype.is_some_and(|d| !d.is_float()));
        let numbers = numbers.map_or_else(String::new, |n| format!("{n:?}").replace(['[', ']'], "|"));
        format!("{}{dtype}[{axes}]{numbers}", if constant { "#" } else { "" })
    }

    fn axis(&mut self, var: Var) -> String {
        let solver = self.analysis.axes.solver();
        if let Shape::Product(parts) = solver.shape(var) {
            return parts.into_iter().map(|p| self.axis(p)).collect::<Vec<_>>().join("*");
        }
        let free = |leaf: &Var| self.analysis.groups.of_leaf(*leaf).is_some_and(Group::is_free);
        let size = solver.size(var);
        match size.size() {
            Some(n) if n > 1 && solver.leaves(var).iter().any(free) => format!("{}:{n}", self.letter(var)),
            _ => self.open.eval(size).to_string(),
        }
    }

    fn letter(&mut self, var: Var) -> String {
        let name = self.analysis.groups.show(&self.analysis.axes, var);
        let at = self.names.iter().position(|n| *n == name).unwrap_or_else(|| {
            self.names.push(name);
            self.widths.push(var);
            self.names.len() - 1
        });
        match u8::try_from(at) {
            Ok(i @ 0..26) => char::from(b'a' + i).to_string(),
            _ => format!("w{at}"),
        }
    }
}

/// A call's attributes, by name.
fn attributes(call: &Call) -> String {
    let mut all: Vec<String> =
        call.attributes.iter().map(|(key, value)| format!("{key}={}", attribute(value))).collect();
    all.sort();
    if all.is_empty() { String::new() } else { format!("<{}>", all.join(",")) }
}

fn attribute(value: &Attribute) -> String {
    match value {
        Attribute::Float(x) => format!("{x:?}"),
        Attribute::Int(i) => i.to_string(),
        Attribute::Ints(list) => format!("{list:?}").replace(' ', ""),
        Attribute::Floats(list) => format!("{list:?}").replace(' ', ""),
        Attribute::String(s) => String::from_utf8_lossy(s).into_owned(),
        Attribute::Tensor(t) => format!("#{:016x}", t.hash()),
        _ => "…".to_owned(),
    }
}
