//! `secateur prune` for those who have its arguments and want its report, without a word on the terminal.

use super::Failure;
use super::flags::{self, Flag};
use super::paths;
use super::prune::Args;
use crate::job::Options;
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

/// What these arguments of a `prune` ask for, once it is sure that it spares what it reads; `more` are files that the
/// caller writes beside the result.
pub fn checked(args: Vec<OsString>, more: &[PathBuf]) -> Result<(PathBuf, Options), Failure> {
    let (args, given) = parse(args).map_err(|w| Failure::usage(w.what))?;
    paths::check_with(&command(), &given, more)?;
    Ok((args.model().to_owned(), args.options(&given)?))
}

/// What these arguments of a `prune` ask for.
pub fn options(args: Vec<OsString>) -> Result<Options, Failure> {
    let (args, given) = parse(args).map_err(|w| Failure::usage(w.what))?;
    args.options(&given)
}

impl Failure {
    /// What failed, and the hint, as one sentence.
    pub fn in_a_line(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{} ({hint})", self.message),
            None => self.message.clone(),
        }
    }
}
