//! What is differentiated: the negative logarithm of the likelihood of what samples should come out as.
//!
//! Scores of classes stand for a distribution over classes, other outputs for the means of normal distributions of
//! variance 1, so the loss is the cross entropy or half the squared distance. Labels say what should come out. Without
//! labels it is *drawn from what the model itself says*: compared with its own outputs a model has a gradient of zero,
//! but the gradients of draws have the Fisher information as their second moment, which is the curvature of the
//! divergence (KL) between the model and itself, changed a little. Kunstner et al. (Limitations of the Empirical Fisher
//! Approximation, 2019, arXiv 1905.12558) tell this Fisher from the one that labels give.

use super::GradientError;
use crate::autograd::{Bindings, Engine};
use crate::feed::{Feed, normal};
use crate::ir::{Model, Tensor};
use crate::judge::IGNORED;
use crate::lowering::lower;
use crate::program::{Builder, NumberKind, Program, Statistics, Term};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// The program of a loss, for inputs of fixed sizes.
pub(super) struct Loss {
    /// What the model computes: scores, or the outputs that are numbers.
    forward: Program,
    /// The loss, as its only result.
    pub program: Program,
    reads: Reads,
    shapes: Vec<Vec<usize>>,
}

/// What samples without labels should come out as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unlabeled {
    /// Drawn from what the model says.
    Drawn,
    /// What the model says, all of it: the gradient is zero, and the curvature that of the divergence from the model
    /// itself, of which draws are an estimate.
    Expected,
}

/// What outputs stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reads {
    /// The first output has the scores of so many classes in each of its rows.
    Scores(usize),
    /// All outputs are numbers.
    Numbers,
}

/// The outputs of a model that are differentiated, and what they stand for.
pub(super) fn outputs<'b>(
    outputs: &[(String, Term<'b>)],
    labels: Option<&Tensor>,
) -> Result<(Reads, Vec<Term<'b>>), GradientError> {
    let floats = || outputs.iter().map(|o| o.1).filter(|t| t.kind() == NumberKind::Float);
    let first = floats().next().ok_or(GradientError::NoOutput)?;
    let classes = classes(&first.shape());
    Ok(match (labels.map(|l| l.dtype.is_float()), classes) {
        (None | Some(false), Some((_, classes))) => (Reads::Scores(classes), vec![first.before_softmax()]),
        (Some(true), _) => (Reads::Numbers, vec![first]),
        (None, None) => (Reads::Numbers, floats().collect()),
        (Some(false), None) => {
            let labels = labels.map(|l| l.shape.clone()).unwrap_or_default();
            return Err(GradientError::Labels { labels, output: first.shape() });
        }
    })
}

/// The axis of classes and their number, where an output has scores: a row of them for each sample, or for each
/// position in it, with nothing behind.
fn classes(shape: &[usize]) -> Option<(usize, usize)> {
    match *shape {
        [_, classes, ref rest @ ..] if classes > 1 && rest.iter().all(|&n| n == 1) => Some((1, classes)),
        [_, _, tokens] if tokens > 1 => Some((2, tokens)),
        _ => None,
    }
}

/// What the targets are called among the inputs.
fn name(output: usize) -> String {
    format!("target {output} of the loss")
}

impl Loss {
    /// For feeds like this one, with labels or without.
    pub(super) fn new(model: &Model, feed: &Feed, labels: Option<&Tensor>) -> Result<Loss, GradientError> {
        let builder = Builder::new();
        let lowered = lower(&builder, model, &feed.signature(), Statistics::Running)?;
        let (reads, terms) = outputs(&lowered.outputs, labels)?;
        let forward = builder.finish(&terms).map_err(GradientError::Program)?;
        let parts = terms.iter().enumerate().map(|(at, term)| {
            let target = builder.input(&name(at), NumberKind::Float, &term.shape());
            match reads {
                Reads::Scores(_) => {
                    let axis = classes(&term.shape()).map_or(1, |c| c.0);
                    -(term.log_softmax(&[axis]) * target).total()
                }
                Reads::Numbers => (*term - target).square().total() * 0.5,
            }
        });
        let loss = parts.reduce(|a, b| a + b).ok_or(GradientError::NoOutput)?;
        let program = builder.finish(&[loss]).map_err(GradientError::Program)?;
        Ok(Loss { forward, program, reads, shapes: terms.iter().map(|t| t.shape()).collect() })
    }

    /// What a feed should come out as, by its labels, or by what the model says.
    pub(super) fn targets(
        &self,
        engine: Engine,
        model: &Model,
        feed: &Feed,
        labels: Option<&Tensor>,
        unlabeled: Unlabeled,
        rng: &mut ChaCha8Rng,
    ) -> Result<Vec<(String, Tensor)>, GradientError> {
        let targets = match labels {
            Some(labels) => vec![self.labelled(labels)?],
            None => {
                let constant = |node| model.graph.constant(node).map(|c| &c.tensor);
                let bindings = Bindings { input: &|name| feed.get(name), constant: &constant };
                let found = engine.run(&self.forward, bindings)?;
                found.iter().map(|t| self.said(t, unlabeled, rng)).collect::<Result<_, _>>()?
            }
        };
        let tensors = targets.into_iter().zip(&self.shapes).map(|(t, shape)| tensor(shape, &t));
        Ok(tensors.enumerate().map(|(at, t)| (name(at), t)).collect())
    }

    fn labelled(&self, labels: &Tensor) -> Result<Vec<f64>, GradientError> {
        let shape = &self.shapes[0];
        let count = shape.iter().product();
        let mismatch = || GradientError::Labels { labels: labels.shape.clone(), output: shape.clone() };
        let classes = match self.reads {
            Reads::Numbers => return labels.to_f64().ok().filter(|t| t.len() == count).ok_or_else(mismatch),
            Reads::Scores(classes) => classes,
        };
        let labels = labels.to_i64().filter(|l| l.len() * classes == count).ok_or_else(mismatch)?;
        let mut target = vec![0.0; count];
        for (row, label) in labels.into_iter().enumerate().filter(|(_, l)| *l != IGNORED) {
            let class = usize::try_from(label).ok().filter(|&c| c < classes);
            target[row * classes + class.ok_or(GradientError::Range { label, classes })?] = 1.0;
        }
        Ok(target)
    }

    fn said(&self, found: &Tensor, unlabeled: Unlabeled, rng: &mut ChaCha8Rng) -> Result<Vec<f64>, GradientError> {
        let mut numbers = numbers("an output", found)?;
        if let Reads::Scores(classes) = self.reads {
            numbers.chunks_exact_mut(classes).for_each(distribution);
        }
        match (unlabeled, self.reads) {
            (Unlabeled::Expected, _) => {}
            (Unlabeled::Drawn, Reads::Numbers) => numbers.iter_mut().for_each(|n| *n += normal(rng)),
            (Unlabeled::Drawn, Reads::Scores(classes)) => {
                numbers.chunks_exact_mut(classes).for_each(|row| draw(row, rng));
            }
        }
        Ok(numbers)
    }
}

/// Scores as the chances of classes.
fn distribution(scores: &mut [f64]) {
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    scores.iter_mut().for_each(|s| *s = (*s - largest).exp());
    let sum: f64 = scores.iter().sum();
    scores.iter_mut().for_each(|s| *s /= sum);
}

/// Puts 1 at a class drawn by these chances, and 0 elsewhere.
fn draw(scores: &mut [f64], rng: &mut ChaCha8Rng) {
    let mut left = rng.random_range(0.0..1.0);
    let place = scores.iter().position(|share| {
        left -= share;
        left < 0.0
    });
    let place = place.unwrap_or(scores.len() - 1);
    scores.iter_mut().enumerate().for_each(|(at, s)| *s = f64::from(u8::from(at == place)));
}

fn tensor(shape: &[usize], numbers: &[f64]) -> Tensor {
    Tensor::from_f64(crate::ir::DType::F64, shape.to_vec(), numbers).expect("64-bit floats are floats")
}

/// The elements of a tensor.
pub(super) fn numbers(name: &str, tensor: &Tensor) -> Result<Vec<f64>, GradientError> {
    tensor.to_f64().map_err(|error| GradientError::Tensor { name: name.to_owned(), error })
}
