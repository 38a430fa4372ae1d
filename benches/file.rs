//! What pruning a file costs beside copying it and writing the result: in time, and in memory of a fresh process.
//!
//!     cargo bench --bench file                  # made-up nets of about 100 MB, without and with normalizations
//!     cargo bench --bench file -- net.onnx …    # any nets
//!
//! All of it is measured in one run, so that the ratios mean something on a busy machine too; CPU seconds mean the most.
//! Nothing is proved, and there are no samples.

use secateur::ir::{DType, Tensor, parse};
use secateur::job::{self, Options, Output};
use secateur::onnx;
use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How often each is measured; the least time counts.
const TURNS: usize = 3;

/// A job's name, and what it sets.
type Job = (&'static str, fn(&mut Options));

/// What is measured.
const JOBS: &[Job] = &[
    ("defaults", |_| ()),
    ("l2", |options| l2(options)),
    ("l2, no merge", |options| {
        l2(options);
        options.choice.selection.lossless = None;
    }),
];

const HEAD: &str =
    "net                      job            seconds  times a copy  CPU seconds   peak MB  share of the file";

fn l2(options: &mut Options) {
    options.choice.selection.criterion = Some("l2".parse().expect("there is l2"));
    options.choice.selection.calibration.repair = false;
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if let [flag, job, input, output] = &args[..]
        && flag == "--job"
    {
        return one(job, Path::new(input), Path::new(output));
    }
    let dir = tempfile::tempdir()?;
    let mut nets: Vec<PathBuf> = args.iter().map(PathBuf::from).collect();
    if nets.is_empty() {
        nets = vec![dir.path().join("residual.onnx"), dir.path().join("normalized.onnx")];
        write_model(&nets[0], false)?;
        write_model(&nets[1], true)?;
    }
    let mut out = std::io::stdout();
    writeln!(out, "{HEAD}")?;
    for net in nets {
        measure(&net, dir.path(), &mut out)?;
    }
    Ok(())
}

/// The rows of one net.
fn measure(net: &Path, dir: &Path, out: &mut dyn std::io::Write) -> Result<(), Box<dyn Error>> {
    let (copy, small) = (dir.join("copy.onnx"), dir.join("small.onnx"));
    let size = onnx::load(net).map(|_| std::fs::metadata(net))??.len() as f64;
    for (name, _) in JOBS {
        let (mut taken, mut copied) = (Duration::MAX, Duration::MAX);
        let (mut cpu, mut peak) = (f64::INFINITY, 0.0f64);
        for _ in 0..TURNS {
            let start = Instant::now();
            let told = Command::new(std::env::current_exe()?).args(["--job", name]).args([net, &small]).output()?;
            taken = taken.min(start.elapsed());
            let told = String::from_utf8(told.stdout)?;
            let mut figures = told.split_whitespace().map(str::parse::<f64>);
            let mut next = || figures.next().ok_or("the job failed");
            (cpu, peak) = (cpu.min(next()??), peak.max(next()??));
            let result = std::fs::read(&small)?;
            let start = Instant::now();
            std::fs::copy(net, &copy)?;
            std::fs::write(&small, &result)?;
            copied = copied.min(start.elapsed());
        }
        let label = net.file_stem().unwrap_or_default().to_string_lossy();
        let seconds = taken.as_secs_f64();
        let (times, megabytes, share) = (seconds / copied.as_secs_f64(), peak / 1e6, peak / size);
        writeln!(
            out,
            "{label:<24} {name:<14} {seconds:>7.2} {times:>13.1} {cpu:>12.2} {megabytes:>9.0} {share:>18.2}"
        )?;
    }
    Ok(())
}

/// A job in a process of its own: says what it took.
fn one(job: &str, input: &Path, output: &Path) -> Result<(), Box<dyn Error>> {
    let (_, set) = JOBS.iter().find(|(name, _)| *name == job).ok_or("no such job")?;
    let mut options = Options { proof: false, output: Some(Output::to(output)), ..Options::default() };
    set(&mut options);
    job::prune_file(input, &options)?;
    writeln!(std::io::stdout(), "{} {}", cpu_seconds().unwrap_or(f64::NAN), peak_bytes().unwrap_or(f64::NAN))?;
    Ok(())
}

/// Where Linux says so.
fn peak_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<f64>().ok()? * 1024.0)
}

/// The same, in ticks of which there are a hundred a second.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let behind = stat.rsplit_once(')')?.1;
    let ticks = behind.split_whitespace().skip(11).take(2).map(|t| t.parse::<f64>().ok());
    Some(ticks.sum::<Option<f64>>()? / 100.0)
}

/// A residual network of 24 square convolutions with 4 MB of weights each: about 100 MB.
fn write_model(path: &Path, normalized: bool) -> Result<(), Box<dyn Error>> {
    let mut text = String::from("main (f32[batch,3,8,8] x) => (f32[batch,10,8,8] out) {\n");
    let (width, blocks) = (1024, 12);
    _ = writeln!(text, "  f32[{width},3,1,1] w_in #1\n  h0 = Conv(x, w_in)");
    let conv = |text: &mut String, name: String, from: String| {
        let after = if normalized { format!("{name}_raw") } else { name.clone() };
        _ = writeln!(text, "  f32[{width},{width},1,1] {name}_w #1\n  {after} = Conv({from}, {name}_w)");
        if normalized {
            let of = |what: &str| format!("{name}_{what}");
            let all: Vec<String> = ["scale", "shift", "mean", "var"].map(of).into();
            all.iter().for_each(|of| _ = writeln!(text, "  f32[{width}] {of} #1"));
            _ = writeln!(text, "  {name} = BatchNormalization({after}, {})", all.join(", "));
        }
    };
    for i in 0..blocks {
        conv(&mut text, format!("p{i}"), format!("h{i}"));
        _ = writeln!(text, "  r{i} = Relu(p{i})");
        conv(&mut text, format!("q{i}"), format!("r{i}"));
        _ = writeln!(text, "  s{i} = Add(h{i}, q{i})\n  h{} = Relu(s{i})", i + 1);
    }
    _ = writeln!(text, "  f32[10,{width},1,1] w_out #1\n  out = Conv(h{blocks}, w_out)\n}}");
    let mut model = parse(&text, &|_| None)?;
    for (seed, node) in model.graph.constants().into_iter().enumerate() {
        if let Some(c) = model.graph.constant_mut(node) {
            // A cheap generator will do: the numbers only have to differ, and variances to be some.
            let step =
                |k: usize| ((k.wrapping_mul(2_654_435_761).wrapping_add(seed * 97) >> 7) & 0xffff) as f32 / 65536.0;
            let shift = if c.name.ends_with("_var") { 0.5 } else { -0.5 };
            let data: Vec<u8> = (0..c.tensor.count()).flat_map(|k| (step(k) + shift).to_le_bytes()).collect();
            c.tensor = Tensor::new(DType::F32, c.tensor.shape.clone(), data)?;
        }
    }
    onnx::save(&model, path, &onnx::SaveOptions::default())?;
    Ok(())
}
