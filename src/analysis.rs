//! A model with all that is derived from it: facts, axes and groups.

use crate::axes::{self, Axes, Groups};
use crate::infer::{self, Facts};
use crate::ir::Model;

/// A model, ready to be planned on.
pub struct Analysis {
    pub model: Model,
    /// Element type, shape and content of every value.
    pub facts: Facts,
    /// An expression for every axis of every value.
    pub axes: Axes,
    /// The leaves that reach a constant.
    pub groups: Groups,
}

impl Analysis {
    /// Derives facts, axes and groups of a model.
    pub fn new(model: Model) -> Analysis {
        let facts = infer::infer(&model);
        let axes = axes::analyze(&model, &facts);
        let groups = Groups::collect(&model.graph, &axes);
        Analysis { model, facts, axes, groups }
    }
}
