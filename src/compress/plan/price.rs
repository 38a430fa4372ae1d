//! Prices: what one unit more or less of each group costs.
//!
//! A cost is proportional to the lengths of the axes that it runs along, so what a unit costs depends on how long all
//! other axes are (a convolution's on both its channels). Prices are those at some widths. Where a machine's table says
//! what pieces take by width, a unit costs its share of the next step.

use super::Budget;
use super::budget::{Goal, Measure, Total};
use super::choose::{ChooseError, Options, Ranked};
use crate::analysis::Analysis;
use crate::axes::{Axes, KeepSets, Shape, Var};
use crate::cost::{self, Cost, OpenDims, Walk};
use crate::facts::Facts;
use crate::ir::{NodeId, ValueId};
use crate::machine::{EnergyModel, Prices, Quantity, TableError};
use std::collections::HashMap;

/// How sharply the peak of memory is told from what is nearly as high: the power of the mean that stands in for the
/// maximum, which has no slope where several steps are level.
const SHARPNESS: i32 = 16;

/// How costs are counted for a budget.
#[derive(Clone, Copy)]
pub(super) enum CostModel<'a> {
    /// A figure of the nodes' costs.
    Count { figure: fn(&Cost) -> u64, total: Total },
    /// What the pieces take by a machine's table.
    Table(&'a Prices<'a>),
    /// What the nodes take by a model of energies.
    Energy(&'a EnergyModel),
}

impl<'a> CostModel<'a> {
    /// That of a budget; that of multiply-accumulates where it is none over the whole model.
    pub(super) fn of(
        budget: Budget,
        options: &'a Options,
        prices: Option<&'a Prices<'a>>,
    ) -> Result<CostModel<'a>, ChooseError> {
        let quantity = match budget.goal() {
            Goal::Whole(Measure::Count { figure, total }) => return Ok(CostModel::Count { figure, total }),
            Goal::Whole(Measure::Machine(quantity)) => quantity,
            Goal::EachGroup | Goal::Lossless => return CostModel::of(Budget::macs(1.0), options, prices),
        };
        let Some(prices) = prices else {
            let modelled = quantity == Quantity::Energy;
            return modelled.then_some(CostModel::Energy(&options.energy)).ok_or(ChooseError::NoTable(budget));
        };
        let found = prices.quantity();
        let fits = CostModel::Table(prices);
        if found == quantity { Ok(fits) } else { Err(TableError::Quantity { wanted: quantity, found }.into()) }
    }

    /// The figure in a cost; `None` where costs don't have it.
    pub(super) fn in_cost(self, cost: &Cost) -> Option<f64> {
        match self {
            CostModel::Count { figure, .. } => Some(figure(cost) as f64),
            CostModel::Table(_) | CostModel::Energy(_) => None,
        }
    }

    /// What keep-sets leave.
    pub(super) fn spent(self, analysis: &Analysis, keep: &KeepSets, open: &OpenDims) -> f64 {
        let facts = || facts(analysis, keep);
        let graph = &analysis.model.graph;
        match self {
            CostModel::Table(prices) => prices.total(keep),
            CostModel::Count { total: Total::Peak, .. } => Walk::new(graph, &facts(), open).peak() as f64,
            CostModel::Count { total: Total::Sum, .. } => {
                self.per_node(analysis, &facts(), open).into_iter().map(|(_, cost)| cost).sum()
            }
            CostModel::Count { total: Total::OfARun, .. } | CostModel::Energy(_) => {
                cost::of_a_run(graph, self.per_node(analysis, &facts(), open).into_iter())
            }
        }
    }

    /// What one unit more or less of each group costs at these widths.
    pub(super) fn prices(self, analysis: &Analysis, ranked: &[Ranked], keep: &KeepSets, open: &OpenDims) -> Vec<f64> {
        if let CostModel::Table(prices) = self {
            return ranked
                .iter()
                .map(|r| step_price(analysis, |keep| prices.around(r.group.leaf, keep), keep, r))
                .collect();
        }
        let by_leaf = self.by_leaf(analysis, keep, open);
        ranked.iter().map(|r| by_leaf.get(&r.group.leaf).copied().unwrap_or(0.0)).collect()
    }

    fn per_node(self, analysis: &Analysis, facts: &Facts, open: &OpenDims) -> Vec<(NodeId, f64)> {
        let model = &analysis.model;
        let number = |(node, cost): (NodeId, Cost)| match self {
            CostModel::Energy(energy) => (node, energy.of(&model.graph, facts, open, node, &cost)),
            _ => (node, self.in_cost(&cost).unwrap_or(0.0)),
        };
        cost::per_node(model, facts, open).into_iter().map(number).collect()
    }

    fn by_leaf(self, analysis: &Analysis, keep: &KeepSets, open: &OpenDims) -> HashMap<Var, f64> {
        let facts = &facts(analysis, keep);
        let widths = Widths { axes: &analysis.axes, keep };
        let mut by_leaf: HashMap<Var, f64> = HashMap::new();
        let mut add = |cost: f64, slopes: HashMap<Var, f64>| {
            slopes.into_iter().for_each(|(leaf, slope)| *by_leaf.entry(leaf).or_default() += cost * slope);
        };
        if matches!(self, CostModel::Count { total: Total::Peak, .. }) {
            let walk = Walk::new(&analysis.model.graph, facts, open);
            heights(&walk).into_iter().for_each(|(value, cost)| add(cost, widths.of_value(value)));
            return by_leaf;
        }
        for (node, cost) in self.per_node(analysis, facts, open) {
            if cost > 0.0 {
                add(cost, widths.of_node(analysis, node));
            }
        }
        by_leaf
    }
}

fn facts(analysis: &Analysis, keep: &KeepSets) -> Facts {
    cost::predict(&analysis.model.graph, &analysis.axes, &analysis.facts, keep)
}

/// What a unit costs on the way to the next step down, or up where there is none; to the next unit where all are steps.
pub(super) fn step_price(
    analysis: &Analysis,
    around: impl Fn(&KeepSets) -> f64,
    keep: &KeepSets,
    group: &Ranked,
) -> f64 {
    let leaf = group.group.leaf;
    let count = keep.size(&analysis.axes, leaf).size().unwrap_or(group.group.size);
    let below = match &group.steps[..] {
        [] => count.checked_sub(1),
        steps => steps.iter().rev().copied().find(|&n| n < count),
    };
    let above = || group.steps.iter().copied().find(|&n| n > count);
    let Some(other) = below.or_else(above) else { return 0.0 };
    let mut there = keep.clone();
    there.keep(leaf, (0..other).collect());
    (around(keep) - around(&there)) / (count as f64 - other as f64)
}

/// What each tensor of a run adds to the peak: its bytes, weighed by how near to the peak the steps are at which it is
/// alive.
fn heights(walk: &Walk) -> Vec<(ValueId, f64)> {
    let bytes = walk.bytes();
    let peak = bytes.iter().copied().max().unwrap_or(0).max(1) as f64;
    let mut until = vec![0.0];
    for (step, &b) in bytes.iter().enumerate() {
        until.push(until[step] + (b as f64 / peak).powi(SHARPNESS - 1));
    }
    walk.lives.iter().map(|l| (l.value, l.bytes as f64 * (until[l.dies + 1] - until[l.born]))).collect()
}

/// How long axes are at some widths.
struct Widths<'a> {
    axes: &'a Axes,
    keep: &'a KeepSets,
}

impl Widths<'_> {
    /// By how much a node's cost grows with a unit of each leaf, as a share of the cost: a cost is proportional to the
    /// lengths of the axes of its operands, each counted once.
    fn of_node(&self, analysis: &Analysis, node: NodeId) -> HashMap<Var, f64> {
        let graph = &analysis.model.graph;
        let mut most: HashMap<Var, f64> = HashMap::new();
        for value in graph.operands(node).into_iter().flatten().chain(graph.results(node)) {
            for (leaf, slope) in self.of_value(value) {
                let known = most.entry(leaf).or_default();
                *known = known.max(slope);
            }
        }
        most
    }

    /// By how much a tensor grows with a unit of each leaf, as a share of its size.
    fn of_value(&self, value: ValueId) -> HashMap<Var, f64> {
        let mut slopes: HashMap<Var, f64> = HashMap::new();
        for &var in self.axes.of(value).into_iter().flatten() {
            for leaf in self.axes.solver().leaves(var) {
                *slopes.entry(leaf).or_default() += self.slope(var, leaf);
            }
        }
        slopes
    }

    /// How much longer an axis gets with a unit of a leaf, as a share of its length.
    fn slope(&self, var: Var, leaf: Var) -> f64 {
        let solver = self.axes.solver();
        match solver.shape(var) {
            Shape::Leaf if solver.find(var) == leaf => 1.0 / self.length(var),
            Shape::Leaf => 0.0,
            Shape::Product(parts) => parts.into_iter().map(|p| self.slope(p, leaf)).sum(),
            Shape::Sum(parts) => {
                let grown: f64 = parts.iter().map(|&p| self.slope(p, leaf) * self.length(p)).sum();
                grown / self.length(var)
            }
        }
    }

    fn length(&self, var: Var) -> f64 {
        self.keep.size(self.axes, var).size().unwrap_or(1).max(1) as f64
    }
}
