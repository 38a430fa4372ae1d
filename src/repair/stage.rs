//! A stage: some contractions, measured in the original and in the pruned model side by side, and refitted.

use super::direct::{self, Sums};
use super::fit::Pair;
use super::layout::{Layout, Numbers};
use super::merge::{Merge, merge};
use super::{RepairError, Task, store, write};
use crate::analysis::Analysis;
use crate::axes::{KeepSets, Kept};
use crate::contraction::View;
use crate::feed::Feed;
use crate::ir::{Model, NodeId, Tensor, TensorError, ValueId};
use crate::stats::{self, Half, Moments, Probe, Samples, StatsError, halved};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};
use std::collections::{BTreeMap, HashSet};

/// What a stage needs beside its contractions.
pub(super) struct Sides<'a> {
    pub analysis: &'a Analysis,
    pub keep: &'a KeepSets,
    pub samples: &'a dyn Samples,
    pub done: &'a dyn Fn(),
}

/// How one contraction is measured.
enum Plan {
    /// What it reads, in both models.
    Reads(Box<[Pair; 2]>),
    /// Patches, and what its outputs lack.
    Lacks(Box<Lacks>),
    /// Not at all: it lost nothing, and how its outputs are made is not known.
    Nothing,
}

impl Plan {
    fn reads(task: &Task) -> Plan {
        if !task.cut {
            return Plan::Nothing;
        }
        let (m, n) = (task.contraction.view.length, task.left());
        let pair = || Pair { cross: Moments::new(m, n), own: Moments::new(n, n) };
        Plan::Reads(Box::new([pair(), pair()]))
    }
}

struct Lacks {
    layout: Layout,
    merge: Option<Merge>,
    halves: [Sums; 2],
}

/// A contraction and the values it is measured by.
struct Measuring {
    plan: Plan,
    /// The present data and weight; the present result, and the sum's other operand.
    data: ValueId,
    weight: Tensor,
    result: ValueId,
    beside: Option<ValueId>,
}

/// Measures and refits some contractions; tells the calls whose weights changed.
pub(super) fn run(sides: &Sides, tasks: &mut [Task], model: &mut Model) -> Result<Vec<NodeId>, RepairError> {
    let (mut measuring, mut changed) = (vec![], vec![]);
    for task in tasks.iter() {
        measuring.push(Measuring::new(sides, tasks, task, model).ok_or_else(|| task.lost())?);
    }
    measure(sides, tasks, &mut measuring, model)?;
    for (task, measured) in tasks.iter_mut().zip(measuring) {
        // What can't be written now stays as it was fitted before.
        let written = match measured.plan {
            Plan::Reads(pair) => {
                let maps = task.across(&pair);
                write::write(sides.analysis, sides.keep, task, &maps, model)?
            }
            Plan::Lacks(lacks) => match direct::fit(&lacks.halves, lacks.merge.is_some()) {
                Some(change) => write::change(sides.analysis, task, &lacks.layout, &change, model)?,
                None => continue,
            },
            Plan::Nothing => continue,
        };
        changed.extend(written.is_ok().then_some(task.contraction.node));
    }
    Ok(changed)
}

impl Measuring {
    fn new(sides: &Sides, stage: &[Task], task: &Task, model: &Model) -> Option<Measuring> {
        let c = &task.contraction;
        let data = model.graph.operand(c.node, usize::from(c.data_slot))?;
        let weight = store::present(model, write::place(c))?;
        // A bias behind the call took over its result's name.
        let original = ValueId { node: c.node, port: 0 };
        let name = sides.analysis.model.graph.value_name(original);
        let result = model.graph.values_by_name().get(name).copied()?;
        let merge =
            task.layout.as_ref().and_then(|_| merge(sides.analysis, c.node)).filter(|m| settled(sides, stage, m));
        let beside = merge.and_then(|m| model.graph.operand(m.node, usize::from(m.slot)));
        let plan = match &task.layout {
            Some(layout) => {
                let (depth, outputs) = (layout.depth(&weight.shape), weight.shape[layout.row]);
                let groups = task.kept.iter().filter(|k| !k.is_empty()).count().max(1);
                let sums = || Sums::new(groups, depth, outputs / groups);
                let (layout, halves) = (layout.clone(), [sums(), sums()]);
                Plan::Lacks(Box::new(Lacks { layout, merge, halves }))
            }
            None => Plan::reads(task),
        };
        Some(Measuring { plan, data, weight, result, beside })
    }

    /// The values of the original that are looked at.
    fn before(&self, task: &Task, sides: &Sides) -> Vec<ValueId> {
        // If the layout does not hold, what is read is needed after all.
        let data = Some(task.contraction.data).filter(|_| task.cut);
        let Plan::Lacks(lacks) = &self.plan else { return data.into_iter().collect() };
        let merge = lacks.merge.iter();
        let result = ValueId { node: task.contraction.node, port: 0 };
        let beside = |m: &Merge| sides.analysis.model.graph.operand(m.node, usize::from(m.slot));
        merge.flat_map(|m| [Some(m.exit), beside(m)]).flatten().chain([result]).chain(data).collect()
    }

    /// The values of the pruned model that are looked at.
    fn after(&self) -> Vec<ValueId> {
        match &self.plan {
            Plan::Nothing => vec![],
            Plan::Reads(_) => vec![self.data],
            Plan::Lacks(_) => [self.data, self.result].into_iter().chain(self.beside).collect(),
        }
    }
}

/// Whether a sum's other operand stays as it is while these contractions are refitted.
fn settled(sides: &Sides, stage: &[Task], merge: &Merge) -> bool {
    let graph = &sides.analysis.model.graph;
    let changing: HashSet<NodeId> = stage.iter().map(|t| t.contraction.node).collect();
    let mut seen = HashSet::new();
    let mut waiting: Vec<NodeId> =
        graph.operand(merge.node, usize::from(merge.slot)).map(|v| v.node).into_iter().collect();
    while let Some(node) = waiting.pop() {
        if changing.contains(&node) {
            return false;
        }
        if seen.insert(node) {
            waiting.extend(graph.operands(node).into_iter().flatten().map(|v| v.node));
        }
    }
    true
}

type Values = BTreeMap<ValueId, Tensor>;

fn measure(sides: &Sides, tasks: &[Task], measuring: &mut [Measuring], model: &Model) -> Result<(), RepairError> {
    let then: Vec<ValueId> = tasks.iter().zip(&*measuring).flat_map(|(t, m)| m.before(t, sides)).collect();
    let now: Vec<ValueId> = measuring.iter().flat_map(Measuring::after).collect();
    let mut original = Probe::new(&sides.analysis.model, &then)?;
    let mut pruned = Probe::new(model, &now)?;
    for feed in halved(sides.samples) {
        let (feed, half) = feed.map_err(StatsError::Feed)?;
        let (before, after) = (original.run(&feed)?, pruned.run(&feed)?);
        for (task, measuring) in tasks.iter().zip(&mut *measuring) {
            measuring.add(sides, task, &feed, half, (&before, &after)).map_err(|e| task.failed(e))?;
        }
        (sides.done)();
    }
    Ok(())
}

impl Measuring {
    fn add(
        &mut self,
        sides: &Sides,
        task: &Task,
        feed: &Feed,
        half: Half,
        (before, after): (&Values, &Values),
    ) -> Result<(), TensorError> {
        let (c, limit) = (&task.contraction, stats::limit(feed));
        if let Plan::Lacks(lacks) = &mut self.plan {
            let result = ValueId { node: c.node, port: 0 };
            let then = |value: ValueId| selected(sides, value, &before[&value], None);
            let own = match &task.mix {
                Some(mix) => mix.of(&selected(sides, result, &before[&result], Some(mix.output))?, mix.output, true)?,
                None => then(result)?,
            };
            let own = Change { then: own, now: &after[&self.result] };
            let beside = match (lacks.merge, self.beside) {
                (Some(m), Some(now)) => {
                    let other = sides.analysis.model.graph.operand(m.node, usize::from(m.slot));
                    other.map(|v| Ok((then(m.exit)?, Change { then: then(v)?, now: &after[&now] }))).transpose()?
                }
                _ => None,
            };
            if lacks.add(&after[&self.data], &self.weight, &own, beside.as_ref(), limit, half)? {
                return Ok(());
            }
            self.plan = Plan::reads(task);
        }
        if let Plan::Reads(pair) = &mut self.plan {
            let x = selected(sides, c.data, &before[&c.data], Some(c.data_axis))?;
            let x = stats::rows(&x, c.data_axis, c.view, limit)?;
            let view = View { length: task.left(), ..c.view };
            let y = stats::rows(&after[&self.data], c.data_axis, view, limit)?;
            for (pair, rows) in pair.iter_mut().zip(half.ranges(x.nrows())) {
                pair.cross.add_rows(&x, &y, rows.clone());
                pair.own.add_rows(&y, &y, rows);
            }
        }
        Ok(())
    }
}

/// A value as it was, and as it is.
struct Change<'a> {
    then: Tensor,
    now: &'a Tensor,
}

impl Lacks {
    /// Adds what a feed tells. `false`, and nothing added, if the first one shows that patches and weights do not make
    /// what the contraction computes.
    fn add(
        &mut self,
        data: &Tensor,
        weight: &Tensor,
        own: &Change,
        beside: Option<&(Tensor, Change)>,
        limit: usize,
        half: Half,
    ) -> Result<bool, TensorError> {
        let shape = &own.now.shape;
        let alike = |t: &Tensor| t.shape == *shape;
        let beside = beside.filter(|(exit, c)| [exit, &c.then, c.now].into_iter().all(alike));
        if !alike(&own.then) {
            return Ok(false);
        }
        if beside.is_none() {
            self.merge = None;
        }
        let positions = self.layout.positions(shape, limit);
        let (data, then, now) = (Numbers::of(data)?, Numbers::of(&own.then)?, Numbers::of(own.now)?);
        let is_first = self.halves.iter().all(|h| h.count == 0.0);
        if is_first && !self.holds(&data, &Numbers::of(weight)?, &now, &positions) {
            return Ok(false);
        }
        let beside = beside.map(|(exit, c)| Ok([Numbers::of(exit)?, Numbers::of(&c.then)?, Numbers::of(c.now)?]));
        let beside = beside.transpose()?;
        let outputs = shape[self.layout.output] / self.halves[0].groups.len();
        for (sums, rows) in self.halves.iter_mut().zip(half.ranges(positions.len())) {
            let positions = &positions[rows];
            sums.count += positions.len() as f64;
            for (g, group) in sums.groups.iter_mut().enumerate().filter(|_| !positions.is_empty()) {
                let range = g * outputs..(g + 1) * outputs;
                let read = |n: &Numbers| self.layout.outputs(n, positions, range.clone());
                let patches = self.layout.patches(&data, &weight.shape, g, positions);
                let (then, now) = (read(&then), read(&now));
                let mut lacking = None;
                if let Some([exit, beside_then, beside_now]) = &beside {
                    let exit = read(exit);
                    for o in 0..outputs {
                        let line = &mut sums.lines[range.start + o];
                        (0..positions.len()).for_each(|r| line.add(then[(r, o)], exit[(r, o)]));
                    }
                    lacking = Some(read(beside_then) - read(beside_now));
                }
                group.add(&patches, &(then - now), lacking.as_ref());
            }
        }
        Ok(true)
    }

    /// Whether each group's outputs are its weights times its patches.
    fn holds(&self, data: &Numbers, weight: &Numbers, now: &Numbers, positions: &[Vec<usize>]) -> bool {
        let groups = self.halves[0].groups.len();
        let outputs = now.shape[self.layout.output] / groups;
        (0..groups).all(|g| {
            let range = g * outputs..(g + 1) * outputs;
            let patches = self.layout.patches(data, &weight.shape, g, positions);
            let now = self.layout.outputs(now, positions, range.clone());
            computes(&self.layout, &patches, weight, range, &now)
        })
    }
}

/// Whether the outputs are the weights times the patches, but for a constant each. (A factor in the call, say, is none
/// of a rule's laws.)
pub(super) fn computes(
    layout: &Layout,
    patches: &Mat<f64>,
    weight: &Numbers,
    outputs: std::ops::Range<usize>,
    now: &Mat<f64>,
) -> bool {
    let numbers = &weight.values;
    let mut w = Mat::zeros(patches.ncols(), outputs.len());
    for (o, output) in outputs.enumerate() {
        layout.weights_of(&weight.shape, output).into_iter().enumerate().for_each(|(k, at)| w[(k, o)] = numbers[at]);
    }
    let mut rest = now.clone();
    matmul(rest.as_mut(), Accum::Add, patches.as_ref(), w.as_ref(), -1.0, Par::Seq);
    let spread = |m: &Mat<f64>| {
        let of = |column: usize| {
            let c = m.col(column);
            let mean = c.iter().sum::<f64>() / c.nrows().max(1) as f64;
            c.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>()
        };
        (0..m.ncols()).map(of).sum::<f64>()
    };
    spread(&rest) <= 1e-3 * spread(now)
}

/// What the keep-sets leave of a value of the original, along all axes but one.
pub(super) fn selected(
    sides: &Sides,
    value: ValueId,
    tensor: &Tensor,
    but: Option<usize>,
) -> Result<Tensor, TensorError> {
    let mut tensor = tensor.clone();
    for (axis, &var) in sides.analysis.axes.of(value).into_iter().flatten().enumerate() {
        if Some(axis) != but
            && let Kept::Some(kept) = sides.keep.of(&sides.analysis.axes, var)
        {
            tensor = tensor.select(axis, &kept)?;
        }
    }
    Ok(tensor)
}
