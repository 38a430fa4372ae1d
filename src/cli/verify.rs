//! `secateur verify`: do two models compute the same?

use super::source::{self, Dims, Verification};
use super::{Exit, Failure, figures, show};
use crate::report::Metrics;
use crate::verify;
use serde::Serialize;
use std::path::PathBuf;

/// Run two models on the same inputs and compare what they compute; exit code 4 if they differ
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  secateur verify model.onnx rewritten.onnx --inputs samples.npz --tolerance 1e-4")]
pub struct Args {
    /// The reference
    a: PathBuf,
    /// The model to compare with it
    b: PathBuf,
    #[command(flatten)]
    verification: Verification,
    /// Seed of the inputs that are made up
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    #[command(flatten)]
    dims: Dims,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Found<'a> {
    #[serde(flatten)]
    found: &'a verify::Verification,
    metrics: Option<Metrics>,
}

pub fn run(args: Args) -> super::Outcome {
    let (a, b) = (source::load(&args.a)?, source::load(&args.b)?);
    let options = verify::Options { repeats: 0, ..args.verification.options(args.seed, &args.dims)? };
    args.dims.check(&a)?;
    let blame = |e: verify::VerifyError| {
        let path = if e.which() == Some("pruned") { &args.b } else { &args.a };
        Failure::new(e.of_file(path))
    };
    let subjects = verify::Subjects { original: &a, reference: None, cut: None, pruned: &b };
    let found = verify::verify(&subjects, &options).map_err(blame)?;
    let metrics = args.verification.metrics(args.seed, &args.dims, &a, &b)?;
    if args.json {
        show::print_json(&Found { found: &found, metrics })?;
    } else {
        for output in &found.equivalence.outputs {
            show::print(&format!("{output}\n"))?;
        }
        let verdict = if found.equal { "equal" } else { "different" };
        show::print(&format!("{verdict} within {:.0e}, on {} inputs\n", found.tolerance, found.samples))?;
        if !found.meaningful {
            let s = found.sensitivity;
            show::say(&format!("warning: another input changes the outputs by only {s:.1e}; this says little"));
        }
        show::print(&metrics.as_ref().map_or_else(String::new, figures::metrics))?;
    }
    Ok(if found.equal { Exit::Done } else { Exit::CheckFailed })
}
