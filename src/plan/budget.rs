//! Budgets over the whole model: all units stand in one ranking, and as few of the lowest go as the budget needs.
//!
//! Scores that are errors (of `obs`, say) are weighed against what a unit costs: the least error for the most saved.
//! What a unit costs depends on how long all other axes are (a convolution's on both its channels), so prices are taken
//! at the widths that the last round came to, for a few rounds. That is coordinate descent on the Lagrangian: at the
//! last unit that goes, every group pays the same error for a saved operation. Other scores are no errors, and rank as
//! they are.

use super::choose::{Budget, ChooseError, Options, Ranked};
use crate::analysis::Analysis;
use crate::axes::{Axes, KeepSets, Shape, Var};
use crate::cost::{self, Cost};
use crate::infer::Facts;
use crate::ir::NodeId;
use crate::machine::{EnergyModel, Prices, Quantity, TableError};
use serde::Serialize;
use std::collections::HashMap;

/// How often prices are taken anew.
const ROUNDS: usize = 5;

/// What a budget counts.
enum CostModel<'a> {
    /// What all nodes add up to.
    Counts(fn(&Cost) -> u64),
    /// What the pieces take by a table.
    Table(&'a Prices<'a>),
    /// What the nodes take by a model of energies.
    Energy(&'a EnergyModel),
}

impl<'a> CostModel<'a> {
    fn of(budget: Budget, options: &'a Options, prices: Option<&'a Prices<'a>>) -> Result<CostModel<'a>, ChooseError> {
        let quantity = match budget {
            Budget::Ratio(_) | Budget::Macs(_) => return Ok(CostModel::Counts(|c| c.macs)),
            Budget::Params(_) => return Ok(CostModel::Counts(|c| c.params)),
            Budget::Size(_) => return Ok(CostModel::Counts(|c| c.bytes)),
            Budget::Latency(_) => Quantity::Latency,
            Budget::Energy(_) => Quantity::Energy,
        };
        let Some(prices) = prices else {
            let modelled = quantity == Quantity::Energy;
            return modelled.then_some(CostModel::Energy(&options.energy)).ok_or(ChooseError::NoTable(budget));
        };
        let found = prices.quantity();
        let fits = CostModel::Table(prices);
        if found == quantity { Ok(fits) } else { Err(TableError::Quantity { wanted: quantity, found }.into()) }
    }
}

/// How many units of each group stay.
pub(super) fn fill(
    analysis: &Analysis,
    options: &Options,
    ranked: &[Ranked],
    prices: Option<&Prices>,
    budget: Budget,
) -> Result<Vec<usize>, ChooseError> {
    let whole: Vec<usize> = ranked.iter().map(|r| r.group.size).collect();
    let share = match budget {
        Budget::Ratio(_) => return Ok(whole),
        Budget::Macs(s) | Budget::Params(s) | Budget::Size(s) | Budget::Latency(s) | Budget::Energy(s) => s,
    };
    let filling = Filling { analysis, options, ranked, of: CostModel::of(budget, options, prices)? };
    let all = match (&filling.of, &options.whole) {
        (CostModel::Counts(of), Some(whole)) => of(whole) as f64,
        _ => filling.cost(&whole),
    };
    let target = share * all;
    let ones = vec![1.0; ranked.len()];
    let mut counts = filling.shortest(&ones, target).map_err(|floor| filling.unreachable(budget, floor, all))?;
    if options.criterion.is_comparable() {
        for _ in 0..ROUNDS {
            let prices = filling.prices(&counts);
            let Ok(next) = filling.shortest(&prices, target) else { break };
            if next == counts {
                break;
            }
            counts = next;
        }
    }
    Ok(counts)
}

/// What a plan comes to, in what a budget counts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Of the model with all units.
    pub before: f64,
    pub after: f64,
    /// Of the model with every group cut as far as it may be.
    pub floor: f64,
    /// What most of the floor goes to, by the names of nodes; empty without a table.
    pub floor_nodes: Vec<(String, f64)>,
}

/// What keep-sets come to.
pub(super) fn estimate(
    analysis: &Analysis,
    options: &Options,
    ranked: &[Ranked],
    prices: Option<&Prices>,
    keep: &KeepSets,
) -> Result<Estimate, ChooseError> {
    let filling = Filling { analysis, options, ranked, of: CostModel::of(options.budget, options, prices)? };
    let least = filling.least();
    let floor_nodes = match &filling.of {
        CostModel::Table(prices) => most(prices.by_piece(&filling.keep(&least))).into_iter().take(NODES).collect(),
        _ => vec![],
    };
    let (before, after) = (filling.cost_of(&KeepSets::default()), filling.cost_of(keep));
    Ok(Estimate { before, after, floor: filling.cost(&least), floor_nodes })
}

struct Filling<'a> {
    analysis: &'a Analysis,
    options: &'a Options,
    ranked: &'a [Ranked<'a>],
    of: CostModel<'a>,
}

/// The floor of a budget is told with so many nodes.
const NODES: usize = 3;

impl Filling<'_> {
    /// The shortest prefix of the one ranking that comes down to the target; else what is left at the least.
    fn shortest(&self, prices: &[f64], target: f64) -> Result<Vec<usize>, Vec<usize>> {
        let mut units: Vec<(f64, usize)> = vec![];
        for (g, group) in self.ranked.iter().enumerate() {
            let most = (group.group.size as f64 * self.options.max_ratio) as usize;
            units.extend(group.order.iter().take(most).map(|&u| (group.scores[u] / prices[g], g)));
        }
        units.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let counts = |prefix: usize| {
            let mut counts: Vec<usize> = self.ranked.iter().map(|r| r.group.size).collect();
            units[..prefix].iter().for_each(|&(_, g)| counts[g] -= 1);
            let rounded = |(&n, r): (&usize, &Ranked)| if n < r.group.size { r.allowed(n) } else { n };
            counts.iter().zip(self.ranked).map(rounded).collect::<Vec<_>>()
        };
        let meets = |prefix: usize| self.cost(&counts(prefix)) <= target;
        if !meets(units.len()) {
            return Err(self.least());
        }
        let (mut low, mut high) = (0, units.len());
        while low < high {
            let middle = (low + high) / 2;
            if meets(middle) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Ok(counts(high))
    }

    fn keep(&self, counts: &[usize]) -> KeepSets {
        let mut keep = KeepSets::default();
        for (r, &n) in self.ranked.iter().zip(counts).filter(|(r, n)| **n < r.group.size) {
            keep.keep(r.group.leaf, (0..n).collect());
        }
        keep
    }

    fn facts(&self, keep: &KeepSets) -> Facts {
        cost::predict(&self.analysis.model.graph, &self.analysis.axes, &self.analysis.facts, keep)
    }

    /// The fewest units that may stay.
    fn least(&self) -> Vec<usize> {
        let least = |r: &Ranked| r.allowed(r.group.size - (r.group.size as f64 * self.options.max_ratio) as usize);
        self.ranked.iter().map(least).collect()
    }

    fn cost(&self, counts: &[usize]) -> f64 {
        self.cost_of(&self.keep(counts))
    }

    fn cost_of(&self, keep: &KeepSets) -> f64 {
        match &self.of {
            CostModel::Table(prices) => prices.total(keep),
            _ => self.per_node(&self.facts(keep)).into_iter().map(|(_, cost)| cost).sum(),
        }
    }

    fn per_node(&self, facts: &Facts) -> Vec<(NodeId, f64)> {
        let (model, open) = (&self.analysis.model, &self.options.open);
        let cost = |node: NodeId, cost: &Cost| match &self.of {
            CostModel::Counts(of) => of(cost) as f64,
            CostModel::Energy(energy) => energy.of(&model.graph, facts, open, node, cost),
            CostModel::Table(_) => 0.0,
        };
        cost::per_node(model, facts, open).into_iter().map(|(node, c)| (node, cost(node, &c))).collect()
    }

    /// Why a budget can't be met, with what is left at the least.
    fn unreachable(&self, asked: Budget, counts: Vec<usize>, all: f64) -> ChooseError {
        let floor = 100.0 * self.cost(&counts) / all.max(f64::MIN_POSITIVE);
        let CostModel::Table(prices) = &self.of else { return ChooseError::Unreachable { asked, floor } };
        let left = prices.by_piece(&self.keep(&counts));
        let total: f64 = left.iter().map(|(_, cost)| cost).sum();
        let share = |cost: f64| 100.0 * cost / total.max(f64::MIN_POSITIVE);
        let named =
            most(left).into_iter().take(NODES).map(|(name, cost)| format!("`{name}` ({:.0}% of it)", share(cost)));
        ChooseError::Floor { asked, floor, nodes: named.collect::<Vec<_>>().join(", ") }
    }

    /// What one unit more or less of each group costs, at these widths.
    fn prices(&self, counts: &[usize]) -> Vec<f64> {
        let keep = self.keep(counts);
        if let CostModel::Table(prices) = &self.of {
            let price = |(r, &n): (&Ranked, &usize)| self.step_price(prices, &keep, r, n).max(f64::MIN_POSITIVE);
            return self.ranked.iter().zip(counts).map(price).collect();
        }
        let facts = self.facts(&keep);
        let widths = Widths { axes: &self.analysis.axes, keep: &keep };
        let mut by_leaf: HashMap<Var, f64> = HashMap::new();
        for (node, cost) in self.per_node(&facts) {
            for (leaf, slope) in self.slopes(&widths, node).into_iter().filter(|_| cost > 0.0) {
                *by_leaf.entry(leaf).or_default() += cost * slope;
            }
        }
        let price = |r: &Ranked| by_leaf.get(&r.group.leaf).copied().unwrap_or(0.0);
        // What costs nothing is not worth any error.
        self.ranked.iter().map(|r| price(r).max(f64::MIN_POSITIVE)).collect()
    }

    /// What a unit costs on the way to the next step down, or up where there is none.
    fn step_price(&self, prices: &Prices, keep: &KeepSets, group: &Ranked, count: usize) -> f64 {
        let below = group.steps.iter().rev().find(|&&n| n < count);
        let Some(&other) = below.or_else(|| group.steps.iter().find(|&&n| n > count)) else { return 0.0 };
        let mut there = keep.clone();
        there.keep(group.group.leaf, (0..other).collect());
        let (here, there) = (prices.around(group.group.leaf, keep), prices.around(group.group.leaf, &there));
        (here - there) / (count as f64 - other as f64)
    }

    /// By how much a node's cost grows with a unit of each leaf, as a share of the cost: a cost is proportional to the
    /// lengths of the axes of its operands, each counted once.
    fn slopes(&self, widths: &Widths, node: NodeId) -> HashMap<Var, f64> {
        let (graph, axes) = (&self.analysis.model.graph, &self.analysis.axes);
        let values = graph.operands(node).into_iter().flatten().chain(graph.results(node));
        let mut most: HashMap<Var, f64> = HashMap::new();
        for value in values {
            let mut mine: HashMap<Var, f64> = HashMap::new();
            for &var in axes.of(value).into_iter().flatten() {
                for leaf in axes.solver().leaves(var) {
                    *mine.entry(leaf).or_default() += widths.slope(var, leaf);
                }
            }
            for (leaf, slope) in mine {
                let known = most.entry(leaf).or_default();
                *known = known.max(slope);
            }
        }
        most
    }
}

/// What costs most first.
pub(super) fn most(mut costs: Vec<(String, f64)>) -> Vec<(String, f64)> {
    costs.sort_by(|a, b| b.1.total_cmp(&a.1));
    costs
}

/// How long axes are at some widths.
struct Widths<'a> {
    axes: &'a Axes,
    keep: &'a KeepSets,
}

impl Widths<'_> {
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
