//! Arguments for what is tried before a model is made, shared by `plan` and `prune`.

use super::data::TaskName;
use super::tuning::Tuning;
use crate::job::{HeldOut, Search};
use clap::Args;
use std::path::PathBuf;

/// What is tried.
#[derive(Args)]
pub struct Driving {
    /// Try N more ways to spread the budget over the groups, and take the one whose result is best on samples held out
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    #[arg(conflicts_with = "iterative")]
    search: Option<u32>,
    /// Come down to the budget in N rounds, and measure anew in each
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    iterative: Option<u32>,
    /// Choose and judge N times as well, with another part of the samples left out each time, and tell how much figures and
    /// units differ
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..), requires = "calib")]
    folds: Option<u32>,
    #[command(flatten)]
    tuning: Tuning,
    #[command(flatten)]
    court: Court,
}

/// Samples to judge by what is tried.
#[derive(Args)]
pub struct Court {
    /// Samples to judge by what is tried, as --calib takes them; else every fourth of --calib, which then has no part in
    /// the choice
    #[arg(long, value_name = "SAMPLES", value_hint = clap::ValueHint::AnyPath)]
    judge: Option<String>,
    /// Labels of --judge, or else of --calib
    #[arg(long, value_name = "FILE")]
    judge_labels: Option<PathBuf>,
    /// What the model is for, to judge what is tried [default: classification]
    #[arg(long, value_enum, value_name = "TASK")]
    judge_task: Option<TaskName>,
}

impl From<&Driving> for Search {
    fn from(args: &Driving) -> Search {
        Search {
            trials: args.search.map(|n| n as usize),
            rounds: args.iterative.map(|n| n as usize),
            folds: args.folds.map(|n| n as usize),
            training: (&args.tuning).into(),
            held_out: (&args.court).into(),
        }
    }
}

impl From<&Court> for HeldOut {
    fn from(args: &Court) -> HeldOut {
        HeldOut {
            source: args.judge.clone(),
            labels: args.judge_labels.clone(),
            task: args.judge_task.map(TaskName::task),
        }
    }
}
