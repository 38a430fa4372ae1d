//! `secateur print`: the text form of a model.

use super::{Exit, show, source};
use crate::analysis::Analysis;
use crate::ir::{Printer, ValueId};
use serde::Serialize;
use std::path::PathBuf;

/// Print a model as text: one node a line, weights as hashes, axes as comments
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  secateur print model.onnx | less")]
pub struct Args {
    /// The model
    model: PathBuf,
    /// Leave out the axes
    #[arg(long)]
    plain: bool,
    /// Print a JSON object with the text
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Text {
    text: String,
}

pub fn run(args: Args) -> super::Outcome {
    let analysis = Analysis::new(source::load(&args.model)?);
    let note = |value: ValueId| analysis.groups.show_value(&analysis.axes, value);
    let none = |_: ValueId| None;
    let notes: &dyn Fn(ValueId) -> Option<String> = if args.plain { &none } else { &note };
    let text = Printer { model: &analysis.model, notes }.to_string();
    if args.json {
        show::print_json(&Text { text })?
    } else {
        show::print(&text)?
    }
    Ok(Exit::Done)
}
