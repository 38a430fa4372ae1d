//! `secateur bench`: how long does a model take, alone or against another one?

use super::data::InputArgs;
use super::progress::Progress;
use super::running::{Running, Seconds};
use super::source::{self, DimArgs};
use super::{Exit, Failure, show};
use crate::latency::{self, Effort};
use crate::verify::{self, Role};
use std::path::PathBuf;

/// Time a model, or two in turns
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  secateur bench model.onnx small.onnx --repeats 50")]
pub(super) struct Args {
    /// The model
    a: PathBuf,
    /// A second one; both run in turns, so that a busy machine slows both down
    b: Option<PathBuf>,
    /// Timed runs of each model
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
    /// Runs before the first one that counts
    #[arg(long, alias = "warm-up", default_value_t = 3, value_name = "N")]
    warmup: usize,
    /// Most seconds that timing may take; slow models get fewer runs
    #[arg(long, default_value = "10", value_name = "SECONDS")]
    time_budget: Seconds,
    #[command(flatten)]
    running: Running,
    #[command(flatten)]
    inputs: InputArgs,
    #[command(flatten)]
    dims: DimArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> super::Outcome {
    let a = source::load(&args.a)?;
    let b = args.b.as_ref().map(|b| source::load(b)).transpose()?;
    args.dims.check(&a)?;
    let options = verify::Options {
        inputs: args.inputs.source(0)?,
        samples: 1,
        seed: 0,
        sizes: args.dims.given()?,
        tolerance: None,
        setup: args.running.timed()?,
        warmup: args.warmup,
        repeats: args.repeats as usize,
        time_budget: args.time_budget.0,
    };
    let feeds = verify::feeds(&a, &options)?;
    let feed = feeds.first().ok_or_else(|| Failure::new("there is no input to run"))?;
    let blame = |path: &std::path::Path, e: verify::VerifyError| Failure::new(e.of_file(path));
    let first = verify::timed_runner(&options.setup, &a, Role::First, feed).map_err(|e| blame(&args.a, e))?;
    let runner = |(model, path): (_, &PathBuf)| {
        verify::timed_runner(&options.setup, model, Role::Second, feed).map_err(|e| blame(path, e))
    };
    let second = b.as_ref().zip(args.b.as_ref()).map(runner).transpose()?;
    let progress = Progress::new("timing", options.warmup + options.repeats);
    let done = || progress.step(1);
    let effort = Effort { warm_up: options.warmup, repeats: options.repeats, budget: options.time_budget };
    let measured = latency::measure(&first, second.as_ref(), feed, effort, &done)?;
    drop(progress);
    if args.json {
        show::print_json(&latency::LatencyMs::of(&measured))?;
    } else {
        let name = |p: &PathBuf| p.display().to_string();
        let second = args.b.as_ref().map_or_else(String::new, name);
        show::print(&show::latency(&measured, &name(&args.a), &second))?;
    }
    Ok(Exit::Done)
}
