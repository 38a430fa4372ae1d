//! Weights: what data is multiplied with, be it a constant or an expression over constants.
//!
//! Exporters leave `Transpose(w)`, `Cast(q) · scale`, `DequantizeLinear(q, s, z)` or a ScatterElements into zeros in the
//! graph. To criteria, statistics and the repair such an expression is the tensor that it comes to, which is computed
//! once, where somebody asks. How it can be *changed* is `repair::store`'s matter.

use crate::feed::Feed;
use crate::ir::{Graph, Model, NodeId, Tensor, Type, Use, ValueId, ValueInfo};
use crate::ops;
use crate::oracle::Runner;
use crate::save;
use crate::widen::widened;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, OnceLock, PoisonError};

/// How many bytes the computed weights of a model may take in all.
const BYTES: usize = 1 << 31;

/// The computed weights of a model; it is made for one model, and asked with that.
#[derive(Debug, Default)]
pub(crate) struct Weights {
    computed: OnceLock<HashSet<NodeId>>,
    values: Mutex<HashMap<ValueId, Option<Tensor>>>,
}

impl Weights {
    /// Whether a value is the result of calls that are made of constants alone.
    pub(crate) fn is_computed(&self, model: &Model, value: ValueId) -> bool {
        self.computed.get_or_init(|| computed(model)).contains(&value.node)
    }

    /// The tensor that a value is: a constant's, or what the calls that make it come to. `None` where it depends on
    /// more than constants, or nobody can compute it.
    pub(crate) fn tensor(&self, model: &Model, value: ValueId) -> Option<Tensor> {
        if let Some(tensor) = model.graph.tensor(value) {
            return Some(tensor.clone());
        }
        if !self.is_computed(model, value) {
            return None;
        }
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = values.get(&value) {
            return known.clone();
        }
        let held: usize = values.values().flatten().map(Tensor::byte_len).sum();
        let found = Expression::new(model, value).run(&[]).filter(|t| held + t.byte_len() <= BYTES);
        values.insert(value, found.clone());
        found
    }
}

/// The calls outside of bodies whose operands are constants, or made of constants by such calls.
fn computed(model: &Model) -> HashSet<NodeId> {
    let graph = &model.graph;
    let mut found = HashSet::new();
    for node in graph.topological() {
        let Some(call) = graph.call(node).filter(|_| graph.region(node) == 0) else { continue };
        let operands: Vec<ValueId> = graph.operands(node).into_iter().flatten().collect();
        let is_known = |v: &ValueId| found.contains(&v.node) || graph.tensor(*v).is_some_and(|t| t.raw().is_ok());
        if !operands.is_empty() && ops::is_function(model, call) && operands.iter().all(is_known) {
            found.insert(node);
        }
    }
    found
}

/// A value and all that it is made of, as a model of its own.
pub(crate) struct Expression {
    model: Model,
    /// The nodes of the original, and the same here.
    nodes: HashMap<NodeId, NodeId>,
}

impl Expression {
    /// Takes a value with what makes it out of a model. It must be made of constants alone.
    pub(crate) fn new(model: &Model, value: ValueId) -> Expression {
        let from = &model.graph;
        let cone = cone(from, value.node);
        let (mut graph, mut nodes) = (Graph::default(), HashMap::new());
        for &node in &cone {
            nodes.insert(node, graph.add(from.node(node).clone()));
        }
        for &node in &cone {
            for (slot, operand) in from.operands(node).into_iter().enumerate() {
                let Some(ValueId { node: maker, port }) = operand else { continue };
                let at = Use { node: nodes[&node], slot: slot as u16 };
                graph.connect(ValueId { node: nodes[&maker], port }, at);
            }
        }
        let name = from.value_name(value).to_owned();
        let result = ValueId { node: nodes[&value.node], port: value.port };
        graph.add_output(result, ValueInfo::new(name, Type::Other));
        let (ir_version, opsets) = (model.ir_version, model.opsets.clone());
        let model = Model { ir_version, opsets, graph, ..Model::default() };
        Expression { model, nodes }
    }

    /// The constants that it is made of, as nodes of the original, in the order of the original's nodes.
    pub(crate) fn constants(&self) -> Vec<NodeId> {
        let is_constant = |n: &&NodeId| self.model.graph.constant(self.nodes[n]).is_some();
        let mut constants: Vec<NodeId> = self.nodes.keys().filter(is_constant).copied().collect();
        constants.sort_unstable();
        constants
    }

    /// The nodes that it is made of.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.nodes.keys().copied()
    }

    /// What it comes to with these tensors in the place of constants, in 32 bits where it has 16; `None` where nobody can
    /// compute it.
    pub(crate) fn run(&self, with: &[(NodeId, Tensor)]) -> Option<Tensor> {
        let mut model = self.model.clone();
        for (node, tensor) in with {
            let constant = model.graph.constant_mut(*self.nodes.get(node)?)?;
            constant.tensor = tensor.clone();
        }
        let bytes = save::to_bytes(&widened(&model)).ok()?;
        let results = Runner::new(&bytes, None, &[]).ok()?.run(&Feed::default()).ok()?;
        results.into_iter().next().map(|(_, tensor)| tensor)
    }
}

/// A node and all that it is made of.
fn cone(graph: &Graph, node: NodeId) -> BTreeSet<NodeId> {
    let (mut cone, mut waiting) = (BTreeSet::from([node]), vec![node]);
    while let Some(node) = waiting.pop() {
        let makers = graph.operands(node).into_iter().flatten().map(|v| v.node);
        waiting.extend(makers.filter(|&maker| cone.insert(maker)));
    }
    cone
}
