//! `dce` removes what no output needs.
//!
//! ```text
//! f32[2] w #…                          f32[2] w #…
//! f32[2] v #…                          y = Mul(x, w)
//! unused = Add(x, v)            →
//! y = Mul(x, w)
//! ```
//!
//! Exact, because what goes is computed for nobody: the outputs are made of the nodes that they reach along the
//! wires, and captured values are wires too. Graph inputs stay, they are the model's interface, and so do constants that
//! a quantization annotation mentions. Declarations of values that are no more go as well.

use super::{Change, Context, Pass, PassError};
use crate::ir::{Graph, Model, Node, NodeId};
use std::collections::HashSet;

pub(crate) struct Dce;

impl Pass for Dce {
    fn name(&self) -> &'static str {
        "dce"
    }

    fn run(&self, model: &mut Model, _: &mut Context) -> Result<Change, PassError> {
        let graph = &mut model.graph;
        let dead = dead(graph);
        for &node in &dead {
            graph.remove(node);
        }
        let declared = graph.value_info.len();
        let values = graph.values_by_name();
        graph.value_info.retain(|info| values.contains_key(&info.name));
        Ok(Change(dead.len() + declared - graph.value_info.len()))
    }
}

/// Calls and constants that no output reaches. A graph without outputs is a fragment, and all of it is alive.
pub(super) fn dead(graph: &Graph) -> Vec<NodeId> {
    let mut waiting = graph.outputs();
    if waiting.is_empty() {
        return vec![];
    }
    waiting.extend(graph.constants().into_iter().filter(|&n| graph.mentioned.contains(graph.label(n))));
    let mut alive: HashSet<NodeId> = waiting.iter().copied().collect();
    while let Some(node) = waiting.pop() {
        let operands = graph.operands(node).into_iter().flatten().map(|v| v.node);
        waiting.extend(operands.filter(|&n| alive.insert(n)));
    }
    let removable = |n: NodeId| matches!(graph.node(n), Node::Call(_) | Node::Constant(_));
    graph.nodes().into_iter().filter(|&n| removable(n) && !alive.contains(&n)).collect()
}

#[cfg(test)]
mod tests {
    use crate::passes::tests::{after, nothing_to_do};

    #[test]
    fn what_no_output_needs_goes() {
        let text = "g (f32[2] x) => (f32[2] y) <f32[2] unused> {
            f32[2] w = {1.0, 2.0}
            f32[2] v = {3.0, 4.0}
            unused = Add(x, v)
            more = Relu(unused)
            y = Mul(x, w)
        }";
        insta::assert_snapshot!(after("dce", text), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[2] x) => (f32[2] y) {
          f32[2] w = {1.0, 2.0}
          y = Mul(x, w)
        }
        "#);
    }

    #[test]
    fn captured_values_and_inputs_stay() {
        nothing_to_do(
            "dce",
            "g (bool c, f32[2] x, f32[2] unused) => (f32[2] y) {
                f32[2] w = {1.0, 2.0}
                y = If<then_branch = t () => (a) { a = Relu(w) }, else_branch = e () => (b) { b = Add(x, w) }>(c)
            }",
        );
    }
}
