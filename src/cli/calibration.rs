//! Arguments about calibration: samples on which statistics are measured, and whether there is a repair.

use super::Failure;
use super::progress::Progress;
use crate::analysis::Analysis;
use crate::feed;
use crate::ir::Model;
use crate::prune::Repair;
use crate::stats::{Batches, Implied, Measured, Samples};
use crate::verify;
use clap::Args;
use std::sync::Arc;

/// Samples to measure on.
#[derive(Args)]
pub struct Calibration {
    /// Unlabeled samples to choose layers and units and to repair by: an `.npz` or `.npy` file, a folder of images or of
    /// encoded tensors, or `random:N`
    #[arg(long, value_name = "SAMPLES")]
    calib: Option<String>,
    /// How images among them become tensors, as `--preprocess` says it for others
    #[arg(long, value_name = "SPEC")]
    calib_preprocess: Option<String>,
    /// How many samples of it are used
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    calib_samples: u32,
    /// Do not refit what is left of the model
    #[arg(long)]
    no_compensate: bool,
}

/// How many samples are run at a time.
const BATCH: usize = 8;

/// Samples that were read, and what was measured on them.
pub struct Calibrated {
    samples: Box<dyn Samples>,
    pub measured: Arc<Measured>,
    repair: bool,
}

impl Calibration {
    /// Whether there are samples.
    pub fn is_given(&self) -> bool {
        self.calib.is_some()
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
        let read = |spec| read(spec, self.calib_preprocess.clone(), model, self.calib_samples as usize);
        self.calib.as_deref().map(read).transpose()
    }

    /// Runs the model on the samples, if there are any.
    pub fn measure(&self, model: &Model, analysis: &Analysis) -> Result<Option<Calibrated>, Failure> {
        let Some(samples) = self.samples(model)? else { return Ok(None) };
        let feeds = samples.samples.len() / samples.samples.per_feed(BATCH).max(1);
        let progress = Progress::new("calibrating", feeds);
        let measured = Arc::new(Measured::new(analysis, &samples, &|| progress.step(1)).map_err(Failure::new)?);
        Ok(Some(Calibrated { samples: Box::new(samples), measured, repair: !self.no_compensate }))
    }

    /// What the weights imply, where there are no samples; and whether that is more than a guess.
    pub fn imply(&self, analysis: &Analysis) -> (Calibrated, bool) {
        let Implied { measured, grounded } = Implied::new(analysis);
        let samples = Box::new(Vec::<feed::Feed>::new());
        (Calibrated { samples, measured: Arc::new(measured), repair: !self.no_compensate }, grounded)
    }
}

/// The first samples of a source, a few at a time.
pub fn read(spec: &str, preprocess: Option<String>, model: &Model, count: usize) -> Result<Batches, Failure> {
    let specs = verify::input_specs(model).map_err(Failure::new)?;
    let options = feed::Options { preprocess, limit: Some(count), ..feed::Options::default() };
    let samples = feed::Samples::open(spec, &specs, &options).map_err(Failure::new)?;
    Ok(Batches { samples, batch: BATCH })
}

impl Calibrated {
    /// What a repair goes by, if one is wanted.
    pub fn repair(&self) -> Option<Repair<'_>> {
        self.repair.then(|| Repair { measured: &self.measured, samples: &*self.samples, done: &|| {} })
    }
}
