//! A plan is carried out and proved; where the proof fails, without the groups that are to blame.

use super::Error;
use super::check::{self, Checked};
use super::files;
use super::monitor::Steps;
use super::options::{Choice, Selection};
use super::prove::{self, Failed, ProveError, Prover, Settled};
use super::report::{self, Metrics, SampleReport};
use super::run::Run;
use super::search::SearchReport;
use crate::ir::Model;
use crate::plan::{self, Options, Plan};
use crate::prune::{self, After, PruneError, Pruned, Stages};

/// A plan that was carried out and checked.
pub(super) struct Proved {
    pub pruned: Pruned,
    pub verification: report::Outcome,
    /// Whether the result computes something else than it must.
    pub failed: bool,
}

/// The same, or why the result is wrong.
enum Attempt {
    Proved(Proved),
    Wrong(String, Option<Proved>),
}

impl Run<'_> {
    /// Carries out the job's plan. If the proof fails, the groups to blame are found and stay whole, and the job's plan
    /// is what is left of it.
    pub(super) fn proved(&mut self, stages: &mut Stages) -> Result<Proved, Error> {
        let (why, wrong) = match self.attempt(stages)? {
            Attempt::Proved(proved) => return Ok(proved),
            Attempt::Wrong(why, wrong) => (why, wrong),
        };
        let settled = stages.time("find the groups to blame", || self.settle(&why))?;
        if settled {
            match self.attempt(stages)? {
                Attempt::Proved(proved) => return Ok(proved),
                Attempt::Wrong(why, None) => return Err(Error::check(format!("{why}; nothing was written"))),
                Attempt::Wrong(_, Some(proved)) => return Ok(proved),
            }
        }
        wrong.ok_or_else(|| Error::check(format!("{why}; nothing was written")))
    }

    fn attempt(&self, stages: &mut Stages) -> Result<Attempt, Error> {
        let pruned = match self.carried_out(stages)? {
            Ok(pruned) => pruned,
            Err(e) if e.is_defect() => return Ok(Attempt::Wrong(e.to_string(), None)),
            Err(e) => return Err(e.into()),
        };
        let pruned = self.signed(pruned)?;
        Ok(match self.check_result(&pruned, stages)? {
            Checked::Right(verification) => Attempt::Proved(Proved { pruned, verification, failed: false }),
            Checked::Wrong(why, found) => {
                let proved = found.map(|verification| Proved { pruned, verification, failed: true });
                Attempt::Wrong(why, proved)
            }
        })
    }

    fn carried_out(&self, stages: &mut Stages) -> Result<Result<Pruned, PruneError>, Error> {
        let work = match &self.calibrated {
            Some(_) => self.monitor().begin("repairing", Steps::Open)?,
            None => self.monitor().begin("cutting", Steps::None)?,
        };
        let done = || work.step(1);
        let repair = self.calibrated.as_ref().filter(|_| self.trained.is_none()).and_then(|c| c.repair(&done));
        let cut = if repair.is_some() { "cut and repair" } else { "cut" };
        let (simplify, trained, sparsify) = (&self.options.simplify, self.trained.as_ref(), self.sparsify());
        let after = After { simplify, repair, trained, sparsify };
        let (analysis, plan) = (&self.shortened.analysis, &self.plan);
        Ok(stages.time(cut, || prune::finish(self.model, analysis, plan, &self.open, after)))
    }

    /// The result with how it was made in its metadata.
    fn signed(&self, mut pruned: Pruned) -> Result<Pruned, Error> {
        if !self.is_nothing() {
            let input = self.options.input.as_ref().map(|path| files::hash(path, self.model)).transpose()?;
            let options = self.options.record.result.clone();
            let Choice { selection: Selection { calibration, .. }, search, .. } = &self.options.choice;
            let made_up = matches!(self.sampled, SampleReport::MadeUp { .. });
            // What weights that were refitted to samples, or trained, depend on beside the plan.
            let refitted = (calibration.is_given() || made_up) && (calibration.repair || self.sparsify.is_some());
            let ran =
                (refitted || search.training.is_given()).then(|| self.options.verification.setup.ran().ok()).flatten();
            let runtime = ran.map_or_else(String::new, |ran| ran.id());
            let target = self.plan.target().unwrap_or_default().to_owned();
            let samples = if made_up { self.sampled.to_string() } else { String::new() };
            let entries = [
                ("input", input.unwrap_or_default()),
                ("options", options),
                ("samples", samples),
                ("runtime", runtime),
                ("target", target),
            ];
            prune::sign(&mut pruned.model, &entries);
            let tuned = self.searched.as_ref().and_then(SearchReport::training);
            tuned.iter().for_each(|text| prune::sign(&mut pruned.model, &[("tuned", text.clone())]));
        }
        Ok(pruned)
    }

    /// Finds the groups to blame and leaves them out of the plan; whether that is of any use.
    fn settle(&mut self, why: &str) -> Result<bool, Error> {
        let Some(Settled { plan, groups, runs, replanned }) = self.settled()? else { return Ok(false) };
        let mut dropped = vec![];
        if self.trained.take().is_some() {
            dropped.push("the training, which was for the whole plan".to_owned());
        }
        if self.machine.take().is_some() {
            dropped.push("the figures of the machine, which were for the whole plan".to_owned());
        }
        if groups.is_empty() {
            dropped.push("the whole plan: the result is wrong even with no group cut".to_owned());
            (self.shortened.layers, self.shortened.zeroing, self.sparsify) = (vec![], vec![], None);
        }
        self.plan = plan;
        self.unproved = Some(Failed { why: why.to_owned(), groups, runs, replanned, dropped });
        Ok(true)
    }

    /// What is left of the plan without the groups to blame; `None` where nothing can be found out, or no group is.
    fn settled(&self) -> Result<Option<Settled>, Error> {
        let work = self.monitor().begin("isolating the groups that are not exact", Steps::Open)?;
        let options = self.options.proof.then(|| self.options.verify()).transpose()?;
        let analysis = &self.shortened.analysis;
        let prover = Prover::new(self.model, analysis, &self.options.simplify, &self.open, options);
        let mut holds = |plan: &Plan| {
            self.monitor().check()?;
            work.step(1);
            prover.holds(plan)
        };
        // What came after the cut may be to blame, and then no group is.
        let more = self.trained.is_some() || self.sparsify.is_some() || self.calibrated.is_some();
        let found = match more.then(|| holds(&self.plan)) {
            Some(Ok(true)) => return Ok(None),
            _ => prove::settle(&self.plan, analysis, &mut holds, &mut |leave| self.replanned(leave)),
        };
        match found {
            Ok(settled) => Ok(Some(settled)),
            // Where the models can't be run after all, nothing can be found out.
            Err(ProveError::Verify(_)) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// A plan that meets the budget without these groups.
    fn replanned(&self, leave: &[String]) -> Option<Plan> {
        let options = self.replan.as_ref()?;
        let analysis = &self.shortened.analysis;
        let leave = leave.iter().filter_map(|label| analysis.groups.named(label)).map(|group| group.id).collect();
        let anew = plan::choose(analysis, &Options { leave, ..options.clone() }).ok()?;
        let (layers, options) = (self.plan.layers.clone(), self.plan.options.clone());
        Some(Plan { layers, options, ..anew })
    }

    /// Runs a result and what it is compared with.
    pub(super) fn check_result(&self, pruned: &Pruned, stages: &mut Stages) -> Result<Checked, Error> {
        let reference = self.reference(pruned)?;
        let Some(reference) = reference else { return Ok(Checked::Right(report::Outcome::Skipped)) };
        let expected = reference.as_ref().map_err(String::as_str);
        let options = self.options.verify()?;
        stages.time("verify", || check::check(self.model, expected, pruned, &options, self.monitor()))
    }

    /// How good both models are, where there are labels and the models could be run.
    pub(super) fn metrics(&self, proved: &Proved, stages: &mut Stages) -> Result<Option<Metrics>, Error> {
        let ran = matches!(&proved.verification, report::Outcome::Ran(_) | report::Outcome::NoReference { .. });
        if !ran || !self.options.verification.judging.is_asked() {
            return Ok(None);
        }
        stages.time("judge", || self.options.metrics(self.model, &proved.pruned.model))
    }

    /// What the pruned model is compared with, or why there is nothing; `None` where nobody asks.
    fn reference(&self, pruned: &Pruned) -> Result<Option<Result<Model, String>>, Error> {
        let verified = self.options.proof && !self.is_nothing();
        if !verified && self.options.reference.is_none() {
            return Ok(None);
        }
        let expected = check::expected(self.model, &self.shortened.analysis, &self.plan.layers, pruned)?;
        let Some(path) = &self.options.reference else { return Ok(Some(check::expected_or_why(expected)?)) };
        let model = expected?;
        files::save_beside(&model, path, self.options.input.clone())?;
        Ok(verified.then_some(Ok(model)))
    }
}
