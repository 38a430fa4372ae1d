//! Samples to choose and to repair by, and what is measured on them.

use super::Error;
use super::monitor::{Monitor, Steps};
use super::options::Calibration;
use crate::analysis::Analysis;
use crate::feed::{self, Labels, Samples};
use crate::ir::Model;
use crate::judge::Task;
use crate::oracle::Setup;
use crate::prune::Repair;
use crate::score::Formula;
use crate::sizes::Given;
use crate::stats::{self, Batches, Implied, Measured, RunOptions};
use crate::verify;
use std::path::PathBuf;
use std::sync::Arc;

/// How many samples are run at a time, at most.
const BATCH: usize = 8;

/// Of few samples so many feeds are made at least: what is fitted on some is tried on the others.
const FEEDS: usize = 4;

/// Samples that were read, and what was measured on them.
pub(super) struct Calibrated {
    samples: Box<dyn stats::Samples>,
    pub measured: Arc<Measured>,
    setup: Setup,
    memory: u64,
    repair: bool,
}

impl Calibration {
    /// Whether there are samples.
    pub(super) fn is_given(&self) -> bool {
        self.source.is_some()
    }
}

/// Reads samples as a calibration says, for a model whose open dimensions are so long.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub calibration: &'a Calibration,
    pub sizes: &'a Given,
    /// What runs models on the samples.
    pub setup: &'a Setup,
    pub monitor: &'a Monitor,
}

impl Reader<'_> {
    /// The samples, if there are any.
    pub(super) fn samples(&self, model: &Model) -> Result<Option<Batches>, Error> {
        Ok(self.labelled(model, None)?.map(batches))
    }

    /// The samples with these labels.
    pub(super) fn labelled(&self, model: &Model, labels: Option<Labels>) -> Result<Option<Samples>, Error> {
        self.calibration.source.as_deref().map(|spec| self.open(spec, model, labels)).transpose()
    }

    /// As many samples of another source, read in the same way.
    pub(super) fn open(&self, spec: &str, model: &Model, labels: Option<Labels>) -> Result<Samples, Error> {
        let (preprocess, limit) = (self.calibration.preprocess.clone(), Some(self.calibration.samples));
        let options = feed::Options { preprocess, labels, limit, ..feed::Options::default() };
        opened(spec, model, self.sizes, &options, self.monitor)
    }

    /// Runs the model on the samples, if there are any.
    pub(super) fn measure(&self, model: &Model, analysis: &Analysis) -> Result<Option<Calibrated>, Error> {
        self.samples(model)?.map(|samples| self.measured(samples, analysis)).transpose()
    }

    /// Runs the model on these samples.
    pub(super) fn measured(&self, samples: Batches, analysis: &Analysis) -> Result<Calibrated, Error> {
        let feeds = samples.samples.len() / samples.samples.per_feed(samples.batch).max(1);
        let work = self.monitor.begin("calibrating", Steps::Of(feeds))?;
        let measured = Arc::new(Measured::new(analysis, &samples, &self.execution(), &|| work.step(1))?);
        Ok(self.calibrated(Box::new(samples), measured))
    }

    /// What the weights imply, where there are no samples.
    pub(super) fn imply(&self, analysis: &Analysis) -> Result<Calibrated, Error> {
        let _work = self.monitor.begin("propagating the weights' statistics", Steps::None)?;
        let Implied { measured } = Implied::new(analysis);
        let samples = Box::new(Vec::<feed::Feed>::new());
        Ok(self.calibrated(samples, Arc::new(measured)))
    }

    /// The same for what was chosen by this criterion, if that counts on it and it holds.
    pub(super) fn implied(&self, analysis: &Analysis, criterion: &Formula) -> Result<Option<Calibrated>, Error> {
        let counts = criterion.is_repaired_unmeasured() && criterion.bears(Implied::footing(analysis));
        counts.then(|| self.imply(analysis)).transpose()
    }

    fn execution(&self) -> RunOptions<'_> {
        RunOptions { setup: self.setup, memory: self.calibration.memory }
    }

    fn calibrated(&self, samples: Box<dyn stats::Samples>, measured: Arc<Measured>) -> Calibrated {
        let Calibration { repair, memory, .. } = *self.calibration;
        Calibrated { samples, measured, setup: self.setup.clone(), memory, repair }
    }
}

impl Calibrated {
    /// The samples that were measured.
    pub(super) fn samples(&self) -> &dyn stats::Samples {
        &*self.samples
    }

    /// What a repair goes by, if one is wanted; `done` is told of every feed that was run.
    pub(super) fn repair<'a>(&'a self, done: &'a dyn Fn()) -> Option<Repair<'a>> {
        let (measured, samples) = (&*self.measured, &*self.samples);
        let execution = RunOptions { setup: &self.setup, memory: self.memory };
        self.repair.then_some(Repair { measured, samples, execution, done })
    }
}

/// Samples for a model whose open dimensions are so long; what is left out of them is told.
pub(crate) fn opened(
    spec: &str,
    model: &Model,
    sizes: &Given,
    how: &feed::Options,
    monitor: &Monitor,
) -> Result<Samples, Error> {
    let specs = verify::sized_specs(model, sizes)?;
    let samples = Samples::open(spec, &specs, how).map_err(Error::new)?;
    if !samples.left_out().is_empty() {
        let names: Vec<String> = samples.left_out().iter().map(|name| format!("`{name}`")).collect();
        monitor.note(&format!("{spec} has nothing for {}: zeros are fed", names.join(", ")));
    }
    Ok(samples)
}

/// Samples, a few at a time.
pub(crate) fn batches(samples: Samples) -> Batches {
    let batch = samples.len().div_ceil(FEEDS).clamp(1, BATCH);
    Batches { samples, batch }
}

/// Labels in a file, by the name that they have for a task.
pub(crate) fn labels(path: PathBuf, task: Task) -> Labels {
    Labels { path, array: if task == Task::Regression { "targets" } else { "labels" }.into() }
}
