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
use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};

/// How many numbers a tensor that is computed from constants may have.
const NUMBERS: usize = 1 << 28;

/// A model, ready to be planned on.
pub struct Analysis {
    /// The prepared model.
    pub model: Model,
    /// Element type, shape and content of every value.
    pub facts: Facts,
    /// An expression for every axis of every value.
    pub axes: Axes,
    /// The leaves that reach a constant.
    pub groups: Groups,
    weights: Weights,
    derived: Mutex<Vec<Derived>>,
}

/// What something was derived for, and what came out.
type Derived = (Box<dyn Any + Send>, Arc<dyn Any + Send + Sync>);

impl Analysis {
    /// Derives facts, axes and groups of a model.
    pub fn new(model: Model) -> Analysis {
        let facts = infer::infer(&model);
        let axes = axes::analyze(&model, &facts);
        let groups = Groups::collect(&model.graph, &axes);
        Analysis { model, facts, axes, groups, weights: Weights::default(), derived: Mutex::default() }
    }

    /// What follows from this model for a key: derived where it is asked for first, and kept.
    pub(crate) fn derived<K, T>(&self, key: &K, derive: impl FnOnce() -> T) -> Arc<T>
    where
        K: PartialEq + Clone + Send + 'static,
        T: Send + Sync + 'static,
    {
        let kept = || self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |(of, found): &Derived| (of.downcast_ref() == Some(key)).then(|| found.clone().downcast().ok())?;
        // Not under the lock: what is derived may ask for more.
        let known = kept().iter().find_map(is_it);
        known.unwrap_or_else(|| {
            let found = Arc::new(derive());
            kept().push((Box::new(key.clone()), found.clone()));
            found
        })
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
