//! Models as programs in double precision ([`crate::program`]).
//!
//! A model that amplifies rounding, or whose outputs are small beside the numbers that they are made of, parts from an
//! equal one by more than single precision lets one tell. In double precision an equal model stays equal. The runtimes
//! compute most operators in single precision only. And programs know operators that the runtime at hand does not.

use super::compared::{Each, Ready};
use super::{Doubled, Subjects};
use crate::autograd::{Bindings, Engine, EngineError, Precision};
use crate::compare::Comparison;
use crate::cost::{self, OpenDims};
use crate::feed::Feed;
use crate::ir::{Model, NodeId, Tensor};
use crate::lowering::{LowerError, lower};
use crate::oracle::OracleError;
use crate::program::{Builder, Program, Statistics};
use crate::widen::widened;
use crate::{infer, passes};
use std::collections::HashMap;

/// More multiply-accumulates than this, in all feeds together, take too long.
const MOST_MACS: u64 = 30_000_000_000;

/// Whether the cut model equals its reference in double precision, and how far it is from it.
pub(super) fn compare(subjects: &Subjects, feeds: &[Feed], tolerance: f64) -> (bool, Option<Doubled>) {
    let apart = || {
        affordable(subjects.original, feeds)?;
        let expected = Compiled::new(subjects.reference.unwrap_or(subjects.original), &feeds[0])?;
        let cut = Compiled::new(subjects.cut.unwrap_or(subjects.pruned), &feeds[0])?;
        let mut comparison = Comparison::default();
        for feed in feeds {
            comparison.add(&expected.run(feed)?, &cut.run(feed)?).map_err(|e| e.to_string())?;
        }
        Ok(comparison.finish())
    };
    match apart() {
        Ok(apart) => (apart.worst() <= tolerance, Some(Doubled::Apart(apart))),
        Err(why) => (false, Some(Doubled::Unable(why))),
    }
}

/// All models as programs for the sizes of these feeds.
pub(super) fn compiled(subjects: &Subjects, feeds: &[Feed]) -> Result<Each<Compiled>, String> {
    affordable(subjects.original, feeds)?;
    Each::of(subjects, |model, _| Compiled::new(model, &feeds[0]))
}

/// Fails where so many feeds would take too long.
fn affordable(original: &Model, feeds: &[Feed]) -> Result<(), String> {
    let whole = whole(original);
    let open = OpenDims::of(&whole, HashMap::new());
    let macs = cost::cost(&whole, &infer::infer(&whole), &open).macs;
    match macs.saturating_mul(feeds.len() as u64) > MOST_MACS {
        true => Err("that would take too long".into()),
        false => Ok(()),
    }
}

/// The model, in which all that it computes stands in one graph.
fn whole(model: &Model) -> Model {
    passes::opened(&widened(model)).into_owned()
}

/// A model as a program for inputs of some sizes.
pub(super) struct Compiled {
    model: Model,
    /// Of the outputs.
    names: Vec<String>,
    program: Program,
}

impl Compiled {
    /// For feeds of the sizes of this one.
    fn new(model: &Model, feed: &Feed) -> Result<Compiled, String> {
        let (model, builder) = (whole(model), Builder::new());
        let lowered = lower(&builder, &model, &feed.signature(), Statistics::Running).map_err(not_written)?;
        if lowered.outputs.len() < model.graph.outputs().len() {
            return Err("an output is no tensor of numbers".into());
        }
        let (names, terms): (Vec<String>, Vec<_>) = lowered.outputs.into_iter().unzip();
        let program = builder.finish(&terms)?;
        Ok(Compiled { model, names, program })
    }

    fn run(&self, feed: &Feed) -> Result<Vec<(String, Tensor)>, String> {
        let constant = |node: NodeId| self.model.graph.constant(node).map(|c| &c.tensor);
        let input = |name: &str| feed.get(name);
        let engine = Engine { precision: Precision::Double, ..Engine::default() };
        let found = engine.run(&self.program, Bindings { input: &input, constant: &constant }).map_err(not_run)?;
        Ok(self.names.iter().cloned().zip(found).collect())
    }
}

impl Ready for Compiled {
    fn outputs(&self, feed: &Feed) -> Result<Vec<(String, Tensor)>, OracleError> {
        self.run(feed).map_err(OracleError::Prepare)
    }
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
