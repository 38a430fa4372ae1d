//! `drop-identity` removes calls that return their first operand.
//!
//! ```text
//! a = Identity(x)
//! b = Dropout(a)            →          y = Relu(x)
//! y = Relu(b)
//! ```
//!
//! Which calls these are is for the operators' rules to say (`is_identity`): a transposition in the given order, a
//! sum with nothing, a reshape to the same shape. Exact, because the value is the same under another name.
//!
//! Names are what can stand in the way. A graph output has to be made under its own name: then the operand's maker
//! takes that name over, unless it is a graph input, a constant or another output. The call stays in these cases. So it
//! does between a constant and what came out of a function's body: the use of the constant in the file is the
//! Identity's, and slices of it are told by that.

use super::edit::{ask, replace_call};
use super::{Change, Context, Pass, PassError};
use crate::facts::Facts;
use crate::ir::{Graph, Model, NodeId, Use, ValueId};
use crate::ops;

pub(super) struct DropIdentity;

impl Pass for DropIdentity {
    fn name(&self) -> &'static str {
        "drop-identity"
    }

    fn run(&self, model: &mut Model, cx: &mut Context) -> Result<Change, PassError> {
        let facts = cx.facts(model);
        let identities: Vec<NodeId> =
            model.graph.topological().into_iter().filter(|&n| is_identity(model, &facts, n)).collect();
        // In the order of the data, so that in a chain each sees what became of the one before it.
        Ok(Change(identities.into_iter().filter(|&n| drop(&mut model.graph, n)).count()))
    }
}

/// Whether the call returns its first operand, and nothing else that anybody uses.
fn is_identity(model: &Model, facts: &Facts, node: NodeId) -> bool {
    let graph = &model.graph;
    let Some(call) = graph.call(node) else { return false };
    let others = graph.results(node).skip(1).any(|v| !graph.uses(v).is_empty());
    let rule = ops::rule_of(model, call);
    !others
        && graph.operand(node, 0).is_some()
        && ask(model, facts, node, |site| (rule.values.identity)(site)) == Some(true)
}

/// Removes the call if the names allow it.
fn drop(graph: &mut Graph, node: NodeId) -> bool {
    let Some(operand) = graph.operand(node, 0) else { return false };
    !tells_use(graph, operand, node) && replace_call(graph, node, operand)
}

/// Whether the call is in the file, uses a constant, and feeds something that is not in the file.
fn tells_use(graph: &Graph, operand: ValueId, node: NodeId) -> bool {
    let uses = graph.results(node).flat_map(|v| graph.uses(v)).collect::<Vec<_>>();
    let foreign = |u: Use| graph.call(u.node).is_some() && graph.origin(u.node).is_none();
    graph.constant(operand.node).is_some() && graph.origin(node).is_some() && uses.into_iter().any(foreign)
}

#[cfg(test)]
mod tests {
    use crate::passes::tests::{after, nothing_to_do};

    #[test]
    fn a_chain_goes_at_once() {
        let text = "g (f32[2] x) => (f32[2] y) {
            a = Identity(x)
            b = Dropout(a)
            y = Relu(b)
        }";
        insta::assert_snapshot!(after("drop-identity", text), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[2] x) => (f32[2] y) {
          y = Relu(x)
        }
        "#);
    }

    #[test]
    fn an_output_keeps_its_name() {
        let text = "g (f32[2] x) => (f32[2] y) {
            a = Relu(x)
            b = Neg(a)
            y = Identity(a)
        }";
        insta::assert_snapshot!(after("drop-identity", text), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[2] x) => (f32[2] y) {
          y = Relu(x)
          b = Neg(y)
        }
        "#);
    }

    #[test]
    fn an_output_is_neither_an_input_nor_another_output() {
        nothing_to_do(
            "drop-identity",
            "g (f32[2] x) => (f32[2] y, f32[2] z, f32[2] a) {
                y = Identity(x)
                a = Relu(x)
                z = Identity(a)
            }",
        );
    }

    #[test]
    fn subgraphs_see_the_operand() {
        let text = "g (bool c, f32[2] x) => (f32[2] y) {
            w = Identity(x)
            y = If<then_branch = t () => (a) { a = Relu(w) }, else_branch = e () => (b) { b = Neg(w) }>(c)
        }";
        insta::assert_snapshot!(after("drop-identity", text), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (bool[] c, f32[2] x) => (f32[2] y) {
          y = If<
            then_branch=t (captured w = x) => (a) {
              a = Relu(w)
            },
            else_branch=e (captured w = x) => (b) {
              b = Neg(w)
            }
          >(c)
        }
        "#);
    }

    #[test]
    fn a_subgraph_that_returns_what_it_captured_keeps_the_name() {
        nothing_to_do(
            "drop-identity",
            "g (bool c, f32[2] x) => (f32[2] y) {
                w = Identity(x)
                y = If<then_branch = t () => (w) { }, else_branch = e () => (b) { b = Neg(x) }>(c)
            }",
        );
    }
}
