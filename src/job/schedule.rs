//! What a budget, or a quality constraint in its place, comes to: trials, rounds and folds before a model is made.

use super::Error;
use super::choose::Chooser;
use super::monitor::{Monitor, Steps};
use super::options::{HeldOut, Search, Training};
use super::samples::{Calibrated, Reader, batches, labels};
use super::search::{
    self, CONSTRAINTS, Constraint, Evaluator, Iterated, RoundTrainer, Rounds, SearchError, SearchReport, Subject,
};
use super::selection::{check_gradients, failure};
use super::training::{hinted, note_untrained};
use crate::analysis::Analysis;
use crate::autograd::Device;
use crate::feed::{Labels, Samples};
use crate::ir::Model;
use crate::judge::Task;
use crate::oracle::Setup;
use crate::passes::inlined;
use crate::plan::{Budget, Options, Plan, Ranking};
use crate::prune;
use crate::stats::{self, RunOptions};
use crate::tune::{self, Teacher, Tick};
use std::cell::Cell;

/// One in so many samples is held out.
const HELD_OUT: usize = 4;

/// All that trials are made of.
pub(super) struct SearchRun<'a> {
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
            return Err(SearchError::NoSamples.into());
        }
        Ok((Some(batches(rest)), held_out))
    }

    /// What evaluates models on these samples.
    pub(super) fn evaluator<'a>(
        &self,
        model: &'a Model,
        samples: &'a Samples,
        setup: &'a Setup,
    ) -> Result<Evaluator<'a>, Error> {
        Ok(Evaluator::new(model, samples, self.judged(), setup)?)
    }
}

impl Search {
    /// Whether samples must be held out.
    pub(super) fn judges(&self, constraint: Option<Constraint>) -> bool {
        self.trials.is_some() || constraint.is_some()
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
    pub(super) fn check(&self, budget: Budget, constraint: Option<Constraint>) -> Result<(), Error> {
        if self.trials.is_some() && constraint.is_none() && budget.share().is_none() {
            let what = "--search redistributes a budget over the groups, but --ratio fixes the share of every group";
            return Err(Error::options(what).with_hint("give --macs, --params, --size or --peak-memory"));
        }
        if let Some(kind) = constraint.map(Constraint::kind).filter(|kind| kind.needs_labels)
            && self.held_out.judged().is_none()
        {
            let what = format!("--{} needs labels, and there are none", kind.name);
            let others = CONSTRAINTS.iter().filter(|other| !other.needs_labels);
            let others: String = others.map(|other| format!(", or --{}, which needs none", other.name)).collect();
            return Err(Error::options(what).with_hint(format!("give --labels{others}")));
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

impl SearchRun<'_> {
    /// The plan, what was tried on the way to it, and the prepared model that was trained meanwhile.
    pub(super) fn run(&self) -> Result<(Plan, SearchReport, Option<Model>), Error> {
        let ranking = Ranking::new(self.analysis, self.options).map_err(failure)?;
        let mut searched = SearchReport { held_out: self.held_out.map_or(0, Samples::len), ..SearchReport::default() };
        let evaluator = |samples| self.search().held_out.evaluator(self.chooser.model, samples, self.chooser.setup());
        let evaluator = self.held_out.map(evaluator).transpose()?;
        let (plan, trained) = match &evaluator {
            Some(evaluator) => (self.tried(&ranking, evaluator, &mut searched)?, None),
            None if self.search().training.is_given() => {
                let Iterated { plan, trained, rounds } = self.trained()?;
                searched.rounds = rounds;
                (plan, trained)
            }
            None => (self.plan(&ranking, self.options.budget)?, None),
        };
        if let Some(count) = self.search().folds.filter(|_| searched.violated().is_none()) {
            searched.folds = Some(self.folds(count, searched.budget())?);
        }
        Ok((plan, searched, trained))
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
        let execution = RunOptions { setup: self.chooser.setup(), memory: self.reader.calibration.memory };
        Subject { original, analysis, open, simplify: prune::SIMPLIFY, repair, execution }
    }

    fn plan(&self, ranking: &Ranking, budget: Budget) -> Result<Plan, SearchError> {
        let Some(count) = self.search().rounds else { return Ok(ranking.plan(budget, &ranking.level())?) };
        Ok(search::rounds(&self.subject(), self.options, budget, &self.rounds(count, None))?.plan)
    }

    fn rounds<'b>(&'b self, count: usize, tuning: Option<&'b RoundTrainer<'b>>) -> Rounds<'b> {
        let samples = self.calibrated.map(|c| c.samples() as &dyn stats::Samples);
        Rounds { count, samples, tuning, done: &|| {} }
    }

    /// Comes down to the budget in rounds, with training after each.
    fn trained(&self) -> Result<Iterated, Error> {
        let count = self.search().rounds.unwrap_or(1);
        let labels = self.search().held_out.calib_labels();
        let samples = self.reader.labelled(self.chooser.model, labels)?.ok_or(SearchError::NoSamples)?;
        let teacher = Teacher::new(&inlined(self.chooser.model), None, vec![], self.chooser.setup().clone())?;
        note_untrained(self.chooser.model, self.monitor());
        let (work, steps) = (self.monitor().begin("training", Steps::Training)?, Cell::new(0));
        let progress = |tick: Tick| {
            steps.set(steps.get() + 1);
            work.trained(Tick { step: steps.get(), of: tick.of * count, ..tick });
        };
        let options = self.search().training.options(self.options.seed, self.options.device);
        let tuning = RoundTrainer { teacher: &teacher, samples: &samples, options, progress: &progress };
        let rounds = self.rounds(count, Some(&tuning));
        search::rounds(&self.subject(), self.options, self.options.budget, &rounds).map_err(|error| match error {
            SearchError::Tune(cause) => hinted(&cause, format!("tuning: {cause}")),
            error => error.into(),
        })
    }

    /// Looks for what satisfies the constraint, and for a better allocation of that budget.
    fn tried(&self, ranking: &Ranking, evaluator: &Evaluator, searched: &mut SearchReport) -> Result<Plan, Error> {
        let subject = self.subject();
        let tried = |budget, plan| {
            self.monitor().check()?;
            subject.tried(budget, plan, evaluator)
        };
        let (mut plan, mut budget) = (None, self.options.budget);
        if let Some(constraint) = self.chooser.choice.constraint {
            let work = self.monitor().begin("searching for the smallest model", Steps::Of(search::STEPS))?;
            let found = search::smallest(constraint, &|b| self.plan(ranking, b), &tried, &|| work.step(1))?;
            let chosen = found.chosen.map(|c| found.trials[c].clone());
            searched.constraint = Some(found);
            let Some(chosen) = chosen else { return Ok(nothing(self.analysis, self.options, constraint)) };
            (plan, budget) = (Some(chosen.plan), chosen.budget);
        }
        if let Some(count) = self.search().trials {
            let work = self.monitor().begin("searching", Steps::Of(count + 1))?;
            let trials = (count, self.options.seed);
            let found = search::search_allocation(ranking, budget, trials, &tried, &|| work.step(1))?;
            let best = &found.trials[found.best];
            if self.chooser.choice.constraint.is_none_or(|c| c.is_satisfied(best)) {
                plan = Some(best.plan.clone());
            }
            searched.allocation = Some(found);
        }
        plan.map_or_else(|| Ok(self.plan(ranking, budget)?), Ok)
    }

    fn folds(&self, count: usize, budget: Option<Budget>) -> Result<search::Folds, Error> {
        let held_out = &self.search().held_out;
        // With samples of their own to judge by, the labels are not those of the samples that fall into folds.
        let task = held_out.judged().filter(|_| held_out.source.is_none());
        let labels = held_out.calib_labels();
        let samples = self.reader.labelled(self.chooser.model, labels)?.ok_or(SearchError::NoSamples)?;
        let options = Options { budget: budget.unwrap_or(self.options.budget), ..self.options.clone() };
        let work = self.monitor().begin("folds", Steps::Of(count))?;
        let how = (count, self.reader.calibration.repair);
        Ok(search::folds(&self.subject(), &options, &samples, how, task, &|| work.step(1))?)
    }
}

/// The plan under a constraint that the mildest cut violates.
fn nothing(analysis: &Analysis, options: &Options, constraint: Constraint) -> Plan {
    let plan = Plan::of_layers(analysis, vec![], &options.criterion.to_string());
    Plan { budget: constraint.to_string(), ..plan }
}
