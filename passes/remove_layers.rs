//! `remove-layers`: removes the residual branches that change least, as `secateur prune --layers` does.
//!
//! ```text
//! a = Conv(x, w)
//! b = Relu(a)               →          z = Relu(x)
//! y = Add(x, b)
//! z = Relu(y)
//! ```
//!
//! Lossy: what the branches computed is gone. What is a branch, and how it is scored, stands in [`crate::layers`].

use super::dce::Dce;
use super::edit::replace_call;
use super::{Change, Context, Effect, OptionError, Options, Pass, PassError};
use crate::infer::Facts;
use crate::ir::{Model, Use, ValueId};
use crate::layers::{self, Layer, score::score};
use std::path::PathBuf;

/// Removes layers.
pub struct RemoveLayers {
    layers: layers::Options,
    samples: Option<PathBuf>,
}

impl RemoveLayers {
    /// Options: `count`, `include` and `exclude` (a glob), `calib` (an `.npz` file).
    pub fn new(options: &mut Options) -> Result<RemoveLayers, OptionError> {
        let count = options.take_or("count", 1)?;
        let include = options.take::<String>("include")?.into_iter().collect();
        let exclude = options.take::<String>("exclude")?.into_iter().collect();
        Ok(RemoveLayers { layers: layers::Options { count, include, exclude }, samples: options.take("calib")? })
    }
}

impl Pass for RemoveLayers {
    fn name(&self) -> &'static str {
        "remove-layers"
    }

    fn effect(&self) -> Effect {
        Effect::Lossy
    }

    fn run(&self, model: &mut Model, cx: &mut Context) -> Result<Change, PassError> {
        if self.layers.count == 0 {
            return Ok(Change(0));
        }
        let found = layers::find(model, &cx.facts(model)).layers;
        let scores = score(model, &found, self.samples.as_deref()).map_err(PassError::new)?;
        let chosen = layers::choose(&model.graph, &found, &scores, &self.layers).map_err(PassError::new)?;
        let chosen: Vec<&Layer> = chosen.into_iter().map(|i| &found[i]).collect();
        bypass(model, &cx.facts(model), &chosen);
        Dce.run(model, cx)?;
        Ok(Change(chosen.len()))
    }
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
            layers::silence(graph, model.ir_version, Use { node: layer.merge, slot: layer.slot }, dtype, &mut taken);
        }
    }
}
