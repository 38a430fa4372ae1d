//! Models without some of their layers.

use super::{Layer, LayerReport, reports, silence, zeroing};
use crate::analysis::Analysis;
use crate::apply;
use crate::cost::OpenDims;
use crate::facts::Facts;
use crate::ir::{Model, Use, ValueId};
use crate::passes::replace_call;
use crate::pipelines::{self, RunError};
use crate::plan::LayerCut;

/// A prepared model without some layers: what channels are planned on.
pub struct Shortened {
    pub analysis: Analysis,
    /// The layers that went.
    pub layers: Vec<LayerReport>,
    /// Constants of the input file that make the branches' results zero when they are, where that is so.
    pub zeroing: Vec<apply::Removed>,
}

/// Removes layers from a prepared model.
pub fn shorten(analysis: Analysis, layers: &[(Layer, LayerCut)], open: &OpenDims) -> Result<Shortened, RunError> {
    if layers.is_empty() {
        return Ok(Shortened { analysis, layers: vec![], zeroing: vec![] });
    }
    let reports = reports(&analysis, layers, open);
    let Analysis { mut model, facts, .. } = analysis;
    let zeroing = layers.iter().flat_map(|(layer, _)| zeroing(&model, &facts, layer)).collect();
    bypass(&mut model, &facts, &layers.iter().map(|(layer, _)| layer).collect::<Vec<_>>());
    pipelines::run("dce", &mut model)?;
    Ok(Shortened { analysis: Analysis::new(model), layers: reports, zeroing })
}

/// Gives the readers of each layer's result what bypasses it. The branches are left for `dce`.
pub fn bypass(model: &mut Model, facts: &Facts, layers: &[&Layer]) {
    let mut taken = model.graph.all_names();
    for layer in layers {
        let graph = &mut model.graph;
        let slots = graph.operands(layer.merge).into_iter().enumerate();
        let entry = slots.filter(|(slot, _)| *slot != usize::from(layer.slot)).find_map(|(_, v)| v);
        if entry.is_some_and(|entry| replace_call(graph, layer.merge, entry)) {
            continue;
        }
        // A graph output must be made under its name, and a graph input can't take it. Plus zero it is the same.
        let result = ValueId { node: layer.merge, port: 0 };
        if let Some(dtype) = facts.get(result).dtype {
            silence(graph, model.ir_version, Use { node: layer.merge, slot: layer.slot }, dtype, &mut taken);
        }
    }
}
