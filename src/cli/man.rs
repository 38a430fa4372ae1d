//! `secateur man`: manual pages, from the same definitions as the help.

use super::{Exit, Failure, show};
use clap::Command;
use clap_mangen::Man;
use serde::Serialize;
use std::path::PathBuf;

/// Print the manual page, or write the pages of all verbs into a folder
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  secateur man > secateur.1
  secateur man -o man1")]
pub(super) struct Args {
    /// The folder for the pages; created if it does not exist
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Print the pages as JSON
    #[arg(long, conflicts_with = "output")]
    json: bool,
}

/// A page by its file's name.
#[derive(Serialize)]
struct Page {
    file: String,
    text: String,
}

pub(super) fn run(args: Args, command: Command) -> super::Outcome {
    let pages = pages(command)?;
    match &args.output {
        _ if args.json => show::print_json(&pages)?,
        None => show::print(pages.first().map_or("", |p| &p.text))?,
        Some(dir) => {
            std::fs::create_dir_all(dir).map_err(|e| Failure::new(format!("{}: {e}", dir.display())))?;
            pages.iter().try_for_each(|page| show::write_text(&dir.join(&page.file), &page.text))?;
        }
    }
    Ok(Exit::Done)
}

/// The page of the whole, and one for each verb.
fn pages(command: Command) -> Result<Vec<Page>, Failure> {
    let mut command = command.disable_help_subcommand(true);
    // Verbs learn their full names.
    command.build();
    let verbs: Vec<Command> = command.get_subcommands().filter(|c| !c.is_hide_set()).cloned().collect();
    let page = |command: Command| {
        let man = Man::new(command);
        let mut text = vec![];
        man.render(&mut text).map_err(Failure::new)?;
        Ok(Page { file: man.get_filename(), text: String::from_utf8_lossy(&text).into_owned() })
    };
    [command].into_iter().chain(verbs).map(page).collect()
}
