//! Layers: residual branches that can go as a whole.
//!
//! ```text
//! a = Conv(x, w1)
//! b = Relu(a)                 with the layer removed:
//! c = Conv(b, w2)          →
//! y = Add(x, c)
//! z = Relu(y)                 z = Relu(x)
//! ```
//!
//! [`find`] derives the branches from the graph, [`score`] says how much each of them changes, [`choose`] takes those
//! that change least, and [`bypass`] removes them. [`silenced`] is the reference of the proof: the model
//! as it was, but with zero where the branch's result was.
//!
//! # How
//!
//! A rule says by its law `bypass` which operand its result is where another one is zero. That is all it takes to find
//! residual branches: such a call is a *merge*, the operand passed on the *entry*, the other the *exit*. The branch is what
//! lies on the ways from entry to exit (`src/compress/layers/find.rs`); it can go if its nodes are read by nobody else and the
//! merge's result has the entry's type. Inputs from the side do not matter. A branch without any weight or product of
//! matrices is an activation that is written out, and no layer. The walk is bounded by the entry and the exit in topological
//! order, so it takes as long as branches are, times how deep they are nested.
//!
//! Layers go from the prepared model, before groups are derived: a merge that is gone couples nothing, and removing it is
//! one replacement and `dce`. A plan names a layer by the merge's position in the file and the slot of the branch; its
//! architecture hash is that of what is left. The reference (`silenced`) is the input file with a zero constant in that
//! slot: nothing is multiplied by zero, which infinities would survive. It is composed with `masked` for channels that are
//! cut as well. Where the laws of zeros tell which constants of the file make the branch's result zero, the report lists
//! them under `removed` too (`zeroing.rs`), for checkers that know nothing of layers.
//!
//! Scores are the Block Influence of ShortGPT on samples, with the oracle; else the mean gain of the weights
//! (`score.rs` says why). Weights are scored with BatchNormalization folded into them, on a copy.

mod choose;
mod find;
pub mod score;
mod shorten;
mod silence;
mod zeroing;

pub use choose::{LayerError, Options, choose, resolve, select};
pub use find::find;
pub use shorten::{Shortened, bypass, shorten};
pub use silence::{silence, silenced};
pub use zeroing::zeroing;

use crate::analysis::Analysis;
use crate::cost::{self, Cost, OpenDims};
use crate::ir::{Graph, NodeId, ValueId};
use crate::plan::LayerCut;
use serde::Serialize;
use std::collections::HashMap;

/// What [`find`] finds, in topological order.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// The branches that can go.
    pub layers: Vec<Layer>,
    /// What looks like a branch, and why it can't go.
    pub refused: Vec<Refused>,
}

/// A residual branch that can go.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The call that joins the branch with what bypasses it.
    pub merge: NodeId,
    /// The merge's operand slot that the branch ends in.
    pub slot: u16,
    /// What bypasses the branch, and takes the merge's place.
    pub entry: ValueId,
    /// The branch's result, which only the merge reads.
    pub exit: ValueId,
    /// The calls on the ways from entry to exit, in topological order.
    pub calls: Vec<NodeId>,
    /// All that goes: these calls, the merge, and what only they read.
    pub gone: Vec<NodeId>,
}

/// A call that looks like the end of a branch.
#[derive(Clone, Debug)]
pub struct Refused {
    pub merge: NodeId,
    pub why: String,
}

impl Layer {
    /// Whether neither layer lies within the other, nor is the other.
    pub fn is_apart(&self, other: &Layer) -> bool {
        self.merge != other.merge && !self.calls.contains(&other.merge) && !other.calls.contains(&self.merge)
    }

    /// The layer in terms of the input file; nothing if the merge is not from there.
    pub fn cut(&self, graph: &Graph, score: Option<f64>) -> Option<LayerCut> {
        let name = graph.label(self.merge).to_owned();
        let places = places(graph, self);
        Some(LayerCut { node: graph.origin(self.merge)?, slot: self.slot, name, score, places })
    }
}

/// A layer that went, or can.
#[derive(Clone, Debug, Serialize)]
pub struct LayerReport {
    #[serde(flatten)]
    pub cut: LayerCut,
    /// The value that bypasses the branch, and takes its sum's place.
    pub entry: String,
    /// The branch's result.
    pub exit: String,
    /// Calls that go.
    pub calls: u64,
    pub macs: u64,
    pub params: u64,
    /// Whether `removed` has constants that make the branch's result zero. It has none where the branch shares them, or
    /// where no constant does so.
    pub in_removed: bool,
}

/// What goes with each of these layers, and what that costs.
pub fn reports(analysis: &Analysis, layers: &[(Layer, LayerCut)], open: &OpenDims) -> Vec<LayerReport> {
    let graph = &analysis.model.graph;
    let open = &open.at(&analysis.model, &analysis.facts);
    let costs: HashMap<NodeId, Cost> = cost::per_node(&analysis.model, &analysis.facts, open).into_iter().collect();
    let report = |(layer, cut): &(Layer, LayerCut)| {
        let gone = || layer.gone.iter().filter_map(|n| costs.get(n));
        LayerReport {
            cut: cut.clone(),
            entry: graph.value_name(layer.entry).to_owned(),
            exit: graph.value_name(layer.exit).to_owned(),
            calls: gone().map(|c| c.nodes).sum(),
            macs: gone().map(|c| c.macs).sum(),
            params: gone().map(|c| c.params).sum(),
            in_removed: !zeroing(&analysis.model, &analysis.facts, layer).is_empty(),
        }
    };
    layers.iter().map(report).collect()
}

fn places(graph: &Graph, layer: &Layer) -> Vec<String> {
    let mut places: Vec<String> = vec![];
    for constant in layer.gone.iter().filter_map(|&n| graph.constant(n)).filter(|c| c.tensor.count() > 1) {
        let place = constant.source().unwrap_or(&constant.name);
        if !places.iter().any(|p| p == place) {
            places.push(place.to_owned());
        }
    }
    places
}

#[cfg(test)]
mod tests;
