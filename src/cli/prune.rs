//! `secateur prune`: plan, apply, verify, write.

use super::gates::GateArgs;
use super::keyed::{self, ChoiceSet, Keyed, ProofSet, SimplifySet, SparsitySet};
use super::source::{OutputArgs, VerificationArgs};
use super::{Exit, Failure, progress, show};
use crate::job::gates::Suite;
use crate::job::keys::Recorded;
use crate::job::{self, Done, Options, Record};
use crate::page;
use clap::ArgMatches;
use std::path::PathBuf;

/// Prune a model: plan, cut, simplify, verify and write it
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  secateur prune model.onnx -o small.onnx --ratio 0.5
  secateur prune model.onnx -o small.onnx --macs 50% --round-to 8 --exclude 'head.*'
  secateur prune model.onnx -o small.onnx --layers 2 --calib samples.npz
  secateur prune model.onnx -o sparse.onnx --nm 2:4 --calib samples.npz --sparsity-method sparsegpt")]
pub(super) struct Args {
    /// The model
    model: PathBuf,
    #[command(flatten)]
    choice: Keyed<ChoiceSet>,
    #[command(flatten)]
    sparsity: Keyed<SparsitySet>,
    #[command(flatten)]
    finish: Finish,
}

/// What happens once there is a plan; shared with `apply`.
#[derive(clap::Args)]
pub(super) struct Finish {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    simplify: Keyed<SimplifySet>,
    #[command(flatten)]
    proof: Keyed<ProofSet>,
    #[command(flatten)]
    verification: VerificationArgs,
    /// Also write the model that the pruned one must equal: the original with zeros where units are gone
    #[arg(long, value_name = "FILE")]
    reference: Option<PathBuf>,
    /// Write a report of everything that was found and done, as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write the report as a self-contained HTML page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    gating: GateArgs,
    /// Print the report as JSON instead of a summary
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, given: &ArgMatches) -> super::Outcome {
    let options = Options { monitor: progress::monitor(), ..args.options(given)? };
    args.finish.report(&job::prune_file(&args.model, &options)?)
}

impl Args {
    /// What is asked for; `given` says which of the arguments were given.
    pub(super) fn options(&self, given: &ArgMatches) -> Result<Options, Failure> {
        let recorded = |is: fn(Recorded) -> bool| keyed::recorded(|key| is(key.recorded), given);
        let (choice, result) = (recorded(Recorded::is_of_choice), recorded(Recorded::is_of_result));
        let mut options = Options { record: Record { choice, result }, ..self.finish.options()? };
        self.choice.set(&mut options)?;
        self.sparsity.set(&mut options)?;
        Ok(options)
    }
}

impl Finish {
    /// What is asked for once there is a plan.
    pub(super) fn options(&self) -> Result<Options, Failure> {
        let mut options = Options {
            verification: self.verification.options()?,
            gates: self.gating.gates().to_vec(),
            reference: self.reference.clone(),
            output: Some(self.output.options()?),
            ..Options::default()
        };
        self.simplify.set(&mut options)?;
        self.proof.set(&mut options)?;
        Ok(options)
    }

    /// Writes and prints what was found and done.
    pub(super) fn report(&self, done: &Done) -> super::Outcome {
        let report = &done.report;
        if let Some(path) = &self.report {
            show::write_json(path, report)?;
        }
        if let Some(path) = &self.html {
            show::write_text(path, &page::html(report))?;
        }
        if self.json {
            show::print_json(report)?
        } else {
            show::print(&show::summary(report))?
        }
        let error = done.is_wrong().then(|| job::NOT_EQUAL.to_owned());
        let (file, verdicts) = (report.output.clone(), report.gates.clone());
        let missed = self.gating.report(&[Suite { name: file.clone(), file, verdicts, error }])?;
        if done.is_wrong() {
            return Ok(Exit::CheckFailed);
        }
        report.unproved.iter().for_each(|failed| show::note(&format!("warning: {}", failed.in_a_line())));
        if missed {
            show::note("the model was not written");
            return Ok(Exit::CheckFailed);
        }
        report
            .grown()
            .iter()
            .for_each(|what| show::note(&format!("note: the result is larger than the input: {what}")));
        if let Some(why) = &done.nothing {
            show::note(&format!("{why}; the model is unchanged"));
            return Ok(Exit::Nothing);
        }
        if let Some(missed) = report.machine.as_ref().and_then(|machine| machine.missed()) {
            show::note(&format!("error: {missed}"));
            return Ok(Exit::CheckFailed);
        }
        Ok(Exit::Done)
    }
}
