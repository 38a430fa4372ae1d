//! Which uses of a constant of the input file a cut means: all of them, or those that are listed.

use super::Removed;
use crate::ir::{Graph, Model, ValueId};
use crate::ops::IDENTITY;
use std::collections::{HashMap, HashSet};

/// A use in terms of the input file; `None` for one that has no position there.
type Place = Option<(u32, u16)>;

/// Leaves out the uses where they are all that the constant has in the input file. A use that is not listed, since a
/// pass computed something from it, say, must not see the zeros.
pub(crate) fn leave_out_uses(original: &Model, removed: &mut [Removed]) {
    let mut all = HashMap::new();
    collect(&original.graph, &mut all);
    for entry in removed {
        let Some((uses, all)) = entry.uses.as_ref().zip(all.get(&entry.tensor)) else { continue };
        if all.iter().all(|place| place.is_some_and(|p| uses.contains(&p))) {
            entry.uses = None;
        }
    }
}

/// The uses of all constants of a graph and its subgraphs. Those of a constant's Identity are the constant's.
fn collect(graph: &Graph, all: &mut HashMap<String, HashSet<Place>>) {
    for node in graph.constants() {
        let Some(source) = graph.constant(node).and_then(|c| c.source()) else { continue };
        let mut places = HashSet::new();
        let (mut open, mut seen) = (vec![ValueId { node, port: 0 }], HashSet::from([node]));
        while let Some(value) = open.pop() {
            for at in graph.uses(value) {
                match graph.call(at.node) {
                    Some(call) if call.op == IDENTITY && call.domain.is_empty() && seen.insert(at.node) => {
                        open.push(ValueId { node: at.node, port: 0 });
                    }
                    _ => _ = places.insert(graph.origin(at.node).map(|position| (position, at.slot))),
                }
            }
        }
        all.insert(source.to_owned(), places);
    }
    graph.calls().into_iter().filter_map(|n| graph.call(n)).flat_map(|c| c.graphs()).for_each(|g| collect(g, all));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ir, load, save};

    #[test]
    fn all_uses_go_without_saying() {
        let text = "g (f32[2] x) => (f32[2] y) {
            f32[2] w = {1.0, 2.0}
            same = Identity(w)
            a = Mul(x, same)
            y = Add(a, w)
        }";
        let bytes = save::to_bytes(&ir::parse(text, &|_| None).unwrap()).unwrap();
        let model = load::from_bytes(bytes.into(), None).unwrap();
        let entry =
            |uses: &[(u32, u16)]| Removed { tensor: "w".into(), axis: 0, indices: vec![1], uses: Some(uses.to_vec()) };
        let mut removed = vec![entry(&[(1, 1), (2, 1)]), entry(&[(2, 1)])];
        leave_out_uses(&model, &mut removed);
        assert_eq!(removed[0].uses, None);
        assert_eq!(removed[1].uses, Some(vec![(2, 1)]));
    }
}
