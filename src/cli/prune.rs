//! `secateur prune`: plan, apply, verify, write.

use super::calibration::Calibration;
use super::choice::Choice;
use super::device::On;
use super::flags::{self, Flag};
use super::gating::Gating;
use super::source::{Output, Verification};
use super::thinning::Thinning;
use super::tuning::Tuning;
use super::{Exit, Failure, progress, show};
use crate::job::gates::Suite;
use crate::job::{self, Done, Options, Record, keys};
use crate::page;
use crate::prune;
use clap::ArgMatches;
use std::path::PathBuf;

/// How the result is simplified.
#[derive(clap::Args)]
pub struct Rewriting {
    /// Keep BatchNormalization nodes instead of folding them into what they follow
    #[arg(long, conflicts_with = "passes")]
    keep_bn: bool,
    /// Passes that simplify the result, instead of the usual ones (`secateur opt --list`)
    #[arg(long, value_name = "PIPELINE", value_parser = keys::pipeline)]
    passes: Option<String>,
}

impl Rewriting {
    fn text(&self) -> String {
        match &self.passes {
            Some(passes) => passes.clone(),
            None if self.keep_bn => prune::SIMPLIFY_KEEP_BN.to_owned(),
            None => prune::SIMPLIFY.to_owned(),
        }
    }
}

/// Prune a model: plan, cut, simplify, verify and write it
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  secateur prune model.onnx -o small.onnx --ratio 0.5
  secateur prune model.onnx -o small.onnx --macs 50% --round-to 8 --exclude 'head.*'
  secateur prune model.onnx -o small.onnx --layers 2 --calib samples.npz
  secateur prune model.onnx -o sparse.onnx --nm 2:4 --calib samples.npz --sparsity-method sparsegpt")]
pub struct Args {
    /// The model
    model: PathBuf,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    thinning: Thinning,
    #[command(flatten)]
    finish: Finish,
}

/// The arguments that the result depends on, beside model and plan.
#[derive(clap::Args)]
struct Decisive {
    #[command(flatten)]
    _calibration: Calibration,
    #[command(flatten)]
    _thinning: Thinning,
    #[command(flatten)]
    _tuning: Tuning,
    #[command(flatten)]
    _on: On,
    #[command(flatten)]
    _rewriting: Rewriting,
}

/// What happens once there is a plan; shared with `apply`.
#[derive(clap::Args)]
pub struct Finish {
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    rewriting: Rewriting,
    /// Do not run the models
    #[arg(long)]
    no_verify: bool,
    #[command(flatten)]
    verification: Verification,
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
    gating: Gating,
    /// Print the report as JSON instead of a summary
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args, given: &ArgMatches) -> super::Outcome {
    let options = Options { monitor: progress::monitor(), ..args.options(given)? };
    args.finish.tell(&job::prune_file(&args.model, &options)?)
}

impl Args {
    /// What is asked for; `given` says which of the arguments were given.
    pub fn options(&self, given: &ArgMatches) -> Result<Options, Failure> {
        let (choice, result) = recorded();
        let record = Record { choice: flags::given(&choice, given), result: flags::given(&result, given) };
        let (choice, zeros) = (self.choice.options()?, (&self.thinning).into());
        Ok(Options { choice, zeros, record, ..self.finish.options()? })
    }
}

/// The flags that lead to the plan, and those that the result depends on beside it.
pub fn recorded() -> (Vec<Flag>, Vec<Flag>) {
    let flags = flags::of::<Args>();
    (flags::among::<Choice>(&flags), flags::among::<Decisive>(&flags))
}

impl Finish {
    /// What is asked for once there is a plan.
    pub fn options(&self) -> Result<Options, Failure> {
        Ok(Options {
            simplify: self.rewriting.text(),
            proof: !self.no_verify,
            verification: self.verification.options()?,
            gates: self.gating.gates().to_vec(),
            reference: self.reference.clone(),
            output: Some(self.output.options()),
            ..Options::default()
        })
    }

    /// Writes and prints what was found and done.
    pub fn tell(&self, done: &Done) -> super::Outcome {
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
        let missed = self.gating.tell(&[Suite { name: file.clone(), file, verdicts, error }])?;
        if done.is_wrong() {
            return Ok(Exit::CheckFailed);
        }
        report.unproved.iter().for_each(|failed| show::say(&format!("warning: {}", failed.in_a_line())));
        if missed {
            show::say("the model was not written");
            return Ok(Exit::CheckFailed);
        }
        report.grown().iter().for_each(|what| show::say(&format!("note: the result is larger than the input: {what}")));
        if let Some(why) = &done.nothing {
            show::say(&format!("{why}; the model is unchanged"));
            return Ok(Exit::Nothing);
        }
        if let Some(missed) = report.machine.as_ref().and_then(|machine| machine.missed()) {
            show::say(&format!("error: {missed}"));
            return Ok(Exit::CheckFailed);
        }
        Ok(Exit::Done)
    }
}
