//! How much a layer changes: low for what may go first.
//!
//! With samples it is what is measured: 1 − cosine of what goes into the layer and what comes out, the mean over all
//! samples. That is the Block Influence of Men et al., ShortGPT: Layers in Large Language Models are More Redundant
//! Than You Expect, 2024 (arXiv 2403.03853); a sample is a slice along the first axis.
//!
//! Without samples it is estimated from the weights: how much larger or smaller a branch makes what runs through it.
//! A weight that is multiplied with the data has a gain, √(Σw² / n) for n numbers in its result: what it does to the
//! size of data that is as large in every direction. (It is the norm that does not grow with a layer's width.) The
//! score is the geometric mean of the gains, so that branches of different depth compare. BatchNormalizations are
//! folded into the weights first, for a convolution before one may be scaled at will. The estimate does not see how
//! large the data is that bypasses the branch; samples do.

use super::{Layer, LayerError, find};
use crate::axes::{self, Axes};
use crate::facts::Facts;
use crate::feed::{self, Samples};
use crate::infer;
use crate::ir::{Model, NodeId, Tensor, ValueId};
use crate::ops;
use crate::oracle::{Latest, Runner, Setup};
use crate::passes;
use crate::pipelines;
use crate::save;
use crate::verify::{self, Role, VerifyError};
use crate::widen::{widened, widened_feed};
use std::collections::{BTreeMap, HashMap};

/// How many samples run at a time, where the model takes any number.
const BATCH: usize = 8;

/// What runs before weights are looked at.
const FOLD: &str = "fold-constants,fold-bn";

/// What plans call the score.
pub fn name(samples: Option<&str>) -> &'static str {
    if samples.is_some() { "1 - cosine" } else { "gain" }
}

/// The scores of layers: from samples if there are any, else from the weights.
pub fn score(model: &Model, layers: &[Layer], samples: Option<&str>, setup: &Setup) -> Result<Vec<f64>, LayerError> {
    match samples {
        _ if layers.is_empty() => Ok(vec![]),
        Some(samples) => Ok(measured(model, layers, samples, setup)?),
        None => estimated(model, layers),
    }
}

/// 1 − cosine of each layer's entry and result.
fn measured(model: &Model, layers: &[Layer], samples: &str, setup: &Setup) -> Result<Vec<f64>, VerifyError> {
    let samples = Samples::open(samples, &verify::input_specs(model)?, &feed::Options::default())?;
    let name = |v: ValueId| model.graph.value_name(v).to_owned();
    let result = |l: &Layer| ValueId { node: l.merge, port: 0 };
    let ends: Vec<(String, String)> = layers.iter().map(|l| (name(l.entry), name(result(l)))).collect();
    let is_call = |v: &ValueId| model.graph.call(v.node).is_some();
    let mut whole = model.clone();
    whole.graph.also_return(layers.iter().flat_map(|l| [l.entry, result(l)]).filter(is_call));
    // If its bodies can't be closed, saving says so.
    let whole = passes::closed(&whole).unwrap_or(whole);
    let bytes = save::to_bytes(&widened(&whole)).map_err(|error| VerifyError::Save { which: Role::Original, error })?;
    let failed = |error| VerifyError::Oracle { which: Role::Original, error };
    let mut sums = vec![(0.0, 0usize); layers.len()];
    let mut ready = Latest::default();
    for feed in samples.feeds(BATCH) {
        let feed = widened_feed(&feed?).into_owned();
        let signature = feed.signature();
        // The last feed may have fewer samples.
        let runner = ready.of(&signature, || Runner::on(setup, &bytes, None, &signature)).map_err(failed)?;
        let mut values: HashMap<String, Tensor> = feed.iter().cloned().collect();
        values.extend(runner.run(&feed).map_err(failed)?);
        for ((entry, result), sum) in ends.iter().zip(&mut sums) {
            if let (Some(x), Some(y)) = (values.get(entry), values.get(result)) {
                add_cosines(x, y, sum);
            }
        }
    }
    Ok(sums.into_iter().map(|(sum, count)| 1.0 - sum / count.max(1) as f64).collect())
}

/// Adds the cosine of each sample; two that are zero are alike.
fn add_cosines(x: &Tensor, y: &Tensor, (sum, count): &mut (f64, usize)) {
    let (Ok(a), Ok(b)) = (x.to_f64(), y.to_f64()) else { return };
    let samples = x.shape.first().copied().unwrap_or(1);
    let each = a.len() / samples.max(1);
    if a.len() != b.len() || each == 0 {
        return;
    }
    for (a, b) in a.chunks_exact(each).zip(b.chunks_exact(each)) {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
        let norms = (dot(a, a) * dot(b, b)).sqrt();
        *sum += if norms > 0.0 { dot(a, b) / norms } else { f64::from(u8::from(dot(a, a) == dot(b, b))) };
        *count += 1;
    }
}

/// The geometric mean of the gains of each layer's weights.
fn estimated(model: &Model, layers: &[Layer]) -> Result<Vec<f64>, LayerError> {
    let mut folded = model.clone();
    pipelines::run(FOLD, &mut folded).map_err(|e| LayerError::Fold(e.to_string()))?;
    let facts = infer::infer(&folded);
    let weights = Weights { model: &folded, axes: axes::analyze(&folded, &facts), facts };
    // The merges are still there, whatever became of the branches.
    let branches: BTreeMap<NodeId, Layer> =
        find(&folded, &weights.facts).layers.into_iter().map(|l| (l.merge, l)).collect();
    layers.iter().map(|l| branches.get(&l.merge).map_or(Ok(1.0), |l| weights.mean_gain(l))).collect()
}

struct Weights<'a> {
    model: &'a Model,
    facts: Facts,
    axes: Axes,
}

impl Weights<'_> {
    fn mean_gain(&self, layer: &Layer) -> Result<f64, LayerError> {
        let mut logs = vec![];
        for &node in &layer.calls {
            for slot in ops::factors(self.model, &self.facts, node) {
                logs.push(self.gain(node, slot)?.ln());
            }
        }
        Ok((logs.iter().sum::<f64>() / logs.len().max(1) as f64).exp())
    }

    /// √(Σw² / n), where n counts the weight's indices along labels that the result carries.
    fn gain(&self, node: NodeId, slot: u16) -> Result<f64, LayerError> {
        let graph = &self.model.graph;
        let value = graph.operand(node, usize::from(slot));
        let Some(constant) = value.and_then(|v| graph.constant(v.node)) else { return Ok(1.0) };
        let kept = self.axes.bindings(node).iter().filter(|b| b.in_result && b.operands.contains(&slot));
        let results: usize = kept.filter_map(|b| self.axes.solver().size(b.var).size()).product();
        let squares = constant.tensor.slice_sums(0, |x| x * x);
        let squares = squares.map_err(|error| LayerError::Tensor { name: constant.name.clone(), error })?;
        Ok((squares.iter().sum::<f64>() / results.max(1) as f64).sqrt())
    }
}
