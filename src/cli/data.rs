//! Arguments for samples: where they come from, and how they are read.

use super::keyed::{InputsSet, JudgingSet, Keyed};
use super::{Failure, progress};
use crate::feed::{self, Labels, Samples};
use crate::ir::Model;
use crate::job;
use crate::job::samples::{self, labels};
use crate::judge::Task;
use crate::sizes::Given;
use clap::{Args, ValueEnum};

/// Inputs to run; without any, random ones.
#[derive(Args)]
pub(super) struct InputArgs {
    #[command(flatten)]
    given: Keyed<InputsSet>,
}

impl InputArgs {
    /// Where samples come from, and how they are read.
    pub(super) fn source(&self, seed: u64) -> Result<Option<(String, feed::Options)>, Failure> {
        let given = self.given.options()?.verification;
        let how = feed::Options { preprocess: given.preprocess, seed, ..feed::Options::default() };
        Ok(given.inputs.map(|inputs| (inputs, how)))
    }
}

/// Samples for a model whose open dimensions are so long; what is left out of them is told.
pub(super) fn opened(spec: &str, model: &Model, given: &Given, how: &feed::Options) -> Result<Samples, Failure> {
    Ok(samples::opened(spec, model, given, how, &progress::monitor())?)
}

/// What outputs are judged by.
#[derive(Args)]
pub(super) struct JudgingArgs {
    #[command(flatten)]
    given: Keyed<JudgingSet>,
}

impl JudgingArgs {
    fn options(&self) -> Result<job::Judging, Failure> {
        Ok(self.given.options()?.verification.judging)
    }

    pub(super) fn task(&self) -> Result<Task, Failure> {
        Ok(self.options()?.task.unwrap_or_default())
    }

    pub(super) fn labels(&self) -> Result<Option<Labels>, Failure> {
        let task = self.task()?;
        Ok(self.options()?.labels.map(|path| labels(path, task)))
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum TaskName {
    Classification,
    Regression,
    Perplexity,
}

impl TaskName {
    pub(super) fn task(self) -> Task {
        match self {
            TaskName::Classification => Task::Classification,
            TaskName::Regression => Task::Regression,
            TaskName::Perplexity => Task::Perplexity,
        }
    }
}
