//! Lock files: what an output was made from, and what was made.
//!
//! One lies beside each output, `small.lock.json`. It has hashes and no times, so that the same build writes the same
//! bytes on every machine, and it can be committed with the model.

use super::memo::Memo;
use super::target::Target;
use crate::files;
use crate::oracle::Setup;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The version of this format.
const VERSION: u32 = 1;

/// What an output was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lock {
    version: u32,
    secateur: String,
    /// What ran models while it was made.
    #[serde(default)]
    runtime: String,
    /// What widths were worth keeping for, where the options do not say that.
    #[serde(default)]
    target: String,
    /// The options, in the words of the command line.
    options: Vec<String>,
    gates: Vec<String>,
    /// Hashes of the model, of its data files and of all that options name; by their names in the build file.
    inputs: BTreeMap<String, String>,
    /// Hashes of what was written, by file name.
    pub outputs: BTreeMap<String, String>,
}

/// Why something has to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// It never was.
    New,
    /// What was recorded of it can't be read.
    Unreadable,
    /// Somebody said so.
    Forced,
    /// By another version of secateur.
    Version(String),
    /// With another runtime, or another version of it.
    Runtime(String),
    /// For another target.
    Target(String),
    /// Its options are others.
    Options,
    /// It must keep other bounds.
    Gates,
    /// An input is another.
    Input(String),
    /// An output is missing, or is not what was written.
    Output(String),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Why::New => f.write_str("it was never made"),
            Why::Unreadable => f.write_str("its lock file is damaged, or of another version"),
            Why::Forced => f.write_str("forced"),
            Why::Version(v) => write!(f, "it was made by secateur {v}"),
            Why::Runtime(name) => write!(f, "it was made with {name}"),
            Why::Target(name) => write!(f, "its widths are for {name}"),
            Why::Options => f.write_str("its options changed"),
            Why::Gates => f.write_str("its gates changed"),
            Why::Input(name) => write!(f, "{name} changed"),
            Why::Output(name) => write!(f, "{name} is missing, or is not what was written"),
        }
    }
}

impl Lock {
    /// What was recorded of a target, or why nothing is known.
    pub(super) fn read(target: &Target) -> Result<Lock, Why> {
        let text = std::fs::read(target.beside("lock.json")).map_err(|_| Why::New)?;
        let lock: Lock = serde_json::from_slice(&text).map_err(|_| Why::Unreadable)?;
        if lock.version == VERSION { Ok(lock) } else { Err(Why::Unreadable) }
    }

    /// Records a target that was just made of these data files beside the model, and is these files. The setup is what is
    /// usual where the target does not say how models are run.
    pub(super) fn new(
        target: &Target,
        data: &[String],
        outputs: &[PathBuf],
        (setup, memo): (&Setup, &mut Memo),
    ) -> io::Result<Lock> {
        let mut inputs = BTreeMap::from([(target.shown.0.clone(), memo.hash(&target.input)?)]);
        for name in data {
            let path = files::folder(&target.input).join(name);
            let shown = files::folder(Path::new(&target.shown.0)).join(name);
            inputs.insert(slashes(shown.strip_prefix(".").unwrap_or(&shown)), memo.hash(&path)?);
        }
        for (shown, path) in &target.sources {
            inputs.insert(shown.clone(), memo.hash(path)?);
        }
        let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let outputs = outputs.iter().map(|path| Ok((name(path), memo.hash(path)?)));
        let outputs = outputs.collect::<io::Result<_>>()?;
        let (secateur, options) = (env!("CARGO_PKG_VERSION").to_owned(), target.options.clone());
        let (runtime, gates) = (runtime(target, setup), gates(target));
        let rounded = rounded(target, setup);
        Ok(Lock { version: VERSION, secateur, runtime, target: rounded, options, gates, inputs, outputs })
    }

    pub(super) fn write(&self, target: &Target) -> io::Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(io::Error::other)?;
        files::write(&target.beside("lock.json"), text + "\n")
    }

    /// What is no more as it was recorded, if anything is.
    pub(super) fn differs(&self, target: &Target, memo: &mut Memo) -> Option<Why> {
        if self.options != target.options {
            return Some(Why::Options);
        }
        let named = [&target.shown.0].into_iter().chain(target.sources.keys());
        if let Some(new) = named.into_iter().find(|name| !self.inputs.contains_key(*name)) {
            return Some(Why::Input(new.clone()));
        }
        let mut is = |path: &Path, hash: &String| memo.hash(path).ok().as_ref() == Some(hash);
        let changed = self.inputs.iter().find(|(name, hash)| !is(&target.folder.join(name), hash));
        if let Some((name, _)) = changed {
            return Some(Why::Input(name.clone()));
        }
        let folder = files::folder(&target.output);
        let changed = self.outputs.iter().find(|(name, hash)| !is(&folder.join(name), hash));
        changed.map(|(name, _)| Why::Output(name.clone()))
    }

    /// Why the target has to be made again.
    pub(super) fn stale(&self, target: &Target, setup: &Setup, memo: &mut Memo) -> Option<Why> {
        let other = self.secateur != env!("CARGO_PKG_VERSION");
        let why = other.then(|| Why::Version(self.secateur.clone()));
        let why = why.or_else(|| (self.gates != gates(target)).then_some(Why::Gates));
        // Locks of earlier versions do not tell.
        let is_other = || !self.runtime.is_empty() && self.runtime != runtime(target, setup);
        let other_target = || !self.target.is_empty() && self.target != rounded(target, setup);
        why.or_else(|| self.differs(target, memo))
            .or_else(|| is_other().then(|| Why::Runtime(self.runtime.clone())))
            .or_else(|| other_target().then(|| Why::Target(self.target.clone())))
    }
}

/// What runs models for a target, by name and version.
fn runtime(target: &Target, usual: &Setup) -> String {
    target.setup(usual).ran().map_or_else(|_| String::new(), |ran| ran.id())
}

/// What widths of a target are for.
fn rounded(target: &Target, usual: &Setup) -> String {
    target.rounded(usual).map_or_else(String::new, |target| target.to_string())
}

fn gates(target: &Target) -> Vec<String> {
    target.gates.values().map(ToString::to_string).collect()
}

fn slashes(path: &Path) -> String {
    path.to_string_lossy().replace('\\', "/")
}
