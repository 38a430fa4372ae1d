//! `secateur diff`: what is different between two models?

use super::{Exit, Failure, show, source};
use crate::diff::{self, ModelDiff};
use crate::ir::Model;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Show what is different between two models: nodes, shapes, attributes, weights, metadata
///
/// Nodes are matched by their names, then by what they make and where they stand. Exit code 0 means that the models are
/// the same, 1 that they differ, and 2 that they can't be compared, as `diff` has it.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  secateur diff model.onnx small.onnx
  secateur diff model.onnx finetuned.onnx --no-weights --json")]
pub(super) struct Args {
    /// The first model
    a: PathBuf,
    /// The second one
    b: PathBuf,
    /// Do not compare the elements of weights, only their types and shapes
    #[arg(long)]
    no_weights: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Found<'a> {
    same: bool,
    #[serde(flatten)]
    diff: &'a ModelDiff,
}

pub(super) fn run(args: Args) -> super::Outcome {
    let load = |path: &Path| source::load(path).map_err(|e: Failure| Failure { code: 2, ..e });
    let (a, b): (Model, Model) = (load(&args.a)?, load(&args.b)?);
    let found = diff::diff(&a, &b, diff::Options { weights: !args.no_weights });
    if args.json {
        show::print_json(&Found { same: found.is_empty(), diff: &found })?;
    } else if !found.is_empty() {
        show::print(&format!("--- {}\n+++ {}\n{found}", args.a.display(), args.b.display()))?;
    }
    Ok(if found.is_empty() { Exit::Done } else { Exit::Failed })
}
