//! `secateur eval`: how good is a model?

use super::data::{self, JudgingArgs};
use super::progress::Progress;
use super::running::Running;
use super::source::{self, DimArgs};
use super::{Exit, Failure, figures, show};
use crate::feed::{self, Samples};
use crate::job::search::Spread;
use crate::job::verification::BATCH;
use crate::judge::{self, ClassesReport, Figure, Judgement, Task};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How many classes are shown one by one.
const CLASSES: usize = 20;

/// Run models on labelled samples: accuracy, precision, recall, F1, errors or perplexity
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  secateur eval model.onnx small.onnx --inputs test.npz --labels test.npz
  secateur eval model.onnx --inputs images --preprocess 'resize=256 mean=0.5 std=0.5'
  secateur eval gpt.onnx --inputs tokens.npz --task perplexity")]
pub(super) struct Args {
    /// The model; several are compared with the first
    #[arg(required = true)]
    models: Vec<PathBuf>,
    /// Samples: a `.npz` file with an array per model input, a `.npy` file, a folder of PNG and JPEG images or of
    /// encoded tensors (`.pb`)
    #[arg(long, value_name = "SOURCE", value_hint = clap::ValueHint::AnyPath)]
    inputs: String,
    #[command(flatten)]
    judging: JudgingArgs,
    /// How images become inputs, such as `size=224 resize=256 mean=0.485,0.456,0.406 std=0.229,0.224,0.225
    /// layout=nchw scale=255 channels=rgb`; what is left out follows from the input's shape
    #[arg(long, value_name = "TEXT")]
    preprocess: Option<String>,
    /// The model output to evaluate [default: the first]
    #[arg(long, value_name = "NAME")]
    output: Option<String>,
    /// Only the first N samples
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    samples: Option<u32>,
    /// Also evaluate N parts of the samples separately, and report how much the figures differ
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    folds: Option<u32>,
    /// Samples that are run at a time, where the model leaves that open
    #[arg(long, default_value_t = BATCH, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Seed of random samples
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    #[command(flatten)]
    running: Running,
    #[command(flatten)]
    dims: DimArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was found of a model.
#[derive(Serialize)]
struct Found {
    model: String,
    #[serde(flatten)]
    judgement: Judgement,
    /// What the figures are above those of the first model; `None` for the first.
    change: Option<BTreeMap<&'static str, f64>>,
    /// The figures over parts of the samples, if that is asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    spread: Vec<Spread>,
}

pub(super) fn run(args: Args) -> super::Outcome {
    let mut all: Vec<Found> = vec![];
    for path in &args.models {
        let (judgement, spread) = args.judged(path)?;
        let change = all.first().map(|first| judgement.change(&first.judgement));
        all.push(Found { model: path.display().to_string(), judgement, change, spread });
    }
    match &all[..] {
        _ if args.json => show::print_json(&all)?,
        [one] => show::print(&alone(one))?,
        _ => show::print(&compared(&all))?,
    }
    Ok(Exit::Done)
}

impl Args {
    /// How good a model is on all samples, and over parts of them.
    fn judged(&self, path: &Path) -> Result<(Judgement, Vec<Spread>), Failure> {
        let model = source::load(path)?;
        self.dims.check(&model)?;
        let blame = |e: &dyn std::fmt::Display| Failure::new(format!("{}: {e}", path.display()));
        let samples = data::opened(&self.inputs, &model, &self.dims.given()?, &self.reading()?)?;
        let task = self.judging.task()?;
        if task != Task::Perplexity && samples.labels().is_none() {
            let failure = Failure::usage("no labels are given to evaluate by");
            return Err(failure.hint("give --labels FILE, or a folder of images with a sub-folder for each class"));
        }
        let (output, batch, setup) = (self.output.clone(), self.batch as usize, self.running.setup()?);
        let options = judge::Options { task, output, batch, setup };
        let parts = self.folds.map_or(0, |n| n as usize);
        let progress = Progress::new(&path.display().to_string(), samples.len() * if parts > 0 { 2 } else { 1 });
        let judged = |samples: &Samples| {
            judge::evaluate(&model, samples, &options, &|n| progress.step(n)).map_err(|e| blame(&e))
        };
        let whole = judged(&samples)?;
        let parts = (0..parts).map(|k| samples.fold(k, parts).1);
        let parts = parts.filter(|part| !part.is_empty()).map(|part| judged(&part)).collect::<Result<Vec<_>, _>>()?;
        Ok((whole, spread(&parts)))
    }

    fn reading(&self) -> Result<feed::Options, Failure> {
        Ok(feed::Options {
            preprocess: self.preprocess.clone(),
            labels: self.judging.labels()?,
            limit: self.samples.map(|n| n as usize),
            seed: self.seed,
        })
    }
}

/// The figures of judgements of one task.
fn spread(parts: &[Judgement]) -> Vec<Spread> {
    let figures: Vec<Vec<Figure>> = parts.iter().map(Judgement::figures).collect();
    let first = figures.first().map_or(&[][..], Vec::as_slice);
    let of = |(i, figure): (usize, &Figure)| {
        Spread::new(figure.name, &figures.iter().map(|part| part[i].value).collect::<Vec<_>>())
    };
    first.iter().enumerate().map(of).collect()
}

/// All that is to be told of one model.
fn alone(found: &Found) -> String {
    let row = |f: &Figure| {
        let over = found.spread.iter().find(|s| s.name == f.name);
        let show = |value| figures::value(&Figure { value, ..*f });
        let over = over.map(|s| format!("{} ± {}", show(s.mean), show(s.deviation)));
        [vec![figures::title(f), figures::value(f)], over.into_iter().collect()].concat()
    };
    let samples = format!("{} on {} samples\n\n", found.model, found.judgement.samples());
    let figures = show::table(
        if found.spread.is_empty() { &["", ""] } else { &["", "", "over the folds"] },
        1,
        found.judgement.figures().iter().map(row),
    );
    let details = match &found.judgement {
        Judgement::Classification(report) => classes(report),
        _ => String::new(),
    };
    samples + figures.trim_start_matches('\n') + &details
}

/// A line for each model.
fn compared(all: &[Found]) -> String {
    let figures = all[0].judgement.figures();
    let titles: Vec<String> = figures.iter().map(figures::title).collect();
    let mut header = vec!["model", &titles[0], "change"];
    header.extend(titles[1..].iter().map(String::as_str));
    let row = |found: &Found| {
        let figures = found.judgement.figures();
        let change = found.change.as_ref().map_or(String::new(), |c| figures::signed(&figures[0], c[figures[0].name]));
        let mut row = vec![found.model.clone(), figures::value(&figures[0]), change];
        row.extend(figures[1..].iter().map(figures::value));
        row
    };
    show::table(&header, 1, all.iter().map(row)) + &format!("\n  on {} samples\n", all[0].judgement.samples())
}

/// Classes one by one, and which are taken for which.
fn classes(report: &ClassesReport) -> String {
    let mut out = String::new();
    if report.no_class > 0 {
        out += &format!("\n  {} samples have a score that is not a number; they count as wrong\n", report.no_class);
    }
    let row = |c: &judge::Class| {
        let shares = [c.precision, c.recall, c.f1].map(figures::percent);
        [vec![c.class.to_string(), c.samples.to_string()], shares.to_vec()].concat()
    };
    let rows = report.classes.iter().take(CLASSES).map(row);
    out += &format!("\n{}", show::table(&["class", "samples", "precision", "recall", "f1"], 0, rows));
    if report.classes.len() > CLASSES {
        return out + &format!("  … {} more: --json lists all\n", report.classes.len() - CLASSES);
    }
    out + &format!("\n  rows are labels, columns are predictions\n{}", confusion(report))
}

fn confusion(report: &ClassesReport) -> String {
    let names: Vec<String> = report.classes.iter().map(|c| c.class.to_string()).collect();
    let header: Vec<&str> = std::iter::once("").chain(names.iter().map(String::as_str)).collect();
    let counts: BTreeMap<(usize, usize), u64> = report.confusion.iter().map(|&(l, a, n)| ((l, a), n)).collect();
    let cell = |label, answer| counts.get(&(label, answer)).map_or("·".to_owned(), u64::to_string);
    let row = |c: &judge::Class| {
        let cells = report.classes.iter().map(|a| cell(c.class, a.class));
        std::iter::once(c.class.to_string()).chain(cells).collect()
    };
    show::table(&header, 0, report.classes.iter().map(row))
}
