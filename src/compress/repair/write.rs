//! Writing a fit into the model: the weights of a contraction, and what is added to its result.

use super::bias::bias_operand;
use super::fit::Affine;
use super::layout::{Layout, Numbers, same};
use super::{RepairError, Task, store};
use crate::analysis::Analysis;
use crate::axes::{KeepSets, Kept};
use crate::contraction::{self, Contraction, Obstacle};
use crate::ir::{DType, Model, Tensor, TensorError, Use, ValueId};
use crate::ops::Bias;
use faer::Mat;

/// What is added to a contraction's result, and what it was before the repair.
pub(super) struct BiasAt {
    pub at: Use,
    pub base: Vec<f64>,
}

/// What became of numbers that were to be written: the weights as they are read from then on, or why they stay as they
/// are.
pub(super) type Written = Result<Vec<f64>, Obstacle>;

/// Where a contraction reads its weight.
pub(super) fn place(c: &Contraction) -> Use {
    Use { node: c.node, slot: c.weight_slot }
}

/// Writes the weights that a fit asks for, made from the original ones, and what it adds to the result.
pub(super) fn write(
    analysis: &Analysis,
    keep: &KeepSets,
    task: &mut Task,
    maps: &[Affine],
    model: &mut Model,
) -> Result<Written, RepairError> {
    let c = &task.contraction;
    let (weight, shift) = fitted(analysis, keep, task, maps)?;
    let shift = match contraction::bias(analysis, c.node) {
        Some(Bias::Rows { .. }) => of_rows(c, &shift),
        _ => along_result(analysis, c, &shift),
    };
    let shift = shift.ok_or_else(|| task.lost())?;
    // Nothing is not worth a bias.
    let adds = task.bias.is_some() || shift.to_f64().map_err(|e| task.failed(e))?.iter().any(|x| *x != 0.0);
    let current = model.graph.operand(c.node, usize::from(c.weight_slot)).ok_or_else(|| task.lost())?;
    if model.graph.tensor(current).is_some_and(|t| t.shape != weight.shape) {
        return Err(task.lost());
    }
    let numbers = weight.to_f64().map_err(|e| task.failed(e))?;
    both(place(c), &numbers, model, |model| if adds { task.add(analysis, model, &shift) } else { Some(()) })
        .ok_or_else(|| task.lost())
}

/// The weights that a fit asks for and what it adds, as the keep-sets leave them.
pub(super) fn fitted(
    analysis: &Analysis,
    keep: &KeepSets,
    task: &Task,
    maps: &[Affine],
) -> Result<(Tensor, Tensor), RepairError> {
    let c = &task.contraction;
    let original = analysis.weight(c.weight).ok_or_else(|| task.lost())?;
    let dtype = analysis.facts.get(c.weight).dtype.unwrap_or(original.dtype);
    let numbers = original.to_f64().map_err(|e| task.failed(e))?;
    let (weight, shift) = mapped(c, &original.shape, &numbers, maps);
    let tensor = |n: &Numbers| Tensor::from_f64(dtype, n.shape.clone(), &n.values).ok_or_else(|| task.lost());
    let left = |tensor: Tensor| selected(analysis, keep, task, tensor).map_err(|e| task.failed(e));
    Ok((left(tensor(&weight)?)?, left(tensor(&shift)?)?))
}

/// Writes a weight, and then what is added to the result. If the first can't be, nothing changes; if the second can't
/// be, the weight is what it was, and the answer `None`.
fn both(at: Use, numbers: &[f64], model: &mut Model, add: impl FnOnce(&mut Model) -> Option<()>) -> Option<Written> {
    let before = store::present(model, at)?.to_f64().ok()?;
    let reads = match store::write(model, at, numbers) {
        Ok(reads) => reads,
        Err(why) => return Some(Err(why)),
    };
    if add(model).is_none() {
        _ = store::write(model, at, &before);
        return None;
    }
    Some(Ok(reads))
}

/// Adds a change to the weights and to what is added to the result, for each group `[patch and 1, outputs]`.
pub(super) fn change(
    analysis: &Analysis,
    task: &mut Task,
    layout: &Layout,
    change: &[Mat<f64>],
    model: &mut Model,
) -> Result<Written, RepairError> {
    let at = place(&task.contraction);
    let tensor = store::present(model, at).ok_or_else(|| task.lost())?;
    let mut numbers = tensor.to_f64().map_err(|e| task.failed(e))?;
    let mut shift = vec![];
    for (o, column) in change.iter().flat_map(|m| (0..m.ncols()).map(move |o| m.col(o))).enumerate() {
        let places = layout.weights_of(&tensor.shape, o);
        places.into_iter().enumerate().for_each(|(k, at)| numbers[at] += column[k]);
        shift.push(column[column.nrows() - 1]);
    }
    let (dtype, shape) = task.bias_type(analysis, layout, shift.len());
    both(at, &numbers, model, |model| task.add_more(analysis, model, dtype, &shape, &shift)).ok_or_else(|| task.lost())
}

/// Multiplies each output by a factor, and adds a number.
pub(super) fn scale(
    analysis: &Analysis,
    task: &Task,
    layout: &Layout,
    by: &[(f64, f64)],
    model: &mut Model,
) -> Result<Written, RepairError> {
    let at = place(&task.contraction);
    let tensor = store::present(model, at).ok_or_else(|| task.lost())?;
    let mut numbers = tensor.to_f64().map_err(|e| task.failed(e))?;
    for (o, (factor, _)) in by.iter().enumerate() {
        layout.weights_of(&tensor.shape, o).into_iter().for_each(|at| numbers[at] *= factor);
    }
    let (dtype, shape) = task.bias_type(analysis, layout, by.len());
    let add = |model: &mut Model| {
        let node = task.contraction.node;
        let at = match &task.bias {
            Some(bias) => bias.at,
            None => bias_operand(model, node, contraction::bias(analysis, node)?, dtype, &shape)?,
        };
        let base = store::present(model, at)?.to_f64().ok()?;
        let sums: Vec<f64> = base.iter().zip(by).map(|(b, (factor, more))| b * factor + more).collect();
        store::write(model, at, &sums).ok().map(|_| ())
    };
    both(at, &numbers, model, add).ok_or_else(|| task.lost())
}

impl Task {
    /// The type of what is added to so many outputs.
    fn bias_type(&self, analysis: &Analysis, layout: &Layout, outputs: usize) -> (DType, Vec<usize>) {
        let result = ValueId { node: self.contraction.node, port: 0 };
        let mut shape = vec![1; analysis.axes.of(result).map_or(0, <[_]>::len)];
        shape[layout.output] = outputs;
        (analysis.facts.get(self.contraction.weight).dtype.unwrap_or(DType::F32), shape)
    }

    /// Adds numbers to the contraction's result, instead of those that were added before.
    fn add(&mut self, analysis: &Analysis, model: &mut Model, shift: &Tensor) -> Option<()> {
        if self.bias.is_none() {
            let node = self.contraction.node;
            let at = bias_operand(model, node, contraction::bias(analysis, node)?, shift.dtype, &shift.shape)?;
            let base = store::present(model, at)?.to_f64().ok()?;
            self.bias = Some(BiasAt { at, base });
        }
        let bias = self.bias.as_ref()?;
        let shape = store::present(model, bias.at)?.shape;
        let sum = added(&bias.base, &shape, shift)?;
        store::write(model, bias.at, &sum).ok().map(|_| ())
    }

    /// Adds numbers to the contraction's result, beside those that were added before.
    fn add_more(
        &mut self,
        analysis: &Analysis,
        model: &mut Model,
        dtype: DType,
        shape: &[usize],
        more: &[f64],
    ) -> Option<()> {
        let node = self.contraction.node;
        let at = match &self.bias {
            Some(bias) => bias.at,
            None => bias_operand(model, node, contraction::bias(analysis, node)?, dtype, shape)?,
        };
        let base = store::present(model, at)?.to_f64().ok().filter(|b| b.len() == more.len())?;
        let sum: Vec<f64> = base.iter().zip(more).map(|(a, b)| a + b).collect();
        store::write(model, at, &sum).ok()?;
        self.bias.get_or_insert(BiasAt { at, base });
        Some(())
    }
}

/// The numbers of a bias with a shift added to the first part of each row.
fn added(base: &[f64], shape: &[usize], shift: &Tensor) -> Option<Vec<f64>> {
    let (row, part) = match shift.count() == base.len() {
        true => (base.len(), base.len()),
        false => (*shape.last()?, *shift.shape.last()?),
    };
    let shift = shift.to_f64().ok()?;
    let at = |i: usize| if i % row < part { shift[i / row * part + i % row] } else { 0.0 };
    Some(base.iter().enumerate().map(|(i, b)| b + at(i)).collect())
}

/// The weights after the maps, and what the shifts amount to: the same with the contracted axis of length one.
fn mapped(c: &Contraction, shape: &[usize], numbers: &[f64], maps: &[Affine]) -> (Numbers, Numbers) {
    let depth = c.depth();
    let left = maps.iter().map(|m| m.matrix.ncols()).max().unwrap_or(0);
    let with_axis = |length: usize| {
        let mut shape = shape.to_vec();
        shape[c.weight_axis] = length;
        let count = shape.iter().product();
        Numbers { shape, values: vec![0.0; count] }
    };
    let mut weight = with_axis(c.view.outer * left * c.view.inner);
    let mut shift = with_axis(1);
    let (old, new) = (c.rows(shape, depth), c.rows(&weight.shape, left));
    // Where each row stands once the contracted axis is gone.
    let behind: usize = shape[c.weight_axis + 1..].iter().product();
    let block = shape[c.weight_axis] * behind;
    for (from, to) in old.iter().zip(&new) {
        let map = &maps[from.group];
        let row = |l: usize| numbers[from.start + l * from.step];
        for k in 0..map.matrix.ncols() {
            weight.values[to.start + k * to.step] = (0..depth).map(|l| row(l) * map.matrix[(l, k)]).sum();
        }
        let total: f64 = (0..depth).map(|l| row(l) * map.shift[l]).sum();
        shift.values[from.start / block * behind + from.start % behind] += total;
    }
    (weight, shift)
}

/// What the keep-sets leave of a weight along its other axes.
fn selected(analysis: &Analysis, keep: &KeepSets, task: &Task, tensor: Tensor) -> Result<Tensor, TensorError> {
    let (mut tensor, c) = (tensor, &task.contraction);
    if let Some(mix) = &task.mix {
        tensor = mix.of(&tensor, mix.row, false)?;
    }
    for (axis, &var) in analysis.axes.of(c.weight).into_iter().flatten().enumerate() {
        let is_mixed = task.mix.as_ref().is_some_and(|m| m.row == axis);
        if axis != c.weight_axis
            && !is_mixed
            && let Kept::Some(kept) = keep.of(&analysis.axes, var)
        {
            tensor = tensor.select(axis, &kept)?;
        }
    }
    Ok(tensor)
}

/// A weight-shaped shift without the axis that is summed over.
fn of_rows(c: &Contraction, shift: &Tensor) -> Option<Tensor> {
    let mut shape = shift.shape.clone();
    shape.remove(c.weight_axis);
    Tensor::from_f64(shift.dtype, shape, &shift.to_f64().ok()?)
}

/// A weight-shaped shift as a tensor that broadcasts to the result: axes that the result lacks are summed over.
fn along_result(analysis: &Analysis, c: &Contraction, shift: &Tensor) -> Option<Tensor> {
    let axes = &analysis.axes;
    let result = axes.of(ValueId { node: c.node, port: 0 })?;
    let weight = axes.of(c.weight)?;
    let target = |axis: usize| result.iter().position(|&r| same(axes, r, weight[axis]));
    let targets: Vec<Option<usize>> = (0..weight.len()).map(target).collect();
    let mut shape = vec![1; result.len()];
    for (axis, target) in targets.iter().enumerate().filter(|(axis, _)| *axis != c.weight_axis) {
        if let Some(at) = target {
            shape[*at] = shift.shape[axis];
        }
    }
    let strides: Vec<usize> = (0..shape.len()).map(|i| shape[i + 1..].iter().product()).collect();
    let mut out = vec![0.0; shape.iter().product()];
    for (flat, value) in shift.to_f64().ok()?.into_iter().enumerate() {
        let mut rest = flat;
        let mut at = 0;
        for axis in (0..shift.shape.len()).rev() {
            let index = rest % shift.shape[axis];
            rest /= shift.shape[axis];
            if let Some(r) = targets[axis].filter(|r| shape[*r] > 1) {
                at += index * strides[r];
            }
        }
        out[at] += value;
    }
    Tensor::from_f64(shift.dtype, shape, &out)
}
