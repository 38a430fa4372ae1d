//! Plans: which layers and which units go. A plan is a file that can be read, edited, kept and applied again.
//!
//! A plan names groups by their labels. Labels are numbered by the graph alone, not by weights or names, so a plan
//! made for one model fits every model of the same architecture; [`Plan::architecture`] tells whether it is one.

mod budget;
mod choose;
mod fill;
mod growth;
mod patterns;
mod price;
mod rounding;
mod rules;
mod share;

pub use crate::machine::{Target, TargetError};
pub use crate::score::{CRITERIA, Context, Criterion, Formula, ScoreError};
pub use budget::{BUDGETS, Budget, BudgetError, BudgetKind, Goal, Measure, Total};
pub use choose::{ChooseError, EstimateError, Options, Ranking, choose, estimate};
pub use fill::{Estimate, PieceCost};
pub use patterns::Patterns;
pub use rounding::{RoundTo, Rounding, RoundingError};
pub use rules::{GroupRule, GroupRuleError};
pub use share::{Share, ShareError};

use crate::analysis::Analysis;
use crate::axes::{Group, KeepSets};
use crate::lossless::Ranges;
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// Which units go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The version of this format.
    pub version: u32,
    /// A hash of the groups and of the operators that they run through, without the layers that go.
    pub architecture: String,
    /// What the units were chosen by.
    pub criterion: String,
    /// What the plan was asked to reach, as the command line says it.
    pub budget: String,
    /// The options that units were chosen by, as the command line says them; files are named by their hashes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub options: String,
    /// The layers that go, before any group is cut.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<LayerCut>,
    /// One entry a group that loses units.
    pub cuts: Vec<GroupCut>,
    /// Units that go without loss are taken over by those that stay, for inputs within these ranges; where absent they
    /// are cut like all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lossless: Option<Ranges>,
}

/// A layer that goes, in terms of the input file: what a plan says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerCut {
    /// Position in the input file's list of nodes of the call that joins the branch with what bypasses it.
    pub node: u32,
    /// That call's operand slot that the branch ends in.
    pub slot: u16,
    /// That call's name, for the reader.
    #[serde(default)]
    pub name: String,
    /// How much the layer changes; what is not known is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// The constants that nothing but the branch reads, for the reader.
    #[serde(rename = "where", default)]
    pub places: Vec<String>,
}

/// The units that a group loses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupCut {
    /// The group's label.
    pub group: String,
    /// How many units it has.
    pub units: usize,
    /// The units that go, ascending.
    pub remove: Vec<usize>,
    /// The constants' axes that the group reaches, for the reader.
    #[serde(rename = "where", default)]
    pub places: Vec<String>,
}

/// Why a plan does not fit a model.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[allow(missing_docs)] // The messages say what each is.
pub enum PlanError {
    #[error("the plan is for another architecture ({plan}; this model's is {model}); make a new plan for this model")]
    Architecture { plan: String, model: String },
    #[error("the plan's format is version {0}; this build reads version {VERSION}")]
    Version(u32),
    #[error("the plan cuts {0}, and the model has no such group")]
    Group(String),
    #[error("the plan cuts {group} of {plan} units, but the model's has {model}")]
    Units { group: String, plan: usize, model: usize },
    #[error("the plan removes unit {unit} of {group}, which has {units}")]
    Unit { group: String, unit: usize, units: usize },
    #[error("the plan removes unit {unit} of {group} twice")]
    UnitTwice { group: String, unit: usize },
    #[error("the plan removes every unit of {0}; at least one must stay")]
    Empty(String),
    #[error("the plan keeps {kept} units of {group}, which needs {floor}")]
    TooFew { group: String, kept: usize, floor: usize },
    #[error("the plan cuts {group} twice")]
    Twice { group: String },
    #[error("the plan cuts {group}, which must stay whole: {why}")]
    Pinned { group: String, why: String },
}

/// How a plan's options say what its widths are for.
const TARGET: &str = "--target=";

/// The version of the plan format.
pub const VERSION: u32 = 1;

impl Plan {
    /// A plan that removes layers and leaves all groups of what remains whole.
    pub fn of_layers(rest: &Analysis, layers: Vec<LayerCut>, criterion: &str) -> Plan {
        let (architecture, budget) = (architecture(rest), format!("layers {}", layers.len()));
        Plan {
            version: VERSION,
            architecture,
            criterion: criterion.to_owned(),
            budget,
            options: String::new(),
            layers,
            cuts: vec![],
            lossless: None,
        }
    }

    /// The same with the options that led to it, beside those that it knows of.
    pub(crate) fn recorded(self, given: &str) -> Plan {
        let known = self.options.split_whitespace().filter(|option| !given.split_whitespace().any(|g| g == *option));
        let options = [given].into_iter().filter(|g| !g.is_empty()).chain(known).collect::<Vec<_>>().join(" ");
        Plan { options, ..self }
    }

    /// What its widths are for; `None` where they are what somebody rounded them to.
    pub fn target(&self) -> Option<&str> {
        self.options.split_whitespace().rev().find_map(|option| option.strip_prefix(TARGET))
    }

    /// Whether nothing goes.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty() && self.cuts.iter().all(|cut| cut.remove.is_empty())
    }

    /// A hash of the plan as JSON, without the options that led to it: what tells whether two models were cut alike.
    pub fn hash(&self) -> Result<String, serde_json::Error> {
        let bare = Plan { options: String::new(), ..self.clone() };
        Ok(format!("{:016x}", xxhash_rust::xxh3::xxh3_64(&serde_json::to_vec(&bare)?)))
    }

    /// The keep-sets that the plan means on this model.
    pub fn keep_sets(&self, analysis: &Analysis) -> Result<KeepSets, PlanError> {
        if self.version != VERSION {
            return Err(PlanError::Version(self.version));
        }
        let model = architecture(analysis);
        if self.architecture != model {
            return Err(PlanError::Architecture { plan: self.architecture.clone(), model });
        }
        let mut keep = KeepSets::default();
        let mut seen = std::collections::HashSet::new();
        for cut in &self.cuts {
            let group = analysis.groups.named(&cut.group).ok_or_else(|| PlanError::Group(cut.group.clone()))?;
            if !seen.insert(group.id) {
                return Err(PlanError::Twice { group: cut.group.clone() });
            }
            keep.keep(group.leaf, kept(cut, group)?);
        }
        Ok(keep)
    }
}

fn kept(cut: &GroupCut, group: &Group) -> Result<Vec<usize>, PlanError> {
    let name = || cut.group.clone();
    if let Some(pin) = group.pins.first() {
        return Err(PlanError::Pinned { group: name(), why: pin.why.to_string() });
    }
    if cut.units != group.size {
        return Err(PlanError::Units { group: name(), plan: cut.units, model: group.size });
    }
    let mut keep = vec![true; group.size];
    for &unit in &cut.remove {
        let slot = keep.get_mut(unit).ok_or_else(|| PlanError::Unit { group: name(), unit, units: group.size })?;
        if !std::mem::replace(slot, false) {
            return Err(PlanError::UnitTwice { group: name(), unit });
        }
    }
    let kept: Vec<usize> = (0..group.size).filter(|&i| keep[i]).collect();
    match kept.len() {
        0 => Err(PlanError::Empty(name())),
        n if n < group.floor => Err(PlanError::TooFew { group: name(), kept: n, floor: group.floor }),
        _ => Ok(kept),
    }
}

/// A hash of what a plan relies on: the groups, their sizes, and the operators and slots that read their constants.
/// Names and weights do not matter.
pub fn architecture(analysis: &Analysis) -> String {
    let mut text = String::new();
    for group in &analysis.groups.all {
        _ = write!(text, "{}:{}:{};", group.id, group.size, group.is_free());
        readers(analysis, group, &mut text);
    }
    format!("{:016x}", xxhash_rust::xxh3::xxh3_64(text.as_bytes()))
}

/// The operators, slots and axes at which a group's constants are read.
fn readers(analysis: &Analysis, group: &Group, text: &mut String) {
    let graph = &analysis.model.graph;
    for member in &group.members {
        for user in graph.uses(member.constant) {
            let op = graph.call(user.node).map_or("", |c| c.op.as_str());
            _ = write!(text, "{op}.{}.{};", user.slot, member.axis);
        }
    }
}

/// A number that groups share which are read alike and have units of one sort, however many: what is wrong with one is
/// likely to be wrong with the others.
pub fn class(analysis: &Analysis, group: &Group) -> u64 {
    let mut text = String::new();
    readers(analysis, group, &mut text);
    let readers: std::collections::BTreeSet<&str> = text.split(';').collect();
    xxhash_rust::xxh3::xxh3_64(format!("{};{readers:?}", group.kind).as_bytes())
}
