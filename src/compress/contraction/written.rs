//! What may be written at a contraction: its weight, and what is added to its result.

use super::Contraction;
use crate::analysis::Analysis;
use crate::ir::{Constant, Graph, NodeId};
use crate::ops::{self, Bias, Site};
use std::collections::HashMap;

/// The calls whose weights along a contraction may be changed.
pub(crate) fn writable(analysis: &Analysis) -> Vec<NodeId> {
    let graph = &analysis.model.graph;
    let shared = Shared::of(graph);
    // Not those that are computed: what they are rounded to is no proof.
    let is_own = |c: &Contraction| graph.constant(c.weight.node).is_some_and(|c| !shared.is(c));
    let may = |c: &Contraction| is_own(c) && has_constant_bias(analysis, c.node);
    Contraction::all(analysis).into_iter().filter(may).map(|c| c.node).collect()
}

/// Where a constant can be added to what a call computes, if what is added there already is constant too.
pub(crate) fn bias(analysis: &Analysis, node: NodeId) -> Option<Bias> {
    let graph = &analysis.model.graph;
    let is_constant = |slot: u16| {
        let value = graph.operand(node, usize::from(slot));
        value.is_none_or(|v| graph.tensor(v).is_some() || analysis.is_computed(v))
    };
    law(analysis, node).filter(|bias| match bias {
        Bias::Operand(slot) | Bias::Rows { slot, .. } => is_constant(*slot),
        Bias::Behind => true,
    })
}

/// Whether a constant can be added to what a call computes, and none that calls compute is added there.
fn has_constant_bias(analysis: &Analysis, node: NodeId) -> bool {
    let graph = &analysis.model.graph;
    bias(analysis, node).is_some_and(|bias| match bias {
        Bias::Operand(slot) | Bias::Rows { slot, .. } => {
            graph.operand(node, usize::from(slot)).is_none_or(|v| graph.tensor(v).is_some())
        }
        Bias::Behind => true,
    })
}

fn law(analysis: &Analysis, node: NodeId) -> Option<Bias> {
    let unknowns = crate::facts::Unknowns::of_questions();
    let call = analysis.model.graph.call(node)?;
    let site = Site::new(&analysis.model, &analysis.model.graph, node, call, &analysis.facts, &unknowns);
    (ops::rule_of(&analysis.model, call).operands.bias)(&site)
}

/// Constants of the input file that several calls share. They stay shared.
pub(crate) struct Shared<'a>(HashMap<&'a str, usize>);

impl Shared<'_> {
    /// Counts the uses of the graph's constants.
    pub(crate) fn of(graph: &Graph) -> Shared<'_> {
        let mut uses: HashMap<&str, usize> = HashMap::new();
        for node in graph.constants() {
            if let Some(source) = graph.constant(node).and_then(|c| c.source()) {
                *uses.entry(source).or_default() += 1;
            }
        }
        Shared(uses)
    }

    /// Whether several calls read it.
    pub(crate) fn is(&self, constant: &Constant) -> bool {
        constant.source().is_some_and(|s| self.0.get(s).is_some_and(|&n| n > 1))
    }
}
