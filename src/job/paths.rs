//! What a job writes is none of what it reads, and no two of its outputs are one file.
//!
//! This is looked at once, before any work is done.

use super::Error;
use super::options::{Choice, Options};
use crate::files::{self, folder, same_place};
use crate::{load, save};
use std::path::{Path, PathBuf};

/// Files that samples are read from where a folder of them is given.
const SAMPLES: [&str; 7] = ["bmp", "jpeg", "jpg", "npy", "npz", "pb", "png"];

/// A path that was given, and what it was given as.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    /// What it is: `report`, `model`.
    pub id: String,
    /// What it is called where it is given: `--report`, or `MODEL` for what has no flag.
    pub name: String,
    pub path: PathBuf,
}

/// The paths of a job.
#[derive(Clone, Debug, Default)]
pub(crate) struct Paths {
    pub inputs: Vec<Named>,
    pub outputs: Vec<Named>,
    /// Outputs that are models, whose data may go into a file beside them.
    pub models: Vec<&'static str>,
    /// Files that are written beside those that have names.
    pub more: Vec<PathBuf>,
    /// Whether the result may replace the model.
    pub overwrite: bool,
}

impl Options {
    /// What a job reads and writes.
    pub(crate) fn paths(&self) -> Paths {
        let Choice { selection, tables, search, .. } = &self.choice;
        let held_out = &search.held_out;
        let path = |text: &Option<String>| text.as_ref().map(PathBuf::from);
        let named = |(id, name, path): (&str, &str, Option<PathBuf>)| {
            path.map(|path| Named { id: id.to_owned(), name: name.to_owned(), path })
        };
        let inputs = [
            ("model", "MODEL", self.input.clone()),
            ("calib", "--calib", path(&selection.calibration.source)),
            ("energy_table", "--energy-table", tables.energy.clone()),
            ("inputs", "--inputs", path(&self.verification.inputs)),
            ("judge", "--judge", path(&held_out.source)),
            ("judge_labels", "--judge-labels", held_out.labels.clone()),
            ("labels", "--labels", self.verification.judging.labels.clone()),
            ("latency_table", "--latency-table", tables.latency.clone()),
        ];
        let outputs = [
            ("output", "--output", self.output.as_ref().map(|o| o.path.clone())),
            ("reference", "--reference", self.reference.clone()),
        ];
        Paths {
            inputs: inputs.into_iter().filter_map(named).collect(),
            outputs: outputs.into_iter().filter_map(named).collect(),
            models: vec!["output", "reference"],
            more: vec![],
            overwrite: self.output.as_ref().is_some_and(|o| o.overwrite),
        }
    }
}

impl Paths {
    /// Fails where an output is one of the inputs, where two outputs are one file, and where an output can't be
    /// written.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let Paths { inputs, outputs, models, more, overwrite } = self;
        outputs.iter().try_for_each(|out| check_folder(&out.path))?;
        let beside: Vec<Named> = outputs.iter().filter(|o| models.contains(&o.id.as_str())).map(data_beside).collect();
        apart(outputs.iter().chain(&beside))?;
        let more = more.iter().map(|path| Named { id: String::new(), name: "the result".into(), path: path.clone() });
        let all: Vec<Named> = outputs.iter().cloned().chain(more).collect();
        all.iter().try_for_each(|out| spares(out, inputs, *overwrite))?;
        // The data of the result goes by another name where the model's own data have this one.
        beside.iter().try_for_each(|out| spares_files(out, inputs.iter(), false))
    }
}

/// Fails if there is no folder for a file, none that can be written to, or a folder in its place.
fn check_folder(path: &Path) -> Result<(), Error> {
    let folder = folder(path);
    match folder {
        _ if path.is_dir() => Err(Error::new(format!("{}: this is a folder, not a file", path.display()))),
        // A terminal, say: nothing is put beside it.
        _ if path.exists() && !path.is_file() => Ok(()),
        _ if folder.is_dir() => {
            let tried = files::temporary(folder).map(drop);
            tried.map_err(|e| Error::new(format!("{}: {e}", path.display())))
        }
        _ => Err(Error::new(format!("{}: there is no folder {}", path.display(), folder.display()))),
    }
}

fn data_beside(model: &Named) -> Named {
    let mut path = model.path.clone().into_os_string();
    path.push(".data");
    Named { id: String::new(), name: format!("the data of {}", model.name), path: path.into() }
}

/// Whether a path is one that is no file, such as a terminal: what is written there replaces nothing.
fn is_device(path: &Path) -> bool {
    path.metadata().is_ok_and(|m| !m.is_file())
}

/// Fails where two outputs are one file.
fn apart<'a>(outputs: impl Iterator<Item = &'a Named> + Clone) -> Result<(), Error> {
    for (i, a) in outputs.clone().enumerate().filter(|(_, a)| !is_device(&a.path)) {
        if let Some(b) = outputs.clone().take(i).find(|b| same_place(&a.path, &b.path)) {
            let (a, b) = if a.name < b.name { (a, b) } else { (b, a) };
            return Err(Error::options(format!("{}: {} and {} name the same file", b.path.display(), b.name, a.name)));
        }
    }
    Ok(())
}

/// Fails where an output is an input, or belongs to one.
fn spares(out: &Named, inputs: &[Named], overwrite: bool) -> Result<(), Error> {
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
            return Err(Error::new(format!("{}: {what}", out.path.display())).with_hint("name another output"));
        }
    }
    Ok(())
}

fn spares_files<'a>(out: &Named, mut inputs: impl Iterator<Item = &'a Named>, overwrite: bool) -> Result<(), Error> {
    let is = |input: &&Named| input.path.is_file() && same_place(&input.path, &out.path);
    let Some(input) = inputs.find(is).filter(|input| !(overwrite && out.id == "output" && input.id == "model")) else {
        return Ok(());
    };
    let path = out.path.display();
    Err(match (out.id.as_str(), input.id.as_str()) {
        ("output", "model") => {
            let error = Error::new(format!("{path}: this is the input file, which would be overwritten"));
            error.with_hint("name another output, or allow it with --overwrite where the output is a model")
        }
        _ => Error::new(format!("{path}: {} would overwrite what {} reads", out.name, input.name))
            .with_hint("name another output"),
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
