//! `secateur prune` for those who have its arguments and want its report, without a word on the terminal.

use super::again;
use super::flags::{self, Flag};
use super::paths;
pub use super::proof::told;
use super::prune::{self, Args};
pub use super::prune::{Done, NOT_EQUAL, NOT_EQUAL_NOW};
use super::{Exit, Failure};
use crate::plan::Plan;
use clap::error::{ContextKind, ContextValue};
use clap::{ArgMatches, Args as _, Command, FromArgMatches};
use std::ffi::OsString;
use std::path::PathBuf;

/// The flags of `prune`.
pub fn flags() -> Vec<Flag> {
    flags::of::<Args>()
}

/// Arguments that `prune` does not take.
#[derive(Debug)]
pub struct Wrong {
    /// The flag that is at fault, if one is.
    pub flag: Option<String>,
    pub what: String,
}

fn command() -> Command {
    Args::augment_args(Command::new("prune").no_binary_name(true).disable_help_flag(true))
}

/// Reads the arguments of a `prune`.
pub fn parse(args: Vec<OsString>) -> Result<(Args, ArgMatches), Wrong> {
    let parsed = command().try_get_matches_from(args).and_then(|given| Ok((Args::from_arg_matches(&given)?, given)));
    parsed.map_err(|e| {
        let flag = e.get(ContextKind::InvalidArg).and_then(|arg| match arg {
            ContextValue::String(text) => flag_in(text),
            ContextValue::Strings(texts) => texts.iter().find_map(|t| flag_in(t)),
            _ => None,
        });
        let text = e.to_string();
        // What comes behind the first paragraph is for people at a terminal.
        let what = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
        Wrong { flag, what: what.split_whitespace().collect::<Vec<_>>().join(" ") }
    })
}

/// The name in `--macs <SHARE>`.
fn flag_in(text: &str) -> Option<String> {
    let name = text.strip_prefix("--")?;
    Some(name.split([' ', '=', '<']).next().unwrap_or(name).to_owned())
}

/// Prunes, and spares what it reads; `more` are files that the caller writes beside the result.
pub fn make(args: Vec<OsString>, more: &[PathBuf]) -> Result<Done, Failure> {
    let (mut args, given) = parse(args).map_err(|w| Failure::usage(w.what))?;
    paths::check_with(&command(), &given, more)?;
    prune::make(&mut args, &given)
}

/// Carries out the plan of a result once more, and compares with the result as it is. Writes nothing.
pub fn again(args: Vec<OsString>, plan: Plan) -> Result<Done, Failure> {
    let (args, _) = parse(args).map_err(|w| Failure::usage(w.what))?;
    again::again(&args, plan)
}

impl Failure {
    /// Whether a check failed, rather than the work.
    pub fn is_check(&self) -> bool {
        self.code == Exit::CheckFailed as u8
    }

    /// What failed, and the hint, as one sentence.
    pub fn in_a_line(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{} ({hint})", self.message),
            None => self.message.clone(),
        }
    }
}
