//! Zero in a branch's place: what a model without the layer must compute the same as.

use crate::infer;
use crate::ir::{DType, Graph, Model, NodeId, Tensor, Use, ValueId};
use crate::passes::new_constant;
use crate::pipelines;
use crate::plan::LayerCut;
use std::collections::{HashMap, HashSet};

/// The model with zero for the results of these layers' branches, whatever the branches compute: the reference of the
/// masked equivalence. Nothing is multiplied, for zero times infinity would be no zero.
pub fn silenced(original: &Model, layers: &[LayerCut]) -> Model {
    let mut model = original.clone();
    if layers.is_empty() {
        return model;
    }
    // What comes out of a call with bodies has a type only once these are open.
    let whole = pipelines::unfolded(original).unwrap_or_else(|_| original.clone());
    let (facts, values) = (infer::infer(&whole), whole.graph.values_by_name());
    let mut taken = model.graph.all_names();
    let calls = model.graph.calls().into_iter();
    let calls: HashMap<u32, NodeId> = calls.filter_map(|n| Some((model.graph.origin(n)?, n))).collect();
    for layer in layers {
        let Some(&node) = calls.get(&layer.node) else { continue };
        let value = values.get(model.graph.value_name(ValueId { node, port: 0 }));
        let Some(dtype) = value.and_then(|&v| facts.get(v).dtype) else { continue };
        silence(&mut model.graph, original.ir_version, Use { node, slot: layer.slot }, dtype, &mut taken);
    }
    model
}

/// Connects a zero to an operand slot of a merge, which broadcasts it.
pub fn silence(graph: &mut Graph, ir_version: i64, at: Use, dtype: DType, taken: &mut HashSet<String>) {
    let Some(zero) = Tensor::from_f64(dtype, vec![], &[0.0]) else { return };
    let name = graph.fresh_name("zero", taken);
    let node = graph.add(new_constant(ir_version, name, zero));
    graph.connect(ValueId { node, port: 0 }, at);
}
