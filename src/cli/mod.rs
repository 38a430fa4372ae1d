//! The command line: one file per verb. stdout is data, stderr is talk.

mod apply;
mod bench;
mod calibration;
mod choice;
mod completions;
mod criteria;
mod data;
mod eval;
mod explain;
mod figures;
mod groups;
mod inspect;
mod layers;
mod machine;
mod opt;
mod plan;
mod print;
mod profile;
mod progress;
mod prune;
mod running;
mod sensitivity;
mod show;
mod source;
mod thinning;
mod verify;

use clap::{CommandFactory, Parser, Subcommand};
use std::ffi::OsString;
use std::fmt::Display;
use std::process::ExitCode;

/// Prunes ONNX models: removes channels, neurons, heads and layers, proves what it did, and writes a smaller model.
#[derive(Parser)]
#[command(name = "secateur", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "\
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 nothing to prune (the model is written unchanged), \
4 the check failed (outputs differ, or the measured latency misses its budget).

Example:
  secateur prune model.onnx -o small.onnx --macs 50%")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Prune(Box<prune::Args>),
    Plan(plan::Args),
    Apply(apply::Args),
    Verify(verify::Args),
    Eval(eval::Args),
    Bench(bench::Args),
    Profile(profile::Args),
    Inspect(inspect::Args),
    Groups(groups::Args),
    Layers(layers::Args),
    Sensitivity(sensitivity::Args),
    Explain(explain::Args),
    Opt(opt::Args),
    Print(print::Args),
    Criteria(criteria::Args),
    Completions(completions::Args),
}

/// How a verb ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Done = 0,
    Nothing = 3,
    CheckFailed = 4,
}

/// Why a verb failed, with what can be done about it.
struct Failure {
    message: String,
    hint: Option<String>,
    code: u8,
}

impl Failure {
    fn new(message: impl Display) -> Failure {
        Failure { message: message.to_string(), hint: None, code: 1 }
    }

    fn hint(mut self, hint: impl Display) -> Failure {
        self.hint = Some(hint.to_string());
        self
    }

    /// A result that is not what it should be.
    fn check_failed(message: impl Display) -> Failure {
        Failure { code: Exit::CheckFailed as u8, ..Failure::new(message) }
    }

    /// A wrong use of the command line.
    fn usage(message: impl Display) -> Failure {
        Failure { code: 2, ..Failure::new(message) }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::new(error)
    }
}

type Outcome = Result<Exit, Failure>;

/// Runs the command line.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version are no errors. A closed pipe is none either.
            _ = e.print();
            return ExitCode::from(if e.use_stderr() { 2 } else { 0 });
        }
    };
    match run(cli.verb) {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(failure) => {
            show::say(&format!("error: {}", failure.message));
            if let Some(hint) = failure.hint {
                show::say(&format!("  hint: {hint}"));
            }
            ExitCode::from(failure.code)
        }
    }
}

fn run(verb: Verb) -> Outcome {
    match verb {
        Verb::Prune(a) => prune::run(*a),
        Verb::Plan(a) => plan::run(a),
        Verb::Apply(a) => apply::run(a),
        Verb::Verify(a) => verify::run(a),
        Verb::Eval(a) => eval::run(a),
        Verb::Bench(a) => bench::run(a),
        Verb::Profile(a) => profile::run(a),
        Verb::Inspect(a) => inspect::run(a),
        Verb::Groups(a) => groups::run(a),
        Verb::Layers(a) => layers::run(a),
        Verb::Sensitivity(a) => sensitivity::run(a),
        Verb::Explain(a) => explain::run(a),
        Verb::Opt(a) => opt::run(a),
        Verb::Print(a) => print::run(a),
        Verb::Criteria(a) => criteria::run(a),
        Verb::Completions(a) => completions::run(a, Cli::command()),
    }
}
