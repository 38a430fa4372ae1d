//! The report: everything that a run of `prune` found and did, for people ([`crate::cli`]) and machines (JSON).

use crate::apply::Removed;
use crate::compare::Difference;
use crate::cost::Cost;
use crate::judge::Judgement;
use crate::latency::Latency;
use crate::layers::LayerCut;
use crate::lossless::Certificate;
use crate::plan::Plan;
use crate::repair::Repaired;
use crate::sparsity::Thinned;
use crate::verify::{Verification, latency_in_ms};
use serde::Serialize;
use std::collections::BTreeMap;

/// What `--report` writes.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The version of secateur that made it.
    pub secateur: &'static str,
    pub input: String,
    pub output: String,
    pub before: Size,
    pub after: Size,
    /// The layers that went.
    pub layers: Vec<LayerReport>,
    /// The groups that lost units.
    pub groups: Vec<GroupReport>,
    /// The groups that could not be cut, and why.
    pub pinned: Vec<PinReport>,
    /// The units that went without loss, with the proof. What follows is about the others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lossless: Vec<Certificate>,
    /// Slices of the input file's constants that are gone: setting them to zero there computes the same, where all
    /// layers are among them too.
    pub removed: Vec<Removed>,
    /// How the contractions fared that were refitted.
    pub repaired: Vec<Repaired>,
    /// The matrices that have single weights at zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sparsity: Option<SparsityReport>,
    pub plan: Plan,
    pub verification: Outcome,
    /// How good both models are, where there are labels.
    pub metrics: Option<Metrics>,
    pub stages: Vec<StageReport>,
}

/// Single weights at zero.
#[derive(Debug, Serialize)]
pub struct SparsityReport {
    /// What was asked for, as a pass.
    pub asked: String,
    /// The weights of these matrices, and how many are zero.
    pub weights: usize,
    pub zeros: usize,
    pub density: f64,
    /// Whether the verification's equivalence is about the zeros too. Where the weights that stayed were refitted it is
    /// about the model before, and the drift alone tells the rest.
    pub proved: bool,
    pub layers: Vec<Thinned>,
}

impl SparsityReport {
    /// Counts the zeros of these matrices.
    pub fn new(asked: String, layers: Vec<Thinned>, proved: bool) -> SparsityReport {
        let (weights, zeros) = (layers.iter().map(|l| l.weights).sum(), layers.iter().map(|l| l.zeros).sum());
        let density = 1.0 - zeros as f64 / usize::max(weights, 1) as f64;
        SparsityReport { asked, weights, zeros, density, proved, layers }
    }
}

/// The size of a model.
#[derive(Clone, Debug, Serialize)]
pub struct Size {
    #[serde(flatten)]
    pub cost: Cost,
    /// Bytes of the file, external data included.
    pub file: u64,
}

/// A layer that went, or can.
#[derive(Clone, Debug, Serialize)]
pub struct LayerReport {
    #[serde(flatten)]
    pub cut: LayerCut,
    /// The value that bypasses the branch, and takes its sum's place.
    pub entry: String,
    /// The branch's result.
    pub exit: String,
    /// Calls that go.
    pub calls: u64,
    pub macs: u64,
    pub params: u64,
    /// Whether `removed` has constants that make the branch's result zero. It has none where the branch shares them, or
    /// where no constant does so.
    pub in_removed: bool,
}

/// A group that lost units.
#[derive(Clone, Debug, Serialize)]
pub struct GroupReport {
    pub label: String,
    pub before: usize,
    pub after: usize,
    /// Whether what survives is as it was.
    pub exact: bool,
    #[serde(rename = "where")]
    pub places: Vec<String>,
}

/// A group that stays whole.
#[derive(Clone, Debug, Serialize)]
pub struct PinReport {
    pub label: String,
    pub size: usize,
    #[serde(rename = "where")]
    pub places: Vec<String>,
    pub why: String,
}

/// What became of verification.
#[derive(Debug, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Outcome {
    /// The models were run.
    Ran(Box<Verification>),
    /// The models were run, but there is nothing to compare the pruned one with; only the drift was measured.
    NoReference {
        why: String,
        drift: Difference,
        #[serde(serialize_with = "latency_in_ms")]
        latency: Option<Latency>,
    },
    /// The oracle could not run them; types and invariants of the result were checked instead.
    Unable { why: String, instead: String },
    /// Not asked for.
    Skipped,
}

/// How good the model was and is, by labels.
#[derive(Clone, Debug, Serialize)]
pub struct Metrics {
    pub before: Judgement,
    pub after: Judgement,
    /// What the figures after are above those before.
    pub change: BTreeMap<&'static str, f64>,
}

impl Metrics {
    pub fn new(before: Judgement, after: Judgement) -> Metrics {
        Metrics { change: after.change(&before), before, after }
    }
}

/// The time of a stage.
#[derive(Debug, Serialize)]
pub struct StageReport {
    pub name: String,
    pub seconds: f64,
}
