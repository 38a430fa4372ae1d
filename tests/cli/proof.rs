//! Proofs that fail, cuts that are not worth it, and what is told meanwhile.

use crate::{Folder, fixture, json, read, secateur, stdout, text};
use predicates::prelude::*;

/// A tolerance that rounding does not keep stands for a rule that is wrong: whatever differs in the last bit is to blame.
const NO_ROUNDING: [&str; 4] = ["--tolerance", "0", "--repeats", "0"];

#[test]
fn a_proof_that_fails_leaves_the_groups_to_blame_whole() {
    let folder = Folder::new();
    let (input, output) = (fixture("digits_mobilenet"), folder.path("o.onnx"));
    let choice = ["--ratio", "0.5", "--criterion", "l2", "--no-compensate"];
    let prune = [&["prune", &*input, "-o", &output, "--json"], &choice[..], &NO_ROUNDING].concat();
    let told = secateur(&prune).code(0).stderr(predicate::str::contains("the proof of the plan failed because of"));
    let report: serde_json::Value = serde_json::from_slice(&told.get_output().stdout).unwrap();
    let failed = &report["unproved"];
    let left = failed["groups"].as_array().expect("merged weights differ in their last bits");
    assert!(!left.is_empty() && failed["runs"].as_u64().unwrap() <= 40);
    assert_eq!(report["verification"]["equal"], true);
    // What stays whole is neither cut nor planned to be, and the rest is.
    let cut: Vec<&str> = report["groups"].as_array().unwrap().iter().map(|g| g["label"].as_str().unwrap()).collect();
    let planned = report["plan"]["cuts"].as_array().unwrap();
    assert!(!cut.is_empty() && cut.len() == planned.len());
    assert!(left.iter().all(|group| !cut.contains(&group["label"].as_str().unwrap())));
    // So does `apply` with a plan that somebody has made; what is left of it is proved as it is.
    let (plan, file) = (folder.path("plan.json"), folder.path("report.json"));
    secateur(&[&["plan", &*input, "-o", &plan], &choice[..]].concat()).code(0);
    let apply = [&["apply", &*input, "--plan", &plan, "-o", &output, "--report", &file], &NO_ROUNDING[..]].concat();
    let report = || serde_json::from_slice::<serde_json::Value>(&read(&file)).unwrap();
    let shown = secateur(&apply).code(0);
    shown.stdout(predicate::str::contains("not exact here").and(predicate::str::contains("masked equivalence holds")));
    assert_eq!(report()["unproved"]["groups"], failed["groups"]);
    std::fs::write(&plan, serde_json::to_vec(&report()["plan"]).unwrap()).unwrap();
    secateur(&apply).code(0);
    assert!(report()["unproved"].is_null());
}

#[test]
fn where_nothing_can_be_proved_the_model_stays_as_it_is() {
    let folder = Folder::new();
    let (input, output) = (fixture("digits_resnet"), folder.path("o.onnx"));
    let args = [&["prune", &*input, "-o", &output, "--ratio", "0.5"], &NO_ROUNDING[..]].concat();
    // Folding its batch normalizations alone moves the last bits.
    let shown = secateur(&args).code(3).stderr(predicate::str::contains("even with no group cut"));
    shown.stdout(predicate::str::contains("no group was cut"));
    assert!(read(&input) == read(&output));
}

#[test]
fn what_helps_is_said_where_nothing_is_cut() {
    let folder = Folder::new();
    let (input, output) = (folder.path("m.onnx"), folder.path("o.onnx"));
    let text = "<ir_version: 8, opset_import: [\"\" : 17]> g (f32[n,4] x) => (f32[n,3] y) {
        f32[4,5] v = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}
        f32[5,3] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
        a = MatMul(x, v)
        b = Softmax(a)
        y = MatMul(b, w)
    }";
    let model = secateur::ir::parse(text, &|_| None).unwrap();
    std::fs::write(&input, secateur::onnx::to_bytes(&model).unwrap()).unwrap();
    let shown = secateur(&["prune", &input, "-o", &output, "--ratio", "0.5"]).code(3);
    shown.stderr(predicate::str::contains("--inexact"));
    assert!(read(&input) == read(&output));
    secateur(&["prune", &input, "-o", &output, "--ratio", "0.5", "--inexact", "--no-merge"]).code(0);
}

/// A model of which all but a thousandth is out of reach, and in which that thousandth matters.
#[test]
fn a_cut_that_saves_nearly_nothing_is_not_made_unasked() {
    let folder = Folder::new();
    let (input, output) = (folder.path("m.onnx"), folder.path("o.onnx"));
    let numbers = |n: usize| (0..n).map(|i| (((i * 37 + 11) % 19) as f32 - 9.0) * 0.1).collect::<Vec<f32>>();
    let tensor = |hash| {
        let shape = match hash {
            1 => vec![4, 6],
            2 => vec![6, 200],
            3 | 4 => vec![200, 200],
            _ => return None,
        };
        let mut numbers = numbers(shape.iter().product());
        numbers.rotate_left(hash as usize);
        Some(secateur::ir::Tensor::from_f32(shape, &numbers))
    };
    let text = "<ir_version: 8, opset_import: [\"\" : 17]> g (f32[n,4] x) => (f32[n,200] y, f32[n,200] z) {
        f32[4,6] a #1
        f32[6,200] b #2
        f32[200,200] c #3
        f32[200,200] d #4
        e = MatMul(x, a)
        f = Relu(e)
        z = MatMul(f, b)
        g = Softmax(z)
        h = MatMul(g, c)
        i = Softmax(h)
        y = MatMul(i, d)
    }";
    let model = secateur::ir::parse(text, &tensor).unwrap();
    std::fs::write(&input, secateur::onnx::to_bytes(&model).unwrap()).unwrap();
    let args = ["prune", &*input, "-o", &output, "--ratio", "0.5", "--no-compensate", "--no-merge", "--repeats", "0"];
    let shown = secateur(&args).code(3);
    shown.stderr(predicate::str::contains("nothing worth pruning").and(predicate::str::contains("--allow-tiny")));
    assert!(read(&input) == read(&output));
    secateur(&[&args[..], &["--allow-tiny"]].concat()).code(0);
    assert!(read(&input) != read(&output));
}

#[test]
fn timing_keeps_to_its_budget() {
    let (input, folder) = (fixture("digits_resnet"), Folder::new());
    let bench = ["bench", &*input, "--repeats", "1000000", "--time-budget", "0.2", "--json"];
    let start = std::time::Instant::now();
    let runs = json(&bench, 0)["before"]["runs"].as_u64().unwrap();
    assert!(runs >= 1 && start.elapsed().as_secs() < 30, "{runs} runs");
    let output = folder.path("o.onnx");
    let args = ["prune", &*input, "-o", &output, "--ratio", "0.5", "--no-compensate", "--time-budget", "0"];
    assert!(stdout(&args, 0).contains("of too few runs to be sure"));
    secateur(&["bench", &input, "--time-budget", "soon"]).code(2);
}

#[test]
fn silence_is_silence() {
    let (input, folder) = (fixture("digits_resnet"), Folder::new());
    let output = folder.path("o.onnx");
    let quiet = secateur(&["prune", &input, "-o", &output, "--ratio", "0.5", "--quiet"]).code(0);
    assert_eq!(text(&quiet.get_output().stderr), "");
}
