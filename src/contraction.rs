//! Contractions: products of a computed tensor with a constant, summed over an axis that may lose units.
//!
//! A linear layer, a convolution, the output projection of an attention: what they have in common is a label that a
//! computed operand (the *data*) and a constant (the *weight*) carry, and no result. When units of the label go, the
//! weight is what can be refitted, so that the sum is as nearly as possible what it was. No operator is asked for its
//! name; all of this is in the bindings of the axis rules.

use crate::analysis::Analysis;
use crate::axes::{Axes, Binding, Shape, Var};
use crate::ir::{NodeId, Tensor, TensorError, ValueId};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};

/// A sum over the product of a computed tensor with a constant.
#[derive(Clone, Debug)]
pub struct Contraction {
    pub node: NodeId,
    /// The computed operand, its slot, and its axis that is summed over.
    pub data: ValueId,
    pub data_slot: u16,
    pub data_axis: usize,
    /// The constant operand, its slot, and its axis that is summed over.
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
            let bindings = analysis.axes.bindings(node).iter();
            bindings.filter_map(move |b| Contraction::of(analysis, node, b, whole)).collect::<Vec<_>>()
        };
        graph.topological().into_iter().flat_map(of).collect()
    }

    fn of(analysis: &Analysis, node: NodeId, label: &Binding, whole: bool) -> Option<Contraction> {
        let (graph, axes) = (&analysis.model.graph, &analysis.axes);
        // What is inside a loop's body has no one value that could be measured.
        if label.in_result || label.unread || !label.repeated.is_empty() || graph.region(node) != 0 {
            return None;
        }
        let &[a, b] = &label.operands[..] else { return None };
        let value = |slot: u16| graph.operand(node, usize::from(slot));
        let constant = |v: ValueId| graph.tensor(v).is_some_and(|t| t.dtype.is_float());
        let (data_slot, weight_slot) = match (constant(value(a)?), constant(value(b)?)) {
            (false, true) => (a, b),
            (true, false) => (b, a),
            _ => return None,
        };
        let (data, weight) = (value(data_slot)?, value(weight_slot)?);
        if !analysis.facts.get(data).dtype.is_some_and(|d| d.is_float()) {
            return None;
        }
        let (data_axis, var) = carrying(axes, data, label.var)?;
        let (weight_axis, weight_var) = carrying(axes, weight, label.var)?;
        let length = axes.solver().size(var).size()?;
        let groups = length.checked_div(axes.solver().size(weight_var).size()?)?;
        let group_axis = match (groups, group_axis(axes, node, var, weight)) {
            (1, None) => None,
            // Groups that the weight has on the contracted axis itself are not told apart.
            (1, Some(axis)) if axis != weight_axis => None,
            (2.., Some(axis)) if axis != weight_axis => Some(axis),
            _ => return None,
        };
        let free = |leaf: &Var| analysis.groups.of_leaf(*leaf).is_some_and(|g| g.is_free());
        let leaves: Vec<Var> = axes.solver().leaves(var).into_iter().filter(free).collect();
        let view = match whole {
            true => Some(View { var, outer: 1, length, inner: 1 }),
            false => View::of(axes, var, length, &leaves),
        };
        let view = view.filter(|v| groups == 1 || v.length == length)?;
        Some(Contraction {
            node,
            data,
            data_slot,
            data_axis,
            weight,
            weight_slot,
            weight_axis,
            groups,
            group_axis,
            view,
        })
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

/// How much errors in what a contraction reads matter to what it computes: `WᵀW`, `[length, length]` of the view. A
/// group's outputs see that group's data only.
pub fn importance(contraction: &Contraction, weight: &Tensor) -> Result<Mat<f64>, TensorError> {
    let numbers = weight.to_f64()?;
    let (length, depth) = (contraction.view.length, contraction.depth());
    let mut rows: Vec<Vec<Row>> = vec![vec![]; contraction.groups];
    contraction.rows(&weight.shape, depth).into_iter().for_each(|row| rows[row.group].push(row));
    let mut out = Mat::zeros(length, length);
    for (group, rows) in rows.iter().enumerate() {
        let w = Mat::from_fn(rows.len(), depth, |r, k| numbers[rows[r].start + k * rows[r].step]);
        let at = group * depth;
        let block = out.as_mut().submatrix_mut(at, at, depth, depth);
        matmul(block, Accum::Replace, w.transpose(), w.as_ref(), 1.0, Par::Seq);
    }
    Ok(out)
}

/// The sum of `f` over the weights that each element of the view is multiplied with.
pub fn column_sums(
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
