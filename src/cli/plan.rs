//! `secateur plan`: choose what goes, and write it down.

use super::choice::Choice;
use super::running::Running;
use super::{Exit, Failure, flags, progress, show, source, trials};
use crate::job::{self, Options, Planned, Record, Verification};
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

pub fn run(args: Args, given: &ArgMatches) -> super::Outcome {
    let options = args.options(given)?;
    options.choice.check()?;
    let Planned { plan, nothing, driven, machine } = job::plan(&source::load(&args.model)?, &options)?;
    if let Some(driven) = &driven {
        show::say(trials::told(driven).trim_start());
    }
    match &args.output {
        Some(path) => show::write_json(path, &plan)?,
        None => show::print_json(&plan)?,
    }
    if let Some(why) = nothing {
        show::say(&why);
        return Ok(Exit::Nothing);
    }
    if let Some(missed) = machine.as_ref().and_then(|machine| machine.missed()) {
        show::say(&format!("error: {missed}"));
        return Ok(Exit::CheckFailed);
    }
    Ok(Exit::Done)
}

impl Args {
    fn options(&self, given: &ArgMatches) -> Result<Options, Failure> {
        let choice = flags::given(&flags::among::<Choice>(&flags::of::<Args>()), given);
        Ok(Options {
            choice: self.choice.options()?,
            verification: Verification { setup: self.running.unchecked()?, ..Verification::default() },
            record: Record { choice, ..Record::default() },
            monitor: progress::monitor(),
            ..Options::default()
        })
    }
}
