//! The file of a model's big tensors: by which name it stands beside the model, and what becomes of the one before.
//!
//! A model and its data are two files, and two files can't be replaced at once. So data that the model before still reads
//! are never replaced by others: the new ones go by another name, and the old ones are removed once the new model is
//! there. Whenever it stops, there is the old model with its data or the new one with its own.

use super::{SaveError, data_files};
use crate::files::{folder, same_file};
use crate::load;
use crate::save::tensor::DataFile;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

/// What stands where a model is to be written, and what may not be replaced.
pub(super) struct Beside<'a> {
    target: &'a Path,
    /// The data files of the model that is written, which stay.
    sources: &'a BTreeSet<String>,
    source_dir: &'a Path,
    /// The data files of the model that is replaced.
    before: BTreeSet<String>,
}

impl<'a> Beside<'a> {
    pub(super) fn new(target: &'a Path, sources: &'a BTreeSet<String>, input: Option<&'a Path>) -> Beside<'a> {
        let old = Some(target).filter(|t| t.is_file()).and_then(|t| load::load(t).ok());
        let before = old.and_then(|m| data_files(&m).ok()).unwrap_or_default();
        Beside { target, sources, source_dir: folder(input.unwrap_or(target)), before }
    }

    /// The data file under the first name that is free for it; `encode` makes it for a name.
    pub(super) fn placed<T>(
        &self,
        mut encode: impl FnMut(String) -> Result<(T, Option<DataFile>), SaveError>,
    ) -> Result<(T, Option<DataFile>), SaveError> {
        for name in self.names().filter(|name| !self.is_source(name)) {
            let path = folder(self.target).join(&name);
            let in_use = self.before.contains(&name) && path.is_file();
            let (model, data) = encode(name)?;
            if !in_use || data.as_ref().is_none_or(|d| d.pieces.is_empty() || is_content(d, &path).unwrap_or(false)) {
                return Ok((model, data));
            }
        }
        unreachable!("names do not end")
    }

    /// Removes the data that nobody reads any more once `kept` is there: files of the names that are given here.
    pub(super) fn clear(&self, kept: Option<&str>) {
        let ours: BTreeSet<String> = self.names().take(self.before.len() + 2).collect();
        for name in self.before.iter().filter(|n| kept != Some(n.as_str()) && ours.contains(*n) && !self.is_source(n)) {
            // What can't be removed is in nobody's way.
            _ = std::fs::remove_file(folder(self.target).join(name));
        }
    }

    fn names(&self) -> impl Iterator<Item = String> {
        let base = self.target.file_name().unwrap_or(OsStr::new("model")).to_string_lossy().into_owned();
        std::iter::once(format!("{base}.data")).chain((1..).map(move |i| format!("{base}.{i}.data")))
    }

    fn is_source(&self, name: &str) -> bool {
        let path: PathBuf = folder(self.target).join(name);
        self.sources.iter().any(|source| same_file(&self.source_dir.join(source), &path))
    }
}

/// Whether a file has just these data.
fn is_content(data: &DataFile, path: &Path) -> io::Result<bool> {
    let file = File::open(path)?;
    if file.metadata()?.len() != data.length {
        return Ok(false);
    }
    let (mut file, mut at, mut chunk) = (BufReader::new(file), 0, vec![0; 1 << 16]);
    for (offset, piece) in &data.pieces {
        let gap = &mut chunk[..(offset - at) as usize];
        file.read_exact(gap)?;
        if gap.iter().any(|&b| b != 0) {
            return Ok(false);
        }
        for part in piece.chunks(1 << 16) {
            let there = &mut chunk[..part.len()];
            file.read_exact(there)?;
            if there != part {
                return Ok(false);
            }
        }
        at = offset + piece.len() as u64;
    }
    Ok(true)
}
