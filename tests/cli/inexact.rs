//! Cuts that change what survives: under a layer norm, a softmax, a choice of the best.

use super::{Folder, json, secateur};
use predicates::prelude::*;
use secateur::ir::{self, Tensor};
use secateur::onnx::to_bytes;

/// A pre-norm block with a residual stream of 8 units, and a gate that sums to one over the hidden units.
const BLOCK: &str = "net (f32[N,5] x) => (f32[N,3] y) {
  f32[5, 8] embed #1
  s = MatMul(x, embed)
  f32[8] scale #2
  f32[8] shift #3
  n = LayerNormalization(s, scale, shift)
  f32[8, 6] up #4
  h = MatMul(n, up)
  g = Softmax(h)
  f32[6, 8] down #5
  d = MatMul(g, down)
  r = Add(s, d)
  f32[8, 3] head #6
  y = MatMul(r, head)
}";

/// A mixture of experts: the two best of six, picked out of stacked weights.
const EXPERTS: &str = "net (f32[N,5] x) => (f32[N,3] y) {
  f32[5, 6] gate #1
  votes = MatMul(x, gate)
  shares = Softmax(votes)
  i64[1] two {2}
  best, which = TopK(shares, two)
  f32[6, 5, 3] experts #2
  picked = Gather(experts, which)
  i64[2] inner {1, 2}
  rows = Unsqueeze(x, inner)
  each = MatMul(rows, picked)
  i64[1] row {2}
  answers = Squeeze(each, row)
  i64[1] last {-1}
  weights = Unsqueeze(best, last)
  weighted = Mul(answers, weights)
  i64[1] expert {1}
  y = ReduceSum<keepdims=0>(weighted, expert)
}";

fn block(folder: &Folder) -> String {
    write(folder, BLOCK, &[&[5, 8], &[8], &[8], &[8, 6], &[6, 8], &[8, 3]])
}

pub(crate) fn write(folder: &Folder, text: &str, shapes: &[&[usize]]) -> String {
    let weight = |hash: u64| {
        let shape: Vec<usize> = shapes.get(hash as usize - 1)?.to_vec();
        let count: usize = shape.iter().product();
        let numbers: Vec<f32> = (0..count).map(|i| ((i as u64 * 37 + hash * 11) % 19) as f32 / 9.0 - 1.0).collect();
        Some(Tensor::from_f32(shape, &numbers))
    };
    let path = folder.path("block.onnx");
    let model = ir::parse(text, &weight).unwrap();
    std::fs::write(&path, to_bytes(&model).unwrap()).unwrap();
    path
}

#[test]
fn it_is_left_alone_unless_asked_for() {
    let folder = Folder::new();
    let input = block(&folder);
    let output = folder.path("o.onnx");
    secateur(&["prune", &input, "-o", &output]).code(3).stderr(predicate::str::contains("nothing to prune"));
}

#[test]
fn its_reference_takes_statistics_over_what_is_kept() {
    let folder = Folder::new();
    let input = block(&folder);
    let reference = folder.path("reference.onnx");
    let output = folder.path("o.onnx");
    let options = ["--inexact", "--no-compensate", "--reference", &reference, "--json"];
    let report = json(&[&["prune", &input, "-o", &output], &options[..]].concat(), 0);
    let verification = &report["verification"];
    assert_eq!((&verification["status"], &verification["equal"]), (&"ran".into(), &true.into()), "{verification}");
    assert!(report["groups"].as_array().unwrap().iter().all(|g| g["exact"] == false));
    // The reference has the original's widths, and equals the result; the original does not.
    let macs = |path: &str| json(&["inspect", path, "--json"], 0)["total"]["macs"].clone();
    assert_eq!(macs(&reference), macs(&input));
    assert!(macs(&output).as_u64() < macs(&input).as_u64());
    secateur(&["verify", &reference, &output]).code(0);
    secateur(&["verify", &input, &output]).code(4);
}

#[test]
fn the_summary_says_which_equivalence() {
    let folder = Folder::new();
    let (input, output) = (block(&folder), folder.path("o.onnx"));
    let shown = secateur(&["prune", &input, "-o", &output, "--inexact"]).code(0);
    shown.stdout(predicate::str::contains("restricted equivalence holds"));
}

#[test]
fn the_reference_needs_a_place_of_its_own() {
    let folder = Folder::new();
    let (input, output) = (block(&folder), folder.path("o.onnx"));
    let same = ["prune", &input, "-o", &output, "--inexact", "--reference", &output];
    secateur(&same).code(2).stderr(predicate::str::contains("name the same file"));
    let onto_input = ["prune", &input, "-o", &output, "--inexact", "--reference", &input];
    secateur(&onto_input).code(1).stderr(predicate::str::contains("block.onnx"));
}

#[test]
fn experts_go_with_their_numbers() {
    let folder = Folder::new();
    let input = write(&folder, EXPERTS, &[&[5, 6], &[6, 5, 3]]);
    let output = folder.path("o.onnx");
    let report = json(&["prune", &input, "-o", &output, "--inexact", "--ratio", "0.3", "--json"], 0);
    let verification = &report["verification"];
    assert_eq!((&verification["status"], &verification["equal"]), (&"ran".into(), &true.into()), "{verification}");
    assert_eq!((&report["groups"][0]["before"], &report["groups"][0]["after"]), (&6.into(), &5.into()));
    // No fewer can stay than are picked.
    let report = json(&["prune", &input, "-o", &output, "--inexact", "--ratio", "0.9", "--json"], 0);
    assert_eq!(report["groups"][0]["after"], 2);
}

#[test]
fn only_the_sorts_that_are_asked_for_go() {
    let folder = Folder::new();
    let (input, output) = (block(&folder), folder.path("o.onnx"));
    let prune = |sorts: &str, flags: &[&str]| {
        let args = ["prune", &input, "-o", &output, "--no-verify", "--granularity", sorts];
        secateur(&[&args, flags].concat())
    };
    prune("width", &["--inexact"]).code(0);
    prune("channel,head", &["--inexact"]).code(3);
    prune("width", &[]).code(2).stderr(predicate::str::contains("--inexact"));
    prune("filter", &[]).code(2).stderr(predicate::str::contains("head-dim, width, expert"));
    let listed = json(&["groups", &input, "--json"], 0);
    assert!(listed.as_array().unwrap().iter().all(|g| g["kind"] == "width" && g["state"] == "inexact"), "{listed}");
}
