//! The models of `fixtures/`: their programs compute what the oracle does.

use super::testing::close;
use super::{Bindings, Engine};
use crate::feed::{Feed, Sizes};
use crate::ir::{Model, NodeId};
use crate::oracle::Runner;
use crate::program::{Builder, LowerError, Statistics, Term, lower};
use crate::verify::input_specs;
use crate::{load, save};
use std::path::{Path, PathBuf};

/// Operators of the fixtures that have no derivative: those with bodies, local functions, and those that nobody knows.
const WITHOUT: [&str; 6] = ["If", "Loop", "Scan", "LeakyGate", "Pair", "Mystery"];

/// A number that is rounded to eight bits may come out on the other side.
const TOLERANCE: f64 = 1e-3;

fn fixtures() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let files = |dir: PathBuf| std::fs::read_dir(dir).expect("a folder").map(|e| e.expect("a file").path());
    let mut all: Vec<PathBuf> = files(root.clone()).chain(files(root.join("odd"))).collect();
    all.retain(|p| p.extension().is_some_and(|e| e == "onnx"));
    all.sort();
    all
}

#[test]
fn programs_of_fixtures_compute_what_the_models_do() {
    let mut agreed = vec![];
    for path in fixtures() {
        let Ok(model) = load::load(&path) else { continue };
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        match agrees(&model, &path) {
            Ok(()) => agreed.push(name),
            Err(LowerError::Call { operator, .. }) if WITHOUT.contains(&&*operator) => {}
            Err(e) => panic!("{name}: {e}"),
        }
    }
    let digits = agreed.iter().filter(|name| name.starts_with("digits_")).count();
    assert_eq!(digits, 7, "{agreed:?}");
}

/// Asserts that a model's program computes what the oracle does, if it has one.
fn agrees(model: &Model, path: &Path) -> Result<(), LowerError> {
    let inputs = input_specs(model).expect("plain inputs");
    let feed = Feed::random_sized(&inputs, &Sizes::assume(&inputs), 3).expect("a feed");
    let builder = Builder::new();
    let lowered = lower(&builder, model, &feed.signature(), Statistics::Running)?;
    let terms: Vec<Term> = lowered.outputs.iter().map(|o| o.1).collect();
    let program = builder.finish(&terms).expect("a program");
    let constant = |node: NodeId| model.graph.constant(node).map(|c| &c.tensor);
    let input = |name: &str| feed.get(name);
    let found = Engine::default().run(&program, Bindings { input: &input, constant: &constant });
    let found = found.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let bytes = save::to_bytes(model).expect("a model that can be written");
    let expected = Runner::new(&bytes, path.parent(), &feed.signature()).and_then(|r| r.run(&feed));
    for ((name, expected), found) in expected.unwrap_or_else(|e| panic!("{e}")).iter().zip(found) {
        close(name, &expected.to_f64().expect("numbers"), &found.to_f64().expect("numbers"), TOLERANCE);
    }
    Ok(())
}
