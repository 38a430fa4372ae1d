//! Arguments about training.

use super::Failure;
use super::device::DeviceArgs;
use crate::job::keys::{number, positive};
use crate::tune::{Loss, Optimizer, Options, Penalty, Running, Schedule, Trained};
use clap::{Args, ValueEnum};
use globset::Glob;

/// How to train.
#[derive(Args)]
pub(super) struct TrainingArgs {
    /// Passes over all samples
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
    /// Samples for each step
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// The optimizer
    #[arg(long, value_enum, default_value = "adamw", value_name = "NAME")]
    optimizer: OptimizerName,
    /// The highest learning rate [default: 0.001 for adamw, 0.01 for sgd]
    #[arg(long, value_name = "RATE", value_parser = positive)]
    lr: Option<f64>,
    /// Weight decay; biases and scales are exempt
    #[arg(long, default_value_t = 1e-4, value_name = "X", value_parser = not_negative)]
    weight_decay: f64,
    /// Schedule of the learning rate
    #[arg(long, value_enum, default_value = "cosine", value_name = "NAME")]
    schedule: ScheduleName,
    /// The share of the steps in which the learning rate rises
    #[arg(long, default_value_t = 0.05, value_name = "SHARE", value_parser = share)]
    warmup: f64,
    /// The largest norm of all gradients together; 0 for no limit
    #[arg(long, default_value_t = 5.0, value_name = "NORM", value_parser = not_negative)]
    clip: f64,
    /// Use an exponential moving average of the weights, with this decay (such as 0.99)
    #[arg(long, value_name = "SHARE", value_parser = share)]
    ema: Option<f64>,
    /// Stop after so many epochs that did not lower the held-out loss
    #[arg(long, value_name = "EPOCHS", value_parser = clap::value_parser!(u32).range(1..))]
    patience: Option<u32>,
    /// Hold out every N-th sample, to select the epoch whose weights are written
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    hold_out: u32,
    /// The statistics of BatchNormalization: keep them, update them by batches, or freeze them together with scale and
    /// bias
    #[arg(long, value_enum, default_value = "keep", value_name = "HOW")]
    statistics: StatisticsName,
    /// The loss against the teacher: divergence of class distributions (kl), squared error (mse), or what suits its
    /// outputs
    #[arg(long, value_enum, default_value = "auto", value_name = "NAME")]
    loss: LossName,
    /// Temperature that softens the distributions that are compared
    #[arg(long, default_value_t = 2.0, value_name = "T", value_parser = positive)]
    temperature: f64,
    /// The share of labels in the loss, where there is a teacher too
    #[arg(long, default_value_t = 0.5, value_name = "SHARE", value_parser = share)]
    label_share: f64,
    /// The share of intermediate values in the loss, with --features
    #[arg(long, default_value_t = 0.5, value_name = "SHARE", value_parser = share)]
    feature_share: f64,
    /// Train only constants whose names match
    #[arg(long, value_name = "GLOB")]
    train: Vec<Glob>,
    /// Do not train constants whose names match
    #[arg(long, value_name = "GLOB")]
    freeze: Vec<Glob>,
    /// Penalize weights, so that `prune` can remove more afterwards: group-lasso=STRENGTH (units, over all that
    /// goes with them), l1=STRENGTH (single weights) or bn-l1=STRENGTH (scales of BatchNormalization); may be repeated
    #[arg(long, value_name = "NAME=STRENGTH")]
    regularize: Vec<Penalty>,
    /// Keep weights that are zero at zero
    #[arg(long)]
    keep_sparsity: bool,
    /// Recompute cheap steps in the backward pass, for less memory
    #[arg(long)]
    recompute: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum OptimizerName {
    Adamw,
    Sgd,
}

#[derive(Clone, Copy, ValueEnum)]
enum ScheduleName {
    Constant,
    Cosine,
    OneCycle,
    Step,
    Plateau,
}

#[derive(Clone, Copy, ValueEnum)]
enum StatisticsName {
    Keep,
    Update,
    Freeze,
}

#[derive(Clone, Copy, ValueEnum)]
enum LossName {
    Auto,
    Kl,
    Mse,
}

impl TrainingArgs {
    /// The options that the arguments say.
    pub(super) fn options(&self, seed: u64) -> Result<Options, Failure> {
        let optimizer = match self.optimizer {
            OptimizerName::Adamw => Optimizer::ADAMW,
            OptimizerName::Sgd => Optimizer::SGD,
        };
        let only = self.train.iter().map(|g| Trained::Only(g.compile_matcher()));
        let not = self.freeze.iter().map(|g| Trained::Not(g.compile_matcher()));
        Ok(Options {
            epochs: self.epochs as usize,
            steps: None,
            batch: self.batch as usize,
            optimizer,
            rate: self.lr.unwrap_or(optimizer.usual_rate()),
            decay: self.weight_decay,
            schedule: match self.schedule {
                ScheduleName::Constant => Schedule::Constant,
                ScheduleName::Cosine => Schedule::Cosine,
                ScheduleName::OneCycle => Schedule::OneCycle,
                ScheduleName::Step => Schedule::Step,
                ScheduleName::Plateau => Schedule::Plateau,
            },
            warmup: self.warmup,
            clip: (self.clip > 0.0).then_some(self.clip),
            average: self.ema,
            patience: self.patience.map(|n| n as usize),
            held_out: self.hold_out as usize,
            running: match self.statistics {
                StatisticsName::Keep => Running::Keep,
                StatisticsName::Update => Running::Update,
                StatisticsName::Freeze => Running::Freeze,
            },
            loss: match self.loss {
                LossName::Auto => Loss::Auto,
                LossName::Kl => Loss::Kl,
                LossName::Mse => Loss::Mse,
            },
            temperature: self.temperature,
            labels: self.label_share,
            next_tokens: false,
            features: self.feature_share,
            trained: only.chain(not).collect(),
            penalties: self.regularize.clone(),
            keep_sparsity: self.keep_sparsity,
            recompute: self.recompute,
            device: self.device.unchecked()?,
            seed,
        })
    }
}

fn not_negative(text: &str) -> Result<f64, String> {
    number(text).and_then(|x| if x >= 0.0 { Ok(x) } else { Err("it can't be negative".into()) })
}

fn share(text: &str) -> Result<f64, String> {
    number(text).and_then(|x| if (0.0..=1.0).contains(&x) { Ok(x) } else { Err("it is a share, from 0 to 1".into()) })
}
