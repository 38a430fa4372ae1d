//! `secateur sweep`: a family of models of many sizes, from one calibration.

use super::calibration::Calibration;
use super::choice::How;
use super::driving::Court;
use super::progress::Progress;
use super::running::Seconds;
use super::{Exit, Failure, flags, paths, show, source};
use crate::draw::{Chart, Line};
use crate::drive::{self, Jury, POINTS, Subject, Trial};
use crate::ir::Model;
use crate::plan::{Budget, Plan, Ranking, Share};
use crate::prove::{self, Left, Prover, Settled};
use crate::prune::{self, Pruned};
use crate::reference::{ReferenceError, reference};
use crate::save::{self, SaveOptions};
use crate::verify::{self, LatencyMs, Verification};
use clap::{ArgMatches, Args as _, Command};
use serde::Serialize;
use std::cell::RefCell;
use std::path::PathBuf;

/// Make a family of models of many sizes from one calibration, with a table and a curve
#[derive(clap::Args)]
#[command(mut_arg("judge_labels", |a| a.alias("labels")))]
#[command(after_help = "\
Writes into the folder: MODEL-50.onnx and MODEL-50.json (the plan) for 50 % of the multiply-accumulates, and so on; \
sweep.json and sweep.svg.

Example:
  secateur sweep model.onnx --calib samples.npz --sizes 75%,50%,25% -o family")]
pub struct Args {
    /// The model
    model: PathBuf,
    /// The folder that the models are written to; created if it does not exist
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// The shares of multiply-accumulates to keep [default: 95%,90%,80%,… 10%]
    #[arg(long, value_name = "SHARES", value_delimiter = ',')]
    sizes: Vec<Share>,
    /// This many evenly spaced sizes, instead of --sizes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "sizes")]
    points: Option<u32>,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    court: Court,
    /// Timed runs of each model; 0 to skip timing
    #[arg(long, default_value_t = 10, value_name = "N")]
    repeats: usize,
    /// Seconds that timing takes at most for each model
    #[arg(long, default_value = "10", value_name = "SECONDS")]
    time_budget: Seconds,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What `sweep.json` holds.
#[derive(Serialize)]
struct Family {
    secateur: &'static str,
    input: String,
    criterion: String,
    /// How many samples all were judged on.
    held_out: usize,
    whole: crate::cost::Cost,
    models: Vec<Sibling>,
    /// Budgets that can't be met.
    beyond: Vec<Budget>,
    /// Groups that stay whole because a proof failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left: Vec<Left>,
}

/// One model of the family.
#[derive(Serialize)]
struct Sibling {
    /// File names in the folder.
    model: String,
    plan: String,
    #[serde(flatten)]
    trial: Trial,
    /// Whether the cut computes what the original with zeros does; `None` where the models could not be run.
    proved: Option<bool>,
    latency: Option<LatencyMs>,
}

pub fn run(mut args: Args, given: &ArgMatches) -> super::Outcome {
    paths::check_with(&Args::augment_args(Command::new("sweep")), given, &args.files())?;
    args.how.check()?;
    let model = source::load(&args.model)?;
    let analysis = source::prepare(&model)?;
    let open = args.how.dims.open(&model)?.at(&analysis.model, &analysis.facts);
    args.how.size();
    let (samples, held_out) = args.court.samples(&args.how.calibration, &model)?;
    std::fs::create_dir_all(&args.output).map_err(|e| Failure::new(format!("{}: {e}", args.output.display())))?;
    let calibrated = samples.map(|s| args.how.calibration.measured(s, &analysis)).transpose()?;
    let (calibrated, options) = args.how.options(Budget::Macs(0.5), open, &analysis, calibrated)?;
    let repair = calibrated.as_ref().and_then(|c| c.repair(&|| {}));
    let subject =
        Subject { original: &model, analysis: &analysis, open: &options.open, simplify: prune::SIMPLIFY, repair };
    let ranking = Ranking::new(&analysis, &options).map_err(super::choice::failure)?;
    let jury = args.court.jury(&model, &held_out)?;
    let budgets = args.budgets();
    let progress = Progress::new("sweeping", budgets.len());
    let mut family = Family {
        secateur: env!("CARGO_PKG_VERSION"),
        input: args.model.display().to_string(),
        criterion: options.criterion.to_string(),
        held_out: held_out.len(),
        whole: prune::whole(&model, &options.open)?,
        models: vec![],
        beyond: vec![],
        left: vec![],
    };
    // What the weights depend on beside the plan.
    let refits = flags::given(&flags::among::<Calibration>(&flags::of::<Args>()), given);
    let refits = if subject.repair.is_some() { refits } else { String::new() };
    let left = RefCell::new(vec![]);
    let plan = |budget| Ok(without(ranking.plan(budget, &ranking.level())?, &left.borrow()));
    family.beyond = drive::sweep(&subject, &jury, &budgets, &plan, &mut |trial, pruned| {
        let made = args.proved(&subject, &jury, (trial, pruned), &mut left.borrow_mut())?;
        family.models.push(args.written(&model, made, &refits)?);
        progress.step(1);
        Ok::<(), Failure>(())
    })?;
    family.left = left.into_inner();
    drop(progress);
    args.finish(&family)
}

impl Args {
    /// The sizes, the largest first.
    fn budgets(&self) -> Vec<Budget> {
        let mut shares: Vec<f64> = match self.points {
            Some(n) => (1..=n).map(|i| f64::from(i) / f64::from(n + 1)).collect(),
            None if self.sizes.is_empty() => POINTS.to_vec(),
            None => self.sizes.iter().map(|s| s.0).collect(),
        };
        shares.sort_by(|a, b| b.total_cmp(a));
        shares.dedup();
        shares.into_iter().map(Budget::Macs).collect()
    }

    /// The files that are written.
    fn files(&self) -> Vec<PathBuf> {
        let shares = self.budgets().into_iter().map(|b| self.name(b.share().unwrap_or(1.0)));
        let models = shares.flat_map(|name| ["onnx", "onnx.data", "json"].map(|end| format!("{name}.{end}")));
        let all = models.chain(["sweep.json", "sweep.svg"].map(str::to_owned));
        all.map(|name| self.output.join(name)).collect()
    }

    /// Proves a model. Where the proof fails, the groups to blame stay whole, in this model and in those to come.
    fn proved(
        &self,
        subject: &Subject,
        jury: &Jury,
        (trial, pruned): (Trial, Pruned),
        left: &mut Vec<Left>,
    ) -> Result<Made, Failure> {
        match self.verified(subject, &pruned)? {
            Verified::Right(found) => return Ok(Made { trial, pruned, found }),
            Verified::Wrong => {}
        }
        let Subject { original, analysis, open, simplify, .. } = *subject;
        let prover = Prover::new(original, analysis, simplify, open, Some(self.options()));
        let holds = &mut |plan: &Plan| prover.holds(plan);
        let Settled { plan, groups, .. } = prove::settle(&trial.plan, analysis, holds, &mut |_| None)?;
        left.extend(groups);
        let pruned = subject.carried_out(&plan)?;
        let score = jury.score(&pruned.model)?;
        let trial = Trial { after: pruned.after.clone(), score, plan, ..trial };
        match self.verified(subject, &pruned)? {
            Verified::Right(found) => Ok(Made { trial, pruned, found }),
            Verified::Wrong => {
                let what = "the pruned model does not compute what its reference computes";
                Err(Failure::check_failed(format!("with {}, {what}", trial.budget)))
            }
        }
    }

    /// Writes a model with its plan.
    fn written(&self, model: &Model, made: Made, refits: &str) -> Result<Sibling, Failure> {
        let Made { trial, pruned, found } = made;
        let name = self.name(trial.budget.share().unwrap_or(1.0));
        let (file, plan) = (format!("{name}.onnx"), format!("{name}.json"));
        let options = SaveOptions { input: Some(self.model.clone()), ..SaveOptions::default() };
        let mut signed = pruned.model;
        prune::sign(&mut signed, &[("input", source::hash(&self.model, model)?), ("options", refits.to_owned())]);
        save::save(&signed, &self.output.join(&file), &options)?;
        show::write_json(&self.output.join(&plan), &trial.plan)?;
        let proved = found.as_ref().map(|v| v.equal);
        let latency = found.and_then(|v| v.latency).map(|l| LatencyMs::of(&l));
        Ok(Sibling { model: file, plan, trial, proved, latency })
    }

    /// `model-50` for half of the model, `model-12.5` for an eighth.
    fn name(&self, share: f64) -> String {
        let stem = self.model.file_stem().unwrap_or_default().to_string_lossy();
        format!("{stem}-{}", (share * 1e4).round() / 1e2)
    }

    fn options(&self) -> verify::Options {
        verify::Options {
            samples: 2,
            seed: self.how.seed,
            sizes: self.how.dims.given(),
            repeats: self.repeats,
            time_budget: self.time_budget.0,
            ..verify::Options::default()
        }
    }

    /// Runs original, reference and result, if they can be run.
    fn verified(&self, subject: &Subject, pruned: &Pruned) -> Result<Verified, Failure> {
        let original = subject.original;
        let reference = match reference(original, subject.analysis, &pruned.keep, &pruned.removed) {
            Err(ReferenceError::Unsayable { .. }) => return Ok(Verified::Right(None)),
            other => other?,
        };
        let (cut, pruned) = (pruned.cut.as_ref(), &pruned.model);
        let subjects = verify::Subjects { original, reference: Some(&reference), cut, pruned };
        match verify::verify(&subjects, &self.options(), &|_, _| {}) {
            Ok(found) if !found.equal => Ok(Verified::Wrong),
            Ok(found) => Ok(Verified::Right(Some(found))),
            Err(e) if e.is_inability() => Ok(Verified::Right(None)),
            Err(e) if e.is_of_the_result() => Ok(Verified::Wrong),
            Err(e) => Err(Failure::new(e)),
        }
    }

    /// Writes and shows what is said of the family as a whole.
    fn finish(&self, family: &Family) -> super::Outcome {
        show::write_json(&self.output.join("sweep.json"), family)?;
        show::write_text(&self.output.join("sweep.svg"), &chart(family).svg())?;
        match self.json {
            true => show::print_json(family)?,
            false => show::print(&told(family))?,
        }
        for group in &family.left {
            let (label, places, why) = (&group.label, show::list(&group.places), group.reason.text());
            show::say(&format!("warning: a proof failed: group {label} ({places}) stays whole: {why}"));
        }
        for budget in &family.beyond {
            show::say(&format!("a budget of {budget} can't be met; this size is left out"));
        }
        Ok(if family.models.is_empty() { Exit::Nothing } else { Exit::Done })
    }
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
    found: Option<Verification>,
}

/// What a check comes to: nothing where the models can't be run.
#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
enum Verified {
    Right(Option<Verification>),
    Wrong,
}

fn told(family: &Family) -> String {
    let metric = family.models.first().and_then(|m| m.trial.score.metric.as_ref()).map(|m| m.name);
    let timed = family.models.iter().any(|m| m.latency.is_some());
    let mut header = vec!["model", "MACs", "left", "parameters", "weights", "drift"];
    header.extend(metric);
    header.extend(timed.then_some("times as fast"));
    let line = |m: &Sibling| {
        let (cost, score) = (&m.trial.after, &m.trial.score);
        let left = format!("{:.1} %", 100.0 * cost.macs as f64 / family.whole.macs.max(1) as f64);
        let sizes = [show::count(cost.macs), left, show::count(cost.params), show::bytes(cost.bytes)];
        let mut line = vec![m.model.clone()];
        line.extend(sizes);
        line.push(format!("{:.4}", score.drift));
        line.extend(score.metric.as_ref().map(|m| format!("{:.4}", m.after)));
        let speed = m.latency.as_ref().and_then(LatencyMs::speedup);
        line.extend(timed.then(|| speed.map_or("–".to_owned(), |s| format!("{s:.2}"))));
        line
    };
    show::table(&header, 1, family.models.iter().map(line).collect::<Vec<_>>())
        + &format!("\n  evaluated on {} held-out samples\n", family.held_out)
}

/// The metric, or else the drift, against the share of the multiply-accumulates that is left.
fn chart(family: &Family) -> Chart {
    let point = |m: &Sibling| {
        let share = m.trial.after.macs as f64 / family.whole.macs.max(1) as f64;
        (share, m.trial.score.metric.as_ref().map_or(m.trial.score.drift, |m| m.after))
    };
    let metric = family.models.first().and_then(|m| m.trial.score.metric.as_ref());
    let (y, whole) = metric.map_or(("drift of the outputs (relative L2)", 0.0), |m| (m.name, m.before));
    let points = [(1.0, whole)].into_iter().chain(family.models.iter().map(point)).collect();
    let lines = vec![Line { name: family.criterion.clone(), points }];
    Chart { title: family.input.clone(), x: "share of the multiply-accumulates".into(), y: y.into(), lines }
}
