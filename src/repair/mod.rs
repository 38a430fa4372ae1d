//! Repair: what is left of a model is refitted, so that each contraction computes as nearly as possible what it did.
//!
//! No training and no labels: for every contraction over an axis that lost units, the removed ones are predicted from
//! those that stay, from statistics of a few hundred inputs. First all contractions are fitted on the original model's
//! statistics. Then, stage by stage in topological order, each is fitted again to what really arrives in the pruned
//! model, while its target stays what it computed in the original one: so errors do not pile up along the depth. Where
//! it is known which element meets which weight (`layout.rs`), it is the outputs that are fitted then, of contractions
//! that lost nothing themselves too.

mod absorb;
mod candidates;
mod direct;
mod fit;
mod layout;
mod logits;
mod merge;
mod mix;
mod rematch;
mod stage;
#[cfg(test)]
mod tests;
mod trace;
mod write;

pub(crate) use absorb::{absorb, writable};

use crate::analysis::Analysis;
use crate::axes::{KeepSets, Kept};
use crate::contraction::{self, Contraction};
use crate::ir::{Constant, Graph, Model, NodeId, TensorError};
use crate::stats::{self, Moments, Samples, Stats, StatsError};
use candidates::Candidate;
use faer::Mat;
use fit::{Affine, Pair};
use layout::Layout;
use mix::Mix;
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use write::BiasAt;

/// What was done to a contraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Its weights were fitted to what it reads no more.
    Refit,
    /// The operands of a product were written in fewer dimensions.
    Logits,
    /// Its outputs got back their mean and variance; the errors are those of the model's outputs.
    RematchStatistics,
}

/// How a contraction fared.
#[derive(Clone, Debug, Serialize)]
pub struct Repaired {
    pub step: Step,
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
    /// Whether the axis that is summed over lost units.
    cut: bool,
    node: String,
    weight: String,
    importance: Vec<Mat<f64>>,
    bias: Option<BiasAt>,
    /// What makes a fit of the outputs possible, where it is, and not too long.
    layout: Option<Layout>,
    /// What its outputs are made of, where they are not a choice of the original's.
    mix: Option<Mix>,
}

impl Task {
    fn failed(&self, error: TensorError) -> RepairError {
        RepairError::Tensor { weight: self.weight.clone(), error }
    }

    fn lost(&self) -> RepairError {
        RepairError::Lost(self.weight.clone())
    }

    /// How many elements of the axis that is summed over are left.
    fn left(&self) -> usize {
        self.kept.iter().map(Vec::len).sum()
    }

    /// How many numbers an output is a sum over by now, if that is known.
    fn patch(&self) -> usize {
        let left = self.kept.iter().map(Vec::len).max().unwrap_or(0);
        self.layout.as_ref().map_or(0, |l| l.taps * left)
    }

    /// How many numbers the second moments of patches are.
    fn moments(&self) -> usize {
        let groups = self.kept.iter().filter(|k| !k.is_empty()).count();
        self.patch() * self.patch() * groups
    }
}

/// How many multiply-accumulates the stages may take, which bounds their number: few for large models and many samples.
const WORK: u64 = 4_000_000_000_000;

/// How often a step of `rematch-statistics` runs the samples, at most.
const REMATCH_RUNS: u64 = 8;

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
    // What the weights imply is no sample of anything.
    let sampled = samples.count() > 0;
    let mut found = if sampled { mix(analysis, keep, samples, &mut tasks, model)? } else { vec![] };
    for task in tasks.iter_mut().filter(|t| t.cut) {
        let Some(halves) = stats.halves(&task.contraction) else { continue };
        let maps = task.within(halves);
        found.push(task.judge(halves, &maps));
        write::write(analysis, keep, task, &maps, model)?;
    }
    if !sampled {
        return Ok(found);
    }
    limit_work(&mut tasks, samples.count());
    let stages = usize::try_from(WORK / work.max(1)).unwrap_or(usize::MAX).clamp(1, 64).min(tasks.len().max(1));
    let length = tasks.len().div_ceil(stages).max(1);
    let sides = stage::Sides { analysis, keep, samples, done };
    for stage in tasks.chunks_mut(length) {
        limit_memory(stage);
        stage::run(&sides, stage, model)?;
    }
    // A step of it runs the samples several times.
    let steps = usize::try_from(WORK / work.max(1) / REMATCH_RUNS).unwrap_or(usize::MAX).min(stages);
    if steps > 0 {
        found.extend(rematch::run(&sides, &tasks, steps, model)?);
    }
    Ok(found)
}

/// Rewrites what products of two computed tensors are made of.
fn mix(
    analysis: &Analysis,
    keep: &KeepSets,
    samples: &dyn Samples,
    tasks: &mut [Task],
    model: &mut Model,
) -> Result<Vec<Repaired>, RepairError> {
    let cut: HashSet<NodeId> = tasks.iter().filter(|t| t.cut).map(|t| t.contraction.node).collect();
    let shared = Shared::of(&analysis.model.graph);
    let may_change = |c: &Contraction, row: usize| {
        let is_own = analysis.model.graph.constant(c.weight.node).is_some_and(|w| !shared.is(w));
        is_own && (cut.contains(&c.node) || mix::is_whole(analysis, keep, c, row))
    };
    let (mixes, found) = logits::mixes(analysis, keep, samples, &may_change)?;
    for mix in mixes {
        let bias = mix::write(analysis, keep, &mix, model).ok_or_else(|| RepairError::Lost(mix.weight(analysis)))?;
        if let Some(task) = tasks.iter_mut().find(|t| t.contraction.node == mix.contraction.node) {
            task.bias = bias;
            task.mix = Some(mix);
        }
    }
    Ok(found)
}

/// How many multiply-accumulates the moments of patches may take in all.
const PATCH_WORK: u64 = 1_500_000_000_000;

/// How many numbers the moments of patches may be at a time.
const PATCH_NUMBERS: usize = 1 << 27;

/// The longest patch.
const LONGEST: usize = 5000;

/// Drops the layouts of the longest patches where the work would be too much, and tasks that have nothing to fit then.
fn limit_work(tasks: &mut Vec<Task>, samples: u64) {
    let mut order: Vec<usize> = (0..tasks.len()).collect();
    order.sort_by_key(|&i| tasks[i].patch());
    let mut work = 0;
    for task in order {
        let (task, rows) = (&mut tasks[task], samples * stats::ROWS_PER_SAMPLE as u64);
        work += rows * task.moments() as u64;
        if task.patch() > LONGEST || work > PATCH_WORK {
            task.layout = None;
        }
    }
    tasks.retain(|t| t.cut || t.layout.is_some());
}

/// Drops the layouts of a stage's longest patches while all together are too many numbers.
fn limit_memory(stage: &mut [Task]) {
    while stage.iter().map(|t| 2 * t.moments()).sum::<usize>() > PATCH_NUMBERS {
        let Some(longest) = stage.iter_mut().max_by_key(|t| t.moments()) else { return };
        longest.layout = None;
    }
}

/// The contractions over cut axes whose weights may be changed.
fn tasks(analysis: &Analysis, keep: &KeepSets) -> Result<Vec<Task>, RepairError> {
    let graph = &analysis.model.graph;
    let (mut tasks, shared) = (vec![], Shared::of(graph));
    let mut changed = HashSet::new();
    for Candidate { contraction, measured } in candidates::candidates(analysis) {
        let (Some(call), Some(constant)) = (graph.call(contraction.node), graph.constant(contraction.weight.node))
        else {
            continue;
        };
        if shared.is(constant) || write::bias(analysis, contraction.node).is_none() {
            continue;
        }
        let reached = changed.contains(&contraction.node);
        let (kept, cut) = match keep.of(&analysis.axes, contraction.view.var) {
            Kept::Some(kept) if measured => (kept, true),
            Kept::Some(kept) if reached => (kept, false),
            Kept::All if reached => ((0..contraction.view.length).collect(), false),
            _ => continue,
        };
        if cut && changed.insert(contraction.node) {
            spread(graph, contraction.node, &mut changed);
        }
        let depth = contraction.depth();
        let mut groups = vec![vec![]; contraction.groups];
        kept.into_iter().for_each(|k| groups[k / depth].push(k % depth));
        let weight = constant.source().unwrap_or(&constant.name).to_owned();
        let mut importance = vec![];
        if cut {
            let whole = contraction::importance(&contraction, &constant.tensor);
            let whole = whole.map_err(|error| RepairError::Tensor { weight: weight.clone(), error })?;
            let block = |g: usize| Mat::from_fn(depth, depth, |i, j| whole[(g * depth + i, g * depth + j)]);
            importance = (0..contraction.groups).map(block).collect();
        }
        let layout = Layout::of(analysis, &contraction, &constant.tensor.shape);
        let node = call.label().to_owned();
        tasks.push(Task { contraction, kept: groups, cut, node, weight, importance, bias: None, layout, mix: None });
    }
    Ok(tasks)
}

/// Constants of the input file that several calls share. They stay shared.
struct Shared<'a>(HashMap<&'a str, usize>);

impl Shared<'_> {
    fn of(graph: &Graph) -> Shared<'_> {
        let mut uses: HashMap<&str, usize> = HashMap::new();
        for node in graph.constants() {
            if let Some(source) = graph.constant(node).and_then(|c| c.source()) {
                *uses.entry(source).or_default() += 1;
            }
        }
        Shared(uses)
    }

    fn is(&self, constant: &Constant) -> bool {
        constant.source().is_some_and(|s| self.0.get(s).is_some_and(|&n| n > 1))
    }
}

/// Adds all nodes that are computed from a node.
fn spread(graph: &Graph, from: NodeId, to: &mut HashSet<NodeId>) {
    let mut waiting = vec![from];
    while let Some(node) = waiting.pop() {
        let readers = graph.results(node).flat_map(|v| graph.uses(v)).map(|u| u.node);
        waiting.extend(readers.filter(|&n| to.insert(n)));
    }
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
        Repaired { step: Step::Refit, node, weight, before: before / groups, after: after / groups }
    }
}
