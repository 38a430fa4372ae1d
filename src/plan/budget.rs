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
use std::collections::HashMap;

/// How often prices are taken anew.
const ROUNDS: usize = 5;

/// What a budget counts.
type Measure = fn(&Cost) -> u64;

/// How many units of each group stay.
pub(super) fn fill(
    analysis: &Analysis,
    options: &Options,
    ranked: &[Ranked],
    budget: Budget,
) -> Result<Vec<usize>, ChooseError> {
    let whole: Vec<usize> = ranked.iter().map(|r| r.group.size).collect();
    let (share, of): (f64, Measure) = match budget {
        Budget::Ratio(_) | Budget::Lossless => return Ok(whole),
        Budget::Macs(s) => (s, |c| c.macs),
        Budget::Params(s) => (s, |c| c.params),
        Budget::Size(s) => (s, |c| c.bytes),
    };
    let filling = Filling { analysis, options, ranked, of };
    let all = options.whole.as_ref().map_or_else(|| filling.cost(&whole), |whole| of(whole) as f64);
    let target = share * all;
    let mut counts = filling
        .shortest(&vec![1.0; ranked.len()], target)
        .map_err(|floor| ChooseError::Unreachable { asked: budget, floor: 100.0 * floor / all.max(1.0) })?;
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

struct Filling<'a> {
    analysis: &'a Analysis,
    options: &'a Options,
    ranked: &'a [Ranked<'a>],
    of: Measure,
}

impl Filling<'_> {
    /// The shortest prefix of the one ranking that comes down to the target; else the least that can be reached.
    fn shortest(&self, prices: &[f64], target: f64) -> Result<Vec<usize>, f64> {
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
            return Err(self.cost(&counts(units.len())));
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

    fn cost(&self, counts: &[usize]) -> f64 {
        let facts = self.facts(&self.keep(counts));
        (self.of)(&cost::cost(&self.analysis.model, &facts, &self.options.open)) as f64
    }

    /// What one unit more or less of each group costs, at these widths.
    fn prices(&self, counts: &[usize]) -> Vec<f64> {
        let keep = self.keep(counts);
        let facts = self.facts(&keep);
        let widths = Widths { axes: &self.analysis.axes, keep: &keep };
        let mut by_leaf: HashMap<Var, f64> = HashMap::new();
        for (node, cost) in cost::per_node(&self.analysis.model, &facts, &self.options.open) {
            let cost = (self.of)(&cost) as f64;
            for (leaf, slope) in self.slopes(&widths, node).into_iter().filter(|_| cost > 0.0) {
                *by_leaf.entry(leaf).or_default() += cost * slope;
            }
        }
        let price = |r: &Ranked| by_leaf.get(&r.group.leaf).copied().unwrap_or(0.0);
        // What costs nothing is not worth any error.
        self.ranked.iter().map(|r| price(r).max(f64::MIN_POSITIVE)).collect()
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
