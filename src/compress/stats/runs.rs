//! Runs of a model, or of a part of one, that return inner values.

use super::StatsError;
use crate::feed::Feed;
use crate::ir::{Model, Node, Signature, Tensor, TensorError, TensorType, ValueId};
use crate::oracle::{Latest, Runner, Setup};
use crate::passes::{self, new_constant};
use crate::save;
use crate::widen::{widened, widened_feed, widened_tensor};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

/// By what samples are run, and how much of what they compute is kept in memory.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions<'a> {
    /// What runs the model.
    pub setup: &'a Setup,
    /// How many bytes of activations; what is more goes into a temporary file.
    pub memory: u64,
}

/// How many bytes of activations are kept in memory unless told otherwise.
pub const MEMORY: u64 = 2_000_000_000;

impl Default for RunOptions<'_> {
    fn default() -> Self {
        static SETUP: LazyLock<Setup> = LazyLock::new(Setup::default);
        RunOptions { setup: &SETUP, memory: MEMORY }
    }
}

/// Where the time of runs went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// Taking parts out, encoding them, and what the runtime does before it can run them.
    pub prepare: Duration,
    /// The runs themselves.
    pub run: Duration,
}

impl Times {
    /// Adds those of other runs.
    pub fn add(&mut self, other: Times) {
        self.prepare += other.prepare;
        self.run += other.run;
    }
}

/// Values by the names that they have in a model.
pub(super) type Named = BTreeMap<String, Tensor>;

/// A part of a model that is ready to run.
pub(super) struct Part {
    /// `None` if there is nothing to run.
    runner: Option<Runner>,
    inputs: Vec<Signature>,
}

/// What a part begins with: a value, its name, its type, and its numbers where these are always the same.
pub(super) struct Given {
    pub value: ValueId,
    pub signature: Signature,
    pub constant: Option<Tensor>,
}

impl Part {
    /// Prepares what computes these values of a closed model from what is given.
    pub(super) fn new(setup: &Setup, model: &Model, given: &[Given], wanted: &[ValueId]) -> Result<Part, StatsError> {
        if wanted.is_empty() {
            return Ok(Part { runner: None, inputs: vec![] });
        }
        let typed = |g: &Given| {
            let (_, dtype, shape) = &g.signature;
            (g.value, TensorType::new(*dtype, shape.iter().map(|&d| d.into()).collect()))
        };
        let mut part = model.part(&given.iter().map(typed).collect::<Vec<_>>(), wanted)?;
        // They were declared before the cut, for other sizes.
        part.graph.value_info.clear();
        let signatures: BTreeMap<&str, &Given> = given.iter().map(|g| (g.signature.0.as_str(), g)).collect();
        let mut inputs = vec![];
        for node in part.graph.inputs() {
            let Some(given) = signatures.get(part.graph.label(node)) else { continue };
            let name = given.signature.0.clone();
            match &given.constant {
                Some(tensor) => *part.graph.node_mut(node) = new_constant(part.ir_version, name, tensor.clone()),
                None => inputs.push(given.signature.clone()),
            }
        }
        let bytes = save::to_bytes(&widened(&part))?;
        Ok(Part { runner: Some(Runner::on(setup, &bytes, None, &inputs)?), inputs })
    }

    /// The values that were wanted.
    pub(super) fn run(&self, from: &Named) -> Result<Named, StatsError> {
        let Some(runner) = &self.runner else { return Ok(Named::new()) };
        let tensor = |(name, ..): &Signature| Some((name.clone(), from.get(name)?.clone()));
        let feed = Feed::new(self.inputs.iter().filter_map(tensor).collect());
        Ok(runner.run(&feed)?.into_iter().map(|(name, tensor)| (name, widened_tensor(tensor))).collect())
    }
}

/// The feed as values by name, in 32 bits.
pub(super) fn named(feed: &Feed) -> Named {
    widened_feed(feed).iter().map(|(name, tensor)| (name.clone(), tensor.clone())).collect()
}

/// The inputs of a model that values are given for.
pub(super) fn inputs(model: &Model, values: &Named) -> Vec<Given> {
    let graph = &model.graph;
    let given = |node| {
        let Node::Input(input) = graph.node(node) else { return None };
        let name = input.info.name.clone();
        let tensor = values.get(&name)?;
        let signature = (name, tensor.dtype, tensor.shape.clone());
        Some(Given { value: ValueId { node, port: 0 }, signature, constant: None })
    };
    graph.inputs().into_iter().filter_map(given).collect()
}

/// A model that returns inner values.
pub struct Probe {
    setup: Setup,
    /// The model with its bodies closed, and the values there.
    model: Model,
    values: Vec<(ValueId, ValueId)>,
    names: BTreeMap<ValueId, String>,
    part: Latest<Part>,
}

impl Probe {
    /// For these values of a model.
    pub fn new(setup: &Setup, model: &Model, values: &[ValueId]) -> Result<Probe, StatsError> {
        let closed = passes::closed(model)?;
        let named = closed.graph.values_by_name();
        let names: BTreeMap<ValueId, String> =
            values.iter().map(|&v| (v, model.graph.value_name(v).to_owned())).collect();
        let values = names.iter().filter_map(|(&v, name)| Some((v, *named.get(name)?))).collect();
        Ok(Probe { setup: setup.clone(), model: closed, values, names, part: Latest::default() })
    }

    /// The values on a feed, in 32 bits where they have 16. Feeds of one signature should follow one another.
    pub fn run(&mut self, feed: &Feed) -> Result<BTreeMap<ValueId, Tensor>, StatsError> {
        let mut known = named(feed);
        let is_input = |v: &ValueId| matches!(self.model.graph.node(v.node), Node::Input(_));
        let part = self.part.of(&feed.signature(), || {
            let inner = self.values.iter().map(|(_, v)| *v).filter(|v| !is_input(v)).collect::<Vec<_>>();
            Part::new(&self.setup, &self.model, &inputs(&self.model, &known), &inner)
        })?;
        known.extend(part.run(&known)?);
        Ok(self.names.iter().filter_map(|(&value, name)| Some((value, known.get(name)?.clone()))).collect())
    }

    /// An error of a value.
    pub fn failed(&self, value: ValueId, error: TensorError) -> StatsError {
        StatsError::Tensor { name: self.names.get(&value).cloned().unwrap_or_default(), error }
    }
}
