//! Arguments about training between rounds.

use super::Failure;
use super::training::{self, positive};
use crate::autograd::Device;
use crate::tune::Options;
use clap::Args;

/// What is learned after each round.
#[derive(Args)]
pub struct Tuning {
    /// After each round of --iterative train for K steps, on what the original says of --calib and on its labels where
    /// there are some; rounds then cut less and less (a cubic schedule)
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    #[arg(requires_all = ["iterative", "calib"])]
    #[arg(conflicts_with_all = ["search", "folds", "lossless", "max_drift", "max_drop"])]
    tune_steps: Option<u32>,
    /// The highest learning rate of --tune-steps [default: 0.001]
    #[arg(long, value_name = "RATE", value_parser = positive, requires = "tune_steps")]
    tune_lr: Option<f64>,
    /// Samples for one of --tune-steps [default: 32]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), requires = "tune_steps")]
    tune_batch: Option<u32>,
}

impl Tuning {
    /// Whether there is training.
    pub fn is_given(&self) -> bool {
        self.tune_steps.is_some()
    }

    /// Fails where the build can't train.
    pub fn check(&self) -> Result<(), Failure> {
        if self.is_given() { training::check("--tune-steps") } else { Ok(()) }
    }

    /// How each round trains, and where.
    pub fn options(&self, seed: u64, device: Device) -> Options {
        let usual = Options::default();
        Options {
            steps: self.tune_steps.map(|n| n as usize),
            rate: self.tune_lr.unwrap_or(usual.rate),
            batch: self.tune_batch.map_or(usual.batch, |n| n as usize),
            device,
            seed,
            ..usual
        }
    }
}
