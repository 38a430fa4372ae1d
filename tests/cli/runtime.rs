//! What runs models: ONNX Runtime where it is found, tract, or what is asked for by name.
//!
//! Most of these need ONNX Runtime's library. Where it is nowhere on the machine they are left out, and say so; in a
//! pipeline (`CI=true`) it has to be there.

use crate::{BINARY, Folder, binary, fixture, json, read, secateur};
use assert_cmd::Command;
use predicates::prelude::*;
use serde_json::{Value, json as value};

/// The binary, free to take any runtime that it finds.
fn free(args: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(args).env_remove("SECATEUR_RUNTIME");
    command
}

/// What the binary says of this machine.
fn doctor(more: &[&str]) -> Value {
    let out = free(&[&["doctor", "--json"], more].concat()).output().unwrap();
    serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&out.stderr)))
}

/// ONNX Runtime by name and version, where it is on this machine.
fn ort() -> Option<String> {
    let found = doctor(&[]);
    let best = found["available"][0]["runtime"].as_str().filter(|name| name.starts_with("ort ")).map(str::to_owned);
    if best.is_none() {
        let told = format!("ONNX Runtime is not on this machine: {}", found["passed_over"]);
        assert!(!std::env::var("CI").is_ok_and(|ci| ci == "true"), "{told}");
        println!("skipped: {told}");
    }
    best
}

/// What a run that succeeds prints as JSON.
fn told(args: &[&str]) -> Value {
    let out = free(args).assert().code(0).get_output().stdout.clone();
    serde_json::from_slice(&out).unwrap_or_else(|e| panic!("{args:?}: {e}"))
}

#[test]
fn what_is_not_there_is_told() {
    let input = fixture("digits_mlp");
    let threads = secateur(&["bench", &input, "--threads", "2"]).code(2);
    threads.stderr(
        predicate::str::contains("tract runs a model on one thread").and(predicate::str::contains("--runtime ort")),
    );
    secateur(&["bench", &input, "--runtime", "abacus"]).code(2).stderr(predicate::str::contains("auto, tract and ort"));
    let wrong = binary().args(["bench", &input]).env("SECATEUR_RUNTIME", "abacus").assert();
    wrong.code(2).stderr(predicate::str::contains("SECATEUR_RUNTIME: there is no runtime `abacus`"));
    let folder = Folder::new();
    let none = folder.path("none.so");
    let ort = secateur(&["bench", &input, "--runtime", "ort", "--ort-library", &none]);
    match cfg!(feature = "ort") {
        true => ort.code(1).stderr(predicate::str::contains(&none).and(predicate::str::contains("secateur doctor"))),
        false => ort.code(2).stderr(predicate::str::contains("--features ort")),
    };
    // Other runtimes don't mind it.
    secateur(&["bench", &input, "--ort-library", &none, "--repeats", "1"]).code(0);
}

#[test]
#[cfg(feature = "ort")]
fn a_library_that_is_none_is_passed_over() {
    let folder = Folder::new();
    let (broken, cut) = (folder.path("libonnxruntime.so"), folder.path("cut.so"));
    std::fs::write(&broken, "no library").unwrap();
    let own = read(BINARY);
    std::fs::write(&cut, &own[..own.len() / 2]).unwrap();
    for path in [&broken, &cut] {
        let mut bench = free(&["bench", &fixture("digits_mlp"), "--repeats", "1", "-v"]);
        let ran = bench.env("ORT_DYLIB_PATH", path).assert().code(0);
        ran.stderr(predicate::str::contains(path.as_str()).and(predicate::str::contains("is passed over: it is")));
        let found = free(&["doctor", "--json"]).env("ORT_DYLIB_PATH", path).output().unwrap();
        let found: Value = serde_json::from_slice(&found.stdout).unwrap();
        assert_eq!(found["passed_over"][0]["library"], value!(path));
        // Named by an argument, it is what has to be taken.
        let found = doctor(&["--ort-library", path]);
        assert!(found["available"].as_array().unwrap().is_empty() && found["trouble"].as_str().is_some(), "{found}");
    }
}

#[test]
fn onnx_runtime_agrees_with_tract() {
    let Some(name) = ort() else { return };
    let folder = Folder::new();
    let (input, output) = (fixture("digits_resnet"), folder.path("o.onnx"));
    let report = told(&["prune", &input, "-o", &output, "--threads", "2", "--json"]);
    let verification = &report["verification"];
    assert_eq!((&verification["equal"], &verification["runtime"]), (&value!(true), &value!(name)));
    let latency = &verification["latency"];
    assert_eq!((&latency["runtime"], &latency["threads"]), (&value!("ort"), &value!(2)));
    assert!(name.ends_with(latency["version"].as_str().unwrap()), "{latency}");
    let images = fixture("digits_test.npz");
    let judged = ["eval", &input, "--inputs", &images, "--labels", &images, "--samples", "64", "--json"];
    assert_eq!(told(&judged)[0]["accuracy"], json(&judged, 0)[0]["accuracy"]);
    let table = told(&["profile", &fixture("digits_mlp"), "--no-cache", "--json"]);
    assert_eq!(table["host"]["runtime"], value!(name));
    let layers = ["layers", &input, "--calib", &fixture("digits_calib.npz"), "--json"];
    let scores = |found: Value| -> Vec<f64> {
        found["layers"].as_array().unwrap().iter().map(|l| l["score"].as_f64().unwrap()).collect()
    };
    let (ort, tract) = (scores(told(&layers)), scores(json(&layers, 0)));
    assert!(!ort.is_empty() && ort.iter().zip(&tract).all(|(a, b)| (a - b).abs() < 1e-4), "{ort:?} {tract:?}");
}

#[test]
fn bytes_depend_on_no_threads() {
    if ort().is_none() {
        return;
    }
    let folder = Folder::new();
    let (input, calib) = (fixture("digits_mlp"), fixture("digits_calib.npz"));
    let made = |name: &str, threads: &str| {
        let output = folder.path(name);
        let args =
            ["prune", &input, "-o", &output, "--macs", "50%", "--calib", &calib, "--samples", "16", "--no-compensate"];
        let more = ["--criterion", "sensitivity", "--repeats", "0", "--threads", threads, "--json"];
        let report = told(&[&args[..], &more].concat());
        (read(output), report["verification"].to_string())
    };
    assert!(made("a.onnx", "1") == made("b.onnx", "3"));
}

#[test]
fn halves_go_in_and_out() {
    if ort().is_none() {
        return;
    }
    let found = told(&["bench", &fixture("odd/fp16"), "--runtime", "ort", "--repeats", "1", "--json"]);
    assert_eq!(found["runtime"], "ort");
}

#[test]
fn what_onnx_runtime_does_not_know_tract_may() {
    if ort().is_none() {
        return;
    }
    let folder = Folder::new();
    let text = "<opset_import: [\"\" : 99]> g (f32[2,3] x) => (f32[2,3] y) { y = Relu(x) }";
    let (model, path) = (secateur::ir::parse(text, &|_| None).unwrap(), folder.path("new.onnx"));
    std::fs::write(&path, secateur::onnx::to_bytes(&model).unwrap()).unwrap();
    let timed = ["bench", &path, "--repeats", "1", "--json"];
    assert_eq!(told(&timed)["runtime"], "tract");
    free(&[&timed[..], &["--runtime", "ort"]].concat()).assert().code(1);
}

#[test]
fn a_build_is_made_again_for_another_runtime() {
    let Some(name) = ort() else { return };
    let folder = Folder::new();
    std::fs::copy(fixture("digits_mlp"), folder.path("in.onnx")).unwrap();
    let file = folder.path("secateur.toml");
    let build = |more: &str, runtime: &str| {
        std::fs::write(&file, format!("input = 'in.onnx'\noutput = 'small.onnx'\n{more}")).unwrap();
        let cache = folder.path("cache");
        let mut command = free(&["build", "--file", &file, "--json"]);
        let out = command.env("SECATEUR_CACHE", cache).env("SECATEUR_RUNTIME", runtime).assert().code(0);
        let told: Value = serde_json::from_slice(&out.get_output().stdout).unwrap();
        format!("{}: {}", told[0]["state"].as_str().unwrap(), told[0]["why"].as_str().unwrap_or("-"))
    };
    assert_eq!(build("", "auto"), "made: it was never made");
    assert_eq!(build("", "ort"), "fresh: -");
    assert_eq!(build("", "tract"), format!("made: it was made with {name}"));
    // What the file says is the same everywhere.
    assert!(build("runtime = 'tract'", "tract").starts_with("made: its options changed"));
    assert_eq!(build("runtime = 'tract'", "auto"), "fresh: -");
}

#[test]
fn results_name_the_runtime_that_their_weights_depend_on() {
    let Some(name) = ort() else { return };
    let folder = Folder::new();
    let (input, calib) = (fixture("digits_mlp"), fixture("digits_calib.npz"));
    let signed = |file: &str, more: &[&str]| {
        let output = folder.path(file);
        let args = ["prune", &input, "-o", &output, "--no-verify", "--json"];
        told(&[&args[..], more].concat());
        let model = crate::load(output);
        model.metadata.into_iter().find(|(key, _)| key == "secateur.runtime").map(|(_, value)| value)
    };
    assert_eq!(signed("a.onnx", &["--criterion", "l2"]), None);
    assert_eq!(signed("b.onnx", &["--calib", &calib, "--samples", "8"]), Some(name));
}

#[test]
fn both_runtimes_are_compared() {
    if ort().is_none() {
        return;
    }
    let input = fixture("digits_resnet");
    let found = told(&["verify", &input, &input, "--runtime", "both", "--json"]);
    assert_eq!((&found["equal"], found["runtimes"].as_array().unwrap().len()), (&value!(true), 2));
    assert!(found["runtimes"][0]["equal"].as_bool().unwrap() && found["runtimes"][0]["node"].is_null(), "{found}");
}
