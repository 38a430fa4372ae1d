//! `split-constants` gives every use of a constant a constant of its own.
//!
//! ```text
//! f32[4] w #…                          f32[4] w #…
//! a = Mul(x, w)             →          f32[4] w_0 #…
//! b = Add(y, w)                        a = Mul(x, w)
//!                                      b = Add(y, w_0)
//! ```
//!
//! Then each use can be cut in its own way: an exporter that shares one tensor of ones between layers couples them
//! for no reason. Exact, because equal tensors are equal; they share their memory, and `merge-constants` makes those
//! one again that are still the same afterwards. The first use keeps the constant. Graph outputs and subgraphs keep it
//! too (the name matters to them), and a sparse constant has no data to share. What a call of a function was given stays
//! one constant for the whole of its body, and a weight that was computed and is traced to the file stays one for all
//! that read it, as the expression was: the file has one use of what it is made of.

use super::edit::{dense, is_listed};
use super::{Change, Context, Pass, PassError};
use crate::axes::Axes;
use crate::ir::{Constant, Form, Graph, Model, Node, NodeId, Origin, Use, ValueId};
use std::collections::HashSet;

pub(crate) struct SplitConstants;

impl Pass for SplitConstants {
    fn name(&self) -> &'static str {
        "split-constants"
    }

    fn run(&self, model: &mut Model, cx: &mut Context) -> Result<Change, PassError> {
        let axes = cx.axes(model);
        let graph = &mut model.graph;
        let moves = graph.constants().into_iter().map(|c| (c, moving(graph, &axes, c)));
        let moves: Vec<(NodeId, Vec<Use>)> = moves.filter(|(_, uses)| !uses.is_empty()).collect();
        let mut taken = if moves.is_empty() { Default::default() } else { graph.all_names() };
        for (constant, uses) in &moves {
            let value = ValueId { node: *constant, port: 0 };
            let copies: Vec<ValueId> = uses.iter().map(|&at| copied(graph, value, at, &mut taken)).collect();
            // A wire is looked for among those of its constant from the last one on.
            uses.iter().zip(copies).rev().for_each(|(&at, copy)| graph.connect(copy, at));
        }
        Ok(Change(moves.iter().map(|(_, uses)| uses.len()).sum()))
    }
}

/// Gives a use of a constant a copy of its own.
pub(super) fn copy(graph: &mut Graph, constant: ValueId, at: Use, taken: &mut HashSet<String>) -> ValueId {
    let copy = copied(graph, constant, at, taken);
    graph.connect(copy, at);
    copy
}

/// A copy of a constant for this use, which does not have it yet.
fn copied(graph: &mut Graph, constant: ValueId, at: Use, taken: &mut HashSet<String>) -> ValueId {
    let Some(original) = graph.constant(constant.node).cloned() else { return constant };
    let name = graph.fresh_name(&original.name, taken);
    let copy = Constant { name, form: form(&original.form), ..original };
    ValueId { node: graph.add_before(at.node, Node::Constant(copy)), port: 0 }
}

/// The uses of a constant that get one of their own.
fn moving(graph: &Graph, axes: &Axes, constant: NodeId) -> Vec<Use> {
    let value = ValueId { node: constant, port: 0 };
    // In terms of the file the uses can't be told apart inside a node that a constant was passed to, nor behind an
    // expression that was computed.
    let is_one = |origin: &Origin| match origin {
        Origin::Passed { .. } => true,
        Origin::Computed(traces) => !traces.is_empty(),
        Origin::File(_) | Origin::Here => false,
    };
    if dense(graph, value).is_none_or(|c| is_one(&c.origin)) {
        return vec![];
    }
    let all = graph.uses(value);
    if all.len() < 2 {
        return vec![];
    }
    let reads_a_part = |u: &Use| axes.bindings(u.node).iter().any(|b| b.unread && b.operands.contains(&u.slot));
    let (own, kept): (Vec<Use>, Vec<Use>) = all.into_iter().partition(|u| is_listed(graph, *u) && !reads_a_part(u));
    own.into_iter().skip(usize::from(kept.is_empty())).collect()
}

/// The form of a copy: what the file says about the original's node or input is not said twice.
fn form(original: &Form) -> Form {
    match original {
        Form::Initializer => Form::Initializer,
        Form::InputInitializer { .. } | Form::Node { .. } | Form::Sparse { .. } => {
            Form::Node { extra: Default::default(), original: None }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::passes::tests::{after, nothing_to_do};

    #[test]
    fn every_use_gets_its_own() {
        let text = "g (f32[2] x) => (f32[2] y) {
            f32[2] w = {1.0, 2.0}
            a = Mul(x, w)
            b = Add(w, w)
            y = Sub(a, b)
        }";
        insta::assert_snapshot!(after("split-constants", text), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[2] x) => (f32[2] y) {
          f32[2] w = {1.0, 2.0}
          a = Mul(x, w)
          f32[2] w_0 = {1.0, 2.0}
          f32[2] w_2 = {1.0, 2.0}
          b = Add(w_0, w_2)
          y = Sub(a, b)
        }
        "#);
    }

    #[test]
    fn outputs_and_subgraphs_keep_the_original() {
        let text = "g (bool c, f32[2] x) => (f32[2] w, f32[2] y) {
            f32[2] w = {1.0, 2.0}
            f32[2] v = {1.0, 2.0}
            a = Mul(w, v)
            y = If<then_branch = t () => (p) { p = Relu(v) }, else_branch = e () => (q) { q = Neg(a) }>(c)
        }";
        insta::assert_snapshot!(after("split-constants", text), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (bool[] c, f32[2] x) => (f32[2] w, f32[2] y) {
          f32[2] w = {1.0, 2.0}
          f32[2] v = {1.0, 2.0}
          f32[2] w_0 = {1.0, 2.0}
          f32[2] v_2 = {1.0, 2.0}
          a = Mul(w_0, v_2)
          y = If<
            then_branch=t (captured v) => (p) {
              p = Relu(v)
            },
            else_branch=e (captured a) => (q) {
              q = Neg(a)
            }
          >(c)
        }
        "#);
    }

    #[test]
    fn one_use_is_left_alone() {
        nothing_to_do(
            "split-constants",
            "g (f32[2] x) => (f32[2] y) { f32[2] w = {1.0, 2.0}
                y = Mul(x, w) }",
        );
    }

    #[test]
    fn merging_undoes_it() {
        nothing_to_do(
            "split-constants,merge-constants",
            "g (f32[2] x) => (f32[2] y) {
                f32[2] w = {1.0, 2.0}
                a = Mul(x, w)
                y = Add(a, w)
            }",
        );
    }
}
