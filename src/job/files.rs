//! The files of a job: models that are read and written, and what tells of them.

use super::Error;
use super::monitor::{Monitor, Steps};
use super::options::Output;
use crate::files::{self, folder};
use crate::ir::{Model, Store};
use crate::plan::Plan;
use crate::save::{self, SaveError, SaveOptions, Saved};
use crate::{content, load};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What a result is called that is not written.
const NAMELESS: &str = "model.onnx";

/// Loads a model.
pub(crate) fn load(path: &Path) -> Result<Model, Error> {
    Ok(load::load(path)?)
}

/// The plan in a file.
pub(crate) fn plan(path: &Path) -> Result<Plan, Error> {
    let text = std::fs::read(path).map_err(|e| Error::new(format!("{}: {e}", path.display())))?;
    serde_json::from_slice(&text).map_err(|e| {
        Error::new(format!("{}: not a plan: {e}", path.display())).with_hint("`secateur plan` writes plans")
    })
}

/// Bytes of a model's file and of the data files beside it.
pub(crate) fn file_size(path: &Path, model: &Model) -> u64 {
    let own = path.metadata().map_or(0, |m| m.len());
    let external = model.graph.constants().into_iter().filter_map(|n| model.graph.constant(n));
    let external = external.filter(|c| c.tensor.store == Store::External).map(|c| c.tensor.byte_len() as u64);
    own + external.sum::<u64>()
}

/// The content hash of a model's file, with those of the data files beside it.
pub(crate) fn hash(path: &Path, model: &Model) -> Result<String, Error> {
    let hash = |p: &Path| content::hash(p).map_err(|e| Error::new(format!("{}: {e}", p.display())));
    let data = save::data_files(model)?.into_iter().map(|name| folder(path).join(name));
    let hashes = std::iter::once(path.to_owned()).chain(data).map(|p| hash(&p)).collect::<Result<Vec<_>, _>>()?;
    Ok(content::together(&hashes))
}

/// How many bytes a model takes that was read from this file, or is not in one.
pub(super) fn size_of(model: &Model, input: Option<&Path>) -> Result<u64, Error> {
    match input {
        Some(path) => Ok(file_size(path, model)),
        None => Ok(save::size(model, Path::new(NAMELESS), &SaveOptions::default())?),
    }
}

impl Output {
    /// The result as one file of this name, or with its data beside it where it has to be.
    pub fn to(path: impl Into<PathBuf>) -> Output {
        Output { path: path.into(), ..Output::default() }
    }

    /// Writes a model that was made of the input.
    pub(crate) fn save(&self, model: &Model, input: Option<&Path>, monitor: &Monitor) -> Result<Saved, Error> {
        let _work = monitor.begin("writing", Steps::None)?;
        save::save(model, &self.path, &self.options(input)).map_err(why_not_saved)
    }

    /// How many bytes [`save`](Output::save) would write.
    pub(crate) fn size(&self, model: &Model, input: Option<&Path>) -> Result<u64, Error> {
        save::size(model, &self.path, &self.options(input)).map_err(why_not_saved)
    }

    fn options(&self, input: Option<&Path>) -> SaveOptions {
        SaveOptions {
            external: self.external,
            input: input.map(Path::to_owned),
            overwrite_input: self.overwrite,
            sparse: self.sparse,
        }
    }
}

/// How many bytes a result takes that may be written, or not.
pub(super) fn result_size(output: Option<&Output>, model: &Model, input: Option<&Path>) -> Result<u64, Error> {
    match output {
        Some(output) => output.size(model, input),
        None => Ok(save::size(model, Path::new(NAMELESS), &SaveOptions::default())?),
    }
}

fn why_not_saved(error: SaveError) -> Error {
    let is_input = matches!(&error, SaveError::In { cause, .. } if matches!(**cause, SaveError::IsInput));
    let error = Error::new(error);
    if is_input { error.with_hint("name another output, or allow it with --overwrite") } else { error }
}

/// Writes a model that is not the result, but speaks of it.
pub(super) fn save_beside(model: &Model, path: &Path, input: Option<PathBuf>) -> Result<(), Error> {
    let options = SaveOptions { input, ..SaveOptions::default() };
    Ok(save::save(model, path, &options).map(drop)?)
}

/// Writes JSON to a file: whole, or not at all.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    write_text(path, &(serde_json::to_string_pretty(value)? + "\n"))
}

/// Writes text to a file: whole, or not at all.
pub(crate) fn write_text(path: &Path, text: &str) -> Result<(), Error> {
    files::write(path, text).map_err(|e| Error::new(format!("{}: {e}", path.display())))
}
