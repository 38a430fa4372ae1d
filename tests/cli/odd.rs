//! Each odd model survives, and does what makes it odd.

use crate::equivalence::difference;
use crate::{Folder, fixture, json, load, prune, read, secateur, stdout};
use predicates::prelude::*;
use secateur::ir::Form;

fn run(name: &str, options: &[&str]) -> (Folder, String, serde_json::Value) {
    let folder = Folder::new();
    let (output, report) = prune(&folder, &fixture(name), "o.onnx", options);
    (folder, output, report)
}

fn labels(report: &serde_json::Value, key: &str, part: &str) -> String {
    report[key].as_array().unwrap().iter().map(|g| g[part].to_string() + "\n").collect()
}

#[test]
fn a_shared_bias_is_cut_apart() {
    let (_folder, output, report) = run("odd/shared_bias", &[]);
    let removed = report["removed"].as_array().unwrap();
    let bias: Vec<_> = removed.iter().filter(|r| r["tensor"] == "bias").collect();
    assert_eq!(bias.len(), 2, "{bias:?}");
    assert_ne!(bias[0]["indices"], bias[1]["indices"]);
    assert!(bias.iter().all(|r| r["uses"].as_array().unwrap().len() == 1), "{bias:?}");
    let model = load(output);
    let shapes = model.graph.constants().into_iter().filter_map(|n| model.graph.constant(n));
    let vectors = shapes.filter(|c| c.tensor.shape == [8] && c.source() != Some("c.b")).count();
    assert!(vectors >= 2, "the bias was not cloned");
}

#[test]
fn external_data_moves_with_the_model() {
    let (folder, output, report) = run("odd/external", &[]);
    assert_eq!(folder.files().len(), 2);
    let elsewhere = Folder::new();
    for file in folder.files() {
        std::fs::rename(&file, elsewhere.path(&file.file_name().unwrap().to_string_lossy())).unwrap();
    }
    let moved = elsewhere.path("o.onnx");
    let size = read(&moved).len() + read(format!("{moved}.data")).len();
    assert_eq!(report["after"]["file"], size);
    stdout(&["verify", &moved, &moved, "--samples", "2"], 0);
    // Inside, on request; and it computes the same.
    let (inline, _) = prune(&elsewhere, &fixture("odd/external"), "inline.onnx", &["--external-data", "never"]);
    assert!(difference(&load(&moved), &load(inline)) == 0.0);
    std::fs::remove_file(format!("{moved}.data")).unwrap();
    secateur(&["inspect", &moved]).code(1).stderr(predicate::str::contains("o.onnx.data"));
    assert!(!std::path::Path::new(&output).exists());
}

#[test]
fn bodies_are_cut_inside() {
    // What is captured, and what branches have of their own. Each prune verifies itself where tract can.
    let (_folder, _, report) = run("odd/if_capture", &[]);
    let cut = labels(&report, "groups", "where");
    assert!(cut.contains("a.w[0]") && cut.contains("slope[1]") && cut.contains("d.w[0]"), "{cut}");
    let (_folder, output, report) = run("odd/branches", &[]);
    let cut = labels(&report, "groups", "where");
    assert!(cut.contains("n_chosen.then_branch/bn.scale[0]") && cut.contains("else.out.w[1]"), "{cut}");
    let text = stdout(&["print", &output, "--plain"], 0);
    assert!(text.contains("captured then.c.w") && !text.contains("secateur.body"), "{text}");
    assert!(!text.contains("BatchNormalization"), "it was not folded inside");
    // The state of a recurrence, and the layer in it.
    let (_folder, _, report) = run("odd/scan", &[]);
    let cut = labels(&report, "groups", "where");
    assert!(cut.contains("init[1]") && cut.contains("v.b[0]"), "{cut}");
}

#[test]
fn loops_are_cut_inside() {
    let folder = Folder::new();
    let (input, output) = (fixture("odd/loop"), folder.path("o.onnx"));
    let report = json(&["prune", &input, "-o", &output, "--ratio", "0.5", "--json"], 0);
    // tract has no Loop.
    assert_eq!(report["verification"]["status"], "unable");
    let cut = labels(&report, "groups", "where");
    assert!(["a.w[0]", "gain[1]", "b.w[1]", "b.w[0]", "fc.w[1]"].iter().all(|w| cut.contains(w)), "{cut}");
    let small = load(output);
    let mut shapes = vec![];
    each_constant(&small.graph, &mut |c| shapes.push((c.name.clone(), c.tensor.shape.clone())));
    let shape = |name: &str| shapes.iter().find(|(n, _)| n == name).map(|(_, s)| s.clone()).unwrap();
    assert_eq!(shape("b.w"), [12, 8, 3, 3]);
    assert_eq!(shape("gain"), [1, 8, 1, 1]);
}

fn each_constant(graph: &secateur::ir::Graph, visit: &mut dyn FnMut(&secateur::ir::Constant)) {
    graph.constants().into_iter().filter_map(|n| graph.constant(n)).for_each(&mut *visit);
    for call in graph.calls().into_iter().filter_map(|n| graph.call(n)) {
        call.graphs().for_each(|g| each_constant(g, visit));
    }
}

#[test]
fn what_functions_hold_is_cut_and_told_by_their_calls() {
    // The prune verifies itself: the masked model is the file's, with its functions.
    let (_folder, output, report) = run("odd/functions", &[]);
    let removed = report["removed"].as_array().unwrap();
    let bias: Vec<String> = removed.iter().filter(|r| r["tensor"] == "bias").map(|r| r["uses"].to_string()).collect();
    assert_eq!(bias, ["[[3,2]]", "[[2,2]]"]);
    let cut = labels(&report, "groups", "where");
    assert!(cut.contains("p1.w1[0]") && cut.contains("p2.w2[1]"), "{cut}");
    assert!(load(output).functions.is_empty());
}

#[test]
fn an_unknown_operator_pins_what_it_touches() {
    let folder = Folder::new();
    let (input, output) = (fixture("odd/opaque"), folder.path("o.onnx"));
    let shown = stdout(&["prune", &input, "-o", &output], 0);
    assert!(shown.contains("not run: ") && shown.contains("org.example.Mystery \"mystery\""), "{shown}");
    assert!(shown.contains("checked instead: ") && shown.contains("invariants hold"), "{shown}");
    let report = json(&["prune", &input, "-o", &output, "--json"], 0);
    assert_eq!(report["verification"]["status"], "unable");
    assert!(labels(&report, "pinned", "why").contains("Mystery"));
    let cut = labels(&report, "groups", "where");
    assert!(["a.w[0]", "c.w[0]", "d.w[0]"].iter().all(|w| cut.contains(w)) && !cut.contains("b.w[0]"), "{cut}");
    let text = stdout(&["print", &output, "--plain"], 0);
    assert!(text.contains("org.example.Mystery") && text.contains("k=3"), "{text}");
}

#[test]
fn every_part_of_a_model_survives_a_prune() {
    // Nothing in `everything` can be cut as it is: the gate becomes an operator that has a rule.
    let folder = Folder::new();
    let input = folder.path("in.onnx");
    let mut model = load(fixture("odd/everything"));
    let gate = model.graph.calls().into_iter().find(|&n| model.graph.label(n) == "gate").unwrap();
    let call = model.graph.call_mut(gate).unwrap();
    (call.op, call.domain) = ("Sigmoid".into(), String::new());
    secateur::onnx::save(&model, input.as_ref(), &Default::default()).unwrap();
    let (output, report) = prune(&folder, &input, "o.onnx", &["--keep-bn"]);
    assert_eq!(report["groups"].as_array().unwrap().len(), 2);
    let bytes = read(&output);
    let parts = [
        "doc of the model",
        "doc of the graph",
        "doc of the first convolution",
        "doc of a weight",
        "doc of b.relu",
        "8x8 digits, 0..1",
        "0,1,2,3,4,5,6,7,8,9",
        "org.example.fixtures",
        "LeakyRelu(x) * Sigmoid(x)",
        "offset",
        "SCALE_TENSOR",
    ];
    for part in parts {
        assert!(bytes.windows(part.len()).any(|w| w == part.as_bytes()), "{part:?} is gone");
    }
    let small = load(output);
    // The quantization annotation names them.
    for name in ["a.scale", "a.zero_point"] {
        let there = small.graph.constants().into_iter().any(|n| small.graph.label(n) == name);
        assert!(there, "{name} is gone");
    }
    assert!(small.metadata.contains(&("author".into(), "secateur".into())));
}

#[test]
fn quantized_and_half_precision_weights_keep_their_types() {
    for (name, dtype) in [("odd/int8_qdq", "i8"), ("odd/fp16", "f16")] {
        let (_folder, output, report) = run(name, &[]);
        assert!(!report["groups"].as_array().unwrap().is_empty());
        let model = load(output);
        let weights = model.graph.constants().into_iter().filter_map(|n| model.graph.constant(n));
        let mut large = weights.filter(|c| c.tensor.shape.len() == 4).map(|c| c.tensor.dtype.name().to_owned());
        assert!(large.all(|d| d == dtype), "{name}");
    }
}

#[test]
fn initializers_that_are_inputs_stay_so() {
    let (_folder, output, _) = run("odd/ir3", &[]);
    let model = load(output);
    assert_eq!(model.ir_version, 3);
    assert_eq!(verify_inputs(&model), ["input"]);
    let mut declared = 0;
    for constant in model.graph.constants().into_iter().filter_map(|n| model.graph.constant(n)) {
        if let Form::InputInitializer { info, .. } = &constant.form {
            let shape = info.ty.tensor().unwrap().shape.clone().unwrap();
            let sizes: Vec<usize> = shape.iter().map(|d| d.size().unwrap()).collect();
            assert_eq!(sizes, constant.tensor.shape, "{}", constant.name);
            declared += 1;
        }
    }
    assert!(declared > 0);
    assert!(model.graph.inputs().len() <= load(fixture("odd/ir3")).graph.inputs().len());
}

fn verify_inputs(model: &secateur::ir::Model) -> Vec<String> {
    secateur::verify::input_specs(model).unwrap().into_iter().map(|s| s.name).collect()
}

#[test]
fn seams_that_do_not_meet_are_cut_all_the_same() {
    let (_folder, _, report) = run("odd/concat_split", &[]);
    let cut = labels(&report, "groups", "where");
    assert!(cut.contains("a.w[0]") && cut.contains("b.w[0]"), "{cut}");
}
