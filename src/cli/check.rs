//! `secateur check`: are the models that a build made what they should be?

use super::build::Which;
use super::progress;
use super::running::Running;
use crate::build::{self, Options};

/// Check the models that a build made: hashes, proof and gates; changes nothing, exit code 4 if something is wrong
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  secateur check
  secateur check edge --format github --junit gates.xml")]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
}

pub(super) fn run(args: Args) -> super::Outcome {
    let setup = Running::default().unchecked()?;
    let options = Options { setup, monitor: progress::monitor(), ..Options::default() };
    args.which.each(|target| build::check_target(target, &options))
}
