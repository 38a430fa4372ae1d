//! Small files that ask for much: answered, within bounded time and memory, whatever the answer is.

use crate::{Folder, secateur, text};
use secateur::ir::parse;
use secateur::onnx;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// What follows takes a second or two where nothing is quadratic; a slow machine has other things to do as well.
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs the verbs that only look at a model, or rewrite it. Returns what `groups` says.
fn answered(body: &str) -> String {
    let folder = Folder::new();
    let (input, output) = (folder.path("m.onnx"), folder.path("o.onnx"));
    let model = parse(body, &|_| None).unwrap_or_else(|e| panic!("{e}"));
    std::fs::write(&input, onnx::to_bytes(&model).unwrap()).unwrap();
    let mut groups = String::new();
    for args in
        [&["inspect", &input][..], &["groups", "--all", &input], &["print", &input], &["opt", &input, "-o", &output]]
    {
        let started = Instant::now();
        let answer = secateur(args);
        let output = answer.get_output();
        assert!(output.status.code().is_some_and(|code| code < 5), "{args:?}: {}", text(&output.stderr));
        assert!(started.elapsed() < PATIENCE, "{args:?} took {:?}", started.elapsed());
        if args[0] == "groups" {
            groups = text(&output.stdout);
        }
    }
    groups
}

/// A graph of a head, lines for each number, and a tail.
fn chain(head: &str, count: usize, line: impl Fn(usize) -> String, tail: &str) -> String {
    let mut body = head.to_owned();
    (0..count).for_each(|k| writeln!(body, "{}", line(k)).unwrap());
    body + tail
}

#[test]
fn dimensions_that_grow() {
    let head = "g (f32[a,b] x) => (f32[a,b] y, i64[2] z) {
        i64[2] two = {2, 2}
        i64[2] back = {1, 0}
        s0 = Shape(x)\n";
    let tail = |k: usize| format!("z = Identity(s{k})\n y = Relu(x) }}");
    // Each power has twice the terms, and each quotient goes one deeper.
    let powers = |k: usize| {
        format!("turned{k} = Gather(s{k}, back)\n sum{k} = Add(s{k}, turned{k})\n s{} = Mul(sum{k}, sum{k})", k + 1)
    };
    answered(&chain(head, 20, powers, &tail(20)));
    answered(&chain(head, 2000, |k| format!("s{} = Div(s{k}, two)", k + 1), &tail(2000)));
}

#[test]
fn constants_in_a_chain() {
    let head = "g (f32[n,4] x) => (f32[n,4] y) {
        f32[4] q0 = {1, 2, 3, 4}
        f32[4] one = {1, 1, 1, 1}\n";
    let tail = "y = Add(x, q2000) }";
    answered(&chain(head, 2000, |k| format!("q{} = Add(q{k}, one)", k + 1), tail));
    answered(&chain(head, 2000, |k| format!("q{} = Mul(q{k}, q{k})", k + 1), tail));
}

#[test]
fn axes_of_a_thousand_million_parts() {
    let head = "g (f32[n,3] x) => (f32[n,1] y) {
        f32[3,2] w = {1, 2, 3, 4, 5, 6}
        i64[1] axis = {1}
        h0 = MatMul(x, w)\n";
    let line = |k: usize| format!("h{} = Concat<axis=1>(h{k}, h{k})", k + 1);
    let groups = answered(&chain(head, 30, line, "y = ReduceMean<axes=[1]>(h30) }"));
    assert!(groups.contains("made of more than 4096"), "{groups}");
}

#[test]
fn tensors_out_of_nothing() {
    for big in [
        "i64[1] n = {1000000000000}\n z = ConstantOfShape(n)",
        "i64[4] n = {4611686018427387904, 4, 4, 4}\n z = ConstantOfShape(n)",
        "i64 a = {0}\n i64 n = {1000000000000}\n i64 b = {1}\n r = Range(a, n, b)\n z = Cast<to=1>(r)",
        "f32[1] o = {1}\n i64[3] n = {10000, 10000, 10000}\n z = Expand(o, n)",
        "i64[4] n = {0, 0, 0, 9223372036854775807}\n z = Pad(x, n)",
        "i64[2] n = {1000000, 1000000}\n z = Tile(x, n)",
    ] {
        answered(&format!("g (f32[n,4] x) => (f32[n,4] y) {{ {big}\n s = ReduceSum<keepdims=0>(z)\n y = Add(x, s) }}"));
    }
}
