//! `secateur prune`: plan, apply, verify, write.

use super::calibration::Calibrated;
use super::choice::{Choice, Chosen};
use super::show;
use super::source::{self, Dims, Output, Verification};
use super::thinning::Thinning;
use super::{Exit, Failure};
use crate::ir::{self, Model};
use crate::layers::silenced;
use crate::plan::Plan;
use crate::prune::{self, Pruned, Shortened, Stages, Thin};
use crate::reference::{ReferenceError, reference};
use crate::report::{self, Report, Size, SparsityReport, StageReport};
use crate::sparsity;
use crate::stats::Batches;
use crate::stats::Samples;
use crate::verify;
use std::path::{Path, PathBuf};

/// Prune a model: plan, cut, simplify, verify and write it
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  secateur prune model.onnx -o small.onnx --ratio 0.5
  secateur prune model.onnx -o small.onnx --macs 50% --round-to 8 --exclude 'head.*'
  secateur prune model.onnx -o small.onnx --layers 2 --calib samples.npz
  secateur prune model.onnx -o sparse.onnx --nm 2:4 --calib samples.npz --sparsity-method sparsegpt")]
pub struct Args {
    /// The model
    model: PathBuf,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    thinning: Thinning,
    #[command(flatten)]
    finish: Finish,
}

/// What happens once there is a plan; shared with `apply`.
#[derive(clap::Args)]
pub struct Finish {
    #[command(flatten)]
    output: Output,
    /// Keep BatchNormalization nodes instead of folding them into what they follow
    #[arg(long)]
    keep_bn: bool,
    /// Do not run the models
    #[arg(long)]
    no_verify: bool,
    #[command(flatten)]
    verification: Verification,
    /// Also write the model that the pruned one must equal: the original with zeros where units are gone
    #[arg(long, value_name = "FILE")]
    reference: Option<PathBuf>,
    /// Write everything that was found and done as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Print the report as JSON instead of a summary
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> super::Outcome {
    args.finish.check()?;
    args.choice.check()?;
    let thin = args.thinning.options(&args.choice.calibration)?;
    let mut stages = Stages::default();
    let model = stages.time("load", || source::load(&args.model))?;
    let analysis = stages.time("analyze", || prune::prepare(&model))?;
    let open = args.choice.dims.open(&model)?;
    let chosen = match thin.is_some() && !args.choice.is_given() {
        true => args.choice.nothing(analysis, &open)?,
        false => stages.time("plan", || args.choice.plan(&model, analysis, open))?,
    };
    let thin = match thin {
        Some(options) => Some((options, args.choice.calibration.samples(&model)?)),
        None => None,
    };
    let Chosen { shortened, plan, calibrated } = chosen;
    let job = Job {
        input: &args.model,
        model: &model,
        shortened,
        plan,
        seed: args.choice.seed,
        dims: &args.choice.dims,
        inexact: args.choice.inexact,
        calibrated,
        thin,
    };
    args.finish.run(job, stages)
}

/// A model with the plan for it.
pub struct Job<'a> {
    pub input: &'a Path,
    pub model: &'a Model,
    /// The prepared model, without the plan's layers.
    pub shortened: Shortened,
    pub plan: Plan,
    pub seed: u64,
    pub dims: &'a Dims,
    /// Whether inexact groups could be cut, so that they are no pins.
    pub inexact: bool,
    /// What the result is repaired by.
    pub calibrated: Option<Calibrated>,
    /// How single weights are set to zero, and the samples to measure on.
    pub thin: Option<(sparsity::Options, Option<Batches>)>,
}

impl Job<'_> {
    /// Whether the model stays as it is.
    fn is_nothing(&self) -> bool {
        self.plan.is_empty() && self.thin.is_none()
    }

    fn thin(&self) -> Option<Thin<'_>> {
        let (options, samples) = self.thin.as_ref()?;
        Some(Thin { options, samples: samples.as_ref().map(|s| s as &dyn Samples) })
    }
}

impl Finish {
    /// Fails before any work is done where the results could not be written in the end.
    pub fn check(&self) -> Result<(), Failure> {
        self.output.check(&[("--report", self.report.as_deref()), ("--reference", self.reference.as_deref())])
    }

    pub fn run(&self, job: Job, mut stages: Stages) -> super::Outcome {
        let simplify = if self.keep_bn { prune::SIMPLIFY_KEEP_BN } else { prune::SIMPLIFY };
        let open = job.dims.open(job.model)?;
        let repair = job.calibrated.as_ref().and_then(Calibrated::repair);
        let cut = if repair.is_some() { "cut and repair" } else { "cut" };
        let analysis = &job.shortened.analysis;
        let execute = || prune::execute_and_thin(job.model, analysis, &job.plan, simplify, &open, repair, job.thin());
        let pruned = stages.time(cut, execute)?;
        let nothing = job.is_nothing();
        // With nothing to prune the file is written as it was read.
        let result = if nothing { job.model } else { &pruned.model };
        let reference = self.reference(&job, &pruned)?;
        let verification = stages.time("verify", || self.verify(&job, &pruned, reference))?;
        let ran = matches!(&verification, report::Outcome::Ran(_) | report::Outcome::NoReference { .. });
        let judged = || self.verification.metrics(job.seed, job.dims, job.model, &pruned.model);
        let metrics = if ran && self.verification.judges() { stages.time("judge", judged)? } else { None };
        let failed = matches!(&verification, report::Outcome::Ran(v) if !v.equal);
        let saved = match failed {
            true => None,
            false => Some(stages.time("save", || self.output.save(result, job.input))?),
        };
        let file = saved.map_or(0, |s| s.bytes + s.data.map_or(0, |d| d.1));
        let report = Report { metrics, ..self.report(&job, pruned, verification, file, &stages) };
        if let Some(path) = &self.report {
            show::write_json(path, &report)?;
        }
        if self.json {
            show::print_json(&report)?
        } else {
            show::print(&show::summary(&report))?
        }
        if failed {
            let error = "the pruned model does not compute what its reference computes; it was not written";
            show::say(&format!("error: {error}"));
            return Ok(Exit::CheckFailed);
        }
        if nothing {
            show::say(&format!("{}; the model is unchanged", show::nothing(&job.shortened.analysis)));
            return Ok(Exit::Nothing);
        }
        Ok(Exit::Done)
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

    fn verify(
        &self,
        job: &Job,
        pruned: &Pruned,
        reference: Option<Result<Model, String>>,
    ) -> Result<report::Outcome, Failure> {
        let Some(reference) = reference else { return Ok(report::Outcome::Skipped) };
        let options = self.verification.options(job.seed, job.dims);
        let subjects = verify::Subjects {
            original: job.model,
            reference: reference.as_ref().ok(),
            cut: pruned.cut.as_ref(),
            pruned: &pruned.model,
        };
        match verify::verify(&subjects, &options) {
            Ok(v) => Ok(match reference {
                Ok(_) => report::Outcome::Ran(Box::new(v)),
                Err(why) => report::Outcome::NoReference { why, drift: v.drift, latency: v.latency },
            }),
            Err(e) if e.is_inability() => {
                let broken = ir::verify(&pruned.model);
                if let Some(first) = broken.first() {
                    return Err(Failure::new(format!(
                        "the result breaks an invariant at {}: {}",
                        first.at, first.what
                    )));
                }
                let instead = "every type inferred after the cut is the one predicted before it, and the result's \
                               invariants hold";
                Ok(report::Outcome::Unable { why: e.to_string(), instead: instead.into() })
            }
            // What ran before the cut and does not run after it is a broken result.
            Err(e @ verify::VerifyError::Oracle { .. }) => {
                Err(Failure::check_failed(format!("{e}; the original model runs; nothing was written")))
            }
            Err(e) => Err(Failure::new(e)),
        }
    }

    fn report(&self, job: &Job, pruned: Pruned, verification: report::Outcome, file: u64, stages: &Stages) -> Report {
        let before = Size { cost: pruned.before, file: source::file_size(job.input, job.model) };
        let after = if job.is_nothing() { before.clone() } else { Size { cost: pruned.after, file } };
        Report {
            secateur: env!("CARGO_PKG_VERSION"),
            input: job.input.display().to_string(),
            output: self.output.output.display().to_string(),
            before,
            after,
            layers: job.shortened.layers.clone(),
            groups: pruned.groups,
            lossless: pruned.lossless,
            pinned: prune::pins(&job.shortened.analysis, job.inexact),
            removed: [job.shortened.zeroing.clone(), pruned.removed].concat(),
            repaired: pruned.repaired,
            sparsity: pruned
                .thinned
                .zip(job.thin.as_ref())
                .map(|(layers, (options, _))| SparsityReport::new(options.to_string(), layers, pruned.cut.is_none())),
            plan: job.plan.clone(),
            verification,
            metrics: None,
            stages: stages.iter().map(|(n, t)| StageReport { name: (*n).into(), seconds: t.as_secs_f64() }).collect(),
        }
    }
}
