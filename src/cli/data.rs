//! Arguments for samples: where they come from, and how they are read.

use super::{Failure, progress};
use crate::feed::{self, Labels, Samples};
use crate::ir::Model;
use crate::job;
use crate::job::samples::{self, labels};
use crate::judge::Task;
use crate::sizes::Given;
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
    /// Where samples come from, and how they are read.
    pub fn source(&self, seed: u64) -> Option<(String, feed::Options)> {
        let (inputs, preprocess) = self.given();
        Some((inputs?, feed::Options { preprocess, seed, ..feed::Options::default() }))
    }

    /// Where samples come from, and how images among them become inputs.
    pub fn given(&self) -> (Option<String>, Option<String>) {
        (self.inputs.clone(), self.preprocess.clone())
    }
}

/// Samples for a model whose open dimensions are so long; what is left out of them is told.
pub fn opened(spec: &str, model: &Model, given: &Given, how: &feed::Options) -> Result<Samples, Failure> {
    Ok(samples::opened(spec, model, given, how, &progress::monitor())?)
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

impl Judging {
    pub fn task(&self) -> Task {
        self.task.map_or(Task::default(), TaskName::task)
    }

    pub fn labels(&self) -> Option<Labels> {
        self.labels.clone().map(|path| labels(path, self.task()))
    }
}

impl From<&Judging> for job::Judging {
    fn from(args: &Judging) -> job::Judging {
        job::Judging { labels: args.labels.clone(), task: args.task.map(TaskName::task) }
    }
}
