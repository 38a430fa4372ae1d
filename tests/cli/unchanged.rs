//! Where there is nothing to do, the file comes out as it went in.

use crate::{Folder, NETS, ODD, fixture, read, secateur, stdout};
use predicates::prelude::*;

#[test]
fn no_passes_and_no_cut_change_no_byte() {
    let folder = Folder::new();
    for name in NETS.iter().chain(&ODD) {
        let (input, output) = (fixture(name), folder.path("o.onnx"));
        stdout(&["opt", &input, "-o", &output, "--passes", ""], 0);
        // External data moves into a file that is named after the output.
        let same = |output: &str| match *name {
            "odd/external" => weights(output) == weights(&input),
            _ => read(output) == read(&input),
        };
        assert!(same(&output), "opt {name}");
        let assert = secateur(&["prune", &input, "-o", &output, "--ratio", "0"]).code(3);
        assert.stderr(predicate::str::contains("nothing to prune"));
        assert!(same(&output), "prune {name}");
    }
}

fn weights(path: &str) -> Vec<u64> {
    let model = crate::load(path);
    model.graph.constants().into_iter().map(|n| model.graph.constant(n).unwrap().tensor.hash()).collect()
}

#[test]
fn what_can_not_be_cut_is_not() {
    // Without its function, the gate is an operator that nobody knows; the other activation becomes one.
    let folder = Folder::new();
    let (input, output) = (folder.path("i.onnx"), folder.path("o.onnx"));
    let mut model = crate::load(fixture("odd/everything"));
    model.functions.clear();
    let other = model.graph.calls().into_iter().find(|&n| model.graph.call(n).unwrap().results[0] == "b.relu").unwrap();
    model.graph.call_mut(other).unwrap().domain = "org.example".into();
    secateur::onnx::save(&model, input.as_ref(), &Default::default()).unwrap();
    let report = crate::json(&["prune", &input, "-o", &output, "--json"], 3);
    assert!(read(&output) == read(&input));
    assert_eq!(report["verification"]["status"], "skipped");
    assert_eq!(report["removed"], serde_json::json!([]));
    let why = report["pinned"].to_string();
    assert!(why.contains("LeakyGate"), "{why}");
    secateur(&["plan", &input]).code(3).stderr(predicate::str::contains("explain"));
}

#[test]
fn a_model_without_groups_is_told_so() {
    let folder = Folder::new();
    let text = "<ir_version: 8, opset_import: [\"\" : 17, \"ai.onnx.ml\" : 1]>
        g (f32[n,2] x) => (f32[n,2] y) { y = ai.onnx.ml.Scaler<offset=[1.0, 2.0], scale=[2.0, 0.5]>(x) }";
    let input = crate::inexact::write(&folder, text, &[]);
    let said = stdout(&["explain", &input], 0);
    assert!(said.contains("no group"), "{said}");
}
