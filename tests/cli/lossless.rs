//! What goes without loss.

use crate::{Folder, fixture, json, secateur};
use secateur::{ir, onnx};
use serde_json::Value;

/// Four hidden units: one that matters, its double, one that is dead between -1 and 1, and one that nothing reads.
const NET: &str = "g (f32[N,2] x) => (f32[N,1] y) {
    f32[2,4] w = {1.0, 2.0, 1.0, 5.0, -3.0, -6.0, 1.0, 6.0}
    f32[4] b = {0.5, 1.0, -4.0, 0.0}
    f32[4,1] v = {1.0, 10.0, 100.0, 0.0}
    h = Gemm(x, w, b)
    r = Relu(h)
    y = Gemm(r, v)
}";

fn net(folder: &Folder) -> String {
    let path = folder.path("net.onnx");
    let model = ir::parse(NET, &|_| None).unwrap();
    std::fs::write(&path, onnx::to_bytes(&model).unwrap()).unwrap();
    path
}

fn proofs(report: &Value) -> Vec<String> {
    let units = report["lossless"][0]["units"].as_array().expect("units went without loss");
    units.iter().map(|u| format!("{} {}", u["unit"], u["proof"].as_str().unwrap())).collect()
}

#[test]
fn what_goes_without_loss_is_proved_against_the_file() {
    let folder = Folder::new();
    let (net, out) = (net(&folder), folder.path("small.onnx"));
    let prune =
        |options: &[&str]| json(&[&["prune", &net, "-o", &out, "--json", "--repeats", "0"], options].concat(), 0);
    let report = prune(&["--lossless"]);
    assert_eq!(proofs(&report), ["1 twin", "3 unread"]);
    assert_eq!(report["removed"].as_array().unwrap().len(), 0);
    assert_eq!(report["verification"]["equal"], true);

    let report = prune(&["--lossless", "--input-range", "-1..1"]);
    assert_eq!(proofs(&report), ["1 twin", "2 dead", "3 unread"]);

    // A quarter of the units goes first, and does no harm.
    let report = prune(&["--ratio", "0.25"]);
    assert_eq!(proofs(&report).len(), 2);
    let report = prune(&["--ratio", "0.25", "--no-merge"]);
    assert!(report["lossless"].is_null() && !report["removed"].as_array().unwrap().is_empty());
}

#[test]
fn a_trained_net_has_dead_units() {
    let folder = Folder::new();
    let (net, out) = (fixture("digits_mobilenet"), folder.path("small.onnx"));
    let report = json(&["prune", &net, "-o", &out, "--lossless", "--json", "--repeats", "0"], 0);
    assert!(report["after"]["macs"].as_u64() < report["before"]["macs"].as_u64());
    assert!(report["verification"]["equal"] == true && report["removed"].as_array().unwrap().is_empty());
    // Before single weights are set to zero, the proof is about the rest.
    let options = ["--ratio", "0.3", "--no-compensate", "--sparsity", "30%"];
    let report = json(&[&["prune", &net, "-o", &out, "--json", "--repeats", "0"], &options[..]].concat(), 0);
    assert!(report["verification"]["equal"] == true && report["sparsity"]["proved"] == false);
}

#[test]
fn a_plan_proves_anew_what_goes_without_loss() {
    let folder = Folder::new();
    let (net, plan, out) = (net(&folder), folder.path("plan.json"), folder.path("small.onnx"));
    secateur(&["plan", &net, "--lossless", "--input-range", "x=-1..1", "-o", &plan]).success();
    let report = json(&["apply", &net, "--plan", &plan, "-o", &out, "--json", "--repeats", "0"], 0);
    assert_eq!(proofs(&report), ["1 twin", "2 dead", "3 unread"]);
}

#[test]
fn a_range_that_is_none_is_wrong_use() {
    let net = fixture("digits_mlp");
    let wrong = secateur(&["prune", &net, "-o", "x.onnx", "--lossless", "--input-range", "1..0"]).code(2);
    let said = String::from_utf8(wrong.get_output().stderr.clone()).unwrap();
    assert!(said.contains("`1..0` is not a range; write `LO..HI`"), "{said}");
}
