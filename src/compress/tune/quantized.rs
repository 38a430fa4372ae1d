//! Weights that are whole numbers in units of a scale. They are not trained: a step along a gradient is less than one.

use crate::ir::{DType, Model, NodeId};
use crate::ops::{self, End};
use std::collections::BTreeSet;

/// The constants of whole numbers that stand for others, and the scales that go with them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quantized {
    numbers: BTreeSet<NodeId>,
    scales: BTreeSet<NodeId>,
    /// Whether there are biases among them.
    biased: bool,
}

impl Quantized {
    /// What is quantized in a model.
    pub(crate) fn of(model: &Model) -> Quantized {
        let graph = &model.graph;
        let mut found = Quantized::default();
        for node in graph.calls() {
            let Some(call) = graph.call(node) else { continue };
            let rule = ops::rule_of(model, call);
            let constant = |slot: usize| graph.operand(node, slot).filter(|v| graph.constant(v.node).is_some());
            for slot in 0..usize::from(call.arity) {
                let (zero, scale) =
                    ((rule.quantization.zero_point)(End::Operand(slot)), (rule.quantization.scale)(slot));
                let Some(tensor) = constant(slot).and_then(|v| graph.tensor(v)) else { continue };
                if (zero.is_none() && scale.is_none()) || tensor.dtype.is_float() || tensor.count() < 2 {
                    continue;
                }
                found.numbers.extend(constant(slot).map(|v| v.node));
                found.biased |= scale.is_some() && tensor.dtype == DType::I32;
                let scale = scale.and_then(constant);
                found.scales.extend(scale.map(|v| v.node));
            }
        }
        found
    }

    /// How many numbers there are, in so many tensors.
    pub(crate) fn counts(&self, model: &Model) -> (usize, usize) {
        let count = |n: &NodeId| model.graph.constant(*n).map_or(0, |c| c.tensor.count());
        (self.numbers.iter().map(count).sum(), self.numbers.len())
    }

    /// Whether a constant is a scale that has to stay. Runtimes take whole biases to be in units of the scales of both
    /// factors, whatever their own scale says; so where there are such biases, no scale may move without the others.
    pub(crate) fn holds(&self, constant: NodeId) -> bool {
        self.biased && self.scales.contains(&constant)
    }
}
