//! Gradients, measured once: what the criteria that look at derivatives say of each unit.
//!
//! The model becomes a [program](crate::program) for the samples' sizes, with a loss behind it. What a run
//! tells of single weights is summed up to numbers of units at once, so that memory is bounded by the model and one
//! batch, whatever the number of samples. Only what is asked for is computed. Results depend on nothing but the model,
//! the samples and the seed.
//!
//! # How
//!
//! **Gradients** (`src/compress/gradients/`) are measured once, before units are scored, and only what the formula's criteria ask for
//! (`Criterion::gradient`). The prepared model is lowered to a program with a loss behind it and differentiated by its
//! constants, sample by sample where squares are summed (`taylor`, `fisher`), else batch by batch. Numbers of single weights are
//! summed up to numbers of units at once, over all members of each group; means and variances that normalize (the law
//! `statistics`) are no weights. So memory is bounded by the model and one batch. Compared with its own outputs a model has
//! no gradient; without labels the targets are therefore drawn from the model's own distribution, as the true Fisher
//! information asks (`loss.rs`). Products with the Hessian are differences of gradients in double precision. A softmax is
//! known by what it is made of (`Term::before_softmax`), so that `synflow` and `lrp` begin at scores. `lrp` goes back through the program
//! step by step, each a small program of its own that the engine differentiates (`rules.rs`), and looks at units where
//! contractions read them. Scores of these criteria are changes of one loss, and compare between groups as they are.

mod first;
mod flow;
mod loss;
mod relevance;
mod rules;
mod second;
mod slopes;
#[cfg(all(test, feature = "gradients"))]
mod tests;
mod units;

use crate::analysis::Analysis;
use crate::autograd::{Device, EngineError};
use crate::axes::{Group, GroupId};
use crate::feed::FeedError;
use crate::ir::TensorError;
use crate::lowering::LowerError;
use crate::stats::Samples;
use crate::verify::VerifyError;
use loss::Unlabeled;
use slopes::Study;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What can be measured of each unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Want {
    /// `Σ over samples (Σ g w)²`.
    Taylor,
    /// `½ Σ w² E[g²]`.
    Fisher,
    /// `½ wᵀHw`, with the Hessian by the weights of the unit.
    Hessian,
    /// `Σ |g w|`.
    Snip,
    /// `Σ w (H g)`.
    Grasp,
    /// `Σ |w| dR/d|w|`, where `R` is what comes out of ones.
    Synflow,
    /// The relevance that reaches the unit.
    Relevance(RelevanceRule),
}

/// How relevance is shared out among what a sum of products is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RelevanceRule {
    /// By all products, as shares of their sum.
    Epsilon,
    /// By products above zero alone.
    Positive,
}

impl Want {
    /// Whether it is about a loss, which knows more with labels.
    pub fn by_loss(self) -> bool {
        !matches!(self, Want::Synflow)
    }

    /// Whether samples are needed.
    pub fn needs_data(self) -> bool {
        self.by_loss()
    }
}

/// Numbers of units, by what was measured and group.
#[derive(Debug, Default)]
pub struct Gradients {
    known: BTreeMap<(Want, GroupId), Vec<f64>>,
    /// What is to be known about them, in words.
    pub notes: Vec<String>,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum GradientError {
    #[error(transparent)]
    Lower(#[from] LowerError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Feed(#[from] FeedError),
    #[error(transparent)]
    Inputs(#[from] VerifyError),
    #[error("the program of the model: {0}")]
    Program(String),
    #[error("the values of `{name}`: {error}")]
    Tensor { name: String, error: TensorError },
    #[error("the model has no output of floats to differentiate")]
    NoOutput,
    #[error("labels of the shape {labels:?} do not go with an output of the shape {output:?}")]
    Labels { labels: Vec<usize>, output: Vec<usize> },
    #[error("the label {label} is not one of the {classes} classes, 0 to {}", classes - 1)]
    Range { label: i64, classes: usize },
    #[error("there are no samples to differentiate on")]
    Empty,
}

impl Gradients {
    /// What criteria ask for, as far as it can be measured: without samples, what needs none. `None` where that is
    /// nothing. `done` is told of every batch.
    pub fn wanted(
        wants: BTreeSet<Want>,
        analysis: &Analysis,
        samples: Option<&dyn Samples>,
        seed: u64,
        device: Device,
        done: &dyn Fn(),
    ) -> Result<Option<Arc<Gradients>>, GradientError> {
        let wants: BTreeSet<Want> = wants.into_iter().filter(|w| samples.is_some() || !w.needs_data()).collect();
        if wants.is_empty() {
            return Ok(None);
        }
        Gradients::measure(analysis, &wants, samples, seed, device, done).map(|g| Some(Arc::new(g)))
    }

    /// Measures on an analyzed model.
    pub fn measure(
        analysis: &Analysis,
        wants: &BTreeSet<Want>,
        samples: Option<&dyn Samples>,
        seed: u64,
        device: Device,
        done: &dyn Fn(),
    ) -> Result<Gradients, GradientError> {
        if cfg!(not(feature = "gradients")) {
            return Err(EngineError::Absent.into());
        }
        device.check()?;
        let mut gradients = Gradients::default();
        for &want in wants {
            // Draws would only add noise to a curvature.
            let unlabeled = if want == Want::Hessian { Unlabeled::Expected } else { Unlabeled::Drawn };
            let study = samples.map(|samples| Study { analysis, samples, seed, device, unlabeled, done });
            let study = study.ok_or(GradientError::Empty);
            let numbers = match want {
                Want::Taylor => first::taylor(&study?)?,
                Want::Fisher => first::fisher(&study?)?,
                Want::Snip => first::snip(&study?)?,
                Want::Hessian => second::hessian(&study?)?,
                Want::Grasp => second::grasp(&study?)?,
                Want::Relevance(rule) => relevance::reaching(&study?, rule)?,
                Want::Synflow => {
                    let (numbers, exact) = flow::synflow(analysis, device)?;
                    gradients.notes.extend((!exact).then(|| flow::INEXACT.to_owned()));
                    numbers
                }
            };
            gradients.known.extend(numbers.into_iter().map(|(group, numbers)| ((want, group), numbers)));
        }
        Ok(gradients)
    }

    /// A number for each unit of a group; `None` where nothing was measured of it.
    pub fn of(&self, want: Want, group: &Group) -> Option<&[f64]> {
        self.known.get(&(want, group.id)).map(Vec::as_slice)
    }
}

/// A number for each unit, by group.
type Numbers = BTreeMap<GroupId, Vec<f64>>;

/// Adds numbers of units, each changed by `f`.
fn add(total: &mut Numbers, more: Numbers, f: impl Fn(f64) -> f64) {
    for (group, numbers) in more {
        let sum = total.entry(group).or_insert_with(|| vec![0.0; numbers.len()]);
        sum.iter_mut().zip(numbers).for_each(|(s, n)| *s += f(n));
    }
}
