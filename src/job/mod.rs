//! The job: a model and options in, a proved model and a report out.
//!
//! [`prune`] chooses what goes, cuts it, repairs and simplifies what is left, runs the result beside the original with
//! zeros in the same places, and refuses it if the two differ or a gate is missed. [`plan`] stops at the choice,
//! [`apply`] begins behind it, [`check`] looks at a result that was written before, and [`sweep`](mod@sweep) makes a
//! family of many sizes, and [`training`] trains a model. Nothing here prints; whoever wants to know how it goes gives
//! the options a [`Monitor`].
//!
//! ```
//! use secateur::{job, onnx};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("small.onnx");
//! let model = onnx::load("fixtures/digits_mlp.onnx".as_ref())?;
//! let done = job::prune(&model, &job::Options::default())?;
//! done.save(path)?;
//! # assert!(done.report.after.cost.macs < done.report.before.cost.macs);
//! # assert!(matches!(done.proof(), secateur::job::report::Outcome::Ran(v) if v.equal));
//! # Ok(())
//! # }
//! ```

mod again;
pub mod blame;
mod check;
mod choose;
mod done;
mod error;
pub(crate) mod files;
pub mod gates;
pub(crate) mod keys;
pub(crate) mod machine;
mod monitor;
mod options;
pub(crate) mod paths;
mod proof;
pub mod prove;
pub mod report;
mod run;
pub(crate) mod samples;
mod schedule;
pub mod search;
pub(crate) mod selection;
pub mod sweep;
#[cfg(test)]
mod tests;
pub mod training;
pub(crate) mod verification;

pub use again::check;
pub use done::{Done, Refusal};
pub(crate) use done::{NOT_EQUAL, NOT_EQUAL_NOW};
pub use error::{Error, ErrorKind};
pub use monitor::{Cancelled, Event, Monitor, Steps};
pub use options::{
    Calibration, Choice, HeldOut, Judging, Options, Output, Record, Search, Selection, Tables, Training, VerifyOptions,
    Zeros,
};

pub use crate::pruning::registry;

use self::report::MachineReport;
use crate::analysis::Analysis;
use crate::ir::Model;
use crate::layers;
use crate::plan::Plan;
use crate::prune::{self as surgery, Shortened, Stages};
use crate::score::Formula;
use choose::{Chooser, Chosen};
use run::Run;
use search::SearchReport;
use std::path::Path;

/// Prunes a model: chooses, cuts, repairs, simplifies, proves, judges; and writes it where the options name a file.
///
/// What the proof refuses is no error: [`Done::model`] says why it is refused, and the report tells the rest.
pub fn prune(model: &Model, options: &Options) -> Result<Done, Error> {
    let choice = options.checked()?;
    pruned(model, options, &choice, Stages::default())
}

/// The same for the model in a file.
pub fn prune_file(path: &Path, options: &Options) -> Result<Done, Error> {
    let options = &Options { input: Some(path.to_owned()), ..options.clone() };
    let (choice, mut stages) = (options.checked()?, Stages::default());
    let model = stages.time("load", || files::load(path))?;
    pruned(&model, options, &choice, stages)
}

fn pruned(model: &Model, options: &Options, choice: &Choice, mut stages: Stages) -> Result<Done, Error> {
    let monitor = &options.monitor;
    let sparsify = options.zeros.options(&choice.selection.calibration)?;
    let analysis = stages.time("analyze", || prepare(model, monitor))?;
    let open = choice.selection.open(model)?;
    let chosen = match sparsify.is_some() && !choice.is_given() {
        true => Chosen::nothing(analysis, &open)?,
        false => {
            let chooser = Chooser { choice, model, settings: &options.verification.settings()?, monitor };
            stages.time("plan", || chooser.choose(analysis, open))?
        }
    };
    let sparsify = match sparsify {
        Some(zeros) => Some((zeros, choice.selection.reader(&options.verification.setup, monitor).samples(model)?)),
        None => None,
    };
    Run { sparsify, ..Run::chosen(options, model, chosen)? }.finish(stages)
}

/// What [`plan`] found.
pub struct Planned {
    /// Which units and layers go.
    pub plan: Plan,
    /// Why nothing goes, where that is so.
    pub nothing: Option<String>,
    /// What was tried on the way.
    pub searched: Option<SearchReport>,
    /// What the machine takes, where a budget or a table asks.
    pub machine: Option<MachineReport>,
}

/// Chooses what goes, and leaves the model as it is.
pub fn plan(model: &Model, options: &Options) -> Result<Planned, Error> {
    let (choice, monitor) = (&options.choice, &options.monitor);
    choice.check()?;
    if choice.search.training.is_given() {
        let error = Error::options("--tune-steps trains weights, but a plan holds no weights");
        let hint = "give it to `secateur prune`, or carry the plan out and use `secateur tune`";
        return Err(error.with_hint(hint));
    }
    let analysis = prepare(model, monitor)?;
    let open = choice.selection.open(model)?;
    let chooser = Chooser { choice, model, settings: &options.verification.settings()?, monitor };
    let Chosen { shortened, plan, searched, machine, .. } = chooser.choose(analysis, open)?;
    let plan = Plan { options: options.record.choice.clone(), ..plan };
    let why = || searched.as_ref().and_then(SearchReport::violated);
    let whole = || choose::nothing(&shortened.analysis, choice.selection.inexact);
    let nothing = plan.is_empty().then(|| why().unwrap_or_else(whole));
    Ok(Planned { plan, nothing, searched, machine })
}

/// Carries a plan out: on the model it was made for, or on the same architecture with other weights.
///
/// Of what is chosen, the options' seed, samples and sizes count.
pub fn apply(model: &Model, plan: Plan, options: &Options) -> Result<Done, Error> {
    options.verification.check()?;
    options.paths().check()?;
    applied(model, plan, options, Stages::default())
}

/// The same for the model in a file.
pub fn apply_file(path: &Path, plan: Plan, options: &Options) -> Result<Done, Error> {
    let options = &Options { input: Some(path.to_owned()), ..options.clone() };
    options.verification.check()?;
    options.paths().check()?;
    let mut stages = Stages::default();
    let model = stages.time("load", || files::load(path))?;
    applied(&model, plan, options, stages)
}

fn applied(model: &Model, plan: Plan, options: &Options, mut stages: Stages) -> Result<Done, Error> {
    let shortened = shortened(model, &plan, options, &mut stages)?;
    let reader = options.choice.selection.reader(&options.verification.setup, &options.monitor);
    let calibrated = stages.time("calibrate", || reader.measure(model, &shortened.analysis))?;
    // What was repaired without samples when it was planned is so again.
    let criterion = plan.criterion.parse::<Formula>().ok().filter(|_| !plan.cuts.is_empty());
    let calibrated = match calibrated {
        None => criterion.map_or(Ok(None), |criterion| reader.implied(&shortened.analysis, &criterion))?,
        calibrated => calibrated,
    };
    Run { calibrated, ..Run::given(options, model, (shortened, plan))? }.finish(stages)
}

/// The prepared model without the layers of a plan.
fn shortened(model: &Model, plan: &Plan, options: &Options, stages: &mut Stages) -> Result<Shortened, Error> {
    let analysis = stages.time("analyze", || prepare(model, &options.monitor))?;
    let layers = layers::resolve(&analysis, &plan.layers)?;
    Ok(surgery::shorten(analysis, &layers, &options.choice.selection.open(model)?)?)
}

/// Prepares a model and derives its groups.
pub(crate) fn prepare(model: &Model, monitor: &Monitor) -> Result<Analysis, Error> {
    let _work = monitor.begin("analyzing", Steps::None)?;
    Ok(surgery::prepare(model)?)
}

impl Options {
    /// What is to be chosen, once it is sure that all of it goes together and nothing that is read is overwritten.
    fn checked(&self) -> Result<Choice, Error> {
        let mut choice = self.choice.clone();
        // Labels without inputs are those of the samples that trials are judged by.
        match self.verification.judging_without_inputs() {
            Some(judging) if choice.judges() => choice.search.held_out.or(judging),
            _ => self.verification.check()?,
        }
        choice.check()?;
        self.zeros.options(&choice.selection.calibration)?;
        self.paths().check()?;
        Ok(choice)
    }
}
