//! What tells whether a model knows such samples: its normalizations, its outputs, its first biases.
//!
//! - **Normalizations** know mean and variance of what they read. How far those on made-up samples are from these says most
//!   (Yin et al., Dreaming to Distill, 2020, make samples by that).
//! - **Outputs** of a classifier that tell samples apart, and are sure of each: the mutual information of sample and class
//!   (Bridle, Heading and MacKay, Unsupervised Classifiers, Mutual Information and Phantom Targets, 1991). Larger numbers make
//!   any model surer, so it only tells whether a model sees small numbers at all.
//! - **Biases** of the first layer: where a normalization was folded into it, they take away the mean of what it makes of
//!   its data. On the right scale little is left of both.

use super::Maker;
use crate::analysis::Analysis;
use crate::feed::Feed;
use crate::ir::{Node, NodeId, Tensor, ValueId};
use crate::ops::{self, Bias, Site};
use crate::oracle::Outputs;
use crate::stats::Probe;
use crate::verify::{Role, Series};
use std::collections::{BTreeMap, HashSet};

/// No more normalizations are looked at.
const NORMALIZATIONS: usize = 64;
/// The divergence of a channel counts no more than this.
const FAR: f64 = 4.0;
/// Where normalizations are further from what they know than this, on the mean, samples mislead.
const TOO_FAR: f64 = 2.0;
/// Outputs that differ from sample to sample by less than this share of their squares say nothing.
const ALIKE: f64 = 1e-5;
/// Small numbers of which a model knows less than this share of what it knows of large ones are not its own.
const BLIND: f64 = 0.05;
/// Where less than this is left of mean and bias together, and this much more on other scales, biases tell the scale.
const CANCELS: f64 = 0.5;
const CLEARLY: f64 = 1.5;
/// Outputs with more elements are not looked at.
const LARGE: usize = 1 << 24;

/// Of samples on one scale.
pub(super) struct Found {
    /// How far normalizations are from what they know, on the mean; `None` where there are none.
    divergence: Option<f64>,
    information: Option<f64>,
    /// What is left of mean and bias of the first layer together.
    left: Option<f64>,
}

/// What is looked at in a model.
pub(super) struct Evidence<'a> {
    maker: &'a Maker<'a>,
    normalizations: Vec<Normalization>,
    first: Option<(ValueId, Vec<f64>)>,
}

struct Normalization {
    reads: ValueId,
    mean: Vec<f64>,
    variance: Vec<f64>,
}

impl Evidence<'_> {
    /// For an input of this name.
    pub(super) fn new<'a>(maker: &'a Maker<'a>, input: &str) -> Evidence<'a> {
        let normalizations = normalizations(maker.analysis);
        let first = if normalizations.is_empty() { first(maker.analysis, input) } else { None };
        Evidence { maker, normalizations, first }
    }

    /// What is found on these samples; or why the model can't be run.
    pub(super) fn of(&self, feeds: &[Feed]) -> Result<Found, String> {
        if !self.normalizations.is_empty() {
            return Ok(Found { divergence: Some(self.divergence(feeds)?), information: None, left: None });
        }
        let information = information(&self.outputs(feeds)?);
        let left = self.first.as_ref().map(|first| self.left(feeds, first)).transpose()?;
        tracing::debug!("information {information:.3?}, left of mean and bias {left:.3?}");
        Ok(Found { divergence: None, information, left })
    }

    /// Which of the scales the model knows best, and by what that is told. What is usual comes first, and the largest
    /// numbers last.
    pub(super) fn best(&self, shown: &[Found]) -> (usize, &'static str) {
        let least = |of: &dyn Fn(&Found) -> Option<f64>, among: usize| {
            let all = shown[..among].iter().enumerate().filter_map(|(at, found)| Some((at, of(found)?)));
            all.min_by(|a, b| a.1.total_cmp(&b.1))
        };
        if let Some((best, _)) = least(&|found| found.divergence, shown.len()) {
            return (best, "on which its normalizations see what they know");
        }
        let small = shown.len() - 1;
        let most = |found: &Found| found.information.map(|x| -x);
        if let (Some((_, knows)), Some(large)) = (least(&most, small), shown[small].information)
            && -knows < BLIND * large
        {
            return (small, "on which alone it tells them apart");
        }
        if let Some((best, left)) = least(&|found| found.left, small) {
            let others = shown[..small].iter().enumerate().filter(|(at, _)| *at != best);
            let next = others.filter_map(|(_, found)| found.left).fold(f64::MAX, f64::min);
            if left < CANCELS && next > CLEARLY * left {
                return (best, "for which its first biases are made");
            }
        }
        (0, "which is usual")
    }

    /// Why samples would mislead, where they would.
    pub(super) fn misleading(&self, few: &[Feed]) -> Option<String> {
        if !self.normalizations.is_empty() {
            match self.divergence(few) {
                Ok(far) if far > TOO_FAR => {
                    return Some("normalizations in the model know of other numbers than made-up samples bring".into());
                }
                Err(why) => return Some(why),
                Ok(_) => {}
            }
        }
        match self.outputs(few) {
            Err(why) => Some(why),
            Ok(outputs) => alike(&outputs).then(|| "the model answers all made-up samples alike".into()),
        }
    }

    fn outputs(&self, feeds: &[Feed]) -> Result<Vec<Outputs>, String> {
        let mut series = Series::new(self.maker.reader.setup, self.maker.model, Role::Alone);
        series.run(feeds).map_err(|e| format!("the model can't be run on made-up samples: {e}"))
    }

    fn probed(&self, feeds: &[Feed], values: &[ValueId]) -> Result<Vec<BTreeMap<ValueId, Tensor>>, String> {
        let why = |e: crate::stats::StatsError| format!("the model can't be run on made-up samples: {e}");
        let mut probe = Probe::new(self.maker.reader.setup, &self.maker.analysis.model, values).map_err(why)?;
        feeds.iter().map(|feed| probe.run(feed).map_err(why)).collect()
    }

    /// The divergence of normal distributions, from what normalizations see to what they know, on the mean of all channels.
    fn divergence(&self, feeds: &[Feed]) -> Result<f64, String> {
        let values: Vec<ValueId> = self.normalizations.iter().map(|n| n.reads).collect();
        let seen = self.probed(feeds, &values)?;
        let of = |n: &Normalization| {
            let tensors: Vec<&Tensor> = seen.iter().filter_map(|read| read.get(&n.reads)).collect();
            let units = units(&tensors, n.mean.len())?;
            let channel = |(at, (mean, variance)): (usize, (f64, f64))| {
                let known = n.variance[at].max(1e-9);
                let ratio = variance.max(1e-9) / known;
                (0.5 * (ratio + (mean - n.mean[at]).powi(2) / known - 1.0 - ratio.ln())).min(FAR)
            };
            Some(units.into_iter().enumerate().map(channel).sum::<f64>() / n.mean.len().max(1) as f64)
        };
        let all: Vec<f64> = self.normalizations.iter().filter_map(of).collect();
        let mean = all.iter().sum::<f64>() / all.len().max(1) as f64;
        tracing::debug!("normalizations are {mean:.3} away from what they know: {all:.2?}");
        Ok(mean)
    }

    /// The square of what the first layer's sums are on the mean, as a share of those of mean and bias by themselves.
    fn left(&self, feeds: &[Feed], (value, bias): &(ValueId, Vec<f64>)) -> Result<f64, String> {
        let seen = self.probed(feeds, &[*value])?;
        let tensors: Vec<&Tensor> = seen.iter().filter_map(|read| read.get(value)).collect();
        let Some(units) = units(&tensors, bias.len()) else { return Ok(f64::MAX) };
        let sums = units.iter().zip(bias).map(|((mean, _), b)| (mean.powi(2), (mean - b).powi(2) + b.powi(2)));
        let (both, apart) = sums.fold((0.0, 0.0), |(a, b), (x, y)| (a + x, b + y));
        Ok(both / apart.max(f64::MIN_POSITIVE))
    }
}

/// Mean and variance of each unit over samples and positions; units lie along the first axis behind the batch that is so
/// long.
fn units(tensors: &[&Tensor], count: usize) -> Option<Vec<(f64, f64)>> {
    let mut sums = vec![(0.0, 0.0, 0.0); count];
    for tensor in tensors {
        let axis = (1..tensor.shape.len()).find(|&axis| tensor.shape[axis] == count)?;
        let inner: usize = tensor.shape[axis + 1..].iter().product();
        for (at, x) in tensor.to_f64().ok()?.into_iter().enumerate() {
            let unit = &mut sums[at / inner.max(1) % count];
            *unit = (unit.0 + 1.0, unit.1 + x, unit.2 + x * x);
        }
    }
    let of = |(n, sum, squares): (f64, f64, f64)| {
        let mean = sum / n.max(1.0);
        (mean, (squares / n.max(1.0) - mean * mean).max(0.0))
    };
    Some(sums.into_iter().map(of).collect())
}

fn normalizations(analysis: &Analysis) -> Vec<Normalization> {
    let (graph, unknowns) = (&analysis.model.graph, crate::facts::Unknowns::of_questions());
    let of = |node: NodeId| {
        let Node::Call(call) = graph.node(node) else { return None };
        let site = Site::new(&analysis.model, graph, node, call, &analysis.facts, &unknowns);
        let (mean, variance) = (ops::rule_of(&analysis.model, call).operands.statistics)(&site)?;
        let numbers = |slot: u16| graph.tensor(graph.operand(node, usize::from(slot))?)?.to_f64().ok();
        (graph.region(node) == 0).then_some(())?;
        Some(Normalization { reads: graph.operand(node, 0)?, mean: numbers(mean)?, variance: numbers(variance)? })
    };
    graph.topological().into_iter().filter_map(of).take(NORMALIZATIONS).collect()
}

/// The result of the first sum that reads an input, with its bias.
fn first(analysis: &Analysis, input: &str) -> Option<(ValueId, Vec<f64>)> {
    let (graph, unknowns) = (&analysis.model.graph, crate::facts::Unknowns::of_questions());
    let node = graph.inputs().into_iter().find(|&n| graph.label(n) == input)?;
    let mut reached: HashSet<ValueId> = HashSet::from([ValueId { node, port: 0 }]);
    for node in graph.topological() {
        let Node::Call(call) = graph.node(node) else { continue };
        if !graph.operands(node).iter().flatten().any(|v| reached.contains(v)) {
            continue;
        }
        let site = Site::new(&analysis.model, graph, node, call, &analysis.facts, &unknowns);
        let operands = ops::rule_of(&analysis.model, call).operands;
        if (operands.sum)(&site).is_some() {
            let Some(Bias::Operand(slot)) = (operands.bias)(&site) else { return None };
            let bias = graph.tensor(graph.operand(node, usize::from(slot))?)?.to_f64().ok()?;
            return Some((ValueId { node, port: 0 }, bias));
        }
        reached.extend(graph.results(node));
    }
    None
}

/// Whether all outputs are nearly the same for all samples.
fn alike(outputs: &[Outputs]) -> bool {
    let Some(first) = outputs.first() else { return true };
    let same = |at: usize| {
        let tensors: Vec<&Tensor> = outputs.iter().filter_map(|o| o.get(at)).map(|(_, t)| t).collect();
        let count = tensors.iter().map(|t| t.count()).min().unwrap_or(0);
        if count == 0 || count > LARGE || !tensors[0].dtype.is_float() {
            return true;
        }
        let all: Vec<Vec<f64>> = tensors.iter().filter_map(|t| t.to_f64().ok()).collect();
        // Samples of one portion differ as well.
        let rows = tensors[0].shape.first().copied().filter(|&n| n > 0 && count % n == 0).unwrap_or(1);
        let samples: Vec<&[f64]> = all.iter().flat_map(|numbers| numbers[..count].chunks(count / rows)).collect();
        let n = samples.len() as f64;
        let (mut apart, mut squares) = (0.0, 0.0);
        for k in 0..count / rows {
            let mean = samples.iter().map(|s| s[k]).sum::<f64>() / n;
            apart += samples.iter().map(|s| (s[k] - mean).powi(2)).sum::<f64>();
            squares += samples.iter().map(|s| s[k].powi(2)).sum::<f64>();
        }
        apart.is_nan() || apart <= ALIKE * squares
    };
    (0..first.len()).all(same)
}

/// The mutual information of samples and classes, of the first output that looks like one of classes.
fn information(outputs: &[Outputs]) -> Option<f64> {
    let suits = |t: &Tensor| t.dtype.is_float() && t.shape.len() >= 2 && t.count() <= LARGE;
    let at = outputs.first()?.iter().position(|(_, t)| suits(t))?;
    let mut all: Vec<Vec<f64>> = vec![];
    for (_, tensor) in outputs.iter().filter_map(|o| o.get(at)) {
        // Maps of classes have them before rows and columns.
        let axis = if tensor.shape.len() == 4 { 1 } else { tensor.shape.len() - 1 };
        let (classes, inner) = (tensor.shape[axis], tensor.shape[axis + 1..].iter().product::<usize>().max(1));
        let numbers = tensor.to_f64().ok()?;
        for outer in numbers.chunks(classes.max(1) * inner) {
            all.extend((0..inner).map(|i| (0..classes).map(|c| outer[c * inner + i]).collect::<Vec<f64>>()));
        }
    }
    let classes = all.first().map(Vec::len).filter(|&n| n >= 2)?;
    let shares = |row: &Vec<f64>| (row.iter().sum::<f64>() - 1.0).abs() < 1e-3 && row.iter().all(|&x| x >= 0.0);
    if !all.iter().all(shares) {
        all.iter_mut().for_each(|row| softmax(row));
    }
    let entropy = |row: &[f64]| -row.iter().map(|p| p * p.max(1e-12).ln()).sum::<f64>();
    let mean: Vec<f64> = (0..classes).map(|c| all.iter().map(|row| row[c]).sum::<f64>() / all.len() as f64).collect();
    Some(entropy(&mean) - all.iter().map(|row| entropy(row)).sum::<f64>() / all.len() as f64)
}

fn softmax(row: &mut [f64]) {
    let most = row.iter().copied().fold(f64::MIN, f64::max);
    row.iter_mut().for_each(|x| *x = (*x - most).exp());
    let sum = row.iter().sum::<f64>();
    row.iter_mut().for_each(|x| *x /= sum);
}
