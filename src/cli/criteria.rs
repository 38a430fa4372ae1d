//! `secateur criteria`: how units can be told apart.

use super::{Exit, show};
use crate::score::{CRITERIA, Criterion};
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
    /// Whether it looks at samples (`--calib`).
    needs_data: bool,
    source: &'static str,
}

pub fn run(args: Args) -> super::Outcome {
    let row = |c: &Criterion| Row { name: c.name, about: c.about, needs_data: c.needs_data, source: c.source };
    let rows: Vec<Row> = CRITERIA.iter().map(row).collect();
    if args.json {
        show::print_json(&rows)?;
    } else {
        let needs = |r: &Row| if r.needs_data { "--calib" } else { "" }.to_owned();
        let lines = rows.iter().map(|r| vec![r.name.to_owned(), needs(r), r.about.to_owned(), r.source.to_owned()]);
        show::print(&show::table(&["criterion", "needs", "what it measures", "source"], 4, lines))?;
    }
    Ok(Exit::Done)
}
