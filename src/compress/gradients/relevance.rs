//! Layer-wise relevance propagation: how much of the score that a sample gets is owed to a unit.
//!
//! The relevance of the score is the score. Going back step by step, each operation hands what its result is owed to
//! its operands ([`super::rules`]), so that nothing gets lost. Units are looked at where products with weights read
//! them.

use super::loss::{Reads, numbers, outputs};
use super::rules::{Given, shared};
use super::slopes::Study;
use super::{GradientError, Numbers, RelevanceRule, add};
use crate::analysis::Analysis;
use crate::autograd::{Bindings, Engine};
use crate::axes::GroupId;
use crate::contraction::Contraction;
use crate::feed::Feed;
use crate::ir::Signature;
use crate::ir::{Model, Tensor};
use crate::lowering::lower;
use crate::program::{Builder, Id, NumberKind, Op, Program, Statistics};
use std::collections::BTreeSet;

/// `Σ over samples |Σ R|`, the inner sum over all positions of a unit. The score is that of the label's class or, without
/// labels, of the model's own; numbers that are no scores count whole.
pub(super) fn reaching(study: &Study, rule: RelevanceRule) -> Result<Numbers, GradientError> {
    let mut total = Numbers::new();
    let mut prepared: Option<(Vec<Signature>, Trace)> = None;
    for feed in study.feeds(1) {
        let (feed, labels) = feed?;
        let (signature, trace) = match prepared.take().filter(|p| p.0 == feed.signature()) {
            Some(known) => known,
            None => (feed.signature(), Trace::new(study.analysis, &feed, labels.as_ref())?),
        };
        let relevance = trace.relevance(study.engine(), &study.analysis.model, &feed, labels.as_ref(), rule)?;
        add(&mut total, trace.units(&relevance), f64::abs);
        (study.done)();
        prepared = Some((signature, trace));
    }
    if prepared.is_some() { Ok(total) } else { Err(GradientError::Empty) }
}

/// The program of a model whose relevance is traced back.
pub(super) struct Trace {
    program: Program,
    reads: Reads,
    /// Where relevance begins.
    starts: Vec<Id>,
    /// The values that are looked at.
    places: Vec<Place>,
    /// Whether a step's result is made of the samples, and so can be relevant.
    made: Vec<bool>,
}

/// An axis of a value, which a group is part of.
struct Place {
    value: Id,
    inner: usize,
    group: GroupId,
    size: usize,
    units: Vec<Option<u32>>,
}

/// The relevance of every step's result, where there is some.
pub(super) type Relevance = Vec<Option<Vec<f64>>>;

impl Trace {
    /// For feeds like this one.
    pub(super) fn new(analysis: &Analysis, feed: &Feed, labels: Option<&Tensor>) -> Result<Trace, GradientError> {
        let builder = Builder::new();
        let lowered = lower(&builder, &analysis.model, &feed.signature(), Statistics::Running)?;
        let (reads, mut terms) = outputs(&lowered.outputs, labels)?;
        let starts = terms.len();
        let contractions = Contraction::all(analysis);
        let read: BTreeSet<_> = contractions.iter().map(|c| (c.data, c.data_axis)).collect();
        let read: Vec<_> = read.into_iter().filter_map(|r| Some((r, *lowered.values.get(&r.0)?))).collect();
        terms.extend(read.iter().map(|(_, term)| *term));
        let mut program = builder.finish(&terms).map_err(GradientError::Program)?;
        let (starts, values) = (program.results[..starts].to_vec(), program.results[starts..].to_vec());
        let mut places = vec![];
        for (((value, axis), _), id) in read.into_iter().zip(values) {
            let Some(&var) = analysis.axes.of(value).and_then(|axes| axes.get(axis)) else { continue };
            let inner = program.step(id).shape[axis + 1..].iter().product();
            for leaf in analysis.axes.solver().leaves(var) {
                let Some(group) = analysis.groups.of_leaf(leaf).filter(|g| g.is_free()) else { continue };
                let units = analysis.axes.units_of(var, leaf);
                places.push(Place { value: id, inner, group: group.id, size: group.size, units });
            }
        }
        program.results = program.ids().filter(|&id| !program.step(id).operands.is_empty()).collect();
        let made = made(&program);
        Ok(Trace { program, reads, starts, places, made })
    }

    /// Runs the model, and traces back what its score is owed to.
    pub(super) fn relevance(
        &self,
        engine: Engine,
        model: &Model,
        feed: &Feed,
        labels: Option<&Tensor>,
        rule: RelevanceRule,
    ) -> Result<Relevance, GradientError> {
        let constant = |node| model.graph.constant(node).map(|c| &c.tensor);
        let bindings = Bindings { input: &|name| feed.get(name), constant: &constant };
        let results = engine.run(&self.program, bindings)?;
        let mut computed: Vec<Option<&Tensor>> = vec![None; self.program.steps.len()];
        self.program.results.iter().zip(&results).for_each(|(id, t)| computed[id.0 as usize] = Some(t));
        let value = |id: Id| match &self.program.step(id).op {
            Op::Input(name) => feed.get(name),
            Op::Constant(node) => constant(*node),
            _ => computed[id.0 as usize],
        };
        let mut relevance: Relevance = vec![None; self.program.steps.len()];
        for &start in &self.starts {
            let scores = value(start).map(|t| numbers("an output", t)).ok_or(GradientError::NoOutput)??;
            relevance[start.0 as usize] = Some(self.first(scores, labels));
        }
        for id in self.program.ids().rev() {
            let step = self.program.step(id);
            let Some(mine) = relevance[id.0 as usize].clone().filter(|_| !step.operands.is_empty()) else { continue };
            let given = Given {
                engine,
                step,
                operands: step.operands.iter().map(|&o| (self.program.step(o), value(o))).collect(),
                made: step.operands.iter().map(|o| self.made[o.0 as usize]).collect(),
                result: value(id),
            };
            for (slot, more) in shared(&given, &mine, rule)? {
                let sum = relevance[step.operands[slot].0 as usize].get_or_insert_with(|| vec![0.0; more.len()]);
                sum.iter_mut().zip(more).for_each(|(s, m)| *s += m);
            }
        }
        Ok(relevance)
    }

    /// The relevance of scores: of each row the one that counts.
    fn first(&self, mut scores: Vec<f64>, labels: Option<&Tensor>) -> Vec<f64> {
        let Reads::Scores(classes) = self.reads else { return scores };
        let labels = labels.and_then(Tensor::to_i64).unwrap_or_default();
        for (at, row) in scores.chunks_exact_mut(classes).enumerate() {
            let largest = (0..classes).fold(0, |best, c| if row[c] > row[best] { c } else { best });
            // A label that does not count is of no class, and nothing is relevant to it.
            let class = labels.get(at).map_or(Some(largest), |&l| usize::try_from(l).ok());
            row.iter_mut().enumerate().filter(|(c, _)| Some(*c) != class).for_each(|(_, score)| *score = 0.0);
        }
        scores
    }

    /// The relevance of units, summed over the values that are looked at.
    pub(super) fn units(&self, relevance: &Relevance) -> Numbers {
        let mut sums = Numbers::new();
        for place in &self.places {
            let sum = sums.entry(place.group).or_insert_with(|| vec![0.0; place.size]);
            let Some(numbers) = &relevance[place.value.0 as usize] else { continue };
            for (run, inner) in numbers.chunks_exact(place.inner.max(1)).enumerate() {
                if let Some(unit) = place.units[run % place.units.len()] {
                    sum[unit as usize] += inner.iter().sum::<f64>();
                }
            }
        }
        sums
    }
}

/// Which steps make floats of the samples.
fn made(program: &Program) -> Vec<bool> {
    let mut made = vec![false; program.steps.len()];
    for id in program.ids() {
        let step = program.step(id);
        let from = matches!(step.op, Op::Input(_)) || step.operands.iter().any(|o| made[o.0 as usize]);
        made[id.0 as usize] = from && step.kind == NumberKind::Float && step.op != Op::Detach;
    }
    made
}
