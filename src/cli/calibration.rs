//! Arguments about calibration: samples on which statistics are measured, and whether there is a repair.

use crate::job::{self, keys};
use crate::stats::Execution;
use clap::Args;

/// Samples to measure on.
#[derive(Args)]
pub struct Calibration {
    /// Unlabeled samples to choose layers and units and to repair by: an `.npz` or `.npy` file, a folder of images or of
    /// encoded tensors, or `random:N`
    #[arg(long, value_name = "SAMPLES", value_hint = clap::ValueHint::AnyPath)]
    calib: Option<String>,
    /// How images among them become tensors; see --preprocess
    #[arg(long, value_name = "SPEC")]
    calib_preprocess: Option<String>,
    /// How many of these samples are used
    #[arg(long, alias = "calib-samples", default_value_t = 256, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    samples: u32,
    /// How much memory activations may take while samples are run; what is more goes into a temporary file
    #[arg(long, value_name = "BYTES", default_value = "2GB", value_parser = keys::memory)]
    memory: u64,
    /// Do not repair: leave the weights that stay as they are
    #[arg(long)]
    no_compensate: bool,
}

impl From<&Calibration> for job::Calibration {
    fn from(args: &Calibration) -> job::Calibration {
        job::Calibration {
            source: args.calib.clone(),
            preprocess: args.calib_preprocess.clone(),
            samples: args.samples as usize,
            repair: !args.no_compensate,
            execution: Execution { memory: args.memory, ..Execution::default() },
        }
    }
}
