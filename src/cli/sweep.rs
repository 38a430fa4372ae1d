//! `secateur sweep`: a family of models of many sizes, from one calibration.

use super::keyed::{self, HeldOutSet, Keyed, SelectionSet};
use super::running::{Running, Seconds};
use super::{Exit, Failure, paths, progress, show};
use crate::draw::{Chart, Line};
use crate::job::keys::Topic;
use crate::job::search::POINTS;
use crate::job::sweep::{Family, Options, Sibling, sweep};
use crate::latency::LatencyMs;
use crate::plan::Share;
use clap::{ArgMatches, Args as _, Command};
use std::path::PathBuf;

/// Make a family of models of many sizes from one calibration, with a table and a curve
#[derive(clap::Args)]
#[command(mut_arg("judge-labels", |a| a.alias("labels")))]
#[command(after_help = "\
Writes into the folder: MODEL-50.onnx and MODEL-50.json (the plan) for 50 % of the multiply-accumulates, and so on; \
sweep.json and sweep.svg.

Example:
  secateur sweep model.onnx --calib samples.npz --sizes 75%,50%,25% -o family")]
pub(super) struct Args {
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
    selection: Keyed<SelectionSet>,
    #[command(flatten)]
    held_out: Keyed<HeldOutSet>,
    /// Timed runs of each model; 0 to skip timing
    #[arg(long, default_value_t = 10, value_name = "N")]
    repeats: usize,
    /// Seconds that timing takes at most for each model
    #[arg(long, default_value = "10", value_name = "SECONDS")]
    time_budget: Seconds,
    #[command(flatten)]
    running: Running,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args, given: &ArgMatches) -> super::Outcome {
    let options = args.options(given)?;
    let documents = ["sweep.json", "sweep.svg"].map(|name| args.output.join(name));
    let files = [options.files(&args.model), documents.to_vec()].concat();
    paths::check_with(&Args::augment_args(Command::new("sweep")), given, &files)?;
    args.finish(&sweep(&args.model, &options)?)
}

impl Args {
    fn options(&self, given: &ArgMatches) -> Result<Options, Failure> {
        Ok(Options {
            shares: match self.points {
                Some(n) => (1..=n).map(|i| f64::from(i) / f64::from(n + 1)).collect(),
                None if self.sizes.is_empty() => POINTS.to_vec(),
                None => self.sizes.iter().map(|s| s.0).collect(),
            },
            selection: self.selection.options()?.choice.selection,
            held_out: self.held_out.options()?.choice.search.held_out,
            repeats: self.repeats,
            time_budget: self.time_budget.0,
            setup: self.running.unchecked()?,
            record: keyed::recorded(|key| key.topic == Topic::Calibration, given),
            monitor: progress::monitor(),
            ..Options::new(&self.output)
        })
    }

    /// Writes and shows what is said of the family as a whole.
    fn finish(&self, family: &Family) -> super::Outcome {
        show::write_json(&self.output.join("sweep.json"), family)?;
        show::write_text(&self.output.join("sweep.svg"), &chart(family).svg())?;
        match self.json {
            true => show::print_json(family)?,
            false => show::print(&summary(family))?,
        }
        for group in &family.left {
            let (label, places, why) = (&group.label, show::list(&group.places), group.reason.text());
            show::note(&format!("warning: a proof failed: group {label} ({places}) stays whole: {why}"));
        }
        for budget in &family.beyond {
            show::note(&format!("a budget of {budget} can't be met; this size is left out"));
        }
        Ok(if family.models.is_empty() { Exit::Nothing } else { Exit::Done })
    }
}

fn summary(family: &Family) -> String {
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
