//! Runs a model on samples and judges what comes out.

use super::{Judge, JudgeError, Judgement, Task, next_tokens};
use crate::feed::{Feed, FeedError, Samples};
use crate::ir::{Model, Tensor};
use crate::oracle::{Outputs, Setup};
use crate::verify::{Role, Series, VerifyError};

/// How to judge.
#[derive(Clone, Debug)]
pub struct Options {
    pub task: Task,
    /// The output to judge; the first one without it.
    pub output: Option<String>,
    /// How many samples are run at a time, where the model leaves that open.
    pub batch: usize,
    /// What runs the model.
    pub setup: Setup,
}

/// Why a model was not judged.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say what each is.
pub enum EvalError {
    #[error(transparent)]
    Feed(#[from] FeedError),
    #[error(transparent)]
    Run(#[from] VerifyError),
    #[error("the output {name:?}: {cause}")]
    Judge { name: String, cause: JudgeError },
    #[error("the input {name:?}: {cause}")]
    Tokens { name: String, cause: JudgeError },
    #[error("the model has no output {name:?}; it has {found:?}")]
    NoOutput { name: String, found: Vec<String> },
    #[error("there are no labels")]
    NoLabels,
    #[error("which input holds the tokens is not clear; give labels")]
    NoTokens,
}

/// Runs the model on all samples and judges one of its outputs by the samples' labels; for perplexity, without labels,
/// by the tokens that follow in its own input. `step` is told of every so many samples done.
pub fn evaluate(
    model: &Model,
    samples: &Samples,
    options: &Options,
    step: &dyn Fn(usize),
) -> Result<Judgement, EvalError> {
    let mut judge = Judge::new(options.task);
    let mut series = Series::new(&options.setup, model, Role::Alone);
    for parts in samples.parts(options.batch).chunks(series.at_once()) {
        let feeds = parts.iter().map(|part| samples.feed(part)).collect::<Result<Vec<Feed>, _>>()?;
        let outputs = series.run(&feeds)?;
        for ((part, feed), outputs) in parts.iter().zip(&feeds).zip(outputs) {
            let labels = match samples.labels_of(part) {
                Some(labels) => labels,
                None if options.task == Task::Perplexity => following(feed)?,
                None => return Err(EvalError::NoLabels),
            };
            add(&mut judge, outputs, options, &labels)?;
            step(part.len() * samples.per_portion());
        }
    }
    Ok(judge.finish())
}

/// Judges the output that is asked for.
fn add(judge: &mut Judge, mut outputs: Outputs, options: &Options, labels: &Tensor) -> Result<(), EvalError> {
    let (name, output) = outputs.swap_remove(chosen(&outputs, options.output.as_deref())?);
    judge.add(&output, labels).map_err(|cause| EvalError::Judge { name, cause })
}

/// The place of the output that is judged.
fn chosen(outputs: &[(String, Tensor)], name: Option<&str>) -> Result<usize, EvalError> {
    let at = name.map_or(Some(0), |name| outputs.iter().position(|(n, _)| n == name)).filter(|&i| i < outputs.len());
    let found = || outputs.iter().map(|(n, _)| n.clone()).collect();
    at.ok_or_else(|| EvalError::NoOutput { name: name.unwrap_or_default().into(), found: found() })
}

/// The tokens that follow in the model's own input: the one called `input_ids`, or the only one of integers with the
/// axes sample and position that is no mask.
pub(crate) fn following(feed: &Feed) -> Result<Tensor, EvalError> {
    let is_mask = |name: &str| name.to_lowercase().contains("mask");
    let integers = feed.iter().filter(|(_, t)| t.shape.len() == 2 && !t.dtype.is_float());
    let (masks, ids): (Vec<_>, Vec<_>) = integers.partition(|(name, _)| is_mask(name));
    let named = ids.iter().find(|(name, _)| name == "input_ids");
    let only = if ids.len() == 1 { ids.first() } else { None };
    let (name, tokens) = named.or(only).ok_or(EvalError::NoTokens)?;
    next_tokens(tokens, masks.first().map(|(_, mask)| mask))
        .map_err(|cause| EvalError::Tokens { name: name.to_string(), cause })
}
