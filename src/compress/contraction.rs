//! Contractions: products of a computed tensor with a weight, summed over an axis that may lose units.
//!
//! A linear layer, a convolution, the output projection of an attention: what they have in common is a label that a
//! computed operand (the *data*) and one made of constants (the *weight*) carry, and no result. When units of the label go, the
//! weight is what can be refitted, so that the sum is as nearly as possible what it was. No operator is asked for its
//! name; all of this is in the bindings of the axis rules.

mod written;

pub(crate) use written::{Shared, bias, writable};

use crate::analysis::Analysis;
use crate::axes::{Axes, Binding, Shape, Var};
use crate::ir::{NodeId, Tensor, TensorError, ValueId};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};

/// A sum over the product of a computed tensor with a weight.
#[derive(Clone, Debug)]
pub struct Contraction {
    pub node: NodeId,
    /// The computed operand, its slot, and its axis that is summed over.
    pub data: ValueId,
    pub data_slot: u16,
    pub data_axis: usize,
    /// The constant operand, or one that is computed from constants alone ([`Analysis::weight`]); its slot, and its axis
    /// that is summed over.
    pub weight: ValueId,
    pub weight_slot: u16,
    pub weight_axis: usize,
    /// How many groups the data's axis falls into, each with weights of its own (a grouped convolution).
    pub groups: usize,
    /// The axis of the weight that the groups are on, as its major factor.
    pub group_axis: Option<usize>,
    pub view: View,
}

/// An axis as `outer × length × inner`: statistics are taken over the middle, and all else counts as samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct View {
    /// What the middle stands for.
    pub var: Var,
    pub outer: usize,
    pub length: usize,
    pub inner: usize,
}

/// Axes up to this length are looked at whole; of longer ones the channels alone.
const WHOLE: usize = 2048;

impl Contraction {
    /// All contractions of a model over axes that some free group is part of, in topological order.
    pub fn all(analysis: &Analysis) -> Vec<Contraction> {
        Contraction::list(analysis, false)
    }

    /// All contractions of a model, with the whole axis in view, however long.
    pub fn every(analysis: &Analysis) -> Vec<Contraction> {
        Contraction::list(analysis, true)
    }

    fn list(analysis: &Analysis, whole: bool) -> Vec<Contraction> {
        let graph = &analysis.model.graph;
        let of = |node: NodeId| {
            let sums = analysis.axes.bindings(node).iter().filter(|b| is_summed(b));
            sums.filter_map(move |b| Contraction::of(analysis, node, b, whole).ok()).collect::<Vec<_>>()
        };
        graph.topological().into_iter().flat_map(of).collect()
    }

    /// Why a call's sum over a label is no contraction that could be refitted, if it is none.
    pub fn obstacle(analysis: &Analysis, node: NodeId, label: &Binding) -> Option<Obstacle> {
        Contraction::of(analysis, node, label, false).err()
    }

    fn of(analysis: &Analysis, node: NodeId, label: &Binding, whole: bool) -> Result<Contraction, Obstacle> {
        let (graph, axes) = (&analysis.model.graph, &analysis.axes);
        // What is inside a loop's body has no one value that could be measured.
        if graph.region(node) != 0 {
            return Err(Obstacle::Body);
        }
        if !label.repeated.is_empty() {
            return Err(Obstacle::Recurrence);
        }
        let &[a, b] = &label.operands[..] else { return Err(Obstacle::Operands) };
        let (data_slot, weight_slot) = sides(analysis, node, a, b)?;
        let value = |slot: u16| graph.operand(node, usize::from(slot)).ok_or(Obstacle::Operands);
        let (data, weight) = (value(data_slot)?, value(weight_slot)?);
        if !analysis.facts.get(data).dtype.is_some_and(|d| d.is_float()) {
            return Err(Obstacle::Integers);
        }
        let (data_axis, var) = carrying(axes, data, label.var).ok_or(Obstacle::Axes)?;
        let (weight_axis, weight_var) = carrying(axes, weight, label.var).ok_or(Obstacle::Axes)?;
        let size = |var: Var| axes.solver().size(var).size().ok_or(Obstacle::Axes);
        let length = size(var)?;
        let groups = length.checked_div(size(weight_var)?).ok_or(Obstacle::Axes)?;
        let group_axis = match (groups, group_axis(axes, node, var, weight)) {
            (1, None) => None,
            // Groups that the weight has on the contracted axis itself are not told apart.
            (1, Some(axis)) if axis != weight_axis => None,
            (2.., Some(axis)) if axis != weight_axis => Some(axis),
            _ => return Err(Obstacle::Axes),
        };
        let free = |leaf: &Var| analysis.groups.of_leaf(*leaf).is_some_and(|g| g.is_free());
        let leaves: Vec<Var> = axes.solver().leaves(var).into_iter().filter(free).collect();
        let view = match whole {
            true => Some(View { var, outer: 1, length, inner: 1 }),
            false => View::of(axes, var, length, &leaves),
        };
        let view = view.filter(|v| groups == 1 || v.length == length);
        let view = view.ok_or(if length > WHOLE { Obstacle::Long } else { Obstacle::Axes })?;
        Ok(Contraction { node, data, data_slot, data_axis, weight, weight_slot, weight_axis, groups, group_axis, view })
    }

    /// How long the weight's side of the view is: the view's length, or a group's share of it.
    pub fn depth(&self) -> usize {
        self.view.length / self.groups
    }

    /// The rows of a weight of this shape, each a vector along the contracted axis with `depth` elements.
    pub fn rows(&self, shape: &[usize], depth: usize) -> Vec<Row> {
        let View { outer, inner, .. } = self.view;
        let behind: usize = shape[self.weight_axis + 1..].iter().product();
        let before: usize = shape[..self.weight_axis].iter().product();
        let axis = outer * depth * inner;
        let (stride, group_length) = match self.group_axis {
            Some(axis) => (shape[axis + 1..].iter().product(), shape[axis]),
            None => (1, 1),
        };
        let mut rows = Vec::with_capacity(before * outer * inner * behind);
        for (b, o) in (0..before).flat_map(|b| (0..outer).map(move |o| (b, o))) {
            for (i, k) in (0..inner).flat_map(|i| (0..behind).map(move |k| (i, k))) {
                let start = (b * axis + o * depth * inner + i) * behind + k;
                let group = (start / stride % group_length) / (group_length / self.groups).max(1);
                rows.push(Row { start, step: inner * behind, group });
            }
        }
        rows
    }
}

/// Whether a call sums over a label.
pub(crate) fn is_summed(label: &Binding) -> bool {
    !label.in_result && !label.unread
}

/// The slots of the data and of the weight.
fn sides(analysis: &Analysis, node: NodeId, a: u16, b: u16) -> Result<(u16, u16), Obstacle> {
    let graph = &analysis.model.graph;
    let constant = |slot: u16| {
        let value = graph.operand(node, usize::from(slot));
        value.filter(|v| graph.tensor(*v).is_some() || analysis.is_computed(*v))
    };
    let is_float = |v: ValueId| analysis.facts.get(v).dtype.is_some_and(|d| d.is_float());
    match (constant(a), constant(b)) {
        (None, Some(weight)) if is_float(weight) => Ok((a, b)),
        (Some(weight), None) if is_float(weight) => Ok((b, a)),
        (None, None) => Err(Obstacle::Operands),
        _ => Err(Obstacle::Integers),
    }
}

/// Why a sum over an axis that lost units is not refitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Obstacle {
    /// It is in a body of a loop or a branch.
    Body,
    /// An operand has the axis twice.
    Recurrence,
    /// It multiplies computed tensors.
    Operands,
    /// Its weights or its data are integers.
    Integers,
    /// How its units lie along the axis is not known.
    Axes,
    /// Units lie on an axis that is too long to be measured whole.
    Long,
    /// Nothing was measured of what it reads.
    Unmeasured,
    /// Other calls read the weight too.
    Shared,
    /// Nothing can be added to what it computes: an activation is part of the call, or the bias is no constant.
    Bias,
    /// The weight is computed from constants in a way that can't be undone.
    Expression,
    /// Most numbers of the weight are not stored.
    Sparse,
    /// The weight is stored in integers too coarse for what was fitted.
    Coarse,
}

impl std::fmt::Display for Obstacle {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(match self {
            Obstacle::Body => "it is in the body of a loop or a branch",
            Obstacle::Recurrence => "it is recurrent along the axis that was cut",
            Obstacle::Operands => "it multiplies computed tensors, so there is no weight to refit",
            Obstacle::Integers => "it computes in integers",
            Obstacle::Axes => "how its units lie along its axes is not known",
            Obstacle::Long => "the axis is too long to be measured whole",
            Obstacle::Unmeasured => "nothing was measured of what it reads",
            Obstacle::Shared => "other calls read its weight too",
            Obstacle::Bias => "it is more than a sum (an activation is part of it, or its bias is computed)",
            Obstacle::Expression => "its weight is computed in a way that can't be undone",
            Obstacle::Sparse => "its weight is stored sparse, and what was fitted is dense",
            Obstacle::Coarse => "its weight is stored in integers too coarse for what was fitted",
        })
    }
}

/// The weights of each group of a contraction: a row for each sum, a column for each element that it reads.
pub(crate) fn weights(contraction: &Contraction, weight: &Tensor) -> Result<Vec<Mat<f64>>, TensorError> {
    let numbers = weight.to_f64()?;
    let depth = contraction.depth();
    let mut rows: Vec<Vec<Row>> = vec![vec![]; contraction.groups];
    contraction.rows(&weight.shape, depth).into_iter().for_each(|row| rows[row.group].push(row));
    let weights = |rows: Vec<Row>| Mat::from_fn(rows.len(), depth, |r, k| numbers[rows[r].start + k * rows[r].step]);
    Ok(rows.into_iter().map(weights).collect())
}

/// How much errors in what a contraction reads matter to what it computes: `WᵀW`, `[length, length]` of the view. A
/// group's outputs see that group's data only.
pub(crate) fn importance(contraction: &Contraction, weight: &Tensor) -> Result<Mat<f64>, TensorError> {
    let (length, depth) = (contraction.view.length, contraction.depth());
    let mut out = Mat::zeros(length, length);
    for (group, w) in weights(contraction, weight)?.iter().enumerate() {
        let block = out.as_mut().submatrix_mut(group * depth, group * depth, depth, depth);
        matmul(block, Accum::Replace, w.transpose(), w.as_ref(), 1.0, Par::Seq);
    }
    Ok(out)
}

/// The sum of `f` over the weights that each element of the view is multiplied with.
pub(crate) fn column_sums(
    contraction: &Contraction,
    weight: &Tensor,
    f: impl Fn(f64) -> f64,
) -> Result<Vec<f64>, TensorError> {
    let numbers = weight.to_f64()?;
    let depth = contraction.depth();
    let mut sums = vec![0.0; contraction.view.length];
    for row in contraction.rows(&weight.shape, depth) {
        for k in 0..depth {
            sums[row.group * depth + k] += f(numbers[row.start + k * row.step]);
        }
    }
    Ok(sums)
}

/// A vector within a weight: `depth` elements from `start`, `step` apart.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub start: usize,
    pub step: usize,
    /// The group whose data it is multiplied with.
    pub group: usize,
}

impl View {
    fn of(axes: &Axes, var: Var, length: usize, free: &[Var]) -> Option<View> {
        match free {
            [] => None,
            _ if length <= WHOLE => Some(View { var, outer: 1, length, inner: 1 }),
            &[leaf] => View::factor(axes, var, leaf),
            _ => None,
        }
    }

    /// The leaf as a factor of a product.
    fn factor(axes: &Axes, var: Var, leaf: Var) -> Option<View> {
        let solver = axes.solver();
        let size = |v: &Var| solver.size(*v).size();
        match solver.shape(var) {
            Shape::Leaf => {
                (solver.find(var) == leaf).then_some(View { var: leaf, outer: 1, length: size(&leaf)?, inner: 1 })
            }
            Shape::Sum(_) => None,
            Shape::Product(parts) => {
                let at = parts.iter().position(|p| solver.leaves(*p).contains(&leaf))?;
                let inside = View::factor(axes, parts[at], leaf)?;
                let product = |parts: &[Var]| parts.iter().map(size).product::<Option<usize>>();
                let (before, after) = (product(&parts[..at])?, product(&parts[at + 1..])?);
                Some(View { outer: before * inside.outer, inner: inside.inner * after, ..inside })
            }
        }
    }
}

/// The axis of a value that a label is part of.
fn carrying(axes: &Axes, value: ValueId, label: Var) -> Option<(usize, Var)> {
    let leaves = axes.solver().leaves(label);
    let mut found = axes.of(value)?.iter().copied().enumerate().filter(|(_, v)| {
        let mine = axes.solver().leaves(*v);
        leaves.iter().all(|l| mine.contains(l))
    });
    let one = found.next()?;
    found.next().is_none().then_some(one)
}

/// The axis of the weight that has the groups of the data's axis.
fn group_axis(axes: &Axes, node: NodeId, data: Var, weight: ValueId) -> Option<usize> {
    let inside = axes.solver().leaves(data);
    let is_group = |b: &&Binding| {
        let leaves = axes.solver().leaves(b.var);
        b.in_result && b.operands.len() > 1 && leaves.iter().all(|l| inside.contains(l))
    };
    let label = axes.bindings(node).iter().find(is_group)?;
    carrying(axes, weight, label.var).map(|(axis, _)| axis)
}
