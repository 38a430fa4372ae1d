//! `secateur print`: the text form of a model, or a chart.

use super::{Exit, show, source};
use crate::analysis::Analysis;
use crate::ir::{Diagram, Language, Printer, ValueId};
use serde::Serialize;
use std::path::PathBuf;

/// Print a model as text: one node a line, weights as hashes, axes as comments; or as a chart
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  secateur print model.onnx
  secateur print model.onnx --mermaid > model.mmd
  secateur print model.onnx --dot > model.dot")]
pub(super) struct Args {
    /// The model
    model: PathBuf,
    /// Leave out the axes
    #[arg(long)]
    plain: bool,
    /// Print the main graph as a Mermaid chart
    #[arg(long, conflicts_with = "dot")]
    mermaid: bool,
    /// Print the main graph for Graphviz
    #[arg(long)]
    dot: bool,
    /// Print a JSON object with the text
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Text {
    text: String,
}

pub(super) fn run(args: Args) -> super::Outcome {
    let analysis = Analysis::new(source::load(&args.model)?);
    let note = |value: ValueId| analysis.groups.show_value(&analysis.axes, value);
    let none = |_: ValueId| None;
    let notes: &dyn Fn(ValueId) -> Option<String> = if args.plain { &none } else { &note };
    let model = &analysis.model;
    let text = match (args.mermaid, args.dot) {
        (true, _) => Diagram { model, notes, language: Language::Mermaid }.to_string(),
        (_, true) => Diagram { model, notes, language: Language::Dot }.to_string(),
        _ => Printer { model, notes }.to_string(),
    };
    if args.json {
        show::print_json(&Text { text })?
    } else {
        show::print(&text)?
    }
    Ok(Exit::Done)
}
