//! Which constants of the input file make a branch's result zero when they are: so that a removed layer can be checked
//! by zeros in the file, like a removed channel.

use super::Layer;
use crate::apply::Removed;
use crate::facts::Facts;
use crate::ir::{Graph, Model, NodeId, Origin, ValueId};
use crate::ops::{self, Site};
use std::collections::{HashMap, HashSet};

/// How many calls before the exit are looked at.
const DEPTH: usize = 64;

/// The constants, as slices that are all there is; none where the operators' laws of zeros don't tell.
pub fn zeroing(model: &Model, facts: &Facts, layer: &Layer) -> Vec<Removed> {
    let gone = layer.gone.iter().copied().collect();
    let mut walk = Walk { model, graph: &model.graph, facts, gone, known: HashMap::new() };
    let mut removed = walk.makers(layer.exit.node, DEPTH).unwrap_or_default();
    removed.sort_by(|a, b| (&a.tensor, &a.uses).cmp(&(&b.tensor, &b.uses)));
    removed.dedup();
    removed
}

struct Walk<'a> {
    model: &'a Model,
    graph: &'a Graph,
    facts: &'a Facts,
    /// What only the branch reads.
    gone: HashSet<NodeId>,
    known: HashMap<NodeId, Option<Vec<Removed>>>,
}

impl Walk<'_> {
    /// What makes the results of a call zero.
    fn makers(&mut self, node: NodeId, depth: usize) -> Option<Vec<Removed>> {
        if let Some(known) = self.known.get(&node) {
            return known.clone();
        }
        let call = self.graph.call(node).filter(|_| depth > 0 && self.gone.contains(&node))?;
        let operands: Vec<Option<ValueId>> =
            self.graph.operands(node).into_iter().take(usize::from(call.arity)).collect();
        let constants = operands.iter().enumerate().map(|(slot, v)| self.constant(node, slot, (*v)?));
        let mut sources: Vec<Option<Removed>> = constants.collect();
        let mut found = self.is_zero(node, |slot| sources[slot].is_some()).then(Vec::new);
        if found.is_none() {
            let inner: Vec<Option<Vec<Removed>>> =
                operands.iter().map(|v| v.and_then(|v| self.makers(v.node, depth - 1))).collect();
            if self.is_zero(node, |slot| sources[slot].is_some() || inner[slot].is_some()) {
                found = Some(inner.into_iter().flatten().flatten().collect());
            }
        }
        let found = found.map(|inner| sources.drain(..).flatten().chain(inner).collect::<Vec<Removed>>());
        self.known.insert(node, found.clone());
        found
    }

    /// Whether a call's results are zero where these operands are.
    fn is_zero(&self, node: NodeId, at: impl Fn(usize) -> bool) -> bool {
        let Some(call) = self.graph.call(node) else { return false };
        let unknowns = crate::facts::Unknowns::of_questions();
        let site = Site::new(self.model, self.graph, node, call, self.facts, &unknowns);
        let zeros: Vec<bool> = (0..usize::from(call.arity)).map(at).collect();
        (ops::rule_of(self.model, call).zeros.results)(&site, &zeros)
    }

    /// All of a constant of the file, for one use of it.
    fn constant(&self, node: NodeId, slot: usize, value: ValueId) -> Option<Removed> {
        let constant = self.graph.constant(value.node).filter(|c| c.tensor.dtype.is_float())?;
        let Origin::File(source) = &constant.origin else { return None };
        let indices = (0..*constant.tensor.shape.first()?).collect();
        let uses = Some(vec![(self.graph.origin(node)?, slot as u16)]);
        Some(Removed { tensor: source.clone(), axis: 0, indices, uses })
    }
}
