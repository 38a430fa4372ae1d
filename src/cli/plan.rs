//! `secateur plan`: choose what goes, and write it down.

use super::choice::{Choice, Chosen};
use super::{Exit, flags, show, source, trials};
use crate::drive::Driven;
use crate::plan::Plan;
use crate::prune::{self, Shortened};
use clap::ArgMatches;
use std::path::PathBuf;

/// Choose what to cut and write the plan as JSON; `apply` carries it out
#[derive(clap::Args)]
#[command(mut_arg("judge_labels", |a| a.alias("labels")))]
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
    /// Accepted for uniformity: a plan is always JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args, given: &ArgMatches) -> super::Outcome {
    args.output.as_deref().map_or(Ok(()), source::check_folder)?;
    args.choice.check()?;
    let model = source::load(&args.model)?;
    let analysis = prune::prepare(&model)?;
    let open = args.choice.how.dims.open(&model)?;
    let Chosen { shortened: Shortened { analysis, .. }, plan, driven, .. } =
        args.choice.plan(&model, analysis, open)?;
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
        show::say(&why.unwrap_or_else(|| show::nothing(&analysis)));
        return Ok(Exit::Nothing);
    }
    Ok(Exit::Done)
}
