//! A model with all that is derived from it: facts, axes and groups.

pub use crate::axes::{Axes, Binding, Group, GroupId, Groups, KeepSets, Kept, Label, Member, Pin, PinKind, Var};
pub use crate::cost::{Cost, OpenDims};
pub use crate::facts::{Content, Contradiction, Element, Fact, Facts, Unknowns};
pub use crate::infer::infer;
pub use crate::model::cost;

use crate::axes;
use crate::infer;
use crate::ir::{Model, Tensor, ValueId};
use crate::pipelines::{self, PREPARE, RunError};
use crate::weights::Weights;

/// How many numbers a tensor that is computed from constants may have.
const NUMBERS: usize = 1 << 28;

/// A model, ready to be planned on.
pub struct Analysis {
    pub model: Model,
    /// Element type, shape and content of every value.
    pub facts: Facts,
    /// An expression for every axis of every value.
    pub axes: Axes,
    /// The leaves that reach a constant.
    pub groups: Groups,
    weights: Weights,
}

impl Analysis {
    /// Derives facts, axes and groups of a model.
    pub fn new(model: Model) -> Analysis {
        let facts = infer::infer(&model);
        let axes = axes::analyze(&model, &facts);
        let groups = Groups::collect(&model.graph, &axes);
        Analysis { model, facts, axes, groups, weights: Weights::default() }
    }

    /// Whether a value is computed from constants alone, and no constant.
    pub fn is_computed(&self, value: ValueId) -> bool {
        self.weights.is_computed(&self.model, value)
    }

    /// A constant, or what calls make of constants; `None` for what depends on more, or can't be computed here.
    pub fn weight(&self, value: ValueId) -> Option<Tensor> {
        let count = || crate::facts::count(self.facts.shape(value)?);
        if self.model.graph.tensor(value).is_none() && count().is_none_or(|n| n > NUMBERS) {
            return None;
        }
        self.weights.tensor(&self.model, value)
    }
}

/// Prepares a model and derives its groups.
pub fn prepare(model: &Model) -> Result<Analysis, RunError> {
    let mut model = model.clone();
    pipelines::run(PREPARE, &mut model)?;
    Ok(Analysis::new(model))
}
