//! `secateur plan`: choose what goes, and write it down.

use super::choice::{Choice, Chosen};
use super::running::Running;
use super::{Exit, Failure, flags, machine, show, source, trials};
use crate::drive::Driven;
use crate::machine::Settings;
use crate::plan::Plan;
use crate::prune::Shortened;
use clap::ArgMatches;
use std::path::PathBuf;

/// Choose what to cut and write the plan as JSON; `apply` carries it out
#[derive(clap::Args)]
#[command(mut_arg("judge_labels", |a| a.alias("labels")))]
#[command(mut_arg("tune_steps", |a| a.hide(true)), mut_arg("tune_lr", |a| a.hide(true)))]
#[command(mut_arg("tune_batch", |a| a.hide(true)))]
#[command(after_help = "\
Example:
  secateur plan model.onnx --macs 50% -o plan.json")]
pub struct Args {
    /// The model
    model: PathBuf,
    /// Where the plan is written; stdout if not given
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    running: Running,
    /// No effect: a plan is always JSON
    #[arg(long)]
    json: bool,
}

pub fn run(mut args: Args, given: &ArgMatches) -> super::Outcome {
    args.choice.check()?;
    args.choice.how.size();
    if args.choice.driving.tuning.is_given() {
        let failure = Failure::usage("--tune-steps trains weights, but a plan holds no weights");
        return Err(failure.hint("give it to `secateur prune`, or carry the plan out and use `secateur tune`"));
    }
    let model = source::load(&args.model)?;
    let analysis = source::prepare(&model)?;
    let open = args.choice.how.dims.open(&model)?;
    let settings = Settings { setup: args.running.setup()?, ..Settings::default() };
    let chosen = args.choice.plan(&model, analysis, open, &settings)?;
    let Chosen { shortened: Shortened { analysis, .. }, plan, driven, machine, .. } = chosen;
    let plan = Plan { options: flags::given(&flags::among::<Choice>(&flags::of::<Args>()), given), ..plan };
    if let Some(driven) = &driven {
        show::say(trials::told(driven).trim_start());
    }
    match &args.output {
        Some(path) => show::write_json(path, &plan)?,
        None => show::print_json(&plan)?,
    }
    if plan.is_empty() {
        let why = driven.as_ref().and_then(Driven::broken);
        show::say(&why.unwrap_or_else(|| show::nothing(&analysis, args.choice.how.inexact)));
        return Ok(Exit::Nothing);
    }
    if let Some(missed) = machine.as_ref().and_then(machine::missed) {
        show::say(&format!("error: {missed}"));
        return Ok(Exit::CheckFailed);
    }
    Ok(Exit::Done)
}
