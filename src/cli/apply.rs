//! `secateur apply`: carry out a plan.

use super::keyed::{self, CalibrationSet, Keyed, SizesSet};
use super::prune::Finish;
use super::{Failure, progress};
use crate::job::{self, Options, Record, files};
use clap::ArgMatches;
use std::path::PathBuf;

/// Carry out a plan, on the model it was made for or on the same architecture with other weights
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  secateur apply finetuned.onnx --plan plan.json -o small.onnx")]
pub(super) struct Args {
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

/// The parts of a choice that still matter with a plan at hand.
#[derive(clap::Args)]
struct Shared {
    /// Seed of the random inputs for verification
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    #[command(flatten)]
    calibration: Keyed<CalibrationSet>,
    #[command(flatten)]
    sizes: Keyed<SizesSet>,
}

pub(super) fn run(args: &Args, given: &ArgMatches) -> super::Outcome {
    let options = args.options(given)?;
    args.finish.report(&job::apply_file(&args.model, files::plan(&args.plan)?, &options)?)
}

impl Args {
    fn options(&self, given: &ArgMatches) -> Result<Options, Failure> {
        let result = keyed::recorded(|key| key.recorded.is_of_result(), given);
        let record = Record { result, ..Record::default() };
        let mut options = Options { record, monitor: progress::monitor(), ..self.finish.options()? };
        self.shared.calibration.set(&mut options)?;
        self.shared.sizes.set(&mut options)?;
        options.choice.selection.seed = self.shared.seed;
        Ok(options)
    }
}
