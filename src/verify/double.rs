//! The same comparison in double precision, for differences that may be rounding.
//!
//! A model that amplifies rounding, or whose outputs are small beside the numbers that they are made of, parts from an
//! equal one by more than single precision lets one tell. In double precision an equal model stays equal. The runtimes
//! compute most operators in single precision only, so the models run as programs ([`crate::program`]).

use crate::autograd::{Bindings, Engine, EngineError, Precision};
use crate::compare::{Comparison, Difference};
use crate::feed::Feed;
use crate::ir::{Model, NodeId, Tensor};
use crate::lowering::{LowerError, lower};
use crate::passes;
use crate::program::{Builder, Statistics};

/// How far the outputs of two models are apart where they are computed in double precision, or why that can't be said.
pub(super) fn compare(reference: &Model, other: &Model, feeds: &[Feed]) -> Result<Difference, String> {
    let (reference, other) = (passes::opened(reference), passes::opened(other));
    let mut comparison = Comparison::default();
    for feed in feeds {
        comparison.add(&run(&reference, feed)?, &run(&other, feed)?).map_err(|e| e.to_string())?;
    }
    Ok(comparison.finish())
}

fn run(model: &Model, feed: &Feed) -> Result<Vec<(String, Tensor)>, String> {
    let builder = Builder::new();
    let lowered = lower(&builder, model, &feed.signature(), Statistics::Running).map_err(not_written)?;
    if lowered.outputs.len() < model.graph.outputs().len() {
        return Err("an output is no tensor of numbers".into());
    }
    let (names, terms): (Vec<String>, Vec<_>) = lowered.outputs.into_iter().unzip();
    let program = builder.finish(&terms).map_err(|e| e.to_string())?;
    let constant = |node: NodeId| model.graph.constant(node).map(|c| &c.tensor);
    let input = |name: &str| feed.get(name);
    let engine = Engine { precision: Precision::Double, ..Engine::default() };
    let found = engine.run(&program, Bindings { input: &input, constant: &constant }).map_err(not_run)?;
    Ok(names.into_iter().zip(found).collect())
}

fn not_written(error: LowerError) -> String {
    match error {
        LowerError::Call { operator, node, why } => format!("it can't run {operator} `{node}`: {why}"),
        other => other.to_string(),
    }
}

fn not_run(error: EngineError) -> String {
    match error {
        EngineError::Absent => "this build can't; build it with `--features gradients`".into(),
        other => other.to_string(),
    }
}
