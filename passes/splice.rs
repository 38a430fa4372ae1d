//! A graph's nodes, put into another graph.

use super::edit::{accepts_name, dense, rename};
use super::split_constants::copy;
use crate::ir::{Call, Graph, Node, NodeId, Origin, Use, ValueId};
use crate::ops;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// Copies all nodes of `body` but inputs and outputs, and puts them just before `at`. `given` are the values that
/// stand for its inputs and for what it captures; an input without one is a missing operand. Returns what each output
/// is. The names must fit already ([`rename_all`]).
pub(super) fn splice(
    graph: &mut Graph,
    at: NodeId,
    body: &Graph,
    given: &HashMap<NodeId, ValueId>,
) -> (HashMap<NodeId, NodeId>, Vec<Option<ValueId>>) {
    let mut copies: HashMap<NodeId, NodeId> = HashMap::new();
    for node in body.topological() {
        if !matches!(body.node(node), Node::Input(_) | Node::Output(_)) {
            copies.insert(node, graph.add_before(at, body.node(node).clone()));
        }
    }
    let value = |v: ValueId| match copies.get(&v.node) {
        Some(&node) => Some(ValueId { node, port: v.port }),
        None => given.get(&v.node).copied(),
    };
    for (from, to) in body.wires() {
        if let (Some(value), Some(&node)) = (value(from), copies.get(&to.node)) {
            graph.connect(value, Use { node, slot: to.slot });
        }
    }
    let outputs = body.outputs().into_iter().map(|output| value(body.operand(output, 0)?)).collect();
    (copies, outputs)
}

/// Gives all values of a graph, those of its subgraphs included, the names that `fresh` makes of theirs. `names` has
/// what the values around it are called now.
pub(super) fn rename_all(graph: &mut Graph, names: &HashMap<String, String>, fresh: &mut dyn FnMut(&str) -> String) {
    // The inputs are values around it too, once it is put in.
    let given: HashSet<String> = graph.inputs().into_iter().map(|n| graph.label(n).to_owned()).collect();
    rename_inner(graph, names, &given, fresh);
}

fn rename_inner(
    graph: &mut Graph,
    names: &HashMap<String, String>,
    given: &HashSet<String>,
    fresh: &mut dyn FnMut(&str) -> String,
) {
    let mut inner = names.clone();
    for name in own_names(graph).into_iter().filter(|name| !given.contains(name)) {
        let new = fresh(&name);
        inner.insert(name, new);
    }
    let now = |name: &mut String| {
        if let Some(new) = inner.get(name) {
            name.clone_from(new);
        }
    };
    let mut captured = HashSet::new();
    for node in graph.nodes() {
        match graph.node_mut(node) {
            Node::Input(input) => {
                now(&mut input.info.name);
                // Two captured values may be one outside; only in there they need two names.
                if input.captured && !captured.insert(input.info.name.clone()) {
                    input.info.name = fresh(&input.info.name);
                }
            }
            Node::Constant(constant) => now(&mut constant.name),
            Node::Output(output) => now(&mut output.info.name),
            Node::Call(call) => {
                call.results.iter_mut().for_each(now);
                for graph in call.attributes.values_mut().flat_map(|a| a.graphs_mut()) {
                    rename_inner(graph, &inner, &HashSet::new(), fresh);
                }
            }
        }
    }
    graph.value_info.iter_mut().for_each(|info| now(&mut info.name));
}

/// The names of the values that a graph makes itself.
fn own_names(graph: &Graph) -> Vec<String> {
    let captured: HashSet<NodeId> = graph.captures().into_iter().collect();
    let own = graph.nodes().into_iter().filter(|n| !captured.contains(n)).flat_map(|n| graph.results(n));
    own.map(|v| graph.value_name(v).to_owned()).filter(|name| !name.is_empty()).collect()
}

/// Removes a call, and puts `values` in the place of its results. They get the results' names where only these will do.
pub(super) fn take_over(graph: &mut Graph, call: NodeId, values: &[Option<ValueId>]) {
    let names = graph.call(call).map(|c| c.results.clone()).unwrap_or_default();
    let mut renamed: HashSet<ValueId> = HashSet::new();
    for ((result, name), value) in graph.results(call).zip(names).zip(values) {
        let Some(mut value) = value.filter(|_| !name.is_empty()) else { continue };
        let uses = graph.uses(result);
        let accepted = |graph: &Graph, name: &str| graph.uses(value).into_iter().all(|u| accepts_name(graph, u, name));
        if graph.call(value.node).is_some() && !renamed.contains(&value) && accepted(graph, &name) {
            // The call is about to go, and its names with it.
            let old = graph.value_name(value).to_owned();
            rename(graph, result, old);
            rename(graph, value, name);
            renamed.insert(value);
        } else if !uses.iter().all(|u| accepts_name(graph, *u, graph.value_name(value))) {
            let mut copy = Call::new(ops::IDENTITY);
            let old = format!("{name} of {}", call.index());
            (copy.results, copy.arity) = (vec![name], 1);
            rename(graph, result, old);
            let node = graph.add_before(call, Node::Call(Box::new(copy)));
            graph.connect(value, Use { node, slot: 0 });
            value = ValueId { node, port: 0 };
        }
        uses.into_iter().for_each(|u| graph.connect(value, u));
    }
    graph.remove(call);
}

/// Whether a value is a constant of the file, of which slices are told by its uses.
pub(super) fn is_file_constant(graph: &Graph, value: ValueId) -> bool {
    dense(graph, value).is_some_and(|c| matches!(c.origin, Origin::File(_)))
}

/// Constants of the file at these slots of a call become copies for this use alone, which know so. Returns the values
/// that are there now.
pub(super) fn hand_over(
    graph: &mut Graph,
    node: NodeId,
    slots: Range<usize>,
    taken: &mut HashSet<String>,
) -> Vec<Option<ValueId>> {
    for slot in slots.clone() {
        let (Some(value), Some(position)) = (graph.operand(node, slot), graph.origin(node)) else { continue };
        if is_file_constant(graph, value) {
            let at = Use { node, slot: slot as u16 };
            let own = if graph.uses(value).len() > 1 { copy(graph, value, at, taken) } else { value };
            if let Some(constant) = graph.constant_mut(own.node) {
                let source = constant.source().unwrap_or_default().to_owned();
                constant.origin = Origin::Passed { source, uses: vec![(position, at.slot)] };
            }
        }
    }
    slots.map(|slot| graph.operand(node, slot)).collect()
}

/// A name that nothing has yet: this one, or one that begins with it.
pub(super) fn fresh(graph: &mut Graph, name: &str, taken: &mut HashSet<String>) -> String {
    if taken.insert(name.to_owned()) { name.to_owned() } else { graph.fresh_name(name, taken) }
}
