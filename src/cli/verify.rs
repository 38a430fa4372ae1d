//! `secateur verify`: do two models compute the same?

use super::gates::GateArgs;
use super::progress::{self, Progress};
use super::source::{self, DimArgs, VerificationArgs};
use super::{Exit, Failure, figures, show};
use crate::job::files::file_size;
use crate::job::gates::{Figures, Suite, Verdict};
use crate::job::report::Metrics;
use crate::verify;
use serde::Serialize;
use std::path::PathBuf;

/// Run two models on the same inputs and compare what they compute; exit code 4 if they differ, or miss a gate where
/// gates are given
#[derive(clap::Args)]
#[command(mut_arg("verify-samples", |a| a.alias("samples")))]
#[command(after_help = "\
Examples:
  secateur verify model.onnx rewritten.onnx --inputs samples.npz --tolerance 1e-4
  secateur verify model.onnx small.onnx --inputs samples.npz --gate max_drift=5% --gate max_size=60%")]
pub struct Args {
    /// The reference
    a: PathBuf,
    /// The model to compare with it
    b: PathBuf,
    #[command(flatten)]
    verification: VerificationArgs,
    /// Seed of the random inputs
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    #[command(flatten)]
    dims: DimArgs,
    #[command(flatten)]
    gating: GateArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Found<'a> {
    #[serde(flatten)]
    found: &'a verify::Verification,
    metrics: Option<Metrics>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    gates: &'a [Verdict],
}

pub fn run(args: Args) -> super::Outcome {
    let how = args.verification.options()?;
    let sizes = args.dims.given()?;
    how.check()?;
    let (a, b) = (source::load(&args.a)?, source::load(&args.b)?);
    let timed = args.gating.gates().iter().any(|g| g.kind.is_about_time());
    let given = how.options(args.seed, &sizes)?;
    let options = verify::Options { repeats: if timed { given.repeats } else { 0 }, ..given };
    args.dims.check(&a)?;
    let blame = |e: verify::VerifyError| {
        let path = if e.which() == Some(verify::Role::Pruned) { &args.b } else { &args.a };
        Failure::new(e.of_file(path))
    };
    let subjects = verify::Subjects { original: &a, reference: None, cut: None, pruned: &b };
    let progress = Progress::new("verifying", options.samples);
    let found = verify::verify(&subjects, &options, &|done, total| progress.at(done, total)).map_err(blame)?;
    drop(progress);
    let metrics = how.metrics((args.seed, &sizes), (&a, &b), &progress::monitor())?;
    let size = (file_size(&args.a, &a), file_size(&args.b, &b));
    let nodes = (a.graph.calls().len() as u64, b.graph.calls().len() as u64);
    let verdicts = args.gating.judge(&Figures::compared(&found, metrics.as_ref(), size, nodes));
    if args.json {
        show::print_json(&Found { found: &found, metrics, gates: &verdicts })?;
    } else {
        for output in &found.equivalence.outputs {
            show::print(&format!("{output}\n"))?;
        }
        let verdict = if found.equal { "equal" } else { "different" };
        show::print(&format!("{verdict} within {:.0e}, on {} inputs\n", found.tolerance, found.samples))?;
        if !found.meaningful {
            let s = found.sensitivity;
            show::note(&format!("warning: another input changes the outputs by only {s:.1e}, so this says little"));
        }
        show::print(&metrics.as_ref().map_or_else(String::new, figures::metrics))?;
        show::print(&show::gates(&verdicts))?;
    }
    // Who gives bounds says what is good enough.
    let unequal = verdicts.is_empty() && !found.equal;
    let error = unequal.then(|| "the models do not compute the same".to_owned());
    let file = args.b.display().to_string();
    let missed = args.gating.report(&[Suite { name: file.clone(), file, verdicts, error }])?;
    Ok(if missed { Exit::CheckFailed } else { Exit::Done })
}
