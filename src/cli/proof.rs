//! A plan is carried out and proved; where the proof fails, without the groups that are to blame.

use super::progress::Progress;
use super::prune::{Finish, Job};
use super::{Failure, show, source};
use crate::ir::{self, Model};
use crate::layers::silenced;
use crate::plan::{self, Options, Plan};
use crate::prove::{self, Failed, Left, ProveError, Prover, Settled};
use crate::prune::{self, After, PruneError, Pruned, Stages};
use crate::reference::{ReferenceError, reference};
use crate::report::{self, Metrics};
use crate::sparsity;
use crate::verify;

/// What a check of a result comes to.
pub(super) enum Checked {
    /// The result is right, as far as anybody could say.
    Right(report::Outcome),
    /// It is not what it must be, for this reason; what was found out, where the models were run.
    Wrong(String, Option<report::Outcome>),
}

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

impl Finish {
    /// Carries out the job's plan. If the proof fails, the groups to blame are found and stay whole, and the job's plan is
    /// what is left of it.
    pub(super) fn proved(&self, job: &mut Job, stages: &mut Stages) -> Result<Proved, Failure> {
        let (why, wrong) = match self.attempt(job, stages)? {
            Attempt::Proved(proved) => return Ok(proved),
            Attempt::Wrong(why, wrong) => (why, wrong),
        };
        let settled = stages.time("find the groups to blame", || self.settle(job, &why))?;
        if settled {
            match self.attempt(job, stages)? {
                Attempt::Proved(proved) => return Ok(proved),
                Attempt::Wrong(why, None) => return Err(Failure::check_failed(format!("{why}; nothing was written"))),
                Attempt::Wrong(_, Some(proved)) => return Ok(proved),
            }
        }
        wrong.ok_or_else(|| Failure::check_failed(format!("{why}; nothing was written")))
    }

    fn attempt(&self, job: &Job, stages: &mut Stages) -> Result<Attempt, Failure> {
        let pruned = match self.carried_out(job, stages) {
            Ok(pruned) => pruned,
            Err(e) if e.is_defect() => return Ok(Attempt::Wrong(e.to_string(), None)),
            Err(e) => return Err(e.into()),
        };
        let pruned = self.signed(job, pruned)?;
        Ok(match self.check_result(job, &pruned, stages)? {
            Checked::Right(verification) => Attempt::Proved(Proved { pruned, verification, failed: false }),
            Checked::Wrong(why, found) => {
                let proved = found.map(|verification| Proved { pruned, verification, failed: true });
                Attempt::Wrong(why, proved)
            }
        })
    }

    fn carried_out(&self, job: &Job, stages: &mut Stages) -> Result<Pruned, PruneError> {
        let simplify = self.rewriting.text();
        let progress = match &job.calibrated {
            Some(_) => Progress::open("repairing"),
            None => Progress::waiting("cutting"),
        };
        let done = || progress.step(1);
        let repair = job.calibrated.as_ref().filter(|_| job.trained.is_none()).and_then(|c| c.repair(&done));
        let cut = if repair.is_some() { "cut and repair" } else { "cut" };
        let after = After { simplify: &simplify, repair, trained: job.trained.as_ref(), thin: job.thin() };
        stages.time(cut, || prune::finish(job.model, &job.shortened.analysis, &job.plan, &job.open, after))
    }

    fn signed(&self, job: &Job, mut pruned: Pruned) -> Result<Pruned, Failure> {
        if !job.is_nothing() {
            let input = source::hash(job.input, job.model)?;
            prune::sign(&mut pruned.model, &[("input", input), ("options", job.options.clone())]);
            let tuned = job.driven.as_ref().and_then(crate::drive::Driven::training);
            tuned.iter().for_each(|text| prune::sign(&mut pruned.model, &[("tuned", text.clone())]));
        }
        Ok(pruned)
    }

    /// Finds the groups to blame and leaves them out of the job's plan; whether that is of any use.
    fn settle(&self, job: &mut Job, why: &str) -> Result<bool, Failure> {
        let progress = Progress::open("isolating the groups that are not exact");
        let simplify = self.rewriting.text();
        let options = match self.no_verify {
            true => None,
            false => Some(self.verification.options(job.seed, job.dims)?),
        };
        let analysis = &job.shortened.analysis;
        let prover = Prover::new(job.model, analysis, &simplify, &job.open, options);
        let mut holds = |plan: &Plan| {
            progress.step(1);
            prover.holds(plan)
        };
        // What came after the cut may be to blame, and then no group is.
        let more = job.trained.is_some() || job.thin.is_some() || job.calibrated.is_some();
        let found = match more.then(|| holds(&job.plan)) {
            Some(Ok(true)) => return Ok(false),
            _ => prove::settle(&job.plan, analysis, &mut holds, &mut |leave| replanned(job, leave)),
        };
        drop(progress);
        let Settled { plan, groups, runs, replanned } = match found {
            Ok(settled) => settled,
            // Where the models can't be run after all, nothing can be found out.
            Err(ProveError::Verify(_)) => return Ok(false),
            Err(e) => return Err(Failure::new(e)),
        };
        let mut dropped = vec![];
        if job.trained.take().is_some() {
            dropped.push("the training, which was for the whole plan".to_owned());
        }
        if job.machine.take().is_some() {
            dropped.push("the figures of the machine, which were for the whole plan".to_owned());
        }
        if groups.is_empty() {
            dropped.push("the whole plan: the result is wrong even with no group cut".to_owned());
            (job.shortened.layers, job.shortened.zeroing, job.thin) = (vec![], vec![], None);
        }
        job.plan = plan;
        job.unproved = Some(Failed { why: why.to_owned(), groups, runs, replanned, dropped });
        Ok(true)
    }

    /// Runs a result and what it is compared with.
    pub(super) fn check_result(&self, job: &Job, pruned: &Pruned, stages: &mut Stages) -> Result<Checked, Failure> {
        let reference = self.reference(job, pruned)?;
        let Some(reference) = reference else { return Ok(Checked::Right(report::Outcome::Skipped)) };
        stages.time("verify", || self.verify(job, pruned, reference))
    }

    /// How good both models are, where there are labels and the models could be run.
    pub(super) fn metrics(&self, job: &Job, proved: &Proved, stages: &mut Stages) -> Result<Option<Metrics>, Failure> {
        let ran = matches!(&proved.verification, report::Outcome::Ran(_) | report::Outcome::NoReference { .. });
        if !ran || !self.verification.judges() {
            return Ok(None);
        }
        stages.time("judge", || self.verification.metrics(job.seed, job.dims, job.model, &proved.pruned.model))
    }

    /// What the pruned model is compared with, or why there is nothing; `None` where nobody asks.
    fn reference(&self, job: &Job, pruned: &Pruned) -> Result<Option<Result<Model, String>>, Failure> {
        let verified = !self.no_verify && !job.is_nothing();
        if !verified && self.reference.is_none() {
            return Ok(None);
        }
        let mut silenced = silenced(job.model, &job.plan.layers);
        sparsity::set_zero(&mut silenced, &pruned.zeroed)?;
        let model = match reference(&silenced, &job.shortened.analysis, &pruned.keep, &pruned.removed) {
            Err(e @ ReferenceError::Unsayable { .. }) if self.reference.is_none() => {
                return Ok(Some(Err(e.to_string())));
            }
            other => other?,
        };
        if let Some(path) = &self.reference {
            source::save_beside(&model, path, job.input)?;
        }
        Ok(verified.then_some(Ok(model)))
    }

    fn verify(&self, job: &Job, pruned: &Pruned, reference: Result<Model, String>) -> Result<Checked, Failure> {
        let options = self.verification.options(job.seed, job.dims)?;
        let subjects = verify::Subjects {
            original: job.model,
            reference: reference.as_ref().ok(),
            cut: pruned.cut.as_ref(),
            pruned: &pruned.model,
        };
        let progress = Progress::new("verifying", options.samples);
        let found = verify::verify(&subjects, &options, &|done, total| progress.at(done, total));
        drop(progress);
        let broken = ir::verify(&pruned.model);
        if let Some(first) = broken.first() {
            let why = format!("the result breaks an invariant at {}: {}", first.at, first.what);
            return Ok(Checked::Wrong(why, None));
        }
        Ok(match (found, reference) {
            (Ok(v), Ok(_)) if !v.equal => {
                let (worst, most) = (v.equivalence.worst(), v.tolerance);
                let why = format!("the outputs differ by {worst:.1e} of the largest (tolerance {most:.0e})");
                Checked::Wrong(why, Some(report::Outcome::Ran(Box::new(v))))
            }
            (Ok(v), Ok(_)) => Checked::Right(report::Outcome::Ran(Box::new(v))),
            (Ok(v), Err(why)) => {
                Checked::Right(report::Outcome::NoReference { why, drift: v.drift, latency: v.latency })
            }
            (Err(e), _) if e.is_inability() => {
                let instead = "every type inferred after the cut is the one predicted before it, and the result's \
                               invariants hold";
                Checked::Right(report::Outcome::Unable { why: e.to_string(), instead: instead.into() })
            }
            // What ran before the cut and does not run after it, or makes other outputs, is a broken result.
            (Err(e), _) if e.is_of_the_result() => Checked::Wrong(format!("{e}; the original model runs"), None),
            (Err(e), _) => return Err(Failure::new(e)),
        })
    }
}

/// A plan that meets the budget without these groups.
fn replanned(job: &Job, leave: &[String]) -> Option<Plan> {
    let options = job.replan.as_ref()?;
    let analysis = &job.shortened.analysis;
    let leave = leave.iter().filter_map(|label| analysis.groups.named(label)).map(|group| group.id).collect();
    let anew = plan::choose(analysis, &Options { leave, ..options.clone() }).ok()?;
    let (layers, options) = (job.plan.layers.clone(), job.plan.options.clone());
    Some(Plan { layers, options, ..anew })
}

/// What is said of a plan that failed its proof, in a line.
pub fn told(failed: &Failed) -> String {
    let first = |g: &Left| format!("{} ({})", g.label, g.places.first().map_or("", String::as_str));
    let names: Vec<String> = failed.groups.iter().map(first).collect();
    let what = match names.len() {
        0 => "even with no group cut, so that nothing of it was carried out".to_owned(),
        1 => format!("because of {}, which stays whole", names[0]),
        n => format!("because of {n} groups, which stay whole: {}", show::list(&names)),
    };
    format!("the proof of the plan failed {what}: please report")
}
