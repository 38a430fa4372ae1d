//! What a verb writes is none of what it reads, and no two of its outputs are one file.
//!
//! This is looked at once, for all verbs, before any work is done. It goes by the definitions of the arguments: every
//! path that is not among [`OUTPUTS`] is read.

use super::Failure;
use super::flags;
use super::source::check_folder;
use crate::files::{folder, same_place};
use crate::{load, save};
use clap::{Arg, ArgMatches, Command};
use std::path::{Path, PathBuf};

/// The arguments that name files to be written, by what the parser calls them.
const OUTPUTS: [&str; 7] = ["checkpoint", "html", "junit", "output", "reference", "report", "svg"];

/// Those that name models to be written: their data may go into a file beside them.
const MODELS: [&str; 2] = ["output", "reference"];

/// Files that samples are read from where a folder of them is given.
const SAMPLES: [&str; 7] = ["bmp", "jpeg", "jpg", "npy", "npz", "pb", "png"];

/// A path that was given, and what it was given as.
struct Given {
    id: String,
    /// `--report`, or `MODEL` for what has no flag.
    name: String,
    path: PathBuf,
}

/// Fails where an output of a verb is one of its inputs, where two outputs are one file, and where an output can't be
/// written. `--overwrite` lets the result replace the model.
pub fn check(command: &Command, given: &ArgMatches) -> Result<(), Failure> {
    check_with(command, given, &[])
}

/// The same, with files that the verb writes beside those that were named.
pub fn check_with(command: &Command, given: &ArgMatches, more: &[PathBuf]) -> Result<(), Failure> {
    let paths: Vec<(&Arg, Given)> = command.get_arguments().flat_map(|arg| values(arg, given)).collect();
    let is_output = |arg: &Arg| OUTPUTS.contains(&arg.get_id().as_str());
    let (outputs, inputs): (Vec<_>, Vec<_>) = paths.into_iter().partition(|(arg, _)| is_output(arg));
    let mut outputs: Vec<Given> = outputs.into_iter().filter(|(arg, _)| !is_folder(arg)).map(|(_, g)| g).collect();
    outputs.iter().try_for_each(|out| check_folder(&out.path))?;
    let beside = outputs.iter().filter(|o| MODELS.contains(&o.id.as_str()) && has_model(command)).map(data_beside);
    let beside: Vec<Given> = beside.collect();
    apart(outputs.iter().chain(&beside))?;
    outputs.extend(more.iter().map(|path| Given { id: String::new(), name: "the result".into(), path: path.clone() }));
    let overwrite = given.try_get_one::<bool>("overwrite").ok().flatten() == Some(&true);
    let inputs: Vec<Given> = inputs.into_iter().map(|(_, g)| g).collect();
    outputs.iter().try_for_each(|out| spares(out, &inputs, overwrite))?;
    // The data of the result goes by another name where the model's own data have this one.
    beside.iter().try_for_each(|out| spares_files(out, inputs.iter(), false))
}

/// The paths that were given to an argument.
fn values<'a>(arg: &'a Arg, given: &ArgMatches) -> Vec<(&'a Arg, Given)> {
    let id = arg.get_id().as_str();
    let raw = given.try_get_raw(id).ok().flatten().filter(|_| flags::is_path(arg));
    let name = arg.get_long().map_or_else(|| id.to_uppercase(), |long| format!("--{long}"));
    let given = |value: &std::ffi::OsStr| Given { id: id.to_owned(), name: name.clone(), path: value.into() };
    raw.into_iter().flatten().map(|value| (arg, given(value))).collect()
}

/// Whether an argument names a folder, in which what is written goes by names of its own.
fn is_folder(arg: &Arg) -> bool {
    arg.get_value_names().is_some_and(|names| names.iter().any(|n| n.as_str() == "DIR"))
}

/// Whether the verb's output is a model: where weights go is asked of no others.
fn has_model(command: &Command) -> bool {
    command.get_arguments().any(|arg| arg.get_id() == "external_data")
}

fn data_beside(model: &Given) -> Given {
    let mut path = model.path.clone().into_os_string();
    path.push(".data");
    Given { id: String::new(), name: format!("the data of {}", model.name), path: path.into() }
}

/// Whether a path is one that is no file, such as a terminal: what is written there replaces nothing.
fn is_device(path: &Path) -> bool {
    path.metadata().is_ok_and(|m| !m.is_file())
}

/// Fails where two outputs are one file.
fn apart<'a>(outputs: impl Iterator<Item = &'a Given> + Clone) -> Result<(), Failure> {
    for (i, a) in outputs.clone().enumerate().filter(|(_, a)| !is_device(&a.path)) {
        if let Some(b) = outputs.clone().take(i).find(|b| same_place(&a.path, &b.path)) {
            let (a, b) = if a.name < b.name { (a, b) } else { (b, a) };
            return Err(Failure::usage(format!("{}: {} and {} name the same file", b.path.display(), b.name, a.name)));
        }
    }
    Ok(())
}

/// Fails where an output is an input, or belongs to one.
fn spares(out: &Given, inputs: &[Given], overwrite: bool) -> Result<(), Failure> {
    // What is not there yet is nobody's input.
    if !out.path.is_file() {
        return Ok(());
    }
    spares_files(out, inputs.iter(), overwrite)?;
    for input in inputs {
        let belongs = match input.path.is_dir() {
            true => is_sample_in(&out.path, &input.path),
            false => data_of(&input.path).iter().any(|data| same_place(data, &out.path)),
        };
        if belongs {
            let what = if input.path.is_dir() { "lies in" } else { "belongs to" };
            let what = format!("{} would overwrite a file that {what} {}", out.name, input.path.display());
            return Err(Failure::new(format!("{}: {what}", out.path.display())).hint("name another output"));
        }
    }
    Ok(())
}

fn spares_files<'a>(out: &Given, mut inputs: impl Iterator<Item = &'a Given>, overwrite: bool) -> Result<(), Failure> {
    let is = |input: &&Given| input.path.is_file() && same_place(&input.path, &out.path);
    let Some(input) = inputs.find(is).filter(|input| !(overwrite && out.id == "output" && input.id == "model")) else {
        return Ok(());
    };
    let path = out.path.display();
    Err(match (out.id.as_str(), input.id.as_str()) {
        ("output", "model") => {
            let failure = Failure::new(format!("{path}: this is the input file, which would be overwritten"));
            failure.hint("name another output, or allow it with --overwrite where the output is a model")
        }
        _ => Failure::new(format!("{path}: {} would overwrite what {} reads", out.name, input.name))
            .hint("name another output"),
    })
}

/// The data files of a model; none for any other file.
fn data_of(path: &Path) -> Vec<PathBuf> {
    let names = Some(path).filter(|p| p.is_file()).and_then(|p| load::load(p).ok());
    let names = names.and_then(|model| save::data_files(&model).ok()).unwrap_or_default();
    names.into_iter().map(|name| folder(path).join(name)).collect()
}

/// Whether a file lies in a folder of samples, and looks like one.
fn is_sample_in(path: &Path, folder: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
    let inside = || Some(path.canonicalize().ok()?.starts_with(folder.canonicalize().ok()?));
    SAMPLES.contains(&extension.as_str()) && inside() == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    /// Every path that a verb takes is known as one that it reads or one that it writes.
    #[test]
    fn no_path_is_forgotten() {
        const INPUTS: [&str; 15] = [
            "a",
            "b",
            "calib",
            "data",
            "energy_table",
            "file",
            "inputs",
            "judge",
            "judge_labels",
            "labels",
            "latency_table",
            "model",
            "models",
            "plan",
            "teacher",
        ];
        let command = super::super::Cli::command();
        let verbs = command.get_subcommands();
        let paths = verbs.flat_map(|verb| verb.get_arguments().filter(|a| flags::is_path(a)));
        let mut ids: Vec<&str> = paths.map(|a| a.get_id().as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut known = [&INPUTS[..], &OUTPUTS].concat();
        known.sort_unstable();
        assert_eq!(ids, known, "say of a new path whether it is read or written");
    }
}
