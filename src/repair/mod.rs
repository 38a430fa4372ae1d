//! Repair: what is left of a model is refitted, so that each contraction computes as nearly as possible what it did.
//!
//! No training and no labels: for every contraction over an axis that lost units, the removed ones are predicted from
//! those that stay, from statistics of a few hundred inputs. First all contractions are fitted on the original model's
//! statistics. Then, stage by stage in topological order, each is fitted again to what really arrives in the pruned
//! model, while its target stays what it computed in the original one: so errors do not pile up along the depth.

mod fit;
mod merge;
mod write;

pub(crate) use merge::{merge, writable};

use crate::analysis::Analysis;
use crate::axes::{KeepSets, Kept};
use crate::contraction::{self, Contraction, View};
use crate::ir::{Graph, Model, Tensor, TensorError, ValueId};
use crate::stats::{self, Moments, Probe, Samples, Stats, StatsError};
use faer::Mat;
use fit::{Affine, Pair};
use serde::Serialize;
use std::collections::HashMap;
use write::BiasAt;

/// How a contraction fared.
#[derive(Clone, Debug, Serialize)]
pub struct Repaired {
    /// The call's name.
    pub node: String,
    /// The weight's name in the input file.
    pub weight: String,
    /// What it got wrong with the units just dropped, as a share of its output's variance.
    pub before: f64,
    /// The same after the repair, on the same samples.
    pub after: f64,
}

/// Why a model was not repaired.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    #[error(transparent)]
    Stats(#[from] StatsError),
    #[error("the weight `{weight}`: {error}")]
    Tensor { weight: String, error: TensorError },
    #[error("the weight `{0}` is not what it was before the cut")]
    Lost(String),
}

/// A contraction to repair.
pub(crate) struct Task {
    contraction: Contraction,
    /// The kept elements of each group's share of the view, ascending.
    kept: Vec<Vec<usize>>,
    node: String,
    weight: String,
    importance: Vec<Mat<f64>>,
    bias: Option<BiasAt>,
}

impl Task {
    fn failed(&self, error: TensorError) -> RepairError {
        RepairError::Tensor { weight: self.weight.clone(), error }
    }

    fn lost(&self) -> RepairError {
        RepairError::Lost(self.weight.clone())
    }
}

/// How many multiply-accumulates the stages may take, which bounds their number: few for large models and many samples.
const WORK: u64 = 4_000_000_000_000;

/// Refits a pruned model, of which `analysis` is the original. `work` is what a run of all samples costs, in
/// multiply-accumulates.
pub fn repair(
    analysis: &Analysis,
    keep: &KeepSets,
    stats: &Stats,
    samples: &dyn Samples,
    work: u64,
    model: &mut Model,
    done: &dyn Fn(),
) -> Result<Vec<Repaired>, RepairError> {
    let mut tasks = tasks(analysis, keep)?;
    let mut found = vec![];
    for task in &mut tasks {
        let Some(halves) = stats.halves(&task.contraction) else { continue };
        let maps = task.within(halves);
        found.push(task.judge(halves, &maps));
        write::write(analysis, keep, task, &maps, model)?;
    }
    // What the weights imply is no sample of anything.
    if samples.count() == 0 {
        return Ok(found);
    }
    let stages = usize::try_from(WORK / work.max(1)).unwrap_or(usize::MAX).clamp(1, 64).min(tasks.len().max(1));
    let length = tasks.len().div_ceil(stages).max(1);
    for stage in tasks.chunks_mut(length) {
        let pairs = measure(analysis, keep, stage, samples, model, done)?;
        for (task, pair) in stage.iter_mut().zip(&pairs) {
            let maps = task.across(pair);
            write::write(analysis, keep, task, &maps, model)?;
        }
    }
    Ok(found)
}

/// Tells of contractions whether several calls share the weight: it stays shared.
fn shared(graph: &Graph) -> impl Fn(&Contraction) -> bool + '_ {
    let mut uses: HashMap<&str, usize> = HashMap::new();
    for node in graph.constants() {
        if let Some(source) = graph.constant(node).and_then(|c| c.source()) {
            *uses.entry(source).or_default() += 1;
        }
    }
    move |c| {
        let source = graph.constant(c.weight.node).and_then(|c| c.source());
        source.is_some_and(|s| uses.get(s).is_some_and(|&n| n > 1))
    }
}

/// The contractions over cut axes whose weights may be changed.
fn tasks(analysis: &Analysis, keep: &KeepSets) -> Result<Vec<Task>, RepairError> {
    let graph = &analysis.model.graph;
    let shared = shared(graph);
    let mut tasks = vec![];
    for contraction in Contraction::all(analysis) {
        let (Some(call), Some(constant)) = (graph.call(contraction.node), graph.constant(contraction.weight.node))
        else {
            continue;
        };
        if shared(&contraction) || write::bias(analysis, contraction.node).is_none() {
            continue;
        }
        let Kept::Some(kept) = keep.of(&analysis.axes, contraction.view.var) else { continue };
        let depth = contraction.depth();
        let mut groups = vec![vec![]; contraction.groups];
        kept.into_iter().for_each(|k| groups[k / depth].push(k % depth));
        let weight = constant.source().unwrap_or(&constant.name).to_owned();
        let importance = contraction::importance(&contraction, &constant.tensor);
        let importance = importance.map_err(|error| RepairError::Tensor { weight: weight.clone(), error })?;
        let block = |g: usize| Mat::from_fn(depth, depth, |i, j| importance[(g * depth + i, g * depth + j)]);
        let importance = (0..contraction.groups).map(block).collect();
        tasks.push(Task { contraction, kept: groups, node: call.label().to_owned(), weight, importance, bias: None });
    }
    Ok(tasks)
}

/// A block of moments: these elements of `x`, those of `y`.
fn block(of: &Moments, x: std::ops::Range<usize>, y: std::ops::Range<usize>) -> Moments {
    Moments {
        count: of.count,
        sum: (of.sum.0[x.clone()].to_vec(), of.sum.1[y.clone()].to_vec()),
        product: of.product.as_ref().submatrix(x.start, y.start, x.len(), y.len()).to_owned(),
    }
}

impl Task {
    /// The part of the view that is a group's.
    fn share(&self, group: usize) -> std::ops::Range<usize> {
        let depth = self.contraction.depth();
        group * depth..(group + 1) * depth
    }

    /// Fits on the original model's statistics, one a group.
    fn within(&self, halves: &[Moments; 2]) -> Vec<Affine> {
        let fit = |(group, kept): (usize, &Vec<usize>)| {
            let share = self.share(group);
            let pair = |m: &Moments| Pair::within(&block(m, share.clone(), share.clone()), kept);
            fit::fit(&[pair(&halves[0]), pair(&halves[1])], kept, &self.importance[group])
        };
        self.kept.iter().enumerate().map(fit).collect()
    }

    /// Fits on what the original and the pruned model read, one a group.
    fn across(&self, halves: &[Pair; 2]) -> Vec<Affine> {
        let mut start = 0;
        let fit = |(group, kept): (usize, &Vec<usize>)| {
            let now = start..start + kept.len();
            start = now.end;
            let share = self.share(group);
            let pair = |p: &Pair| Pair {
                cross: block(&p.cross, share.clone(), now.clone()),
                own: block(&p.own, now.clone(), now.clone()),
            };
            fit::fit(&[pair(&halves[0]), pair(&halves[1])], kept, &self.importance[group])
        };
        self.kept.iter().enumerate().map(fit).collect()
    }

    fn judge(&self, halves: &[Moments; 2], maps: &[Affine]) -> Repaired {
        let (mut before, mut after) = (0.0, 0.0);
        for (group, kept) in self.kept.iter().enumerate() {
            let share = self.share(group);
            let whole = block(&halves[0].merged(&halves[1]), share.clone(), share.clone());
            let pair = Pair::within(&whole, kept);
            let error = |map: &Affine| fit::relative_error(map, &pair, &whole, &self.importance[group]);
            before += error(&fit::dropped(share.len(), kept));
            after += error(&maps[group]);
        }
        let groups = self.kept.len().max(1) as f64;
        let (node, weight) = (self.node.clone(), self.weight.clone());
        Repaired { node, weight, before: before / groups, after: after / groups }
    }
}

/// Runs the original and the pruned model side by side, and measures what some contractions read in both.
fn measure(
    analysis: &Analysis,
    keep: &KeepSets,
    tasks: &[Task],
    samples: &dyn Samples,
    model: &Model,
    done: &dyn Fn(),
) -> Result<Vec<[Pair; 2]>, RepairError> {
    let now: Vec<ValueId> = tasks
        .iter()
        .filter_map(|t| model.graph.operand(t.contraction.node, usize::from(t.contraction.data_slot)))
        .collect();
    let then: Vec<ValueId> = tasks.iter().map(|t| t.contraction.data).collect();
    let mut original = Probe::new(&analysis.model, &then)?;
    let mut pruned = Probe::new(model, &now)?;
    let empty = |t: &Task| {
        let (m, n) = (t.contraction.view.length, t.kept.iter().map(Vec::len).sum());
        let pair = || Pair { cross: Moments::new(m, n), own: Moments::new(n, n) };
        [pair(), pair()]
    };
    let mut pairs: Vec<[Pair; 2]> = tasks.iter().map(empty).collect();
    for (turn, feed) in samples.feeds().enumerate() {
        let feed = feed.map_err(StatsError::Feed)?;
        let (before, after) = (original.run(&feed)?, pruned.run(&feed)?);
        for ((task, pair), value) in tasks.iter().zip(&mut pairs).zip(&now) {
            let c = &task.contraction;
            let failed = |error| RepairError::Tensor { weight: task.weight.clone(), error };
            let x = beside(analysis, keep, c, &before[&c.data]).map_err(failed)?;
            let x = stats::rows(&x, c.data_axis, c.view, stats::limit(&feed)).map_err(failed)?;
            let view = View { length: task.kept.iter().map(Vec::len).sum(), ..c.view };
            let y = stats::rows(&after[value], c.data_axis, view, stats::limit(&feed)).map_err(failed)?;
            pair[turn % 2].cross.add(&x, &y);
            pair[turn % 2].own.add(&y, &y);
        }
        done();
    }
    Ok(pairs)
}

/// What the keep-sets leave of a contraction's data along its other axes.
fn beside(analysis: &Analysis, keep: &KeepSets, c: &Contraction, data: &Tensor) -> Result<Tensor, TensorError> {
    let mut data = data.clone();
    for (axis, &var) in analysis.axes.of(c.data).into_iter().flatten().enumerate() {
        if axis != c.data_axis
            && let Kept::Some(kept) = keep.of(&analysis.axes, var)
        {
            data = data.select(axis, &kept)?;
        }
    }
    Ok(data)
}
