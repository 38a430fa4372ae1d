//! Training beside pruning: between rounds, by penalties, on inner values, and what is told of it.
#![cfg(feature = "gradients")]

use crate::{Folder, fixture, json, load, prune, read, secateur, text};
use serde_json::Value;

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// What a model's metadata say under a key.
fn signed(path: &str, key: &str) -> Option<String> {
    load(path).metadata.into_iter().find(|(k, _)| k == key).map(|(_, v)| v)
}

#[test]
fn rounds_with_training_end_in_trained_weights_and_a_proved_cut() {
    let folder = Folder::new();
    let (input, output, calib) = (fixture("digits_mlp"), folder.path("o.onnx"), fixture("digits_calib.npz"));
    let cut = ["--macs", "8%", "--calib", &calib, "--samples", "64", "--no-compensate", "--iterative", "2"];
    let trained = ["--tune-steps", "12", "--tune-batch", "16", "--tune-lr", "0.005"];
    let args = [&["prune", &input, "-o", &output, "--repeats", "0", "--json"], &cut[..], &trained].concat();
    let report = json(&args, 0);
    assert_eq!(report["verification"]["equal"], true);
    assert!(number(&report["after"]["macs"]) <= 0.08 * number(&report["before"]["macs"]));
    let rounds = report["driven"]["tuned"].as_array().unwrap();
    assert!(rounds.len() == 2 && rounds.iter().all(|r| r["steps"] == 12), "{rounds:?}");
    assert!(rounds.iter().all(|r| number(&r["after"]) < number(&r["before"])), "{rounds:?}");
    assert_eq!(signed(&output, "secateur.tuned").unwrap(), "24 steps in 2 rounds");
    // The same again has the same bits, and without training it is another model that drifts further.
    let again = prune(&folder, &input, "again.onnx", &[&cut[..], &trained].concat());
    assert!(read(again.0) == read(&output));
    let plain =
        json(&[&["prune", &input, "-o", &folder.path("p.onnx"), "--repeats", "0", "--json"], &cut[..]].concat(), 0);
    assert!(signed(&folder.path("p.onnx"), "secateur.tuned").is_none() && plain["driven"]["tuned"].is_null());
    let drift = |report: &Value| number(&report["verification"]["drift"]["outputs"][0]["relative_l2"]);
    assert!(drift(&report) < drift(&plain), "{} {}", drift(&report), drift(&plain));
}

#[test]
fn rounds_repair_before_they_train() {
    let folder = Folder::new();
    let (input, calib) = (fixture("digits_shuffle"), fixture("digits_calib.npz"));
    let output = folder.path("o.onnx");
    let cut = ["--macs", "40%", "--criterion", "l2", "--calib", &calib, "--samples", "24", "--iterative", "2"];
    let trained = ["--tune-steps", "1", "--tune-batch", "8", "--repeats", "0", "--json"];
    let report = json(&[&["prune", &input, "-o", &output], &cut[..], &trained].concat(), 0);
    assert_eq!(report["verification"]["equal"], true);
    assert_eq!(report["driven"]["tuned"].as_array().unwrap().len(), 2);
}

#[test]
fn training_between_rounds_is_refused_where_it_can_not_be() {
    let (input, calib) = (fixture("digits_mlp"), fixture("digits_calib.npz"));
    let folder = Folder::new();
    let output = folder.path("o.onnx");
    let fails = |more: &[&str]| {
        let ended = secateur(&[&["prune", &input, "-o", &output, "--tune-steps", "2"], more].concat()).code(2);
        text(&ended.get_output().stderr)
    };
    assert!(fails(&["--calib", &calib]).contains("--iterative"));
    assert!(fails(&["--iterative", "2"]).contains("--calib"));
    let both = ["--calib", &calib, "--iterative", "2"];
    assert!(fails(&[&both[..], &["--max-drift", "0.1"]].concat()).contains("cannot be used with"));
    assert!(fails(&[&both[..], &["--folds", "2"]].concat()).contains("cannot be used with"));
    let plan = [&["plan", &input, "--tune-steps", "2"], &both[..]].concat();
    let said = text(&secateur(&plan).code(2).get_output().stderr);
    assert!(said.contains("a plan holds no weights"), "{said}");
    // Too few samples for a batch and some to hold out.
    let few =
        ["prune", &input, "-o", &output, "--tune-steps", "2", "--calib", &calib, "--iterative", "2", "--samples", "1"];
    let said = text(&secateur(&few).code(1).get_output().stderr);
    assert!(said.contains("too few"), "{said}");
}

#[test]
fn a_penalty_draws_weights_to_zero() {
    let folder = Folder::new();
    let (net, calib) = (fixture("digits_mlp"), fixture("digits_calib.npz"));
    let tune = |more: &[&str], name: &str| {
        let output = folder.path(name);
        let fixed = ["--teacher", &net, "--data", &calib, "--samples", "40", "--epochs", "1", "--batch", "36"];
        secateur(&[&["tune", &net, "-o", &output], &fixed[..], more].concat())
    };
    tune(&["--regularize", "l1=20", "--regularize", "group-lasso=0.001"], "o.onnx").code(0);
    let zeros = |path: &str| {
        let graph = load(path).graph;
        let numbers = graph.constants().into_iter().filter_map(|n| graph.constant(n)?.tensor.to_f64().ok());
        numbers.flatten().filter(|x| *x == 0.0).count()
    };
    assert!(zeros(&folder.path("o.onnx")) > zeros(&net) + 1000);
    let said = text(&tune(&["--regularize", "l2=1"], "p.onnx").code(2).get_output().stderr);
    assert!(said.contains("none of group-lasso, l1, bn-l1"), "{said}");
    let said = text(&tune(&["--regularize", "bn-l1=1"], "p.onnx").code(1).get_output().stderr);
    assert!(said.contains("bn-l1: there is nothing"), "{said}");
}

#[test]
fn inner_values_are_learned_through_the_plan() {
    let folder = Folder::new();
    let (net, calib) = (fixture("digits_mlp"), fixture("digits_calib.npz"));
    let (small, plan) = (folder.path("small.onnx"), folder.path("plan.json"));
    secateur(&["plan", &net, "--ratio", "0.8", "--criterion", "l2", "--no-merge", "-o", &plan]).code(0);
    secateur(&["apply", &net, "--plan", &plan, "-o", &small, "--no-verify"]).code(0);
    let (output, page) = (folder.path("o.onnx"), folder.path("o.html"));
    let tune = |more: &[&str]| {
        let fixed = ["--teacher", &net, "--data", &calib, "--samples", "80", "--features", "auto", "--json"];
        [&["tune", &small, "-o", &output], &fixed[..], more].concat().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let inner = tune(&[
        "--plan",
        &plan,
        "--feature-share",
        "1",
        "--epochs",
        "4",
        "--batch",
        "24",
        "--lr",
        "0.003",
        "--html",
        &page,
    ]);
    let report = json(&inner.iter().map(String::as_str).collect::<Vec<_>>(), 0);
    let shown = text(&read(&page));
    assert!(shown.contains("distilled from") && shown.matches("<polyline").count() == 3, "{shown}");
    let losses: Vec<f64> = report["held_out"].as_array().unwrap().iter().map(number).collect();
    assert!(losses[4] < 0.9 * losses[0], "{losses:?}");
    let none = tune(&["--epochs", "1"]);
    let said = text(&secateur(&none.iter().map(String::as_str).collect::<Vec<_>>()).code(1).get_output().stderr);
    assert!(said.contains("no inner values that can be compared") && said.contains("--plan"), "{said}");
}
