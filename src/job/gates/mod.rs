//! Gates: bounds that a result must keep to be let through, by a build or a pipeline.
//!
//! A gate is a name and a bound, `max_drift=0.02`. What was measured of a result are its [`Figures`]; both make a
//! [`Verdict`]. What was not measured is not let through.

mod bound;
mod figures;
mod github;
mod junit;

pub(crate) use bound::bytes;
pub use bound::{Bound, BoundError};
pub use figures::{Figures, Verdict};
pub use github::annotation;
pub use junit::{JunitError, Suite, junit};

use bound::Unit;
use std::fmt;
use std::str::FromStr;

/// What is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    MaxDrift,
    MinAccuracy,
    MaxDrop,
    MinSpeedup,
    MaxLatencyMs,
    MaxSize,
    MaxNodes,
    Equivalence,
}

/// All kinds, in the order in which they are told.
pub const KINDS: [Kind; 8] = [
    Kind::MaxDrift,
    Kind::MinAccuracy,
    Kind::MaxDrop,
    Kind::MinSpeedup,
    Kind::MaxLatencyMs,
    Kind::MaxSize,
    Kind::MaxNodes,
    Kind::Equivalence,
];

impl Kind {
    /// The kind of a name; `-` and `_` are alike.
    pub fn named(name: &str) -> Option<Kind> {
        KINDS.into_iter().find(|k| k.name() == name.replace('-', "_"))
    }

    pub fn name(self) -> &'static str {
        match self {
            Kind::MaxDrift => "max_drift",
            Kind::MinAccuracy => "min_accuracy",
            Kind::MaxDrop => "max_drop",
            Kind::MinSpeedup => "min_speedup",
            Kind::MaxLatencyMs => "max_latency_ms",
            Kind::MaxSize => "max_size",
            Kind::MaxNodes => "max_nodes",
            Kind::Equivalence => "equivalence",
        }
    }

    /// What it bounds, and how the bound is written.
    pub fn about(self) -> &'static str {
        match self {
            Kind::MaxDrift => "how far any output may be from the original's (relative L2; 0.02 or 2%)",
            Kind::MinAccuracy => "the least accuracy by the labels (R² for regression; 0.98 or 98%)",
            Kind::MaxDrop => "the most accuracy that may be lost (0.01 or 1%)",
            Kind::MinSpeedup => "how many times as fast as the original it must be (1.5)",
            Kind::MaxLatencyMs => "the longest median time of a run, in milliseconds",
            Kind::MaxSize => "the largest file, data beside it included (300000, 300KB, 1.5MB, or 50% of the original)",
            Kind::MaxNodes => "the most nodes (40, or 80% of the original)",
            Kind::Equivalence => "whether the proof of the cut must have been run and hold (true)",
        }
    }

    /// Whether the bound is the least that is good enough; else it is the most.
    fn is_floor(self) -> bool {
        matches!(self, Kind::MinAccuracy | Kind::MinSpeedup | Kind::Equivalence)
    }

    /// Whether models have to be timed for it.
    pub fn is_about_time(self) -> bool {
        matches!(self, Kind::MinSpeedup | Kind::MaxLatencyMs)
    }

    fn unit(self) -> Unit {
        match self {
            Kind::MaxDrift | Kind::MinAccuracy | Kind::MaxDrop => Unit::Share,
            Kind::MinSpeedup => Unit::Times,
            Kind::MaxLatencyMs => Unit::Milliseconds,
            Kind::MaxSize => Unit::Bytes,
            Kind::MaxNodes => Unit::Count,
            Kind::Equivalence => Unit::Truth,
        }
    }
}

/// A bound on a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gate {
    pub kind: Kind,
    pub bound: Bound,
}

impl Gate {
    /// A gate of a kind, with its bound as people write it.
    pub fn new(kind: Kind, bound: &str) -> Result<Gate, GateError> {
        let bound = kind.unit().parse(bound).map_err(|cause| GateError::Bound { name: kind.name(), cause })?;
        Ok(Gate { kind, bound })
    }
}

/// A text that is no gate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    #[error("give NAME=BOUND, such as max_drift=0.02")]
    NoBound,
    #[error("there is no gate `{name}`; there are {}", names())]
    Unknown { name: String },
    #[error("{name}: {cause}")]
    Bound { name: &'static str, cause: BoundError },
}

fn names() -> String {
    KINDS.map(Kind::name).join(", ")
}

impl FromStr for Gate {
    type Err = GateError;

    fn from_str(text: &str) -> Result<Gate, GateError> {
        let (name, bound) = text.split_once('=').ok_or(GateError::NoBound)?;
        let kind = Kind::named(name.trim()).ok_or_else(|| GateError::Unknown { name: name.trim().to_owned() })?;
        Gate::new(kind, bound.trim())
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}={}", self.kind.name(), self.kind.unit().show(self.bound))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_print_as_they_parse() {
        for text in ["max_drift=0.02", "min_speedup=1.5", "max_size=300000 B", "max_size=50 %", "equivalence=true"] {
            assert_eq!(text.parse::<Gate>().unwrap().to_string(), text);
        }
        assert_eq!("max-drop = 1%".parse::<Gate>().unwrap().to_string(), "max_drop=0.01");
    }

    #[test]
    fn what_is_no_gate_says_why() {
        let error = |text: &str| text.parse::<Gate>().unwrap_err().to_string();
        assert_eq!(error("max_drift"), "give NAME=BOUND, such as max_drift=0.02");
        assert!(error("max_drif=1").starts_with("there is no gate `max_drif`; there are max_drift, min_accuracy"));
        assert_eq!(error("max_drift=much"), "max_drift: `much` is neither a number nor a share such as 2%");
        assert_eq!(error("equivalence=maybe"), "equivalence: `maybe` is neither true nor false");
    }
}
