//! What a model costs: multiply-accumulate operations, parameters, bytes.
//!
//! Costs come from facts alone, so the cost of a plan is known before anything is cut: [`Axes`] and keep-sets predict
//! the shapes, and the same rules count.
//!
//! Of the branches of an If only the dearer counts ([`of_a_run`]), and a loop's body counts once.

mod branches;
mod peak;

pub use branches::of_a_run;
pub use peak::{Life, Walk};

use crate::axes::{Axes, KeepSets};
use crate::infer::{Fact, Facts};
use crate::ir::{Atom, Dim, Graph, Model, Node, NodeId, ValueId};
use crate::ops::{self, Site};
use std::cell::Cell;
use std::collections::HashMap;

/// What a model costs.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Cost {
    /// Multiply-accumulate operations of one run.
    pub macs: u64,
    /// Elements of all floating-point and quantized constants.
    pub params: u64,
    /// Bytes of all constants.
    pub bytes: u64,
    /// Bytes of activations that are alive at once, at most; see [`Walk`].
    pub peak: u64,
    /// Calls in the main graph.
    pub nodes: u64,
    /// Ifs of which only the dearer branch counts among the operations.
    #[serde(skip_serializing_if = "is_none")]
    pub choices: u64,
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

/// Numbers for the dimensions that the model leaves open, so that costs can be counted.
#[derive(Clone, Debug, Default)]
pub struct OpenDims {
    /// Sizes of named dimensions.
    pub named: HashMap<String, i64>,
    first: Vec<Atom>,
}

/// An open dimension that is nobody's first axis counts as this long.
const OPEN_LENGTH: i64 = 64;

impl OpenDims {
    /// The model's open dimensions: 1 for the first axis of an input (a batch of one), 64 for others, unless named.
    pub fn of(model: &Model, named: HashMap<String, i64>) -> OpenDims {
        let first = model.graph.inputs().into_iter().filter_map(|n| match model.graph.node(n) {
            Node::Input(i) => i.info.ty.tensor()?.shape.as_ref()?.first()?.as_atom().cloned(),
            _ => None,
        });
        OpenDims { first: first.collect(), named }
    }

    /// The number that stands for a dimension.
    pub fn eval(&self, dim: &Dim) -> u64 {
        let value = dim.eval(&|atom| match atom {
            Atom::Symbol(s) if self.named.contains_key(&**s) => Some(self.named[&**s]),
            Atom::Floor(..) => None,
            _ if self.first.contains(atom) => Some(1),
            _ => Some(OPEN_LENGTH),
        });
        value.and_then(|v| u64::try_from(v).ok()).unwrap_or(0)
    }
}

/// Counts a model's cost from the facts of its values.
pub fn cost(model: &Model, facts: &Facts, open: &OpenDims) -> Cost {
    Cost { peak: Walk::new(&model.graph, facts, open).peak(), ..sums(model, facts, open) }
}

/// The same without the peak, which takes a walk over the graph.
pub fn sums(model: &Model, facts: &Facts, open: &OpenDims) -> Cost {
    let mut total = Cost::default();
    let nodes = per_node(model, facts, open);
    total.choices = branches::choices(&model.graph);
    total.macs = of_a_run(&model.graph, nodes.iter().map(|(n, cost)| (*n, cost.macs)));
    for (_, node) in nodes {
        total.params += node.params;
        total.bytes += node.bytes;
        total.nodes += node.nodes;
    }
    total
}

/// The cost of each call and constant, in the file's order, without peaks.
pub fn per_node(model: &Model, facts: &Facts, open: &OpenDims) -> Vec<(NodeId, Cost)> {
    let graph = &model.graph;
    let unknowns = Cell::new(crate::infer::ASKED);
    let of = |node: NodeId| match graph.node(node) {
        Node::Call(call) => {
            let site = Site::new(model, graph, node, call, facts, &unknowns);
            let macs = open.eval(&(ops::rule_of(model, call).cost)(&site));
            Some(Cost { macs, nodes: 1, ..Cost::default() })
        }
        Node::Constant(c) => {
            let fact = facts.get(ValueId { node, port: 0 });
            let count: u64 = fact.shape.as_ref().map_or(0, |s| s.iter().map(|d| open.eval(d)).product());
            let counted = c.tensor.dtype.is_float() || c.tensor.dtype.bits() <= 8 && c.tensor.shape.len() > 1;
            let bytes = c.tensor.dtype.bytes(count as usize) as u64;
            Some(Cost { params: if counted { count } else { 0 }, bytes, ..Cost::default() })
        }
        _ => None,
    };
    graph.nodes().into_iter().filter_map(|n| Some((n, of(n)?))).collect()
}

/// A call with what it costs: its own, and the cost of the constants that it is the first to read.
#[derive(Clone, Debug)]
pub struct CallCost {
    pub node: NodeId,
    pub cost: Cost,
}

/// What each call costs, in topological order.
pub fn per_call(model: &Model, facts: &Facts, open: &OpenDims) -> Vec<CallCost> {
    let graph = &model.graph;
    let costs: HashMap<NodeId, Cost> = per_node(model, facts, open).into_iter().collect();
    let of = |node: NodeId| {
        graph.call(node)?;
        let mut cost = costs.get(&node).cloned().unwrap_or_default();
        for operand in graph.operands(node).into_iter().flatten() {
            // A shared constant counts where it is used first.
            let first = graph.uses(operand).first().map(|u| u.node);
            if let Some(c) = costs.get(&operand.node).filter(|_| graph.tensor(operand).is_some() && first == Some(node))
            {
                cost.params += c.params;
                cost.bytes += c.bytes;
            }
        }
        Some(CallCost { node, cost })
    };
    graph.topological().into_iter().filter_map(of).collect()
}

/// The facts that a model will have once only these units are kept.
pub fn predict(graph: &Graph, axes: &Axes, facts: &Facts, keep: &KeepSets) -> Facts {
    let mut out = facts.clone();
    if keep.is_empty() {
        return out;
    }
    for value in graph.nodes().into_iter().flat_map(|n| graph.results(n)) {
        let Some(vars) = axes.of(value) else { continue };
        let fact = facts.get(value);
        let shape = vars.iter().map(|&v| keep.size(axes, v)).collect();
        if fact.shape.as_ref() != Some(&shape) {
            out.set(value, Fact::maybe(fact.dtype, Some(shape)));
        }
    }
    out
}
