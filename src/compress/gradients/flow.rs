//! Synaptic flow: how much of what comes out of ones flows through a unit, if all weights count as positive.

use super::loss::outputs;
use super::slopes::Weights;
use super::units::is_statistic;
use super::{GradientError, Numbers, add};
use crate::analysis::Analysis;
use crate::autograd::{Device, Engine, Precision};
use crate::feed::{Feed, Sizes};
use crate::ir::{DType, NodeId, Tensor};
use crate::lowering::lower;
use crate::program::{Builder, Program, Statistics};
use crate::verify::input_specs;

/// What is to be known where the flow is no sum over paths.
pub(super) const INEXACT: &str = "synflow: something in the model (a bias, a softmax, a norm, …) does not grow with its input, so \
                           the flow through it is an approximation";

/// `Σ |w| dR/d|w|`, and whether the flow is exact: `R` grows with the input, as a sum over paths does.
pub(super) fn synflow(analysis: &Analysis, device: Device) -> Result<(Numbers, bool), GradientError> {
    let inputs = input_specs(&analysis.model)?;
    let alone = inputs.iter().filter_map(|i| i.shape.first()?.as_symbol());
    let sizes = alone.fold(Sizes::assume(&inputs), |sizes, batch| sizes.with(batch, 1));
    let feed = Feed::random_sized(&inputs, &sizes, 0)?;
    let engine = Engine { precision: Precision::Double, device, ..Engine::default() };
    let (mut total, mut exact) = (Numbers::new(), true);
    for program in flows(analysis, &feed)? {
        let weights = Weights::of(analysis, &program)?;
        let mut positive = weights.numbers.clone();
        for (node, numbers) in weights.nodes.iter().zip(&mut positive) {
            if !is_statistic(analysis, *node) {
                numbers.iter_mut().for_each(|n| *n = n.abs());
            }
        }
        level(analysis, &weights.nodes, &mut positive);
        let of = |input| weights.derivative(&program, &filled(&feed, input), Some(&positive), engine);
        let ((one, slopes), (two, _)) = (of(1.0)?, of(2.0)?);
        let products = positive.iter().zip(&slopes).map(|(w, g)| w.iter().zip(g).map(|(w, g)| w * g).collect());
        add(&mut total, weights.sums(&products.collect::<Vec<_>>(), |_, flow| flow), |sum| sum);
        exact &= (two - 2.0 * one).abs() <= 1e-6 * one.abs();
    }
    Ok((total, exact))
}

/// A program for each output.
fn flows(analysis: &Analysis, feed: &Feed) -> Result<Vec<Program>, GradientError> {
    let builder = Builder::new();
    let lowered = lower(&builder, &analysis.model, &feed.signature(), Statistics::Running)?;
    let (_, terms) = outputs(&lowered.outputs, None)?;
    terms.iter().map(|t| builder.finish(&[t.total()]).map_err(GradientError::Program)).collect()
}

/// Scales all matrices and kernels by one number, so that no row of any adds up to more than 1 on average: then no
/// depth makes the flow too large or too small for a float. Where all paths are of one length, this changes all scores
/// alike.
fn level(analysis: &Analysis, nodes: &[NodeId], weights: &mut [Vec<f64>]) {
    let shape = |node: &NodeId| analysis.model.graph.constant(*node).map(|c| c.tensor.shape.clone());
    let shapes: Vec<Vec<usize>> = nodes.iter().map(|n| shape(n).unwrap_or_default()).collect();
    let mut gains = vec![];
    for (numbers, shape) in weights.iter().zip(&shapes).filter(|(_, s)| s.len() > 1) {
        // Which axis is summed over matters little: the geometric mean of both ways.
        let ends = (shape[0] * shape[1]) as f64;
        let sum: f64 = numbers.iter().sum();
        gains.extend((sum > 0.0).then(|| (sum / ends.sqrt()).ln()));
    }
    let mean = gains.iter().sum::<f64>() / gains.len().max(1) as f64;
    let scaled = weights.iter_mut().zip(&shapes).filter(|(_, s)| s.len() > 1);
    scaled.for_each(|(numbers, _)| numbers.iter_mut().for_each(|n| *n *= (-mean).exp()));
}

/// The feed with this number for all floats.
fn filled(feed: &Feed, number: f64) -> Vec<(String, Tensor)> {
    let fill = |(name, tensor): &(String, Tensor)| {
        let ones = || Tensor::from_f64(DType::F64, tensor.shape.clone(), &vec![number; tensor.count()]);
        let filled = if tensor.dtype.is_float() { ones() } else { None };
        (name.clone(), filled.unwrap_or_else(|| tensor.clone()))
    };
    feed.iter().map(fill).collect()
}
