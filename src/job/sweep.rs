//! A family of models of many sizes, from one calibration.

use super::check::{self, Checked};
use super::monitor::{Monitor, Steps};
use super::options::{HeldOut, Selection};
use super::prove::{self, Left, Prover, Settled};
use super::report::Outcome;
use super::search::{self, Evaluator, POINTS, Subject, Trial};
use super::selection::failure;
use super::verification::checked;
use super::{Error, files, prepare};
use crate::cost::Cost;
use crate::latency::LatencyMs;
use crate::oracle::Setup;
use crate::plan::{Budget, Plan, Ranking};
use crate::prune::{self, Pruned};
use crate::save::{self, SaveOptions};
use crate::stats::RunOptions;
use crate::verify;
use serde::Serialize;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a family is made of.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder that the models and their plans are written to; it is made if it is not there.
    pub folder: PathBuf,
    /// The shares of multiply-accumulates to keep, in whatever order.
    pub shares: Vec<f64>,
    /// How units are chosen, for all models alike.
    pub selection: Selection,
    /// Samples to judge the models by.
    pub held_out: HeldOut,
    /// Timed runs of each model; 0 to skip timing.
    pub repeats: usize,
    /// How long timing takes at most for each model.
    pub time_budget: Duration,
    /// What runs the models.
    pub setup: Setup,
    /// What the weights depend on beside the plan, in words: each model's metadata records it where it was refitted.
    pub record: String,
    /// What is told of the progress, and can stop it.
    pub monitor: Monitor,
}

impl Options {
    /// A family of usual sizes in a folder.
    pub fn new(folder: impl Into<PathBuf>) -> Options {
        Options {
            folder: folder.into(),
            shares: POINTS.to_vec(),
            selection: Selection::default(),
            held_out: HeldOut::default(),
            repeats: 10,
            time_budget: verify::TIME_BUDGET,
            setup: Setup::default(),
            record: String::new(),
            monitor: Monitor::default(),
        }
    }

    /// The sizes, the largest first.
    pub fn budgets(&self) -> Vec<Budget> {
        let mut shares = self.shares.clone();
        shares.sort_by(|a, b| b.total_cmp(a));
        shares.dedup();
        shares.into_iter().map(Budget::macs).collect()
    }

    /// The files that are written for the model in a file.
    pub fn files(&self, input: &Path) -> Vec<PathBuf> {
        let names = self.budgets().into_iter().map(|b| name(input, b.share().unwrap_or(1.0)));
        let all = names.flat_map(|name| ["onnx", "onnx.data", "json"].map(|end| format!("{name}.{end}")));
        all.map(|name| self.folder.join(name)).collect()
    }
}

/// A family of models, as `sweep.json` tells of it.
#[derive(Serialize)]
pub struct Family {
    /// The version of secateur that made it.
    pub secateur: &'static str,
    /// The path of the model that was read.
    pub input: String,
    /// The criterion by which units were chosen.
    pub criterion: String,
    /// How many samples all were judged on.
    pub held_out: usize,
    /// What the original costs.
    pub whole: Cost,
    /// The models that were made.
    pub models: Vec<Sibling>,
    /// Budgets that can't be met.
    pub beyond: Vec<Budget>,
    /// Groups that stay whole because a proof failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<Left>,
}

/// One model of the family.
#[derive(Serialize)]
pub struct Sibling {
    /// File names in the folder.
    pub model: String,
    /// The file name of the plan that it was made by.
    pub plan: String,
    /// What it costs, and how good it is.
    #[serde(flatten)]
    pub trial: Trial,
    /// Whether the cut computes what the original with zeros does; `None` where the models could not be run.
    pub proved: Option<bool>,
    /// Its time beside the original's, in milliseconds; `None` where nothing was timed.
    pub latency: Option<LatencyMs>,
}

/// Makes a family of the model in a file. Where a proof fails, the groups to blame stay whole in this model and in
/// those to come.
pub fn sweep(input: &Path, options: &Options) -> Result<Family, Error> {
    options.selection.check()?;
    checked(&options.setup)?;
    let (model, monitor) = (files::load(input)?, &options.monitor);
    let analysis = prepare(&model, monitor)?;
    let (selection, held_out) = (&options.selection, &options.held_out);
    let open = selection.open(&model)?.at(&analysis.model, &analysis.facts);
    let reader = selection.reader(&options.setup, monitor);
    let (samples, held_out_samples) = held_out.samples(&reader, &model)?;
    let folder = &options.folder;
    std::fs::create_dir_all(folder).map_err(|e| Error::new(format!("{}: {e}", folder.display())))?;
    let calibrated = samples.map(|s| reader.measured(s, &analysis)).transpose()?;
    let (calibrated, chosen) =
        selection.options(Budget::macs(0.5), open, &analysis, calibrated, (&options.setup, monitor))?;
    let repair = calibrated.as_ref().and_then(|c| c.repair(&|| {}));
    let (original, analysis, open, simplify) = (&model, &analysis, &chosen.open, prune::SIMPLIFY);
    let execution = RunOptions { setup: &options.setup, memory: selection.calibration.memory };
    let subject = Subject { original, analysis, open, simplify, repair, execution };
    let ranking = Ranking::new(analysis, &chosen).map_err(failure)?;
    let evaluator = held_out.evaluator(&model, &held_out_samples, &options.setup)?;
    let budgets = options.budgets();
    let work = monitor.begin("sweeping", Steps::Of(budgets.len()))?;
    let record = if subject.repair.is_some() { options.record.as_str() } else { "" };
    let maker = Maker { options, input, record, subject: &subject, evaluator: &evaluator };
    let (mut models, left) = (vec![], RefCell::new(vec![]));
    let plan = |budget| {
        monitor.check()?;
        Ok(without(ranking.plan(budget, &ranking.level())?, &left.borrow()))
    };
    let beyond = search::sweep(&subject, &evaluator, &budgets, &plan, &mut |trial, pruned| {
        let made = maker.proved((trial, pruned), &mut left.borrow_mut())?;
        models.push(maker.written(made)?);
        work.step(1);
        Ok::<(), Error>(())
    })?;
    Ok(Family {
        secateur: env!("CARGO_PKG_VERSION"),
        input: input.display().to_string(),
        criterion: chosen.criterion.to_string(),
        held_out: held_out_samples.len(),
        whole: prune::whole(&model, &chosen.open)?,
        models,
        beyond,
        left: left.into_inner(),
    })
}

/// Makes the models of a family.
struct Maker<'a> {
    options: &'a Options,
    input: &'a Path,
    record: &'a str,
    subject: &'a Subject<'a>,
    evaluator: &'a Evaluator<'a>,
}

impl Maker<'_> {
    /// Proves a model. Where the proof fails, the groups to blame stay whole, in this model and in those to come.
    fn proved(&self, (trial, pruned): (Trial, Pruned), left: &mut Vec<Left>) -> Result<Made, Error> {
        if let Checked::Right(found) = self.checked(&pruned)? {
            return Ok(Made { trial, pruned, found });
        }
        let Subject { original, analysis, open, simplify, .. } = *self.subject;
        let prover = Prover::new(original, analysis, simplify, open, Some(self.verify()));
        let holds = &mut |plan: &Plan| prover.holds(plan);
        let Settled { plan, groups, .. } = prove::settle(&trial.plan, analysis, holds, &mut |_| None)?;
        left.extend(groups);
        let pruned = self.subject.carried_out(&plan)?;
        let score = self.evaluator.score(&pruned.model)?;
        let trial = Trial { after: pruned.after.clone(), score, plan, ..trial };
        match self.checked(&pruned)? {
            Checked::Right(found) => Ok(Made { trial, pruned, found }),
            Checked::Wrong(..) => {
                let what = "the pruned model does not compute what its reference computes";
                Err(Error::check(format!("with {}, {what}", trial.budget)))
            }
        }
    }

    /// Writes a model with its plan.
    fn written(&self, made: Made) -> Result<Sibling, Error> {
        let Made { trial, pruned, found } = made;
        let (name, folder) = (name(self.input, trial.budget.share().unwrap_or(1.0)), &self.options.folder);
        let (file, plan) = (format!("{name}.onnx"), format!("{name}.json"));
        let options = SaveOptions { input: Some(self.input.to_owned()), ..SaveOptions::default() };
        let mut signed = pruned.model;
        let hash = files::hash(self.input, self.subject.original)?;
        let refitted = self.subject.repair.is_some() && self.options.selection.calibration.is_given();
        let ran = refitted.then(|| self.options.setup.ran().ok()).flatten();
        let runtime = ran.map_or_else(String::new, |ran| ran.id());
        let (record, target) = (self.record.to_owned(), trial.plan.target().unwrap_or_default().to_owned());
        let entries = [("input", hash), ("options", record), ("runtime", runtime), ("target", target)];
        prune::sign(&mut signed, &entries);
        save::save(&signed, &folder.join(&file), &options)?;
        files::write_json(&folder.join(&plan), &trial.plan)?;
        let proved = matches!(found, Outcome::Ran(_)).then_some(true);
        let latency = found.latency().map(LatencyMs::of);
        Ok(Sibling { model: file, plan, trial, proved, latency })
    }

    fn verify(&self) -> verify::Options {
        let Options { selection, repeats, time_budget, setup, .. } = self.options;
        verify::Options {
            samples: 2,
            seed: selection.seed,
            sizes: selection.sizes.clone(),
            setup: setup.clone(),
            repeats: *repeats,
            time_budget: *time_budget,
            ..verify::Options::default()
        }
    }

    fn checked(&self, pruned: &Pruned) -> Result<Checked, Error> {
        let Subject { original, analysis, .. } = *self.subject;
        let expected = check::expected_or_why(check::expected(original, analysis, &[], pruned)?)?;
        let expected = expected.as_ref().map_err(String::as_str);
        check::check(original, expected, pruned, &self.verify(), &self.options.monitor)
    }
}

/// `model-50` for half of a model, `model-12.5` for an eighth.
fn name(input: &Path, share: f64) -> String {
    let stem = input.file_stem().unwrap_or_default().to_string_lossy();
    format!("{stem}-{}", (share * 1e4).round() / 1e2)
}

/// A plan without the cuts of these groups.
fn without(mut plan: Plan, left: &[Left]) -> Plan {
    plan.cuts.retain(|cut| left.iter().all(|group| group.label != cut.group));
    plan
}

/// A model that was proved as far as it can be run.
struct Made {
    trial: Trial,
    pruned: Pruned,
    found: Outcome,
}
