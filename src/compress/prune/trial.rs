//! Trials: a plan is carried out, and its model timed beside the original.

use super::PruneError;
use crate::analysis::Analysis;
use crate::cost::OpenDims;
use crate::feed::{Feed, FeedError};
use crate::ir::Model;
use crate::latency;
use crate::machine::{MeasuredShare, ProfileSettings};
use crate::oracle::{OracleError, Runner};
use crate::plan::Plan;
use crate::prune;
use crate::verify::{self, Role, VerifyError};

/// The original, ready to be run beside others.
pub struct TimedTrial<'a> {
    original: &'a Model,
    analysis: &'a Analysis,
    open: &'a OpenDims,
    settings: ProfileSettings,
    feed: Feed,
    whole: Runner,
}

/// Why a plan was not timed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say what each is.
pub enum TrialError {
    #[error(transparent)]
    Prune(#[from] PruneError),
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error(transparent)]
    Feed(#[from] FeedError),
    #[error(transparent)]
    Oracle(#[from] OracleError),
}

impl<'a> TimedTrial<'a> {
    /// Prepares the original, with open dimensions as long as costs count them.
    pub fn new(
        original: &'a Model,
        analysis: &'a Analysis,
        open: &'a OpenDims,
        settings: ProfileSettings,
    ) -> Result<TimedTrial<'a>, TrialError> {
        let feed = feed(original, open)?;
        let whole = verify::timed_runner(&settings.setup, original, Role::Original, &feed)?;
        Ok(TimedTrial { original, analysis, open, settings, feed, whole })
    }

    /// The share of the original's time that the plan leaves, in the median of the turns. Weights are not refitted:
    /// their numbers change no time.
    pub fn measure(&self, plan: &Plan) -> Result<MeasuredShare, TrialError> {
        let pruned = prune::execute(self.original, self.analysis, plan, prune::SIMPLIFY, self.open, None)?;
        let small = verify::timed_runner(&self.settings.setup, &pruned.model, Role::Pruned, &self.feed)?;
        let ProfileSettings { warmup, repeats, .. } = self.settings;
        let ratio = latency::settle(&small, &self.whole, &self.feed, warmup, repeats)?;
        Ok(MeasuredShare { share: ratio.median, interval: ratio.interval })
    }
}

/// Made-up inputs of the sizes that costs are counted for.
fn feed(model: &Model, open: &OpenDims) -> Result<Feed, TrialError> {
    let mut specs = verify::input_specs(model)?;
    for spec in &mut specs {
        for (dim, length) in spec.shape.iter().zip(&mut spec.lengths) {
            length.size = open.eval(dim) as i64;
        }
    }
    Ok(Feed::random(&specs, 0)?)
}
