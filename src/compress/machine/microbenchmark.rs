//! A fused subgraph of a model as a model of its own, as a choice of widths leaves it.

use super::FusedSubgraph;
use crate::analysis::Analysis;
use crate::apply::refit_call;
use crate::axes::{KeepSets, Kept};
use crate::cost::OpenDims;
use crate::facts::{Fact, Facts};
use crate::feed::Feed;
use crate::ir::{
    DType, Dim, Extra, Graph, Input, Model, Node, NodeId, Store, Tensor, TensorType, Type, Use, ValueId, ValueInfo,
};
use crate::passes::new_constant;
use crate::pipelines::{self, SIMPLIFY};
use std::collections::HashMap;

/// A model of one fused subgraph, and what to feed it.
pub(super) struct Microbenchmark {
    pub model: Model,
    pub feed: Feed,
}

/// Cuts a fused subgraph out of a model, with what stays of its weights. Open dimensions get their sizes for costs.
pub(super) fn microbenchmark(
    analysis: &Analysis,
    piece: &FusedSubgraph,
    keep: &KeepSets,
    open: &OpenDims,
) -> Result<Microbenchmark, String> {
    let graph = &analysis.model.graph;
    let after = predicted(analysis, piece, keep, open);
    let mut cutting = Cutting { analysis, keep, open, after: &after, part: Graph::default(), at: HashMap::new() };
    let mut feed = cutting.operands(piece)?;
    let calls = cutting.calls(piece);
    let part = cutting.part;
    let Model { ir_version, opsets, .. } = &analysis.model;
    let mut model = Model { ir_version: *ir_version, opsets: opsets.clone(), graph: part, ..Model::default() };
    for (&node, &at) in piece.calls.iter().zip(&calls) {
        let vars = |v: ValueId| analysis.axes.of(v).into_iter().flatten().copied();
        let mut touched = values(graph, node).flat_map(vars);
        if touched.any(|v| keep.size(&analysis.axes, v) != *analysis.axes.solver().size(v)) {
            refit_call(analysis, keep, &after, node, (&mut model, at), &mut None).map_err(|e| e.to_string())?;
        }
    }
    // What a refit replaced is fed no more.
    for input in model.graph.inputs().into_iter().filter(|&n| !model.graph.is_used(n)).collect::<Vec<_>>() {
        let name = model.graph.label(input).to_owned();
        feed.retain(|(n, _)| *n != name);
        model.graph.remove(input);
    }
    Ok(Microbenchmark { model: simplified(model), feed: Feed::new(feed) })
}

/// A model that hands its input on: to run it takes what running any model takes, beside its nodes.
pub(super) fn idle() -> Microbenchmark {
    let name = "x";
    let info = || ValueInfo::new(name, Type::Tensor(TensorType::new(DType::F32, vec![Dim::Fixed(1)])));
    let mut graph = Graph::default();
    graph.name = "idle".into();
    let node = graph.add(Node::Input(Input { info: info(), captured: false, default: None }));
    graph.add_output(ValueId { node, port: 0 }, info());
    let model = Model { ir_version: 8, opsets: [(String::new(), 17)].into(), graph, ..Model::default() };
    Microbenchmark { model, feed: Feed::new(vec![(name.into(), Tensor::from_f32(vec![1], &[1.0]))]) }
}

/// What a call reads and makes.
fn values(graph: &Graph, node: NodeId) -> impl Iterator<Item = ValueId> {
    graph.operands(node).into_iter().flatten().chain(graph.results(node))
}

/// The facts of the fused subgraph's values after the cut, with numbers for all dimensions.
fn predicted(analysis: &Analysis, piece: &FusedSubgraph, keep: &KeepSets, open: &OpenDims) -> Facts {
    let (graph, axes) = (&analysis.model.graph, &analysis.axes);
    let number = |d: &Dim| Dim::Fixed(open.eval(d) as i64);
    let mut after = Facts::default();
    for value in piece.calls.iter().flat_map(|&n| values(graph, n)) {
        let fact = analysis.facts.get(value);
        let left = axes.of(value).map(|vars| vars.iter().map(|&v| keep.size(axes, v)).collect::<Vec<_>>());
        let content = fact.content.clone().filter(|_| left.is_none() || left == fact.shape);
        let shape = left.as_ref().or(fact.shape.as_ref()).map(|s| s.iter().map(number).collect());
        after.set(value, Fact { dtype: fact.dtype, shape, content });
    }
    after
}

/// As it will be after the cut: normalizations folded, say. What can't be simplified stays as it is.
fn simplified(model: Model) -> Model {
    let mut simple = model.clone();
    if pipelines::run(SIMPLIFY, &mut simple).is_ok() { simple } else { model }
}

struct Cutting<'a> {
    analysis: &'a Analysis,
    keep: &'a KeepSets,
    open: &'a OpenDims,
    after: &'a Facts,
    part: Graph,
    /// Where the model's values are in the part.
    at: HashMap<ValueId, ValueId>,
}

impl Cutting<'_> {
    /// Adds what the calls read: constants with their slices, and an input for each computed value.
    fn operands(&mut self, piece: &FusedSubgraph) -> Result<Vec<(String, Tensor)>, String> {
        let graph = &self.analysis.model.graph;
        let mut feed = vec![];
        for value in piece.calls.iter().flat_map(|&n| graph.operands(n)).flatten() {
            if self.at.contains_key(&value) || piece.calls.contains(&value.node) {
                continue;
            }
            let name = format!("in{}", self.at.len());
            let node = match graph.constant(value.node) {
                Some(constant) => {
                    let tensor = self.sliced(value, &constant.tensor)?;
                    new_constant(self.analysis.model.ir_version, name, tensor)
                }
                None => {
                    let fact = self.after.get(value);
                    let tensor = made_up(fact, self.open).ok_or("an operand is of unknown type")?;
                    let shape = tensor.shape.iter().map(|&d| d.into()).collect();
                    let ty = Type::Tensor(TensorType::new(tensor.dtype, shape));
                    feed.push((name.clone(), tensor));
                    Node::Input(Input { info: ValueInfo::new(name, ty), captured: false, default: None })
                }
            };
            let node = self.part.add(node);
            self.at.insert(value, ValueId { node, port: 0 });
        }
        Ok(feed)
    }

    fn sliced(&self, value: ValueId, tensor: &Tensor) -> Result<Tensor, String> {
        let mut tensor = Tensor { store: Store::Raw, extra: Extra::new(), ..tensor.clone() };
        for (axis, &var) in self.analysis.axes.of(value).into_iter().flatten().enumerate() {
            if let Kept::Some(kept) = self.keep.of(&self.analysis.axes, var) {
                tensor = tensor.select(axis, &kept).map_err(|e| e.to_string())?;
            }
        }
        Ok(tensor)
    }

    /// Adds the calls, and makes what the last one computes the outputs.
    fn calls(&mut self, piece: &FusedSubgraph) -> Vec<NodeId> {
        let graph = &self.analysis.model.graph;
        let mut added = vec![];
        for &node in &piece.calls {
            let Some(mut call) = graph.call(node).cloned() else { continue };
            for (port, name) in call.results.iter_mut().enumerate().filter(|(_, name)| !name.is_empty()) {
                *name = format!("out{}_{port}", added.len());
            }
            call.name = format!("call{}", added.len());
            let at = self.part.add(Node::Call(Box::new(call)));
            for (slot, value) in graph.operands(node).into_iter().enumerate() {
                if let Some(&value) = value.and_then(|v| self.at.get(&v)) {
                    self.part.connect(value, Use { node: at, slot: slot as u16 });
                }
            }
            let results = graph.results(node).map(|v| (v, ValueId { node: at, port: v.port }));
            self.at.extend(results);
            added.push(at);
        }
        for value in piece.calls.last().into_iter().flat_map(|&n| graph.results(n)) {
            if let Some(&at) = self.at.get(&value).filter(|at| !self.part.value_name(**at).is_empty()) {
                let ty = self.after.get(value).ty().map_or(Type::Other, Type::Tensor);
                self.part.add_output(at, ValueInfo::new(self.part.value_name(at).to_owned(), ty));
            }
        }
        added
    }
}

/// What stands for a computed operand: its numbers where they are known, zeros for other integers, which are indices
/// of something at times, and floats that are no special case for any kernel.
fn made_up(fact: &Fact, open: &OpenDims) -> Option<Tensor> {
    let shape: Vec<usize> = fact.shape.as_ref()?.iter().map(|d| open.eval(d) as usize).collect();
    let count = shape.iter().product();
    let dtype = fact.dtype?;
    let known = fact.dims().filter(|d| d.len() == count);
    let values: Vec<f64> = match (known, dtype) {
        (Some(dims), _) => dims.iter().map(|d| d.fixed().unwrap_or_else(|| open.eval(d) as i64) as f64).collect(),
        (None, DType::Bool) => vec![1.0; count],
        (None, d) if d.is_float() => (0..count).map(|i| (i * 37 % 101) as f64 / 50.0 - 1.0).collect(),
        (None, _) => vec![0.0; count],
    };
    Tensor::from_f64(dtype, shape, &values)
}
