//! `secateur opt`: run passes.

use super::source::{self, Output};
use super::{Exit, Failure, show};
use crate::passes::Pipeline;
use std::path::PathBuf;

/// Run a pipeline of passes on a model and write it
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  secateur opt model.onnx -o folded.onnx --passes 'fold-constants,fold-bn,fix(drop-identity,dce)'
  secateur opt --list")]
pub struct Args {
    /// The model
    #[arg(required_unless_present = "list")]
    model: Option<PathBuf>,
    /// The passes, in order; `fix(a,b)` repeats until nothing changes
    #[arg(long, value_name = "PIPELINE", default_value = crate::prune::SIMPLIFY)]
    passes: String,
    #[command(flatten)]
    output: Option<Output>,
    /// List the passes
    #[arg(long)]
    list: bool,
    /// Print the model's text after every pass that changed it, to stderr
    #[arg(long)]
    print_after_all: bool,
    /// Print how long each pass took, to stderr
    #[arg(long)]
    time_passes: bool,
    /// Check the model's invariants after every pass
    #[arg(long)]
    verify_each: bool,
    /// Run only the first N passes (to find the one that breaks something)
    #[arg(long, value_name = "N")]
    bisect_limit: Option<usize>,
    /// Print what each pass did as JSON
    #[arg(long)]
    json: bool,
}
