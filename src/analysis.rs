//! A model with all that is derived from it: facts, axes and groups.

use crate::axes::{self, Axes, Groups};
use crate::infer::{self, Facts};
use crate::ir::Model;

/// A model, ready to be planned on.
pub struct Analysis {
    pub model: Model,
    pub facts: Facts,
    pub axes: Axes,
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
