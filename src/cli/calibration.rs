//! Arguments about calibration: samples on which statistics are measured, and whether there is a repair.

use super::Failure;
use crate::analysis::Analysis;
use crate::feed::Feed;
use crate::ir::Model;
use crate::prune::Repair;
use crate::stats::Measured;
use crate::verify;
use clap::Args;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Samples to measure on.
#[derive(Args)]
pub struct Calibration {
    /// Unlabeled samples to choose layers and units and to repair by: an `.npz` file with an array per model input
    #[arg(long, value_name = "FILE")]
    calib: Option<PathBuf>,
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
    samples: Vec<Feed>,
    pub measured: Arc<Measured>,
    repair: bool,
}

impl Calibration {
    /// Whether there are samples.
    pub fn is_given(&self) -> bool {
        self.calib.is_some()
    }

    /// Whether what is left may be refitted.
    pub fn refits(&self) -> bool {
        !self.no_compensate
    }

    /// The samples' file.
    pub fn path(&self) -> Option<&Path> {
        self.calib.as_deref()
    }

    /// The samples, if there are any.
    pub fn samples(&self, model: &Model) -> Result<Option<Vec<Feed>>, Failure> {
        self.calib.as_deref().map(|path| read(path, model, self.calib_samples as usize)).transpose()
    }

    /// Runs the model on the samples, if there are any.
    pub fn measure(&self, model: &Model, analysis: &Analysis) -> Result<Option<Calibrated>, Failure> {
        let Some(samples) = self.samples(model)? else { return Ok(None) };
        let measured = Arc::new(Measured::new(analysis, &samples, &|| {}).map_err(Failure::new)?);
        Ok(Some(Calibrated { samples, measured, repair: !self.no_compensate }))
    }
}

/// The first samples of a file, a few at a time.
pub fn read(path: &Path, model: &Model, count: usize) -> Result<Vec<Feed>, Failure> {
    let specs = verify::input_specs(model).map_err(Failure::new)?;
    let mut samples = Feed::from_npz(path, &specs, Some(BATCH)).map_err(Failure::new)?;
    samples.truncate(count.div_ceil(BATCH));
    // One signature for all runs: a smaller last batch is left out.
    let first = samples.first().map(Feed::signature);
    samples.retain(|f| Some(f.signature()) == first);
    Ok(samples)
}

impl Calibrated {
    /// What a repair goes by, if one is wanted.
    pub fn repair(&self) -> Option<Repair<'_>> {
        self.repair.then(|| Repair { measured: &self.measured, samples: &self.samples, done: &|| {} })
    }
}
