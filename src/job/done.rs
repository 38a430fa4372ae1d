//! What a job came to.

use super::Error;
use super::gates::Verdict;
use super::monitor::Monitor;
use super::options::Output;
use super::report::{Outcome, Report};
use crate::ir::Model;
use std::fmt;
use std::path::{Path, PathBuf};

/// A job that was done: what was found, and the model, unless it is refused.
pub struct Done {
    /// Everything that was found and done.
    pub report: Report,
    /// The pruned model, to be written; the original, where nothing went. Or why nobody should have it.
    pub model: Result<Model, Refusal>,
    /// Why nothing was pruned, where that is so.
    pub nothing: Option<String>,
    /// The data files of the input, relative to it.
    pub data: Vec<String>,
    /// The files that were written: the model's, and its data file if it has one.
    pub written: Vec<PathBuf>,
    pub(super) input: Option<PathBuf>,
}

/// Why a result is refused. It is not written.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// It does not compute what it must.
    NotEqual,
    /// It misses these gates.
    Gates(Vec<Verdict>),
}

impl Done {
    /// What became of the proof.
    pub fn proof(&self) -> &Outcome {
        &self.report.verification
    }

    /// Whether the result does not compute what it must.
    pub fn is_wrong(&self) -> bool {
        self.model.as_ref().err() == Some(&Refusal::NotEqual)
    }

    /// Writes the model, whole or not at all, and never over the input. Fails for one that is refused.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let model = self.model.as_ref().map_err(Error::check)?;
        let output = Output::to(path.as_ref());
        output.save(model, self.input.as_deref(), &Monitor::default()).map(drop)
    }
}

/// What is said of a result that failed its check.
pub(crate) const NOT_EQUAL: &str = "the pruned model does not compute what its reference computes; it was not written";

/// The same of one that was written before.
pub(crate) const NOT_EQUAL_NOW: &str = "the model does not compute what its reference computes";

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Refusal::NotEqual => f.write_str(NOT_EQUAL),
            Refusal::Gates(missed) => {
                let says: Vec<&str> = missed.iter().map(|v| v.says.as_str()).collect();
                f.write_str(&says.join("; "))
            }
        }
    }
}

impl std::error::Error for Refusal {}
