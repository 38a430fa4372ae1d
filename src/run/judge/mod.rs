//! How good a model is: its outputs against labels.
//!
//! Figures are gathered batch by batch in double precision; memory does not grow with the number of samples. Where a
//! figure would be a division by zero it is 0.

mod classes;
mod regression;
mod run;
mod tokens;

pub use classes::{Class, Classes, ClassesReport};
pub use regression::{Regression, RegressionReport};
pub(crate) use run::following;
pub use run::{EvalError, Options, evaluate};
pub use tokens::{Tokens, TokensReport, next_tokens};

use crate::ir::{DType, Tensor, TensorError};
use serde::Serialize;
use std::collections::BTreeMap;

/// A label that does not count.
pub const IGNORED: i64 = -100;

/// What a model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Task {
    /// A class for each sample.
    #[default]
    Classification,
    /// Numbers for each sample.
    Regression,
    /// The next token for each token.
    Perplexity,
}

/// Gathers what outputs are worth.
#[derive(Clone, Debug)]
pub enum Judge {
    Classification(Classes),
    Regression(Regression),
    Perplexity(Tokens),
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum Judgement {
    Classification(ClassesReport),
    Regression(RegressionReport),
    Perplexity(TokensReport),
}

/// One figure of a judgement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// Its name in JSON.
    pub name: &'static str,
    pub value: f64,
    /// Whether it is a share, from 0 to 1.
    pub share: bool,
}

/// Why outputs can't be judged by labels.
#[derive(Debug, thiserror::Error, PartialEq)]
#[allow(missing_docs)] // The messages say what each is.
pub enum JudgeError {
    #[error("an output of the shape {0:?} holds no scores of classes, which have the axes sample and class")]
    NotScores(Vec<usize>),
    #[error("an output of the shape {0:?} holds no scores of tokens, which have the axes sample, position and token")]
    NotTokens(Vec<usize>),
    #[error("the labels have the shape {labels:?}, which does not go with an output of the shape {output:?}")]
    Labels { labels: Vec<usize>, output: Vec<usize> },
    #[error("labels are integers here, but these are of type {0}")]
    LabelType(DType),
    #[error("the label {label} is not one of the {classes} classes, 0 to {}", classes - 1)]
    Range { label: i64, classes: usize },
    #[error("an output is not made of numbers: {0}")]
    Output(#[from] TensorError),
}

impl Judge {
    /// One that has seen nothing.
    pub fn new(task: Task) -> Judge {
        match task {
            Task::Classification => Judge::Classification(Classes::default()),
            Task::Regression => Judge::Regression(Regression::default()),
            Task::Perplexity => Judge::Perplexity(Tokens::default()),
        }
    }

    /// Adds the output of one feed and the labels of its samples.
    pub fn add(&mut self, output: &Tensor, labels: &Tensor) -> Result<(), JudgeError> {
        match self {
            Judge::Classification(j) => j.add(output, labels),
            Judge::Regression(j) => j.add(output, labels),
            Judge::Perplexity(j) => j.add(output, labels),
        }
    }

    /// The figures so far.
    pub fn finish(&self) -> Judgement {
        match self {
            Judge::Classification(j) => Judgement::Classification(j.finish()),
            Judge::Regression(j) => Judgement::Regression(j.finish()),
            Judge::Perplexity(j) => Judgement::Perplexity(j.finish()),
        }
    }
}

impl Judgement {
    /// The figures that sum it up; the first one matters most.
    pub fn figures(&self) -> Vec<Figure> {
        match self {
            Judgement::Classification(r) => r.figures(),
            Judgement::Regression(r) => r.figures(),
            Judgement::Perplexity(r) => r.figures(),
        }
    }

    /// By how much each figure is above that of another judgement of the same task.
    pub fn change(&self, since: &Judgement) -> BTreeMap<&'static str, f64> {
        let pairs = self.figures().into_iter().zip(since.figures());
        pairs.map(|(now, then)| (now.name, now.value - then.value)).collect()
    }

    /// How many samples were judged.
    pub fn samples(&self) -> u64 {
        match self {
            Judgement::Classification(r) => r.samples,
            Judgement::Regression(r) => r.samples,
            Judgement::Perplexity(r) => r.samples,
        }
    }
}

fn share(name: &'static str, value: f64) -> Figure {
    Figure { name, value, share: true }
}

fn number(name: &'static str, value: f64) -> Figure {
    Figure { name, value, share: false }
}

/// The integers of labels.
fn integers(labels: &Tensor) -> Result<Vec<i64>, JudgeError> {
    labels.to_i64().ok_or(JudgeError::LabelType(labels.dtype))
}

/// The place of a label among classes, `None` where it does not count.
fn place(label: i64, classes: usize) -> Result<Option<usize>, JudgeError> {
    match usize::try_from(label) {
        Ok(at) if at < classes => Ok(Some(at)),
        _ if label == IGNORED => Ok(None),
        _ => Err(JudgeError::Range { label, classes }),
    }
}

/// Where the first of the largest scores is; `None` where one is not a number.
fn largest(scores: &[f64]) -> Option<usize> {
    let mut best = None;
    for (i, &score) in scores.iter().enumerate() {
        match best {
            _ if score.is_nan() => return None,
            Some(b) if scores[b] >= score => {}
            _ => best = Some(i),
        }
    }
    best
}

/// `a / b`, or 0 where b is 0.
fn ratio(a: f64, b: f64) -> f64 {
    if b == 0.0 { 0.0 } else { a / b }
}
