//! Arguments for what is tried before a model is made, shared by `plan` and `prune`.

use super::data::TaskName;
use super::tuning::Tuning;
use crate::job::{HeldOut, Search};
use clap::Args;
use std::path::PathBuf;

/// What is tried.
#[derive(Args)]
pub struct SearchArgs {
    /// Try N more ways to spread the budget over the groups, and take the one whose result is best on held-out samples
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    #[arg(conflicts_with = "iterative")]
    search: Option<u32>,
    /// Reach the budget in N rounds, measuring again in each
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    iterative: Option<u32>,
    /// Cross-validate: choose and evaluate N more times, each time without another part of the samples, and report how
    /// much figures and units differ
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..), requires = "calib")]
    folds: Option<u32>,
    #[command(flatten)]
    tuning: Tuning,
    #[command(flatten)]
    held_out: HeldOutArgs,
}

/// Samples to judge by what is tried.
#[derive(Args)]
pub struct HeldOutArgs {
    /// Held-out samples to evaluate trials on, in any form that --calib takes; else every fourth sample of --calib is
    /// held out
    #[arg(long, value_name = "SAMPLES", value_hint = clap::ValueHint::AnyPath)]
    judge: Option<String>,
    /// Labels of --judge, or else of --calib
    #[arg(long, value_name = "FILE")]
    judge_labels: Option<PathBuf>,
    /// The model's task, to evaluate trials by [default: classification]
    #[arg(long, value_enum, value_name = "TASK")]
    judge_task: Option<TaskName>,
}

impl From<&SearchArgs> for Search {
    fn from(args: &SearchArgs) -> Search {
        Search {
            trials: args.search.map(|n| n as usize),
            rounds: args.iterative.map(|n| n as usize),
            folds: args.folds.map(|n| n as usize),
            training: (&args.tuning).into(),
            held_out: (&args.held_out).into(),
        }
    }
}

impl From<&HeldOutArgs> for HeldOut {
    fn from(args: &HeldOutArgs) -> HeldOut {
        HeldOut {
            source: args.judge.clone(),
            labels: args.judge_labels.clone(),
            task: args.judge_task.map(TaskName::task),
        }
    }
}
