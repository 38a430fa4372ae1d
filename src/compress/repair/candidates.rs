//! What a repair may refit: contractions over axes that may lose units, and calls that only suffer from the cuts before
//! them.

use super::layout::windows;
use crate::analysis::Analysis;
use crate::axes::{Axes, Var};
use crate::contraction::{Contraction, View};
use crate::ir::{NodeId, ValueId};
use std::collections::{HashMap, HashSet};

/// A contraction that may be refitted.
pub(super) struct Candidate {
    pub contraction: Contraction,
    /// Whether its statistics are measured, so that it can make up for units that it reads no more. Others are
    /// fitted only to what has become of the data before them.
    pub measured: bool,
}

/// All that may be refitted, in topological order.
pub(super) fn candidates(analysis: &Analysis) -> Vec<Candidate> {
    let measured = Contraction::all(analysis);
    let known: HashSet<NodeId> = measured.iter().map(|c| c.node).collect();
    let order = analysis.model.graph.topological();
    let others = Contraction::every(analysis).into_iter().filter(|c| !known.contains(&c.node));
    let others = others.chain(order.iter().filter_map(|&node| channelwise(analysis, node)));
    let of = |measured: bool| move |contraction: Contraction| Candidate { contraction, measured };
    let mut all: Vec<Candidate> = measured.into_iter().map(of(true)).chain(others.map(of(false))).collect();
    let place: HashMap<NodeId, usize> = order.into_iter().enumerate().map(|(i, n)| (n, i)).collect();
    all.sort_by_key(|c| place[&c.contraction.node]);
    all
}

/// A kernel that each channel has for itself (a depthwise convolution), as a sum over one element in each group.
fn channelwise(analysis: &Analysis, node: NodeId) -> Option<Contraction> {
    let (graph, axes) = (&analysis.model.graph, &analysis.axes);
    if graph.region(node) != 0 {
        return None;
    }
    let windows = windows(analysis, node);
    let value = |slot: u16| graph.operand(node, usize::from(slot));
    let is_constant = |v: ValueId| graph.tensor(v).is_some() || analysis.is_computed(v);
    let is_kernel = |v: ValueId| {
        let rank = axes.of(v).map_or(0, <[Var]>::len);
        rank > windows.len() + 1 && is_constant(v) && analysis.facts.get(v).dtype.is_some_and(|d| d.is_float())
    };
    for label in axes.bindings(node).iter().filter(|b| b.in_result && !windows.is_empty()) {
        let mut data = label.operands.iter().filter(|s| value(**s).is_some_and(|v| !is_constant(v)));
        let mut weights = label.operands.iter().filter(|s| value(**s).is_some_and(is_kernel));
        let (Some(&data_slot), Some(&weight_slot)) = (data.next(), weights.next()) else { continue };
        if data.next().is_some() || weights.next().is_some() {
            continue;
        }
        let (data, weight) = (value(data_slot)?, value(weight_slot)?);
        let Some(data_axis) = axis_of(axes, data, label.var) else { continue };
        let Some(group_axis) = major_axis_of(axes, weight, label.var) else { continue };
        let is_one = |a: &usize| axes.of(weight).is_some_and(|v| axes.solver().size(v[*a]).size() == Some(1));
        let mut ones = (0..axes.of(weight)?.len()).filter(|a| windows.iter().all(|s| s.taps != *a)).filter(is_one);
        let (Some(weight_axis), None) = (ones.next(), ones.next()) else { continue };
        let length = axes.solver().size(label.var).size()?;
        let view = View { var: axes.of(data)?[data_axis], outer: 1, length, inner: 1 };
        let group_axis = Some(group_axis);
        let (groups, is_float) = (length, analysis.facts.get(data).dtype.is_some_and(|d| d.is_float()));
        return (is_float && length > 1).then_some(Contraction {
            node,
            data,
            data_slot,
            data_axis,
            weight,
            weight_slot,
            weight_axis,
            groups,
            group_axis,
            view,
        });
    }
    None
}

/// The axis of a value that is this label and nothing else.
fn axis_of(axes: &Axes, value: ValueId, label: Var) -> Option<usize> {
    axes.of(value)?.iter().position(|&v| super::layout::same(axes, v, label))
}

/// The axis of a value whose first leaves are this label's.
fn major_axis_of(axes: &Axes, value: ValueId, label: Var) -> Option<usize> {
    let major = axes.solver().leaves(label);
    axes.of(value)?.iter().position(|&v| axes.solver().leaves(v).starts_with(&major))
}
