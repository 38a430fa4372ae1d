//! `rematch-statistics`: after the fits, the outputs of each branch get back the mean and the variance that they had.
//!
//! A least squares fit shrinks what it can't predict, so the results of pruned branches vary too little. A factor and a
//! summand for each output, put into the weights and the bias of the branch's last contraction, undo that exactly. Both
//! are found on each half of the samples, and stay where the model's outputs come nearer to the original's on the other, for
//! both.
//!
//! It is a step of the repair and no pass, because it needs two models: a pass has one.
//!
//! Source: Jordan et al., REPAIR: REnormalizing Permuted Activations for Interpolation Repair, 2022 (arXiv 2211.08403).
//!
//! Last, **`rematch-statistics`** (`rematch.rs`): least squares shrink what they can't predict, so the results of branches
//! vary too little. A factor and a summand for each output of a branch's last contraction bring mean and variance back, and
//! go into its weights and bias. They are found on each half of the samples and stay where the outputs of the whole model
//! come nearer to the original's on the other, for both halves. It is a step of the repair and no pass, because a pass has
//! one model and this needs two.

use super::layout::{Layout, Left};
use super::stage::{Carried, Sides};
use super::{RepairError, Repaired, Step, Task, write};
use crate::ir::{Model, Tensor, TensorError, ValueId};
use crate::stats::{Draw, Floats, Frontier, Goal, Half, MOST_PER_SAMPLE, Mark};

/// Count, sum and sum of squares of one output.
#[derive(Clone, Copy, Default)]
pub(super) struct Line {
    count: f64,
    sum: f64,
    squares: f64,
}

/// What the outputs of a contraction were, over either half of the samples.
pub(super) type Lines = [Vec<Line>; 2];

/// The largest change of a standard deviation.
const LARGEST: f64 = 2.0;

/// In how many steps branches are rematched, at most.
const STEPS: usize = 16;

/// On how many samples it is judged whether a step is for the better.
const JUDGED: u64 = 64;

/// Rematches the last contraction of each branch in topological order. `pruned` stands at the inputs again.
pub(super) fn run(
    sides: &Sides,
    carried: &mut Carried,
    tasks: &[Task],
    model: &mut Model,
) -> Result<Vec<Repaired>, RepairError> {
    let ends = tasks.iter().filter(|t| t.is_end());
    let ends = ends.filter_map(|task| Some(End { task, layout: task.layout.as_ref()?, then: task.then.as_ref()? }));
    let ends: Vec<End> = ends.collect();
    let mut found = vec![];
    let Some(judged) = Judged::new(sides, carried)?.filter(|_| !ends.is_empty()) else { return Ok(found) };
    let mut before = [judged.error(carried, model, 0)?, judged.error(carried, model, 1)?];
    let steps: Vec<&[End]> = ends.chunks(ends.len().div_ceil(STEPS)).collect();
    for (at, step) in steps.iter().enumerate() {
        let now = measure(sides, &mut carried.pruned, (step, &steps[at + 1..]), model)?;
        let mut after = [0.0; 2];
        for half in [0, 1] {
            let changed = changed(sides, step, model, |at| changes(step[at].then, &now[at], Some(half)))?;
            after[1 - half] = judged.error(carried, &changed, 1 - half)?;
        }
        if after[0] < before[0] && after[1] < before[1] {
            *model = changed(sides, step, model, |at| changes(step[at].then, &now[at], None))?;
            found.extend(step.iter().map(|end| end.task.told(before, after)));
            before = after;
        }
    }
    Ok(found)
}

/// The last contraction of a branch.
struct End<'t> {
    task: &'t Task,
    layout: &'t Layout,
    then: &'t Lines,
}

impl Task {
    /// Whether its result ends in a sum, and is one of the original's.
    pub(super) fn is_end(&self) -> bool {
        self.mix.is_none() && self.merge.is_some() && self.layout.is_some()
    }

    fn told(&self, before: [f64; 2], after: [f64; 2]) -> Repaired {
        let mean = |[a, b]: [f64; 2]| (a + b) / 2.0;
        let (node, weight) = (self.node.clone(), self.weight.clone());
        Repaired {
            step: Step::RematchStatistics,
            node,
            weight,
            before: mean(before),
            after: mean(after),
            rows: 0,
            reads: 0,
        }
    }
}

/// The model with factors and summands in the weights and biases of these contractions.
fn changed(
    sides: &Sides,
    step: &[End],
    model: &Model,
    by: impl Fn(usize) -> Vec<(f64, f64)>,
) -> Result<Model, RepairError> {
    let mut changed = model.clone();
    for (at, end) in step.iter().enumerate() {
        // What can't be written stays.
        let _written = write::scale(sides.analysis, end.task, end.layout, &by(at), &mut changed)?;
    }
    Ok(changed)
}

/// The factors and the summands that bring back mean and variance, found on one half of the samples or on both.
fn changes(then: &Lines, now: &Lines, half: Option<usize>) -> Vec<(f64, f64)> {
    let of = |lines: &Lines, o: usize| match half {
        Some(half) => lines[half].get(o).copied().unwrap_or_default(),
        None => lines.iter().filter_map(|l| l.get(o)).fold(Line::default(), |a, b| a.merged(b)),
    };
    (0..then[0].len().max(then[1].len())).map(|o| change(&of(then, o), &of(now, o))).collect()
}

/// The factor and the summand that bring back mean and variance.
fn change(then: &Line, now: &Line) -> (f64, f64) {
    let ((then, spread), (now, narrow)) = (then.statistics(), now.statistics());
    let factor =
        if narrow > 1e-6 * (spread + now.abs()) { (spread / narrow).clamp(1.0 / LARGEST, LARGEST) } else { 1.0 };
    (factor, then - factor * now)
}

impl Line {
    fn add(&mut self, x: f64) {
        *self = self.merged(&Line { count: 1.0, sum: x, squares: x * x });
    }

    fn merged(&self, o: &Line) -> Line {
        Line { count: self.count + o.count, sum: self.sum + o.sum, squares: self.squares + o.squares }
    }

    /// The mean and the standard deviation.
    fn statistics(&self) -> (f64, f64) {
        let n = self.count.max(1.0);
        let mean = self.sum / n;
        (mean, (self.squares / n - mean * mean).max(0.0).sqrt())
    }
}

/// Sums over both halves of the samples, for each output of each contraction of a step. What does not change in this
/// step is not run again by later ones.
fn measure(
    sides: &Sides,
    pruned: &mut Frontier,
    (step, rest): (&[End], &[&[End]]),
    model: &Model,
) -> Result<Vec<Lines>, RepairError> {
    let present = |end: &End| end.task.present(sides.analysis, model).ok_or_else(|| end.task.lost());
    let results = step.iter().map(present).collect::<Result<Vec<ValueId>, RepairError>>()?;
    let data = |end: &End| model.graph.operand(end.task.contraction.node, usize::from(end.task.contraction.data_slot));
    // Others of the step may be behind the first.
    let settled: Vec<ValueId> = step.first().and_then(data).into_iter().collect();
    let ends = rest.iter().flat_map(|step| step.iter());
    let later: Vec<ValueId> = ends.filter_map(data).chain(results.iter().copied()).chain(outputs(model)).collect();
    let wanted = [&results[..], &settled].concat();
    let mut leg = pruned.leg(model, &Goal { wanted: &wanted, settled: &settled, later: &later })?;
    let mut lines: Vec<Lines> = vec![Lines::default(); step.len()];
    while let Some((mark, now)) = leg.advance()? {
        for ((end, lines), result) in step.iter().zip(&mut lines).zip(&results) {
            let added = add(lines, &now[result], &Left::default(), end.layout, mark);
            added.map_err(|e| end.task.failed(e))?;
        }
        (sides.done)();
    }
    Ok(lines)
}

/// Adds what a contraction computes in the original.
pub(super) fn add_then(task: &mut Task, result: &Tensor, left: &Left, mark: Mark) -> Result<(), TensorError> {
    let Some(layout) = &task.layout else { return Ok(()) };
    add(task.then.get_or_insert_default(), result, left, layout, mark)
}

fn add(lines: &mut Lines, result: &Tensor, left: &Left, layout: &Layout, mark: Mark) -> Result<(), TensorError> {
    let draw = Draw { feed: mark.at, rows: MOST_PER_SAMPLE * mark.samples };
    let positions = layout.positions(&left.shape(&result.shape), draw);
    let numbers = layout.outputs(&Floats::of(result)?, left, &positions);
    for (lines, rows) in lines.iter_mut().zip(mark.half.ranges(positions.len())) {
        lines.resize(numbers.nrows(), Line::default());
        for (o, line) in lines.iter_mut().enumerate() {
            rows.clone().for_each(|r| line.add(numbers[(o, r)].into()));
        }
    }
    Ok(())
}

/// What a model returns.
pub(super) fn outputs(model: &Model) -> Vec<ValueId> {
    let graph = &model.graph;
    graph.outputs().into_iter().filter_map(|n| graph.operand(n, 0)).collect()
}

/// The feeds on which models are compared with the original.
struct Judged {
    /// The outputs of the original.
    outputs: Vec<ValueId>,
    original: Model,
    /// So many pairs of feeds, of all so many.
    pairs: usize,
    of: usize,
}

impl Judged {
    /// `None` with a single feed: then there is nothing to hold out.
    fn new(sides: &Sides, carried: &mut Carried) -> Result<Option<Judged>, RepairError> {
        let original = sides.analysis.model.clone();
        let outputs = outputs(&original);
        let goal = Goal { wanted: &outputs, settled: &outputs, later: &outputs };
        let (mut feeds, mut both) = (0, true);
        let mut leg = carried.original.leg(&original, &goal)?;
        while let Some((mark, _)) = leg.advance()? {
            feeds += 1;
            both &= mark.half != Half::Both;
        }
        drop(leg);
        let pairs = feeds / 2;
        let each = (sides.samples / (feeds as u64).max(1)).max(1);
        let wanted = (JUDGED / (2 * each)).max(1).min(pairs as u64) as usize;
        Ok((both && pairs > 0).then_some(Judged { outputs, original, pairs: wanted, of: pairs }))
    }

    /// Whether a feed is one of them.
    fn has(&self, feed: usize) -> bool {
        let pair = feed / 2;
        pair < self.of && (pair + 1) * self.pairs / self.of > pair * self.pairs / self.of
    }

    /// How far the outputs are from the original's on one half of the samples, as a share of their energy. The model is
    /// run from where it stands.
    fn error(&self, carried: &mut Carried, model: &Model, half: usize) -> Result<f64, RepairError> {
        let now = outputs(model);
        let mut original = carried.original.look(&self.original, &self.outputs)?;
        let mut pruned = carried.pruned.look(model, &now)?;
        let (mut apart, mut energy) = (0.0, 0.0);
        for feed in 0.. {
            if feed % 2 != half || !self.has(feed) {
                if !(original.pass()? && pruned.pass()?) {
                    break;
                }
                continue;
            }
            let (Some((_, a)), Some((_, b))) = (original.advance()?, pruned.advance()?) else { break };
            for (a, b) in self.outputs.iter().zip(&now).filter_map(|(x, y)| Some((a.get(x)?, b.get(y)?))) {
                let (Ok(a), Ok(b)) = (a.to_f64(), b.to_f64()) else { continue };
                energy += a.iter().map(|x| x * x).sum::<f64>();
                apart += a.iter().zip(&b).map(|(x, y)| (x - y) * (x - y)).sum::<f64>();
            }
        }
        Ok(apart / f64::max(energy, f64::MIN_POSITIVE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(numbers: impl Iterator<Item = (f64, f64)>) -> (f64, f64) {
        let (mut then, mut now) = (Line::default(), Line::default());
        numbers.for_each(|(x, y)| {
            then.add(x);
            now.add(y);
        });
        super::change(&then, &now)
    }

    #[test]
    fn mean_and_deviation_come_back() {
        let numbers = || (0..20).map(|i| f64::from(i * 7 % 13));
        let near = |(a, b): (f64, f64), (x, y): (f64, f64)| assert!((a - x).abs() + (b - y).abs() < 1e-9, "{a} {b}");
        near(change(numbers().map(|x| (x, 0.8 * x + 1.0))), (1.25, -1.25));
        // What hardly varies is not blown up, and what does not vary at all is only moved.
        assert_eq!(change(numbers().map(|x| (x, 0.1 * x))).0, LARGEST);
        near(change([(2.0, 5.0), (4.0, 5.0)].into_iter()), (1.0, -2.0));
    }
}
