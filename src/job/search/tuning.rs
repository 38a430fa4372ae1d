//! RoundTrainer between rounds: what a cut left learns from the original model.

use super::SearchError;
use crate::feed::Samples;
use crate::ir::{Model, NodeId, ValueId};
use crate::tune::{self, Curve, Keeping, Options, Teacher, Tick};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// How a model is trained after each round.
pub struct RoundTrainer<'a> {
    /// The original.
    pub teacher: &'a Teacher,
    /// What is learned from, with labels where there are some.
    pub samples: &'a Samples,
    /// How the training goes: rates, steps, losses.
    pub options: Options,
    /// Told of every step.
    pub progress: &'a dyn Fn(Tick),
}

/// The training of a round, for the report. Losses are those on samples that are held out of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RoundTraining {
    /// Steps that were made.
    pub steps: usize,
    /// The loss after the cut and its repair.
    pub before: f64,
    /// The loss of the weights that were kept.
    pub after: f64,
    /// The losses, epoch by epoch.
    pub curve: Curve,
}

impl RoundTrainer<'_> {
    /// Trains what a round left: a prepared model, whose nodes stay what they are.
    pub fn train(&self, round: usize, mut model: Model) -> Result<(Model, RoundTraining), SearchError> {
        let (joined, copies) = joined(&model);
        let options = Options { seed: self.options.seed.wrapping_add(round as u64), ..self.options.clone() };
        let keeping = Keeping::default();
        let done = tune::tune(&joined, Some(self.teacher), self.samples, &options, &keeping, self.progress)
            .map_err(Box::new)?;
        for node in model.graph.constants() {
            let trained = copies.get(&node).copied().unwrap_or(node);
            // What nothing reads went on the way.
            let trained = Some(trained).filter(|&n| done.model.graph.contains(n));
            let tensor = trained.and_then(|n| Some(done.model.graph.constant(n)?.tensor.clone()));
            if let (Some(tensor), Some(constant)) = (tensor, model.graph.constant_mut(node)) {
                constant.tensor = tensor;
            }
        }
        let losses = &done.curve.held_out;
        let before = losses.first().copied().unwrap_or(f64::NAN);
        let after = losses.iter().copied().fold(before, f64::min);
        Ok((model, RoundTraining { steps: done.steps, before, after, curve: done.curve }))
    }
}

/// A prepared model with copies of one matrix made one, since they have to be trained as one; and for each copy that
/// went the one that stands for it.
fn joined(model: &Model) -> (Model, HashMap<NodeId, NodeId>) {
    let mut joined = model.clone();
    let mut sources: BTreeMap<&str, Vec<NodeId>> = BTreeMap::new();
    for node in model.graph.constants() {
        // Vectors are often shared by chance: exporters merge equal ones.
        let is_matrix = |shape: &[usize]| shape.iter().filter(|&&n| n > 1).count() > 1;
        let constant = model.graph.constant(node).filter(|c| is_matrix(&c.tensor.shape));
        if let Some(source) = constant.and_then(|c| c.source()) {
            sources.entry(source).or_default().push(node);
        }
    }
    let mut copies = HashMap::new();
    for nodes in sources.into_values() {
        for (at, &node) in nodes.iter().enumerate() {
            let tensor = |n: NodeId| model.graph.constant(n).map(|c| &c.tensor);
            let same = |&&first: &&NodeId| tensor(first).zip(tensor(node)).is_some_and(|(a, b)| a.same(b));
            if let Some(&first) = nodes[..at].iter().find(same) {
                joined.graph.replace(ValueId { node, port: 0 }, ValueId { node: first, port: 0 });
                copies.insert(node, first);
            }
        }
    }
    (joined, copies)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir;
    use crate::load::from_bytes;
    use crate::prune::prepare;
    use crate::save::to_bytes;

    #[test]
    fn copies_of_a_matrix_are_trained_as_one_and_vectors_are_not() {
        let text = "g (f32[N,2] x) => (f32[N,2] y) {
            f32[2,2] w = {1.0, 2.0, 3.0, 4.0}
            f32[2] b = {0.5, 0.5}
            h = MatMul(x, w)
            s = Add(h, b)
            r = Relu(s)
            z = MatMul(r, w)
            y = Add(z, b)
        }";
        let model = ir::parse(text, &|_| None).unwrap_or_else(|e| panic!("{e}"));
        // Only what is read from a file has sources.
        let model = from_bytes(to_bytes(&model).unwrap().into(), None).unwrap();
        let prepared = prepare(&model).unwrap().model;
        let (joined, copies) = joined(&prepared);
        assert_eq!((prepared.graph.constants().len(), copies.len()), (4, 1));
        let used = joined.graph.constants().into_iter().filter(|&n| joined.graph.is_used(n)).count();
        assert_eq!(used, 3);
    }
}
