//! `secateur tune`: train a model on the file.

use super::data::TaskName;
use super::running::Running;
use super::source::{DimArgs, OutputArgs};
use super::training::TrainingArgs;
use super::{Exit, Failure, figures, progress, show};
use crate::job::training::{Options, Report, train};
use crate::judge::Task;
use crate::page;
use crate::tune::{Keeping, Wanted};
use std::path::PathBuf;

/// Train a model for a few epochs, on the original model's outputs (distillation), on labels, or on both
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  secateur tune small.onnx --teacher model.onnx --data samples.npz -o tuned.onnx
  secateur tune small.onnx --teacher model.onnx --data test.npz --labels test.npz -o tuned.onnx
  secateur tune model.onnx --data test.npz --labels test.npz --lr 0.0001 -o tuned.onnx
  secateur tune gpt.onnx --data tokens.npz --task perplexity --hold-out 2 -o tuned.onnx")]
pub(super) struct Args {
    /// The model to train
    model: PathBuf,
    /// The model to distill: the one that this one was pruned from, or any other of the same inputs and outputs
    #[arg(long, value_name = "MODEL")]
    teacher: Option<PathBuf>,
    /// Also match intermediate values of the teacher: auto (what residual branches add, or else results of some
    /// layers), or names of values
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
    training: TrainingArgs,
    #[command(flatten)]
    output: OutputArgs,
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
    dims: DimArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> super::Outcome {
    let options = args.options()?;
    let report = train(&args.model, &options)?;
    args.finish(&report, options.is_labelled())?;
    Ok(Exit::Done)
}

impl Args {
    fn options(&self) -> Result<Options, Failure> {
        Ok(Options {
            teacher: self.teacher.clone(),
            features: self.features.clone(),
            plan: self.plan.clone(),
            data: self.data.clone(),
            labels: self.labels.clone(),
            task: self.task.map_or(Task::default(), TaskName::task),
            preprocess: self.preprocess.clone(),
            samples: self.samples.map(|n| n as usize),
            training: self.training.options(self.seed)?,
            keeping: Keeping {
                state: self.checkpoint.clone(),
                every: self.checkpoint_every.map_or(0, |n| n as usize),
                resume: self.resume,
            },
            sizes: self.dims.given()?,
            setup: self.running.unchecked()?,
            output: self.output.options()?,
            monitor: progress::monitor(),
        })
    }

    /// Writes and prints how the training went.
    fn finish(&self, report: &Report, labelled: bool) -> Result<(), Failure> {
        if let Some(path) = &self.report {
            let text = serde_json::to_string_pretty(report)?;
            show::write_text(path, &text)?;
        }
        if let Some(path) = &self.html {
            show::write_text(path, &html(report, labelled))?;
        }
        if self.json { show::print_json(report) } else { show::print(&summary(report, labelled)) }
    }
}

fn html(report: &Report, labelled: bool) -> String {
    let teacher = report.teacher.as_ref().map_or(String::new(), |t| format!(", distilled from {t}"));
    let about = format!(
        "{} weights in {} tensors, {} steps of {} on {} samples{teacher}.",
        report.weights, report.tensors, report.steps, report.of, report.samples
    );
    let (metric, curve) = (metric(labelled), &report.curve);
    page::TrainingPage { model: &report.model, about: &about, metric, curve }.html()
}

/// What the figure beside the loss is.
fn metric(labelled: bool) -> &'static str {
    if labelled { "held-out accuracy" } else { "agreement" }
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
