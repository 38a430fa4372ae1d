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
use super::{Change, Context, Pass, PassError, dce};
use crate::facts::Facts;
use crate::ir::{Call, Graph, Model, NodeId, ValueId};
use crate::ops::body;
use std::collections::HashSet;

pub(super) struct FoldIf;

impl Pass for FoldIf {
    fn name(&self) -> &'static str {
        "fold-if"
    }

    fn run(&self, model: &mut Model, cx: &mut Context) -> Result<Change, PassError> {
        if !model.graph.calls().iter().any(|&n| model.graph.call(n).is_some_and(is_if)) {
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
                // It may have been in a branch that is gone.
                let Some(call) = graph.contains(node).then(|| graph.call(node)).flatten() else { continue };
                match body::is_open(call) {
                    true => keep_open(graph, node, which),
                    false => replace(graph, node, which, &mut names),
                }
            }
            changed += known.len();
            cx.changed();
        }
    }
}

/// Whether a call is an If, with its bodies closed or open.
fn is_if(call: &Call) -> bool {
    call.op == "If" && (call.domain.is_empty() || body::is_open(call))
}

/// Which of an If's subgraphs is taken, where that is known and it can take the call's place.
fn taken(model: &Model, facts: &Facts, node: NodeId) -> Option<usize> {
    let call = model.graph.call(node).filter(|c| is_if(c) && !model.is_local(c))?;
    let which = body::branch(call, facts.get(model.graph.operand(node, 0)?))?;
    let branch = call.graphs().nth(which)?;
    let fits = branch.inputs().is_empty() && branch.outputs().len() == call.results.len();
    (body::is_open(call) || fits && can_come_in(&model.graph, node)).then_some(which)
}

/// Puts a branch in the place of the call.
fn replace(graph: &mut Graph, node: NodeId, which: usize, names: &mut Names) {
    hand_over_captures(graph, node);
    graph.call(node).into_iter().for_each(|c| names.release(c));
    let (_, returned) = bring_in(graph, node, which, &[], names);
    take_over(graph, node, &returned);
}

/// Makes one of the branches that are there a part of the graph around them, and removes the other.
fn keep_open(graph: &mut Graph, node: NodeId, which: usize) {
    let Some(call) = graph.call(node) else { return };
    let operands = graph.operands(node);
    let returned: Vec<Option<ValueId>> =
        body::returned(call, which).map(|slot| operands.get(slot).copied().flatten()).collect();
    let (home, regions) = (graph.region(node), body::regions(call));
    take_over(graph, node, &returned);
    for n in graph.nodes().into_iter().filter(|&n| regions.get(which) == Some(&graph.region(n))).collect::<Vec<_>>() {
        graph.set_region(n, home);
    }
    let mut gone: HashSet<u32> = regions.iter().enumerate().filter(|(at, _)| *at != which).map(|(_, r)| *r).collect();
    // Bodies in it are gone as well; a call stands behind the nodes of its bodies.
    for n in graph.topological().into_iter().rev() {
        if let Some(call) = graph.call(n).filter(|c| body::is_open(c) && gone.contains(&graph.region(n))) {
            gone.extend(body::regions(call));
        }
    }
    let dead = dce::dead(graph).into_iter().filter(|&n| gone.contains(&graph.region(n)));
    dead.collect::<Vec<_>>().into_iter().for_each(|n| _ = graph.remove(n));
}

#[cfg(test)]
mod tests {
    use crate::ir;
    use crate::passes::tests::{after, nothing_to_do};
    use crate::passes::{Pipeline, Settings};

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
    fn a_branch_of_a_branch_that_nobody_knows_stays_too() {
        let text = "g (bool c, f32[2,3] x) => (f32[..] y) {
            i64 three = {3}
            i64 at = {0}
            y = If<then_branch = t () => (a) {
                    s = Shape(x)
                    n = Gather(s, at)
                    d = Equal(n, three)
                    v = Exp(x)
                    a = If<then_branch = t () => (p) { p = Relu(v) }, else_branch = e () => (q) {
                        q = If<then_branch = t () => (r) { r = Sin(v) }, else_branch = e () => (o) { o = Cos(v) }>(c)
                    }>(d)
                },
                else_branch = e () => (b) { b = Neg(x) }>(c)
        }";
        let mut model = ir::parse(text, &|_| None).unwrap_or_else(|e| panic!("{e}"));
        let pipeline: Pipeline = "open-bodies,fold-if,close-bodies,dce".parse().unwrap();
        pipeline.run(&mut model, Settings::default()).unwrap();
        let text = ir::print(&model);
        // Of the three Ifs, the one in the middle is decided.
        assert_eq!(text.matches(" = If<").count(), 2, "{text}");
        let stays = |op: &str| text.contains(&format!(" = {op}("));
        assert!(["Exp", "Sin", "Cos", "Neg"].into_iter().all(stays) && !stays("Relu"), "{text}");
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
