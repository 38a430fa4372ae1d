//! `secateur groups`: what belongs together, and what may be cut?

use super::{Exit, show, source};
use crate::axes::Group;
use crate::ops::Granularity;
use crate::prune;
use serde::Serialize;
use std::path::PathBuf;

/// List the groups: sets of channels, neurons or heads that stay or go together
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  secateur groups model.onnx --all")]
pub(super) struct Args {
    /// The model
    model: PathBuf,
    /// Also list groups that can't be cut
    #[arg(long)]
    all: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row {
    group: String,
    units: usize,
    kind: Granularity,
    /// `free`, `inexact` or `pinned`.
    state: &'static str,
    #[serde(rename = "where")]
    places: Vec<String>,
    why: Vec<String>,
}

pub(super) fn run(args: Args) -> super::Outcome {
    let analysis = source::prepare(&source::load(&args.model)?)?;
    let graph = &analysis.model.graph;
    let row = |group: &Group| Row {
        group: group.id.to_string(),
        units: group.size,
        kind: group.kind,
        state: match group {
            g if !g.is_free() => "pinned",
            g if !g.is_exact() => "inexact",
            _ => "free",
        },
        places: crate::axes::places(&analysis.model, group),
        why: group.pins.iter().chain(&group.inexact).map(|p| prune::reason(graph, p)).collect(),
    };
    let rows: Vec<Row> = analysis.groups.all.iter().filter(|g| args.all || g.is_free()).map(row).collect();
    if args.json {
        show::print_json(&rows)?;
        return Ok(Exit::Done);
    }
    let lines = rows.iter().map(|r| {
        let why = r.why.first().cloned().unwrap_or_default();
        vec![r.group.clone(), r.state.to_owned(), r.kind.to_string(), r.units.to_string(), show::list(&r.places), why]
    });
    show::print(&show::table(&["group", "state", "kind", "units", "where", "why"], 6, lines))?;
    Ok(Exit::Done)
}
