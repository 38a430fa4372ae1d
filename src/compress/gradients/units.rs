//! From numbers of weights to numbers of units.

use super::Numbers;
use crate::analysis::Analysis;
use crate::axes::{GroupId, Member};
use crate::ir::{NodeId, ValueId};
use crate::ops::{self, Site};
use std::collections::BTreeMap;

/// Which units the elements of some constants belong to.
pub(super) struct Units {
    groups: BTreeMap<GroupId, (usize, Vec<Place>)>,
}

/// An axis of one of the constants, which a group is part of.
struct Place {
    /// Which of the constants.
    constant: usize,
    /// How many elements lie behind one another for an index of the axis.
    inner: usize,
    /// The unit of each index.
    units: Vec<Option<u32>>,
}

impl Units {
    /// The units of all groups that may be cut. Means and variances that normalize belong to a unit, but are no weights.
    pub(super) fn of(analysis: &Analysis, constants: &[NodeId]) -> Units {
        let graph = &analysis.model.graph;
        let mut groups = BTreeMap::new();
        for group in analysis.groups.free() {
            let place = |member: &Member| {
                let constant = constants.iter().position(|&c| c == member.constant.node)?;
                let shape = &graph.tensor(member.constant)?.shape;
                let &var = analysis.axes.of(member.constant)?.get(member.axis)?;
                let units = analysis.axes.units_of(var, group.leaf);
                (!is_statistic(analysis, member.constant.node)).then(|| Place {
                    constant,
                    inner: shape[member.axis + 1..].iter().product(),
                    units,
                })
            };
            let places: Vec<Place> = group.members.iter().filter_map(place).collect();
            if !places.is_empty() {
                groups.insert(group.id, (group.size, places));
            }
        }
        Units { groups }
    }

    /// How many units each group has.
    pub(super) fn counts(&self) -> impl Iterator<Item = (GroupId, usize)> {
        self.groups.iter().map(|(&group, (size, _))| (group, *size))
    }

    /// Adds to numbers of weights, a list for each constant, what is given for the unit of a group that each belongs to.
    pub(super) fn spread(&self, group: GroupId, of_units: &[f64], numbers: &mut [Vec<f64>]) {
        let Some((_, places)) = self.groups.get(&group) else { return };
        for place in places {
            for (run, inner) in numbers[place.constant].chunks_exact_mut(place.inner.max(1)).enumerate() {
                if let Some(unit) = place.units[run % place.units.len()] {
                    inner.iter_mut().for_each(|n| *n += of_units[unit as usize]);
                }
            }
        }
    }

    /// Sums numbers of weights, a list for each constant, over all that belongs to a unit.
    pub(super) fn sums(&self, numbers: &[Vec<f64>]) -> Numbers {
        let sum = |size: usize, places: &[Place]| {
            let mut sums = vec![0.0; size];
            for place in places {
                for (run, inner) in numbers[place.constant].chunks_exact(place.inner.max(1)).enumerate() {
                    if let Some(unit) = place.units[run % place.units.len()] {
                        sums[unit as usize] += inner.iter().sum::<f64>();
                    }
                }
            }
            sums
        };
        self.groups.iter().map(|(&group, (size, places))| (group, sum(*size, places))).collect()
    }
}

/// Whether a constant is a mean or a variance that some call normalizes by.
pub(super) fn is_statistic(analysis: &Analysis, constant: NodeId) -> bool {
    let (model, graph) = (&analysis.model, &analysis.model.graph);
    graph.uses(ValueId { node: constant, port: 0 }).iter().any(|at| {
        let Some(call) = graph.call(at.node) else { return false };
        let unknowns = crate::facts::Unknowns::of_questions();
        let site = Site::new(model, graph, at.node, call, &analysis.facts, &unknowns);
        let statistics = (ops::rule_of(model, call).operands.statistics)(&site);
        statistics.is_some_and(|(mean, variance)| at.slot == mean || at.slot == variance)
    })
}
