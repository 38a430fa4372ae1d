//! What several passes do to a graph.

use crate::facts::Facts;
use crate::ir::{Call, Constant, Form, Graph, Model, Node, NodeId, Origin, Tensor, Use, ValueId};
use crate::ops::Site;

/// Whether a use may see its value under this name. A graph output insists on its own name; a subgraph may have
/// given the name to something else, or give what it captured to an output of its own.
pub(super) fn accepts_name(graph: &Graph, at: Use, name: &str) -> bool {
    match graph.node(at.node) {
        Node::Output(output) => output.info.name == name,
        Node::Call(call) => captured(call, at.slot).is_none_or(|(inner, input)| {
            let value = ValueId { node: input, port: 0 };
            // What else the subgraph captures goes by its name outside, where names are unique.
            let foreign = |v: &ValueId| inner.captures().contains(&v.node);
            inner.values_by_name().get(name).is_none_or(foreign)
                && inner.uses(value).into_iter().all(|u| accepts_name(inner, u, name))
        }),
        Node::Input(_) | Node::Constant(_) => true,
    }
}

/// The subgraph that captures the value at an operand slot, and its input there.
fn captured(call: &Call, slot: u16) -> Option<(&Graph, NodeId)> {
    let surplus = usize::from(slot.checked_sub(call.arity)?);
    call.graphs().flat_map(|g| g.captures().into_iter().map(move |input| (g, input))).nth(surplus)
}

/// Whether a use is an operand that the file lists, and neither a capture nor a graph output.
pub(super) fn is_listed(graph: &Graph, at: Use) -> bool {
    graph.call(at.node).is_some_and(|call| at.slot < call.arity)
}

/// Renames a value; whether its uses accept the name has been asked before.
pub(crate) fn rename(graph: &mut Graph, value: ValueId, name: String) {
    match graph.node_mut(value.node) {
        Node::Call(call) => call.results[usize::from(value.port)] = name,
        Node::Constant(constant) => constant.name = name,
        Node::Input(_) | Node::Output(_) => {}
    }
}

/// Removes a call whose first result is all that is used, and gives its users an operand of it instead. Says whether
/// the names allow that.
pub(crate) fn replace_call(graph: &mut Graph, node: NodeId, operand: ValueId) -> bool {
    let result = ValueId { node, port: 0 };
    if !renames_uses(graph, operand, result) {
        let name = graph.value_name(result).to_owned();
        if !takes_name(graph, operand, node, &name) {
            return false;
        }
        rename(graph, operand, name);
    }
    graph.replace(result, operand);
    graph.remove(node);
    true
}

/// Whether all uses of the result accept the operand's name.
fn renames_uses(graph: &Graph, operand: ValueId, result: ValueId) -> bool {
    let name = graph.value_name(operand);
    graph.uses(result).into_iter().all(|u| accepts_name(graph, u, name))
}

/// Whether the operand can be made under the result's name.
fn takes_name(graph: &Graph, operand: ValueId, node: NodeId, name: &str) -> bool {
    let others = graph.uses(operand).into_iter().filter(|&u: &Use| u.node != node);
    graph.call(operand.node).is_some() && others.into_iter().all(|u| accepts_name(graph, u, name))
}

/// A constant that is not in the input file. Before ONNX IR 4 every initializer had to be a graph input too, and
/// nobody may add inputs: it is a node `Constant` there.
pub(crate) fn new_constant(ir_version: i64, name: String, tensor: Tensor) -> Node {
    let form = match ir_version {
        ..4 => Form::Node { extra: Default::default(), original: None },
        _ => Form::Initializer,
    };
    Node::Constant(Constant { name, tensor, form, origin: Origin::Computed(vec![]) })
}

/// The data of a constant operand, where it has data.
pub(super) fn dense(graph: &Graph, value: ValueId) -> Option<&Constant> {
    graph.constant(value.node).filter(|c| !c.is_opaque())
}

/// Asks something of a call with what is known around it.
pub(super) fn ask<T>(model: &Model, facts: &Facts, node: NodeId, question: impl FnOnce(&Site) -> T) -> Option<T> {
    let call = model.graph.call(node)?;
    // Rules may make dimensions up; whoever asks here does not compare them to others.
    let unknowns = crate::facts::Unknowns::of_questions();
    Some(question(&Site::new(model, &model.graph, node, call, facts, &unknowns)))
}
