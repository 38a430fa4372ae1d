//! What the lengths of the axes that are left are rounded to.

use std::str::FromStr;

/// Rounding of the axes that are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rounding {
    /// Axes keep a multiple of this length, where they had one (rounded up).
    pub multiple: usize,
    /// Groups keep at least this many units.
    pub min_keep: usize,
}

/// What the lengths of axes are rounded to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RoundTo {
    /// To what a target is as fast at as they promise.
    #[default]
    Auto,
    /// Up to a multiple, whatever it saves.
    Multiple(usize),
}

/// A text that is neither `auto` nor a multiple.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // The messages say what each is.
pub enum RoundingError {
    #[error("it is neither `auto` nor a number")]
    NoNumber,
    #[error("{0} is not in 1..=65535")]
    Range(i64),
}

impl FromStr for RoundTo {
    type Err = RoundingError;

    fn from_str(text: &str) -> Result<RoundTo, RoundingError> {
        if text == "auto" {
            return Ok(RoundTo::Auto);
        }
        let multiple: i64 = text.parse().map_err(|_| RoundingError::NoNumber)?;
        match multiple {
            1..=65535 => Ok(RoundTo::Multiple(multiple as usize)),
            _ => Err(RoundingError::Range(multiple)),
        }
    }
}
