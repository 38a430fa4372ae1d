//! Options of a pass: `{ratio=0.5 score=l2}`.

use super::text::nearest;
use std::fmt::Display;
use std::str::FromStr;

/// An option as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub key: String,
    pub value: String,
    /// Where its key begins in the pipeline's text, in bytes.
    pub at: usize,
}

/// The options that a pass was given. Its constructor takes those that it knows; what is left is an error.
#[derive(Debug, Default)]
pub struct Options {
    settings: Vec<Setting>,
    known: Vec<&'static str>,
}

/// An option that a pass can't take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct OptionError {
    /// What is wrong with the option, in words.
    pub what: String,
    /// Where the option stands in the pipeline's text, in bytes.
    pub at: usize,
}

impl Options {
    pub(super) fn new(settings: Vec<Setting>) -> Options {
        Options { settings, known: vec![] }
    }

    /// The option's value, if it is given.
    pub fn take<T: FromStr<Err: Display>>(&mut self, key: &'static str) -> Result<Option<T>, OptionError> {
        self.known.push(key);
        // As in build files, `max_bytes` is `max-bytes`.
        let is_key = |s: &Setting| s.key == key || s.key.replace('_', "-") == key;
        let Some(i) = self.settings.iter().position(is_key) else { return Ok(None) };
        let Setting { value, at, .. } = self.settings.remove(i);
        let wrong = |e| OptionError { what: format!("{value:?} is no value for the option {key}: {e}"), at };
        value.parse().map(Some).map_err(wrong)
    }

    /// The option's value, or `default`.
    pub fn take_or<T: FromStr<Err: Display>>(&mut self, key: &'static str, default: T) -> Result<T, OptionError> {
        Ok(self.take(key)?.unwrap_or(default))
    }

    /// Complains of the first option that nobody took.
    pub(super) fn finish(self, pass: &str) -> Result<(), OptionError> {
        let Some(left) = self.settings.first() else { return Ok(()) };
        let what = match nearest(&left.key, self.known.iter().copied()) {
            _ if self.known.contains(&left.key.as_str()) => format!("the option {} is given twice", left.key),
            Some(name) => format!("{pass} has no option {:?}; did you mean {name:?}?", left.key),
            None if self.known.is_empty() => format!("{pass} has no options"),
            None => format!("{pass} has no option {:?}; it has {}", left.key, self.known.join(", ")),
        };
        Err(OptionError { what, at: left.at })
    }
}
