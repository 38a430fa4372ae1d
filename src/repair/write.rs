//! Writing a fit into the model: the weights of a contraction, and what is added to its result.

use super::fit::Affine;
use super::layout::{Layout, Numbers, same};
use super::{RepairError, Task};
use crate::analysis::Analysis;
use crate::axes::{KeepSets, Kept};
use crate::contraction::Contraction;
use crate::ir::{DType, Model, NodeId, Tensor, TensorError, ValueId};
use crate::ops::{self, Bias, Site};
use crate::passes::bias_constant;
use faer::Mat;
use std::cell::Cell;

/// The constant that is added to a contraction's result, and what it was before the repair.
pub(super) struct BiasAt {
    pub constant: NodeId,
    pub base: Vec<f64>,
}

/// Writes the weights that a fit asks for, made from the original ones, and what it adds to the result.
pub(super) fn write(
    analysis: &Analysis,
    keep: &KeepSets,
    task: &mut Task,
    maps: &[Affine],
    model: &mut Model,
) -> Result<(), RepairError> {
    let c = &task.contraction;
    let original = analysis.model.graph.tensor(c.weight).ok_or_else(|| task.lost())?;
    let numbers = original.to_f64().map_err(|e| task.failed(e))?;
    let (weight, shift) = mapped(c, &original.shape, &numbers, maps);
    let tensor = |n: &Numbers| Tensor::from_f64(original.dtype, n.shape.clone(), &n.values).ok_or_else(|| task.lost());
    let weight = selected(analysis, keep, task, tensor(&weight)?).map_err(|e| task.failed(e))?;
    let shift = selected(analysis, keep, task, tensor(&shift)?).map_err(|e| task.failed(e))?;
    let shift = match bias(analysis, c.node) {
        Some(Bias::Rows { .. }) => of_rows(c, &shift),
        _ => along_result(analysis, c, &shift),
    };
    let shift = shift.ok_or_else(|| task.lost())?;
    let current = model.graph.operand(c.node, usize::from(c.weight_slot)).ok_or_else(|| task.lost())?;
    if model.graph.tensor(current).is_none_or(|t| t.shape != weight.shape) {
        return Err(task.lost());
    }
    // Nothing is not worth a bias.
    let adds = task.bias.is_some() || shift.to_f64().map_err(|e| task.failed(e))?.iter().any(|x| *x != 0.0);
    if adds {
        task.add(analysis, model, &shift).ok_or_else(|| task.lost())?;
    }
    if let Some(constant) = model.graph.constant_mut(current.node) {
        constant.tensor = weight;
    }
    Ok(())
}

/// Adds a change to the weights and to what is added to the result, for each group `[patch and 1, outputs]`.
pub(super) fn change(
    analysis: &Analysis,
    task: &mut Task,
    layout: &Layout,
    change: &[Mat<f64>],
    model: &mut Model,
) -> Result<(), RepairError> {
    let c = &task.contraction;
    let current = model.graph.operand(c.node, usize::from(c.weight_slot)).ok_or_else(|| task.lost())?;
    let tensor = model.graph.tensor(current).ok_or_else(|| task.lost())?.clone();
    let mut numbers = tensor.to_f64().map_err(|e| task.failed(e))?;
    let mut shift = vec![];
    for (o, column) in change.iter().flat_map(|m| (0..m.ncols()).map(move |o| m.col(o))).enumerate() {
        let places = layout.weights_of(&tensor.shape, o);
        places.into_iter().enumerate().for_each(|(k, at)| numbers[at] += column[k]);
        shift.push(column[column.nrows() - 1]);
    }
    let rank = analysis.axes.of(ValueId { node: c.node, port: 0 }).map_or(0, <[_]>::len);
    let mut shape = vec![1; rank];
    shape[layout.output] = shift.len();
    let added = task.add_more(analysis, model, tensor.dtype, &shape, &shift);
    added.ok_or_else(|| task.lost())?;
    let weight = Tensor::from_f64(tensor.dtype, tensor.shape, &numbers).ok_or_else(|| task.lost())?;
    if let Some(constant) = model.graph.constant_mut(current.node) {
        constant.tensor = weight;
    }
    Ok(())
}

/// Multiplies each output by a factor, and adds a number.
pub(super) fn scale(
    analysis: &Analysis,
    task: &Task,
    layout: &Layout,
    by: &[(f64, f64)],
    model: &mut Model,
) -> Result<(), RepairError> {
    let c = &task.contraction;
    let current = model.graph.operand(c.node, usize::from(c.weight_slot)).ok_or_else(|| task.lost())?;
    let tensor = model.graph.tensor(current).ok_or_else(|| task.lost())?.clone();
    let mut numbers = tensor.to_f64().map_err(|e| task.failed(e))?;
    for (o, (factor, _)) in by.iter().enumerate() {
        layout.weights_of(&tensor.shape, o).into_iter().for_each(|at| numbers[at] *= factor);
    }
    let rank = analysis.axes.of(ValueId { node: c.node, port: 0 }).map_or(0, <[_]>::len);
    let mut shape = vec![1; rank];
    shape[layout.output] = by.len();
    let constant = match &task.bias {
        Some(at) => Some(at.constant),
        None => bias(analysis, c.node).and_then(|b| bias_constant(model, c.node, b, tensor.dtype, &shape)),
    };
    let bias = constant.and_then(|c| model.graph.constant_mut(c)).ok_or_else(|| task.lost())?;
    let base = bias.tensor.to_f64().map_err(|e| task.failed(e))?;
    let sums: Vec<f64> = base.iter().zip(by).map(|(b, (factor, more))| b * factor + more).collect();
    let made = |t: &Tensor, n: &[f64]| Tensor::from_f64(t.dtype, t.shape.clone(), n).ok_or_else(|| task.lost());
    bias.tensor = made(&bias.tensor, &sums)?;
    let weight = made(&tensor, &numbers)?;
    if let Some(constant) = model.graph.constant_mut(current.node) {
        constant.tensor = weight;
    }
    Ok(())
}

impl Task {
    /// Adds numbers to the contraction's result, instead of those that were added before.
    fn add(&mut self, analysis: &Analysis, model: &mut Model, shift: &Tensor) -> Option<()> {
        if self.bias.is_none() {
            let node = self.contraction.node;
            let kind = bias(analysis, node)?;
            let constant = bias_constant(model, node, kind, shift.dtype, &shift.shape)?;
            let base = model.graph.constant(constant)?.tensor.to_f64().ok()?;
            self.bias = Some(BiasAt { constant, base });
        }
        let at = self.bias.as_ref()?;
        let tensor = &mut model.graph.constant_mut(at.constant)?.tensor;
        let sum = added(&at.base, &tensor.shape, shift)?;
        *tensor = Tensor::from_f64(tensor.dtype, tensor.shape.clone(), &sum)?;
        Some(())
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
        let constant = match &self.bias {
            Some(at) => at.constant,
            None => bias_constant(model, self.contraction.node, bias(analysis, self.contraction.node)?, dtype, shape)?,
        };
        let tensor = &mut model.graph.constant_mut(constant)?.tensor;
        let base = tensor.to_f64().ok().filter(|b| b.len() == more.len())?;
        let sum: Vec<f64> = base.iter().zip(more).map(|(a, b)| a + b).collect();
        *tensor = Tensor::from_f64(tensor.dtype, tensor.shape.clone(), &sum)?;
        self.bias.get_or_insert(BiasAt { constant, base });
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

/// Where a constant can be added to what a call computes, if what is added there already is constant too.
pub(super) fn bias(analysis: &Analysis, node: NodeId) -> Option<Bias> {
    let graph = &analysis.model.graph;
    let is_constant = |slot: u16| graph.operand(node, usize::from(slot)).is_none_or(|v| graph.tensor(v).is_some());
    law(analysis, node).filter(|bias| match bias {
        Bias::Operand(slot) | Bias::Rows { slot, .. } => is_constant(*slot),
        Bias::Behind => true,
    })
}

fn law(analysis: &Analysis, node: NodeId) -> Option<Bias> {
    let unknowns = Cell::new(crate::infer::ASKED);
    let call = analysis.model.graph.call(node)?;
    let site = Site::new(&analysis.model, &analysis.model.graph, node, call, &analysis.facts, &unknowns);
    (ops::rule_of(&analysis.model, call).bias)(&site)
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
