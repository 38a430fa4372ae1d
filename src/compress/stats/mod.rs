//! Statistics: what contractions read, measured on samples.
//!
//! The model is run on samples, and of every tensor that a contraction reads the mean and the second moments along
//! the contracted axis are kept, as running sums; no activation outlives its batch. Samples fall into two halves by
//! turns, so that what is fitted on one can be tried on the other. Half-precision models are run in single precision.
//!
//! # How
//!
//! A **contraction** (`src/compress/contraction.rs`) is a label that a computed operand and a constant carry and no result: a linear
//! layer, a convolution, an attention's output. It is found from the bindings of the rules. `src/compress/stats/` runs the prepared
//! model on samples (the oracle returns just the values that are asked for) and keeps, for each, the mean and the second
//! moments along the contracted axis, as running sums in double precision; no activation outlives its batch. A long axis
//! that is a product (a flattened image) is looked at by its channels, and all else counts as samples.

mod draw;
mod frontier;
#[cfg(test)]
mod frontier_tests;
mod gauss;
mod implied;
mod moments;
mod reads;
mod runs;
mod shelf;
mod spread;

pub use draw::{Draw, MOST_PER_SAMPLE, rows_per_sample};
pub use frontier::{Frontier, Goal, Mark};
pub use implied::{Footing, Implied};
pub use moments::{Floats, Moments, rows};
pub use runs::{MEMORY, Probe, RunOptions, Times};
pub use shelf::Shelf;

use crate::analysis::Analysis;
use crate::contraction::{Contraction, View};
use crate::feed::{self, Feed, FeedError};
use crate::ir::{Model, PartError, Tensor, TensorError, ValueId};
use crate::oracle::OracleError;
use crate::passes::PassError;
use crate::save::SaveError;
use draw::samples_in;
use faer::Mat;
use reads::Reads;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Samples to measure on: feeds which can be gone through again and again.
pub trait Samples {
    /// The feeds, from the first on.
    fn feeds(&self) -> Box<dyn Iterator<Item = Result<Feed, FeedError>> + '_>;

    /// How many samples there are.
    fn count(&self) -> u64;

    /// Feeds of so many samples, or of as many as there can be, each with what its samples should come out as where that
    /// is known.
    fn labelled(&self, batch: usize) -> Box<dyn Iterator<Item = Result<Labelled, FeedError>> + '_> {
        let _ = batch;
        Box::new(self.feeds().map(|feed| Ok((feed?, None))))
    }
}

/// A feed and its samples' labels.
pub type Labelled = (Feed, Option<Tensor>);

impl Samples for Vec<Feed> {
    fn feeds(&self) -> Box<dyn Iterator<Item = Result<Feed, FeedError>> + '_> {
        Box::new(self.iter().cloned().map(Ok))
    }

    fn count(&self) -> u64 {
        self.iter().map(|feed| samples_in(feed) as u64).sum()
    }
}

/// Which half of the samples the rows of a feed belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// The first half.
    First,
    /// The second half.
    Second,
    /// There is but one feed: the rows that come first in it are the first half's, the others the second's.
    Both,
}

impl Half {
    /// The rows of either half, of so many.
    pub fn ranges(self, rows: usize) -> [std::ops::Range<usize>; 2] {
        let border = match self {
            Half::First => rows,
            Half::Second => 0,
            Half::Both => rows / 2,
        };
        [0..border, border..rows]
    }
}

/// The feeds of samples, each with the half that it belongs to, by turns.
pub fn halved(samples: &dyn Samples) -> impl Iterator<Item = Result<(Feed, Half), FeedError>> + '_ {
    let mut feeds = samples.feeds().peekable();
    let mut turn = 0;
    std::iter::from_fn(move || {
        let feed = feeds.next()?;
        let half = match turn % 2 {
            0 if turn == 0 && feeds.peek().is_none() => Half::Both,
            0 => Half::First,
            _ => Half::Second,
        };
        turn += 1;
        Some(feed.map(|feed| (feed, half)))
    })
}

/// Samples that are read in batches; a smaller last one is left out.
pub struct Batches {
    /// The samples to read.
    pub samples: feed::Samples,
    /// How many samples make a feed.
    pub batch: usize,
}

impl Samples for Batches {
    fn feeds(&self) -> Box<dyn Iterator<Item = Result<Feed, FeedError>> + '_> {
        Box::new(self.samples.full_feeds(self.batch))
    }

    fn count(&self) -> u64 {
        self.samples.len() as u64
    }

    fn labelled(&self, batch: usize) -> Box<dyn Iterator<Item = Result<Labelled, FeedError>> + '_> {
        let parts = self.samples.full_parts(batch).into_iter();
        Box::new(parts.map(|part| Ok((self.samples.feed(&part)?, self.samples.labels_of(&part)))))
    }
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say what each is.
pub enum StatsError {
    #[error("running the model on samples: {0}")]
    Oracle(#[from] OracleError),
    #[error("encoding the model: {0}")]
    Save(#[from] SaveError),
    #[error(transparent)]
    Feed(#[from] FeedError),
    #[error(transparent)]
    Pass(#[from] PassError),
    #[error("the values of `{name}`: {error}")]
    Tensor { name: String, error: TensorError },
    #[error(transparent)]
    Part(#[from] PartError),
    #[error("a temporary file for activations: {0}; --memory says how many are kept in memory")]
    Disk(std::io::Error),
    #[error("there are no samples to measure on")]
    Empty,
}

/// The moments along an axis, over the two halves of the samples.
pub type Halves = [Moments; 2];

/// Moments of what contractions read.
#[derive(Default)]
pub struct Stats {
    known: BTreeMap<Key, Halves>,
    /// What is not measured, but follows from the weights.
    implied: BTreeMap<Key, Reads>,
    /// How often each element was above zero.
    above: BTreeMap<Key, Vec<f64>>,
}

type Key = (ValueId, usize, usize, usize);

/// What tells views of a value apart.
fn key(data: ValueId, axis: usize, view: View) -> Key {
    (data, axis, view.outer, view.length)
}

impl Stats {
    /// Runs a model on samples and measures what these contractions read. `done` is told of every feed.
    pub fn measure(
        model: &Model,
        contractions: &[Contraction],
        samples: &dyn Samples,
        execution: &RunOptions,
        done: &dyn Fn(),
    ) -> Result<Stats, StatsError> {
        let mut stats = Stats::default();
        let values: Vec<ValueId> = contractions.iter().map(|c| c.data).collect();
        let mut probe = Probe::new(execution.setup, model, &values)?;
        let (mut any, count) = (false, samples.count());
        for (at, feed) in halved(samples).enumerate() {
            let (feed, half) = feed?;
            let read = probe.run(&feed)?;
            let mut seen = std::collections::BTreeSet::new();
            for c in contractions {
                let of = key(c.data, c.data_axis, c.view);
                if !seen.insert(of) {
                    continue;
                }
                let rows_of_each = rows_per_sample(c.view.length, count);
                let draw = Draw { feed: at, rows: rows_of_each * samples_in(&feed) };
                let x = rows(&read[&c.data], c.data_axis, c.view, draw);
                let x = x.map_err(|error| probe.failed(c.data, error))?;
                stats.add(c, &x, half);
            }
            any = true;
            done();
        }
        if any { Ok(stats) } else { Err(StatsError::Empty) }
    }

    /// Says what a contraction reads.
    fn imply(&mut self, contraction: &Contraction, reads: Reads) {
        self.implied.insert(key(contraction.data, contraction.data_axis, contraction.view), reads);
    }

    /// Adds what a contraction reads of one feed, a row for each sample.
    pub(crate) fn add(&mut self, contraction: &Contraction, x: &Mat<f32>, half: Half) {
        let of = key(contraction.data, contraction.data_axis, contraction.view);
        let m = x.ncols();
        let halves = self.known.entry(of).or_insert_with(|| [Moments::new(m, m), Moments::new(m, m)]);
        for (moments, rows) in halves.iter_mut().zip(half.ranges(x.nrows())) {
            moments.add_rows(x, x, rows);
        }
        let above = self.above.entry(of).or_insert_with(|| vec![0.0; m]);
        (0..m).for_each(|k| above[k] += x.col(k).iter().filter(|v| **v > 0.0).count() as f64);
    }

    /// The moments of what a contraction reads, over the two halves of the samples; both are the same where there are none.
    pub fn halves(&self, contraction: &Contraction) -> Option<Cow<'_, Halves>> {
        let of = key(contraction.data, contraction.data_axis, contraction.view);
        if let Some(reads) = self.implied.get(&of) {
            let moments = reads.moments();
            return Some(Cow::Owned([moments.clone(), moments]));
        }
        self.known.get(&of).map(Cow::Borrowed)
    }

    /// The covariance of what a contraction reads, over all samples.
    pub fn covariance(&self, contraction: &Contraction) -> Option<Mat<f64>> {
        match self.implied.get(&key(contraction.data, contraction.data_axis, contraction.view)) {
            Some(reads) => Some(reads.covariance()),
            None => self.moments(contraction).map(|m| m.covariance()),
        }
    }

    /// The share of the samples in which each element that a contraction reads is above zero.
    pub fn positive(&self, contraction: &Contraction) -> Option<Vec<f64>> {
        let above = self.above.get(&key(contraction.data, contraction.data_axis, contraction.view))?;
        let count: f64 = self.halves(contraction)?.iter().map(|h| h.count).sum();
        Some(above.iter().map(|n| n / count.max(1.0)).collect())
    }

    /// The moments over all samples.
    pub fn moments(&self, contraction: &Contraction) -> Option<Moments> {
        self.halves(contraction).map(|halves| halves[0].merged(&halves[1]))
    }
}

/// The contractions of a model, and what was measured of them.
#[derive(Default)]
pub struct Measured {
    /// The contractions in question.
    pub contractions: Vec<Contraction>,
    /// Moments of what they read.
    pub stats: Stats,
    /// The first of the samples, for what has to be tried.
    pub few: Vec<Feed>,
}

/// How many feeds are few.
const FEW: usize = 2;

impl Measured {
    /// Runs the analyzed model on samples. `done` is told of every feed.
    pub fn new(
        analysis: &Analysis,
        samples: &dyn Samples,
        execution: &RunOptions,
        done: &dyn Fn(),
    ) -> Result<Measured, StatsError> {
        let contractions = Contraction::all(analysis);
        let stats = match contractions.is_empty() {
            true => Stats::default(),
            false => Stats::measure(&analysis.model, &contractions, samples, execution, done)?,
        };
        let few = samples.feeds().take(FEW).collect::<Result<_, _>>()?;
        Ok(Measured { contractions, stats, few })
    }
}
