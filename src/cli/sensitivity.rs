//! `secateur sensitivity`: which groups do the outputs depend on?

use super::data::opened;
use super::device::DeviceArgs;
use super::progress::{self, Progress};
use super::running::Running;
use super::{Exit, Failure, show, source};
use crate::axes::Group;
use crate::axes::places;
use crate::draw::{Chart, Line};
use crate::feed;
use crate::ir::Model;
use crate::job::samples::batches;
use crate::job::selection::{check_criterion, gradients};
use crate::score::{Context, Formula};
use crate::sensitivity::{Ablation, RATIOS, curve};
use crate::sizes::Given;
use crate::stats::{Batches, Measured, RunOptions, Samples};
use serde::Serialize;
use std::path::PathBuf;

/// Show how far the outputs move when a group, and nothing else, loses units
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  secateur sensitivity model.onnx --calib samples.npz --svg sensitivity.svg")]
pub(super) struct Args {
    /// The model
    model: PathBuf,
    /// Samples to run, as `prune --calib` takes them
    #[arg(long, value_name = "SAMPLES")]
    calib: String,
    /// How many samples the cut models are run on
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    run_samples: u32,
    /// How the units of a group are ranked; `secateur criteria` lists the criteria
    #[arg(long, default_value = "wanda", value_name = "NAME")]
    criterion: String,
    /// How many samples are measured, for criteria that need samples
    #[arg(long, alias = "calib-samples", default_value_t = 256, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    samples: u32,
    /// Seed of all random choices
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    running: Running,
    /// Also groups that are not exact (units under a softmax, a norm or a mean)
    #[arg(long)]
    inexact: bool,
    /// Draw the curves
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A group, as `--json` shows it.
#[derive(Serialize)]
struct Row {
    group: String,
    units: usize,
    #[serde(rename = "where")]
    places: Vec<String>,
    curve: Vec<Point>,
}

#[derive(Serialize)]
struct Point {
    /// The share of the group's units that is gone.
    removed: f64,
    /// ‖a−b‖ over ‖a‖ of the outputs.
    error: f64,
}

pub(super) fn run(args: Args) -> super::Outcome {
    let device = args.device.device()?;
    let setup = args.running.setup()?;
    let formula: Formula = args.criterion.parse().map_err(Failure::usage)?;
    check_criterion(&formula)?;
    let model = source::load(&args.model)?;
    let analysis = source::prepare(&model)?;
    let few = read(&args.calib, &model, args.run_samples)?;
    let few = few.feeds().collect::<Result<Vec<_>, _>>().map_err(Failure::new)?;
    let samples = read(&args.calib, &model, args.samples)?;
    let measured = match formula.needs_data() {
        true => {
            let progress = Progress::open("calibrating");
            Some(Measured::new(&analysis, &samples, &RunOptions::default(), &|| progress.step(1))?)
        }
        false => None,
    };
    let gradients = gradients(&formula, &analysis, Some(&samples), (args.seed, device), &progress::monitor())?;
    let (measured, gradients) = (measured.as_ref(), gradients.as_deref());
    let context = Context { seed: args.seed, measured, gradients, ..Context::new(&analysis, &setup) };
    let ablation = Ablation::new(&analysis, &few, &setup)?;
    let mut rows = vec![];
    let groups: Vec<&Group> = analysis.groups.free().filter(|g| args.inexact || g.is_exact()).collect();
    let progress = Progress::new("cutting each group", groups.len());
    for group in groups {
        let scores = formula.score(&context, group)?;
        let curve = curve(&ablation, group, &scores)?;
        let curve = curve.into_iter().map(|(removed, error)| Point { removed, error }).collect();
        rows.push(Row {
            group: group.id.to_string(),
            units: group.size,
            places: places(&analysis.model, group),
            curve,
        });
        progress.step(1);
    }
    drop(progress);
    if let Some(path) = &args.svg {
        let title = format!("{}: error of the outputs, by {formula}", args.model.display());
        let text = chart(title, &rows).svg();
        show::write_text(path, &text)?;
    }
    match args.json {
        true => show::print_json(&rows)?,
        false => show::print(&table(&rows))?,
    }
    Ok(Exit::Done)
}

/// The first samples of a source, a few at a time.
fn read(spec: &str, model: &Model, count: u32) -> Result<Batches, Failure> {
    let options = feed::Options { limit: Some(count as usize), ..feed::Options::default() };
    Ok(batches(opened(spec, model, &Given::default(), &options)?))
}

fn table(rows: &[Row]) -> String {
    let shares: Vec<String> = RATIOS.iter().map(|r| format!("{:.0} %", r * 100.0)).collect();
    let header: Vec<&str> = ["group", "where", "units"].into_iter().chain(shares.iter().map(String::as_str)).collect();
    let line = |row: &Row| {
        let error = |ratio: &f64| {
            let near = |p: &&Point| (p.removed - ratio).abs() <= 0.5 / row.units as f64 + 1e-9;
            row.curve.iter().find(near).map_or_else(|| "–".to_owned(), |p| format!("{:.3}", p.error))
        };
        let names = [row.group.clone(), show::list(&row.places), row.units.to_string()];
        names.into_iter().chain(RATIOS.iter().map(error)).collect()
    };
    show::table(&header, 2, rows.iter().map(line).collect::<Vec<_>>())
}

fn chart(title: String, rows: &[Row]) -> Chart {
    let line = |row: &Row| {
        let place = row.places.first().map_or("", String::as_str);
        let points = row.curve.iter().map(|p| (p.removed, p.error));
        Line { name: format!("{} {place}", row.group), points: [(0.0, 0.0)].into_iter().chain(points).collect() }
    };
    let (x, y) = ("share of the group's units that is gone", "relative L2 error of the outputs");
    Chart { title, x: x.into(), y: y.into(), lines: rows.iter().map(line).collect() }
}
