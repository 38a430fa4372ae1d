//! `secateur criteria`: how units can be told apart.

use super::{Exit, show};
use crate::score::CRITERIA;
use serde::Serialize;

/// List the criteria by which units are chosen
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  secateur criteria --json")]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row {
    name: &'static str,
    about: &'static str,
    source: &'static str,
}

pub fn run(args: Args) -> super::Outcome {
    let rows: Vec<Row> = CRITERIA.iter().map(|c| Row { name: c.name, about: c.about, source: c.source }).collect();
    if args.json {
        show::print_json(&rows)?;
    } else {
        let lines = rows.iter().map(|r| vec![r.name.to_owned(), r.about.to_owned(), r.source.to_owned()]);
        show::print(&show::table(&["criterion", "what it measures", "source"], 3, lines))?;
    }
    Ok(Exit::Done)
}
