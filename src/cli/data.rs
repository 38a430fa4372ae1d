//! Arguments for samples: where they come from, and how they are read.

use super::progress::Progress;
use super::{Failure, show};
use crate::feed::{self, Labels, Samples};
use crate::ir::Model;
use crate::judge::{self, Task};
use crate::oracle::Setup;
use crate::report::Metrics;
use crate::sizes::Given;
use crate::verify;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Inputs to run; without any, random ones.
#[derive(Args)]
pub struct Inputs {
    /// Inputs to run: a `.npz` file with an array per model input, a `.npy` file, a folder of PNG and JPEG images or
    /// of encoded tensors (`.pb`), or `random:N`; else seeded random numbers
    #[arg(long, value_name = "SOURCE", value_hint = clap::ValueHint::AnyPath)]
    inputs: Option<String>,
    /// How images become inputs, such as `size=224 resize=256 mean=0.485,0.456,0.406 std=0.229,0.224,0.225
    /// layout=nchw scale=255 channels=rgb`; what is left out follows from the input's shape
    #[arg(long, value_name = "TEXT", requires = "inputs")]
    preprocess: Option<String>,
}

impl Inputs {
    /// Whether there are some.
    pub fn are_given(&self) -> bool {
        self.inputs.is_some()
    }

    /// Where samples come from, and how they are read.
    pub fn source(&self, seed: u64) -> Option<(String, feed::Options)> {
        let preprocess = self.preprocess.clone();
        Some((self.inputs.clone()?, feed::Options { preprocess, seed, ..feed::Options::default() }))
    }
}

/// Samples for a model whose open dimensions are so long; what is left out of them is told.
pub fn opened(spec: &str, model: &Model, given: &Given, how: &feed::Options) -> Result<Samples, Failure> {
    let specs = verify::sized_specs(model, given)?;
    let samples = Samples::open(spec, &specs, how).map_err(Failure::new)?;
    if !samples.left_out().is_empty() {
        let names: Vec<String> = samples.left_out().iter().map(|name| format!("`{name}`")).collect();
        show::say(&format!("{spec} has nothing for {}: zeros are fed", names.join(", ")));
    }
    Ok(samples)
}

/// What outputs are judged by.
#[derive(Args)]
pub struct Judging {
    /// Labels of the inputs: a `.npy` file, the array `labels` of a `.npz` file (`targets` for regression), or a `.csv`
    /// file of an integer a line, or of `file,label` for images. Without it, sub-folders of images are the classes, and
    /// the next tokens of the input count for perplexity
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// The model's task [default: classification]
    #[arg(long, value_enum, value_name = "TASK")]
    task: Option<TaskName>,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum TaskName {
    Classification,
    Regression,
    Perplexity,
}

impl TaskName {
    pub fn task(self) -> Task {
        match self {
            TaskName::Classification => Task::Classification,
            TaskName::Regression => Task::Regression,
            TaskName::Perplexity => Task::Perplexity,
        }
    }
}

/// How many samples are run at a time to judge a model, where it leaves that open.
pub const BATCH: u32 = 32;

/// Labels in a file, by the name that they have for a task.
pub fn labels(path: PathBuf, task: Task) -> Labels {
    Labels { path, array: if task == Task::Regression { "targets" } else { "labels" }.into() }
}

impl Judging {
    /// Whether there is anything to judge.
    pub fn asked(&self) -> bool {
        self.labels.is_some() || self.task.is_some()
    }

    pub fn task(&self) -> Task {
        self.task.map_or(Task::default(), TaskName::task)
    }

    pub fn labels(&self) -> Option<Labels> {
        self.labels.clone().map(|path| labels(path, self.task()))
    }

    /// The file of labels and the task, as they were given.
    pub fn given(&self) -> (Option<PathBuf>, Option<TaskName>) {
        (self.labels.clone(), self.task)
    }

    /// How good two models of the same inputs are, if that is asked for.
    pub fn compare(
        &self,
        source: Option<(String, feed::Options)>,
        given: &Given,
        (before, after): (&Model, &Model),
        setup: Setup,
    ) -> Result<Option<Metrics>, Failure> {
        let Some((spec, how)) = source.filter(|_| self.asked()) else {
            return Ok(None);
        };
        let how = feed::Options { labels: self.labels(), ..how };
        let samples = opened(&spec, before, given, &how)?;
        let options = judge::Options { task: self.task(), output: None, batch: BATCH as usize, setup };
        let progress = Progress::new("judging", 2 * samples.len());
        let judged = |model| judge::evaluate(model, &samples, &options, &|n| progress.step(n));
        Ok(Some(Metrics::new(judged(before)?, judged(after)?)))
    }
}
