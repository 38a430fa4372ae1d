//! What is done with the bytes of a fuzzer: each target reads them as one kind of file that people hand to secateur, and
//! goes as far with them as the library does.
//!
//! Any answer is right but a panic, a hang, memory without bounds, or a result that can't be read back. The fuzzers in
//! `fuzz_targets/` and the smoke test (`tests/fuzz_smoke.rs`) share this file, so the first can't rot.

use bytes::Bytes;
use secateur::analysis::Analysis;
use secateur::analysis::OpenDims;
use secateur::analysis::infer;
use secateur::build::Config;
use secateur::feed::{Options as Sampling, Samples};
use secateur::ir::{Model, parse, print, verify};
use secateur::plan::Criterion;
use secateur::plan::{Budget, Options, Plan, choose};
use secateur::prune::pipelines;
use secateur::verify::input_specs;
use secateur::{diff, job, onnx, prune};
use std::collections::HashMap;
use std::path::Path;
use std::sync::OnceLock;

/// What is done with the bytes of a file.
pub(crate) type Target = fn(&[u8]);

/// A target by its name, which is that of its folder in `corpus/` too.
pub(crate) const TARGETS: [(&str, Target); 7] = [
    ("model", model),
    ("text", text),
    ("pipeline", pipeline),
    ("plan", plan),
    ("build_file", build),
    ("samples", samples),
    ("diff", diff_of_two),
];

/// Runs a target; there must be one of that name.
pub(crate) fn run(target: &str, data: &[u8]) {
    let found = TARGETS.iter().find(|(name, _)| *name == target);
    found.expect("a target of this name").1(data);
}

/// A file: what is read must be sound, be written in a way that can be read, and survive a cut.
fn model(data: &[u8]) {
    if let Some(model) = loaded(data) {
        whole_way(&model);
    }
}

/// The text form, which is easier to mutate into graphs that mean something.
fn text(data: &[u8]) {
    let Some(model) = std::str::from_utf8(data).ok().and_then(|text| parse(text, &|_| None).ok()) else { return };
    let printed = print(&model);
    let again = parse(&printed, &|_| None).unwrap_or_else(|e| panic!("{e} in what was printed:\n{printed}"));
    assert_eq!(print(&again), printed, "what is printed reads otherwise");
    if verify(&model).is_empty() {
        whole_way(&model);
    }
}

/// A pipeline's text: it prints as it reads, and runs on a small net.
fn pipeline(data: &[u8]) {
    let Some(text) = std::str::from_utf8(data).ok() else { return };
    let registry = job::registry();
    let Ok(pipeline) = registry.parse(text) else { return };
    let printed = pipeline.to_string();
    assert_eq!(registry.parse(&printed).expect("what is printed can be read").to_string(), printed);
    // Samples are files of this machine.
    if !printed.contains("calib") && printed.len() < 200 {
        let mut model = small_net().0.clone();
        if pipeline.run(&mut model, pipelines::settings()).is_ok() {
            readable(&model);
        }
    }
}

/// A plan for a small net: it fits, or is refused.
fn plan(data: &[u8]) {
    let Ok(plan) = serde_json::from_slice::<Plan>(data) else { return };
    let (model, analysis) = small_net();
    if let Ok(pruned) = prune::execute(model, analysis, &plan, prune::SIMPLIFY, &OpenDims::default(), None) {
        readable(&pruned.model);
    }
}

/// A build file, up to what it asks for.
fn build(data: &[u8]) {
    let Ok(text) = String::from_utf8(data.to_vec()) else { return };
    if let Ok(config) = Config::parse(Path::new("/nowhere/secateur.toml"), text) {
        _ = config.targets(None);
    }
}

/// Samples: the first byte says which kind of file the others are.
fn samples(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    let folder = tempfile::tempdir().expect("a folder for the samples");
    let name = ["samples.npz", "samples.npy", "input_0.pb"][usize::from(*kind) % 3];
    let path = folder.path().join(name);
    std::fs::write(&path, data).expect("room for the samples");
    let inputs = input_specs(&small_net().0).expect("the small net has inputs");
    let spec = if name == "input_0.pb" { folder.path() } else { &path };
    let Ok(samples) = Samples::open(&spec.to_string_lossy(), &inputs, &Sampling::default()) else { return };
    let first = samples.feeds(2).next();
    assert!(first.is_some_and(|feed| feed.is_err() || feed.is_ok_and(|f| f.iter().count() == 1)));
}

/// Two files, of which the first four bytes say where the second begins: nothing is different between a model and
/// itself.
fn diff_of_two(data: &[u8]) {
    let Some((length, data)) = data.split_first_chunk() else { return };
    let Some((a, b)) = data.split_at_checked(u32::from_le_bytes(*length) as usize) else { return };
    let (Some(a), Some(b)) = (loaded(a), loaded(b)) else { return };
    _ = diff::diff(&a, &b, diff::Options::default());
    assert!(diff::diff(&a, &a, diff::Options::default()).is_empty());
}

fn loaded(data: &[u8]) -> Option<Model> {
    let model = onnx::from_bytes(Bytes::copy_from_slice(data), None).ok()?;
    let wrong = verify(&model);
    assert!(wrong.is_empty(), "the loader let this in: {}", wrong[0]);
    readable(&model);
    Some(model)
}

/// What can be written can be read.
fn readable(model: &Model) {
    if let Ok(bytes) = onnx::to_bytes(model) {
        onnx::from_bytes(bytes.into(), None).expect("what is written can be read");
    }
}

/// Facts, sizes for runs, axes, groups, a plan, and surgery.
fn whole_way(model: &Model) {
    _ = infer(model);
    _ = input_specs(model);
    let Ok(analysis) = prune::prepare(model) else { return };
    let criterion = Criterion::named("l2").expect("a criterion of this name");
    let options = Options::new(Budget::ratio(0.5), criterion);
    let Ok(plan) = choose(&analysis, &options) else { return };
    let open = OpenDims::of(model, HashMap::new());
    if let Ok(pruned) = prune::execute(model, &analysis, &plan, prune::SIMPLIFY, &open, None) {
        readable(&pruned.model);
    }
}

/// A net with a residual branch, and its analysis.
fn small_net() -> &'static (Model, Analysis) {
    static NET: OnceLock<(Model, Analysis)> = OnceLock::new();
    NET.get_or_init(|| {
        let text = include_str!("corpus/text/residual.txt");
        let model = parse(text, &|_| None).expect("the net of the corpus is sound");
        let analysis = prune::prepare(&model).expect("it can be prepared");
        (model, analysis)
    })
}
