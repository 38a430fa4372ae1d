//! `secateur plan`: choose what goes, and write it down.

use super::keyed::{self, ChoiceSet, Keyed};
use super::running::Running;
use super::{Exit, Failure, progress, show, source, trials};
use crate::job::{self, Options, Planned, Record, VerifyOptions};
use clap::ArgMatches;
use std::path::PathBuf;

/// Choose what to cut and write the plan as JSON; `apply` carries it out
#[derive(clap::Args)]
#[command(mut_arg("judge-labels", |a| a.alias("labels")))]
#[command(mut_arg("tune-steps", |a| a.hide(true)), mut_arg("tune-lr", |a| a.hide(true)))]
#[command(mut_arg("tune-batch", |a| a.hide(true)))]
#[command(after_help = "\
Example:
  secateur plan model.onnx --macs 50% -o plan.json")]
pub(super) struct Args {
    /// The model
    model: PathBuf,
    /// Where the plan is written; stdout if not given
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    choice: Keyed<ChoiceSet>,
    #[command(flatten)]
    running: Running,
    /// No effect: a plan is always JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args, given: &ArgMatches) -> super::Outcome {
    let options = args.options(given)?;
    options.choice.check()?;
    let Planned { plan, nothing, searched, machine } = job::plan(&source::load(&args.model)?, &options)?;
    if let Some(searched) = &searched {
        show::note(trials::summary(searched).trim_start());
    }
    match &args.output {
        Some(path) => show::write_json(path, &plan)?,
        None => show::print_json(&plan)?,
    }
    if let Some(why) = nothing {
        show::note(&why);
        return Ok(Exit::Nothing);
    }
    if let Some(missed) = machine.as_ref().and_then(|machine| machine.missed()) {
        show::note(&format!("error: {missed}"));
        return Ok(Exit::CheckFailed);
    }
    Ok(Exit::Done)
}

impl Args {
    fn options(&self, given: &ArgMatches) -> Result<Options, Failure> {
        let choice = keyed::recorded(|key| key.recorded.is_of_choice(), given);
        Ok(Options {
            choice: self.choice.options()?.choice,
            verification: VerifyOptions { setup: self.running.unchecked()?, ..VerifyOptions::default() },
            record: Record { choice, ..Record::default() },
            monitor: progress::monitor(),
            ..Options::default()
        })
    }
}
