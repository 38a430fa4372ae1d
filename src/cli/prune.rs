//! `secateur prune`: plan, apply, verify, write.

use super::calibration::{Calibrated, Calibration};
use super::choice::{Choice, Chosen};
use super::device::On;
use super::gating::Gating;
use super::machine;
use super::proof::{self, Proved};
use super::show;
use super::source::{self, Dims, Output, Verification};
use super::thinning::Thinning;
use super::tuning::Tuning;
use super::{Exit, Failure, flags};
use crate::cost::OpenDims;
use crate::drive::Driven;
use crate::figures;
use crate::gates::{Figures, Suite};
use crate::ir::Model;
use crate::page;
use crate::passes::{Pipeline, SyntaxError};
use crate::plan::{self, Plan};
use crate::prove::Failed;
use crate::prune::{self, Pruned, Shortened, Stages, Thin};
use crate::report::{self, MachineReport, Report, Size, SparsityReport, StageReport};
use crate::save;
use crate::sparsity;
use crate::stats::Batches;
use crate::stats::Samples;
use clap::ArgMatches;
use std::path::{Path, PathBuf};

/// How the result is simplified.
#[derive(clap::Args)]
pub struct Rewriting {
    /// Keep BatchNormalization nodes instead of folding them into what they follow
    #[arg(long, conflicts_with = "passes")]
    keep_bn: bool,
    /// Passes that simplify the result, instead of the usual ones (`secateur opt --list`)
    #[arg(long, value_name = "PIPELINE", value_parser = pipeline)]
    passes: Option<String>,
}

/// The text of a pipeline, as it is stored.
fn pipeline(text: &str) -> Result<String, SyntaxError> {
    text.parse::<Pipeline>().map(|p| p.to_string())
}

impl Rewriting {
    pub(super) fn text(&self) -> String {
        match &self.passes {
            Some(passes) => passes.clone(),
            None if self.keep_bn => prune::SIMPLIFY_KEEP_BN.to_owned(),
            None => prune::SIMPLIFY.to_owned(),
        }
    }
}

/// What is said of a result that failed its check.
pub const NOT_EQUAL: &str = "the pruned model does not compute what its reference computes; it was not written";

/// The same of one that was written before.
pub const NOT_EQUAL_NOW: &str = "the model does not compute what its reference computes";

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
    pub(super) model: PathBuf,
    #[command(flatten)]
    pub(super) choice: Choice,
    #[command(flatten)]
    pub(super) thinning: Thinning,
    #[command(flatten)]
    pub(super) finish: Finish,
}

/// The arguments that the result depends on, beside model and plan.
#[derive(clap::Args)]
struct Decisive {
    #[command(flatten)]
    _calibration: Calibration,
    #[command(flatten)]
    _thinning: Thinning,
    #[command(flatten)]
    _tuning: Tuning,
    #[command(flatten)]
    _on: On,
    #[command(flatten)]
    _rewriting: Rewriting,
}

/// What happens once there is a plan; shared with `apply`.
#[derive(clap::Args)]
pub struct Finish {
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    pub(super) rewriting: Rewriting,
    /// Do not run the models
    #[arg(long)]
    pub(super) no_verify: bool,
    #[command(flatten)]
    pub verification: Verification,
    /// Also write the model that the pruned one must equal: the original with zeros where units are gone
    #[arg(long, value_name = "FILE")]
    pub(super) reference: Option<PathBuf>,
    /// Write a report of everything that was found and done, as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write the report as a self-contained HTML page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    gating: Gating,
    /// Print the report as JSON instead of a summary
    #[arg(long)]
    json: bool,
}

pub fn run(args: &mut Args, given: &ArgMatches) -> super::Outcome {
    let done = make(args, given)?;
    args.finish.tell(&done)
}

/// Does the job and writes the model, without a word.
pub fn make(args: &mut Args, given: &ArgMatches) -> Result<Done, Failure> {
    // Labels without inputs are those of the samples that trials are judged by.
    match args.finish.verification.judging_without_inputs() {
        Some(judging) if args.choice.judges() => args.choice.driving.court.or(judging),
        _ => args.finish.verification.check()?,
    }
    args.choice.check()?;
    args.choice.how.size();
    let how = &args.choice.how;
    let thin = args.thinning.options(&how.calibration)?;
    let mut stages = Stages::default();
    let model = stages.time("load", || source::load(&args.model))?;
    let analysis = stages.time("analyze", || source::prepare(&model))?;
    let open = how.dims.open(&model)?;
    let chosen = match thin.is_some() && !args.choice.is_given() {
        true => args.choice.nothing(analysis, &open)?,
        false => {
            let settings = args.finish.verification.settings()?;
            stages.time("plan", || args.choice.plan(&model, analysis, open, &settings))?
        }
    };
    let thin = match thin {
        Some(options) => Some((options, how.calibration.samples(&model)?)),
        None => None,
    };
    let Chosen { shortened, plan, calibrated, driven, trained, machine, replan } = chosen;
    let flags = flags::of::<Args>();
    let plan = Plan { options: flags::given(&flags::among::<Choice>(&flags), given), ..plan };
    let job = Job {
        input: &args.model,
        model: &model,
        shortened,
        plan,
        seed: how.seed,
        dims: &how.dims,
        inexact: how.inexact,
        calibrated,
        driven,
        trained,
        thin,
        machine,
        options: flags::given(&flags::among::<Decisive>(&flags), given),
        open: how.dims.open(&model)?,
        replan,
        unproved: None,
        weighed: args.choice.weighs(),
    };
    args.finish.make(job, stages)
}

/// A job that was done.
pub struct Done {
    pub report: Report,
    /// Whether the result does not compute what it must; then it was not written.
    pub failed: bool,
    /// Why nothing was pruned, where that is so.
    pub nothing: Option<String>,
    /// The data files of the input, relative to it.
    pub data: Vec<String>,
    /// The model's file, and its data file if it has one.
    pub written: Vec<PathBuf>,
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
    /// What was tried to find the plan.
    pub driven: Option<Driven>,
    /// The prepared model that the plan leaves with trained weights, which take the place of a repair.
    pub trained: Option<Model>,
    /// How single weights are set to zero, and the samples to measure on.
    pub thin: Option<(sparsity::Options, Option<Batches>)>,
    /// What the machine takes for what the plan leaves.
    pub machine: Option<MachineReport>,
    /// The options that the result depends on, as text.
    pub options: String,
    /// Sizes of open dimensions, to count costs.
    pub open: OpenDims,
    /// What the plan was chosen by, where one can be chosen again.
    pub replan: Option<plan::Options>,
    /// What became of a plan that failed its proof.
    pub unproved: Option<Failed>,
    /// Whether the plan is only carried out if it is worth it.
    pub weighed: bool,
}

impl Job<'_> {
    /// Whether the model stays as it is.
    pub(super) fn is_nothing(&self) -> bool {
        self.plan.is_empty() && self.thin.is_none()
    }

    pub(super) fn thin(&self) -> Option<Thin<'_>> {
        let (options, samples) = self.thin.as_ref()?;
        Some(Thin { options, samples: samples.as_ref().map(|s| s as &dyn Samples) })
    }
}

impl Finish {
    /// Does the job, and tells of it.
    pub fn run(&self, job: Job, stages: Stages) -> super::Outcome {
        let done = self.make(job, stages)?;
        self.tell(&done)
    }

    /// Carries out a plan and writes the model, without a word.
    pub fn make(&self, mut job: Job, mut stages: Stages) -> Result<Done, Failure> {
        let mut proved = self.proved(&mut job, &mut stages)?;
        let unworthy = unworthy(&job, &proved);
        if unworthy.is_some() {
            job.plan.cuts.clear();
            (job.trained, job.machine) = (None, None);
            proved = self.proved(&mut job, &mut stages)?;
        }
        let metrics = self.metrics(&job, &proved, &mut stages)?;
        let Proved { pruned, verification, failed } = proved;
        // With nothing to prune the file is written as it was read.
        let result = if job.is_nothing() { job.model } else { &pruned.model };
        // What failed its check is not written and has no size.
        let file = if failed { 0 } else { self.output.size(result, job.input)? };
        let mut report = Report { metrics, ..self.report(&job, &pruned, verification, file) };
        report.gates = self.gating.judge(&Figures::of(&report));
        let mut written = vec![];
        if !failed && report.gates.iter().all(|g| g.met) {
            let saved = stages.time("save", || self.output.save(result, job.input))?;
            written.push(self.output.output.clone());
            written.extend(saved.data.map(|(path, _)| path));
        }
        report.stages =
            stages.iter().map(|(n, t)| StageReport { name: (*n).into(), seconds: t.as_secs_f64() }).collect();
        let broken = job.driven.as_ref().and_then(Driven::broken);
        let unproved =
            job.unproved.is_some().then(|| "nothing to prune: no group that was to be cut is exact here".into());
        let whole = || show::nothing(&job.shortened.analysis, job.inexact);
        let why = || unworthy.or(broken).or(unproved).unwrap_or_else(whole);
        let nothing = job.is_nothing().then(why);
        let data = save::data_files(job.model)?.into_iter().collect();
        Ok(Done { report, failed, nothing, data, written })
    }

    /// Writes and prints what was found and done.
    fn tell(&self, done: &Done) -> super::Outcome {
        let Done { report, failed, nothing, .. } = done;
        if let Some(path) = &self.report {
            show::write_json(path, report)?;
        }
        if let Some(path) = &self.html {
            show::write_text(path, &page::html(report))?;
        }
        if self.json {
            show::print_json(report)?
        } else {
            show::print(&show::summary(report))?
        }
        let error = failed.then(|| NOT_EQUAL.to_owned());
        let (file, verdicts) = (report.output.clone(), report.gates.clone());
        let missed = self.gating.tell(&[Suite { name: file.clone(), file, verdicts, error }])?;
        if *failed {
            return Ok(Exit::CheckFailed);
        }
        report.unproved.iter().for_each(|failed| show::say(&format!("warning: {}", proof::told(failed))));
        if missed {
            show::say("the model was not written");
            return Ok(Exit::CheckFailed);
        }
        report.grown().iter().for_each(|what| show::say(&format!("note: the result is larger than the input: {what}")));
        if let Some(why) = nothing {
            show::say(&format!("{why}; the model is unchanged"));
            return Ok(Exit::Nothing);
        }
        if let Some(missed) = report.machine.as_ref().and_then(machine::missed) {
            show::say(&format!("error: {missed}"));
            return Ok(Exit::CheckFailed);
        }
        Ok(Exit::Done)
    }

    pub(super) fn report(&self, job: &Job, pruned: &Pruned, verification: report::Outcome, file: u64) -> Report {
        let before = Size { cost: pruned.before.clone(), file: source::file_size(job.input, job.model) };
        let after = if job.is_nothing() { before.clone() } else { Size { cost: pruned.after.clone(), file } };
        Report {
            secateur: env!("CARGO_PKG_VERSION"),
            input: job.input.display().to_string(),
            output: self.output.output.display().to_string(),
            before,
            after,
            calls: pruned.calls.clone(),
            layers: job.shortened.layers.clone(),
            groups: pruned.groups.clone(),
            lossless: pruned.lossless.clone(),
            pinned: prune::pins(&job.shortened.analysis, job.inexact),
            unproved: job.unproved.clone(),
            removed: [job.shortened.zeroing.clone(), pruned.removed.clone()].concat(),
            repaired: pruned.repaired.clone(),
            unrepaired: pruned.unrepaired.clone(),
            sparsity: pruned
                .thinned
                .clone()
                .zip(job.thin.as_ref())
                .map(|(layers, (options, _))| SparsityReport::new(options.to_string(), layers, pruned.cut.is_none())),
            plan: job.plan.clone(),
            driven: job.driven.clone(),
            machine: job.machine.clone(),
            verification,
            metrics: None,
            gates: vec![],
            stages: vec![],
        }
    }
}

/// Why a plan is not worth what it changes, where that is so.
fn unworthy(job: &Job, proved: &Proved) -> Option<String> {
    let drift = proved
        .verification
        .drift()
        .filter(|_| job.weighed && job.thin.is_none() && !job.plan.cuts.is_empty() && !proved.failed)?;
    let saved = prune::saved(&proved.pruned.before, &proved.pruned.after);
    (!prune::is_worth(saved, drift.drift())).then(|| {
        format!(
            "nothing worth pruning: the cut saves {} of the model and changes the outputs by {:.2} (relative L2); \
             --allow-tiny makes it all the same",
            figures::share(saved),
            drift.drift()
        )
    })
}
