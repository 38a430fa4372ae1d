//! What a budget, or a promise in its place, comes to: trials, rounds and folds before a model is made.

use super::Error;
use super::choose::Chooser;
use super::monitor::{Monitor, Steps};
use super::options::{HeldOut, Search, Training};
use super::samples::{Calibrated, Reader, batches, labels};
use super::search::{self, Descended, DriveError, Driven, Jury, Promise, Rounds, Subject, Tuning};
use super::selection::{check_gradients, failure};
use super::training::{hinted, tell_untrained};
use crate::analysis::Analysis;
use crate::autograd::Device;
use crate::feed::{Labels, Samples};
use crate::ir::Model;
use crate::judge::Task;
use crate::oracle::Setup;
use crate::passes::inlined;
use crate::plan::{Budget, Options, Plan, Ranking};
use crate::prune;
use crate::stats;
use crate::tune::{self, Teacher, Tick};
use std::cell::Cell;

/// One in so many samples is held out.
const HELD_OUT: usize = 4;

/// All that trials are made of.
pub(super) struct Schedule<'a> {
    pub chooser: &'a Chooser<'a>,
    pub reader: Reader<'a>,
    pub analysis: &'a Analysis,
    pub calibrated: Option<&'a Calibrated>,
    pub held_out: Option<&'a Samples>,
    pub options: &'a Options,
}

impl HeldOut {
    /// What models are judged for, where there is something to tell by.
    fn judged(&self) -> Option<Task> {
        let task = self.task.unwrap_or_default();
        (self.labels.is_some() || task == Task::Perplexity).then_some(task)
    }

    fn read_labels(&self) -> Option<Labels> {
        Some(labels(self.labels.clone()?, self.judged().unwrap_or_default()))
    }

    /// The labels of the samples to choose by.
    pub(super) fn calib_labels(&self) -> Option<Labels> {
        self.read_labels().filter(|_| self.source.is_none())
    }

    /// The samples to measure on, if there are any, and those to judge by.
    pub(super) fn samples(&self, reader: &Reader, model: &Model) -> Result<(Option<stats::Batches>, Samples), Error> {
        if let Some(spec) = &self.source {
            return Ok((reader.samples(model)?, reader.open(spec, model, self.read_labels())?));
        }
        let none =
            || Error::options("there are no samples to evaluate on").with_hint("give some with --calib or --judge");
        let all = reader.labelled(model, self.read_labels())?.ok_or_else(none)?;
        let (rest, held_out) = all.fold(HELD_OUT - 1, HELD_OUT);
        if rest.is_empty() || held_out.is_empty() {
            return Err(DriveError::NoSamples.into());
        }
        Ok((Some(batches(rest)), held_out))
    }

    /// The jury of these samples.
    pub(super) fn jury<'a>(&self, model: &'a Model, samples: &'a Samples, setup: &'a Setup) -> Result<Jury<'a>, Error> {
        Ok(Jury::new(model, samples, self.judged(), setup)?)
    }
}

impl Search {
    /// Whether samples must be held out.
    pub(super) fn judges(&self, promise: Option<Promise>) -> bool {
        self.trials.is_some() || promise.is_some()
    }

    /// Whether some of the samples to choose by must have had no part in the choice.
    pub(super) fn holds_out_of_calib(&self) -> bool {
        self.folds.is_some() || self.trials.is_some() && self.held_out.source.is_none()
    }

    /// Whether there is more to do than to choose once.
    pub(super) fn is_given(&self) -> bool {
        self.trials.is_some() || self.rounds.is_some() || self.folds.is_some()
    }

    /// Fails for what can't be tried.
    pub(super) fn check(&self, budget: Budget, promise: Option<Promise>) -> Result<(), Error> {
        if self.trials.is_some() && promise.is_none() && budget.share().is_none() {
            let what = "--search redistributes a budget over the groups, but --ratio fixes the share of every group";
            return Err(Error::options(what).with_hint("give --macs, --params, --size or --peak-memory"));
        }
        if matches!(promise, Some(Promise::Drop(_))) && self.held_out.judged().is_none() {
            let what = "--max-drop needs labels, and there are none";
            return Err(Error::options(what).with_hint("give --labels, or --max-drift, which needs none"));
        }
        if self.training.is_given() { check_gradients("--tune-steps") } else { Ok(()) }
    }
}

impl Training {
    /// Whether there is training.
    pub(super) fn is_given(&self) -> bool {
        self.steps.is_some()
    }

    /// How each round trains, and where.
    fn options(&self, seed: u64, device: Device) -> tune::Options {
        let usual = tune::Options::default();
        let (rate, batch) = (self.rate.unwrap_or(usual.rate), self.batch.unwrap_or(usual.batch));
        tune::Options { steps: self.steps, rate, batch, device, seed, ..usual }
    }
}

impl Schedule<'_> {
    /// The plan, what was tried on the way to it, and the prepared model that was trained meanwhile.
    pub fn run(&self) -> Result<(Plan, Driven, Option<Model>), Error> {
        let ranking = Ranking::new(self.analysis, self.options).map_err(failure)?;
        let mut driven = Driven { held_out: self.held_out.map_or(0, Samples::len), ..Driven::default() };
        let jury = |samples| self.search().held_out.jury(self.chooser.model, samples, self.chooser.setup());
        let jury = self.held_out.map(jury).transpose()?;
        let (plan, trained) = match &jury {
            Some(jury) => (self.tried(&ranking, jury, &mut driven)?, None),
            None if self.search().training.is_given() => {
                let Descended { plan, trained, tuned } = self.tuned()?;
                driven.tuned = tuned;
                (plan, trained)
            }
            None => (self.plan(&ranking, self.options.budget)?, None),
        };
        if let Some(count) = self.search().folds.filter(|_| driven.broken().is_none()) {
            driven.folds = Some(self.folds(count, driven.budget())?);
        }
        Ok((plan, driven, trained))
    }

    fn search(&self) -> &Search {
        &self.chooser.choice.search
    }

    fn monitor(&self) -> &Monitor {
        self.chooser.monitor
    }

    fn subject(&self) -> Subject<'_> {
        let repair = self.calibrated.and_then(|c| c.repair(&|| {}));
        let (original, analysis, open) = (self.chooser.model, self.analysis, &self.options.open);
        Subject { original, analysis, open, simplify: prune::SIMPLIFY, repair, setup: self.chooser.setup() }
    }

    fn plan(&self, ranking: &Ranking, budget: Budget) -> Result<Plan, DriveError> {
        let Some(count) = self.search().rounds else { return Ok(ranking.plan(budget, &ranking.level())?) };
        Ok(search::rounds(&self.subject(), self.options, budget, &self.rounds(count, None))?.plan)
    }

    fn rounds<'b>(&'b self, count: usize, tuning: Option<&'b Tuning<'b>>) -> Rounds<'b> {
        let samples = self.calibrated.map(|c| c.samples() as &dyn stats::Samples);
        Rounds { count, samples, tuning, done: &|| {} }
    }

    /// Comes down to the budget in rounds, with training after each.
    fn tuned(&self) -> Result<Descended, Error> {
        let count = self.search().rounds.unwrap_or(1);
        let labels = self.search().held_out.calib_labels();
        let samples = self.reader.labelled(self.chooser.model, labels)?.ok_or(DriveError::NoSamples)?;
        let teacher = Teacher::new(&inlined(self.chooser.model), None, vec![], self.chooser.setup().clone())?;
        tell_untrained(self.chooser.model, self.monitor());
        let (work, steps) = (self.monitor().begin("training", Steps::Training)?, Cell::new(0));
        let tell = |tick: Tick| {
            steps.set(steps.get() + 1);
            work.trained(Tick { step: steps.get(), of: tick.of * count, ..tick });
        };
        let options = self.search().training.options(self.options.seed, self.options.device);
        let tuning = Tuning { teacher: &teacher, samples: &samples, options, tell: &tell };
        let rounds = self.rounds(count, Some(&tuning));
        search::rounds(&self.subject(), self.options, self.options.budget, &rounds).map_err(|error| match error {
            DriveError::Tune(cause) => hinted(&cause, format!("tuning: {cause}")),
            error => error.into(),
        })
    }

    /// Looks for what keeps the promise, and for a better allocation of that budget.
    fn tried(&self, ranking: &Ranking, jury: &Jury, driven: &mut Driven) -> Result<Plan, Error> {
        let subject = self.subject();
        let tried = |budget, plan| {
            self.monitor().check()?;
            subject.tried(budget, plan, jury)
        };
        let (mut plan, mut budget) = (None, self.options.budget);
        if let Some(promise) = self.chooser.choice.promise {
            let work = self.monitor().begin("searching for the smallest model", Steps::Of(search::STEPS))?;
            let kept = search::keep(promise, &|b| self.plan(ranking, b), &tried, &|| work.step(1))?;
            let chosen = kept.chosen.map(|c| kept.trials[c].clone());
            driven.promise = Some(kept);
            let Some(chosen) = chosen else { return Ok(nothing(self.analysis, self.options, promise)) };
            (plan, budget) = (Some(chosen.plan), chosen.budget);
        }
        if let Some(count) = self.search().trials {
            let work = self.monitor().begin("searching", Steps::Of(count + 1))?;
            let lots = (count, self.options.seed);
            let searched = search::search(ranking, budget, lots, &tried, &|| work.step(1))?;
            let best = &searched.trials[searched.best];
            if self.chooser.choice.promise.is_none_or(|p| p.is_kept(best)) {
                plan = Some(best.plan.clone());
            }
            driven.search = Some(searched);
        }
        plan.map_or_else(|| Ok(self.plan(ranking, budget)?), Ok)
    }

    fn folds(&self, count: usize, budget: Option<Budget>) -> Result<search::Folds, Error> {
        let held_out = &self.search().held_out;
        // With samples of their own to judge by, the labels are not those of the samples that fall into folds.
        let task = held_out.judged().filter(|_| held_out.source.is_none());
        let labels = held_out.calib_labels();
        let samples = self.reader.labelled(self.chooser.model, labels)?.ok_or(DriveError::NoSamples)?;
        let options = Options { budget: budget.unwrap_or(self.options.budget), ..self.options.clone() };
        let work = self.monitor().begin("folds", Steps::Of(count))?;
        let how = (count, self.reader.calibration.repair);
        Ok(search::folds(&self.subject(), &options, &samples, how, task, &|| work.step(1))?)
    }
}

/// The plan of a promise that the gentlest cut breaks.
fn nothing(analysis: &Analysis, options: &Options, promise: Promise) -> Plan {
    let plan = Plan::of_layers(analysis, vec![], &options.criterion.to_string());
    Plan { budget: promise.to_string(), ..plan }
}
