//! What a verb writes is none of what it reads: looked at once, for all verbs, before any work is done.
//!
//! It goes by the definitions of the arguments: every path that is not among [`OUTPUTS`] is read.

use super::Failure;
use crate::job::paths::{Named, Paths};
use clap::{Arg, ArgMatches, Command, ValueHint};
use std::path::PathBuf;

/// The arguments that name files to be written, by what the parser calls them.
const OUTPUTS: [&str; 7] = ["checkpoint", "html", "junit", "output", "reference", "report", "svg"];

/// Those that name models to be written: their data may go into a file beside them.
const MODELS: [&str; 2] = ["output", "reference"];

/// Fails where an output of a verb is one of its inputs, where two outputs are one file, and where an output can't be
/// written. `--overwrite` lets the result replace the model.
pub(super) fn check(command: &Command, given: &ArgMatches) -> Result<(), Failure> {
    check_with(command, given, &[])
}

/// The same, with files that the verb writes beside those that were named.
pub(super) fn check_with(command: &Command, given: &ArgMatches, more: &[PathBuf]) -> Result<(), Failure> {
    let paths: Vec<(&Arg, Named)> = command.get_arguments().flat_map(|arg| values(arg, given)).collect();
    let is_output = |arg: &Arg| OUTPUTS.contains(&arg.get_id().as_str());
    let (outputs, inputs): (Vec<_>, Vec<_>) = paths.into_iter().partition(|(arg, _)| is_output(arg));
    let paths = Paths {
        inputs: inputs.into_iter().map(|(_, path)| path).collect(),
        outputs: outputs.into_iter().filter(|(arg, _)| !is_folder(arg)).map(|(_, path)| path).collect(),
        models: if has_model(command) { MODELS.to_vec() } else { vec![] },
        more: more.to_vec(),
        overwrite: given.try_get_one::<bool>("overwrite").ok().flatten() == Some(&true),
    };
    Ok(paths.check()?)
}

/// The paths that were given to an argument.
fn values<'a>(arg: &'a Arg, given: &ArgMatches) -> Vec<(&'a Arg, Named)> {
    let id = arg.get_id().as_str();
    let raw = given.try_get_raw(id).ok().flatten().filter(|_| is_path(arg));
    let name = arg.get_long().map_or_else(|| id.to_uppercase(), |long| format!("--{long}"));
    let given = |value: &std::ffi::OsStr| Named { id: id.to_owned(), name: name.clone(), path: value.into() };
    raw.into_iter().flatten().map(|value| (arg, given(value))).collect()
}

/// Whether an argument's values are paths, by its type or its hint.
fn is_path(arg: &Arg) -> bool {
    matches!(arg.get_value_hint(), ValueHint::AnyPath | ValueHint::DirPath | ValueHint::FilePath)
}

/// Whether an argument names a folder, in which what is written goes by names of its own.
fn is_folder(arg: &Arg) -> bool {
    arg.get_value_names().is_some_and(|names| names.iter().any(|n| n.as_str() == "DIR"))
}

/// Whether the verb's output is a model: where weights go is asked of no others.
fn has_model(command: &Command) -> bool {
    command.get_arguments().any(|arg| arg.get_id() == "external-data")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    /// Every path that a verb takes is known as one that it reads or one that it writes.
    #[test]
    fn no_path_is_forgotten() {
        const INPUTS: [&str; 17] = [
            "a",
            "b",
            "calib",
            "data",
            "energy-table",
            "energy_table",
            "file",
            "inputs",
            "judge",
            "judge-labels",
            "labels",
            "latency-table",
            "model",
            "models",
            "ort_library",
            "plan",
            "teacher",
        ];
        let command = super::super::Cli::command();
        let verbs = command.get_subcommands();
        let paths = verbs.flat_map(|verb| verb.get_arguments().filter(|a| is_path(a)));
        let mut ids: Vec<&str> = paths.map(|a| a.get_id().as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut known = [&INPUTS[..], &OUTPUTS].concat();
        known.sort_unstable();
        assert_eq!(ids, known, "say of a new path whether it is read or written");
    }
}
