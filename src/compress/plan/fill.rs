//! Filling a budget over the whole model: all units stand in one ranking, and as few of the lowest go as the budget
//! needs.
//!
//! Scores that are errors (of `obs`, say) are weighed against what a unit costs: the least error for the most saved.
//! What a unit costs depends on how long all other axes are ([`super::price`]), so prices are taken at the widths that
//! the last round came to, for a few rounds. That is coordinate descent on the Lagrangian: at the last unit that goes,
//! every group pays the same error for a saved operation. Other scores are no errors, and rank as they are.
//!
//! With a target ([`EffectiveCosts`]) units go in whole blocks, each worth the mean of its units, at a price between what
//! the budget counts and what the target makes of it.
//!
//! Units can be coarse, and the last one that goes may save far more than was needed. So in the end units are given
//! back, the dearest first, as long as they fit.

use super::Budget;
use super::choose::{ChooseError, Options, Ranked};
use super::price::{self, CostModel};
use crate::analysis::Analysis;
use crate::axes::KeepSets;
use crate::machine::{EffectiveCosts, Prices};
use serde::Serialize;

/// How often prices are taken anew.
const ROUNDS: usize = 5;

/// The floor of a budget is told with so many nodes.
const NODES: usize = 3;

/// How many units of each group stay. `tilt` has a factor for the scores of each group.
pub(super) fn fill(
    analysis: &Analysis,
    options: &Options,
    ranked: &[Ranked],
    (prices, effective): (Option<&Prices>, Option<&EffectiveCosts>),
    budget: Budget,
    tilt: &[f64],
) -> Result<Vec<usize>, ChooseError> {
    let Some(share) = budget.share() else { return Ok(ranked.iter().map(|r| r.group.size).collect()) };
    let costs = CostModel::of(budget, options, prices)?;
    let values = ranked.iter().zip(tilt).map(|(r, tilt)| values(r, *tilt, effective.is_some())).collect();
    let filling = Filling { analysis, options, ranked, costs, effective, values };
    let none = vec![0; ranked.len()];
    let whole = options.whole.as_ref().and_then(|whole| costs.in_cost(whole));
    let all = whole.unwrap_or_else(|| filling.cost(&none));
    let target = share * all;
    let mut prices = vec![1.0; ranked.len()];
    let mut gone = filling.shortest(&prices, target).map_err(|floor| filling.unreachable(budget, &floor, all))?;
    if options.criterion.is_comparable() {
        for _ in 0..ROUNDS {
            prices = filling.prices(&gone);
            let Ok(next) = filling.shortest(&prices, target) else { break };
            if next == gone {
                break;
            }
            gone = next;
        }
    }
    Ok(filling.kept(&filling.restored(gone, &prices, target)))
}

/// What a plan comes to, in what a budget counts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Of the model with all units.
    pub before: f64,
    /// Of the model after the cut.
    pub after: f64,
    /// Of the model with every group cut as far as it may be.
    pub floor: f64,
    /// What most of the floor goes to, by the names of nodes; empty without a table.
    pub floor_nodes: Vec<(String, f64)>,
    /// What each piece takes, in the order of the model; empty without a table.
    pub pieces: Vec<PieceCost>,
}

/// What a piece of a model takes by a table, before and after.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PieceCost {
    /// The name of its first call.
    pub name: String,
    /// In microseconds or microjoules, with all units.
    pub before: f64,
    /// In microseconds or microjoules, after the cut.
    pub after: f64,
}

/// What keep-sets come to.
pub(super) fn estimate(
    analysis: &Analysis,
    options: &Options,
    ranked: &[Ranked],
    (prices, effective): (Option<&Prices>, Option<&EffectiveCosts>),
    keep: &KeepSets,
) -> Result<Estimate, ChooseError> {
    let costs = CostModel::of(options.budget, options, prices)?;
    let filling = Filling { analysis, options, ranked, costs, effective, values: vec![] };
    let least = filling.keep(&filling.most());
    let (floor_nodes, pieces) = match costs {
        CostModel::Table(prices) => (dearest(prices.by_piece(&least)), pieces(prices, keep)),
        _ => (vec![], vec![]),
    };
    let spent = |keep: &KeepSets| costs.spent(analysis, keep, &options.open);
    let (before, after, floor) = (spent(&KeepSets::default()), spent(keep), spent(&least));
    Ok(Estimate { before, after, floor, floor_nodes, pieces })
}

fn pieces(prices: &Prices, keep: &KeepSets) -> Vec<PieceCost> {
    let whole = prices.by_piece(&KeepSets::default()).into_iter();
    let cost = |((name, before), (_, after))| PieceCost { name, before, after };
    whole.zip(prices.by_piece(keep)).map(cost).collect()
}

struct Filling<'a> {
    analysis: &'a Analysis,
    options: &'a Options,
    ranked: &'a [Ranked<'a>],
    costs: CostModel<'a>,
    /// For a target, which the choice weighs beside what the budget counts.
    effective: Option<&'a EffectiveCosts<'a>>,
    /// What the units of each group are worth, by their places in its order.
    values: Vec<Vec<f64>>,
}

/// How many units of each group go, before rounding.
type Gone = Vec<usize>;

impl Filling<'_> {
    /// What a unit is worth for its price, by its place in its group's order.
    fn worth(&self, prices: &[f64], group: usize, place: usize) -> f64 {
        self.values[group][place] / prices[group]
    }

    /// The most units that may go.
    fn most(&self) -> Gone {
        let most = |r: &Ranked| (r.group.size as f64 * r.max_ratio) as usize;
        self.ranked.iter().map(|r| ruled(r).unwrap_or_else(|| most(r))).collect()
    }

    /// The units that go in any case.
    fn least(&self) -> Gone {
        self.ranked.iter().map(|r| ruled(r).unwrap_or(0)).collect()
    }

    /// The shortest prefix of the one ranking that comes down to the target; else all of it.
    fn shortest(&self, prices: &[f64], target: f64) -> Result<Gone, Gone> {
        let mut units: Vec<(f64, usize)> = vec![];
        let least = self.least();
        for (g, most) in self.most().into_iter().enumerate() {
            units.extend((least[g]..most).map(|place| (self.worth(prices, g, place), g)));
        }
        units.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let gone = |prefix: usize| {
            let mut gone = least.clone();
            units[..prefix].iter().for_each(|&(_, g)| gone[g] += 1);
            gone
        };
        let meets = |prefix: usize| self.cost(&gone(prefix)) <= target;
        if !meets(units.len()) {
            return Err(gone(units.len()));
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
        Ok(gone(high))
    }

    /// Gives units back as long as the target is met, the dearest first. A group is done with when its next one does
    /// not fit. More and more are given back at once, as long as that goes well.
    fn restored(&self, mut gone: Gone, prices: &[f64], target: f64) -> Gone {
        let least = self.least();
        let mut open: Vec<usize> = (0..gone.len()).filter(|&g| gone[g] > least[g]).collect();
        let mut at_once = 1;
        loop {
            let mut fewer = gone.clone();
            let mut last = None;
            for _ in 0..at_once {
                let worth = |g: usize| self.worth(prices, g, fewer[g] - 1);
                let some = open.iter().copied().filter(|&g| fewer[g] > least[g]);
                let Some(next) = some.max_by(|&a, &b| worth(a).total_cmp(&worth(b)).then(b.cmp(&a))) else { break };
                fewer[next] -= 1;
                last = Some(next);
            }
            let Some(last) = last else { return gone };
            if self.cost(&fewer) <= target {
                (gone, at_once) = (fewer, at_once * 2);
            } else if at_once > 1 {
                at_once = 1;
            } else {
                open.retain(|&g| g != last);
            }
        }
    }

    /// How many units stay.
    fn kept(&self, gone: &[usize]) -> Vec<usize> {
        let kept = |(&n, r): (&usize, &Ranked)| if n > 0 { r.allowed(r.group.size - n) } else { r.group.size };
        gone.iter().zip(self.ranked).map(kept).collect()
    }

    fn keep(&self, gone: &[usize]) -> KeepSets {
        let mut keep = KeepSets::default();
        let kept = self.kept(gone);
        for (r, n) in self.ranked.iter().zip(kept).filter(|(r, n)| *n < r.group.size) {
            keep.keep(r.group.leaf, (0..n).collect());
        }
        keep
    }

    fn cost(&self, gone: &[usize]) -> f64 {
        self.costs.spent(self.analysis, &self.keep(gone), &self.options.open)
    }

    fn prices(&self, gone: &[usize]) -> Vec<f64> {
        let keep = self.keep(gone);
        let prices = self.costs.prices(self.analysis, self.ranked, &keep, &self.options.open);
        let Some(effective) = self.effective else { return positive(prices) };
        // Halfway between what the budget counts and what the target makes of it: the one alone keeps widths that save
        // nothing, the other goes where time is saved and the budget is not.
        let around = |r: &Ranked| {
            price::step_price(self.analysis, |keep| effective.around(r.group.leaf, keep), &keep, r).max(0.0)
        };
        positive(prices.iter().zip(self.ranked).map(|(price, r)| (price.max(0.0) * around(r)).sqrt()).collect())
    }

    /// Why a budget can't be met, with what is left at the least.
    fn unreachable(&self, asked: Budget, gone: &[usize], all: f64) -> ChooseError {
        let floor = 100.0 * self.cost(gone) / all.max(f64::MIN_POSITIVE);
        let CostModel::Table(prices) = &self.costs else { return ChooseError::Unreachable { asked, floor } };
        let left = prices.by_piece(&self.keep(gone));
        let total: f64 = left.iter().map(|(_, cost)| cost).sum();
        let share = |cost: f64| 100.0 * cost / total.max(f64::MIN_POSITIVE);
        let named = dearest(left).into_iter().map(|(name, cost)| format!("`{name}` ({:.0}% of it)", share(cost)));
        ChooseError::Floor { asked, floor, nodes: named.collect::<Vec<_>>().join(", ") }
    }
}

/// What the units of a group are worth, by their places in its order. In whole blocks all units of one are worth the same,
/// since none goes without the others.
fn values(ranked: &Ranked, tilt: f64, blocks: bool) -> Vec<f64> {
    let mut values: Vec<f64> = ranked.order.iter().map(|&unit| ranked.scores[unit] * tilt).collect();
    let steps = if blocks { &ranked.steps[..] } else { &[] };
    for pair in steps.windows(2) {
        let block = &mut values[ranked.group.size - pair[1]..ranked.group.size - pair[0]];
        // What goes without loss adds nothing to what the others are worth.
        let finite: f64 = block.iter().filter(|v| v.is_finite()).sum();
        let mean = if block.iter().any(|v| v.is_finite()) { finite / block.len() as f64 } else { f64::NEG_INFINITY };
        block.fill(mean);
    }
    values
}

/// How many units a group loses whatever the budget, where a rule says so.
fn ruled(ranked: &Ranked) -> Option<usize> {
    let size = ranked.group.size;
    ranked.ratio.map(|ratio| ((size as f64 * ratio + 1e-9) as usize).min(size.saturating_sub(1)))
}

/// What costs nothing is not worth any error.
fn positive(prices: Vec<f64>) -> Vec<f64> {
    prices.into_iter().map(|price| price.max(f64::MIN_POSITIVE)).collect()
}

/// The few that cost most.
fn dearest(mut costs: Vec<(String, f64)>) -> Vec<(String, f64)> {
    costs.sort_by(|a, b| b.1.total_cmp(&a.1));
    costs.truncate(NODES);
    costs
}
