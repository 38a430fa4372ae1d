//! `secateur verify`: do two models compute the same?

use super::gates::GateArgs;
use super::progress::{self, Progress};
use super::source::{self, DimArgs, VerificationArgs};
use super::{Exit, Failure, figures, show};
use crate::ir::Model;
use crate::job::files::file_size;
use crate::job::gates::{Figures, Suite, Verdict};
use crate::job::report::Metrics;
use crate::verify::{self, Runtimes};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Run two models on the same inputs and compare what they compute; exit code 4 if they differ, or miss a gate where
/// gates are given. With --runtime both, each is also run in ONNX Runtime and in tract, and what these make of it compared
#[derive(clap::Args)]
#[command(mut_arg("verify-samples", |a| a.alias("samples")))]
#[command(after_help = "\
Examples:
  secateur verify model.onnx rewritten.onnx --inputs samples.npz --tolerance 1e-4
  secateur verify model.onnx small.onnx --inputs samples.npz --gate max_drift=5% --gate max_size=60%")]
pub(super) struct Args {
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    runtimes: Vec<Between>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    gates: &'a [Verdict],
}

/// What the runtimes make of one model.
#[derive(Serialize)]
struct Between {
    model: String,
    #[serde(flatten)]
    found: Runtimes,
}

impl Between {
    fn told(&self) -> String {
        let Runtimes { between: [first, second], difference, equal, node } = &self.found;
        let (model, verdict) = (&self.model, if *equal { "agree" } else { "differ" });
        let line = format!("{model}: {first} and {second} {verdict}: {difference:.1e} relative\n");
        let told = "the models are not to blame for that, but one of the runtimes";
        match node {
            Some(node) => line + &show::wrap(&format!("  it begins at {node}; {told}"), 4),
            None if *equal => line,
            None => line + &show::wrap(&format!("  {told}"), 4),
        }
    }
}

/// Runs a model in both runtimes.
fn between(path: &Path, model: &Model, options: &verify::Options) -> Result<Between, Failure> {
    let found = verify::runtimes(model, options).map_err(|e| Failure::new(e.of_file(path)))?;
    Ok(Between { model: path.display().to_string(), found })
}

pub(super) fn run(mut args: Args) -> super::Outcome {
    let both = args.verification.take_both();
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
    let runtimes = match both {
        true => [(&args.a, &a), (&args.b, &b)].map(|(path, m)| between(path, m, &options)).into_iter().collect(),
        false => Ok(vec![]),
    }?;
    let metrics = how.metrics((args.seed, &sizes), (&a, &b), &progress::monitor())?;
    let size = (file_size(&args.a, &a), file_size(&args.b, &b));
    let nodes = (a.graph.calls().len() as u64, b.graph.calls().len() as u64);
    let verdicts = args.gating.judge(&Figures::compared(&found, metrics.as_ref(), size, nodes));
    if args.json {
        show::print_json(&Found { found: &found, metrics, runtimes, gates: &verdicts })?;
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
        runtimes.iter().try_for_each(|r| show::print(&r.told()))?;
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
