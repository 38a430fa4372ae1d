//! How a contraction's outputs hang on what it reads: which element of the data meets which weight.
//!
//! All of it is in the axis rules, and in the law `windows` for kernels: an axis of the weight is summed over, slides, or
//! is the output's; an axis of the result is the output's, or a position that says where in the data to look. What
//! does not fit that is left to the fit by channels.

use crate::analysis::Analysis;
use crate::axes::{Axes, KeepSets, Kept, Var};
use crate::contraction::Contraction;
use crate::ir::{NodeId, Tensor, TensorError, ValueId};
use crate::ops::{self, Site, SlidingWindow};
use crate::stats::{Draw, Floats};
use faer::Mat;

/// A contraction whose outputs are sums over a patch of the data, each with weights of its own.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// The axis of the data and of the weight that is summed over.
    data: usize,
    weight: usize,
    /// The axis of the outputs in the result and in the weight.
    pub output: usize,
    pub row: usize,
    /// How many taps an output has for each element along the axis that is summed over.
    pub taps: usize,
    windows: Vec<SlidingWindow>,
    /// Axes of the result that are axes of the data too, as pairs.
    along: Vec<(usize, usize)>,
}

/// A tensor's numbers, unpacked once.
pub(super) struct Numbers {
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
}

impl Numbers {
    pub(super) fn of(tensor: &Tensor) -> Result<Numbers, TensorError> {
        Ok(Numbers { shape: tensor.shape.clone(), values: tensor.to_f64()? })
    }
}

impl Layout {
    /// The layout of a contraction with a weight of this shape; `None` where its weight or its result has axes of
    /// another sort.
    pub(super) fn of(analysis: &Analysis, c: &Contraction, shape: &[usize]) -> Option<Layout> {
        let axes = &analysis.axes;
        let windows = windows(analysis, c.node);
        let (data, weight) = (axes.of(c.data)?, axes.of(c.weight)?);
        let result = axes.of(ValueId { node: c.node, port: 0 })?;
        let mut rows = (0..weight.len()).filter(|&a| a != c.weight_axis && windows.iter().all(|s| s.taps != a));
        let row = rows.next().filter(|_| rows.next().is_none())?;
        let output = only(axes, result, weight[row])?;
        let mut along = vec![];
        for at in (0..result.len()).filter(|&at| at != output && windows.iter().all(|s| s.result != at)) {
            if axes.solver().size(result[at]).size() == Some(1) {
                continue;
            }
            along.push((at, only(axes, data, result[at])?));
        }
        let explained = |axis: usize| {
            axis == c.data_axis
                || windows.iter().any(|s| s.data == axis)
                || along.iter().any(|&(_, d)| d == axis)
                || axes.solver().size(data[axis]).size() == Some(1)
        };
        let whole = (0..data.len()).all(explained);
        let taps = windows.iter().map(|s| shape[s.taps]).product();
        whole.then_some(Layout { data: c.data_axis, weight: c.weight_axis, output, row, taps, windows, along })
    }

    /// How many numbers an output is a sum over, for a weight of this shape.
    pub(super) fn depth(&self, weight: &[usize]) -> usize {
        self.taps * weight[self.weight]
    }

    /// Where the weights of an output stand in the weight, in the order of a patch's numbers.
    pub(super) fn weights_of(&self, weight: &[usize], output: usize) -> Vec<usize> {
        let steps = steps(weight);
        let start = output * steps[self.row];
        self.elements(weight)
            .iter()
            .map(|(i, taps)| {
                let taps = taps.iter().zip(&self.windows).map(|(t, s)| t * steps[s.taps]);
                start + i * steps[self.weight] + taps.sum::<usize>()
            })
            .collect()
    }

    /// The numbers of a patch: an index along the axis that is summed over, and a tap for each axis that slides.
    fn elements(&self, weight: &[usize]) -> Vec<(usize, Vec<usize>)> {
        let mut elements: Vec<(usize, Vec<usize>)> = (0..weight[self.weight]).map(|i| (i, vec![])).collect();
        for window in &self.windows {
            let longer = |(i, taps): (usize, Vec<usize>)| {
                (0..weight[window.taps]).map(move |t| (i, [&taps[..], &[t]].concat())).collect::<Vec<_>>()
            };
            elements = elements.into_iter().flat_map(longer).collect();
        }
        elements
    }

    /// Positions of a result of this shape that are drawn.
    pub(super) fn positions(&self, result: &[usize], draw: Draw) -> Vec<Vec<usize>> {
        let mut shape = result.to_vec();
        shape[self.output] = 1;
        let position = |row: usize| {
            let mut rest = row;
            let mut at = vec![0; shape.len()];
            for axis in (0..shape.len()).rev() {
                at[axis] = rest % shape[axis];
                rest /= shape[axis];
            }
            at
        };
        draw.of(shape.iter().product()).map(position).collect()
    }

    /// Where each position meets each tap in data of this shape, but for the channel.
    pub(super) fn places(&self, data: &[usize], weight: &[usize], positions: &[Vec<usize>]) -> Places {
        let (steps, mut taps) = (steps(data), vec![vec![]]);
        for slide in &self.windows {
            let longer = |t: Vec<usize>| (0..weight[slide.taps]).map(move |k| [&t[..], &[k]].concat());
            taps = taps.into_iter().flat_map(longer).collect();
        }
        let place = |at: &Vec<usize>| {
            let of = |taps: &Vec<usize>| self.place(data, &steps, taps, at).unwrap_or(PADDING);
            taps.iter().map(of).collect::<Vec<usize>>()
        };
        Places { places: positions.iter().map(place).collect(), channels: weight[self.weight], step: steps[self.data] }
    }

    /// Where a position meets a tap, but for the channel; `None` in the padding.
    fn place(&self, shape: &[usize], steps: &[usize], taps: &[usize], at: &[usize]) -> Option<usize> {
        let mut place: usize = self.along.iter().map(|&(r, d)| at[r] * steps[d]).sum();
        for (s, t) in self.windows.iter().zip(taps) {
            let element = (at[s.result] * s.stride + t * s.dilation).checked_sub(s.before)?;
            if element >= shape[s.data] {
                return None;
            }
            place += element * steps[s.data];
        }
        Some(place)
    }

    /// What stands in a value at these positions, a column each: all its outputs that are left.
    pub(super) fn outputs(&self, value: &Floats, left: &Left, positions: &[Vec<usize>]) -> Mat<f32> {
        let steps = steps(value.shape);
        let index = |axis: usize, at: usize| left.0.get(axis).and_then(Option::as_ref).map_or(at, |kept| kept[at]);
        let start = |at: &Vec<usize>| -> usize { (0..at.len()).map(|axis| index(axis, at[axis]) * steps[axis]).sum() };
        let at_zero = |at: &Vec<usize>| {
            let mut at = at.clone();
            at[self.output] = 0;
            start(&at) - index(self.output, 0) * steps[self.output]
        };
        let starts: Vec<usize> = positions.iter().map(at_zero).collect();
        let outputs = left.length(self.output, value.shape);
        let places: Vec<usize> = (0..outputs).map(|o| index(self.output, o) * steps[self.output]).collect();
        Mat::from_fn(outputs, positions.len(), |o, r| value.at(starts[r] + places[o]))
    }
}

/// A place that is in the padding.
const PADDING: usize = usize::MAX;

/// Where patches lie in some data.
pub(super) struct Places {
    /// For each position, where it meets each tap.
    places: Vec<Vec<usize>>,
    channels: usize,
    /// How far apart channels lie.
    step: usize,
}

impl Places {
    /// The patches of a group, a column for each position.
    pub(super) fn patches(&self, data: &Floats, group: usize) -> Mat<f32> {
        let taps = self.places.first().map_or(0, Vec::len);
        let mut out = Mat::zeros(self.channels * taps, self.places.len());
        for (r, places) in self.places.iter().enumerate() {
            let Some(column) = out.col_mut(r).try_as_col_major_mut().map(|c| c.as_slice_mut()) else { continue };
            for (c, patch) in column.chunks_exact_mut(taps.max(1)).enumerate() {
                let start = (group * self.channels + c) * self.step;
                for (x, place) in patch.iter_mut().zip(places).filter(|(_, p)| **p != PADDING) {
                    *x = data.at(start + place);
                }
            }
        }
        out
    }
}

/// Which indices along each axis the keep-sets leave of a value of the original; `None` where all are left.
#[derive(Clone, Debug, Default)]
pub(super) struct Left(Vec<Option<Vec<usize>>>);

impl Left {
    /// Of a value, along all axes but one.
    pub(super) fn of(analysis: &Analysis, keep: &KeepSets, value: ValueId, but: Option<usize>) -> Left {
        let kept = |(axis, &var): (usize, &Var)| match keep.of(&analysis.axes, var) {
            Kept::Some(kept) if Some(axis) != but => Some(kept),
            _ => None,
        };
        Left(analysis.axes.of(value).into_iter().flatten().enumerate().map(kept).collect())
    }

    fn length(&self, axis: usize, shape: &[usize]) -> usize {
        self.0.get(axis).and_then(Option::as_ref).map_or(shape[axis], Vec::len)
    }

    /// What is left of a shape.
    pub(super) fn shape(&self, shape: &[usize]) -> Vec<usize> {
        (0..shape.len()).map(|axis| self.length(axis, shape)).collect()
    }

    /// What is left of a tensor.
    pub(super) fn select(&self, tensor: &Tensor) -> Result<Tensor, TensorError> {
        let mut tensor = tensor.clone();
        for (axis, kept) in self.0.iter().enumerate() {
            if let Some(kept) = kept {
                tensor = tensor.select(axis, kept)?;
            }
        }
        Ok(tensor)
    }
}

/// How a call's constant slides over its data.
pub(super) fn windows(analysis: &Analysis, node: NodeId) -> Vec<SlidingWindow> {
    let unknowns = crate::facts::Unknowns::of_questions();
    let (model, graph) = (&analysis.model, &analysis.model.graph);
    let Some(call) = graph.call(node) else { return vec![] };
    (ops::rule_of(model, call).operands.windows)(&Site::new(model, graph, node, call, &analysis.facts, &unknowns))
}

/// The one axis that is made as this one.
fn only(axes: &Axes, among: &[Var], var: Var) -> Option<usize> {
    let mut found = (0..among.len()).filter(|&i| same(axes, among[i], var));
    found.next().filter(|_| found.next().is_none())
}

/// Whether two axes are the same. A product is written anew wherever a rule names it, so its parts tell.
pub(super) fn same(axes: &Axes, a: Var, b: Var) -> bool {
    let solver = axes.solver();
    solver.size(a) == solver.size(b) && solver.leaves(a) == solver.leaves(b)
}

/// How far apart neighbours along each axis stand.
fn steps(shape: &[usize]) -> Vec<usize> {
    (0..shape.len()).map(|i| shape[i + 1..].iter().product()).collect()
}
