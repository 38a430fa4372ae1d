//! `secateur completions`: completions for a shell.

use super::{Exit, show};
use clap::Command;
use clap_complete::Shell;
use serde::Serialize;

/// Print completions for a shell
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  secateur completions bash > ~/.local/share/bash-completion/completions/secateur")]
pub(super) struct Args {
    /// The shell
    shell: Shell,
    /// Print a JSON object with the script
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Script {
    script: String,
}

pub(super) fn run(args: Args, mut command: Command) -> super::Outcome {
    let mut script = vec![];
    clap_complete::generate(args.shell, &mut command, "secateur", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    if args.json {
        show::print_json(&Script { script })?
    } else {
        show::print(&script)?
    }
    Ok(Exit::Done)
}
