//! `secateur apply`: carry out a plan.

use super::calibration::Calibration;
use super::prune::{Finish, Job, Rewriting};
use super::{Failure, flags, source};
use crate::layers;
use crate::plan::Plan;
use crate::prune::{self, Stages};
use crate::score::Formula;
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
    args.finish.verification.check()?;
    let mut stages = Stages::default();
    let plan = plan(&args.plan)?;
    let model = stages.time("load", || source::load(&args.model))?;
    let analysis = stages.time("analyze", || source::prepare(&model))?;
    let (seed, dims) = (args.shared.seed, &args.shared.dims);
    let layers = layers::resolve(&analysis, &plan.layers)?;
    let shortened = prune::shorten(analysis, &layers, &dims.open(&model)?)?;
    let calibration = args.shared.calibration.clone().sized(dims);
    let calibrated = stages.time("calibrate", || calibration.measure(&model, &shortened.analysis))?;
    // A plan of folds folds.
    let implied = plan.criterion.parse::<Formula>().is_ok_and(|f| f.implies()) && !plan.cuts.is_empty();
    let calibrated = calibrated.or_else(|| implied.then(|| args.shared.calibration.imply(&shortened.analysis).0));
    let (input, model) = (args.model.as_path(), &model);
    let options = flags::given(&flags::among::<Decisive>(&flags::of::<Args>()), given);
    let (inexact, driven, trained, thin, machine) = (true, None, None, None, None);
    let job = Job {
        open: dims.open(model)?,
        input,
        model,
        shortened,
        plan,
        seed,
        dims,
        inexact,
        calibrated,
        driven,
        trained,
        thin,
        machine,
        options,
        replan: None,
        unproved: None,
        weighed: false,
    };
    args.finish.run(job, stages)
}
