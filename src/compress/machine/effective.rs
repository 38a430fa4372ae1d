//! Effective costs: what a choice of widths costs where lengths are padded to the blocks that kernels are made for.
//!
//! No operator is asked for its name. Which kind of work a call is follows from its axis rule: what is summed over, what
//! comes out, and whether a window slides.

use super::target::{Side, Target, Tiling, Work};
use crate::analysis::Analysis;
use crate::axes::{Binding, KeepSets, Var};
use crate::cost::{self, OpenDims};
use crate::ir::{Call, NodeId, ValueId};
use crate::ops::{self, Site};
use std::collections::{BTreeSet, HashMap};

/// Of what a shorter axis would save in proportion, a step has to save this share.
const WORTH: f64 = 0.9;

/// So many lengths of an axis are looked at, about.
const LENGTHS: usize = 1024;

/// The effective costs of a model's calls.
pub(crate) struct EffectiveCosts<'a> {
    analysis: &'a Analysis,
    calls: Vec<Effective>,
    /// The calls that a leaf makes wider.
    by_leaf: HashMap<Var, Vec<usize>>,
}

/// A call that multiplies.
struct Effective {
    /// What it costs with all units and without padding.
    whole: f64,
    tiling: Tiling,
    /// Bits of an element.
    bits: usize,
    axes: Vec<Axis>,
}

/// An axis that can get shorter.
struct Axis {
    var: Var,
    whole: usize,
    /// `None` for one that nothing is padded along.
    side: Option<Side>,
    /// How often the work runs along it.
    power: i32,
}

/// The numbers of units of a group that are worth keeping, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Steps {
    /// Those that a target is as fast at as their number promises. Empty where any is.
    pub blocks: Vec<usize>,
    /// Those that cost no more than all wider ones.
    pub finer: Vec<usize>,
}

impl<'a> EffectiveCosts<'a> {
    pub(crate) fn new(analysis: &'a Analysis, open: &OpenDims, target: Target) -> EffectiveCosts<'a> {
        let costs = cost::per_node(&analysis.model, &analysis.facts, open);
        let of = |(node, cost): (NodeId, cost::Cost)| {
            let call = analysis.model.graph.call(node).filter(|_| cost.macs > 0)?;
            Effective::of(analysis, target, (node, call), cost.macs as f64)
        };
        let calls: Vec<Effective> = costs.into_iter().filter_map(of).collect();
        let mut by_leaf: HashMap<Var, Vec<usize>> = HashMap::new();
        for (i, call) in calls.iter().enumerate() {
            let leaves = call.axes.iter().flat_map(|axis| analysis.axes.solver().leaves(axis.var));
            leaves.collect::<BTreeSet<_>>().into_iter().for_each(|leaf| by_leaf.entry(leaf).or_default().push(i));
        }
        EffectiveCosts { analysis, calls, by_leaf }
    }

    /// The cost of the calls that a leaf makes wider.
    pub(crate) fn around(&self, leaf: Var, keep: &KeepSets) -> f64 {
        let calls = self.by_leaf.get(&leaf).into_iter().flatten();
        calls.map(|&i| self.calls[i].cost(self.analysis, keep)).sum()
    }

    /// Which numbers of a leaf's units are worth keeping, all other leaves being whole.
    ///
    /// A number is where it saves nearly as much as its distance from the next wider one promises. Where that leaves
    /// nothing in the lower half, the axis is short for its target, and what costs no more is worth keeping too.
    pub(crate) fn steps(&self, leaf: Var, size: usize) -> Steps {
        let at = |n: usize| {
            let mut keep = KeepSets::default();
            keep.keep(leaf, (0..n).collect());
            self.around(leaf, &keep)
        };
        let all = at(size);
        if all <= 0.0 {
            return Steps::default();
        }
        let slope = WORTH * all / size as f64;
        let (mut last, mut least) = ((size, all), all);
        let (mut blocks, mut finer) = (vec![size], vec![size]);
        let stride = (size / LENGTHS).max(1).next_power_of_two();
        for n in (1..size).rev().filter(|n| n % stride == 0) {
            let cost = at(n);
            if last.1 - cost >= slope * (last.0 - n) as f64 {
                last = (n, cost);
                blocks.push(n);
            }
            if cost <= least * (1.0 + 1e-9) {
                least = cost;
                finer.push(n);
            }
        }
        if 2 * last.0 >= size {
            blocks.extend(finer.iter().filter(|&&n| n < last.0));
        }
        blocks.reverse();
        finer.reverse();
        Steps { blocks, finer }
    }
}

impl Effective {
    fn of(analysis: &Analysis, target: Target, (node, call): (NodeId, &Call), macs: f64) -> Option<Effective> {
        let bindings = analysis.axes.bindings(node);
        let solver = analysis.axes.solver();
        let length = |label: &Binding| solver.size(label.var).size().unwrap_or(1);
        let sums = bindings.iter().any(|label| is_summed(label) && length(label) > 1);
        let work = match (sums, slides(analysis, node, call)) {
            (true, true) => Work::Convolution,
            (false, true) => Work::Depthwise,
            _ => Work::Product,
        };
        let free = |leaf: &Var| analysis.groups.of_leaf(*leaf).is_some_and(|g| g.is_free());
        let of = |label: &Binding| Axis {
            var: label.var,
            whole: length(label).max(1),
            side: side(analysis, node, label, work),
            power: if label.repeated.is_empty() { 1 } else { 2 },
        };
        let carried = |label: &&Binding| !label.operands.is_empty() && solver.leaves(label.var).iter().any(free);
        let axes: Vec<Axis> = bindings.iter().filter(carried).map(of).collect();
        let bits =
            analysis.model.graph.operand(node, 0).and_then(|v| analysis.facts.get(v).dtype).map_or(32, |d| d.bits());
        let tiling = target.tiling(work);
        (!axes.is_empty()).then(|| Effective { whole: macs * tiling.weight, tiling, bits, axes })
    }

    fn cost(&self, analysis: &Analysis, keep: &KeepSets) -> f64 {
        let (mut cost, mut slowed) = (self.whole, 1.0_f64);
        for axis in &self.axes {
            let length = keep.size(&analysis.axes, axis.var).size().unwrap_or(axis.whole);
            let padded = axis.side.map_or(length, |side| self.tiling.padded(side, length, self.bits));
            cost *= (padded as f64 / axis.whole as f64).powi(axis.power);
            slowed = slowed.max(axis.side.map_or(1.0, |_| self.tiling.slowed(length)));
        }
        cost * slowed
    }
}

/// Whether a label is summed over.
fn is_summed(label: &Binding) -> bool {
    !label.in_result && !label.unread && label.operands.len() > 1
}

/// Whether a call works on windows.
fn slides(analysis: &Analysis, node: NodeId, call: &Call) -> bool {
    let (model, unknowns) = (&analysis.model, crate::facts::Unknowns::of_questions());
    let site = Site::new(model, &model.graph, node, call, &analysis.facts, &unknowns);
    !(ops::rule_of(model, call).operands.windows)(&site).is_empty()
}

/// On which side of the work a label is; `None` where nothing is padded along it.
fn side(analysis: &Analysis, node: NodeId, label: &Binding, work: Work) -> Option<Side> {
    let graph = &analysis.model.graph;
    let constant = |slot: u16| {
        let operand: Option<ValueId> = graph.operand(node, usize::from(slot));
        operand.is_some_and(|v| graph.constant(v.node).is_some())
    };
    if is_summed(label) {
        return Some(Side::Input);
    }
    // What all operands carry, products stand side by side along; a window by itself has nothing else.
    let alone = !label.operands.contains(&0) || label.operands.iter().all(|&slot| constant(slot));
    (work == Work::Depthwise || alone).then_some(Side::Output)
}
