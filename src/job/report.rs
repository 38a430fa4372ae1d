//! The report: everything that a run of `prune` found and did, for people (as text or a page) and machines (JSON).

pub use crate::layers::LayerReport;
pub use crate::prune::{CallReport, CallSize, GroupReport, PinReport};

use super::gates::Verdict;
use super::prove::Failed;
use super::search::SearchReport;
use crate::apply::Removed;
use crate::compare::Difference;
use crate::cost::Cost;
use crate::figures;
use crate::judge::Judgement;
use crate::latency::{Latency, latency_in_ms};
use crate::lossless::Certificate;
use crate::machine::{CorrectionRound, Host, MeasuredShare, Quantity, Skipped};
use crate::oracle::Runtime;
use crate::plan::{Budget, Estimate, Plan};
use crate::repair::{Costs, Repaired, Step, Unrepaired};
use crate::sparsity::Thinned;
use crate::verify::Verification;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// Of the speed that fewer multiply-accumulates promise, a model is expected to have this share.
const KEPT: f64 = 0.8;

/// What `--report` writes.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The version of secateur that made it.
    pub secateur: &'static str,
    /// The path of the model that was read.
    pub input: String,
    /// The path that the result goes to.
    pub output: String,
    /// The original's size.
    pub before: Size,
    /// The result's size.
    pub after: Size,
    /// What each call costs that costs anything, before and after.
    pub calls: Vec<CallReport>,
    /// The layers that went.
    pub layers: Vec<LayerReport>,
    /// The groups that lost units.
    pub groups: Vec<GroupReport>,
    /// The groups that could not be cut, and why.
    pub pinned: Vec<PinReport>,
    /// What became of a plan that failed its proof: `plan` is what was left of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unproved: Option<Failed>,
    /// The units that went without loss, with the proof. What follows is about the others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lossless: Vec<Certificate>,
    /// Slices of the input file's constants that are gone: setting them to zero there computes the same, where all
    /// layers are among them too.
    pub removed: Vec<Removed>,
    /// What samples the choice and the repair went by.
    pub samples: SampleReport,
    /// How the contractions fared that were refitted.
    pub repaired: Vec<Repaired>,
    /// The calls that lost units they sum over and were not refitted, though a repair was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unrepaired: Vec<Unrepaired>,
    /// The matrices that have single weights at zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sparsity: Option<SparsityReport>,
    /// Which units and layers went.
    pub plan: Plan,
    /// What was tried before, where something was.
    #[serde(rename = "driven", skip_serializing_if = "Option::is_none")]
    pub searched: Option<SearchReport>,
    /// What the machine takes for the model, where a budget or a table asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineReport>,
    /// What running the models found.
    pub verification: Outcome,
    /// How good both models are, where there are labels.
    pub metrics: Option<Metrics>,
    /// What the gates say, where some were given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<Verdict>,
    /// The seconds of each stage, in the order in which they ran.
    pub stages: Vec<StageReport>,
    /// What the repair took, where there were samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repair_costs: Option<RepairReport>,
}

/// What samples a choice and a repair went by.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "source", rename_all = "kebab-case")]
pub enum SampleReport {
    /// Somebody gave them.
    Given {
        /// How many were used.
        count: usize,
    },
    /// They were made up.
    MadeUp {
        /// How many.
        count: usize,
        /// What was drawn for which input.
        inputs: Vec<MadeUpInput>,
    },
    /// There were none.
    None {
        /// Why none were made up, where they might have been.
        why: Option<String>,
    },
}

/// What was made up for an input.
#[derive(Clone, Debug, Serialize)]
pub struct MadeUpInput {
    /// The input's name.
    pub name: String,
    /// What it looks like: images, sound, maps (of sound or features), tokens, columns, noise.
    pub kind: &'static str,
    /// Between which numbers pictures lie, or by which mean and deviation they are normed.
    pub scale: Option<String>,
    /// How that was found, or where the numbers are from; empty where there is nothing to tell.
    pub how: String,
}

impl Default for SampleReport {
    fn default() -> SampleReport {
        SampleReport::None { why: None }
    }
}

impl fmt::Display for SampleReport {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            SampleReport::Given { count } => write!(f, "{count} given"),
            SampleReport::MadeUp { count, inputs } => {
                let inputs: Vec<String> = inputs.iter().map(MadeUpInput::to_string).collect();
                write!(f, "{count} made up: {}", inputs.join(", "))
            }
            SampleReport::None { why: None } => write!(f, "none"),
            SampleReport::None { why: Some(why) } => write!(f, "none: {why}"),
        }
    }
}

impl fmt::Display for MadeUpInput {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} for `{}`", self.kind, self.name)?;
        self.scale.iter().try_for_each(|scale| write!(f, " in {scale}"))?;
        if self.how.is_empty() { Ok(()) } else { write!(f, ", {}", self.how) }
    }
}

/// What a repair on samples took, in seconds and in bytes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct RepairReport {
    /// Running both models, and preparing their parts for the runtime.
    pub running: f64,
    /// What the runtime does before it can run a part, and taking parts out.
    pub preparing: f64,
    /// Finding weights and writing them.
    pub solving: f64,
    /// All else: sums over what was measured.
    pub summing: f64,
    /// Activations at most, in memory and in a temporary file.
    pub in_memory: u64,
    /// Bytes of activations in the temporary file, at most.
    pub in_file: u64,
}

impl RepairReport {
    /// What some costs are in the report.
    pub fn new(costs: &Costs) -> RepairReport {
        let Costs { runs, solving, whole, in_memory, in_file } = *costs;
        let [running, preparing, solving] = [runs.run, runs.prepare, solving].map(|t| t.as_secs_f64());
        let summing = (whole.as_secs_f64() - running - preparing - solving).max(0.0);
        RepairReport { running, preparing, solving, summing, in_memory, in_file }
    }
}

/// What people look at first: one row of the table of sizes.
#[derive(Clone, Copy, Debug)]
pub struct SizeRow {
    /// What the row counts.
    pub name: &'static str,
    /// The original's figure.
    pub before: u64,
    /// The result's figure.
    pub after: u64,
    show: fn(u64) -> String,
}

impl SizeRow {
    /// The figure as people read it.
    pub fn show(&self, n: u64) -> String {
        (self.show)(n)
    }

    /// What is left, as a share.
    pub fn left(&self) -> String {
        figures::left(self.before, self.after)
    }
}

impl Report {
    /// The sizes before and after.
    pub fn sizes(&self) -> Vec<SizeRow> {
        let (a, b) = (&self.before, &self.after);
        let row = |name, before, after, show| SizeRow { name, before, after, show };
        let mut rows = vec![
            row("nodes", a.cost.nodes, b.cost.nodes, figures::count as fn(u64) -> String),
            row("parameters", a.cost.params, b.cost.params, figures::count),
            row(
                if a.cost.choices > 0 { "MACs, dearer branch" } else { "MACs" },
                a.cost.macs,
                b.cost.macs,
                figures::count,
            ),
            row("peak memory", a.cost.peak, b.cost.peak, figures::bytes),
        ];
        // A result that failed its check was not written and has no size.
        rows.extend((b.file > 0).then(|| row("file", a.file, b.file, figures::bytes)));
        rows
    }

    /// What was fitted to what it computed before; what only got its mean and variance back is left out.
    pub fn refitted(&self) -> impl Iterator<Item = &Repaired> {
        self.repaired.iter().filter(|r| r.step != Step::RematchStatistics)
    }

    /// How the repair fared at the median contraction and at the worst, by the error that is left.
    pub fn repair(&self) -> Option<(&Repaired, &Repaired)> {
        let mut order: Vec<&Repaired> = self.refitted().collect();
        order.sort_by(|a, b| a.after.total_cmp(&b.after));
        // Of an even number the lower of the two in the middle.
        Some((order.get(order.len().saturating_sub(1) / 2)?, order.last()?))
    }

    /// What share of the MACs lost units of a sum and was not refitted, by the reason: calls, MACs, the first name.
    pub fn unrepaired_by_reason(&self) -> Vec<(&str, usize, f64, &str)> {
        let mut reasons: Vec<(&str, usize, u64, &str)> = vec![];
        for one in &self.unrepaired {
            match reasons.iter_mut().find(|r| r.0 == one.why) {
                Some(reason) => (reason.1, reason.2) = (reason.1 + 1, reason.2 + one.macs),
                None => reasons.push((&one.why, 1, one.macs, &one.node)),
            }
        }
        let all = self.before.cost.macs.max(1) as f64;
        reasons.into_iter().map(|(why, calls, macs, first)| (why, calls, macs as f64 / all, first)).collect()
    }

    /// What kind of equality the verification is about.
    pub fn equivalence(&self) -> &'static str {
        // Under inexact groups the reference has its statistics restricted to the kept units, beside the zeros.
        if self.groups.iter().all(|g| g.exact) { "masked equivalence" } else { "restricted equivalence" }
    }

    /// What is told where a budget of multiply-accumulates made the model less than 0.8 times as fast as it promised.
    pub fn slow(&self) -> Option<String> {
        let latency = self.verification.latency()?;
        let (_, ratio) = latency.second.as_ref()?;
        let left = self.after.cost.macs as f64 / u64::max(self.before.cost.macs, 1) as f64;
        let promised = 1.0 / left.max(f64::MIN_POSITIVE);
        if left >= 0.95 || ratio.median >= KEPT * promised || !self.plan.budget.starts_with("macs ") {
            return None;
        }
        let why = match self.plan.target() {
            None => "it has widths that kernels are not made for; --round-to auto keeps those that pay".to_owned(),
            Some(target) if (target == "tract") != (latency.ran.runtime == Runtime::Tract) => {
                format!("its widths are for {target}, and {} ran it; --runtime says what does", latency.ran)
            }
            Some(_) => {
                "what multiplies nothing, and moving data, takes its time too; --latency keeps a share of what is \
                        measured"
                    .to_owned()
            }
        };
        let (left, median) = (figures::share(left), ratio.median);
        Some(format!("{left} of the MACs promise {promised:.2} times as fast, and it is {median:.2}: {why}"))
    }

    /// The drift, where the outputs are no nearer to the original's than zeros are.
    pub fn strayed(&self) -> Option<f64> {
        self.verification.drift().map(Difference::drift).filter(|&drift| drift >= 1.0 && !self.failed())
    }

    /// What the result has more of than the input, of bytes and parameters: nothing, but where many calls share a
    /// weight that is cut differently for each, or the passes that somebody asked for do that.
    pub fn grown(&self) -> Option<String> {
        let rows = self.sizes().into_iter().filter(|r| matches!(r.name, "parameters" | "file") && r.after > r.before);
        let texts: Vec<String> =
            rows.map(|r| format!("{} {} → {}", r.name, r.show(r.before), r.show(r.after))).collect();
        (!texts.is_empty()).then(|| texts.join(", "))
    }

    /// By how much a budget of the whole model is missed, in words, where it is.
    pub fn missed(&self) -> Option<String> {
        let budget = self.plan.budget.parse::<Budget>().ok()?;
        let figure = |size: &Size| budget.kind().figure(&size.cost);
        let (asked, before, after) = (budget.share()?, figure(&self.before)?, figure(&self.after)?);
        let left = after as f64 / u64::max(before, 1) as f64;
        let missed = || format!("{} is left under a budget of {}", figures::share(left), self.plan.budget);
        (left > asked + 1e-6).then(missed)
    }

    /// Whether the models were run and the result was found wanting.
    pub fn failed(&self) -> bool {
        matches!(&self.verification, Outcome::Ran(v) if !v.equal)
    }
}

/// What a machine takes for the model.
#[derive(Clone, Debug, Serialize)]
pub struct MachineReport {
    /// Whether it is time or energy.
    pub quantity: Quantity,
    /// Where the figures are from: a file, this machine, or a model of energies.
    pub source: String,
    /// The machine that the table is of; `None` where there is no table.
    pub host: Option<Host>,
    /// A hash of the table.
    pub table: Option<String>,
    /// The share to keep; `None` where the budget counts something else, and the table said which widths are worth it.
    pub asked: Option<f64>,
    /// By the table, in microseconds or microjoules.
    pub predicted: Estimate,
    /// What share of the original's time was measured, and the plans that were tried for it.
    pub measured: Option<MeasuredShare>,
    /// The plans that were tried and timed, in order.
    pub rounds: Vec<CorrectionRound>,
    /// Whether the share asked for was met, by the measured share where there is one.
    pub met: Option<bool>,
    /// What could not be measured, and counts as nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
}

/// Single weights at zero.
#[derive(Debug, Serialize)]
pub struct SparsityReport {
    /// What was asked for, as a pass.
    pub asked: String,
    /// The weights of these matrices, and how many are zero.
    pub weights: usize,
    /// How many of these weights are zero.
    pub zeros: usize,
    /// The share of weights that are not zero, from 0 to 1.
    pub density: f64,
    /// Whether the verification's equivalence is about the zeros too. Where the weights that stayed were refitted it is
    /// about the model before, and the drift alone tells the rest.
    pub proved: bool,
    /// The matrices one by one.
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
    /// What the model costs.
    #[serde(flatten)]
    pub cost: Cost,
    /// Bytes of the file, external data included.
    pub file: u64,
}

/// What became of verification.
#[derive(Debug, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
#[allow(clippy::large_enum_variant, reason = "a run has one of these")]
pub enum Outcome {
    /// The models were run.
    Ran(Box<Verification>),
    /// The models were run, but there is nothing to compare the pruned one with; only the drift was measured.
    NoReference {
        /// Why there is nothing to compare with.
        why: String,
        /// Pruned against original.
        drift: Difference,
        /// The times of both; `None` where nothing was timed.
        #[serde(serialize_with = "latency_in_ms")]
        latency: Option<Latency>,
    },
    /// The oracle could not run them; types and invariants of the result were checked instead.
    Unable {
        /// What kept the oracle from it.
        why: String,
        /// What was checked instead, in words.
        instead: String,
    },
    /// Not asked for.
    Skipped,
}

impl Outcome {
    /// How far the outputs are from the original's, where the models were run.
    pub fn drift(&self) -> Option<&Difference> {
        match self {
            Outcome::Ran(v) => Some(&v.drift),
            Outcome::NoReference { drift, .. } => Some(drift),
            Outcome::Unable { .. } | Outcome::Skipped => None,
        }
    }

    /// The times, where the models were timed.
    pub fn latency(&self) -> Option<&Latency> {
        match self {
            Outcome::Ran(v) => v.latency.as_ref(),
            Outcome::NoReference { latency, .. } => latency.as_ref(),
            Outcome::Unable { .. } | Outcome::Skipped => None,
        }
    }
}

/// How good the model was and is, by labels.
#[derive(Clone, Debug, Serialize)]
pub struct Metrics {
    /// The original's.
    pub before: Judgement,
    /// The result's.
    pub after: Judgement,
    /// What the figures after are above those before.
    pub change: BTreeMap<&'static str, f64>,
}

impl Metrics {
    /// The judgements of the original and of the result, with the changes from one to the other.
    pub fn new(before: Judgement, after: Judgement) -> Metrics {
        Metrics { change: after.change(&before), before, after }
    }
}

/// The time of a stage.
#[derive(Debug, Serialize)]
pub struct StageReport {
    /// What the stage is called.
    pub name: String,
    /// How long it took, in seconds.
    pub seconds: f64,
}
