//! A stage: some contractions, measured in the original and in the pruned model side by side, and refitted.

use super::direct::{self, Sums};
use super::fit::Pair;
use super::layout::{Layout, Left, Numbers};
use super::merge::Merge;
use super::mix::Mix;
use super::rematch;
use super::{RepairError, Task, store, write};
use crate::analysis::Analysis;
use crate::axes::KeepSets;
use crate::contraction::View;
use crate::ir::{Model, NodeId, Tensor, TensorError, ValueId};
use crate::stats::{self, Draw, Floats, Frontier, Goal, Half, Mark, Moments};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

/// What a stage needs beside its contractions.
pub(super) struct Sides<'a> {
    pub analysis: &'a Analysis,
    pub keep: &'a KeepSets,
    /// How many samples there are.
    pub samples: u64,
    pub done: &'a dyn Fn(),
}

/// Both models, as far as they were run.
pub(super) struct Carried<'a> {
    pub original: Frontier<'a>,
    pub pruned: Frontier<'a>,
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

/// What the outputs of a contraction lack, by patch.
struct Lacks {
    layout: Layout,
    merge: Option<Merge>,
    halves: [Sums; 2],
    /// What patches are summed about, for each group: the mean of those of the first feed.
    centres: Vec<Vec<f32>>,
    /// What the keep-sets leave of the original's values: the result, the sum's operands.
    result: Left,
    exit: Left,
    beside: Left,
}

/// A contraction and the values it is measured by.
struct Measuring {
    plan: Plan,
    /// The present data and weight; the present result, and the sum's other operand.
    data: ValueId,
    weight: Tensor,
    result: ValueId,
    beside: Option<ValueId>,
    rows_of_each_sample: usize,
}

/// Measures and refits some contractions, none of which depends on another; tells the calls whose weights changed, and how
/// long solving took. `rest` are those of later stages, `outputs` what else will be looked at of the original.
pub(super) fn run(
    sides: &Sides,
    carried: &mut Carried,
    (stage, rest): (&mut [Task], &[Task]),
    outputs: &[ValueId],
    model: &mut Model,
) -> Result<(Vec<NodeId>, Duration), RepairError> {
    let (mut measuring, mut changed) = (vec![], vec![]);
    for task in stage.iter() {
        measuring.push(Measuring::new(sides, task, model).ok_or_else(|| task.lost())?);
    }
    measure(sides, carried, (stage, rest), outputs, &mut measuring, model)?;
    let start = Instant::now();
    for (task, measured) in stage.iter_mut().zip(measuring) {
        // What can't be written now stays as it was fitted before.
        let written = match measured.plan {
            Plan::Reads(pair) => {
                let maps = task.across(&pair);
                write::write(sides.analysis, sides.keep, task, &maps, model)?
            }
            Plan::Lacks(mut lacks) => match direct::fit(&mut lacks.halves, &lacks.centres, lacks.merge.is_some()) {
                Some(change) => write::change(sides.analysis, task, &lacks.layout, &change, model)?,
                None => continue,
            },
            Plan::Nothing => continue,
        };
        changed.extend(written.is_ok().then_some(task.contraction.node));
    }
    Ok((changed, start.elapsed()))
}

impl Task {
    /// The result of the contraction in the original.
    pub(super) fn result(&self) -> ValueId {
        ValueId { node: self.contraction.node, port: 0 }
    }

    /// The result of the contraction as the model is by now: a bias behind the call took over its name.
    pub(super) fn present(&self, analysis: &Analysis, model: &Model) -> Option<ValueId> {
        let name = analysis.model.graph.value_name(self.result());
        let mut at = self.result();
        while model.graph.value_name(at) != name {
            let [next] = model.graph.uses(at)[..] else { return None };
            at = ValueId { node: next.node, port: 0 };
        }
        Some(at)
    }

    /// What is looked at in the original.
    fn before(&self, analysis: &Analysis) -> Vec<ValueId> {
        let graph = &analysis.model.graph;
        // If the layout does not hold, what is read is needed after all.
        let data = Some(self.contraction.data).filter(|_| self.cut);
        let result = self.layout.as_ref().map(|_| self.result());
        let of_merge = |m: &Merge| [Some(m.exit), m.beside(graph)];
        let merged = self.merge.iter().flat_map(of_merge).flatten();
        data.into_iter().chain(result).chain(merged).collect()
    }

    /// What is looked at in the pruned model: what will not change before, and the result.
    fn after(&self, analysis: &Analysis, model: &Model) -> (Vec<ValueId>, Option<ValueId>) {
        let c = &self.contraction;
        let data = model.graph.operand(c.node, usize::from(c.data_slot));
        let beside = self.merge.and_then(|m| m.beside(&model.graph));
        let result = self.layout.as_ref().and_then(|_| self.present(analysis, model));
        (data.into_iter().chain(beside).collect(), result)
    }
}

impl Measuring {
    fn new(sides: &Sides, task: &Task, model: &Model) -> Option<Measuring> {
        let (analysis, c) = (sides.analysis, &task.contraction);
        let data = model.graph.operand(c.node, usize::from(c.data_slot))?;
        let weight = store::present(model, write::place(c))?;
        let result = task.present(analysis, model)?;
        let beside = task.merge.and_then(|m| m.beside(&model.graph));
        let (plan, unknowns) = match &task.layout {
            Some(layout) => {
                let (depth, outputs) = (layout.depth(&weight.shape), weight.shape[layout.row]);
                let groups = task.kept.iter().filter(|k| !k.is_empty()).count().max(1);
                let sums = || Sums::new(groups, depth, outputs / groups);
                let left = |value, but| Left::of(analysis, sides.keep, value, but);
                let graph = &analysis.model.graph;
                let of_merge = |value: Option<ValueId>| value.map_or_else(Left::default, |v| left(v, None));
                let lacks = Lacks {
                    layout: layout.clone(),
                    merge: task.merge,
                    halves: [sums(), sums()],
                    centres: vec![],
                    result: left(task.result(), task.mix.as_ref().map(|m| m.output)),
                    exit: of_merge(task.merge.map(|m| m.exit)),
                    beside: of_merge(task.merge.and_then(|m| m.beside(graph))),
                };
                (Plan::Lacks(Box::new(lacks)), depth + 1)
            }
            None => (Plan::reads(task), task.left() + 1),
        };
        let rows_of_each_sample = stats::rows_per_sample(unknowns, sides.samples);
        Some(Measuring { plan, data, weight, result, beside, rows_of_each_sample })
    }
}

type Values = BTreeMap<ValueId, Tensor>;

fn measure(
    sides: &Sides,
    carried: &mut Carried,
    (stage, rest): (&mut [Task], &[Task]),
    outputs: &[ValueId],
    measuring: &mut [Measuring],
    model: &Model,
) -> Result<(), RepairError> {
    let analysis = sides.analysis;
    let then: Vec<ValueId> = stage.iter().flat_map(|t| t.before(analysis)).collect();
    let later: Vec<ValueId> = rest.iter().flat_map(|t| t.before(analysis)).chain(outputs.iter().copied()).collect();
    let original = Goal { wanted: &then, settled: &then, later: &later };
    // What is behind a contraction that is still to be refitted changes, be it the other operand of a sum.
    let mut unsettled: HashSet<NodeId> = stage.iter().chain(rest).map(|t| t.contraction.node).collect();
    for task in stage.iter().chain(rest) {
        super::spread(&model.graph, task.contraction.node, &mut unsettled);
    }
    let (mut settled, mut now, mut later) = (vec![], vec![], vec![]);
    for (before, result) in stage.iter().map(|t| t.after(analysis, model)) {
        settled.extend(before.iter().filter(|v| !unsettled.contains(&v.node)));
        now.extend(before.into_iter().chain(result));
        later.extend(result);
    }
    for (before, result) in rest.iter().map(|t| t.after(analysis, model)) {
        later.extend(before.into_iter().chain(result));
    }
    let pruned = Goal { wanted: &now, settled: &settled, later: &later };
    let mut original = carried.original.leg(&analysis.model, &original)?;
    let mut pruned = carried.pruned.leg(model, &pruned)?;
    while let (Some((mark, before)), Some((_, after))) = (original.advance()?, pruned.advance()?) {
        for (task, measuring) in stage.iter_mut().zip(&mut *measuring) {
            measuring.add(sides, task, mark, (&before, &after)).map_err(|e| task.failed(e))?;
        }
        (sides.done)();
    }
    Ok(())
}

impl Measuring {
    fn add(
        &mut self,
        sides: &Sides,
        task: &mut Task,
        mark: Mark,
        (before, after): (&Values, &Values),
    ) -> Result<(), TensorError> {
        let draw = Draw { feed: mark.at, rows: self.rows_of_each_sample * mark.samples };
        if let Plan::Lacks(lacks) = &mut self.plan {
            let graph = &sides.analysis.model.graph;
            let then = &before[&task.result()];
            if task.is_end() {
                rematch::add_then(task, then, &lacks.result, mark)?;
            }
            let beside =
                |m: &Merge| Some([before.get(&m.exit)?, before.get(&m.beside(graph)?)?, after.get(&self.beside?)?]);
            let merged = lacks.merge.as_ref().and_then(beside);
            let (data, now) = (&after[&self.data], &after[&self.result]);
            let seen = Seen { data, weight: &self.weight, then, now, merged };
            if lacks.add(&seen, task.mix.as_ref(), draw, mark.half)? {
                return Ok(());
            }
            self.plan = Plan::reads(task);
        }
        if let Plan::Reads(pair) = &mut self.plan {
            let c = &task.contraction;
            let left = Left::of(sides.analysis, sides.keep, c.data, Some(c.data_axis));
            let x = stats::rows(&left.select(&before[&c.data])?, c.data_axis, c.view, draw)?;
            let view = View { length: task.left(), ..c.view };
            let y = stats::rows(&after[&self.data], c.data_axis, view, draw)?;
            for (pair, rows) in pair.iter_mut().zip(mark.half.ranges(x.nrows())) {
                pair.cross.add_rows(&x, &y, rows.clone());
                pair.own.add_rows(&y, &y, rows);
            }
        }
        Ok(())
    }
}

/// What a feed shows of a contraction.
struct Seen<'v> {
    /// The present data and weight.
    data: &'v Tensor,
    weight: &'v Tensor,
    /// The result as it was, and as it is.
    then: &'v Tensor,
    now: &'v Tensor,
    /// Of a sum that it ends in: the operand made of it as it was, the other one as it was, and as it is.
    merged: Option<[&'v Tensor; 3]>,
}

impl Lacks {
    /// Adds what a feed tells. `false`, and nothing added, if the first one shows that patches and weights do not make
    /// what the contraction computes.
    fn add(&mut self, seen: &Seen, mix: Option<&Mix>, draw: Draw, half: Half) -> Result<bool, TensorError> {
        let shape = &seen.now.shape;
        let mut own = self.result.shape(&seen.then.shape);
        if let Some((mix, length)) = mix.and_then(|m| Some((m, own.get_mut(m.output)?))) {
            *length = mix.parts.len();
        }
        if own != *shape {
            return Ok(false);
        }
        let none = Left::default();
        let merged = seen.merged.filter(|[exit, then, now]| {
            let lefts = [self.exit.shape(&exit.shape), self.beside.shape(&then.shape), now.shape.clone()];
            lefts.iter().all(|left| left == shape)
        });
        if merged.is_none() {
            self.merge = None;
        }
        let positions = self.layout.positions(shape, draw);
        let read = |t: &Tensor, left: &Left| Ok(self.layout.outputs(&Floats::of(t)?, left, &positions));
        let (mut then, now) = (read(seen.then, &self.result)?, read(seen.now, &none)?);
        if let Some(mix) = mix {
            then = mix.columns(&then);
        }
        let merged = merged.map(|[exit, before, after]| {
            Ok((read(exit, &self.exit)?, read(before, &self.beside)? - read(after, &none)?))
        });
        let merged: Option<(Mat<f32>, Mat<f32>)> = merged.transpose()?;
        let data = Floats::of(seen.data)?;
        let places = self.layout.places(data.shape, &seen.weight.shape, &positions);
        let groups = self.halves[0].groups.len();
        let outputs = shape[self.layout.output] / groups;
        let weight = if self.centres.is_empty() { Some(Numbers::of(seen.weight)?) } else { None };
        let (mut patches, mut centres) = (vec![], vec![]);
        for (g, weight) in (0..groups).filter_map(|g| Some((g, weight.as_ref()?))) {
            let own = places.patches(&data, g);
            if !computes(&self.layout, &own, weight, g * outputs..(g + 1) * outputs, now.as_ref()) {
                return Ok(false);
            }
            centres.push(mean(&own));
            patches.push(own);
        }
        if weight.is_some() {
            self.centres = centres;
        }
        let lacking = &then - &now;
        let ranges = half.ranges(positions.len());
        for (sums, rows) in self.halves.iter_mut().zip(ranges.clone()) {
            sums.count += rows.len() as f64;
            for (o, line) in sums.lines.iter_mut().enumerate().filter(|_| merged.is_some()) {
                let exit = merged.as_ref().map(|(exit, _)| exit);
                exit.into_iter().for_each(|exit| rows.clone().for_each(|r| line.add(then[(o, r)], exit[(o, r)])));
            }
        }
        let mut patches = patches.into_iter();
        for g in 0..groups {
            let mut own = patches.next().unwrap_or_else(|| places.patches(&data, g));
            let centre = &self.centres[g];
            for column in own.col_iter_mut() {
                column.iter_mut().zip(centre).for_each(|(x, c)| *x -= c);
            }
            for (sums, rows) in self.halves.iter_mut().zip(ranges.clone()).filter(|(_, rows)| !rows.is_empty()) {
                let part = |m: MatRef<'_, f32>| -> Mat<f32> {
                    m.submatrix(g * outputs, rows.start, outputs, rows.len()).to_owned()
                };
                let beside = merged.as_ref().map(|(_, lacks)| part(lacks.as_ref()));
                let (own, lacking) = (own.as_ref().subcols(rows.start, rows.len()), part(lacking.as_ref()));
                sums.groups[g].add(own, lacking.as_ref(), beside.as_ref().map(Mat::as_ref));
            }
        }
        Ok(true)
    }
}

/// The mean of columns.
fn mean(columns: &Mat<f32>) -> Vec<f32> {
    let mut sum = vec![0.0f64; columns.nrows()];
    columns.col_iter().for_each(|c| sum.iter_mut().zip(c.iter()).for_each(|(s, x)| *s += f64::from(*x)));
    sum.into_iter().map(|s| (s / columns.ncols().max(1) as f64) as f32).collect()
}

/// Whether the outputs are the weights times the patches, but for a constant each. (A factor in the call, say, is none
/// of a rule's laws.) Patches and outputs stand in columns, `now` has all outputs.
pub(super) fn computes(
    layout: &Layout,
    patches: &Mat<f32>,
    weight: &Numbers,
    outputs: std::ops::Range<usize>,
    now: MatRef<f32>,
) -> bool {
    let numbers = &weight.values;
    let mut w = Mat::<f32>::zeros(outputs.len(), patches.nrows());
    let now = now.subrows(outputs.start, outputs.len());
    for (o, output) in outputs.enumerate() {
        let places = layout.weights_of(&weight.shape, output);
        places.into_iter().enumerate().for_each(|(k, at)| w[(o, k)] = numbers[at] as f32);
    }
    let mut rest = now.to_owned();
    matmul(rest.as_mut(), Accum::Add, w.as_ref(), patches.as_ref(), -1.0, Par::Seq);
    let spread = |m: MatRef<f32>| {
        let of = |row: usize| {
            let numbers = || m.row(row).iter().map(|x| f64::from(*x));
            let mean = numbers().sum::<f64>() / m.ncols().max(1) as f64;
            numbers().map(|x| (x - mean) * (x - mean)).sum::<f64>()
        };
        (0..m.nrows()).map(of).sum::<f64>()
    };
    spread(rest.as_ref()) <= 1e-3 * spread(now)
}
