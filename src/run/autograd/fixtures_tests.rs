//! The models of `fixtures/`, and of any folder: their programs compute what the oracle does.

#![allow(clippy::print_stdout)]

use super::exchange::Placement;
use super::testing::{self, engine};
use super::{Bindings, Precision, execute};
use crate::feed::{Feed, Sizes};
use crate::ir::{DType, Model, NodeId, parse};
use crate::lowering::{LowerError, lower};
use crate::oracle::Runner;
use crate::pipelines;
use crate::program::{Builder, Id, NumberKind, Statistics, Term};
use crate::tune::PREPARE;
use crate::verify::input_specs;
use crate::{load, save};
use burn_backend::BoolDType;
use burn_flex::{Flex, FlexDevice};
use std::path::{Path, PathBuf};

/// Operators of the fixtures that have no derivative: those with bodies, and those that nobody knows.
const WITHOUT: [&str; 4] = ["If", "Loop", "Scan", "Mystery"];

/// What differs by more, relative to the largest number, is another computation. The engine computes with 32 bits where
/// the model does with 16.
fn tolerance(model: &Model) -> f64 {
    let constants = model.graph.constants().into_iter().filter_map(|n| model.graph.constant(n));
    let halves = constants.filter(|c| matches!(c.tensor.dtype, DType::F16 | DType::BF16)).count();
    if halves > 0 { 3e-2 } else { testing::tolerance().max(1e-3) }
}

#[test]
fn programs_of_fixtures_compute_what_the_models_do() {
    let mut agreed = 0;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    for path in models(&root).into_iter().chain(models(&root.join("odd"))) {
        let Ok(model) = load::load(&path) else { continue };
        match difference(model, &path) {
            Ok(_) => agreed += 1,
            Err(Trouble::Lower(LowerError::Call { operator, .. })) if WITHOUT.contains(&&*operator) => {}
            Err(trouble) => panic!("{}: {trouble:?}", path.display()),
        }
    }
    assert_eq!(agreed, 15);
}

/// Booleans as inner values, constants and results.
const BOOLEANS: &str = "<ir_version: 8, opset_import: [\"\" : 17]>
    g (f32[2,3] x) => (f32[2,3] y, f32[2,3] z, bool[2,3] b) {
      bool[3] some = {true, false, true}
      i64[3] order = {2, 0, 1}
      i64[2,3] places = {0, 1, 1, 1, 0, 1}
      f32[] half = {0.5}
      m = Less(x, half)
      a = Gather<axis=1>(m, order)
      b = GatherElements(m, places)
      c = And(a, m)
      n = Not(some)
      e = Xor(m, n)
      d = Or(b, e)
      y = Where(c, x, half)
      z = Where(d, half, x)
    }";

#[test]
fn booleans_that_are_picked_stay_booleans() {
    difference(parse(BOOLEANS, &|_| None).expect("a model"), Path::new("g")).expect("both compute the same");
}

/// GPUs have no booleans of their own.
#[test]
fn booleans_may_be_stored_as_numbers() {
    let model = parse(BOOLEANS, &|_| None).expect("a model");
    let inputs = input_specs(&model).expect("inputs");
    let feed = Feed::random_sized(&inputs, &Sizes::assume(&inputs), 3).expect("a feed");
    let builder = Builder::new();
    let lowered = lower(&builder, &model, &feed.signature(), Statistics::Running).expect("a program");
    let terms: Vec<Term> = lowered.outputs.iter().map(|o| o.1).collect();
    let program = builder.finish(&terms).expect("a program");
    let constant = |node: NodeId| model.graph.constant(node).map(|c| &c.tensor);
    let input = |name: &str| feed.get(name);
    let bindings = Bindings { input: &input, constant: &constant };
    let run = |booleans| {
        let place = Placement::<Flex> { device: FlexDevice, precision: Precision::Single, booleans };
        let found = execute::run(&program, bindings, &place).unwrap_or_else(|e| panic!("{e}"));
        found.iter().map(|t| (t.dtype, t.raw().expect("bytes").to_vec())).collect::<Vec<_>>()
    };
    assert_eq!(run(BoolDType::U8), run(BoolDType::Native));
}

/// Tells for each model of the folder `SECATEUR_ZOO` whether its program does; see CONTRIBUTING.md.
#[test]
#[ignore = "needs a folder of models"]
fn programs_of_a_zoo_compute_what_the_models_do() {
    let folder = std::env::var("SECATEUR_ZOO").expect("SECATEUR_ZOO names a folder");
    let mut wrong = vec![];
    for path in models(Path::new(&folder)) {
        let found = load::load(&path).map_err(|e| Trouble::Other(e.to_string())).and_then(|m| difference(m, &path));
        let line = match &found {
            Ok(difference) => format!("{difference:.1e}"),
            Err(Trouble::Lower(e)) => e.to_string(),
            Err(Trouble::Oracle(e)) => format!("the oracle: {e}"),
            Err(Trouble::Other(e)) => e.clone(),
        };
        println!("{}  {line}", path.file_name().unwrap_or_default().to_string_lossy());
        // What no rule lowers is told; what is computed otherwise is a mistake.
        if matches!(found, Err(Trouble::Other(_))) {
            wrong.push(path);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The models in a folder, in the order of their names.
fn models(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).expect("a folder").map(|e| e.expect("a file").path());
    let mut all: Vec<PathBuf> = files.filter(|p| p.extension().is_some_and(|e| e == "onnx")).collect();
    all.sort();
    all
}

/// Why a model and its program can't be compared.
#[derive(Debug)]
enum Trouble {
    Lower(LowerError),
    Oracle(String),
    Other(String),
}

/// The largest difference between what a model and its program compute, relative to the largest number of the output.
/// The program is differentiated too, which must not fail.
fn difference(mut model: Model, path: &Path) -> Result<f64, Trouble> {
    let other = |e: &dyn std::fmt::Display| Trouble::Other(e.to_string());
    pipelines::run(PREPARE, &mut model).map_err(|e| other(&e))?;
    let inputs = input_specs(&model).map_err(|e| other(&e))?;
    let feed = Feed::random_sized(&inputs, &Sizes::assume(&inputs), 3).map_err(|e| other(&e))?;
    let builder = Builder::new();
    let lowered = lower(&builder, &model, &feed.signature(), Statistics::Running).map_err(Trouble::Lower)?;
    let terms: Vec<Term> = lowered.outputs.iter().map(|o| o.1).collect();
    let program = builder.finish(&terms).map_err(|e| other(&e))?;
    let constant = |node: NodeId| model.graph.constant(node).map(|c| &c.tensor);
    let input = |name: &str| feed.get(name);
    let bindings = Bindings { input: &input, constant: &constant };
    let found = engine().run(&program, bindings).map_err(|e| other(&e))?;
    if terms.first().is_some_and(|t| t.kind() == NumberKind::Float) {
        let floats = program.constants().filter(|(_, id)| program.step(*id).kind == NumberKind::Float);
        let by: Vec<Id> = floats.map(|(_, id)| id).collect();
        engine().differentiate(&program, bindings, &by).map_err(|e| other(&e))?;
    }
    let bytes = save::to_bytes(&model).map_err(|e| other(&e))?;
    let expected = Runner::new(&bytes, path.parent(), &feed.signature()).and_then(|r| r.run(&feed));
    let expected = expected.map_err(|e| Trouble::Oracle(e.to_string()))?;
    let (mut worst, allowed) = (0.0f64, tolerance(&model));
    for ((name, _), found) in lowered.outputs.iter().zip(found) {
        let Some((_, expected)) = expected.iter().find(|(n, _)| n == name) else { continue };
        let (a, b) = (expected.to_f64().map_err(|e| other(&e))?, found.to_f64().map_err(|e| other(&e))?);
        let scale = a.iter().filter(|v| v.is_finite()).fold(1.0, |m: f64, v| m.max(v.abs()));
        for (a, b) in a.iter().zip(&b).filter(|(a, b)| a != b && !(a.is_nan() && b.is_nan())) {
            let apart = (a - b).abs() / scale;
            worst = if apart.is_nan() { f64::NAN } else { worst.max(apart) };
        }
    }
    match worst <= allowed {
        true => Ok(worst),
        false => Err(Trouble::Other(format!("it computes something else, by {worst:.1e}"))),
    }
}
