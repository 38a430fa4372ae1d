//! Arguments that several verbs share: the model, its open dimensions, where the result goes, how it is verified.

use super::Failure;
use super::data::{Inputs, Judging};
use super::progress::Progress;
use super::running::{Running, Seconds};
use crate::analysis::Analysis;
use crate::cost::OpenDims;
use crate::files::{self, folder};
use crate::ir::Model;
use crate::machine::Settings;
use crate::report::Metrics;
use crate::save::{ExternalData, SaveError, SaveOptions, Saved};
use crate::sizes::{self, Given};
use crate::{content, load, passes, prune, save, verify};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

/// Loads a model, with a hint where it is none.
pub fn load(path: &Path) -> Result<Model, Failure> {
    load::load(path).map_err(Failure::new)
}

/// Prepares a model and derives its groups.
pub fn prepare(model: &Model) -> Result<Analysis, Failure> {
    let _progress = Progress::waiting("analyzing");
    Ok(prune::prepare(model)?)
}

/// Bytes of a model's file and of the data files beside it.
pub fn file_size(path: &Path, model: &Model) -> u64 {
    let own = path.metadata().map_or(0, |m| m.len());
    let external = model.graph.constants().into_iter().filter_map(|n| model.graph.constant(n));
    let external =
        external.filter(|c| c.tensor.store == crate::ir::Store::External).map(|c| c.tensor.byte_len() as u64);
    own + external.sum::<u64>()
}

/// The content hash of a model's file, with those of the data files beside it.
pub fn hash(path: &Path, model: &Model) -> Result<String, Failure> {
    let hash = |p: &Path| content::hash(p).map_err(|e| Failure::new(format!("{}: {e}", p.display())));
    let data = save::data_files(model)?.into_iter().map(|name| folder(path).join(name));
    let hashes = std::iter::once(path.to_owned()).chain(data).map(|p| hash(&p)).collect::<Result<Vec<_>, _>>()?;
    Ok(content::together(&hashes))
}

/// Sizes of dimensions that the model leaves open.
#[derive(Args)]
pub struct Dims {
    /// Size of an open dimension, for costs and for runs, by its name or by an input's axis (`--dim batch=8`,
    /// `--dim x[1]=16000`); may be repeated. Without it costs are counted for a batch of 1 and runs take 2, and other open
    /// dimensions count as 64 and run with 16, or with as many as the model asks for
    #[arg(long = "dim", value_name = "NAME=SIZE", value_parser = dim)]
    dims: Vec<(String, i64)>,
    /// Shape of an input, in place of a --dim for each axis (`--shape x=1,3,640,640`); may be repeated
    #[arg(long = "shape", value_name = "INPUT=SIZES", value_parser = shape)]
    shapes: Vec<Shape>,
    /// Which axis of an input counts samples, from 0 (`--batch-axis state=1`), where the dimension's name does not say
    /// so; may be repeated
    #[arg(long = "batch-axis", value_name = "INPUT=AXIS", value_parser = batch_axis)]
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

fn dim(text: &str) -> Result<(String, i64), String> {
    let (name, size) = text.rsplit_once('=').ok_or("give NAME=SIZE")?;
    Ok((name.to_owned(), positive(size)?))
}

fn shape(text: &str) -> Result<Shape, String> {
    let (name, sizes) = text.rsplit_once('=').ok_or("give INPUT=SIZES, such as x=1,3,640,640")?;
    let between = if sizes.contains(',') { ',' } else { 'x' };
    let sizes = sizes.split(between).map(positive).collect::<Result<_, _>>()?;
    Ok((name.to_owned(), sizes))
}

fn batch_axis(text: &str) -> Result<(String, usize), String> {
    let (name, axis) = text.rsplit_once('=').ok_or("give INPUT=AXIS")?;
    let axis = axis.parse().map_err(|_| format!("`{axis}` is not the number of an axis"))?;
    Ok((name.to_owned(), axis))
}

fn positive(size: &str) -> Result<i64, String> {
    match size.trim().parse() {
        Ok(size) if size > 0 => Ok(size),
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
    /// Writes the model.
    pub fn save(&self, model: &Model, input: &Path) -> Result<Saved, Failure> {
        let _progress = Progress::waiting("writing");
        save::save(model, &self.output, &self.options(input)).map_err(why_not_saved)
    }

    /// How many bytes [`save`](Output::save) would write.
    pub fn size(&self, model: &Model, input: &Path) -> Result<u64, Failure> {
        save::size(model, &self.output, &self.options(input)).map_err(why_not_saved)
    }

    fn options(&self, input: &Path) -> SaveOptions {
        let external = match self.external_data {
            External::Auto => ExternalData::Auto,
            External::Never => ExternalData::Never,
            External::Always => ExternalData::Always,
        };
        SaveOptions {
            external,
            input: Some(input.to_owned()),
            overwrite_input: self.overwrite,
            sparse: self.sparse_initializers,
        }
    }
}

fn why_not_saved(error: SaveError) -> Failure {
    let is_input = matches!(&error, SaveError::In { cause, .. } if matches!(**cause, SaveError::IsInput));
    let failure = Failure::new(error);
    if is_input { failure.hint("name another output, or allow it with --overwrite") } else { failure }
}

/// Writes a model that is not the result, but speaks of it.
pub fn save_beside(model: &Model, path: &Path, input: &Path) -> Result<(), Failure> {
    let options = SaveOptions { input: Some(input.to_owned()), ..SaveOptions::default() };
    save::save(model, path, &options).map(drop).map_err(Failure::new)
}

/// Fails if there is no folder for a file, none that can be written to, or a folder in its place.
pub fn check_folder(path: &Path) -> Result<(), Failure> {
    let folder = folder(path);
    match folder {
        _ if path.is_dir() => Err(Failure::new(format!("{}: this is a folder, not a file", path.display()))),
        // A terminal, say: nothing is put beside it.
        _ if path.exists() && !path.is_file() => Ok(()),
        _ if folder.is_dir() => {
            let tried = files::temporary(folder).map(drop);
            tried.map_err(|e| Failure::new(format!("{}: {e}", path.display())))
        }
        _ => Err(Failure::new(format!("{}: there is no folder {}", path.display(), folder.display()))),
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
    #[arg(long, value_name = "X", value_parser = tolerance)]
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

fn tolerance(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok();
    number.filter(|x| x.is_finite() && *x >= 0.0).ok_or_else(|| format!("`{text}` is not a number from 0 up"))
}

impl Verification {
    /// Labels, and a task, that are not about the inputs to run: there are none.
    pub fn judging_without_inputs(&self) -> Option<&Judging> {
        Some(&self.judging).filter(|j| j.asked() && !self.inputs.are_given())
    }

    /// Fails for labels of inputs that are not given.
    pub fn check(&self) -> Result<(), Failure> {
        match self.judging_without_inputs() {
            Some(_) => Err(Failure::usage("--labels and --task are about --inputs; give --inputs too")),
            None => Ok(()),
        }
    }

    /// Whether it is asked how good the models are.
    pub fn judges(&self) -> bool {
        self.judging.asked()
    }

    /// How good two models are, if there are labels to tell.
    pub fn metrics(&self, seed: u64, dims: &Dims, before: &Model, after: &Model) -> Result<Option<Metrics>, Failure> {
        let source = self.inputs.source(seed);
        self.judging.compare(source, &dims.given(), (before, after), self.running.setup()?)
    }

    pub fn options(&self, seed: u64, dims: &Dims) -> Result<verify::Options, Failure> {
        Ok(verify::Options {
            inputs: self.inputs.source(seed),
            samples: self.verify_samples as usize,
            seed,
            sizes: dims.given(),
            tolerance: self.tolerance,
            setup: self.running.setup()?,
            warmup: self.warmup,
            repeats: self.repeats,
            time_budget: self.time_budget.0,
        })
    }

    /// How a machine is measured for a budget.
    pub fn settings(&self) -> Result<Settings, Failure> {
        Ok(Settings { setup: self.running.setup()?, warmup: self.warmup, repeats: self.repeats })
    }
}
