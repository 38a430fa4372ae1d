//! `secateur criteria`: how units can be told apart.

use super::{Exit, show};
use crate::gradients::Want;
use crate::score::{CRITERIA, Criterion};
use serde::Serialize;

/// List the criteria by which units are chosen
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  secateur criteria --json")]
pub(super) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row {
    name: &'static str,
    /// Other names for it.
    aliases: &'static [&'static str],
    about: &'static str,
    /// Whether it looks at samples (`--calib`).
    needs_data: bool,
    /// Whether labels of these tell it more (`--labels`).
    uses_labels: bool,
    /// Whether it needs a build with the feature `gradients`.
    needs_gradients: bool,
    source: &'static str,
}

pub(super) fn run(args: Args) -> super::Outcome {
    let row = |c: &Criterion| Row {
        name: c.name,
        aliases: c.aliases,
        about: c.about,
        needs_data: c.needs_data,
        uses_labels: c.gradient.is_some_and(Want::by_loss),
        needs_gradients: c.gradient.is_some(),
        source: c.source,
    };
    let rows: Vec<Row> = CRITERIA.iter().map(row).collect();
    if args.json {
        show::print_json(&rows)?;
    } else {
        let needs = |r: &Row| match (r.needs_data, r.uses_labels) {
            (true, true) => "--calib (--labels)".to_owned(),
            (needs_data, _) => if needs_data { "--calib" } else { "" }.to_owned(),
        };
        let names = |r: &Row| match r.aliases {
            [] => r.name.to_owned(),
            aliases => format!("{} ({})", r.name, aliases.join(", ")),
        };
        let lines = rows.iter().map(|r| vec![names(r), needs(r), r.about.to_owned(), r.source.to_owned()]);
        show::print(&show::table(&["criterion", "needs", "what it measures", "source"], 4, lines))?;
    }
    Ok(Exit::Done)
}
