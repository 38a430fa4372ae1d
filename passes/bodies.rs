//! What opening bodies and choosing one of them have in common: a body's nodes come into the graph of its call.

use super::splice::{hand_over, is_file_constant, rename_all, splice};
use super::split_constants::copy;
use crate::ir::{Call, Dim, Form, Graph, Model, Node, NodeId, Origin, Tensor, Type, Use, ValueId, ValueInfo};
use std::collections::{HashMap, HashSet};

/// How often a value has each name, in a graph and in its subgraphs.
pub(super) struct Names(HashMap<String, usize>);

impl Names {
    pub(super) fn of(model: &Model) -> Names {
        let mut names = Names(HashMap::new());
        names.count(&model.graph, &mut |n| *n += 1);
        names
    }

    fn count(&mut self, graph: &Graph, change: &mut dyn FnMut(&mut usize)) {
        for node in graph.nodes() {
            let captured = matches!(graph.node(node), Node::Input(i) if i.captured);
            for value in graph.results(node).filter(|_| !captured) {
                change(self.0.entry(graph.value_name(value).to_owned()).or_insert(0));
            }
            graph.call(node).into_iter().flat_map(|c| c.graphs()).for_each(|g| self.count(g, change));
        }
    }

    /// The values of a call's bodies are about to be called anew.
    pub(super) fn release(&mut self, call: &Call) {
        call.graphs().for_each(|g| self.count(g, &mut |n| *n = n.saturating_sub(1)));
    }

    /// This name, if nothing has it, or one like it.
    pub(super) fn fresh(&mut self, name: &str) -> String {
        let is_free = |n: &String| self.0.get(n).is_none_or(|count| *count == 0);
        let others = (0..).map(|i| format!("{name}_{i}"));
        let free = std::iter::once(name.to_owned()).chain(others).find(is_free).unwrap_or_default();
        self.0.insert(free.clone(), 1);
        free
    }
}

/// Whether what a call captures can be told in terms of the file once its bodies are open.
pub(super) fn can_come_in(graph: &Graph, node: NodeId) -> bool {
    let Some(call) = graph.call(node) else { return false };
    let plain = |g: &Graph| {
        g.mentioned.is_empty()
            && g.nodes().into_iter().all(|n| match g.node(n) {
                Node::Input(input) => input.default.is_none(),
                Node::Constant(c) => !matches!(c.form, Form::InputInitializer { .. }),
                Node::Call(_) | Node::Output(_) => true,
            })
    };
    let captured = graph.operands(node).into_iter().skip(call.arity.into()).flatten();
    let told = graph.origin(node).is_some() || !captured.into_iter().any(|v| is_file_constant(graph, v));
    told && call.graphs().all(plain)
}

/// Constants of the file that a call's bodies capture become copies for this call alone.
pub(super) fn hand_over_captures(graph: &mut Graph, node: NodeId) {
    let Some(call) = graph.call(node) else { return };
    let slots = usize::from(call.arity)..graph.operands(node).len();
    let wanted = slots.clone().filter_map(|slot| graph.operand(node, slot)).any(|v| is_file_constant(graph, v));
    if wanted {
        let mut taken = graph.all_names();
        hand_over(graph, node, slots, &mut taken);
    }
}

/// Copies a body of a call into the graph, just before the call. `inputs` are the values that stand for its inputs. Returns
/// the nodes that came in, and what the body returns.
pub(super) fn bring_in(
    graph: &mut Graph,
    node: NodeId,
    which: usize,
    inputs: &[ValueId],
    names: &mut Names,
) -> (Vec<NodeId>, Vec<Option<ValueId>>) {
    let Some(call) = graph.call(node) else { return (vec![], vec![]) };
    let before: usize = call.graphs().take(which).map(|g| g.captures().len()).sum();
    let first = usize::from(call.arity) + before;
    let Some(mut body) = call.graphs().nth(which).cloned() else { return (vec![], vec![]) };
    tell_constants(&mut body);
    let captures =
        body.captures().into_iter().zip(first..).filter_map(|(n, slot)| Some((n, graph.operand(node, slot)?)));
    let given: HashMap<NodeId, ValueId> =
        captures.chain(body.inputs().into_iter().zip(inputs.iter().copied())).collect();
    let outside = given.iter().map(|(&n, &v)| (body.label(n).to_owned(), graph.value_name(v).to_owned())).collect();
    rename_all(&mut body, &outside, &mut |name| names.fresh(name));
    let (copies, outputs) = splice(graph, node, &body, &given);
    let infos = body.outputs().into_iter().filter_map(|n| match body.node(n) {
        Node::Output(o) => Some(o.info.clone()),
        _ => None,
    });
    declare(graph, body.value_info.iter().cloned().chain(infos));
    let came = body.topological().into_iter().filter_map(|n| copies.get(&n).copied()).collect();
    (came, outputs)
}

/// Adds declarations of values that have none. Sizes with names are left out: a name in a body may be another size each
/// time.
pub(super) fn declare(graph: &mut Graph, infos: impl Iterator<Item = ValueInfo>) {
    let mut known: HashSet<String> = graph.value_info.iter().map(|i| i.name.clone()).collect();
    for mut info in infos {
        let Type::Tensor(ty) = &mut info.ty else { continue };
        let dims = ty.shape.iter_mut().flatten().filter(|d| d.fixed().is_none());
        dims.for_each(|d| *d = Dim::unknown(0));
        if known.insert(info.name.clone()) {
            graph.value_info.push(info);
        }
    }
}

/// Writes down at constants which uses in the body's own list of nodes see them: outside, positions mean other nodes.
/// A vector gets a copy for each use; a matrix, and what is used where the file has no position, stays one.
fn tell_constants(body: &mut Graph) {
    let mut taken = body.all_names();
    for node in body.constants() {
        let constant = ValueId { node, port: 0 };
        if !is_file_constant(body, constant) {
            continue;
        }
        let mut uses = body.uses(constant);
        let long = |t: &Tensor| t.shape.iter().filter(|&&d| d > 1).count() > 1;
        if !body.tensor(constant).is_some_and(long) && uses.iter().all(|u| body.origin(u.node).is_some()) {
            for at in uses.split_off(uses.len().min(1)) {
                let own = copy(body, constant, at, &mut taken);
                tell(body, own, &[at]);
            }
        }
        tell(body, constant, &uses);
    }
}

fn tell(body: &mut Graph, constant: ValueId, uses: &[Use]) {
    let told: Option<Vec<(u32, u16)>> = uses.iter().map(|u| Some((body.origin(u.node)?, u.slot))).collect();
    if let Some(constant) = body.constant_mut(constant.node) {
        constant.origin = match (told, constant.source()) {
            (Some(uses), Some(source)) => Origin::Passed { source: source.to_owned(), uses },
            _ => Origin::Computed(vec![]),
        };
    }
}
