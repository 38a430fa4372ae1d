//! Weights that the graph computes, and constant expressions that several layers read: what stays is what it was, and
//! `removed` says no more than what the pruned model computes.

use crate::inexact::write;
use crate::{Folder, json, load};
use secateur::ir::Model;
use serde_json::Value;

/// Filters that a norm of themselves scales.
const WEIGHT_NORM: &str = "net (f32[N, 3, 6, 6] x) => (f32[N, 2, 6, 6] y) {
  f32[8, 3, 3, 3] v #1
  f32[8, 1, 1, 1] g #2
  f32[8] b #3
  f32[2, 8, 1, 1] w #4
  norm = ReduceL2<axes=[1,2,3]>(v)
  unit = Div(v, norm)
  filters = Mul(unit, g)
  c = Conv<pads=[1,1,1,1]>(x, filters, b)
  r = LeakyRelu(c)
  y = Conv(r, w)
}";

/// A matrix that one number scales, which all of it makes.
const SPECTRAL_NORM: &str = "net (f32[N, 5] x) => (f32[N, 2] y) {
  f32[5, 8] w #1
  f32[8] u #2
  f32[8, 2] out #3
  t = MatMul(w, u)
  sigma = ReduceL1<keepdims=0>(t)
  scaled = Div(w, sigma)
  h = MatMul(x, scaled)
  r = Relu(h)
  y = MatMul(r, out)
}";

/// Two layers that rotate by the same angles.
const SHARED: &str = "net (f32[N, 5] x) => (f32[N, 2] y) {
  f32[8] angles #1
  f32[5, 8] a #2
  f32[8, 5] b #3
  f32[5, 8] c #4
  f32[8, 2] d #5
  f32[8] g #6
  norm = ReduceL2(g)
  table = Div(angles, norm)
  sines = Sin(table)
  one = MatMul(x, a)
  turned = Mul(one, sines)
  next = MatMul(turned, b)
  r = Relu(next)
  two = MatMul(r, c)
  turned2 = Mul(two, sines)
  y = MatMul(turned2, d)
}";

/// A low-rank update of a matrix.
const LOW_RANK: &str = "net (f32[N, 5] x) => (f32[N, 2] y) {
  f32[5, 8] w #1
  f32[5, 4] a #2
  f32[4, 8] b #3
  f32[8, 2] out #4
  update = MatMul(a, b)
  sum = Add(w, update)
  h = MatMul(x, sum)
  r = Relu(h)
  y = MatMul(r, out)
}";

/// A table that is read and averaged.
const READ_TWICE: &str = "net (f32[N, 4] x) => (f32[N, 3] y, f32[] mean) {
  f32[1, 8] k #1
  i64[2] times = {3, 1}
  i64[1] zero = {0}
  i64[1] one = {1}
  f32[8, 3] w #2
  tiled = Tile(k, times)
  first = Slice(tiled, zero, one, zero)
  batch = Shape<start=0, end=1>(x)
  shape = Concat<axis=0>(batch, one)
  rows = Expand(first, shape)
  y = MatMul(rows, w)
  mean = ReduceMean<keepdims=0>(tiled)
}";

/// An attention whose scale is made from the size of its heads, as exporters write it.
const SIZED: &str = "net (f32[N, 4, 6] x) => (f32[N, 4, 3] y) {
  f32[6, 8] qw #1
  f32[6, 8] kw #2
  f32[6, 8] vw #3
  f32[8, 3] ow #4
  q = MatMul(x, qw)
  k = MatMul(x, kw)
  v = MatMul(x, vw)
  shape = Shape(q)
  i64[1] start = {-1}
  i64[1] end = {9223372036854775807}
  last = Slice(shape, start, end)
  size = Cast<to=1>(last)
  root = Sqrt(size)
  f32[1] one = {1.0}
  scale = Div(one, root)
  half = Sqrt(scale)
  turned = Transpose<perm=[0,2,1]>(k)
  queries = Mul(q, half)
  keys = Mul(turned, half)
  scores = MatMul(queries, keys)
  shares = Softmax<axis=-1>(scores)
  mixed = MatMul(shares, v)
  y = MatMul(mixed, ow)
}";

fn pruned(text: &str, shapes: &[&[usize]], options: &[&str]) -> (Model, Value) {
    let folder = Folder::new();
    let (input, output) = (write(&folder, text, shapes), folder.path("o.onnx"));
    let args = [&["prune", &input, "-o", &output, "--no-compensate", "--json"], options].concat();
    let report = json(&args, 0);
    let verification = &report["verification"];
    assert_eq!((&verification["status"], &verification["equal"]), (&"ran".into(), &true.into()), "{verification}");
    (load(output), report)
}

/// The constants that `removed` names, sorted.
fn named(report: &Value) -> Vec<&str> {
    let mut names: Vec<&str> =
        report["removed"].as_array().unwrap().iter().map(|r| r["tensor"].as_str().unwrap()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Whether a model has a constant of this shape.
fn has(model: &Model, shape: &[usize]) -> bool {
    model.graph.constants().into_iter().filter_map(|n| model.graph.constant(n)).any(|c| c.tensor.shape == shape)
}

#[test]
fn what_a_norm_divides_by_is_never_zeroed() {
    let shapes: &[&[usize]] = &[&[8, 3, 3, 3], &[8, 1, 1, 1], &[8], &[2, 8, 1, 1]];
    let (model, report) = pruned(WEIGHT_NORM, shapes, &["--ratio", "0.5"]);
    assert_eq!(named(&report), ["b", "g", "w"]);
    assert!(has(&model, &[4, 3, 3, 3]));
}

#[test]
fn a_norm_of_the_whole_matrix_stays() {
    let (model, report) = pruned(SPECTRAL_NORM, &[&[5, 8], &[8], &[8, 2]], &["--ratio", "0.5"]);
    assert_eq!(named(&report), ["out"]);
    assert!(has(&model, &[5, 4]));
}

#[test]
fn layers_that_read_one_table_are_cut_alike() {
    let shapes: &[&[usize]] = &[&[8], &[5, 8], &[8, 5], &[5, 8], &[8, 2], &[8]];
    let (model, report) = pruned(SHARED, shapes, &["--ratio", "0.5"]);
    assert!(has(&model, &[5, 4]) && has(&model, &[4, 2]), "{report}");
    let groups = report["groups"].as_array().unwrap();
    assert!(groups.iter().any(|g| g["where"].to_string().contains("a[1]") && g["where"].to_string().contains("c[1]")));
}

#[test]
fn the_rank_of_an_update_is_no_group() {
    let (model, report) = pruned(LOW_RANK, &[&[5, 8], &[5, 4], &[4, 8], &[8, 2]], &["--ratio", "0.5"]);
    assert!(has(&model, &[4, 2]));
    let pinned = report["pinned"].to_string();
    assert!(pinned.contains("a weight is computed by summing over it"), "{pinned}");
}

#[test]
fn what_is_read_and_averaged_is_proved() {
    let options = ["--ratio", "0.5", "--inexact", "--no-merge"];
    let (_, report) = pruned(READ_TWICE, &[&[1, 8], &[8, 3]], &options);
    assert_eq!(named(&report), ["k", "w"]);
}

#[test]
fn a_scale_made_from_a_size_stays() {
    let (model, report) = pruned(SIZED, &[&[6, 8], &[6, 8], &[6, 8], &[8, 3]], &["--ratio", "0.5"]);
    assert_eq!(named(&report), ["kw", "ow", "qw", "vw"]);
    let constants = model.graph.constants().into_iter().filter_map(|n| model.graph.constant(n));
    let single = constants.filter(|c| c.tensor.count() == 1).filter_map(|c| c.tensor.to_f64().ok()?.first().copied());
    let half = 8f64.powf(-0.25);
    assert!(single.into_iter().any(|x| (x - half).abs() < 1e-6), "the scale is another one");
}
