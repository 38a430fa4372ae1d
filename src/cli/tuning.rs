//! Arguments about training between rounds.

use super::budget;
use crate::job::Training;
use crate::job::keys::positive;
use clap::Args;

/// What is learned after each round.
#[derive(Args)]
pub struct Tuning {
    /// After each round of --iterative train for K steps, on what the original says of --calib and on its labels where
    /// there are some; rounds then cut less and less (a cubic schedule)
    #[arg(id = "tune-steps", long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    #[arg(requires_all = ["iterative", "calib"])]
    #[arg(conflicts_with_all = ["search", "folds"], conflicts_with_all = budget::constraints())]
    tune_steps: Option<u32>,
    /// The highest learning rate of --tune-steps [default: 0.001]
    #[arg(long, value_name = "RATE", value_parser = positive, requires = "tune-steps")]
    tune_lr: Option<f64>,
    /// Samples for one of --tune-steps [default: 32]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), requires = "tune-steps")]
    tune_batch: Option<u32>,
}

impl From<&Tuning> for Training {
    fn from(args: &Tuning) -> Training {
        Training {
            steps: args.tune_steps.map(|n| n as usize),
            rate: args.tune_lr,
            batch: args.tune_batch.map(|n| n as usize),
        }
    }
}
