//! How units are told apart: the criterion that suits what is known, and what it looks at.

use super::Error;
use super::monitor::{Monitor, Steps};
use super::options::{Calibration, Selection, Zeros};
use super::samples::{Calibrated, Reader};
use crate::analysis::Analysis;
use crate::autograd::{Device, EngineError};
use crate::cost::OpenDims;
use crate::gradients::{GradientError, Gradients, Want};
use crate::ir::Model;
use crate::machine::{EnergyModel, TableError};
use crate::ops::Granularity;
use crate::oracle::Setup;
use crate::passes;
use crate::plan::{Budget, ChooseError, Options};
use crate::score::Formula;
use crate::sparsity::{self, Method};
use crate::stats::{Footing, Implied, Samples};
use std::sync::Arc;

/// What tells units apart where neither samples nor normalizations say how large they are.
const UNGROUNDED: &str = "lamp";

impl Selection {
    /// What a plan is made by. `calibrated` has what was measured; without samples it becomes what the weights imply,
    /// where the criterion asks for that.
    pub(super) fn options(
        &self,
        budget: Budget,
        open: OpenDims,
        analysis: &Analysis,
        mut calibrated: Option<Calibrated>,
        (setup, monitor): (&Setup, &Monitor),
    ) -> Result<(Option<Calibrated>, Options), Error> {
        let mut criterion = self.formula()?;
        let implied = criterion.implies() || self.calibration.repair && criterion.is_repaired_unmeasured();
        if calibrated.is_none() && !budget.is_lossless() && implied {
            let footing = Implied::footing(analysis);
            if footing != Footing::Normalized && self.criterion.is_none() {
                // Guesses that nothing is known against mislead a choice more than a repair.
                criterion = UNGROUNDED.parse().map_err(Error::options)?;
            }
            if criterion.bears(footing) {
                calibrated = Some(self.reader(setup, monitor).imply(analysis)?);
            }
        }
        self.check_granularity()?;
        let samples = calibrated.as_ref().filter(|_| self.calibration.is_given()).map(Calibrated::samples);
        let gradients = match budget.is_lossless() {
            true => None,
            false => gradients(&criterion, analysis, samples, (self.seed, self.device), monitor)?,
        };
        let measured = calibrated.as_ref().map(|c| c.measured.clone());
        let options = Options {
            budget,
            criterion,
            seed: self.seed,
            round: self.round,
            max_ratio: self.max_ratio,
            rules: self.rules.clone(),
            include: self.include.clone(),
            exclude: self.exclude.clone(),
            leave: vec![],
            granularity: self.granularity.clone(),
            inexact: self.inexact,
            whole: None,
            open,
            lossless: self.lossless.clone(),
            measured,
            gradients,
            device: self.device,
            table: None,
            energy: EnergyModel::default(),
            setup: setup.clone(),
        };
        Ok((calibrated, options))
    }

    /// What tells units apart: where nobody says, the best that the samples allow for.
    fn formula(&self) -> Result<Formula, Error> {
        if let Some(criterion) = &self.criterion {
            return Ok(criterion.clone());
        }
        // `obs` and `fold` count on a refit of what stays.
        let usual = match (self.calibration.is_given(), self.calibration.repair) {
            (true, true) => "obs",
            (true, false) => "wanda",
            (false, true) => "fold",
            (false, false) => UNGROUNDED,
        };
        usual.parse().map_err(Error::options)
    }

    /// Whether units are told apart by a loss, which labels say more of.
    pub(super) fn learns(&self) -> bool {
        self.formula().is_ok_and(|f| f.wants().into_iter().any(Want::by_loss))
    }

    /// Who reads the samples.
    pub(super) fn reader<'a>(&'a self, setup: &'a Setup, monitor: &'a Monitor) -> Reader<'a> {
        Reader { calibration: &self.calibration, sizes: &self.sizes, setup, monitor }
    }

    /// The sizes for counting costs; one that the model does not have is a mistake.
    pub(super) fn open(&self, model: &Model) -> Result<OpenDims, Error> {
        OpenDims::given(&passes::opened(model), &self.sizes).map_err(Error::options)
    }

    /// Fails for a device that is not there, and for a criterion that can't be asked.
    pub(super) fn check(&self) -> Result<(), Error> {
        check_device(self.device)?;
        let Some(criterion) = &self.criterion else { return Ok(()) };
        check_criterion(criterion)?;
        if criterion.needs_data() && !self.calibration.is_given() {
            let what = format!("--criterion {criterion} needs samples");
            return Err(Error::options(what).with_hint("give some with --calib"));
        }
        Ok(())
    }

    /// Fails for a kind of units that can't be cut with these options.
    fn check_granularity(&self) -> Result<(), Error> {
        if self.granularity.contains(&Granularity::Width) && !self.inexact {
            let what = "--granularity width: removing units of a residual width changes the others";
            return Err(Error::options(what).with_hint("allow that with --inexact"));
        }
        Ok(())
    }
}

impl Zeros {
    /// What is asked for, if anything is.
    pub(super) fn options(&self, calibration: &Calibration) -> Result<Option<sparsity::Options>, Error> {
        let Some(pattern) = self.pattern else { return Ok(None) };
        let method = self.method.unwrap_or(match (calibration.is_given(), calibration.repair) {
            (false, _) => Method::Magnitude,
            (true, false) => Method::Wanda,
            (true, true) => Method::SparseGpt,
        });
        if method != Method::Magnitude && !calibration.is_given() {
            let what = format!("--sparsity-method {method} needs samples");
            return Err(Error::options(what).with_hint("give some with --calib"));
        }
        Ok(Some(sparsity::Options { pattern, method }))
    }
}

/// Why no plan was made: a pattern that can't be read is a mistake in the options.
pub(super) fn failure(error: ChooseError) -> Error {
    match error {
        ChooseError::Pattern { .. } | ChooseError::NoMatch(_) => Error::options(error),
        ChooseError::Table(TableError::Missing { .. }) => {
            Error::new(error).with_hint("`secateur profile` makes the table of a model; give it the same --dim")
        }
        _ => Error::new(error),
    }
}

/// Fails for a criterion that this build can't work out.
pub(crate) fn check_criterion(criterion: &Formula) -> Result<(), Error> {
    match criterion.wants().is_empty() {
        true => Ok(()),
        false => check_gradients(&format!("--criterion {criterion}")),
    }
}

/// Fails where the build can't differentiate; `what` needs that.
pub(crate) fn check_gradients(what: &str) -> Result<(), Error> {
    match cfg!(feature = "gradients") {
        true => Ok(()),
        false => {
            let error = Error::options(format!("{what}: this build can't differentiate"));
            Err(error.with_hint("build it with `--features gradients`"))
        }
    }
}

/// Fails where the build or the machine does not have the device.
pub(crate) fn check_device(device: Device) -> Result<(), Error> {
    device.check().map_err(|e| match e {
        EngineError::NoGpu => {
            let how =
                "`cargo build --release --features cuda`, or leave out --device: gradients are computed on the CPU";
            Error::options(e).with_hint(how)
        }
        _ => Error::new(e).with_hint("see `nvidia-smi`; without --device gradients are computed on the CPU"),
    })
}

/// What a formula looks at of gradients, told of on the way.
pub(crate) fn gradients(
    formula: &Formula,
    analysis: &Analysis,
    samples: Option<&dyn Samples>,
    (seed, device): (u64, Device),
    monitor: &Monitor,
) -> Result<Option<Arc<Gradients>>, Error> {
    let work = monitor.begin("differentiating", Steps::Open)?;
    let done = || work.step(1);
    let found = Gradients::wanted(formula.wants(), analysis, samples, seed, device, &done).map_err(|e| match e {
        GradientError::Lower(e) => Error::new(e).with_hint("choose by a criterion that needs no gradients"),
        GradientError::Engine(e @ EngineError::NoDouble(_)) => {
            Error::new(e).with_hint("choose by another criterion, or leave out --device")
        }
        e => Error::new(e),
    })?;
    drop(work);
    found.iter().flat_map(|g| &g.notes).for_each(|note| monitor.note(&format!("note: {note}")));
    Ok(found)
}
