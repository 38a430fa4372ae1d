//! `merge-transposes` cancels transpositions.
//!
//! ```text
//! a = Transpose<perm=[0,2,3,1]>(x)
//! b = Relu(a)                               →          b = Relu(x)
//! y = Transpose<perm=[0,3,1,2]>(b)
//! ```
//!
//! Two in a row become one, or none. Between two that undo each other may be whatever does not care in which order its
//! axes come: calls whose axis rules pass all axes through. These hang together in *islands*, into which transposed values
//! lead and out of which others lead back. An island is turned to the order that its operands had before, its constants
//! with it, where that leaves fewer transpositions; where something else reads it, or is read, one is put in between.
//!
//! Exact: what is computed for each element stays. What a transposition is, its axis rule tells: the labels of the operand
//! in another order.

use super::edit::{ask, replace_call};
use super::island::{Island, find};
use super::{Change, Context, Pass, PassError};
use crate::axes::{Expr, RuleText};
use crate::facts::Facts;
use crate::ir::{Attribute, Graph, Model, NodeId, Use, ValueId};
use crate::ops;
use std::collections::HashMap;

pub(super) struct MergeTransposes;

impl Pass for MergeTransposes {
    fn name(&self) -> &'static str {
        "merge-transposes"
    }

    fn run(&self, model: &mut Model, cx: &mut Context) -> Result<Change, PassError> {
        let mut changed = 0;
        // Each round leaves fewer transpositions, or shorter chains of them.
        loop {
            let facts = cx.facts(model);
            let turned = turns(model, &facts);
            if turned.is_empty() {
                return Ok(Change(changed));
            }
            let mut now = compose(model, &turned);
            if now == 0 {
                let islands = find(model, &facts, &turned);
                now = islands.len();
                let mut taken = model.graph.all_names();
                islands.into_iter().for_each(|i| Island::turn(i, model, &mut taken));
            }
            if now == 0 {
                return Ok(Change(changed));
            }
            changed += now;
            cx.changed();
        }
    }
}

/// The transpositions of a model: which axis of the operand each axis of the result is.
pub(super) type Turns = HashMap<NodeId, Vec<usize>>;

fn turns(model: &Model, facts: &Facts) -> Turns {
    let calls = model.graph.calls().into_iter();
    calls.filter_map(|n| Some((n, permutation(model, facts, n)?))).collect()
}

/// How a call permutes the axes of its only operand, if that is all that it does.
fn permutation(model: &Model, facts: &Facts, node: NodeId) -> Option<Vec<usize>> {
    let graph = &model.graph;
    let call = graph.call(node)?;
    let rule = ops::rule_of(model, call);
    if !rule.values.data_movement || call.arity != 1 || call.results.len() != 1 || call.graphs().next().is_some() {
        return None;
    }
    let rank = facts.get(graph.operand(node, 0)?).rank()?;
    let axes = ask(model, facts, node, |site| (rule.axes)(site))??;
    let text = RuleText::parse(&axes.text).ok().filter(|_| axes.carries)?;
    let (operand, result) = (text.operands.first()?.for_rank(rank)?, text.results.first()?.for_rank(rank)?);
    let is_label = |e: &Expr| matches!(e, Expr::Label(l) if !l.inexact && !l.unread);
    let perm: Vec<usize> =
        result.iter().map(|e| operand.iter().position(|o| o == e && is_label(e))).collect::<Option<_>>()?;
    let mut sorted = perm.clone();
    sorted.sort_unstable();
    (sorted.into_iter().eq(0..rank) && !perm.is_sorted()).then_some(perm)
}

/// The permutation that undoes one.
pub(super) fn inverse(perm: &[usize]) -> Vec<usize> {
    let mut inverse = vec![0; perm.len()];
    perm.iter().enumerate().for_each(|(i, &p)| inverse[p] = i);
    inverse
}

/// Makes one of transpositions of transposed values; how many.
fn compose(model: &mut Model, turned: &Turns) -> usize {
    let graph = &mut model.graph;
    let mut now = turned.clone();
    let mut changed = 0;
    for node in graph.topological() {
        let Some(second) = now.get(&node) else { continue };
        let Some(between) = graph.operand(node, 0) else { continue };
        let Some((first, source)) = now.get(&between.node).zip(graph.operand(between.node, 0)) else { continue };
        let both: Vec<usize> = second.iter().map(|&i| first[i]).collect();
        if both.is_sorted() {
            changed += usize::from(replace_call(graph, node, source));
        } else if graph.uses(between).len() == 1 {
            transpose(graph, node, source, &both);
            now.insert(node, both);
            changed += 1;
        }
    }
    changed
}

/// Makes a call the transposition of a value.
fn transpose(graph: &mut Graph, node: NodeId, value: ValueId, perm: &[usize]) {
    if let Some(call) = graph.call_mut(node) {
        (call.op, call.domain) = ("Transpose".into(), String::new());
        call.attributes.clear();
        call.attributes.insert("perm".into(), as_attribute(perm));
    }
    graph.connect(value, Use { node, slot: 0 });
}

pub(super) fn as_attribute(perm: &[usize]) -> Attribute {
    Attribute::Ints(perm.iter().map(|&p| p as i64).collect())
}

#[cfg(test)]
mod tests {
    use crate::passes::tests::{after, nothing_to_do};

    #[test]
    fn two_in_a_row_become_one_or_none() {
        let text = "g (f32[2,3,4] x) => (f32[2,3,4] y, f32[4,2,3] z) {
            a = Transpose<perm=[1,2,0]>(x)
            b = Transpose<perm=[2,0,1]>(a)
            y = Relu(b)
            c = Transpose<perm=[2,0,1]>(x)
            d = Transpose<perm=[1,2,0]>(c)
            e = Transpose<perm=[2,0,1]>(d)
            z = Neg(e)
        }";
        insta::assert_snapshot!(after("merge-transposes,dce", text), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[2,3,4] x) => (f32[2,3,4] y, f32[4,2,3] z) {
          y = Relu(x)
          e = Transpose<perm=[2,0,1]>(x)
          z = Neg(e)
        }
        "#);
    }

    #[test]
    fn what_is_between_is_turned_with_its_constants() {
        let text = "g (f32[n,3,4,5] x, f32[n,3,4,5] v) => (f32[n,3,4,5] y, f32[n,4,5,3] z) {
            f32[3] b = {1.0, 2.0, 3.0}
            f32 lo = {0.0}
            a = Transpose<perm=[0,2,3,1]>(x)
            c = Transpose<perm=[0,2,3,1]>(v)
            d = Add(a, b)
            e = Max(d, lo)
            f = Mul(e, c)
            y = Transpose<perm=[0,3,1,2]>(f)
            h = Sigmoid(d)
            z = Identity(h)
        }";
        insta::assert_snapshot!(after("merge-transposes,dce", text), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[n,3,4,5] x, f32[n,3,4,5] v) => (f32[n,3,4,5] y, f32[n,4,5,3] z) {
          f32[] lo = {0.0}
          f32[1,3,1,1] b_2 = {1.0, 2.0, 3.0}
          d = Add(x, b_2)
          e = Max(d, lo)
          y = Mul(e, v)
          h = Sigmoid(d)
          z_0 = Identity(h)
          z = Transpose<perm=[0,2,3,1]>(z_0)
        }
        "#);
    }

    #[test]
    fn what_cares_about_its_axes_or_gains_nothing_stays() {
        nothing_to_do(
            "merge-transposes",
            "g (f32[2,3,4] x, f32[3] v) => (f32[2,3,4] y, f32[2,4,3] z, f32[2,3,4] w) {
                a = Transpose<perm=[0,2,1]>(x)
                b = Softmax<axis=-1>(a)
                y = Transpose<perm=[0,2,1]>(b)
                c = Transpose<perm=[0,2,1]>(x)
                z = Relu(c)
                d = Transpose<perm=[0,2,1]>(x)
                e = Mul(d, v)
                w = Transpose<perm=[0,2,1]>(e)
            }",
        );
    }
}
