//! Arguments that several verbs share: the model, its open dimensions, where the result goes, how it is verified.

use super::Failure;
use super::keyed::{ComparisonSet, InputsSet, JudgingSet, Keyed, OutputSet, SizesSet, TimingSet};
use super::progress;
use super::running::Running;
use crate::analysis::Analysis;
use crate::cost::OpenDims;
use crate::ir::Model;
use crate::job::{self, files};
use crate::passes;
use crate::save::Saved;
use crate::sizes::{self, Given};
use clap::Args;
use std::path::{Path, PathBuf};

/// Loads a model.
pub(super) fn load(path: &Path) -> Result<Model, Failure> {
    Ok(files::load(path)?)
}

/// Prepares a model and derives its groups.
pub(super) fn prepare(model: &Model) -> Result<Analysis, Failure> {
    Ok(job::prepare(model, &progress::monitor())?)
}

/// Sizes of dimensions that the model leaves open.
#[derive(Args)]
pub(super) struct DimArgs {
    #[command(flatten)]
    given: Keyed<SizesSet>,
}

impl DimArgs {
    pub(super) fn given(&self) -> Result<Given, Failure> {
        Ok(self.given.options()?.choice.selection.sizes)
    }

    /// The sizes for counting costs; one that the model does not have is a mistake.
    pub(super) fn open(&self, model: &Model) -> Result<OpenDims, Failure> {
        OpenDims::given(&passes::opened(model), &self.given()?).map_err(Failure::usage)
    }

    /// Fails if something is no size of the model.
    pub(super) fn check(&self, model: &Model) -> Result<(), Failure> {
        sizes::check(model, &self.given()?).map_err(Failure::usage)
    }
}

/// Where a model is written.
#[derive(Args)]
pub(super) struct OutputArgs {
    /// Where the model is written
    #[arg(short, long, value_name = "FILE", required = true)]
    output: Option<PathBuf>,
    #[command(flatten)]
    given: Keyed<OutputSet>,
    /// Allow the output to replace the input
    #[arg(long)]
    overwrite: bool,
}

impl OutputArgs {
    /// Whether there is a place: a verb that needs none may leave it out.
    pub(super) fn is_given(&self) -> bool {
        self.output.is_some()
    }

    pub(super) fn options(&self) -> Result<job::Output, Failure> {
        let path = self.output.clone().unwrap_or_default();
        let output = job::Output { overwrite: self.overwrite, ..job::Output::to(path) };
        let mut options = job::Options { output: Some(output), ..job::Options::default() };
        self.given.set(&mut options)?;
        Ok(options.output.unwrap_or_default())
    }

    /// Writes the model.
    pub(super) fn save(&self, model: &Model, input: &Path) -> Result<Saved, Failure> {
        Ok(self.options()?.save(model, Some(input), &progress::monitor())?)
    }

    /// How many bytes [`save`](OutputArgs::save) would write.
    pub(super) fn size(&self, model: &Model, input: &Path) -> Result<u64, Failure> {
        Ok(self.options()?.size(model, Some(input))?)
    }
}

/// How models are verified.
#[derive(Args)]
pub(super) struct VerificationArgs {
    #[command(flatten)]
    inputs: Keyed<InputsSet>,
    #[command(flatten)]
    judging: Keyed<JudgingSet>,
    #[command(flatten)]
    comparison: Keyed<ComparisonSet>,
    #[command(flatten)]
    running: Running,
    #[command(flatten)]
    timing: Keyed<TimingSet>,
}

impl VerificationArgs {
    /// Whether both runtimes are to be compared; then models are run by the best one from here on.
    pub(super) fn take_both(&mut self) -> bool {
        self.running.take_both()
    }

    pub(super) fn options(&self) -> Result<job::VerifyOptions, Failure> {
        let mut options = job::Options::default();
        self.inputs.set(&mut options)?;
        self.judging.set(&mut options)?;
        self.comparison.set(&mut options)?;
        self.timing.set(&mut options)?;
        Ok(job::VerifyOptions { setup: self.running.unchecked()?, ..options.verification })
    }
}
