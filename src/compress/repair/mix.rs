//! Outputs of a contraction that are no longer a choice of the original's, but linear combinations of them.

use super::bias::bias_operand;
use super::layout::Numbers;
use super::store;
use super::write::{self, BiasAt};
use crate::analysis::Analysis;
use crate::axes::{KeepSets, Kept};
use crate::contraction::{self, Contraction};
use crate::ir::{DType, Model, Tensor, TensorError, ValueId};
use crate::ops::Bias;
use faer::Mat;

/// What each output that is left is made of.
#[derive(Clone, Debug)]
pub(super) struct Mix {
    pub contraction: Contraction,
    /// The axis of the outputs in the result and in the weight.
    pub output: usize,
    pub row: usize,
    /// For each output that is left: outputs of the original with factors, and what is added.
    pub parts: Vec<(Vec<(usize, f64)>, f64)>,
}

impl Mix {
    /// The outputs that are left of the original's, as they are.
    pub(super) fn choice(contraction: &Contraction, kept: &[usize], output: usize, row: usize) -> Mix {
        Mix {
            contraction: contraction.clone(),
            output,
            row,
            parts: kept.iter().map(|&k| (vec![(k, 1.0)], 0.0)).collect(),
        }
    }

    /// The weight's name in the input file.
    pub(super) fn weight(&self, analysis: &Analysis) -> String {
        super::name(analysis, self.contraction.weight)
    }

    /// The combinations of columns of the original's outputs.
    pub(super) fn columns(&self, then: &Mat<f32>) -> Mat<f32> {
        Mat::from_fn(self.parts.len(), then.ncols(), |o, r| {
            let (parts, shift) = &self.parts[o];
            let sum: f64 = parts.iter().map(|&(k, factor)| factor * f64::from(then[(k, r)])).sum();
            (sum + shift) as f32
        })
    }

    /// The combinations along an axis of a tensor that has the original's outputs there.
    pub(super) fn of(&self, tensor: &Tensor, axis: usize, shifted: bool) -> Result<Tensor, TensorError> {
        let old = Numbers::of(tensor)?;
        let inner: usize = old.shape[axis + 1..].iter().product();
        let (length, outer) = (old.shape[axis], old.shape[..axis].iter().product::<usize>());
        let mut values = Vec::with_capacity(outer * self.parts.len() * inner);
        for o in 0..outer {
            for (parts, shift) in &self.parts {
                let shift = if shifted { *shift } else { 0.0 };
                let at = |k: usize, i: usize| old.values[(o * length + k) * inner + i];
                let sum = |i: usize| parts.iter().map(|&(k, f)| f * at(k, i)).sum::<f64>();
                values.extend((0..inner).map(|i| sum(i) + shift));
            }
        }
        let mut shape = old.shape;
        shape[axis] = self.parts.len();
        Tensor::from_f64(tensor.dtype, shape, &values).ok_or(TensorError::NotNumbers(tensor.dtype))
    }
}

/// Makes a contraction's outputs these combinations. Returns where its bias stands by then, if there is one; `None`
/// where there can be no bias, or the weight can't be written.
pub(super) fn write(analysis: &Analysis, keep: &KeepSets, mix: &Mix, model: &mut Model) -> Option<Option<BiasAt>> {
    let c = &mix.contraction;
    let original = analysis.weight(c.weight)?;
    let dtype = analysis.facts.get(c.weight).dtype.unwrap_or(original.dtype);
    let mut weight = mix.of(&original, mix.row, false).ok()?;
    for (axis, &var) in analysis.axes.of(c.weight)?.iter().enumerate() {
        if axis != mix.row
            && let Kept::Some(kept) = keep.of(&analysis.axes, var)
        {
            weight = weight.select(axis, &kept).ok()?;
        }
    }
    let at = write::place(c);
    let before = store::present(model, at)?.to_f64().ok()?;
    store::write(model, at, &weight.to_f64().ok()?).ok()?;
    let bias = bias(analysis, c, mix, dtype, model);
    if bias.is_none() {
        _ = store::write(model, at, &before);
    }
    bias
}

/// Whether a weight lost units along its rows alone.
pub(super) fn is_whole(analysis: &Analysis, keep: &KeepSets, c: &Contraction, row: usize) -> bool {
    let mut axes = analysis.axes.of(c.weight).into_iter().flatten().enumerate();
    axes.all(|(axis, &var)| axis == row || keep.of(&analysis.axes, var) == Kept::All)
}

fn bias(analysis: &Analysis, c: &Contraction, mix: &Mix, dtype: DType, model: &mut Model) -> Option<Option<BiasAt>> {
    let graph = &analysis.model.graph;
    let kind = contraction::bias(analysis, c.node)?;
    let mut base: Vec<f64> = mix.parts.iter().map(|(_, shift)| *shift).collect();
    match kind {
        Bias::Rows { .. } => return None,
        Bias::Behind if base.iter().all(|b| *b == 0.0) => return Some(None),
        Bias::Behind => {}
        Bias::Operand(slot) => {
            if let Some(value) = graph.operand(c.node, usize::from(slot)) {
                let tensor = analysis.weight(value).filter(|t| t.shape.len() == 1)?;
                base = mix.of(&tensor, 0, true).ok()?.to_f64().ok()?;
            }
        }
    }
    let mut shape = vec![1; analysis.axes.of(ValueId { node: c.node, port: 0 })?.len()];
    shape[mix.output] = base.len();
    let at = bias_operand(model, c.node, kind, dtype, &shape)?;
    store::write(model, at, &base).ok()?;
    Some(Some(BiasAt { at, base }))
}
