//! Arguments about calibration: samples on which statistics are measured, and whether there is a repair.

use super::progress::Progress;
use super::source::Dims;
use super::{Failure, data};
use crate::analysis::Analysis;
use crate::feed::{self, Labels, Samples};
use crate::ir::Model;
use crate::prune::Repair;
use crate::sizes::Given;
use crate::stats::{self, Batches, Implied, Measured};
use clap::Args;
use std::sync::Arc;

/// Samples to measure on.
#[derive(Args, Clone)]
pub struct Calibration {
    /// Unlabeled samples to choose layers and units and to repair by: an `.npz` or `.npy` file, a folder of images or of
    /// encoded tensors, or `random:N`
    #[arg(long, value_name = "SAMPLES", value_hint = clap::ValueHint::AnyPath)]
    calib: Option<String>,
    /// How images among them become tensors; see --preprocess
    #[arg(long, value_name = "SPEC")]
    calib_preprocess: Option<String>,
    /// How many of these samples are used
    #[arg(long, alias = "calib-samples", default_value_t = 256, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    samples: u32,
    /// Do not repair: leave the weights that stay as they are
    #[arg(long)]
    no_compensate: bool,
    /// Sizes of the model's open dimensions, which are given by other arguments.
    #[arg(skip)]
    given: Given,
}

/// How many samples are run at a time, at most.
const BATCH: usize = 8;

/// Of few samples so many feeds are made at least: what is fitted on some is tried on the others.
const FEEDS: usize = 4;

/// Samples that were read, and what was measured on them.
pub struct Calibrated {
    samples: Box<dyn stats::Samples>,
    pub measured: Arc<Measured>,
    repair: bool,
}

impl Calibration {
    /// Whether there are samples.
    pub fn is_given(&self) -> bool {
        self.calib.is_some()
    }

    /// The same for a model whose open dimensions are so long.
    pub fn sized(self, dims: &Dims) -> Calibration {
        Calibration { given: dims.given(), ..self }
    }

    /// Where the samples are.
    pub fn source(&self) -> Option<&str> {
        self.calib.as_deref()
    }

    /// Whether what is left may be refitted.
    pub fn refits(&self) -> bool {
        !self.no_compensate
    }

    /// The samples, if there are any.
    pub fn samples(&self, model: &Model) -> Result<Option<Batches>, Failure> {
        Ok(self.labelled(model, None)?.map(batches))
    }

    /// The samples with these labels.
    pub fn labelled(&self, model: &Model, labels: Option<Labels>) -> Result<Option<Samples>, Failure> {
        self.calib.as_deref().map(|spec| self.open(spec, model, labels)).transpose()
    }

    /// As many samples of another source, read in the same way.
    pub fn open(&self, spec: &str, model: &Model, labels: Option<Labels>) -> Result<Samples, Failure> {
        let (preprocess, limit) = (self.calib_preprocess.clone(), Some(self.samples as usize));
        let options = feed::Options { preprocess, labels, limit, ..feed::Options::default() };
        data::opened(spec, model, &self.given, &options)
    }

    /// Runs the model on the samples, if there are any.
    pub fn measure(&self, model: &Model, analysis: &Analysis) -> Result<Option<Calibrated>, Failure> {
        self.samples(model)?.map(|samples| self.measured(samples, analysis)).transpose()
    }

    /// Runs the model on these samples.
    pub fn measured(&self, samples: Batches, analysis: &Analysis) -> Result<Calibrated, Failure> {
        let feeds = samples.samples.len() / samples.samples.per_feed(samples.batch).max(1);
        let progress = Progress::new("calibrating", feeds);
        let measured = Arc::new(Measured::new(analysis, &samples, &|| progress.step(1)).map_err(Failure::new)?);
        Ok(Calibrated { samples: Box::new(samples), measured, repair: !self.no_compensate })
    }

    /// What the weights imply, where there are no samples; and whether that is more than a guess.
    pub fn imply(&self, analysis: &Analysis) -> (Calibrated, bool) {
        let _progress = Progress::waiting("propagating the weights' statistics");
        let Implied { measured, grounded } = Implied::new(analysis);
        let samples = Box::new(Vec::<feed::Feed>::new());
        (Calibrated { samples, measured: Arc::new(measured), repair: !self.no_compensate }, grounded)
    }
}

/// The first samples of a source, a few at a time.
pub fn read(spec: &str, preprocess: Option<String>, model: &Model, count: usize) -> Result<Batches, Failure> {
    let options = feed::Options { preprocess, limit: Some(count), ..feed::Options::default() };
    Ok(batches(data::opened(spec, model, &Given::default(), &options)?))
}

/// Samples, a few at a time.
pub fn batches(samples: Samples) -> Batches {
    let batch = samples.len().div_ceil(FEEDS).clamp(1, BATCH);
    Batches { samples, batch }
}

impl Calibrated {
    /// The samples that were measured.
    pub fn samples(&self) -> &dyn stats::Samples {
        &*self.samples
    }

    /// What a repair goes by, if one is wanted; `done` is told of every feed that was run.
    pub fn repair<'a>(&'a self, done: &'a dyn Fn()) -> Option<Repair<'a>> {
        self.repair.then(|| Repair { measured: &self.measured, samples: &*self.samples, done })
    }
}
