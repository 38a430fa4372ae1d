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

use super::layout::{Layout, Numbers};
use super::merge::merge;
use super::stage::{Sides, selected};
use super::{RepairError, Repaired, Step, Task, write};
use crate::ir::{Model, Node, Tensor, TensorError, ValueId};
use crate::stats::{Probe, StatsError};
use std::collections::BTreeMap;

type Values = BTreeMap<ValueId, Tensor>;

/// Count, sum and sum of squares of one output, before and now.
#[derive(Clone, Copy, Default)]
struct Line {
    count: f64,
    then: [f64; 2],
    now: [f64; 2],
}

/// The largest change of a standard deviation.
const LARGEST: f64 = 2.0;

/// Rematches the last contraction of each branch in topological order, in so many steps at most.
pub(super) fn run(
    sides: &Sides,
    tasks: &[Task],
    steps: usize,
    model: &mut Model,
) -> Result<Vec<Repaired>, RepairError> {
    let ends_in_a_sum = |t: &&Task| t.mix.is_none() && merge(sides.analysis, t.contraction.node).is_some();
    let ends = tasks.iter().filter(ends_in_a_sum).filter_map(|t| Some((t, t.layout.as_ref()?)));
    let ends: Vec<(&Task, &Layout)> = ends.collect();
    let mut found = vec![];
    // With a single batch there is nothing to hold out.
    if ends.is_empty() || sides.samples.feeds().take(2).count() < 2 {
        return Ok(found);
    }
    let mut before = [error(sides, model, 0)?, error(sides, model, 1)?];
    for step in ends.chunks(ends.len().div_ceil(steps.max(1))) {
        let halves = measure(sides, step, model)?;
        let mut after = [0.0; 2];
        for half in [0, 1] {
            let changed = changed(sides, step, model, &halves[half])?;
            after[1 - half] = error(sides, &changed, 1 - half)?;
        }
        if after[0] < before[0] && after[1] < before[1] {
            let merged = |(a, b): (&Vec<Line>, &Vec<Line>)| a.iter().zip(b).map(|(a, b)| a.merged(b)).collect();
            let both: Vec<Vec<Line>> = halves[0].iter().zip(&halves[1]).map(merged).collect();
            *model = changed(sides, step, model, &both)?;
            found.extend(step.iter().map(|(task, _)| task.told(before, after)));
            before = after;
        }
    }
    Ok(found)
}

impl Task {
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
fn changed(sides: &Sides, step: &[(&Task, &Layout)], model: &Model, lines: &[Vec<Line>]) -> Result<Model, RepairError> {
    let mut changed = model.clone();
    for ((task, layout), lines) in step.iter().zip(lines) {
        let by: Vec<(f64, f64)> = lines.iter().map(Line::change).collect();
        // What can't be written stays.
        let _written = write::scale(sides.analysis, task, layout, &by, &mut changed)?;
    }
    Ok(changed)
}

impl Line {
    fn merged(&self, o: &Line) -> Line {
        let add = |a: [f64; 2], b: [f64; 2]| [a[0] + b[0], a[1] + b[1]];
        Line { count: self.count + o.count, then: add(self.then, o.then), now: add(self.now, o.now) }
    }

    /// The factor and the summand that bring back mean and variance.
    fn change(&self) -> (f64, f64) {
        let n = self.count.max(1.0);
        let of = |[sum, squares]: [f64; 2]| (sum / n, (squares / n - (sum / n) * (sum / n)).max(0.0).sqrt());
        let ((then, spread), (now, narrow)) = (of(self.then), of(self.now));
        let factor =
            if narrow > 1e-6 * (spread + now.abs()) { (spread / narrow).clamp(1.0 / LARGEST, LARGEST) } else { 1.0 };
        (factor, then - factor * now)
    }
}

/// Sums over both halves of the samples, for each output of each contraction.
fn measure(sides: &Sides, step: &[(&Task, &Layout)], model: &Model) -> Result<[Vec<Vec<Line>>; 2], RepairError> {
    let results: Vec<ValueId> = step.iter().map(|(t, _)| ValueId { node: t.contraction.node, port: 0 }).collect();
    let named = model.graph.values_by_name();
    let present = |(v, (task, _)): (&ValueId, &(&Task, &Layout))| {
        named.get(sides.analysis.model.graph.value_name(*v)).copied().ok_or_else(|| task.lost())
    };
    let present: Vec<ValueId> = results.iter().zip(step).map(present).collect::<Result<_, _>>()?;
    let mut lines = [vec![vec![]; step.len()], vec![vec![]; step.len()]];
    let (mut original, mut pruned) = (Probe::new(&sides.analysis.model, &results)?, Probe::new(model, &present)?);
    for (turn, feed) in sides.samples.feeds().enumerate() {
        let feed = feed.map_err(StatsError::Feed)?;
        let (then, now) = (original.run(&feed)?, pruned.run(&feed)?);
        for (i, (task, layout)) in step.iter().enumerate() {
            let then = selected(sides, results[i], &then[&results[i]], None);
            let added = then.and_then(|then| add(&mut lines[turn % 2][i], &then, &now[&present[i]], layout));
            added.map_err(|e| task.failed(e))?;
        }
        (sides.done)();
    }
    Ok(lines)
}

fn add(lines: &mut Vec<Line>, then: &Tensor, now: &Tensor, layout: &Layout) -> Result<(), TensorError> {
    let (then, now) = (Numbers::of(then)?, Numbers::of(now)?);
    let inner: usize = now.shape[layout.output + 1..].iter().product();
    lines.resize(now.shape[layout.output], Line::default());
    let length = lines.len();
    for (i, (x, y)) in then.values.iter().zip(&now.values).enumerate() {
        let line = &mut lines[i / inner % length];
        line.count += 1.0;
        line.then = [line.then[0] + x, line.then[1] + x * x];
        line.now = [line.now[0] + y, line.now[1] + y * y];
    }
    Ok(())
}

/// How far the outputs are from the original's on one half of the samples, as a share of their energy.
fn error(sides: &Sides, model: &Model, half: usize) -> Result<f64, RepairError> {
    let outputs = |model: &Model| -> Vec<ValueId> {
        let graph = &model.graph;
        let is_output = |n: &_| matches!(graph.node(*n), Node::Output(_));
        graph.topological().into_iter().filter(is_output).filter_map(|n| graph.operand(n, 0)).collect()
    };
    let (then, now) = (outputs(&sides.analysis.model), outputs(model));
    let (mut original, mut pruned) = (Probe::new(&sides.analysis.model, &then)?, Probe::new(model, &now)?);
    let (mut apart, mut energy) = (0.0, 0.0);
    for feed in sides.samples.feeds().skip(half).step_by(2) {
        let feed = feed.map_err(StatsError::Feed)?;
        let (a, b): (Values, Values) = (original.run(&feed)?, pruned.run(&feed)?);
        for (a, b) in then.iter().zip(&now).filter_map(|(x, y)| Some((a.get(x)?, b.get(y)?))) {
            let (Ok(a), Ok(b)) = (a.to_f64(), b.to_f64()) else { continue };
            energy += a.iter().map(|x| x * x).sum::<f64>();
            apart += a.iter().zip(&b).map(|(x, y)| (x - y) * (x - y)).sum::<f64>();
        }
    }
    Ok(apart / f64::max(energy, f64::MIN_POSITIVE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(numbers: impl Iterator<Item = (f64, f64)>) -> Line {
        numbers.fold(Line::default(), |l, (x, y)| {
            let one = Line { count: 1.0, then: [x, x * x], now: [y, y * y] };
            l.merged(&one)
        })
    }

    #[test]
    fn mean_and_deviation_come_back() {
        let numbers = || (0..20).map(|i| f64::from(i * 7 % 13));
        let near = |(a, b): (f64, f64), (x, y): (f64, f64)| assert!((a - x).abs() + (b - y).abs() < 1e-9, "{a} {b}");
        near(line(numbers().map(|x| (x, 0.8 * x + 1.0))).change(), (1.25, -1.25));
        // What hardly varies is not blown up, and what does not vary at all is only moved.
        assert_eq!(line(numbers().map(|x| (x, 0.1 * x))).change().0, LARGEST);
        near(line([(2.0, 5.0), (4.0, 5.0)].into_iter()).change(), (1.0, -2.0));
    }
}
