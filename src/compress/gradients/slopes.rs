//! Derivatives of the loss by weights, batch by batch.

use super::loss::{Loss, Unlabeled, numbers};
use super::units::Units;
use super::{GradientError, Numbers};
use crate::analysis::Analysis;
use crate::autograd::{Bindings, Device, Engine, Precision};
use crate::feed::Feed;
use crate::ir::Signature;
use crate::ir::{DType, Model, NodeId, Tensor};
use crate::parallel::{cores, side_by_side};
use crate::program::{Id, NumberKind, Program};
use crate::stats::Samples;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

/// A model and the samples that it is studied on.
pub(super) struct Study<'a> {
    pub analysis: &'a Analysis,
    pub samples: &'a dyn Samples,
    pub seed: u64,
    pub device: Device,
    /// What is asked of samples that have no labels.
    pub unlabeled: Unlabeled,
    pub done: &'a dyn Fn(),
}

/// The weights that the loss is differentiated by, and where they belong.
pub(super) struct Weights<'a> {
    model: &'a Model,
    leaves: Vec<Id>,
    pub nodes: Vec<NodeId>,
    /// The elements of each constant.
    pub numbers: Vec<Vec<f64>>,
    pub units: Units,
}

/// A batch with all that its loss is computed from.
pub(super) struct Batch<'a> {
    /// Its number, from 0.
    pub at: usize,
    pub weights: Arc<Weights<'a>>,
    loss: Arc<Loss>,
    given: Vec<(String, Tensor)>,
    device: Device,
}

impl<'a> Study<'a> {
    /// Goes through the samples, so many at a time or as many as the model takes, and collects what is measured of each
    /// batch in their order. Batches are measured side by side. What is drawn is the same each time.
    pub(super) fn each<T: Send>(
        &self,
        batch: usize,
        measure: impl Fn(&Batch<'a>) -> Result<T, GradientError> + Sync,
        mut collect: impl FnMut(T),
    ) -> Result<(), GradientError> {
        let mut batches = self.batches(batch);
        let mut count = 0;
        loop {
            let some = batches.by_ref().take(cores()).collect::<Result<Vec<Batch>, _>>()?;
            if some.is_empty() {
                break;
            }
            count += some.len();
            for measured in side_by_side(&some, &measure) {
                collect(measured?);
                (self.done)();
            }
        }
        if count > 0 { Ok(()) } else { Err(GradientError::Empty) }
    }

    /// The batches, each with a program of its loss for its size.
    fn batches(&self, batch: usize) -> impl Iterator<Item = Result<Batch<'a>, GradientError>> + '_ {
        let model = &self.analysis.model;
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let mut prepared: Option<(Vec<Signature>, Arc<Loss>, Arc<Weights<'a>>)> = None;
        self.samples.labelled(batch).enumerate().map(move |(at, feed)| {
            let (feed, labels) = feed?;
            let (signature, loss, weights) = match prepared.take().filter(|p| p.0 == feed.signature()) {
                Some(known) => known,
                None => {
                    let loss = Loss::new(model, &feed, labels.as_ref())?;
                    let weights = Weights::of(self.analysis, &loss.program)?;
                    (feed.signature(), Arc::new(loss), Arc::new(weights))
                }
            };
            let mut given = loss.targets(self.engine(), model, &feed, labels.as_ref(), self.unlabeled, &mut rng)?;
            given.extend(feed.iter().cloned());
            prepared = Some((signature, loss.clone(), weights.clone()));
            Ok(Batch { at, weights, loss, given, device: self.device })
        })
    }

    /// What runs programs in single precision.
    pub(super) fn engine(&self) -> Engine {
        Engine { device: self.device, ..Engine::default() }
    }

    /// Each feed with its labels, so many samples at a time.
    pub(super) fn feeds(
        &self,
        batch: usize,
    ) -> impl Iterator<Item = Result<(Feed, Option<Tensor>), GradientError>> + '_ {
        self.samples.labelled(batch).map(|feed| Ok(feed?))
    }
}

impl<'a> Weights<'a> {
    /// The constants of floats that a program reads.
    pub(super) fn of(analysis: &'a Analysis, program: &Program) -> Result<Weights<'a>, GradientError> {
        let model = &analysis.model;
        let floats = program.constants().filter(|&(_, id)| program.step(id).kind == NumberKind::Float);
        let (nodes, leaves): (Vec<NodeId>, Vec<Id>) = floats.unzip();
        let elements = nodes.iter().filter_map(|&n| model.graph.constant(n));
        let elements = elements.map(|c| numbers(&c.name, &c.tensor)).collect::<Result<_, _>>()?;
        let units = Units::of(analysis, &nodes);
        Ok(Weights { model, leaves, nodes, numbers: elements, units })
    }

    /// Sums what `f` says of each weight and another number for it, over all that belongs to a unit.
    pub(super) fn sums(&self, others: &[Vec<f64>], f: impl Fn(f64, f64) -> f64) -> Numbers {
        let of = |(w, o): (&Vec<f64>, &Vec<f64>)| w.iter().zip(o).map(|(&w, &o)| f(w, o)).collect();
        self.units.sums(&self.numbers.iter().zip(others).map(of).collect::<Vec<Vec<f64>>>())
    }

    /// The weights, each times the sum of what is given for the units that it belongs to.
    pub(super) fn of_units(&self, of_units: &Numbers) -> Vec<Vec<f64>> {
        let mut factors: Vec<Vec<f64>> = self.numbers.iter().map(|n| vec![0.0; n.len()]).collect();
        of_units.iter().for_each(|(&group, given)| self.units.spread(group, given, &mut factors));
        for (factors, weights) in factors.iter_mut().zip(&self.numbers) {
            factors.iter_mut().zip(weights).for_each(|(f, w)| *f *= w);
        }
        factors
    }

    /// A program's only number, and its derivative by each constant, with other numbers in place of the weights.
    pub(super) fn derivative(
        &self,
        program: &Program,
        given: &[(String, Tensor)],
        weights: Option<&[Vec<f64>]>,
        engine: Engine,
    ) -> Result<(f64, Vec<Vec<f64>>), GradientError> {
        let original = |node: NodeId| self.model.graph.constant(node).map(|c| &c.tensor);
        let with = |(at, numbers): (usize, &Vec<f64>)| {
            let shape = original(self.nodes[at]).map(|t| t.shape.clone()).unwrap_or_default();
            Tensor::from_f64(DType::F64, shape, numbers).expect("64-bit floats are floats")
        };
        let others: Vec<Tensor> = weights.into_iter().flatten().enumerate().map(with).collect();
        let place = |node: NodeId| self.nodes.iter().position(|&n| n == node);
        let constant = |node: NodeId| place(node).and_then(|at| others.get(at)).or_else(|| original(node));
        let input = |name: &str| given.iter().find(|(n, _)| n == name).map(|(_, t)| t);
        let bindings = Bindings { input: &input, constant: &constant };
        let derived = engine.differentiate(program, bindings, &self.leaves)?;
        let value = numbers("the loss", &derived.results[0])?.iter().sum();
        let slopes = derived.gradients.iter().map(|t| numbers("a derivative", t));
        Ok((value, slopes.collect::<Result<_, _>>()?))
    }
}

impl Batch<'_> {
    /// The derivative of the loss, summed over the batch, by each weight.
    pub(super) fn slopes(&self) -> Result<Vec<Vec<f64>>, GradientError> {
        let engine = Engine { device: self.device, ..Engine::default() };
        self.weights.derivative(&self.loss.program, &self.given, None, engine).map(|(_, slopes)| slopes)
    }

    /// The same in double precision, with the weights moved by `step` times a direction.
    pub(super) fn slopes_at(&self, direction: &[Vec<f64>], step: f64) -> Result<Vec<Vec<f64>>, GradientError> {
        let moved = |(w, d): (&Vec<f64>, &Vec<f64>)| w.iter().zip(d).map(|(w, d)| w + step * d).collect();
        let moved: Vec<Vec<f64>> = self.weights.numbers.iter().zip(direction).map(moved).collect();
        let engine = Engine { precision: Precision::Double, device: self.device, ..Engine::default() };
        self.weights.derivative(&self.loss.program, &self.given, Some(&moved), engine).map(|(_, slopes)| slopes)
    }
}
