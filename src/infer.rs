//! Type inference: element type, shape and, for shape arithmetic, content of every value.
//!
//! Exporters compute shapes at run time (`Shape → Gather → Div → Concat → Reshape`). Inference evaluates these small
//! integer tensors with symbolic dimensions: their [`Content`](crate::facts::Content) is known although the batch stays open. What an
//! operator does to types stands in its rule ([`crate::ops`]); here is only the walk over the graph.

use crate::facts::{Contradiction, Fact, Facts, INFERRED, fresh_unknown};
use crate::ir::{Dim, Graph, Model, Node, NodeId, TensorType, Type};
use crate::ops::{self, Site};
use std::cell::Cell;
use std::collections::HashMap;

/// Infers the facts of the main graph's values.
pub fn infer(model: &Model) -> Facts {
    infer_graph(model, &model.graph, &HashMap::new())
}

/// Infers the facts of a graph's values, given those of the values that it captures, by name.
pub fn infer_graph(model: &Model, graph: &Graph, outer: &HashMap<String, Fact>) -> Facts {
    walk(model, graph, outer, &HashMap::new(), &mut |_, _| true)
}

/// Infers the facts of the main graph's values, where inputs have these shapes in place of those that they declare.
/// `go_on` hears of each node with the facts so far, and ends the walk by `false`.
pub fn infer_sized(
    model: &Model,
    shapes: &HashMap<NodeId, Vec<Dim>>,
    go_on: &mut dyn FnMut(NodeId, &Facts) -> bool,
) -> Facts {
    walk(model, &model.graph, &HashMap::new(), shapes, go_on)
}

fn walk(
    model: &Model,
    graph: &Graph,
    outer: &HashMap<String, Fact>,
    shapes: &HashMap<NodeId, Vec<Dim>>,
    go_on: &mut dyn FnMut(NodeId, &Facts) -> bool,
) -> Facts {
    let mut facts = Facts::default();
    let unknowns = Cell::new(INFERRED);
    let declared = declared_types(graph);
    for node in graph.topological() {
        let inferred = match graph.node(node) {
            Node::Input(i) if i.captured => vec![outer.get(&i.info.name).cloned().unwrap_or_default()],
            Node::Input(i) => {
                let declared = || i.info.ty.tensor().and_then(|t| t.shape.clone());
                vec![Fact::maybe(None, shapes.get(&node).cloned().or_else(declared))]
            }
            Node::Constant(c) => vec![Fact::of_tensor(&c.tensor)],
            Node::Output(_) => continue,
            Node::Call(call) => {
                let site = Site::new(model, graph, node, call, &facts, &unknowns);
                let inferred = (ops::rule_of(model, call).infer)(&site);
                inferred.unwrap_or_else(|what| {
                    facts.contradictions.push(Contradiction { node, what });
                    vec![]
                })
            }
        };
        let mut inferred = inferred.into_iter();
        for value in graph.results(node) {
            let mut fact = inferred.next().unwrap_or_default();
            if let Some(ty) = declared.get(graph.value_name(value)) {
                refine(&mut fact, ty, &unknowns);
            }
            facts.set(value, fact);
        }
        if !go_on(node, &facts) {
            break;
        }
    }
    facts
}

fn declared_types(graph: &Graph) -> HashMap<&str, &TensorType> {
    let mut types: HashMap<&str, &TensorType> = HashMap::new();
    let infos = graph.value_info.iter().chain(graph.nodes().into_iter().filter_map(|n| match graph.node(n) {
        Node::Input(i) => Some(&i.info),
        Node::Output(o) => Some(&o.info),
        _ => None,
    }));
    for info in infos {
        if let Type::Tensor(t) = &info.ty {
            types.insert(&info.name, t);
        }
    }
    types
}

/// Fills what inference left open from the declared type. Inferred numbers and symbols win: declarations go stale.
fn refine(fact: &mut Fact, declared: &TensorType, unknowns: &Cell<u64>) {
    fact.dtype = fact.dtype.or(Some(declared.dtype));
    let Some(shape) = &declared.shape else { return };
    let fresh = |d: &Dim| if d.has_unknown() { fresh_unknown(unknowns) } else { d.clone() };
    match &mut fact.shape {
        None => fact.shape = Some(shape.iter().map(fresh).collect()),
        Some(inferred) if inferred.len() == shape.len() => {
            for (mine, theirs) in inferred.iter_mut().zip(shape) {
                if mine.has_unknown() && !theirs.has_unknown() {
                    *mine = theirs.clone();
                }
            }
        }
        Some(_) => {}
    }
}
