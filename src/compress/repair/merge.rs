//! Where a contraction's result is added to something else that the model computes: the end of a residual branch.

use crate::analysis::Analysis;
use crate::ir::{Graph, NodeId, ValueId};
use crate::ops::{self, Site};

/// A sum of two computed values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Merge {
    /// The operand that is made of the contraction's result alone.
    pub exit: ValueId,
    /// The sum, and the slot of its other operand.
    pub node: NodeId,
    pub slot: u16,
}

impl Merge {
    /// The other operand, in the original or in a model made of it.
    pub(super) fn beside(&self, graph: &Graph) -> Option<ValueId> {
        graph.operand(self.node, usize::from(self.slot))
    }
}

/// How many calls are followed at most.
const STEPS: usize = 4;

/// The sum that a call's result ends in, if nothing else reads it on the way.
pub(super) fn merge(analysis: &Analysis, from: NodeId) -> Option<Merge> {
    let graph = &analysis.model.graph;
    let mut exit = ValueId { node: from, port: 0 };
    for _ in 0..STEPS {
        let [at] = graph.uses(exit)[..] else { return None };
        if graph.region(at.node) != 0 || graph.result_count(at.node) != 1 {
            return None;
        }
        match computed(graph, at.node)[..] {
            [_] => exit = ValueId { node: at.node, port: 0 },
            [a, b] => {
                let slot = if a == at.slot { b } else { a };
                // A model's input is what it always was.
                let made = graph.operand(at.node, usize::from(slot)).is_some_and(|v| graph.call(v.node).is_some());
                let both = made && is_sum(analysis, at.node, at.slot, slot);
                return both.then_some(Merge { exit, node: at.node, slot });
            }
            _ => return None,
        }
    }
    None
}

/// The slots of the operands that are no constants.
fn computed(graph: &Graph, node: NodeId) -> Vec<u16> {
    let operands = graph.operands(node).into_iter().enumerate();
    let is_computed = |v: &ValueId| graph.constant(v.node).is_none();
    operands.filter_map(|(slot, v)| v.filter(is_computed).map(|_| slot as u16)).collect()
}

/// Whether either operand is what the call returns where the other is zero.
fn is_sum(analysis: &Analysis, node: NodeId, a: u16, b: u16) -> bool {
    let Some(call) = analysis.model.graph.call(node) else { return false };
    let unknowns = crate::facts::Unknowns::of_questions();
    let site = Site::new(&analysis.model, &analysis.model.graph, node, call, &analysis.facts, &unknowns);
    let bypass = |slot: u16| (ops::rule_of(&analysis.model, call).values.bypass)(&site, usize::from(slot));
    bypass(a) == Some(usize::from(b)) && bypass(b) == Some(usize::from(a))
}
