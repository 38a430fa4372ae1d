//! Arguments that several verbs share: the model, its open dimensions, where the result goes, how it is verified.

use super::Failure;
use super::data::{Inputs, Judging};
use super::progress;
use super::running::{Running, Seconds};
use crate::analysis::Analysis;
use crate::cost::OpenDims;
use crate::ir::Model;
use crate::job::{self, files, keys};
use crate::passes;
use crate::save::{ExternalData, Saved};
use crate::sizes::{self, Given};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

/// Loads a model.
pub fn load(path: &Path) -> Result<Model, Failure> {
    Ok(files::load(path)?)
}

/// Prepares a model and derives its groups.
pub fn prepare(model: &Model) -> Result<Analysis, Failure> {
    Ok(job::prepare(model, &progress::monitor())?)
}

/// Sizes of dimensions that the model leaves open.
#[derive(Args)]
pub struct Dims {
    /// Size of an open dimension, for costs and for runs, by its name or by an input's axis (`--dim batch=8`,
    /// `--dim x[1]=16000`); may be repeated. Without it costs are counted for a batch of 1 and runs take 2, and other open
    /// dimensions count as 64 and run with 16, or with as many as the model asks for
    #[arg(long = "dim", value_name = "NAME=SIZE", value_parser = keys::dim)]
    dims: Vec<(String, i64)>,
    /// Shape of an input, in place of a --dim for each axis (`--shape x=1,3,640,640`); may be repeated
    #[arg(long = "shape", value_name = "INPUT=SIZES", value_parser = keys::shape)]
    shapes: Vec<Shape>,
    /// Which axis of an input counts samples, from 0 (`--batch-axis state=1`), where the dimension's name does not say so;
    /// may be repeated
    #[arg(long = "batch-axis", value_name = "INPUT=AXIS", value_parser = keys::batch_axis)]
    batch_axes: Vec<(String, usize)>,
}

/// An input's name and its shape.
type Shape = (String, Vec<i64>);

impl Dims {
    pub fn given(&self) -> Given {
        let given = self.dims.iter().fold(Given::default(), |given, (name, size)| given.with(name, *size));
        let given = self.shapes.iter().fold(given, |given, (name, shape)| given.with_shape(name, shape.clone()));
        self.batch_axes.iter().fold(given, |given, (name, axis)| given.with_batch(name, *axis))
    }

    /// The sizes for counting costs; one that the model does not have is a mistake.
    pub fn open(&self, model: &Model) -> Result<OpenDims, Failure> {
        OpenDims::given(&passes::opened(model), &self.given()).map_err(Failure::usage)
    }

    /// Fails if something is no size of the model.
    pub fn check(&self, model: &Model) -> Result<(), Failure> {
        sizes::check(model, &self.given()).map_err(Failure::usage)
    }
}

/// Where a model is written.
#[derive(Args)]
pub struct Output {
    /// Where the model is written
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Whether weights go into a file beside the model: as in the input or where it would pass 2 GB, never, always
    #[arg(long, value_enum, default_value = "auto", value_name = "WHEN")]
    external_data: External,
    /// Write weights that are 70 % zeros or more as sparse initializers, where that is shorter
    #[arg(long)]
    sparse_initializers: bool,
    /// Allow the output to replace the input
    #[arg(long)]
    overwrite: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum External {
    Auto,
    Never,
    Always,
}

impl Output {
    pub fn options(&self) -> job::Output {
        let external = match self.external_data {
            External::Auto => ExternalData::Auto,
            External::Never => ExternalData::Never,
            External::Always => ExternalData::Always,
        };
        let (path, sparse, overwrite) = (self.output.clone(), self.sparse_initializers, self.overwrite);
        job::Output { path, external, sparse, overwrite }
    }

    /// Writes the model.
    pub fn save(&self, model: &Model, input: &Path) -> Result<Saved, Failure> {
        Ok(self.options().save(model, Some(input), &progress::monitor())?)
    }

    /// How many bytes [`save`](Output::save) would write.
    pub fn size(&self, model: &Model, input: &Path) -> Result<u64, Failure> {
        Ok(self.options().size(model, Some(input))?)
    }
}

/// How models are verified.
#[derive(Args)]
pub struct Verification {
    #[command(flatten)]
    inputs: Inputs,
    #[command(flatten)]
    judging: Judging,
    /// How many different inputs the verification runs
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    verify_samples: u32,
    /// The largest relative difference that counts as equal [default: 1e-3; 3e-2 for 16- and 8-bit models]
    #[arg(long, value_name = "X", value_parser = keys::from_zero)]
    tolerance: Option<f64>,
    #[command(flatten)]
    running: Running,
    /// Runs of each model before the first that is timed
    #[arg(long, default_value_t = 2, value_name = "N")]
    warmup: usize,
    /// Timed runs of each model; 0 to skip timing
    #[arg(long, default_value_t = 10, value_name = "N")]
    repeats: usize,
    /// Most seconds that timing may take; slow models get fewer runs
    #[arg(long, default_value = "10", value_name = "SECONDS")]
    time_budget: Seconds,
}

impl Verification {
    /// Whether both runtimes are to be compared; then models are run by the best one from here on.
    pub fn take_both(&mut self) -> bool {
        self.running.take_both()
    }

    pub fn options(&self) -> Result<job::Verification, Failure> {
        let (inputs, preprocess) = self.inputs.given();
        Ok(job::Verification {
            inputs,
            preprocess,
            judging: (&self.judging).into(),
            samples: self.verify_samples as usize,
            tolerance: self.tolerance,
            setup: self.running.unchecked()?,
            warmup: self.warmup,
            repeats: self.repeats,
            time_budget: self.time_budget.0,
        })
    }
}
