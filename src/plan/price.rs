//! Prices: what one unit more or less of each group costs.
//!
//! A cost is proportional to the lengths of the axes that it runs along, so what a unit costs depends on how long all
//! other axes are (a convolution's on both its channels). Prices are those at some widths.

use super::choose::Budget;
use crate::analysis::Analysis;
use crate::axes::{Axes, KeepSets, Shape, Var};
use crate::cost::{self, Cost, OpenDims, Walk};
use crate::infer::Facts;
use crate::ir::{NodeId, ValueId};
use std::collections::HashMap;

/// How sharply the peak of memory is told from what is nearly as high: the power of the mean that stands in for the
/// maximum, which has no slope where several steps are level.
const SHARPNESS: i32 = 16;

/// What a budget counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    Macs,
    Params,
    Bytes,
    Peak,
}

impl Measure {
    /// What a budget over the whole model counts, and the share of it that stays.
    pub fn of(budget: Budget) -> Option<(Measure, f64)> {
        match budget {
            Budget::Ratio(_) => None,
            Budget::Macs(s) => Some((Measure::Macs, s)),
            Budget::Params(s) => Some((Measure::Params, s)),
            Budget::Size(s) => Some((Measure::Bytes, s)),
            Budget::PeakMemory(s) => Some((Measure::Peak, s)),
        }
    }

    pub fn in_cost(self, cost: &Cost) -> f64 {
        let number = match self {
            Measure::Macs => cost.macs,
            Measure::Params => cost.params,
            Measure::Bytes => cost.bytes,
            Measure::Peak => cost.peak,
        };
        number as f64
    }

    /// What a model with these facts costs.
    pub fn spent(self, analysis: &Analysis, facts: &Facts, open: &OpenDims) -> f64 {
        match self {
            Measure::Peak => Walk::new(&analysis.model.graph, facts, open).peak() as f64,
            _ => self.in_cost(&cost::sums(&analysis.model, facts, open)),
        }
    }

    /// What one unit more or less of each leaf costs at these widths, of which `facts` are the shapes.
    pub fn prices(self, analysis: &Analysis, keep: &KeepSets, facts: &Facts, open: &OpenDims) -> HashMap<Var, f64> {
        let widths = Widths { axes: &analysis.axes, keep };
        let mut by_leaf: HashMap<Var, f64> = HashMap::new();
        let mut add = |cost: f64, slopes: HashMap<Var, f64>| {
            slopes.into_iter().for_each(|(leaf, slope)| *by_leaf.entry(leaf).or_default() += cost * slope);
        };
        if self == Measure::Peak {
            let walk = Walk::new(&analysis.model.graph, facts, open);
            heights(&walk).into_iter().for_each(|(value, cost)| add(cost, widths.of_value(value)));
            return by_leaf;
        }
        for (node, cost) in cost::per_node(&analysis.model, facts, open) {
            let cost = self.in_cost(&cost);
            if cost > 0.0 {
                add(cost, widths.of_node(analysis, node));
            }
        }
        by_leaf
    }
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
