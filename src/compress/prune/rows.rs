//! The groups of a job: those that were cut, and those that could not be.

use crate::analysis::Analysis;
use crate::axes::{Group, Pin, PinKind, places};
use crate::ir::Graph;
use crate::plan::Plan;
use serde::Serialize;

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

/// The groups that a plan cuts.
pub(super) fn cut_groups(analysis: &Analysis, plan: &Plan) -> Vec<GroupReport> {
    let groups = plan.cuts.iter().filter(|c| !c.remove.is_empty()).filter_map(|cut| {
        let group = analysis.groups.named(&cut.group)?;
        Some(GroupReport {
            label: cut.group.clone(),
            before: group.size,
            after: group.size - cut.remove.len(),
            exact: group.inexact.is_empty(),
            places: places(&analysis.model, group),
        })
    });
    groups.collect()
}

/// The groups that stay whole, with their reasons. Kernels' taps are left out, and so is other structure where there are
/// groups that may be cut.
pub fn pins(analysis: &Analysis, inexact: bool) -> Vec<PinReport> {
    let graph = &analysis.model.graph;
    let is_whole = !analysis.groups.all.iter().any(Group::is_free);
    let is_tap = |group: &Group| group.members.iter().all(|m| m.axis >= 2);
    let report = |group: &Group| {
        let pin = group.pins.first().or_else(|| group.inexact.first().filter(|_| !inexact))?;
        if pin.kind == PinKind::Structure && (!is_whole || is_tap(group)) {
            return None;
        }
        Some(PinReport {
            label: group.id.to_string(),
            size: group.size,
            places: places(&analysis.model, group),
            why: reason(graph, pin),
        })
    };
    analysis.groups.all.iter().filter_map(report).collect()
}

/// A pin's reason, with the node that asks for it.
pub fn reason(graph: &Graph, pin: &Pin) -> String {
    let op = graph.call(pin.node).map(|c| format!("{} ", c.qualified())).unwrap_or_default();
    format!("{op}`{}`: {}", graph.label(pin.node), pin.why)
}
