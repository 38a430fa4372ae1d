//! `secateur apply`: carry out a plan.

use super::calibration::Calibration;
use super::prune::{Finish, Rewriting};
use super::{Failure, flags, progress};
use crate::job::{self, Options, Record, Selection};
use crate::plan::Plan;
use clap::ArgMatches;
use std::path::{Path, PathBuf};

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

/// The plan in a file.
pub fn plan(path: &Path) -> Result<Plan, Failure> {
    let text = std::fs::read(path).map_err(|e| Failure::new(format!("{}: {e}", path.display())))?;
    serde_json::from_slice(&text)
        .map_err(|e| Failure::new(format!("{}: not a plan: {e}", path.display())).hint("`secateur plan` writes plans"))
}

pub fn run(args: &Args, given: &ArgMatches) -> super::Outcome {
    let options = args.options(given)?;
    args.finish.tell(&job::apply_file(&args.model, plan(&args.plan)?, &options)?)
}

impl Args {
    fn options(&self, given: &ArgMatches) -> Result<Options, Failure> {
        let result = flags::given(&flags::among::<Decisive>(&flags::of::<Args>()), given);
        let Shared { seed, calibration, dims } = &self.shared;
        let (calibration, sizes) = (calibration.into(), dims.given());
        let selection = Selection { seed: *seed, calibration, sizes, ..Selection::default() };
        Ok(Options {
            choice: job::Choice { selection, ..job::Choice::default() },
            record: Record { result, ..Record::default() },
            monitor: progress::monitor(),
            ..self.finish.options()?
        })
    }
}
