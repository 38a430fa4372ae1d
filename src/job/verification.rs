//! How results are verified and judged.

use super::Error;
use super::monitor::{Monitor, Steps};
use super::options::{HeldOut, Judging, Options, VerifyOptions};
use super::report::Metrics;
use super::samples::{labels, opened};
use crate::feed::{self, Labels};
use crate::ir::Model;
use crate::judge;
use crate::machine::ProfileSettings;
use crate::oracle::{Lookup, OracleError, Runtime, Setup};
use crate::sizes::Given;
use crate::verify;

/// How many samples are run at a time to judge a model, where it leaves that open.
pub(crate) const BATCH: u32 = 32;

impl Options {
    /// How the models are run and compared.
    pub(super) fn verify(&self) -> Result<verify::Options, Error> {
        let selection = &self.choice.selection;
        self.verification.options(selection.seed, &selection.sizes)
    }

    /// How good two models are, if there are labels to tell.
    pub(super) fn metrics(&self, before: &Model, after: &Model) -> Result<Option<Metrics>, Error> {
        let selection = &self.choice.selection;
        self.verification.metrics((selection.seed, &selection.sizes), (before, after), &self.monitor)
    }
}

impl VerifyOptions {
    /// Labels, and a task, that are not about the inputs to run: there are none.
    pub(super) fn judging_without_inputs(&self) -> Option<&Judging> {
        Some(&self.judging).filter(|j| j.is_asked() && self.inputs.is_none())
    }

    /// Fails for labels of inputs that are not given.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.judging_without_inputs() {
            Some(_) => Err(Error::options("--labels and --task are about --inputs; give --inputs too")),
            None => Ok(()),
        }
    }

    pub(crate) fn options(&self, seed: u64, sizes: &Given) -> Result<verify::Options, Error> {
        Ok(verify::Options {
            inputs: self.source(seed),
            samples: self.samples,
            seed,
            sizes: sizes.clone(),
            tolerance: self.tolerance,
            setup: checked(&self.setup)?,
            warmup: self.warmup,
            repeats: self.repeats,
            time_budget: self.time_budget,
        })
    }

    /// How a machine is measured for a budget.
    pub(super) fn settings(&self) -> Result<ProfileSettings, Error> {
        Ok(ProfileSettings { setup: checked(&self.setup)?, warmup: self.warmup, repeats: self.repeats })
    }

    /// Where samples come from, and how they are read.
    fn source(&self, seed: u64) -> Option<(String, feed::Options)> {
        let preprocess = self.preprocess.clone();
        Some((self.inputs.clone()?, feed::Options { preprocess, seed, ..feed::Options::default() }))
    }

    /// How good two models of the same inputs are, if that is asked for.
    pub(crate) fn metrics(
        &self,
        (seed, sizes): (u64, &Given),
        (before, after): (&Model, &Model),
        monitor: &Monitor,
    ) -> Result<Option<Metrics>, Error> {
        let Some((spec, how)) = self.source(seed).filter(|_| self.judging.is_asked()) else { return Ok(None) };
        let how = feed::Options { labels: self.judging.read_labels(), ..how };
        let samples = opened(&spec, before, sizes, &how, monitor)?;
        let (task, setup) = (self.judging.task.unwrap_or_default(), checked(&self.setup)?);
        let options = judge::Options { task, output: None, batch: BATCH as usize, setup };
        let work = monitor.begin("judging", Steps::Of(2 * samples.len()))?;
        let judged = |model| judge::evaluate(model, &samples, &options, &|n| work.step(n));
        Ok(Some(Metrics::new(judged(before)?, judged(after)?)))
    }
}

impl Judging {
    /// Whether there is anything to judge.
    pub(super) fn is_asked(&self) -> bool {
        self.labels.is_some() || self.task.is_some()
    }

    fn read_labels(&self) -> Option<Labels> {
        self.labels.clone().map(|path| labels(path, self.task.unwrap_or_default()))
    }
}

impl HeldOut {
    /// Takes over labels and task that were given in other words.
    pub(super) fn or(&mut self, judging: &Judging) {
        self.labels = self.labels.take().or(judging.labels.clone());
        self.task = self.task.or(judging.task);
    }
}

/// A setup, once it is sure that what it asks for by name is there. What is left open is looked for where it is needed.
pub(crate) fn checked(setup: &Setup) -> Result<Setup, Error> {
    let is_open = setup.runtime != Runtime::Ort && !matches!(setup.library, Lookup::At(_));
    let found = if is_open { Ok(()) } else { setup.check() };
    found.map(|()| setup.clone()).map_err(unusable)
}

/// The same for models that are timed.
pub(crate) fn checked_timed(setup: &Setup) -> Result<Setup, Error> {
    setup.check_timed().map(|()| setup.clone()).map_err(unusable)
}

/// Why a setup is no use, and what can be done about it.
fn unusable(error: OracleError) -> Error {
    match error {
        OracleError::Threads(_) => Error::options(format!("--threads: {error}"))
            .with_hint("take --threads 1, or ONNX Runtime with --runtime ort"),
        OracleError::NoOrt => Error::options("--runtime ort: this build has no ONNX Runtime")
            .with_hint("build secateur with `--features ort`"),
        OracleError::NoLibrary(why) => Error::new(format!("--runtime ort: {why}")).with_hint(
            "install it (`pip install onnxruntime`), or name its library with --ort-library or ORT_DYLIB_PATH; \
             `secateur doctor` says what is found",
        ),
        error => Error::new(error),
    }
}
