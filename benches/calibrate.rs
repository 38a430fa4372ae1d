//! What it costs to choose and to repair by samples, beside a run of these samples through the original, and where the
//! time goes: all of it in one run, on one thread, so that the ratios mean something on a busy machine too.
//!
//!     cargo bench --bench calibrate                               # trained nets
//!     cargo bench --bench calibrate -- net.onnx random:256 …      # any nets, each with samples
//!     cargo bench --bench calibrate --features ort -- --runtime ort

use secateur::feed::{Options as Reading, Samples};
use secateur::oracle::{Runner, Setup};
use secateur::plan::Criterion;
use secateur::plan::{self, Budget};
use secateur::prune::stats::{Batches, Measured, RunOptions, Samples as _};
use secateur::prune::{self, Repair};
use secateur::{onnx, verify};
use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many samples are used, and run at a time.
const SAMPLES: usize = 256;
const BATCH: usize = 8;

/// The nets of this repository that have samples.
const NETS: &[(&str, &str)] = &[
    ("fixtures/digits_mlp.onnx", "fixtures/digits_calib.npz"),
    ("fixtures/digits_resnet.onnx", "fixtures/digits_calib.npz"),
    ("fixtures/digits_mobilenet.onnx", "fixtures/digits_calib.npz"),
    ("benches/accuracy/models/text_gpt.onnx", "benches/accuracy/models/text_calib.npz"),
];

const HEAD: &str = "net                   samples  forward  statistics  choice | repair: running  preparing  summing  \
                    solving   whole | all but solving and choice, in forwards";

fn main() -> Result<(), Box<dyn Error>> {
    let (mut setup, mut nets) = (Setup::default(), vec![]);
    let mut args = std::env::args().skip(1).filter(|a| a != "--bench");
    while let Some(arg) = args.next() {
        let next = args.next().ok_or_else(|| format!("{arg}: give samples for it, or a runtime"))?;
        match arg.as_str() {
            "--runtime" => setup = Setup { runtime: next.parse()?, ..setup },
            _ => nets.push((arg, next)),
        }
    }
    if nets.is_empty() {
        nets.extend(NETS.iter().map(|(net, samples)| ((*net).to_owned(), (*samples).to_owned())));
    }
    let execution = RunOptions { setup: &setup, ..RunOptions::default() };
    let mut out = std::io::stdout();
    writeln!(out, "{} on one thread, times in seconds\n{HEAD}", setup.ran()?)?;
    for (net, samples) in nets {
        writeln!(out, "{}", measure(Path::new(&net), &samples, &execution)?)?;
    }
    Ok(())
}

/// Where the time of one net goes, as a row.
fn measure(path: &Path, samples: &str, execution: &RunOptions) -> Result<String, Box<dyn Error>> {
    let model = onnx::load(path)?;
    let specs = verify::sized_specs(&model, &verify::Given::default())?;
    let reading = Reading { limit: Some(SAMPLES), ..Reading::default() };
    let samples = Batches { samples: Samples::open(samples, &specs, &reading)?, batch: BATCH };
    let forward = forward(&model, path, &samples, execution)?;
    let analysis = prune::prepare(&model)?;
    let start = Instant::now();
    let measured = Arc::new(Measured::new(&analysis, &samples, execution, &|| ())?);
    let statistics = start.elapsed();
    let start = Instant::now();
    let obs = Criterion::named("obs")?;
    let options = plan::Options { measured: Some(measured.clone()), ..plan::Options::new(Budget::macs(0.5), obs) };
    let plan = plan::choose(&analysis, &options)?;
    let choice = start.elapsed();
    let repair = Repair { measured: &measured, samples: &samples, execution: *execution, done: &|| () };
    let repaired = prune::cut(&analysis, &plan, Some(repair))?.repaired;
    let costs = repaired.ok_or("nothing was repaired")?.costs;
    let [running, preparing, solving] = [costs.runs.run, costs.runs.prepare, costs.solving];
    let summing = costs.whole.saturating_sub(running + preparing + solving);
    let ratio = (statistics + costs.whole - solving).as_secs_f64() / forward.as_secs_f64();
    let seconds = |time: Duration| format!("{:.3}", time.as_secs_f64());
    Ok(format!(
        "{:<20} {:>8} {:>8} {:>11} {:>7} | {:>15} {:>10} {:>8} {:>8} {:>7} | {ratio:.1}",
        path.file_stem().unwrap_or_default().to_string_lossy(),
        samples.count(),
        seconds(forward),
        seconds(statistics),
        seconds(choice),
        seconds(running),
        seconds(preparing),
        seconds(summing),
        seconds(solving),
        seconds(costs.whole),
    ))
}

/// How long the original takes for all samples.
fn forward(
    model: &secateur::ir::Model,
    path: &Path,
    samples: &Batches,
    execution: &RunOptions,
) -> Result<Duration, Box<dyn Error>> {
    let (bytes, mut runner, mut time) = (onnx::to_bytes(model)?, None, Duration::ZERO);
    for feed in samples.feeds() {
        let feed = feed?;
        let signature = feed.signature();
        if runner.as_ref().is_none_or(|(other, _)| *other != signature) {
            let new = Runner::on(execution.setup, &bytes, path.parent(), &signature)?;
            // What is done once belongs to no sample.
            new.run(&feed)?;
            runner = Some((signature, new));
        }
        let Some((_, runner)) = &runner else { continue };
        time += runner.time(&feed)?;
    }
    Ok(time)
}
