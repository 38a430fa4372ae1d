//! The command line: one file per verb. stdout is data, stderr is the log.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "only the command line prints")]

mod apply;
mod bench;
mod build;
mod check;
mod completions;
mod criteria;
mod data;
mod device;
mod diff;
mod doctor;
mod eval;
mod explain;
mod figures;
mod gates;
mod groups;
mod inspect;
mod keyed;
mod layers;
mod log;
mod machine;
mod man;
mod opt;
mod paths;
mod plan;
mod print;
mod profile;
mod progress;
mod prune;
mod running;
mod sensitivity;
mod show;
mod source;
mod sweep;
mod training;
mod trials;
mod tune;
mod verify;

use crate::job::{self, ErrorKind};
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::error::Error;
use std::ffi::OsString;
use std::fmt::Display;
use std::process::ExitCode;

/// Prunes ONNX models: removes channels, neurons, heads and layers, proves what it did, and writes a smaller model.
#[derive(Parser)]
#[command(name = "secateur", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = after_help())]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    log: log::LogArgs,
}

#[derive(Subcommand)]
enum Verb {
    Prune(Box<prune::Args>),
    Build(build::Args),
    Check(check::Args),
    Plan(plan::Args),
    Apply(apply::Args),
    Verify(verify::Args),
    Eval(eval::Args),
    Bench(bench::Args),
    Diff(diff::Args),
    Profile(profile::Args),
    Inspect(inspect::Args),
    Groups(groups::Args),
    Layers(layers::Args),
    Sensitivity(sensitivity::Args),
    Sweep(Box<sweep::Args>),
    Tune(Box<tune::Args>),
    Explain(explain::Args),
    Opt(opt::Args),
    Print(print::Args),
    Criteria(criteria::Args),
    Doctor(doctor::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// What the exit codes mean. Documents and help are made from it.
pub const EXIT_CODES: [(u8, &str); 5] = [
    (0, "done"),
    (1, "failed: a file can't be read or written, or a budget can't be met"),
    (2, "wrong usage, such as a pattern or a `--dim` that matches nothing"),
    (
        3,
        "nothing to prune: nothing may be cut, can be proved or is worth it, or every cut violates the quality constraint; \
         `prune` and `apply` write the model unchanged",
    ),
    (
        4,
        "a check failed: outputs differ or a gate is missed, and no model is written; or the measured latency misses its \
         budget, and the fastest model is written",
    ),
];

/// The end of the help: exit codes, and an example.
fn after_help() -> String {
    let codes: String = EXIT_CODES.iter().map(|(code, what)| format!("  {code}  {what}\n")).collect();
    format!(
        "Exit codes:\n{codes}`diff` exits like the tool of that name: 0 same, 1 different, 2 failed.\n\n\
         Example:\n  secateur prune model.onnx -o small.onnx --macs 50%"
    )
}

/// The definition of the command line, from which documents are made.
pub fn command() -> clap::Command {
    Cli::command()
}

/// How a verb ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Done = 0,
    /// What failed was told already; or, of `diff`, the models are not the same.
    Failed = 1,
    Nothing = 3,
    CheckFailed = 4,
}

/// Why a verb failed, with what can be done about it.
pub(crate) struct Failure {
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

impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Failure {
        let any: &dyn Error = &error;
        let Some(error) = any.downcast_ref::<job::Error>() else { return Failure::new(error) };
        let failure = match error.kind() {
            ErrorKind::Options => Failure::usage(error),
            ErrorKind::Check => Failure::check_failed(error),
            ErrorKind::Failed | ErrorKind::Cancelled => Failure::new(error),
        };
        Failure { hint: error.hint().map(str::to_owned), ..failure }
    }
}

type Outcome = Result<Exit, Failure>;

/// Runs the command line.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parsed = Cli::command().try_get_matches_from(args);
    let parsed = parsed.and_then(|m| Cli::from_arg_matches(&m).map(|cli| (cli, m)));
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(e) => {
            // Help and version are no errors. A closed pipe is none either.
            _ = e.print();
            return ExitCode::from(if e.use_stderr() { 2 } else { 0 });
        }
    };
    cli.log.init();
    let (name, given) = matches.subcommand().unwrap_or(("", &matches));
    let command = Cli::command();
    let verb = command.find_subcommand(name);
    let whole = progress::Progress::waiting(name);
    let ended = verb.map_or(Ok(()), |verb| paths::check(verb, given)).and_then(|()| run(cli.verb, given));
    drop(whole);
    match ended {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(failure) => {
            log::failure(&failure.message, failure.hint.as_deref());
            ExitCode::from(failure.code)
        }
    }
}

/// Runs a verb; `given` says which of its arguments were given.
fn run(verb: Verb, given: &ArgMatches) -> Outcome {
    match verb {
        Verb::Prune(a) => prune::run(&a, given),
        Verb::Build(a) => build::run(a),
        Verb::Check(a) => check::run(a),
        Verb::Plan(a) => plan::run(a, given),
        Verb::Apply(a) => apply::run(&a, given),
        Verb::Verify(a) => verify::run(a),
        Verb::Eval(a) => eval::run(a),
        Verb::Bench(a) => bench::run(a),
        Verb::Diff(a) => diff::run(a),
        Verb::Profile(a) => profile::run(a),
        Verb::Inspect(a) => inspect::run(a),
        Verb::Groups(a) => groups::run(a),
        Verb::Layers(a) => layers::run(a),
        Verb::Sensitivity(a) => sensitivity::run(a),
        Verb::Sweep(a) => sweep::run(*a, given),
        Verb::Tune(a) => tune::run(*a),
        Verb::Explain(a) => explain::run(a),
        Verb::Opt(a) => opt::run(a),
        Verb::Print(a) => print::run(a),
        Verb::Criteria(a) => criteria::run(a),
        Verb::Doctor(a) => doctor::run(a),
        Verb::Completions(a) => completions::run(a, Cli::command()),
        Verb::Man(a) => man::run(a, Cli::command()),
    }
}
