//! What a repair left as the cut made it: sums over units that are gone, by calls that were not refitted, and why.

use super::Repairs;
use crate::analysis::Analysis;
use crate::axes::{Binding, Group, KeepSets, Kept};
use crate::contraction::Shared;
use crate::contraction::{Contraction, Obstacle, is_summed};
use crate::cost::{self, OpenDims};
use crate::ir::NodeId;
use serde::Serialize;
use std::collections::HashMap;

/// A call that sums over units of which some are gone, and was not refitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unrepaired {
    /// Its name, or that of its first result.
    pub node: String,
    /// What it cost before the cut, in multiply-accumulates.
    pub macs: u64,
    pub why: String,
}

/// The calls that lost units of a sum and were not refitted, the dearest first. Those that cost nothing are left out.
pub(crate) fn unrepaired(analysis: &Analysis, keep: &KeepSets, repairs: &Repairs, open: &OpenDims) -> Vec<Unrepaired> {
    let graph = &analysis.model.graph;
    let costs = cost::per_node(&analysis.model, &analysis.facts, open);
    let macs: HashMap<NodeId, u64> = costs.into_iter().map(|(node, cost)| (node, cost.macs)).collect();
    let is_cut = |b: &&Binding| is_summed(b) && matches!(keep.of(&analysis.axes, b.var), Kept::Some(_));
    let shared = Shared::of(graph);
    let reads_shared = |node: NodeId| {
        let constants = graph.operands(node).into_iter().flatten().filter_map(|v| graph.constant(v.node));
        constants.into_iter().any(|c| c.tensor.shape.len() > 1 && shared.is(c))
    };
    let left = |node: NodeId| {
        let macs = macs.get(&node).copied().filter(|m| *m > 0 && !repairs.nodes.contains(&node))?;
        let label = analysis.axes.bindings(node).iter().find(is_cut)?;
        let known = repairs.obstacles.get(&node).copied();
        let why = match known.or_else(|| Contraction::obstacle(analysis, node, label))? {
            // A weight that is both what makes units and what reads them has them on two axes.
            Obstacle::Axes if reads_shared(node) => Obstacle::Shared,
            why => why,
        };
        Some(Unrepaired { node: graph.label(node).to_owned(), macs, why: why.to_string() })
    };
    let mut found: Vec<Unrepaired> = graph.topological().into_iter().filter_map(left).collect();
    found.sort_by_key(|u| std::cmp::Reverse(u.macs));
    if found.is_empty() && repairs.nodes.is_empty() {
        found.extend(analysis.groups.all.iter().filter(|g| keep.of(&analysis.axes, g.leaf) != Kept::All).map(unread));
    }
    found
}

/// A group whose units no sum of products reads.
fn unread(group: &Group) -> Unrepaired {
    let why = "nothing that reads its units multiplies them by weights".to_owned();
    Unrepaired { node: group.id.to_string(), macs: 0, why }
}
