//! `merge-reshapes` makes one of two calls that only put the same elements into other shapes.
//!
//! ```text
//! a = Unsqueeze(x, {1})     # x: f32[n, 8]
//! b = Squeeze(a, {1})       →          y = Relu(x)
//! y = Relu(b)
//! ```
//!
//! Exact: the elements stay in their order, which the axis rules tell (the labels of the operand and those of the result,
//! written out, are the same), and the last shape is the one that counts. Where it is that of the first operand, nothing is
//! left; else a Reshape, if its target can be said in numbers: `0` and `-1` where a dimension is open. The value in
//! between goes then, since all that read it are such calls.

use super::edit::{ask, is_listed, new_constant, replace_call};
use super::{Change, Context, Pass, PassError};
use crate::axes::{Expr, RuleText};
use crate::facts::Facts;
use crate::ir::{Dim, Model, NodeId, Tensor, Use, ValueId};
use crate::ops;
use std::collections::HashSet;

pub(super) struct MergeReshapes;

/// A call that something else stands for.
enum Merge {
    /// This value.
    Operand(ValueId),
    /// A Reshape of this value.
    Reshape(ValueId, Vec<i64>),
}

impl Pass for MergeReshapes {
    fn name(&self) -> &'static str {
        "merge-reshapes"
    }

    fn run(&self, model: &mut Model, cx: &mut Context) -> Result<Change, PassError> {
        let facts = cx.facts(model);
        let mut changed = 0;
        let mut taken = HashSet::new();
        // In the order of the data, so that in a chain each sees what became of the one before it.
        for node in model.graph.topological() {
            let Some(merge) = merge(model, &facts, node) else { continue };
            if taken.is_empty() {
                taken = model.graph.all_names();
            }
            changed += usize::from(match merge {
                Merge::Operand(value) => replace_call(&mut model.graph, node, value),
                Merge::Reshape(value, target) => {
                    reshape(model, node, value, &target, &mut taken);
                    true
                }
            });
        }
        Ok(Change(changed))
    }
}

/// What stands for a call that reshapes what another one reshaped.
fn merge(model: &Model, facts: &Facts, node: NodeId) -> Option<Merge> {
    let graph = &model.graph;
    let between = graph.operand(node, 0)?;
    if !keeps_order(model, facts, node) || !keeps_order(model, facts, between.node) {
        return None;
    }
    let source = graph.operand(between.node, 0)?;
    let (before, now) = (facts.get(source), facts.get(ValueId { node, port: 0 }));
    let (from, to) = (before.shape.as_deref()?, now.shape.as_deref()?);
    // The same bits may be read as another type on the way.
    if before.dtype.is_none() || before.dtype != now.dtype {
        return None;
    }
    if from == to {
        return Some(Merge::Operand(source));
    }
    // The value in between has to go, or nothing is gained.
    let goes = |at: Use| {
        let to = facts.shape(ValueId { node: at.node, port: 0 });
        let same = facts.get(ValueId { node: at.node, port: 0 }).dtype == before.dtype;
        let said = to.is_some_and(|to| target(from, to).is_some());
        same && said && is_listed(graph, at) && at.slot == 0 && keeps_order(model, facts, at.node)
    };
    if model.opset("") < 5 || !graph.uses(between).into_iter().all(goes) {
        return None;
    }
    Some(Merge::Reshape(source, target(from, to)?))
}

/// The target that makes one shape of another, in numbers.
fn target(from: &[Dim], to: &[Dim]) -> Option<Vec<i64>> {
    ops::reshape_target(from, to)?.iter().map(Dim::fixed).collect()
}

/// Whether a call's only result has the elements of its first operand in their order.
fn keeps_order(model: &Model, facts: &Facts, node: NodeId) -> bool {
    let known = || {
        let call = model.graph.call(node).filter(|c| c.results.len() == 1)?;
        let rule = ops::rule_of(model, call);
        if !rule.values.data_movement {
            return None;
        }
        let axes = ask(model, facts, node, |site| (rule.axes)(site))??;
        let text = RuleText::parse(&axes.text).ok()?;
        let rank = |value| facts.get(value).rank();
        let operand = text.operands.first()?.for_rank(rank(model.graph.operand(node, 0)?)?)?;
        let result = text.results.first()?.for_rank(rank(ValueId { node, port: 0 })?)?;
        Some(axes.carries && labels(&operand)? == labels(&result)?)
    };
    known() == Some(true)
}

/// The labels of a tensor's axes from major to minor; `None` where there are axes without.
fn labels(axes: &[Expr]) -> Option<Vec<&str>> {
    let mut labels = vec![];
    for axis in axes {
        match axis {
            Expr::Broadcast => {}
            Expr::Label(label) => labels.push(label.name.as_str()),
            Expr::Product(parts) => labels.extend(self::labels(parts)?),
            Expr::Fixed(_) | Expr::Pinned | Expr::Sum(_) => return None,
        }
    }
    Some(labels)
}

/// Makes a call a Reshape of another value.
fn reshape(model: &mut Model, node: NodeId, value: ValueId, target: &[i64], taken: &mut HashSet<String>) {
    let graph = &mut model.graph;
    let base = graph.value_name(ValueId { node, port: 0 }).to_owned();
    let name = graph.fresh_name(&format!("{base}_shape"), taken);
    let constant = new_constant(model.ir_version, name, Tensor::from_i64(vec![target.len()], target));
    let constant = graph.add_before(node, constant);
    if let Some(call) = graph.call_mut(node) {
        (call.op, call.domain, call.arity) = ("Reshape".into(), String::new(), 2);
        call.attributes.clear();
    }
    (2..graph.operands(node).len()).for_each(|slot| graph.disconnect(Use { node, slot: slot as u16 }));
    graph.connect(value, Use { node, slot: 0 });
    graph.connect(ValueId { node: constant, port: 0 }, Use { node, slot: 1 });
}

#[cfg(test)]
mod tests {
    use crate::passes::tests::{after, nothing_to_do};

    #[test]
    fn what_comes_back_to_its_shape_goes() {
        let text = "g (f32[n,8] x) => (f32[n,8] y) {
            i64[1] one = {1}
            i64[4] t = {0, 2, 4, 1}
            i64[2] u = {0, 8}
            a = Unsqueeze(x, one)
            b = Squeeze(a, one)
            c = Relu(b)
            d = Reshape(c, t)
            e = Reshape(d, u)
            y = Neg(e)
        }";
        insta::assert_snapshot!(after("merge-reshapes,dce", text), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[n,8] x) => (f32[n,8] y) {
          c = Relu(x)
          y = Neg(c)
        }
        "#);
    }

    #[test]
    fn two_become_one() {
        let text = "g (f32[n,2,3,4] x) => (f32[n,1,6,4] y, f32[n,24] z) {
            i64[3] t = {0, 6, 4}
            i64[1] one = {1}
            a = Reshape(x, t)
            y = Unsqueeze(a, one)
            b = Flatten<axis=2>(x)
            z = Flatten(a)
        }";
        insta::assert_snapshot!(after("merge-reshapes,dce", text), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[n,2,3,4] x) => (f32[n,1,6,4] y, f32[n,24] z) {
          i64[4] y_shape_0 = {0, 1, 6, 4}
          y = Reshape(x, y_shape_0)
          i64[2] z_shape_2 = {0, 24}
          z = Reshape(x, z_shape_2)
        }
        "#);
    }

    #[test]
    fn what_others_read_or_what_can_not_be_said_stays() {
        nothing_to_do(
            "merge-reshapes",
            "g (f32[n,m,2] x, f32[2,3] v) => (f32[n,m,1,2] y, f32[6] z, f32[3,2] w, f32[6] p) {
                i64[1] two = {2}
                i64[1] all = {-1}
                i64[2] t = {3, 2}
                i64[3] s = {-1, 1, 2}
                a = Transpose<perm=[1,0,2]>(x)
                b = Transpose<perm=[1,0,2]>(a)
                y = Unsqueeze(b, two)
                w = Reshape(v, t)
                z = Reshape(w, all)
                c = Transpose<perm=[1,0]>(v)
                p = Reshape(c, all)
            }",
        );
    }
}
