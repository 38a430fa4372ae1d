//! Models as programs in double precision ([`crate::program`]).
//!
//! A model that amplifies rounding, or whose outputs are small beside the numbers that they are made of, parts from an
//! equal one by more than single precision lets one tell. In double precision an equal model stays equal. The runtimes
//! compute most operators in single precision only. And programs know operators that the runtime at hand does not.

use super::compared::{Models, Which};
use super::{Doubled, Subjects, VerifyError};
use crate::autograd::{Bindings, Engine, EngineError, Precision};
use crate::compare::Comparison;
use crate::cost::{self, OpenDims};
use crate::feed::Feed;
use crate::ir::{Model, NodeId, Tensor};
use crate::lowering::{LowerError, lower};
use crate::oracle::OracleError;
use crate::program::{Builder, Statistics};
use crate::widen::widened;
use crate::{infer, passes};
use std::collections::HashMap;

/// More multiply-accumulates than this, in all feeds together, take too long.
const MOST_MACS: u64 = 30_000_000_000;

/// Whether the cut model equals its reference in double precision, and how far it is from it.
pub(super) fn compare(subjects: &Subjects, feeds: &[Feed], tolerance: f64) -> (bool, Option<Doubled>) {
    let apart = || {
        let programs = Programs::new(subjects, feeds.len())?;
        let expected = if subjects.reference.is_some() { Which::Reference } else { Which::Original };
        let cut = if subjects.cut.is_some() { Which::Cut } else { Which::Pruned };
        let mut comparison = Comparison::default();
        for feed in feeds {
            let run = |which| programs.outputs(which, feed).unwrap_or_else(|| Err("there is no such model".into()));
            comparison.add(&run(expected)?, &run(cut)?).map_err(|e| e.to_string())?;
        }
        Ok(comparison.finish())
    };
    match apart() {
        Ok(apart) => (apart.worst() <= tolerance, Some(Doubled::Apart(apart))),
        Err(why) => (false, Some(Doubled::Unable(why))),
    }
}

/// The models, in which all that they compute stands in one graph.
pub(super) struct Programs {
    original: Model,
    reference: Option<Model>,
    cut: Option<Model>,
    pruned: Model,
}

impl Programs {
    /// Fails where so many feeds would take too long.
    pub fn new(subjects: &Subjects, feeds: usize) -> Result<Programs, String> {
        let whole = |model: &Model| passes::opened(&widened(model)).into_owned();
        let original = whole(subjects.original);
        let open = OpenDims::of(&original, HashMap::new());
        let macs = cost::cost(&original, &infer::infer(&original), &open).macs;
        if macs.saturating_mul(feeds as u64) > MOST_MACS {
            return Err("that would take too long".into());
        }
        let (reference, cut) = (subjects.reference.map(whole), subjects.cut.map(whole));
        Ok(Programs { original, reference, cut, pruned: whole(subjects.pruned) })
    }

    fn outputs(&self, which: Which, feed: &Feed) -> Option<Result<Vec<(String, Tensor)>, String>> {
        let model = match which {
            Which::Original => Some(&self.original),
            Which::Reference => self.reference.as_ref(),
            Which::Cut => self.cut.as_ref(),
            Which::Pruned => Some(&self.pruned),
        };
        Some(run(model?, feed))
    }
}

impl Models for Programs {
    fn run(&self, which: Which, feed: &Feed) -> Option<Result<Vec<(String, Tensor)>, VerifyError>> {
        let error = |why| VerifyError::Oracle { which: which.role(), error: OracleError::Prepare(why) };
        Some(self.outputs(which, feed)?.map_err(error))
    }
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
