//! Samples: what a model is calibrated, judged or verified with.
//!
//! Wherever they come from (arrays, tensors in a folder, images, a random generator), they are read batch by batch, so
//! that memory does not grow with their number, and the same samples come out each time.

use super::labels::{self, Labels};
use super::{Feed, FeedError, InputSpec, arrays, images, made_up, pb};
use crate::ir::Tensor;
use std::path::Path;
use std::sync::Arc;

/// What to read, beside where from.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How images become tensors; see [`Preprocess`](super::Preprocess).
    pub preprocess: Option<String>,
    /// The labels of the samples, where there are any.
    pub labels: Option<Labels>,
    /// No more than the first so many samples.
    pub limit: Option<usize>,
    /// Seed of the first sample that is made up; the next one has the next number.
    pub seed: u64,
}

/// Samples for a model's inputs, perhaps with labels.
#[derive(Clone)]
pub struct Samples {
    source: Arc<dyn Source>,
    /// Portions of the source.
    portions: Vec<usize>,
    together: Together,
    /// One row for each sample of the source.
    labels: Option<Tensor>,
    /// Inputs for which there is nothing; they are fed zeros.
    left_out: Vec<String>,
}

/// Where samples come from. It is cut into portions, numbered from 0.
pub(super) trait Source: Send + Sync {
    /// The feed of these portions, one after the other along the axis that counts samples.
    fn feed(&self, portions: &[usize]) -> Result<Feed, FeedError>;

    /// A number that portions share which may go into one feed: they are equally long.
    fn kind(&self, portion: usize) -> usize {
        let _ = portion;
        0
    }
}

/// How many samples go into a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Together {
    /// As many as one likes: a portion is one sample.
    Any,
    /// A portion of so many, no more and no fewer.
    Just(usize),
}

impl Together {
    pub(super) fn portion(self) -> usize {
        match self {
            Together::Any => 1,
            Together::Just(n) => n.max(1),
        }
    }
}

/// A source with what is known of it.
pub(super) struct Opened {
    pub source: Arc<dyn Source>,
    /// How many samples it has.
    pub samples: usize,
    pub together: Together,
    /// Labels that it brings along.
    pub labels: Option<Tensor>,
    /// Inputs that it lacks: states, which begin with zeros.
    pub left_out: Vec<String>,
}

impl Samples {
    /// Opens samples for a model with these inputs. `spec` is
    ///
    /// - a `.npz` file with an array for each input, by its name; or a `.npy` file, if there is one input;
    /// - a folder of encoded tensors, `test_data_set_0/input_0.pb` or `input_0.pb`;
    /// - a folder of images, in sub-folders or not, in the order of their paths;
    /// - `random:N`: N samples made up as [`Feed::random_sized`] does.
    ///
    /// An axis of each input counts samples ([`InputSpec::batch`]). Where it is a number k, each feed has k samples. An
    /// array of just the shape of an input of fixed shape is the same in every feed, if other inputs have samples.
    /// States ([`InputSpec::state`]) may be left out. Samples of different lengths are sorted by length; those of one
    /// length go into a feed.
    pub fn open(spec: &str, inputs: &[InputSpec], options: &Options) -> Result<Samples, FeedError> {
        let Opened { source, samples, together, labels, left_out } = opened(spec, inputs, options)?;
        if let Some(labels) = labels.as_ref().filter(|l| l.shape.first() != Some(&samples)) {
            return Err(FeedError::Labels { labels: labels.shape.first().copied().unwrap_or(1), samples });
        }
        let (count, portion) = (options.limit.unwrap_or(samples).min(samples), together.portion());
        match count {
            0 => Err(FeedError::Empty(spec.into())),
            _ if count % portion != 0 => Err(FeedError::Portion { portion, samples: count }),
            _ => {
                let mut portions: Vec<usize> = (0..count / portion).collect();
                portions.sort_by_key(|&p| source.kind(p));
                Ok(Samples { source, portions, together, labels, left_out })
            }
        }
    }

    /// Samples that are held in memory: a feed for each portion, as a model with these inputs takes it.
    pub(crate) fn held(inputs: &[InputSpec], feeds: Vec<Feed>) -> Samples {
        let portions = (0..feeds.len()).collect();
        let (source, together) = made_up::Held::new(inputs, feeds);
        Samples { source: Arc::new(source), portions, together, labels: None, left_out: vec![] }
    }

    /// The inputs that the samples lack, which are fed zeros.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.portions.len() * self.together.portion()
    }

    /// Whether there are none, as can be with a part of few samples.
    pub fn is_empty(&self) -> bool {
        self.portions.is_empty()
    }

    /// The samples in feeds of `batch` each, or of as many as the model takes. The last one may be smaller.
    pub fn feeds(&self, batch: usize) -> impl Iterator<Item = Result<Feed, FeedError>> + '_ {
        self.parts(batch).into_iter().map(|part| self.feed(&part))
    }

    /// The portions that go into each of these feeds, counted from 0.
    pub fn parts(&self, batch: usize) -> Vec<Vec<usize>> {
        let batch = self.portions_of(batch);
        self.alike().iter().flat_map(|some| some.chunks(batch).map(<[usize]>::to_vec)).collect()
    }

    /// The same without smaller feeds: of each length as many samples as fill feeds, or one feed of all.
    pub fn full_parts(&self, batch: usize) -> Vec<Vec<usize>> {
        let batch = self.portions_of(batch);
        let full = |some: &Vec<usize>| {
            let batch = batch.min(some.len());
            some.chunks_exact(batch).map(<[usize]>::to_vec).collect::<Vec<_>>()
        };
        self.alike().iter().flat_map(full).collect()
    }

    /// Portions of one length each, which may go into one feed.
    fn alike(&self) -> Vec<Vec<usize>> {
        let all: Vec<usize> = (0..self.portions.len()).collect();
        let kind = |at: usize| self.source.kind(self.portions[at]);
        all.chunk_by(|&a, &b| kind(a) == kind(b)).map(<[usize]>::to_vec).collect()
    }

    /// The same without smaller feeds ([`full_parts`](Samples::full_parts)): one signature for all of a length.
    pub fn full_feeds(&self, batch: usize) -> impl Iterator<Item = Result<Feed, FeedError>> + '_ {
        self.full_parts(batch).into_iter().map(|part| self.feed(&part))
    }

    /// How many samples [`feeds`](Samples::feeds) puts into a feed.
    pub fn per_feed(&self, batch: usize) -> usize {
        self.portions_of(batch) * self.together.portion()
    }

    fn portions_of(&self, batch: usize) -> usize {
        match self.together {
            Together::Any => batch.max(1),
            Together::Just(_) => 1,
        }
    }

    /// How many portions there are: what can be put into feeds in any order, a sample each where the model leaves the
    /// batch open.
    pub fn portions(&self) -> usize {
        self.portions.len()
    }

    /// How many samples a portion has.
    pub fn per_portion(&self) -> usize {
        self.together.portion()
    }

    /// A feed of these portions, counted from 0.
    pub fn feed(&self, which: &[usize]) -> Result<Feed, FeedError> {
        let portions: Vec<usize> = which.iter().map(|&at| self.portions[at]).collect();
        self.source.feed(&portions)
    }

    /// The labels of these samples in their order, a row each.
    pub fn labels(&self) -> Option<Tensor> {
        let all: Vec<usize> = (0..self.portions.len()).collect();
        self.labels_of(&all)
    }

    /// The labels of the samples in these portions, a row each.
    pub fn labels_of(&self, which: &[usize]) -> Option<Tensor> {
        let (labels, n) = (self.labels.as_ref()?, self.together.portion());
        let rows: Vec<usize> = which.iter().map(|&at| self.portions[at]).flat_map(|p| p * n..(p + 1) * n).collect();
        labels.select(0, &rows).ok()
    }

    /// The samples without the `k`-th of `of` parts, and that part: every `of`-th sample from the `k`-th on, counted
    /// from 0. Samples that go into a feed together stay together.
    pub fn fold(&self, k: usize, of: usize) -> (Samples, Samples) {
        let (mut rest, mut held_out) = (self.clone(), self.clone());
        let indices = || self.portions.iter().copied().enumerate();
        rest.portions = indices().filter(|(i, _)| i % of.max(1) != k).map(|(_, p)| p).collect();
        held_out.portions = indices().filter(|(i, _)| i % of.max(1) == k).map(|(_, p)| p).collect();
        (rest, held_out)
    }
}

fn opened(spec: &str, inputs: &[InputSpec], options: &Options) -> Result<Opened, FeedError> {
    let path = Path::new(spec);
    let folder = path.is_dir();
    let tensors = folder && pb::is_layout(path)?;
    if options.preprocess.is_some() && (!folder || tensors) {
        return Err(FeedError::NoImages(spec.into()));
    }
    let mut opened = match path.extension().and_then(|e| e.to_str()) {
        _ if spec.starts_with("random:") => made_up::open(spec, inputs, options)?,
        _ if tensors => pb::open(path, inputs, options.limit)?,
        _ if folder => return images::open(path, inputs, options),
        Some("npz" | "npy") => arrays::open(path, inputs)?,
        _ => return Err(FeedError::Source(spec.into())),
    };
    opened.labels = options.labels.as_ref().map(labels::read).transpose()?;
    Ok(opened)
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
