//! `fold-weights` computes weights from which an axis can't be cut as they stand.
//!
//! ```text
//! f32[8,36] raw #…                               f32[8,36] w_0 #…
//! w = Normalize(raw)                   →         y = MatMul(x, w_0)
//! y = MatMul(x, w)
//! ```
//!
//! Some exporters leave in the graph what makes a weight out of a constant: standardization, weight norm. Cutting what
//! the statistic is taken over would change what is left of the weight, so the label is pinned there. Computed first,
//! the weight can be cut like any other. Exact: the same operators are applied to the same numbers.
//!
//! The plan has to be told in terms of the input file. So the computed constant is traced: an axis that goes through
//! the expression unit by unit, with zeros to zeros, stays an axis of the constant it came from. Where slices along
//! another axis go, nothing has to be zero in the masked model, and exactness rests on what they are multiplied with.
//!
//! Only expressions in which an operator itself pins an axis, or makes it inexact, are computed; all others are cut
//! as they stand, and lose nothing.

use super::edit::is_listed;
use super::fold_constants::{evaluate, foldable, frontier, replace};
use super::{Change, Context, Pass, PassError};
use crate::axes::{self, Axes, Var};
use crate::infer::{self, Facts};
use crate::ir::{Graph, Model, NodeId, Origin, Trace, ValueId};
use std::collections::{BTreeSet, HashSet};

pub struct FoldWeights;

impl Pass for FoldWeights {
    fn name(&self) -> &'static str {
        "fold-weights"
    }

    fn run(&self, model: &mut Model, cx: &mut Context) -> Result<Change, PassError> {
        let facts = cx.facts(model);
        let axes = cx.axes(model);
        let graph = &model.graph;
        let computable = foldable(model, &facts, false);
        let blocking: HashSet<NodeId> =
            computable.iter().copied().filter(|&n| is_weight(graph, &facts, n) && blocks(graph, &axes, n)).collect();
        if blocking.is_empty() {
            return Ok(Change(0));
        }
        let mut cones: Vec<(ValueId, BTreeSet<NodeId>)> = vec![];
        for value in frontier(graph, &computable) {
            let cone = cone(graph, value.node);
            if cone.iter().any(|n| blocking.contains(n)) {
                cones.push((value, cone));
            }
        }
        let values: Vec<ValueId> = cones.iter().map(|(v, _)| *v).collect();
        let tensors = evaluate(model, &facts, &values, cx);
        let mut taken = model.graph.all_names();
        let mut changed = 0;
        for (value, tensor) in tensors {
            let Some((_, cone)) = cones.iter().find(|(v, _)| *v == value) else { continue };
            let traces = traces(model, value, cone);
            replace(model, value, tensor, traces, &mut taken);
            changed += 1;
        }
        Ok(Change(changed))
    }
}

/// Whether a call makes something like a weight: floats along more than one axis.
fn is_weight(graph: &Graph, facts: &Facts, node: NodeId) -> bool {
    graph.results(node).any(|v| {
        let fact = facts.get(v);
        let long = |s: &[crate::ir::Dim]| s.iter().filter(|d| d.size().is_some_and(|n| n > 1)).count() > 1;
        fact.dtype.is_some_and(|d| d.is_float()) && fact.shape.as_deref().is_some_and(long)
    })
}

/// Whether the call itself is the reason why units of its operands or results must stay, or are not exact.
fn blocks(graph: &Graph, axes: &Axes, node: NodeId) -> bool {
    let values = graph.operands(node).into_iter().flatten().chain(graph.results(node));
    let mut leaves = values.flat_map(|v| axes.of(v).into_iter().flatten()).flat_map(|&v| axes.solver().leaves(v));
    leaves.any(|leaf| axes.pins(leaf).any(|pin| pin.node == node))
}

/// Everything that a node is computed from, itself included.
fn cone(graph: &Graph, node: NodeId) -> BTreeSet<NodeId> {
    let mut cone = BTreeSet::from([node]);
    let mut open = vec![node];
    while let Some(n) = open.pop() {
        for value in graph.operands(n).into_iter().flatten() {
            if cone.insert(value.node) {
                open.push(value.node);
            }
        }
    }
    cone
}

/// The axes of a computed value that are axes of the constants it is computed from.
fn traces(model: &Model, value: ValueId, cone: &BTreeSet<NodeId>) -> Vec<Trace> {
    // The expression alone: what uses the value must not pin it here.
    let mut part = model.clone();
    let outside = part.graph.nodes().into_iter().filter(|n| !cone.contains(n)).collect::<Vec<_>>();
    outside.into_iter().for_each(|n| _ = part.graph.remove(n));
    let axes = axes::analyze(&part, &infer::infer(&part));
    let goes_through = |var: Var| {
        let leaves = axes.solver().leaves(var);
        leaves.iter().all(|&leaf| axes.solver().marks(leaf).is_empty() && axes.is_zero(value, leaf))
    };
    let mut traces = vec![];
    for (axis, &var) in axes.of(value).into_iter().flatten().enumerate().filter(|(_, v)| goes_through(**v)) {
        for &node in cone {
            let Some(Origin::File(source)) = model.graph.constant(node).map(|c| &c.origin) else { continue };
            let own = axes.of(ValueId { node, port: 0 }).unwrap_or_default();
            let same = own.iter().position(|&v| axes.solver().find(v) == axes.solver().find(var));
            let Some(source_axis) = same else { continue };
            let uses = uses(&model.graph, node, cone);
            traces.push(Trace { axis, source: source.clone(), source_axis, uses });
        }
    }
    traces
}

/// The uses of a constant inside an expression, in terms of the input file.
fn uses(graph: &Graph, constant: NodeId, cone: &BTreeSet<NodeId>) -> Vec<(u32, u16)> {
    let inside = graph.uses(ValueId { node: constant, port: 0 }).into_iter().filter(|u| cone.contains(&u.node));
    inside.filter(|&u| is_listed(graph, u)).filter_map(|u| Some((graph.origin(u.node)?, u.slot))).collect()
}

#[cfg(test)]
mod tests {
    use crate::passes::tests::nothing_to_do;

    #[test]
    fn what_can_be_cut_as_it_stands_stays() {
        nothing_to_do(
            "fold-weights",
            "g (f32[2,3] x) => (f32[2,4] y) {
                f32[4,3] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
                t = Transpose<perm=[1,0]>(w)
                y = MatMul(x, t)
            }",
        );
    }
}
