//! Tuning: a short training on the ONNX file itself, after a cut.
//!
//! A pruned model learns from the one that it was made of (knowledge distillation: Hinton et al. 2015), from labels, or
//! from both. The student is lowered to a program with its loss, the engine differentiates it, an optimizer moves the
//! weights, and they are put back into the model, which keeps its graph. Samples that are held out tell when it is
//! good; the best weights are kept. A training is a function of its inputs, options and seed: one that was stopped and
//! resumed ([`State`]) ends with the same bits as one that was left alone.
//!
//! # How
//!
//! `src/compress/tune/` trains the file. The student is lowered with its loss behind it, each step differentiates that by the
//! constants of floats, an optimizer written here moves them, and in the end they are put into the model in their own
//! types. Beside that, functions are inlined and identities dropped. What is trained are constants, so one that several
//! calls share is one variable.
//!
//! - **The loss.** The teacher is a program of the same engine, or runs in the oracle where it can't be one (inner
//!   operators, say); its outputs are inputs of the student's program, and are kept while they
//!   are few. What an output means (scores of classes, chances, numbers) is told by the teacher's own output. Labels are a
//!   second term. A batch that needs several feeds is the mean of their gradients.
//! - **Statistics.** A BatchNormalization normalizes by its running statistics unless `--statistics update` asks for the
//!   batch's; then the program has the moments as further results, and the running ones follow.
//! - **What is held out.** Every n-th sample (of samples that go into a feed together, every n-th feed) is never learned
//!   from. The loss on these, before the training and after each epoch, decides which weights are the outcome. The weights
//!   before are among the candidates, so on what is held out a training never makes a model worse. It is not a test set:
//!   the choice of the epoch has seen it.
//! - **Cores.** On the CPU a batch falls into four parts, or two, that run side by side with their teacher's part: all of
//!   an epoch then runs on all cores, which the engine alone does not reach. Their number is a matter of the batch alone.
//! - **Determinism.** The order of an epoch is a function of seed and epoch; gradients are summed up in one order; the
//!   engine's results on the CPU do not depend on threads. So the outcome is a function of model, teacher, samples, options and seed.
//! - **Going on.** A state (`state.rs`) is all that lies between two steps: weights, the optimizer's memory, averages,
//!   statistics, the best weights, the curve. The order of samples follows from the number of the step. A fingerprint of
//!   what the training depends on keeps one from going on with another's state.

mod data;
mod features;
mod lesson;
mod loss;
mod optimizer;
mod quantized;
mod regularize;
mod schedule;
mod state;
mod student;
mod teacher;
mod trainer;
mod variables;

pub(crate) use features::{Feature, Wanted, features};
pub(crate) use loss::Loss;
pub(crate) use optimizer::Optimizer;
pub(crate) use quantized::Quantized;
pub(crate) use regularize::{Penalized, Penalty};
pub(crate) use schedule::Schedule;
pub(crate) use state::{State, StateError};
pub(crate) use teacher::Teacher;
pub(crate) use trainer::{Keeping, Tick, Tuned, tune};
pub(crate) use variables::{Running, Trained};

use crate::autograd::{Device, Engine, EngineError};
use crate::feed::FeedError;
use crate::judge::{EvalError, JudgeError};
use crate::lowering::LowerError;
use crate::oracle::OracleError;
use crate::pipelines::RunError;
use crate::plan::PlanError;
use serde::Serialize;

/// What happens to a model before it is lowered.
pub(crate) const PREPARE: &str = "inline-functions,fold-if,fix(drop-identity,dce)";

/// How to train.
#[derive(Clone, Debug)]
pub struct Options {
    /// Passes over all samples.
    pub epochs: usize,
    /// Stop after so many steps, wherever that is; the schedule is made for them.
    pub steps: Option<usize>,
    /// Samples for one step.
    pub batch: usize,
    pub optimizer: Optimizer,
    /// The highest learning rate.
    pub rate: f64,
    /// How much weights are pulled towards zero; vectors (biases, norms) are not.
    pub decay: f64,
    pub schedule: Schedule,
    /// The share of the steps in which the learning rate rises.
    pub warmup: f64,
    /// The largest norm of all gradients together.
    pub clip: Option<f64>,
    /// How much of a moving average of the weights stays at each step; the average is the outcome.
    pub average: Option<f64>,
    /// Stop after so many epochs that did not lower the held-out loss.
    pub patience: Option<usize>,
    /// The part of the samples that is held out: every n-th.
    pub held_out: usize,
    pub running: Running,
    pub loss: Loss,
    /// Temperature that softens the distributions that are compared.
    pub temperature: f64,
    /// The share of labels in the loss, where there are both labels and a teacher.
    pub labels: f64,
    /// Labels are the tokens that follow in the input, where the samples have none.
    pub next_tokens: bool,
    /// The share of inner values in the loss, where the teacher tells some.
    pub features: f64,
    /// Which constants are trained.
    pub trained: Vec<Trained>,
    /// What is drawn towards zero on the way.
    pub penalties: Vec<Penalty>,
    /// Keep weights that are zero at zero.
    pub keep_sparsity: bool,
    /// Recompute cheap steps in the backward pass, for less memory.
    pub recompute: bool,
    /// Where gradients are computed.
    pub device: Device,
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            epochs: 3,
            steps: None,
            batch: 32,
            optimizer: Optimizer::ADAMW,
            rate: Optimizer::ADAMW.usual_rate(),
            decay: 1e-4,
            schedule: Schedule::Cosine,
            warmup: 0.05,
            clip: Some(5.0),
            average: None,
            patience: None,
            held_out: 10,
            running: Running::default(),
            loss: Loss::Auto,
            temperature: 2.0,
            labels: 0.5,
            next_tokens: false,
            features: 0.5,
            trained: vec![],
            penalties: vec![],
            keep_sparsity: false,
            recompute: false,
            device: Device::Cpu,
            seed: 0,
        }
    }
}

impl Options {
    /// What runs the models.
    fn engine(&self) -> Engine {
        Engine { recompute: self.recompute, device: self.device, ..Engine::default() }
    }
}

/// How a training went, for reports.
#[derive(Clone, Debug, Default, PartialEq, Serialize, serde::Deserialize)]
pub struct Curve {
    /// The mean loss of an epoch's steps.
    pub training: Vec<f64>,
    /// The loss on samples that are held out: before the training, and after each epoch.
    pub held_out: Vec<f64>,
    /// What matters of them (accuracy by labels, or how often the teacher's answer is given), where it can be said.
    pub metric: Vec<f64>,
}

impl Curve {
    /// The epoch with the lowest held-out loss, whose weights are the outcome; 0 where none lowered it.
    pub fn best(&self) -> usize {
        let lower = |best: usize, epoch: usize| if self.held_out[epoch] < self.held_out[best] { epoch } else { best };
        (0..self.held_out.len()).reduce(lower).unwrap_or(0)
    }
}

/// Why a model can't be tuned.
#[derive(Debug, thiserror::Error)]
pub enum TuneError {
    #[error("there is nothing to learn from: neither a teacher nor labels")]
    NothingToLearn,
    #[error("the model has no weights that could be trained")]
    NothingToTrain,
    #[error("there is nothing to train: all {weights} weights in {tensors} tensors are whole numbers")]
    WholeNumbers { weights: usize, tensors: usize },
    #[error("{0}: there is nothing that it could draw towards zero")]
    NothingToPenalize(Penalized),
    #[error("{samples} samples are too few: of every {held_out}, one is held out")]
    Few { samples: usize, held_out: usize },
    #[error("the teacher has no output that corresponds to the student's output {0:?}")]
    NoOutput(String),
    #[error("no output of the model is made of floats")]
    NoFloats,
    #[error("the student's output {name:?} has shape {student:?}, but the teacher's has {teacher:?}")]
    Outputs { name: String, student: Vec<usize>, teacher: Vec<usize> },
    #[error("the inner value {0:?} can't be compared: {1}")]
    Feature(String, String),
    #[error("the models have no inner values that can be compared")]
    NoFeatures,
    #[error("the plan: {0}")]
    Plan(String),
    #[error("labels of shape {0:?} do not go with an output of shape {1:?}")]
    Labels(Vec<usize>, Vec<usize>),
    #[error("an output can't be read: {0}")]
    Output(String),
    #[error("the weights of `{0}` can't be trained: {1}")]
    Weights(String, String),
    #[error("the loss is not a number after {0} steps")]
    Diverged(usize),
    #[error("the samples of the input {0:?} have elements that are not finite numbers")]
    Sample(String),
    #[error(transparent)]
    Range(#[from] JudgeError),
    #[error(transparent)]
    Tokens(#[from] EvalError),
    #[error("the program can't be written: {0}")]
    Program(String),
    #[error(transparent)]
    Lower(#[from] LowerError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("the teacher does not run: {0}")]
    Teacher(OracleError),
    #[error(transparent)]
    Oracle(#[from] OracleError),
    #[error(transparent)]
    Feed(#[from] FeedError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Prepare(#[from] Box<RunError>),
    #[error(transparent)]
    Cut(#[from] PlanError),
}
