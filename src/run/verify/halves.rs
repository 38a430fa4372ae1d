//! Models as they are where they compute in 16 bits, and are compared in 32.

use super::{Options, Role, Subjects, VerifyError, runner_on};
use crate::compare::Comparison;
use crate::feed::Feed;
use crate::ir::Model;
use crate::oracle::Runner;
use crate::passes;
use crate::widen::{widened, widened_tensor};
use std::borrow::Cow;
use std::time::Instant;

/// The models in 16 bits, ready to run.
pub(super) struct Halves {
    pub original: Runner,
    pub pruned: Runner,
    /// How far what the pruned model computes in 16 bits is from what it computes in 32.
    pub rounding: Option<f64>,
}

impl Halves {
    /// `None` where nothing computes in 16 bits. `feeds` are the same numbers in the models' own types and in 32 bits;
    /// `wide` is the pruned model in 32 bits. Fails where the models can't be run, or a run would take longer than the
    /// budget for timing.
    pub(super) fn new(
        subjects: &Subjects,
        options: &Options,
        (own, feed): (&Feed, &Feed),
        wide: &Runner,
    ) -> Option<Result<Halves, String>> {
        let is_narrow = |m: &Model| matches!(widened(&passes::inlined(m)), Cow::Owned(_));
        if !is_narrow(subjects.original) && !is_narrow(subjects.pruned) {
            return None;
        }
        let started = Instant::now();
        let expected = wide.run(feed).ok();
        let seconds = started.elapsed().as_secs_f64();
        let ran = wide.ran();
        if seconds * ran.runtime.cost_of_halves() > options.time_budget.as_secs_f64() {
            let why = format!("a run in 16 bits would take too long in {ran} (one in 32 bits takes {seconds:.1} s)");
            return Some(Err(why));
        }
        let runner = |model, which| runner_on(&options.setup, model, which, own);
        let both = || -> Result<(Runner, Runner), VerifyError> {
            Ok((runner(subjects.original, Role::Original)?, runner(subjects.pruned, Role::Pruned)?))
        };
        Some(both().map_err(|e| e.to_string()).map(|(original, pruned)| {
            let narrow = pruned.run(own).ok();
            let rounding = expected.zip(narrow).and_then(|(wide, narrow)| {
                let narrow: Vec<_> = narrow.into_iter().map(|(name, t)| (name, widened_tensor(t))).collect();
                let mut comparison = Comparison::default();
                comparison.add(&wide, &narrow).ok()?;
                Some(comparison.finish().worst())
            });
            Halves { original, pruned, rounding }
        }))
    }
}
