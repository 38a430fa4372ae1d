//! `secateur apply`: carry out a plan.

use super::calibration::Calibration;
use super::prune::{Finish, Rewriting};
use super::{flags, progress};
use crate::job::{self, Options, Record, Selection, files};
use clap::ArgMatches;
use std::path::PathBuf;

/// Carry out a plan, on the model it was made for or on the same architecture with other weights
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  secateur apply finetuned.onnx --plan plan.json -o small.onnx")]
pub struct Args {
    /// The model
    model: PathBuf,
    /// The plan
    #[arg(long, value_name = "FILE")]
    plan: PathBuf,
    #[command(flatten)]
    shared: Shared,
    #[command(flatten)]
    finish: Finish,
}

/// The arguments that the result depends on, beside model and plan.
#[derive(clap::Args)]
struct Decisive {
    #[command(flatten)]
    _calibration: Calibration,
    #[command(flatten)]
    _rewriting: Rewriting,
}

/// The parts of a choice that still matter with a plan at hand.
#[derive(clap::Args)]
struct Shared {
    /// Seed of the random inputs for verification
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    #[command(flatten)]
    calibration: Calibration,
    #[command(flatten)]
    dims: super::source::Dims,
}

pub fn run(args: &Args, given: &ArgMatches) -> super::Outcome {
    let options = args.options(given);
    args.finish.tell(&job::apply_file(&args.model, files::plan(&args.plan)?, &options)?)
}

impl Args {
    fn options(&self, given: &ArgMatches) -> Options {
        let result = flags::given(&flags::among::<Decisive>(&flags::of::<Args>()), given);
        let Shared { seed, calibration, dims } = &self.shared;
        let (calibration, sizes) = (calibration.into(), dims.given());
        let selection = Selection { seed: *seed, calibration, sizes, ..Selection::default() };
        Options {
            choice: job::Choice { selection, ..job::Choice::default() },
            record: Record { result, ..Record::default() },
            monitor: progress::monitor(),
            ..self.finish.options()
        }
    }
}
