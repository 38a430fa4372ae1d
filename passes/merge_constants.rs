//! `merge-constants` merges equal constants.
//!
//! ```text
//! f32[2] w = {1.0, 2.0}
//! f32[2] v = {1.0, 2.0}                f32[2] w = {1.0, 2.0}
//! a = Mul(x, w)             →          a = Mul(x, w)
//! b = Add(y, v)                        b = Add(y, w)
//! ```
//!
//! Exact, because type, shape and data are the same. The one that stays is one that has the name from the input file,
//! else the first. A constant that is declared as an input, feeds a graph output or is given a meaning by a subgraph
//! may stay, and never goes.
//!
//! Weights of a mapped file are not read without need: only constants with the same type and shape are compared at
//! all, those that share memory are equal, and the others are told apart by a hash of their first bytes before the
//! whole of them is.

use super::edit::{accepts_name, dense};
use super::{Change, Context, Pass, PassError};
use crate::ir::{Constant, Form, Graph, Model, NodeId, Payload, Tensor, ValueId};
use indexmap::IndexMap;
use std::hash::Hash;
use xxhash_rust::xxh3::xxh3_64;

pub(crate) struct MergeConstants;

impl Pass for MergeConstants {
    fn name(&self) -> &'static str {
        "merge-constants"
    }

    fn run(&self, model: &mut Model, _: &mut Context) -> Result<Change, PassError> {
        let graph = &mut model.graph;
        let merges: Vec<(NodeId, NodeId)> = equal(graph).iter().flat_map(|class| merges(graph, class)).collect();
        for &(goes, stays) in &merges {
            graph.replace(ValueId { node: goes, port: 0 }, ValueId { node: stays, port: 0 });
            graph.remove(goes);
        }
        Ok(Change(merges.len()))
    }
}

/// Which constants of a class go, each with the one that stays.
fn merges(graph: &Graph, class: &[NodeId]) -> Vec<(NodeId, NodeId)> {
    let is_original = |n: NodeId| graph.constant(n).is_some_and(|c| c.source() == Some(&c.name));
    let Some(stays) = class.iter().copied().min_by_key(|&n| (may_go(graph, n, None), !is_original(n))) else {
        return vec![];
    };
    let name = graph.value_name(ValueId { node: stays, port: 0 });
    let goes = class.iter().filter(|&&n| n != stays && may_go(graph, n, Some(name)));
    goes.map(|&n| (n, stays)).collect()
}

/// Whether a constant may go, and its uses accept the name of the one that stays.
fn may_go(graph: &Graph, node: NodeId, name: Option<&str>) -> bool {
    let declared = matches!(graph.constant(node), Some(Constant { form: Form::InputInitializer { .. }, .. }));
    let mut uses = graph.uses(ValueId { node, port: 0 }).into_iter();
    let mentioned = graph.mentioned.contains(graph.label(node));
    !declared && !mentioned && uses.all(|u| accepts_name(graph, u, name.unwrap_or_default()))
}

/// Classes of two or more equal constants.
fn equal(graph: &Graph) -> Vec<Vec<NodeId>> {
    let dense = |n: NodeId| dense(graph, ValueId { node: n, port: 0 }).map(|c| (n, &c.tensor));
    let all = graph.constants().into_iter().filter_map(dense);
    let mut equal: Vec<Vec<NodeId>> = vec![];
    for alike in classes(all, |(_, t)| (t.dtype, &t.shape, glance(t))).into_iter().filter(|c| c.len() > 1) {
        let shared = classes(alike.into_iter(), |(_, t)| memory(t));
        let candidates = match shared.len() {
            1 => vec![shared],
            _ => classes(shared.into_iter(), |sharing| sharing[0].1.hash()),
        };
        for parts in candidates {
            let first = parts[0][0].1;
            let same = parts.iter().flatten().filter(|(_, t)| first.same(t));
            equal.push(same.map(|(n, _)| *n).collect());
        }
    }
    equal.retain(|class| class.len() > 1);
    equal
}

/// Parts things by a key, in the order in which they come. No class is empty.
fn classes<T, K: Hash + Eq>(things: impl Iterator<Item = T>, key: impl Fn(&T) -> K) -> Vec<Vec<T>> {
    let mut classes: IndexMap<K, Vec<T>> = IndexMap::new();
    for thing in things {
        classes.entry(key(&thing)).or_default().push(thing);
    }
    classes.into_values().collect()
}

/// A hash of so little of the data that it is read at once.
fn glance(t: &Tensor) -> u64 {
    const SOME: usize = 256;
    match &t.payload {
        Payload::Raw(data) => xxh3_64(&data[..data.len().min(SOME)]),
        Payload::Strings(_) | Payload::Absent(_) => 0,
    }
}

/// Where the data is, so that what shares it is known to be equal.
fn memory(t: &Tensor) -> (u8, usize) {
    match &t.payload {
        Payload::Raw(data) => (0, data.as_ptr() as usize),
        Payload::Strings(all) => (1, all.as_ptr() as usize),
        Payload::Absent(hash) => (2, *hash as usize),
    }
}

#[cfg(test)]
mod tests {
    use crate::passes::tests::{after, nothing_to_do};

    #[test]
    fn equal_constants_become_one() {
        let text = "g (f32[2] x) => (f32[2] y) {
            f32[2] w = {1.0, 2.0}
            f32[2] v = {1.0, 2.0}
            f32[2] u = {1.0, 3.0}
            a = Mul(x, w)
            b = Add(a, v)
            y = Sub(b, u)
        }";
        insta::assert_snapshot!(after("merge-constants", text), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[2] x) => (f32[2] y) {
          f32[2] w = {1.0, 2.0}
          f32[2] u = {1.0, 3.0}
          a = Mul(x, w)
          b = Add(a, w)
          y = Sub(b, u)
        }
        "#);
    }

    #[test]
    fn what_feeds_an_output_stays() {
        let text = "g (f32[2] x) => (f32[2] y, f32[2] v) {
            f32[2] w = {1.0, 2.0}
            f32[2] v = {1.0, 2.0}
            y = Mul(x, w)
        }";
        insta::assert_snapshot!(after("merge-constants", text), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[2] x) => (f32[2] y, f32[2] v) {
          f32[2] v = {1.0, 2.0}
          y = Mul(x, v)
        }
        "#);
    }

    #[test]
    fn types_and_shapes_matter() {
        nothing_to_do(
            "merge-constants",
            "g (f32[2] x) => (f32[2] y, f32[1,2] z) {
                f32[2] w = {0.0, 0.0}
                f32[1,2] v = {0.0, 0.0}
                y = Mul(x, w)
                z = Add(x, v)
            }",
        );
    }
}
