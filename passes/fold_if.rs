//! `fold-if` replaces an If whose condition is known by the branch that is taken.
//!
//! ```text
//! bool c = {1}                                     y = Relu(x)
//! y = If<then_branch = t () => (a) {       →
//!     a = Relu(x)
//! }, else_branch = e () => (b) {
//!     b = Neg(x)
//! }>(c)
//! ```
//!
//! Exact, because the other branch is never computed. Exporters leave such Ifs behind where a condition is about shapes.

use super::bodies::{Names, bring_in, can_come_in, hand_over_captures};
use super::splice::take_over;
use super::{Change, Context, Pass, PassError};
use crate::infer::{Element, Facts};
use crate::ir::{Model, NodeId};

pub struct FoldIf;

impl Pass for FoldIf {
    fn name(&self) -> &'static str {
        "fold-if"
    }

    fn run(&self, model: &mut Model, cx: &mut Context) -> Result<Change, PassError> {
        let is_if = |n: &NodeId| model.graph.call(*n).is_some_and(|c| c.op == "If" && c.domain.is_empty());
        if !model.graph.calls().iter().any(is_if) {
            return Ok(Change(0));
        }
        let mut changed = 0;
        // A branch may hold another one.
        loop {
            let facts = cx.facts(model);
            let known: Vec<(NodeId, usize)> =
                model.graph.calls().into_iter().filter_map(|n| Some((n, taken(model, &facts, n)?))).collect();
            if known.is_empty() {
                return Ok(Change(changed));
            }
            let mut names = Names::of(model);
            for &(node, which) in &known {
                let graph = &mut model.graph;
                hand_over_captures(graph, node);
                graph.call(node).into_iter().for_each(|c| names.release(c));
                let (_, returned) = bring_in(graph, node, which, &[], &mut names);
                take_over(graph, node, &returned);
            }
            changed += known.len();
            cx.changed();
        }
    }
}

/// Which of an If's subgraphs is taken, where that is known.
fn taken(model: &Model, facts: &Facts, node: NodeId) -> Option<usize> {
    let call = model.graph.call(node).filter(|c| c.op == "If" && c.domain.is_empty() && !model.is_local(c))?;
    let condition = facts.get(model.graph.operand(node, 0)?).content.as_ref()?;
    let [Element::Bool(condition)] = condition.0[..] else { return None };
    let wanted = if condition { "then_branch" } else { "else_branch" };
    let graphs = call.attributes.iter().flat_map(|(key, a)| a.graphs().iter().map(move |g| (key, g)));
    let (which, (_, branch)) = graphs.enumerate().find(|(_, (key, _))| *key == wanted)?;
    let fits = branch.inputs().is_empty() && branch.outputs().len() == call.results.len();
    (fits && can_come_in(&model.graph, node)).then_some(which)
}

#[cfg(test)]
mod tests {
    use crate::passes::tests::{after, nothing_to_do};

    #[test]
    fn the_branch_that_is_taken_stays() {
        let text = "g (f32[2] x) => (f32[2] y, f32[2] z) {
            bool c = {true}
            bool d = {false}
            f32[2] w = {1.0, 2.0}
            y, z = If<then_branch = t () => (a, x) {
                    v = Mul(x, w)
                    a = If<then_branch = t () => (p) { p = Relu(v) }, else_branch = e () => (q) { q = Neg(v) }>(d)
                },
                else_branch = e () => (b, b2) { b = Neg(x) b2 = Relu(x) }>(c)
        }";
        insta::assert_snapshot!(after("fold-if", text), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[2] x) => (f32[2] y, f32[2] z) {
          bool[] c = {true}
          bool[] d = {false}
          f32[2] w = {1.0, 2.0}
          v = Mul(x, w)
          y = Neg(v)
          z = Identity(x)
        }
        "#);
    }

    #[test]
    fn an_open_condition_keeps_both() {
        nothing_to_do(
            "fold-if",
            "g (bool c, f32[2] x) => (f32[2] y) {
                y = If<then_branch = t () => (a) { a = Relu(x) }, else_branch = e () => (b) { b = Neg(x) }>(c)
            }",
        );
    }
}
