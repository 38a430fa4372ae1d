//! Why a job was not done.

use super::monitor::Cancelled;
use super::prove::ProveError;
use super::search::SearchError;
use std::fmt;

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Something could not be done.
    Failed,
    /// The options do not go together, or do not fit the model.
    Options,
    /// The result is not what it must be.
    Check,
    /// Somebody asked to stop.
    Cancelled,
}

/// Why a job was not done, and what can be done about it. Options are named as the command line and build files name
/// them.
#[derive(Clone, Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
}

impl Error {
    pub(crate) fn new(message: impl fmt::Display) -> Error {
        Error { kind: ErrorKind::Failed, message: message.to_string(), hint: None }
    }

    /// Options that do not go together.
    pub(crate) fn options(message: impl fmt::Display) -> Error {
        Error { kind: ErrorKind::Options, ..Error::new(message) }
    }

    /// A result that is not what it should be.
    pub(crate) fn check(message: impl fmt::Display) -> Error {
        Error { kind: ErrorKind::Check, ..Error::new(message) }
    }

    /// The same with what can be done about it.
    pub(crate) fn with_hint(mut self, hint: impl fmt::Display) -> Error {
        self.hint = Some(hint.to_string());
        self
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What can be done about it.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// What failed, and the hint, as one sentence.
    pub fn in_a_line(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{} ({hint})", self.message),
            None => self.message.clone(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<Cancelled> for Error {
    fn from(cancelled: Cancelled) -> Error {
        Error { kind: ErrorKind::Cancelled, ..Error::new(cancelled) }
    }
}

impl From<SearchError> for Error {
    fn from(error: SearchError) -> Error {
        match error {
            SearchError::Cancelled(cancelled) => cancelled.into(),
            error => Error::new(error),
        }
    }
}

impl From<ProveError> for Error {
    fn from(error: ProveError) -> Error {
        match error {
            ProveError::Cancelled(cancelled) => cancelled.into(),
            error => Error::new(error),
        }
    }
}

macro_rules! failed {
    ($($error:ty),* $(,)?) => {
        $(impl From<$error> for Error {
            fn from(error: $error) -> Error {
                Error::new(error)
            }
        })*
    };
}

failed!(
    crate::ir::TensorError,
    crate::judge::EvalError,
    crate::layers::LayerError,
    crate::load::LoadError,
    crate::machine::EnergyError,
    crate::machine::TableError,
    crate::pipelines::RunError,
    crate::prune::trial::TrialError,
    crate::prune::PruneError,
    crate::reference::ReferenceError,
    crate::save::SaveError,
    crate::sparsity::SparsityError,
    crate::stats::StatsError,
    crate::tune::TuneError,
    crate::verify::VerifyError,
    serde_json::Error,
);
