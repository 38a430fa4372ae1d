//! Where the outputs of a linear call turn up: which of them stands at which place of a value computed from them.
//!
//! No operator is asked. The weights of such calls are set to zero and their biases to numbers that tell the outputs
//! apart, and the model is run: what stands in a value then is an output, times a factor, plus a constant, or it is not.
//! Reshapes, transpositions, splits, scales and biases pass; a rotation, a norm or an activation does not.

use super::bias::bias_operand;
use super::layout::Layout;
use super::{store, write};
use crate::analysis::Analysis;
use crate::contraction::{self, Contraction, View};
use crate::feed::Feed;
use crate::ir::{DType, Model, Tensor, Use, ValueId};
use crate::passes::new_constant;
use crate::stats::{Draw, Probe, RunOptions, StatsError, rows};
use faer::Mat;
use std::collections::BTreeMap;

/// A call with constant weights, and all places where what it computes meets something else.
pub(super) struct Source {
    pub contraction: Contraction,
    pub layout: Layout,
    pub ends: Vec<(ValueId, Use)>,
}

/// An output of a call as it stands somewhere: `factor · output + constant`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    pub output: usize,
    pub factor: f64,
    pub constant: f64,
}

/// What stands in values: runs with different biases.
pub(super) struct Trace([BTreeMap<ValueId, Tensor>; 5]);

impl Source {
    /// The call that a value is computed from alone, if its weights are constant.
    pub(super) fn of(analysis: &Analysis, all: &[Contraction], value: ValueId) -> Option<Source> {
        let mut at = value;
        let node = loop {
            if let Some(found) = all.iter().find(|c| c.node == at.node) {
                break found;
            }
            let [before] = computed(analysis, at)[..] else { return None };
            at = before;
        };
        let weight = analysis.weight(node.weight)?;
        let layout = Layout::of(analysis, node, &weight.shape)?;
        contraction::bias(analysis, node.node)?;
        Some(Source { contraction: node.clone(), layout, ends: ends(analysis, ValueId { node: node.node, port: 0 })? })
    }
}

/// The computed numbers that a value's call reads.
fn computed(analysis: &Analysis, value: ValueId) -> Vec<ValueId> {
    let graph = &analysis.model.graph;
    let is_number = |v: &ValueId| {
        let is_made = graph.tensor(*v).is_none() && !analysis.is_computed(*v);
        is_made && analysis.facts.get(*v).dtype.is_none_or(|d| d.is_float())
    };
    graph.operands(value.node).into_iter().flatten().filter(is_number).collect()
}

/// All uses of what is computed from a value alone by calls that read something else as well.
fn ends(analysis: &Analysis, from: ValueId) -> Option<Vec<(ValueId, Use)>> {
    let graph = &analysis.model.graph;
    let (mut ends, mut waiting) = (vec![], vec![from]);
    while let Some(value) = waiting.pop() {
        for at in graph.uses(value) {
            let is_call = graph.call(at.node).is_some();
            if graph.region(at.node) != 0 {
                return None;
            }
            match computed(analysis, ValueId { node: at.node, port: 0 }).len() {
                1 if is_call => {
                    let is_number = |v: &ValueId| analysis.facts.get(*v).dtype.is_none_or(|d| d.is_float());
                    waiting.extend(graph.results(at.node).filter(is_number));
                }
                _ => ends.push((value, at)),
            }
        }
    }
    Some(ends)
}

/// A number for each output: 0, 1, its place, one that looks like chance, and that with the other sign.
fn tag(run: usize, output: usize) -> f64 {
    match run {
        0 => 0.0,
        1 => 1.0,
        2 => output as f64 + 1.0,
        3 => 1.0 + (output as f64 * 0.618_033_988_75).fract(),
        _ => -tag(3, output),
    }
}

impl Trace {
    /// Runs a model with numbered outputs of these calls, and keeps these values.
    pub(super) fn new(
        analysis: &Analysis,
        execution: &RunOptions,
        sources: &[Source],
        values: &[ValueId],
        feed: &Feed,
    ) -> Result<Trace, StatsError> {
        let run = |run: usize| -> Result<BTreeMap<ValueId, Tensor>, StatsError> {
            let model = tagged(analysis, sources, run).ok_or(StatsError::Empty)?;
            // A bias behind a call took over its result's name.
            let named = model.graph.values_by_name();
            let present = |v: &ValueId| named.get(analysis.model.graph.value_name(*v)).copied();
            let now: Vec<ValueId> = values.iter().filter_map(present).collect();
            let mut found = Probe::new(execution.setup, &model, &now)?.run(feed)?;
            Ok(values.iter().filter_map(|v| Some((*v, found.remove(&present(v)?)?))).collect())
        };
        Ok(Trace([run(0)?, run(1)?, run(2)?, run(3)?, run(4)?]))
    }

    /// The outputs along a view of an axis, a row for each other position; `None` where what stands there is made of
    /// them in another way.
    pub(super) fn rows(&self, value: ValueId, axis: usize, view: View) -> Option<Vec<Vec<Place>>> {
        let read = |run: usize| rows(self.0[run].get(&value)?, axis, view, Draw::ALL).ok();
        let [zero, one, place, check, negative] = [read(0)?, read(1)?, read(2)?, read(3)?, read(4)?];
        let at = |r: usize, k: usize| {
            let number = |m: &Mat<f32>| f64::from(m[(r, k)]);
            let (constant, factor) = (number(&zero), number(&one) - number(&zero));
            let output = ((number(&place) - constant) / factor).round() - 1.0;
            let found = Place { output: output.max(0.0) as usize, factor, constant };
            let is = |m: &Mat<f32>, run: usize| {
                let expected = constant + factor * tag(run, found.output);
                (number(m) - expected).abs() <= 1e-4 * (factor.abs() + expected.abs())
            };
            let is_all = is(&place, 2) && is(&check, 3) && is(&negative, 4);
            (factor != 0.0 && output >= 0.0 && is_all).then_some(found)
        };
        (0..zero.nrows()).map(|r| (0..zero.ncols()).map(|k| at(r, k)).collect()).collect()
    }

    /// The outputs that stand anywhere in a value.
    pub(super) fn outputs(&self, value: ValueId) -> Option<Vec<usize>> {
        let last = self.0[0].get(&value)?.shape.len().checked_sub(1)?;
        let length = self.0[0][&value].shape[last];
        let var = crate::axes::Solver::default().fresh(crate::ir::Dim::from(length));
        let places = self.rows(value, last, View { var, outer: 1, length, inner: 1 })?;
        let mut outputs: Vec<usize> = places.into_iter().flatten().map(|p| p.output).collect();
        outputs.sort_unstable();
        outputs.dedup();
        Some(outputs)
    }

    /// The shape of a value.
    pub(super) fn shape(&self, value: ValueId) -> Option<&[usize]> {
        Some(&self.0[0].get(&value)?.shape)
    }
}

/// The model with calls that return their tags.
fn tagged(analysis: &Analysis, sources: &[Source], run: usize) -> Option<Model> {
    let mut model = analysis.model.clone();
    for Source { contraction: c, layout, .. } in sources {
        let rank = analysis.axes.of(ValueId { node: c.node, port: 0 })?.len();
        let shape = analysis.weight(c.weight)?.shape;
        let dtype = analysis.facts.get(c.weight).dtype?;
        replace(&mut model, write::place(c), dtype, &shape, &vec![0.0; shape.iter().product()])?;
        let outputs = shape[layout.row];
        let mut shape = vec![1; rank];
        shape[layout.output] = outputs;
        let bias = bias_operand(&mut model, c.node, contraction::bias(analysis, c.node)?, dtype, &shape)?;
        let tags: Vec<f64> = (0..outputs).map(|o| tag(run, o)).collect();
        let shape = store::present(&model, bias)?.shape;
        replace(&mut model, bias, dtype, &shape, &tags)?;
    }
    Some(model)
}

/// Puts a constant where an operand is read.
fn replace(model: &mut Model, at: Use, dtype: DType, shape: &[usize], numbers: &[f64]) -> Option<()> {
    // The numbers are told apart in 32 bits, in which halves are run.
    let dtype = if dtype.bits() < 32 { DType::F32 } else { dtype };
    let tensor = Tensor::from_f64(dtype, shape.to_vec(), numbers)?;
    let graph = &mut model.graph;
    let name = graph.fresh_name("numbered", &mut graph.all_names());
    let node = graph.add_before(at.node, new_constant(model.ir_version, name, tensor));
    graph.connect(ValueId { node, port: 0 }, at);
    Some(())
}
