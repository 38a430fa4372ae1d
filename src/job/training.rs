//! Training as a job: a model is trained on another one's outputs, on labels, or on both, signed and written.
//!
//! ```no_run
//! use secateur::job::training::{self, Options};
//!
//! let options = Options { teacher: Some("model.onnx".into()), ..Options::new("samples.npz", "tuned.onnx") };
//! let report = training::train("small.onnx".as_ref(), &options)?;
//! println!("{} steps", report.steps);
//! # Ok::<(), secateur::job::Error>(())
//! ```

use super::monitor::{Monitor, Steps};
use super::options::Output;
use super::samples::{labels, opened};
use super::selection::{check_device, check_gradients};
use super::verification::checked;
use super::{Error, files};
use crate::feed::{self, Samples};
use crate::files::folder;
use crate::ir::Model;
use crate::judge::Task;
use crate::lowering::LowerError;
use crate::oracle::Setup;
use crate::prune;
use crate::sizes::{self, Given};
use crate::tune::{self, Curve, Keeping, Loss, Quantized, StateError, Teacher, TuneError, Tuned, Wanted};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What a training is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The model to distill: the one that this one was pruned from, or any other of the same inputs and outputs.
    pub teacher: Option<PathBuf>,
    /// Which intermediate values of the teacher are matched too.
    pub features: Option<Wanted>,
    /// The plan by which the model was pruned from the teacher: it says which of the teacher's channels are left.
    pub plan: Option<PathBuf>,
    /// Samples: a file, a folder, or `random:N`; see [`Samples::open`].
    pub data: String,
    pub labels: Option<PathBuf>,
    /// What the labels are.
    pub task: Task,
    /// How images become inputs.
    pub preprocess: Option<String>,
    /// Only so many samples.
    pub samples: Option<usize>,
    /// How to train.
    pub training: tune::Options,
    /// Checkpoints.
    pub keeping: Keeping,
    /// Sizes of dimensions that the model leaves open.
    pub sizes: Given,
    /// What runs the teacher where the engine that trains can't.
    pub setup: Setup,
    /// Where the result goes.
    pub output: Output,
    pub monitor: Monitor,
}

impl Options {
    /// The usual training on these samples, with the result in this file.
    pub fn new(data: impl Into<String>, output: impl Into<PathBuf>) -> Options {
        Options {
            teacher: None,
            features: None,
            plan: None,
            data: data.into(),
            labels: None,
            task: Task::default(),
            preprocess: None,
            samples: None,
            training: tune::Options::default(),
            keeping: Keeping::default(),
            sizes: Given::default(),
            setup: Setup::default(),
            output: Output::to(output),
            monitor: Monitor::default(),
        }
    }

    /// Whether the metric beside the loss is about labels, and not about the teacher.
    pub fn is_labelled(&self) -> bool {
        self.labels.is_some() || self.task == Task::Perplexity
    }

    /// How to train for labels of this kind.
    fn for_task(&self) -> tune::Options {
        let training = self.training.clone();
        let loss = if self.task == Task::Regression && training.loss == Loss::Auto { Loss::Mse } else { training.loss };
        tune::Options { loss, next_tokens: self.task == Task::Perplexity, ..training }
    }

    /// The model that is learned from.
    fn teacher(&self, path: &Path, student: &Model) -> Result<Teacher, Error> {
        let model = files::load(path)?;
        let plan = self.plan.as_deref().map(files::plan).transpose()?;
        let features = |wanted| tune::features(student, &model, plan.as_ref(), wanted).map_err(no_features);
        let inner = self.features.as_ref().map(features).transpose()?.unwrap_or_default();
        let setup = checked(&self.setup)?;
        Teacher::new(&model, Some(folder(path).to_owned()), inner, setup).map_err(Error::new)
    }

    fn read(&self, model: &Model) -> Result<Samples, Error> {
        let options = feed::Options {
            preprocess: self.preprocess.clone(),
            labels: self.labels.clone().map(|path| labels(path, self.task)),
            limit: self.samples,
            seed: self.training.seed,
        };
        opened(&self.data, model, &self.sizes, &options, &self.monitor)
    }
}

/// How a training went.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub model: String,
    pub teacher: Option<String>,
    /// How many samples there were.
    pub samples: usize,
    /// How many weights were trained, and in how many tensors.
    pub weights: usize,
    pub tensors: usize,
    /// Steps that were made, of so many that were planned.
    pub steps: usize,
    pub of: usize,
    pub seconds_per_epoch: f64,
    #[serde(flatten)]
    pub curve: Curve,
}

/// Trains the model in a file, and writes the result.
pub fn train(path: &Path, options: &Options) -> Result<Report, Error> {
    check_gradients("tune")?;
    check_device(options.training.device)?;
    let model = files::load(path)?;
    sizes::check(&model, &options.sizes).map_err(Error::options)?;
    if options.teacher.is_none() && !options.is_labelled() {
        return Err(Error::options("there is nothing to learn from").with_hint(LEARN_FROM));
    }
    let teacher = options.teacher.as_deref().map(|path| options.teacher(path, &model)).transpose()?;
    let samples = options.read(&model)?;
    note_untrained(&model, &options.monitor);
    let work = options.monitor.begin("training", Steps::Training)?;
    let (training, keeping) = (options.for_task(), &options.keeping);
    let tuned = tune::tune(&model, teacher.as_ref(), &samples, &training, keeping, &|tick| work.trained(tick))
        .map_err(|error| hinted(&error, format!("{}: {error}", path.display())))?;
    drop(work);
    let mut result = tuned.model.clone();
    prune::sign(&mut result, &[("tuned", format!("{} steps of {} samples", tuned.steps, samples.len()))]);
    options.output.save(&result, Some(path), &options.monitor)?;
    Ok(report(path, options, &samples, tuned))
}

fn report(path: &Path, options: &Options, samples: &Samples, tuned: Tuned) -> Report {
    Report {
        model: path.display().to_string(),
        teacher: options.teacher.as_ref().map(|t| t.display().to_string()),
        samples: samples.len(),
        weights: tuned.weights,
        tensors: tuned.tensors,
        steps: tuned.steps,
        of: tuned.of,
        seconds_per_epoch: tuned.epoch.as_secs_f64(),
        curve: tuned.curve,
    }
}

/// What can be done where there is nothing to learn from.
const LEARN_FROM: &str = "give the original model with --teacher, or labels with --labels, or both";

/// Why inner values can't be compared, with what helps.
fn no_features(error: TuneError) -> Error {
    let is_about_names = matches!(error, TuneError::Feature(..) | TuneError::NoFeatures);
    let error = Error::new(error);
    let hint = "a value needs the same name in both models; where the teacher's channels were cut, --plan says which are \
                left";
    if is_about_names { error.with_hint(hint) } else { error }
}

/// Notes how much of a model is not trained because it is quantized.
pub(super) fn note_untrained(model: &Model, monitor: &Monitor) {
    let (weights, tensors) = Quantized::of(model).counts(model);
    if tensors > 0 {
        monitor.note(&format!(
            "note: {weights} weights in {tensors} tensors are whole numbers (quantized), and are not trained"
        ));
    }
}

/// The failure of this text, with what can be done about the error.
pub(super) fn hinted(error: &TuneError, text: String) -> Error {
    let hint = match error {
        TuneError::NothingToLearn => LEARN_FROM,
        TuneError::NothingToTrain => "see `secateur inspect`; patterns of --train and --freeze are for whole names",
        TuneError::WholeNumbers { .. } => "train the model of floats, and quantize what comes out",
        TuneError::Few { .. } => "give more samples, or hold out more of them: `--hold-out 2` is every second one",
        TuneError::NoOutput(_) | TuneError::Outputs { .. } => "a teacher has the student's outputs, in the same order",
        TuneError::NoFloats => "export the model with its scores as an output: only floats have gradients",
        TuneError::Teacher(_) => "a teacher has the student's inputs, by the same names",
        TuneError::Labels(..) => {
            "labels are classes, one for each position; for numbers give `--task regression` or `--loss mse`"
        }
        TuneError::Range(_) => "classes are numbered from 0; a label below 0 does not count",
        TuneError::Diverged(0) => "the model itself, the teacher or the labels have numbers that are not finite",
        TuneError::Diverged(_) => "try a lower learning rate (--lr), or a smaller --clip",
        TuneError::Sample(_) => "leave these samples out, or repair them",
        TuneError::State(StateError::Other(_)) => {
            "resume with the same model, samples and options, or leave out --resume to start over"
        }
        TuneError::State(StateError::Format { .. }) => "leave out --resume to start over; that overwrites the file",
        TuneError::Lower(LowerError::Call { .. }) => {
            "export the model without it, or let `prune --calib` repair what it cuts, which needs no derivatives"
        }
        _ => "",
    };
    let error = Error::new(text);
    if hint.is_empty() { error } else { error.with_hint(hint) }
}
