//! `cse` merges calls that compute the same.
//!
//! ```text
//! a = Sigmoid(x)                       a = Sigmoid(x)
//! b = Sigmoid(x)            →          y = Mul(a, a)
//! y = Mul(a, b)
//! ```
//!
//! Exact: the same operator with the same attributes makes the same of the same operands. Calls that draw numbers, have
//! subgraphs, or whose operator nobody knows are left alone. The first call stays, and chains are followed in the order
//! of the data, so all of a repeated expression goes at once.
//!
//! Names are what can stand in the way, as in `drop-identity`: a graph output has to be made under its own name. Calls
//! of different bodies stay two: one of them may never run.

use super::edit::{accepts_name, rename};
use super::{Change, Context, Pass, PassError};
use crate::ir::{Attribute, Call, Graph, Model, NodeId, ValueId};
use crate::ops;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

pub(super) struct Cse;

impl Pass for Cse {
    fn name(&self) -> &'static str {
        "cse"
    }

    fn run(&self, model: &mut Model, _: &mut Context) -> Result<Change, PassError> {
        let order: Vec<NodeId> = model
            .graph
            .topological()
            .into_iter()
            .filter(|&n| model.graph.call(n).is_some_and(|c| ops::is_function(model, c)))
            .collect();
        let graph = &mut model.graph;
        let mut seen: HashMap<u64, Vec<NodeId>> = HashMap::new();
        let mut merged = 0;
        for node in order {
            let alike = seen.entry(key(graph, node)).or_default();
            // What computes the same, but has to keep its name, stays.
            match alike.iter().copied().find(|&first| computes_same(graph, first, node)) {
                Some(first) if merge(graph, node, first) => merged += 1,
                Some(_) => {}
                None => alike.push(node),
            }
        }
        Ok(Change(merged))
    }
}

/// A hash of what decides what a call computes.
fn key(graph: &Graph, node: NodeId) -> u64 {
    let mut hasher = DefaultHasher::new();
    let Some(call) = graph.call(node) else { return 0 };
    (&call.op, &call.domain, graph.operands(node), graph.region(node)).hash(&mut hasher);
    // In any order: a file may list them as it likes.
    let attributes = call.attributes.iter().map(|(name, value)| {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        hash(value, &mut hasher);
        hasher.finish()
    });
    attributes.fold(0u64, u64::wrapping_add).hash(&mut hasher);
    hasher.finish()
}

fn hash(attribute: &Attribute, hasher: &mut DefaultHasher) {
    match attribute {
        Attribute::Int(n) => n.hash(hasher),
        Attribute::Ints(all) => all.hash(hasher),
        Attribute::Float(x) => x.to_bits().hash(hasher),
        Attribute::Floats(all) => all.iter().for_each(|x| x.to_bits().hash(hasher)),
        Attribute::String(s) => s.hash(hasher),
        Attribute::Strings(all) => all.hash(hasher),
        Attribute::Tensor(t) => (t.dtype, &t.shape).hash(hasher),
        _ => {}
    }
}

fn computes_same(graph: &Graph, a: NodeId, b: NodeId) -> bool {
    let (Some(x), Some(y)) = (graph.call(a), graph.call(b)) else { return false };
    let attributes = |x: &Call, y: &Call| {
        x.attributes.iter().all(|(name, value)| y.attributes.get(name).is_some_and(|other| same(value, other)))
    };
    let made = |c: &Call| c.results.iter().map(String::is_empty).collect::<Vec<_>>();
    let operators = (&x.op, &x.domain, &x.overload, x.attributes.len(), made(x));
    operators == (&y.op, &y.domain, &y.overload, y.attributes.len(), made(y))
        && graph.region(a) == graph.region(b)
        && graph.operands(a) == graph.operands(b)
        && attributes(x, y)
}

fn same(a: &Attribute, b: &Attribute) -> bool {
    match (a, b) {
        (Attribute::Int(a), Attribute::Int(b)) => a == b,
        (Attribute::Ints(a), Attribute::Ints(b)) => a == b,
        (Attribute::Float(a), Attribute::Float(b)) => a.to_bits() == b.to_bits(),
        (Attribute::Floats(a), Attribute::Floats(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
        }
        (Attribute::String(a), Attribute::String(b)) => a == b,
        (Attribute::Strings(a), Attribute::Strings(b)) => a == b,
        (Attribute::Tensor(a), Attribute::Tensor(b)) => a.same(b),
        _ => false,
    }
}

/// Gives the users of a call the results of one that computes the same. Says whether the names allow that.
fn merge(graph: &mut Graph, goes: NodeId, stays: NodeId) -> bool {
    let pairs: Vec<(ValueId, ValueId)> = graph.results(goes).zip(graph.results(stays)).collect();
    let accepts =
        |graph: &Graph, value: ValueId, name: &str| graph.uses(value).into_iter().all(|u| accepts_name(graph, u, name));
    // The names under which the results are known in the end.
    let mut names = vec![];
    for &(old, new) in &pairs {
        let (old_name, new_name) = (graph.value_name(old), graph.value_name(new));
        if accepts(graph, old, new_name) {
            names.push(None);
        } else if accepts(graph, new, old_name) && accepts(graph, old, old_name) {
            names.push(Some(old_name.to_owned()));
        } else {
            return false;
        }
    }
    for (&(old, new), name) in pairs.iter().zip(names) {
        graph.replace(old, new);
        if let Some(name) = name {
            // The call is about to go, and its name with it.
            let own = graph.value_name(new).to_owned();
            rename(graph, old, own);
            rename(graph, new, name);
        }
    }
    graph.remove(goes);
    true
}

#[cfg(test)]
mod tests {
    use crate::passes::tests::{after, nothing_to_do};

    #[test]
    fn a_repeated_chain_goes_at_once() {
        let text = "g (f32[2,3] x) => (f32[3,2] y) {
            a = Relu(x)
            b = Transpose<perm=[1,0]>(a)
            c = Relu(x)
            d = Transpose<perm=[1,0]>(c)
            e = Transpose(c)
            f = Add(b, d)
            y = Add(f, e)
        }";
        insta::assert_snapshot!(after("cse", text), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[2,3] x) => (f32[3,2] y) {
          a = Relu(x)
          b = Transpose<perm=[1,0]>(a)
          e = Transpose(a)
          f = Add(b, b)
          y = Add(f, e)
        }
        "#);
    }

    #[test]
    fn an_output_keeps_its_name() {
        let text = "g (f32[2] x) => (f32[2] y, f32[2] z) {
            a = Exp(x)
            y = Exp(x)
            z = Neg(a)
        }";
        insta::assert_snapshot!(after("cse", text), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[2] x) => (f32[2] y, f32[2] z) {
          y = Exp(x)
          z = Neg(y)
        }
        "#);
    }

    #[test]
    fn what_differs_draws_or_is_twice_an_output_stays() {
        nothing_to_do(
            "cse",
            "g (f32[2,3] x) => (f32[2,3] a, f32[2,3] b, f32[2,3] y) {
                a = Elu<alpha=1.0>(x)
                b = Elu<alpha=1.0>(x)
                c = Elu<alpha=0.5>(x)
                r = RandomNormalLike(x)
                s = RandomNormalLike(x)
                d = Add(r, s)
                e = Sub(x, c)
                f = Sub(c, x)
                h = Mul(e, f)
                y = Mul(h, d)
            }",
        );
    }

    #[test]
    fn branches_stay_two() {
        nothing_to_do(
            "cse",
            "g (bool c, f32[2] x) => (f32[2] y) {
                a = Relu(x)
                y = If<then_branch = t () => (p) { p = Relu(x) }, else_branch = e () => (q) { q = Neg(a) }>(c)
            }",
        );
    }
}
