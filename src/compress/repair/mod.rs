//! Repair: what is left of a model is refitted, so that each contraction computes as nearly as possible what it did.
//!
//! No training and no labels: for every contraction over an axis that lost units, the removed ones are predicted from
//! those that stay, from statistics of a few hundred inputs. First all contractions are fitted on the original model's
//! statistics. Then, stage by stage in topological order, each is fitted again to what really arrives in the pruned
//! model, while its target stays what it computed in the original one: so errors do not pile up along the depth. Where
//! it is known which element meets which weight (`layout.rs`), it is the outputs that are fitted then, of contractions
//! that lost nothing themselves too.
//!
//! # How
//!
//! **Repair** (`src/compress/repair/`) writes `W' = W B` and adds `W s`, where `B y + s` is the best affine prediction of what was
//! read before from what is read now (`fit.rs`). The ridge is chosen on held-out halves of the samples, by the error that
//! matters to the outputs (`WᵀW`). It runs on the original's statistics for all contractions. Then, stage by stage in topological
//! order, the outputs themselves are fitted in the pruned model as it is by then (`direct.rs`). A stage is a contraction, or
//! several that do not depend on one another (`stages.rs`). Both models are carried along: what is live between two stages is
//! kept for each sample ([`Frontier`]), so all stages together run each model about once. Where a constant can be added is a function of a rule (`bias`); operators that are more than a
//! sum (an activation fused into them) say that there is no such place, and are left alone. So are weights that several
//! calls share. Every call that lost units of a sum and was not refitted is reported with the reason (`contraction::Obstacle`,
//! `left.rs`).
//!
//! How strongly a fit is held back is decided on held-out samples: each half judges what was fitted to the other. No fit at
//! all and a fit of means alone are among the candidates, so with fewer samples than units little or nothing changes. The
//! errors that are reported are those on the halves that a fit did not see.
//!
//! The proof is about the cut before the repair. Both models are simplified, and verification runs both.

mod absorb;
mod bias;
mod candidates;
mod direct;
mod fit;
mod layout;
mod left;
mod logits;
mod merge;
mod mix;
mod rematch;
mod stage;
mod stages;
mod store;
#[cfg(test)]
mod store_tests;
#[cfg(test)]
mod tests;
mod trace;
mod write;

pub(crate) use absorb::absorb;
pub(crate) use left::{Unrepaired, unrepaired};

use crate::analysis::Analysis;
use crate::axes::{KeepSets, Kept};
use crate::contraction::{self, Contraction, Obstacle, Shared, View};
use crate::ir::{DType, Graph, Model, NodeId, Tensor, TensorError, ValueId};
use crate::stats::{Frontier, Moments, RunOptions, Samples, Shelf, Stats, StatsError, Times};
use candidates::Candidate;
use faer::Mat;
use fit::{Affine, Fitted, Grounds, Pair};
use layout::Layout;
use merge::{Merge, merge};
use mix::Mix;
use serde::Serialize;
use stage::{Carried, Sides};
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};
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
    /// The same after the repair, on samples that the fit did not see: each half of them judges what is fitted to the
    /// other.
    pub after: f64,
    /// How many vectors it was fitted to; none where there were no samples.
    pub rows: u64,
    /// How many numbers of each it reads by now. Where these are more, samples say little, and the repair is held back.
    pub reads: usize,
}

impl Repaired {
    /// Whether there were fewer samples than there are numbers to predict from.
    pub fn lacks_samples(&self) -> bool {
        self.rows > 0 && self.rows < self.reads as u64
    }
}

/// What a repair came to.
#[derive(Debug, Default)]
pub struct Repairs {
    /// How the contractions fared that were refitted.
    pub done: Vec<Repaired>,
    /// Their calls.
    nodes: HashSet<NodeId>,
    /// Why others that lost units were not.
    obstacles: HashMap<NodeId, Obstacle>,
    pub costs: Costs,
}

/// What a repair took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Costs {
    /// Running both models.
    pub runs: Times,
    /// Finding and writing weights.
    pub solving: Duration,
    /// All of it; what is neither running nor solving is sums.
    pub whole: Duration,
    /// How many bytes of activations were kept at most: in memory, and in a temporary file.
    pub in_memory: u64,
    pub in_file: u64,
}

impl Repairs {
    /// A product whose operands were rewritten.
    fn add(&mut self, node: NodeId, row: Repaired) {
        self.nodes.insert(node);
        self.done.push(row);
    }
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
    /// The sum that its result ends in.
    merge: Option<Merge>,
    /// What its outputs were in the original, where it ends a branch.
    then: Option<rematch::Lines>,
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

/// Refits a pruned model, of which `analysis` is the original.
pub(crate) fn repair(
    analysis: &Analysis,
    keep: &KeepSets,
    stats: &Stats,
    samples: &dyn Samples,
    execution: &RunOptions,
    model: &mut Model,
    done: &dyn Fn(),
) -> Result<Repairs, RepairError> {
    let start = Instant::now();
    let (mut tasks, obstacles) = tasks(analysis, keep)?;
    let mut found = Repairs { obstacles, ..Repairs::default() };
    // What the weights imply is no sample of anything.
    let sampled = samples.count() > 0;
    if sampled {
        let mixed = mix(analysis, keep, samples, execution, &mut tasks, model)?;
        mixed.into_iter().for_each(|(node, row)| found.add(node, row));
    }
    let solving = Instant::now();
    for task in tasks.iter_mut().filter(|t| t.cut) {
        task.first(analysis, keep, stats, sampled, model, &mut found)?;
    }
    found.costs.solving = solving.elapsed();
    tasks.retain(|t| !found.obstacles.contains_key(&t.contraction.node));
    if sampled {
        tasks.iter_mut().filter(|t| t.patch() > LONGEST).for_each(|t| t.layout = None);
        tasks.retain(|t| t.cut || t.layout.is_some());
        let sides = Sides { analysis, keep, samples: samples.count(), done };
        carry(&sides, samples, execution, &mut tasks, model, &mut found)?;
    }
    found.costs.whole = start.elapsed();
    Ok(found)
}

/// Carries both models through all stages.
fn carry(
    sides: &Sides,
    samples: &dyn Samples,
    execution: &RunOptions,
    tasks: &mut [Task],
    model: &mut Model,
    found: &mut Repairs,
) -> Result<(), RepairError> {
    let shelf = RefCell::new(Shelf::new(execution.memory));
    let frontier = || Frontier::new(execution.setup, samples, &shelf);
    let mut carried = Carried { original: frontier(), pruned: frontier() };
    let rematches = tasks.iter().any(Task::is_end);
    let outputs = if rematches { rematch::outputs(&sides.analysis.model) } else { vec![] };
    let mut rest = &mut *tasks;
    for length in stages::lengths(sides.analysis, rest) {
        let (stage, later) = rest.split_at_mut(length);
        let (changed, solving) = stage::run(sides, &mut carried, (&mut *stage, &*later), &outputs, model)?;
        found.nodes.extend(changed);
        found.costs.solving += solving;
        rest = later;
    }
    if rematches {
        found.costs.runs.add(carried.pruned.times());
        carried.pruned = frontier();
        found.done.extend(rematch::run(sides, &mut carried, tasks, model)?);
    }
    [carried.original.times(), carried.pruned.times()].into_iter().for_each(|t| found.costs.runs.add(t));
    (found.costs.in_memory, found.costs.in_file) = (shelf.borrow().most(), shelf.borrow().in_file());
    Ok(())
}

/// Rewrites what products of two computed tensors are made of; tells how each product fared.
fn mix(
    analysis: &Analysis,
    keep: &KeepSets,
    samples: &dyn Samples,
    execution: &RunOptions,
    tasks: &mut [Task],
    model: &mut Model,
) -> Result<Vec<(NodeId, Repaired)>, RepairError> {
    let cut: HashSet<NodeId> = tasks.iter().filter(|t| t.cut).map(|t| t.contraction.node).collect();
    let shared = Shared::of(&analysis.model.graph);
    let may_change = |c: &Contraction, row: usize| {
        let constant = store::constant(&analysis.model, c.weight);
        let is_own = constant.and_then(|c| analysis.model.graph.constant(c)).is_some_and(|w| !shared.is(w));
        is_own && (cut.contains(&c.node) || mix::is_whole(analysis, keep, c, row))
    };
    let (mixes, found) = logits::mixes(analysis, keep, samples, execution, &may_change)?;
    for mix in mixes {
        let bias = mix::write(analysis, keep, &mix, model).ok_or_else(|| RepairError::Lost(mix.weight(analysis)))?;
        if let Some(task) = tasks.iter_mut().find(|t| t.contraction.node == mix.contraction.node) {
            task.bias = bias;
            task.mix = Some(mix);
        }
    }
    Ok(found)
}

/// The longest patch.
const LONGEST: usize = 5000;

/// The contractions over cut axes whose weights may be changed; and of calls that lost units, why theirs may not be.
fn tasks(analysis: &Analysis, keep: &KeepSets) -> Result<(Vec<Task>, HashMap<NodeId, Obstacle>), RepairError> {
    let graph = &analysis.model.graph;
    let (mut tasks, shared) = (vec![], Shared::of(graph));
    let (mut changed, mut obstacles) = (HashSet::new(), HashMap::new());
    for Candidate { contraction, measured } in candidates::candidates(analysis) {
        let Some(call) = graph.call(contraction.node) else { continue };
        let reached = changed.contains(&contraction.node);
        if !reached && keep.of(&analysis.axes, contraction.view.var) == Kept::All {
            continue;
        }
        let weight = match store::constant(&analysis.model, contraction.weight).and_then(|n| graph.constant(n)) {
            _ if contraction::bias(analysis, contraction.node).is_none() => Err(Obstacle::Bias),
            Some(constant) if shared.is(constant) => Err(Obstacle::Shared),
            Some(_) => analysis.weight(contraction.weight).ok_or(Obstacle::Expression),
            None => Err(Obstacle::Expression),
        };
        let tensor = match weight {
            Ok(tensor) => tensor,
            Err(why) => {
                obstacles.insert(contraction.node, why);
                continue;
            }
        };
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
        let weight = name(analysis, contraction.weight);
        let mut importance = vec![];
        if cut {
            let whole = contraction::importance(&contraction, &tensor);
            let whole = whole.map_err(|error| RepairError::Tensor { weight: weight.clone(), error })?;
            let block = |g: usize| Mat::from_fn(depth, depth, |i, j| whole[(g * depth + i, g * depth + j)]);
            importance = (0..contraction.groups).map(block).collect();
        }
        let layout = Layout::of(analysis, &contraction, &tensor.shape);
        let merge = layout.as_ref().and_then(|_| merge(analysis, contraction.node));
        let (node, kept, bias, mix, then) = (call.label().to_owned(), groups, None, None, None);
        tasks.push(Task { contraction, kept, cut, node, weight, importance, bias, layout, merge, then, mix });
    }
    Ok((tasks, obstacles))
}

/// The name of a weight in the input file; of one that is computed, of the constant that has most of its numbers.
fn name(analysis: &Analysis, weight: ValueId) -> String {
    let constant = store::constant(&analysis.model, weight).and_then(|n| analysis.model.graph.constant(n));
    constant.map(|c| c.source().unwrap_or(&c.name).to_owned()).unwrap_or_default()
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

    /// Fits to the original model's statistics.
    fn first(
        &mut self,
        analysis: &Analysis,
        keep: &KeepSets,
        stats: &Stats,
        sampled: bool,
        model: &mut Model,
        found: &mut Repairs,
    ) -> Result<(), RepairError> {
        let node = self.contraction.node;
        let Some(halves) = stats.halves(&self.contraction) else {
            found.obstacles.insert(node, Obstacle::Unmeasured);
            return Ok(());
        };
        let halves = &*halves;
        let grounds = if sampled { Grounds::Samples } else { Grounds::Weights };
        let fitted = self.within(halves, grounds);
        let mut row = self.judge(halves, &fitted, sampled);
        let maps: Vec<Affine> = fitted.into_iter().map(|f| f.map).collect();
        match write::write(analysis, keep, self, &maps, model)? {
            Ok(reads) => {
                row.after += self.rounding(analysis, keep, halves, &maps, &reads)?;
                found.add(node, row);
            }
            Err(why) => _ = found.obstacles.insert(node, why),
        }
        Ok(())
    }

    /// Fits on the original model's statistics, one a group.
    fn within(&self, halves: &[Moments; 2], grounds: Grounds) -> Vec<Fitted> {
        let fit = |(group, kept): (usize, &Vec<usize>)| {
            let share = self.share(group);
            let own = halves.each_ref().map(|m| block(m, share.clone(), share.clone()));
            fit::fit_within(&own, kept, &self.importance[group], grounds)
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
            fit::fit(&[pair(&halves[0]), pair(&halves[1])], kept, &self.importance[group], Grounds::Samples).map
        };
        self.kept.iter().enumerate().map(fit).collect()
    }

    fn judge(&self, halves: &[Moments; 2], fitted: &[Fitted], sampled: bool) -> Repaired {
        let (mut before, mut after) = (0.0, 0.0);
        let all = halves[0].merged(&halves[1]);
        for (group, kept) in self.kept.iter().enumerate() {
            let (share, importance) = (self.share(group), &self.importance[group]);
            let part = |m: &Moments| block(m, share.clone(), share.clone());
            let whole = part(&all);
            let dropped = fit::loss_of_dropped(kept, &whole, importance);
            before += fit::relative_error(dropped, &whole, &whole, importance);
            for (half, loss) in halves.iter().zip(fitted[group].losses) {
                let weight = half.count / all.count.max(1.0);
                after += weight * fit::relative_error(loss, &part(half), &whole, importance);
            }
        }
        let groups = self.kept.len().max(1) as f64;
        let (node, weight) = (self.node.clone(), self.weight.clone());
        let rows = if sampled { all.count as u64 } else { 0 };
        let reads = self.kept.iter().map(Vec::len).max().unwrap_or(0);
        Repaired { step: Step::Refit, node, weight, before: before / groups, after: after / groups, rows, reads }
    }

    /// What rounding adds to the error of what was fitted, as a share of the output's variance: `E‖ΔW y‖² / Var(W x)`.
    fn rounding(
        &self,
        analysis: &Analysis,
        keep: &KeepSets,
        halves: &[Moments; 2],
        maps: &[Affine],
        reads: &[f64],
    ) -> Result<f64, RepairError> {
        // What is a constant of floats keeps what it is given.
        if analysis.model.graph.tensor(self.contraction.weight).is_some() {
            return Ok(0.0);
        }
        let (weight, _) = write::fitted(analysis, keep, self, maps)?;
        let wanted = weight.to_f64().map_err(|e| self.failed(e))?;
        let off: Vec<f64> = wanted.iter().zip(reads).map(|(a, b)| b - a).collect();
        let off = Tensor::from_f64(DType::F64, weight.shape.clone(), &off).ok_or_else(|| self.lost())?;
        let left = View { length: self.left(), ..self.contraction.view };
        let narrow = Contraction { view: left, ..self.contraction.clone() };
        if self.kept.iter().any(|k| k.len() * self.kept.len() != self.left()) {
            return Ok(0.0);
        }
        let all = halves[0].merged(&halves[1]);
        let off = contraction::importance(&narrow, &off).map_err(|e| self.failed(e))?;
        let (mut error, mut variance) = (0.0, 0.0);
        for (group, kept) in self.kept.iter().enumerate() {
            let share = self.share(group);
            let whole = block(&all, share.clone(), share);
            let covariance = whole.covariance();
            let (n, m) = (kept.len(), whole.sum.0.len());
            let seen = |i: usize, j: usize| whole.product[(kept[i], kept[j])] / whole.count.max(1.0);
            let at = group * n;
            error += (0..n).map(|i| (0..n).map(|j| off[(at + i, at + j)] * seen(j, i)).sum::<f64>()).sum::<f64>();
            let importance = &self.importance[group];
            variance +=
                (0..m).map(|i| (0..m).map(|j| importance[(i, j)] * covariance[(j, i)]).sum::<f64>()).sum::<f64>();
        }
        Ok(if variance > 0.0 { error / variance } else { 0.0 })
    }
}
