//! The weights that a training may change.

use super::optimizer::{Memory, Optimizer};
use super::{Options, Quantized, TuneError};
use crate::facts::Facts;
use crate::ir::{Model, Node, NodeId, Tensor};
use crate::ops::{self, Site};
use crate::program::Program;
use std::collections::{HashMap, HashSet};

/// What is done with the means and variances that a BatchNormalization has of its training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Running {
    /// They stay, and normalize.
    #[default]
    Keep,
    /// Batches normalize by their own, and move them.
    Update,
    /// They stay, and so do scale and bias beside them.
    Freeze,
}

/// A constant that is trained.
#[derive(Clone, Debug)]
pub(super) struct Variable {
    pub node: NodeId,
    /// The weights, as they are used.
    pub tensor: Tensor,
    pub values: Vec<f32>,
    /// Where the weights were zero and stay so; empty where they need not.
    pub zeros: Vec<usize>,
    pub memory: Memory,
    /// A moving average of the weights; empty where there is none.
    pub average: Vec<f32>,
    /// Whether it is a vector or the like, which is not pulled towards zero.
    pub is_vector: bool,
}

/// The constants that are trained: all floats that the program reads, but for single numbers, masks (numbers beyond
/// all weights), statistics, scales of quantized biases, and what the options leave out.
pub(super) fn variables(
    model: &Model,
    facts: &Facts,
    program: &Program,
    options: &Options,
) -> Result<Vec<Variable>, TuneError> {
    let (fixed, quantized) = (statistics(model, facts, options.running), Quantized::of(model));
    let mut found = vec![];
    for (node, _) in program.constants() {
        let Some(constant) = model.graph.constant(node) else { continue };
        let tensor = &constant.tensor;
        let wanted = tensor.dtype.is_float()
            && tensor.count() > 1
            && !fixed.contains(&node)
            && !quantized.holds(node)
            && Trained::allow(&options.trained, &constant.name);
        if !wanted {
            continue;
        }
        let values = tensor.to_f64().map_err(|e| TuneError::Weights(constant.name.clone(), e.to_string()))?;
        if values.iter().any(|v| !v.is_finite() || v.abs() > 1e30) {
            continue;
        }
        let zeros = values.iter().enumerate().filter(|(_, v)| **v == 0.0).map(|(at, _)| at);
        let zeros: Vec<usize> = if options.keep_sparsity { zeros.collect() } else { vec![] };
        let values: Vec<f32> = values.iter().map(|&v| v as f32).collect();
        found.push(Variable {
            node,
            tensor: Tensor::from_f32(tensor.shape.clone(), &values),
            memory: options.optimizer.memory(values.len()),
            average: if options.average.is_some() { values.clone() } else { vec![] },
            is_vector: tensor.shape.iter().filter(|&&n| n > 1).count() < 2,
            zeros,
            values,
        });
    }
    match quantized.counts(model) {
        _ if !found.is_empty() => Ok(found),
        (weights, tensors) if tensors > 0 && options.trained.is_empty() => {
            Err(TuneError::WholeNumbers { weights, tensors })
        }
        _ => Err(TuneError::NothingToTrain),
    }
}

/// Which constants are trained, by a pattern of names.
#[derive(Clone, Debug)]
pub enum Trained {
    Only(globset::GlobMatcher),
    Not(globset::GlobMatcher),
}

impl Trained {
    /// Whether a name is among those to train, if there are such, and not among those to leave alone.
    fn allow(patterns: &[Trained], name: &str) -> bool {
        let only = |t: &Trained| if let Trained::Only(p) = t { Some(p.is_match(name)) } else { None };
        let not = |t: &Trained| matches!(t, Trained::Not(p) if p.is_match(name));
        let mut wanted = patterns.iter().filter_map(only).peekable();
        (wanted.peek().is_none() || wanted.any(|w| w)) && !patterns.iter().any(not)
    }
}

/// The constants beside a normalization by statistics that are not learned by gradients.
fn statistics(model: &Model, facts: &Facts, running: Running) -> HashSet<NodeId> {
    let mut fixed = HashSet::new();
    for node in model.graph.calls() {
        let Node::Call(call) = model.graph.node(node) else { continue };
        let unknowns = crate::facts::Unknowns::of_questions();
        let site = Site::new(model, &model.graph, node, call, facts, &unknowns);
        let Some((mean, variance)) = (ops::rule_of(model, call).operands.statistics)(&site) else { continue };
        let all = (0..call.arity).filter(|&slot| running == Running::Freeze || slot == mean || slot == variance);
        fixed.extend(all.filter_map(|slot| model.graph.operand(node, slot.into())).map(|v| v.node));
    }
    fixed
}

impl Variable {
    /// One step along a gradient.
    pub(super) fn update(&mut self, optimizer: Optimizer, step: u64, rate: f32, decay: f32, gradient: &[f32]) {
        let decay = if self.is_vector { 0.0 } else { decay };
        optimizer.update(step, rate, decay, gradient, &mut self.memory, &mut self.values);
    }

    /// Lets the average follow; sets zeros that stay; and makes the tensor of the weights.
    pub(super) fn settle(&mut self, decay: f32) {
        self.zeros.iter().for_each(|&at| self.values[at] = 0.0);
        for (average, value) in self.average.iter_mut().zip(&self.values) {
            *average = decay * *average + (1.0 - decay) * value;
        }
        self.tensor = Tensor::from_f32(self.tensor.shape.clone(), &self.values);
    }

    /// What the model gets: the average where there is one.
    pub(super) fn outcome(&self) -> Tensor {
        match self.average.is_empty() {
            true => self.tensor.clone(),
            false => Tensor::from_f32(self.tensor.shape.clone(), &self.average),
        }
    }
}

/// Puts tensors in the place of constants, in the constants' own types.
pub(super) fn place(model: &mut Model, tensors: &HashMap<NodeId, Tensor>) -> Result<(), TuneError> {
    for (&node, tensor) in tensors {
        let Some(constant) = model.graph.constant_mut(node) else { continue };
        let unfit = || TuneError::Weights(constant.name.clone(), "its type can't hold them".into());
        let elements = tensor.to_f64().map_err(|_| unfit())?;
        let placed = Tensor::from_f64(constant.tensor.dtype, tensor.shape.clone(), &elements).ok_or_else(unfit)?;
        constant.tensor = Tensor { extra: constant.tensor.extra.clone(), ..placed };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_say_what_is_trained() {
        let glob = |text: &str| globset::Glob::new(text).expect("a pattern").compile_matcher();
        let (only, not) = (|t| Trained::Only(glob(t)), |t| Trained::Not(glob(t)));
        assert!(Trained::allow(&[], "a.weight"));
        // Any pattern of names to train will do.
        assert!(Trained::allow(&[only("a*"), only("b*")], "b.weight"));
        assert!(!Trained::allow(&[only("a*"), only("b*")], "c.weight"));
        assert!(!Trained::allow(&[only("a*"), not("*.bias")], "a.bias"));
        assert!(!Trained::allow(&[not("a*")], "a.bias"));
        assert!(Trained::allow(&[not("a*")], "b.bias"));
    }
}
