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
    /// A number is where it saves nearly as much as its distance from the next wider one promises. Where none does, the
    /// axis is short for its target, and what costs no more is worth keeping.
    pub(crate) fn steps(&self, leaf: Var, size: usize) -> Steps {
        let at = |n: usize| {
            let mut keep = KeepSets::default();
            keep.keep(leaf, (0..n).collect());
            self.around(leaf, &keep)
        };
        let stride = (size / LENGTHS).max(1).next_power_of_two();
        let lengths = (1..size).rev().filter(|n| n % stride == 0);
        let costs: Vec<(usize, f64)> = [size].into_iter().chain(lengths).map(|n| (n, at(n))).collect();
        let all = costs[0].1;
        if all <= 0.0 {
            return Steps::default();
        }
        // What a unit costs at the width that is used best.
        let slope = WORTH * costs.iter().map(|&(n, cost)| cost / n as f64).fold(f64::INFINITY, f64::min);
        let (mut last, mut least) = ((size, all), all);
        let (mut blocks, mut finer) = (vec![size], vec![size]);
        for &(n, cost) in &costs[1..] {
            if last.1 - cost >= slope * (last.0 - n) as f64 {
                last = (n, cost);
                blocks.push(n);
            }
            if cost <= least * (1.0 + 1e-9) {
                least = cost;
                finer.push(n);
            }
        }
        if blocks.len() == 1 {
            blocks.clone_from(&finer);
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
        (!axes.is_empty()).then_some(Effective { whole: macs * tiling.weight, tiling, bits, axes })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Tensor, parse};
    use crate::prune;

    /// The steps of the hidden width `n` of two calls.
    fn steps(target: &str, n: usize, calls: &str) -> Steps {
        let tensor = |id: u64| {
            let shape: Vec<usize> =
                (0..4).rev().map(|k| (id >> (16 * k)) as usize & 0xffff).filter(|&d| d > 0).collect();
            let numbers: Vec<f32> = (0..shape.iter().product()).map(|i: usize| (i % 7) as f32 - 3.5).collect();
            Some(Tensor::from_f32(shape, &numbers))
        };
        let id = |shape: [usize; 4]| shape.iter().fold(0_u64, |id, &d| id << 16 | d as u64);
        let weights = match calls.contains("Conv") {
            true => format!(
                "f32[{n},64,3,3] w #{:016x}\n f32[{n},1,3,3] d #{:016x}\n f32[64,{n},1,1] v #{:016x}",
                id([n, 64, 3, 3]),
                id([n, 1, 3, 3]),
                id([64, n, 1, 1])
            ),
            false => format!("f32[64,{n}] w #{:016x}\n f32[{n},64] v #{:016x}", id([0, 0, 64, n]), id([0, 0, n, 64])),
        };
        let (input, output) = if calls.contains("Conv") { ("n,64,9,9", "n,64,a,b") } else { ("n,64", "n,64") };
        let text = format!("g (f32[{input}] x) => (f32[{output}] y) {{\n {weights}\n {calls}\n}}");
        let model = parse(&text, &tensor).unwrap_or_else(|e| panic!("{e}\n{text}"));
        let analysis = prune::prepare(&model).expect("it is prepared");
        let open = OpenDims::of(&analysis.model, HashMap::new());
        let group = analysis.groups.all.iter().find(|g| g.is_free()).expect("a group");
        assert_eq!(group.size, n);
        EffectiveCosts::new(&analysis, &open, target.parse().expect("a target")).steps(group.leaf, n)
    }

    const CONVOLUTIONS: &str = "a = Conv(x, w)\n b = Relu(a)\n y = Conv(b, v)";
    const PRODUCTS: &str = "a = MatMul(x, w)\n b = Relu(a)\n y = MatMul(b, v)";

    #[test]
    fn whole_blocks_are_worth_keeping() {
        assert_eq!(steps("cpu-avx512", 80, CONVOLUTIONS).blocks, [16, 32, 48, 64, 80]);
        assert_eq!(steps("cpu-avx2", 40, CONVOLUTIONS).blocks, [8, 16, 24, 32, 40]);
        // The other side of the product alone is no reason.
        assert_eq!(steps("cpu-avx512", 64, PRODUCTS).blocks, [16, 32, 48, 64]);
        assert_eq!(steps("npu32", 100, PRODUCTS).blocks, [32, 64, 96, 100]);
    }

    #[test]
    fn short_axes_go_below_a_block() {
        assert_eq!(steps("cpu-avx512", 12, CONVOLUTIONS).blocks, [4, 8, 12]);
        assert_eq!(steps("cpu-avx512", 24, CONVOLUTIONS).blocks, [16, 24]);
        assert_eq!(steps("tract", 6, PRODUCTS).blocks, [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn no_finer_width_costs_more_than_a_wider_one() {
        // Three channels fewer leave the layout that the kernels are made for.
        let finer =
            steps("cpu-avx512", 64, "a = Conv(x, w)\n c = Conv<group=64>(a, d)\n b = Relu(c)\n y = Conv(b, v)").finer;
        assert!(finer.iter().all(|n| n % 4 == 0), "{finer:?}");
        assert_eq!(finer.last(), Some(&64));
    }
}
