//! `secateur tune`: train a model on the file.

use super::apply;
use super::data::{self, TaskName};
use super::progress::{self, Progress};
use super::running::Running;
use super::source::{self, Dims, Output};
use super::training::{self, Training};
use super::{Exit, Failure, figures, show};
use crate::feed::{self, Samples};
use crate::ir::Model;
use crate::job::samples::labels;
use crate::job::training::tell_untrained;
use crate::judge::Task;
use crate::tune::{self, Curve, Keeping, Loss, Options, Teacher, TuneError, Tuned, Wanted};
use crate::{files, page, prune};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Train a model for a few epochs, on the original model's outputs (distillation), on labels, or on both
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  secateur tune small.onnx --teacher model.onnx --data samples.npz -o tuned.onnx
  secateur tune small.onnx --teacher model.onnx --data test.npz --labels test.npz -o tuned.onnx
  secateur tune model.onnx --data test.npz --labels test.npz --lr 0.0001 -o tuned.onnx
  secateur tune gpt.onnx --data tokens.npz --task perplexity --hold-out 2 -o tuned.onnx")]
pub struct Args {
    /// The model to train
    model: PathBuf,
    /// The model to distill: the one that this one was pruned from, or any other of the same inputs and outputs
    #[arg(long, value_name = "MODEL")]
    teacher: Option<PathBuf>,
    /// Also match intermediate values of the teacher: auto (what residual branches add, or else results of some layers),
    /// or names of values
    #[arg(long, value_name = "auto|NAME,…", requires = "teacher")]
    features: Option<Wanted>,
    /// The plan by which this model was pruned from the teacher: it says which of the teacher's channels are left
    #[arg(long, value_name = "FILE", requires = "features")]
    plan: Option<PathBuf>,
    /// Samples: a `.npz` or `.npy` file, a folder of images or of encoded tensors, or `random:N`
    #[arg(long, value_name = "SAMPLES", value_hint = clap::ValueHint::AnyPath)]
    data: String,
    /// Labels of the samples: a `.npy` file, the array `labels` of a `.npz` file, or a `.csv` file
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// What the labels are: classes, numbers (the array `targets`), or none, since the next tokens of the input are the
    /// labels (perplexity) [default: classification]
    #[arg(long, value_enum, value_name = "TASK")]
    task: Option<TaskName>,
    /// How images become inputs, such as `size=224 mean=0.5 std=0.5`
    #[arg(long, value_name = "TEXT")]
    preprocess: Option<String>,
    /// Only the first N samples
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    samples: Option<u32>,
    #[command(flatten)]
    training: Training,
    #[command(flatten)]
    output: Output,
    /// Write checkpoints of the training to this file, for --resume
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Steps from one checkpoint to the next [default: one epoch]
    #[arg(long, value_name = "N", requires = "checkpoint", value_parser = clap::value_parser!(u32).range(1..))]
    checkpoint_every: Option<u32>,
    /// Resume from the checkpoint, if there is one
    #[arg(long, requires = "checkpoint")]
    resume: bool,
    /// Write the course of the training as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write the course of the training as a self-contained HTML page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Seed of the order of samples
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    #[command(flatten)]
    running: Running,
    #[command(flatten)]
    dims: Dims,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How a training went.
#[derive(Serialize)]
struct Report {
    model: String,
    teacher: Option<String>,
    samples: usize,
    weights: usize,
    tensors: usize,
    steps: usize,
    of: usize,
    seconds_per_epoch: f64,
    #[serde(flatten)]
    curve: Curve,
}

pub fn run(args: Args) -> super::Outcome {
    args.training.check()?;
    let model = source::load(&args.model)?;
    args.dims.check(&model)?;
    let task = args.task.map_or(Task::default(), TaskName::task);
    if args.teacher.is_none() && args.labels.is_none() && task != Task::Perplexity {
        let failure = Failure::usage("there is nothing to learn from");
        return Err(failure.hint("give the original model with --teacher, or labels with --labels, or both"));
    }
    let teacher = args.teacher.as_deref().map(|path| args.teacher(path, &model)).transpose()?;
    let samples = args.samples(&model, task)?;
    let options = for_task(args.training.options(args.seed), task);
    let keeping = Keeping {
        state: args.checkpoint.clone(),
        every: args.checkpoint_every.map_or(0, |n| n as usize),
        resume: args.resume,
    };
    tell_untrained(&model, &progress::monitor());
    let progress = Progress::training();
    let tuned = tune::tune(&model, teacher.as_ref(), &samples, &options, &keeping, &|tick| progress.tick(tick))
        .map_err(|e| training::failure(&args.model, e))?;
    drop(progress);
    let mut result = tuned.model.clone();
    prune::sign(&mut result, &[("tuned", format!("{} steps of {} samples", tuned.steps, samples.len()))]);
    args.output.save(&result, &args.model)?;
    args.tell(&tuned, &samples, task)?;
    Ok(Exit::Done)
}

/// The options for labels of this kind.
fn for_task(options: Options, task: Task) -> Options {
    let loss = if task == Task::Regression && options.loss == Loss::Auto { Loss::Mse } else { options.loss };
    Options { loss, next_tokens: task == Task::Perplexity, ..options }
}

impl Args {
    /// The model that is learned from.
    fn teacher(&self, path: &Path, student: &Model) -> Result<Teacher, Failure> {
        let model = source::load(path)?;
        let dir = files::folder(path).to_owned();
        let plan = self.plan.as_deref().map(apply::plan).transpose()?;
        let features = |wanted| tune::features(student, &model, plan.as_ref(), wanted).map_err(hinted);
        let inner = self.features.as_ref().map(features).transpose()?.unwrap_or_default();
        Teacher::new(&model, Some(dir), inner, self.running.setup()?).map_err(Failure::new)
    }

    fn samples(&self, model: &Model, task: Task) -> Result<Samples, Failure> {
        let options = feed::Options {
            preprocess: self.preprocess.clone(),
            labels: self.labels.clone().map(|path| labels(path, task)),
            limit: self.samples.map(|n| n as usize),
            seed: self.seed,
        };
        data::opened(&self.data, model, &self.dims.given(), &options)
    }

    fn page(&self, report: &Report, labelled: bool) -> String {
        let teacher = report.teacher.as_ref().map_or(String::new(), |t| format!(", distilled from {t}"));
        let about = format!(
            "{} weights in {} tensors, {} steps of {} on {} samples{teacher}.",
            report.weights, report.tensors, report.steps, report.of, report.samples
        );
        let (metric, curve) = (metric(labelled), &report.curve);
        page::Training { model: &report.model, about: &about, metric, curve }.html()
    }

    fn tell(&self, tuned: &Tuned, samples: &Samples, task: Task) -> Result<(), Failure> {
        let report = Report {
            model: self.model.display().to_string(),
            teacher: self.teacher.as_ref().map(|t| t.display().to_string()),
            samples: samples.len(),
            weights: tuned.weights,
            tensors: tuned.tensors,
            steps: tuned.steps,
            of: tuned.of,
            seconds_per_epoch: tuned.epoch.as_secs_f64(),
            curve: tuned.curve.clone(),
        };
        if let Some(path) = &self.report {
            let text = serde_json::to_string_pretty(&report)?;
            show::write_text(path, &text)?;
        }
        let labelled = self.labels.is_some() || task == Task::Perplexity;
        if let Some(path) = &self.html {
            show::write_text(path, &self.page(&report, labelled))?;
        }
        if self.json { show::print_json(&report) } else { show::print(&summary(&report, labelled)) }
    }
}

/// What the figure beside the loss is.
fn metric(labelled: bool) -> &'static str {
    if labelled { "held-out accuracy" } else { "agreement" }
}

/// Why inner values can't be compared, with what helps.
fn hinted(error: TuneError) -> Failure {
    let hint = match error {
        TuneError::Feature(..) | TuneError::NoFeatures => {
            "a value needs the same name in both models; where the teacher's channels were cut, --plan says which are left"
        }
        _ => return Failure::new(error),
    };
    Failure::new(error).hint(hint)
}

/// The training in lines: one an epoch.
fn summary(report: &Report, labelled: bool) -> String {
    let judged = metric(labelled);
    let row = |(epoch, held_out): (usize, &f64)| {
        let training = epoch.checked_sub(1).and_then(|e| report.curve.training.get(e));
        let metric = report.curve.metric.get(epoch).map_or(String::new(), |m| figures::percent(*m));
        let shown = |x: Option<&f64>| x.map_or(String::new(), |x| format!("{x:.4}"));
        vec![epoch.to_string(), shown(training), shown(Some(held_out)), metric]
    };
    let rows = report.curve.held_out.iter().enumerate().map(row);
    let table = show::table(&["epoch", "loss", "held-out loss", judged], 0, rows);
    let (weights, tensors) = (report.weights, report.tensors);
    let best = match report.curve.best() {
        0 => "no epoch lowered the held-out loss: the weights are as they were; try a lower --lr".into(),
        epoch => format!("the weights are those after epoch {epoch}"),
    };
    format!("{weights} weights in {tensors} tensors, {} steps of {}\n\n{table}\n  {best}\n", report.steps, report.of)
}
