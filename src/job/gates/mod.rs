//! Gates: bounds that a result must keep to be let through, by a build or a pipeline.
//!
//! A gate is a name and a bound, `max_drift=0.02`. What was measured of a result are its [`Figures`]; both make a
//! [`Verdict`]. What was not measured is not let through.

mod bound;
mod figures;
mod github;
mod junit;

pub(crate) use bound::bytes;
pub use bound::{Bound, BoundError, Unit};
pub use figures::{Figures, Verdict};
pub use github::annotation;
pub use junit::{JunitError, Suite, junit};

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// All gates, in the order in which they are listed. A new one is a row: flag, build file, schema and the documents'
/// table are made from it.
pub static GATES: [GateKind; 8] = [
    GateKind {
        name: "max_drift",
        about: "how far any output may be from the original's (relative L2; 0.02 or 2%)",
        unit: Unit::Share,
        direction: Direction::AtMost,
        needs: Needs::Run,
        figure: |figures| figures.drift.clone().map(GateFigure::Alone),
    },
    GateKind {
        name: "min_accuracy",
        about: "the least accuracy by the labels (R² for regression; 0.98 or 98%)",
        unit: Unit::Share,
        direction: Direction::AtLeast,
        needs: Needs::Labels,
        figure: |figures| figures.accuracy.clone().map(|(_, after)| GateFigure::Alone(after)),
    },
    GateKind {
        name: "max_drop",
        about: "the most accuracy that may be lost (0.01 or 1%)",
        unit: Unit::Share,
        direction: Direction::AtMost,
        needs: Needs::Labels,
        figure: |figures| figures.accuracy.clone().map(|(before, after)| GateFigure::Alone(before - after)),
    },
    GateKind {
        name: "min_speedup",
        about: "how many times as fast as the original it must be (1.5)",
        unit: Unit::Times,
        direction: Direction::AtLeast,
        needs: Needs::Times,
        figure: |figures| figures.latency.clone().map(|(before, after)| GateFigure::Alone(before / after)),
    },
    GateKind {
        name: "max_latency_ms",
        about: "the longest median time of a run, in milliseconds",
        unit: Unit::Milliseconds,
        direction: Direction::AtMost,
        needs: Needs::Times,
        figure: |figures| figures.latency.clone().map(|(_, after)| GateFigure::Alone(after * 1e3)),
    },
    GateKind {
        name: "max_size",
        about: "the largest file, data beside it included (300000, 300KB, 1.5MB, or 50% of the original)",
        unit: Unit::Bytes,
        direction: Direction::AtMost,
        needs: Needs::Nothing,
        figure: |figures| Ok(GateFigure::Beside(figures.size)),
    },
    GateKind {
        name: "max_nodes",
        about: "the most nodes (40, or 80% of the original)",
        unit: Unit::Count,
        direction: Direction::AtMost,
        needs: Needs::Nothing,
        figure: |figures| Ok(GateFigure::Beside(figures.nodes)),
    },
    GateKind {
        name: "equivalence",
        about: "whether the proof of the cut must have been run and hold (true)",
        unit: Unit::Truth,
        direction: Direction::AtLeast,
        needs: Needs::Run,
        figure: |figures| figures.equal.clone().map(|equal| GateFigure::Alone(f64::from(u8::from(equal)))),
    },
];

/// A kind of gate.
#[derive(Debug)]
pub struct GateKind {
    /// What flags, build files, reports and annotations call it.
    pub name: &'static str,
    /// What it bounds, and how the bound is written.
    pub about: &'static str,
    /// What the bound is given in.
    pub unit: Unit,
    /// Which way it bounds.
    pub direction: Direction,
    /// What must have been measured.
    pub needs: Needs,
    /// What it bounds, or why that was not measured.
    pub figure: fn(&Figures) -> Result<GateFigure, String>,
}

/// Which way a gate bounds a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The bound is the most that is good enough.
    AtMost,
    /// The bound is the least that is good enough.
    AtLeast,
}

/// What must have been measured for a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: the file says it.
    Nothing,
    /// The models must have been run.
    Run,
    /// They must have been run on inputs with labels.
    Labels,
    /// They must have been timed.
    Times,
}

/// What a gate bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GateFigure {
    /// A figure that says something by itself.
    Alone(f64),
    /// That of the original and that of the result: the bound may be a share of the first.
    Beside((u64, u64)),
}

impl GateKind {
    /// The kind of a name; `-` and `_` are alike.
    pub fn named(name: &str) -> Option<&'static GateKind> {
        let name = name.replace('-', "_");
        GATES.iter().find(|kind| kind.name == name)
    }

    /// Whether models have to be timed for it.
    pub fn is_about_time(&self) -> bool {
        self.needs == Needs::Times
    }

    /// Its place in the table.
    fn place(&self) -> usize {
        GATES.iter().position(|kind| kind.name == self.name).unwrap_or(GATES.len())
    }
}

impl PartialEq for GateKind {
    fn eq(&self, other: &GateKind) -> bool {
        self.name == other.name
    }
}

impl Eq for GateKind {}

impl PartialOrd for GateKind {
    fn partial_cmp(&self, other: &GateKind) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for GateKind {
    /// By the order of the table.
    fn cmp(&self, other: &GateKind) -> Ordering {
        self.place().cmp(&other.place())
    }
}

/// A bound on a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gate {
    pub kind: &'static GateKind,
    pub bound: Bound,
}

impl Gate {
    /// A gate of a kind, with its bound as people write it.
    pub fn new(kind: &'static GateKind, bound: &str) -> Result<Gate, GateError> {
        let bound = kind.unit.parse(bound).map_err(|cause| GateError::Bound { name: kind.name, cause })?;
        Ok(Gate { kind, bound })
    }
}

/// A text that is no gate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // The messages say what each is.
pub enum GateError {
    #[error("give NAME=BOUND, such as max_drift=0.02")]
    NoBound,
    #[error("there is no gate `{name}`; there are {}", names())]
    Unknown { name: String },
    #[error("{name}: {cause}")]
    Bound { name: &'static str, cause: BoundError },
}

fn names() -> String {
    GATES.each_ref().map(|kind| kind.name).join(", ")
}

impl FromStr for Gate {
    type Err = GateError;

    fn from_str(text: &str) -> Result<Gate, GateError> {
        let (name, bound) = text.split_once('=').ok_or(GateError::NoBound)?;
        let kind = GateKind::named(name.trim()).ok_or_else(|| GateError::Unknown { name: name.trim().to_owned() })?;
        Gate::new(kind, bound.trim())
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}={}", self.kind.name, self.kind.unit.show(self.bound))
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
