//! Arguments for what is tried before a model is made, shared by `plan` and `prune`.

use super::Failure;
use super::calibration::{Calibrated, Calibration, batches};
use super::data::{Judging, TaskName, labels};
use super::progress::Progress;
use super::training::{self, tell_untrained};
use super::tuning::Tuning;
use crate::analysis::Analysis;
use crate::drive::{self, Descended, DriveError, Driven, Jury, Promise, Rounds, Subject};
use crate::feed::{Labels, Samples};
use crate::ir::Model;
use crate::judge::Task;
use crate::passes::inlined;
use crate::plan::{Budget, Options, Plan, Ranking};
use crate::prune;
use crate::stats;
use crate::tune::{Teacher, Tick};
use clap::Args;
use std::cell::Cell;
use std::path::PathBuf;

/// What is tried.
#[derive(Args)]
pub struct Driving {
    /// Try N more ways to spread the budget over the groups, and take the one whose result is best on held-out samples
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    #[arg(conflicts_with = "iterative")]
    search: Option<u32>,
    /// Reach the budget in N rounds, measuring again in each
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    iterative: Option<u32>,
    /// Cross-validate: choose and evaluate N more times, each time without another part of the samples, and report how
    /// much figures and units differ
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..), requires = "calib")]
    folds: Option<u32>,
    #[command(flatten)]
    pub tuning: Tuning,
    #[command(flatten)]
    pub court: Court,
}

/// Samples to judge by what is tried.
#[derive(Args, Clone)]
pub struct Court {
    /// Held-out samples to evaluate trials on, in any form that --calib takes; else every fourth sample of --calib is
    /// held out
    #[arg(long, value_name = "SAMPLES", value_hint = clap::ValueHint::AnyPath)]
    judge: Option<String>,
    /// Labels of --judge, or else of --calib
    #[arg(long, value_name = "FILE")]
    judge_labels: Option<PathBuf>,
    /// The model's task, to evaluate trials by [default: classification]
    #[arg(long, value_enum, value_name = "TASK")]
    judge_task: Option<TaskName>,
}

/// One in so many samples is held out.
const HELD_OUT: usize = 4;

impl Court {
    /// Takes over labels and task that were given in other words.
    pub fn or(&mut self, judging: &Judging) {
        let (labels, task) = judging.given();
        self.judge_labels = self.judge_labels.take().or(labels);
        self.judge_task = self.judge_task.or(task);
    }

    /// What models are judged for, where there is something to tell by.
    fn task(&self) -> Option<Task> {
        let task = self.judge_task.map_or(Task::default(), TaskName::task);
        (self.judge_labels.is_some() || task == Task::Perplexity).then_some(task)
    }

    fn labels(&self) -> Option<Labels> {
        Some(labels(self.judge_labels.clone()?, self.task().unwrap_or_default()))
    }

    /// The labels of --calib.
    pub fn calib_labels(&self) -> Option<Labels> {
        self.labels().filter(|_| self.judge.is_none())
    }

    /// The samples to measure on, if there are any, and those to judge by.
    pub fn samples(&self, calib: &Calibration, model: &Model) -> Result<(Option<stats::Batches>, Samples), Failure> {
        if let Some(spec) = &self.judge {
            return Ok((calib.samples(model)?, calib.open(spec, model, self.labels())?));
        }
        let none = || Failure::usage("there are no samples to evaluate on").hint("give some with --calib or --judge");
        let all = calib.labelled(model, self.labels())?.ok_or_else(none)?;
        let (rest, held_out) = all.fold(HELD_OUT - 1, HELD_OUT);
        if rest.is_empty() || held_out.is_empty() {
            return Err(DriveError::NoSamples.into());
        }
        Ok((Some(batches(rest)), held_out))
    }

    /// The jury of these samples.
    pub fn jury<'a>(&self, model: &'a Model, samples: &'a Samples) -> Result<Jury<'a>, Failure> {
        Ok(Jury::new(model, samples, self.task())?)
    }
}

/// What a budget, or a promise in its place, comes to.
pub struct Drive<'a> {
    pub driving: &'a Driving,
    pub calibration: &'a Calibration,
    pub model: &'a Model,
    pub analysis: &'a Analysis,
    pub calibrated: Option<&'a Calibrated>,
    pub held_out: Option<&'a Samples>,
    pub options: &'a Options,
    pub promise: Option<Promise>,
}

impl Driving {
    /// Whether samples must be held out.
    pub fn judges(&self, promise: Option<Promise>) -> bool {
        self.search.is_some() || promise.is_some()
    }

    /// Whether some of the samples to choose by must have had no part in the choice.
    pub fn holds_out_of_calib(&self) -> bool {
        self.folds.is_some() || self.search.is_some() && self.court.judge.is_none()
    }

    /// Whether there is more to do than to choose once.
    pub fn is_given(&self) -> bool {
        self.search.is_some() || self.iterative.is_some() || self.folds.is_some()
    }

    /// Fails for what can't be tried.
    pub fn check(&self, budget: Budget, promise: Option<Promise>) -> Result<(), Failure> {
        if self.search.is_some() && promise.is_none() && budget.share().is_none() {
            let what = "--search redistributes a budget over the groups, but --ratio fixes the share of every group";
            return Err(Failure::usage(what).hint("give --macs, --params, --size or --peak-memory"));
        }
        if matches!(promise, Some(Promise::Drop(_))) && self.court.task().is_none() {
            let what = "--max-drop needs labels, and there are none";
            return Err(Failure::usage(what).hint("give --labels, or --max-drift, which needs none"));
        }
        self.tuning.check()
    }
}

impl Drive<'_> {
    /// The plan, what was tried on the way to it, and the prepared model that was trained meanwhile.
    pub fn run(&self) -> Result<(Plan, Driven, Option<Model>), Failure> {
        let ranking = Ranking::new(self.analysis, self.options).map_err(super::choice::failure)?;
        let mut driven = Driven { held_out: self.held_out.map_or(0, Samples::len), ..Driven::default() };
        let jury = self.held_out.map(|samples| self.driving.court.jury(self.model, samples)).transpose()?;
        let (plan, trained) = match &jury {
            Some(jury) => (self.tried(&ranking, jury, &mut driven)?, None),
            None if self.driving.tuning.is_given() => {
                let Descended { plan, trained, tuned } = self.tuned()?;
                driven.tuned = tuned;
                (plan, trained)
            }
            None => (self.plan(&ranking, self.options.budget)?, None),
        };
        if let Some(count) = self.driving.folds.filter(|_| driven.broken().is_none()) {
            driven.folds = Some(self.folds(count as usize, driven.budget())?);
        }
        Ok((plan, driven, trained))
    }

    fn subject(&self) -> Subject<'_> {
        let repair = self.calibrated.and_then(|c| c.repair(&|| {}));
        let (original, analysis, open) = (self.model, self.analysis, &self.options.open);
        Subject { original, analysis, open, simplify: prune::SIMPLIFY, repair }
    }

    fn plan(&self, ranking: &Ranking, budget: Budget) -> Result<Plan, DriveError> {
        let Some(count) = self.driving.iterative else { return Ok(ranking.plan(budget, &ranking.level())?) };
        Ok(drive::rounds(&self.subject(), self.options, budget, &self.rounds(count, None))?.plan)
    }

    fn rounds<'b>(&'b self, count: u32, tuning: Option<&'b drive::Tuning<'b>>) -> Rounds<'b> {
        let samples = self.calibrated.map(|c| c.samples() as &dyn stats::Samples);
        Rounds { count: count as usize, samples, tuning, done: &|| {} }
    }

    /// Comes down to the budget in rounds, with training after each.
    fn tuned(&self) -> Result<Descended, Failure> {
        let count = self.driving.iterative.unwrap_or(1);
        let labels = self.driving.court.calib_labels();
        let samples = self.calibration.labelled(self.model, labels)?.ok_or(DriveError::NoSamples)?;
        let teacher = Teacher::new(&inlined(self.model), None, vec![])?;
        tell_untrained(self.model);
        let (progress, steps) = (Progress::training(), Cell::new(0));
        let tell = |tick: Tick| {
            steps.set(steps.get() + 1);
            progress.tick(Tick { step: steps.get(), of: tick.of * count as usize, ..tick });
        };
        let options = self.driving.tuning.options(self.options.seed, self.options.device);
        let tuning = drive::Tuning { teacher: &teacher, samples: &samples, options, tell: &tell };
        let rounds = self.rounds(count, Some(&tuning));
        drive::rounds(&self.subject(), self.options, self.options.budget, &rounds).map_err(|error| match error {
            DriveError::Tune(cause) => training::hinted(&cause, format!("tuning: {cause}")),
            error => error.into(),
        })
    }

    /// Looks for what keeps the promise, and for a better allocation of that budget.
    fn tried(&self, ranking: &Ranking, jury: &Jury, driven: &mut Driven) -> Result<Plan, Failure> {
        let subject = self.subject();
        let tried = |budget, plan| subject.tried(budget, plan, jury);
        let (mut plan, mut budget) = (None, self.options.budget);
        if let Some(promise) = self.promise {
            let progress = Progress::new("searching for the smallest model", drive::STEPS);
            let kept = drive::keep(promise, &|b| self.plan(ranking, b), &tried, &|| progress.step(1))?;
            let chosen = kept.chosen.map(|c| kept.trials[c].clone());
            driven.promise = Some(kept);
            let Some(chosen) = chosen else { return Ok(nothing(self.analysis, self.options, promise)) };
            (plan, budget) = (Some(chosen.plan), chosen.budget);
        }
        if let Some(count) = self.driving.search {
            let progress = Progress::new("searching", count as usize + 1);
            let lots = (count as usize, self.options.seed);
            let searched = drive::search(ranking, budget, lots, &tried, &|| progress.step(1))?;
            let best = &searched.trials[searched.best];
            if self.promise.is_none_or(|p| p.is_kept(best)) {
                plan = Some(best.plan.clone());
            }
            driven.search = Some(searched);
        }
        plan.map_or_else(|| Ok(self.plan(ranking, budget)?), Ok)
    }

    fn folds(&self, count: usize, budget: Option<Budget>) -> Result<drive::Folds, Failure> {
        let court = &self.driving.court;
        // With samples of their own to judge by, the labels are not those of the samples that fall into folds.
        let task = court.task().filter(|_| court.judge.is_none());
        let labels = court.labels().filter(|_| court.judge.is_none());
        let samples = self.calibration.labelled(self.model, labels)?.ok_or(DriveError::NoSamples)?;
        let options = Options { budget: budget.unwrap_or(self.options.budget), ..self.options.clone() };
        let progress = Progress::new("folds", count);
        let how = (count, self.calibration.refits());
        Ok(drive::folds(&self.subject(), &options, &samples, how, task, &|| progress.step(1))?)
    }
}

/// The plan of a promise that the gentlest cut breaks.
fn nothing(analysis: &Analysis, options: &Options, promise: Promise) -> Plan {
    let plan = Plan::of_layers(analysis, vec![], &options.criterion.to_string());
    Plan { budget: promise.to_string(), ..plan }
}
