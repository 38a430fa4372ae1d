//! Arguments that several verbs share: the model, its open dimensions, where the result goes, how it is verified.

use super::Failure;
use crate::cost::OpenDims;
use crate::ir::Model;
use crate::save::{ExternalData, SaveOptions, Saved};
use crate::{load, save, verify};
use clap::{Args, ValueEnum};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Loads a model, with a hint where it is none.
pub fn load(path: &Path) -> Result<Model, Failure> {
    load::load(path).map_err(Failure::new)
}

/// Bytes of a model's file and of the data files beside it.
pub fn file_size(path: &Path, model: &Model) -> u64 {
    let own = path.metadata().map_or(0, |m| m.len());
    let external = model.graph.constants().into_iter().filter_map(|n| model.graph.constant(n));
    let external =
        external.filter(|c| c.tensor.store == crate::ir::Store::External).map(|c| c.tensor.byte_len() as u64);
    own + external.sum::<u64>()
}

/// Sizes of dimensions that the model leaves open.
#[derive(Args)]
pub struct Dims {
    /// Size of an open dimension, for costs and for runs (`--dim batch=8`); may be repeated
    #[arg(long = "dim", value_name = "NAME=SIZE", value_parser = dim)]
    dims: Vec<(String, i64)>,
}

impl Dims {
    pub fn sizes(&self) -> HashMap<String, i64> {
        self.dims.iter().cloned().collect()
    }

    pub fn open(&self, model: &Model) -> OpenDims {
        OpenDims::of(model, self.sizes())
    }
}

fn dim(text: &str) -> Result<(String, i64), String> {
    let (name, size) = text.split_once('=').ok_or("give NAME=SIZE")?;
    match size.parse() {
        Ok(size) if size > 0 => Ok((name.to_owned(), size)),
        _ => Err(format!("`{size}` is not a positive number")),
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
    pub fn save(&self, model: &Model, input: &Path) -> Result<Saved, Failure> {
        let external = match self.external_data {
            External::Auto => ExternalData::Auto,
            External::Never => ExternalData::Never,
            External::Always => ExternalData::Always,
        };
        let options = SaveOptions { external, input: Some(input.to_owned()), overwrite_input: self.overwrite };
        save::save(model, &self.output, &options).map_err(|e| {
            let failure = Failure::new(e);
            if self.output == input {
                failure.hint("name another output, or allow it with --overwrite")
            } else {
                failure
            }
        })
    }
}

/// How models are verified.
#[derive(Args)]
pub struct Verification {
    /// Inputs to verify with: an `.npz` file with an array per model input; else seeded random numbers
    #[arg(long, value_name = "FILE")]
    inputs: Option<PathBuf>,
    /// How many different inputs are run
    #[arg(long, default_value_t = 3, value_name = "N")]
    samples: usize,
    /// The largest relative difference that counts as equal [default: 1e-3; 3e-2 for 16- and 8-bit models]
    #[arg(long, value_name = "X")]
    tolerance: Option<f64>,
    /// Timed runs of each model; 0 for none
    #[arg(long, default_value_t = 10, value_name = "N")]
    repeats: usize,
}

impl Verification {
    pub fn options(&self, seed: u64, dims: &Dims) -> verify::Options {
        verify::Options {
            inputs: self.inputs.clone(),
            samples: self.samples,
            seed,
            sizes: dims.sizes(),
            tolerance: self.tolerance,
            repeats: self.repeats,
        }
    }
}
