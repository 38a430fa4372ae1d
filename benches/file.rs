//! What pruning a file of about 100 MB costs beside copying it: read the two medians of a group as a ratio.
//!
//! `cargo bench --bench file`

use criterion::{Criterion, criterion_group, criterion_main};
use secateur::ir::{DType, Tensor, parse};
use secateur::{onnx, plan, prune};
use std::fmt::Write;
use std::path::Path;

/// A residual network of 24 square convolutions with 4 MB of weights each: about 100 MB.
fn write_model(path: &Path) {
    let mut text = String::from("main (f32[batch,3,8,8] x) => (f32[batch,10,8,8] out) {\n");
    let (width, blocks) = (1024, 12);
    _ = writeln!(text, "  f32[{width},3,1,1] w_in #1\n  h0 = Conv(x, w_in)");
    for i in 0..blocks {
        let (a, b) = (2 * i + 2, 2 * i + 3);
        _ = writeln!(text, "  f32[{width},{width},1,1] a{i} #{a:x}\n  f32[{width},{width},1,1] b{i} #{b:x}");
        _ = writeln!(text, "  p{i} = Conv(h{i}, a{i})\n  r{i} = Relu(p{i})\n  q{i} = Conv(r{i}, b{i})");
        _ = writeln!(text, "  h{} = Add(h{i}, q{i})", i + 1);
    }
    _ = writeln!(text, "  f32[10,{width},1,1] w_out #ffffff\n  out = Conv(h{blocks}, w_out)\n}}");
    let mut model = parse(&text, &|_| None).expect("the text is a model");
    for (seed, node) in model.graph.constants().into_iter().enumerate() {
        if let Some(c) = model.graph.constant_mut(node) {
            // A cheap generator will do: the numbers only have to differ.
            let step = |k: usize| ((k.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 7) & 0xffff) as f32 / 65536.0;
            let data: Vec<u8> = (0..c.tensor.count()).flat_map(|k| (step(k) - 0.5).to_le_bytes()).collect();
            c.tensor = Tensor::new(DType::F32, c.tensor.shape.clone(), data).expect("as long as it says");
        }
    }
    onnx::save(&model, path, &onnx::SaveOptions::default()).expect("the model can be written");
}

fn prune_file(input: &Path, output: &Path) {
    let model = onnx::load(input).expect("the model can be read");
    let analysis = prune::prepare(&model).expect("the model can be analyzed");
    let l2 = plan::Criterion::named("l2").expect("there is l2");
    let options = plan::Options::new(plan::Budget::ratio(0.5), l2);
    let plan = plan::choose(&analysis, &options).expect("a plan can be made");
    let pruned = prune::execute(&model, &analysis, &plan, prune::SIMPLIFY, &options.open, None).expect("it can be cut");
    onnx::save(&pruned.model, output, &onnx::SaveOptions::default()).expect("the model can be written");
}

fn file(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("there is room for a folder");
    let (input, copy, small) =
        (dir.path().join("in.onnx"), dir.path().join("copy.onnx"), dir.path().join("small.onnx"));
    write_model(&input);
    prune_file(&input, &small);
    let result = std::fs::read(&small).expect("the result was written");
    let mut group = c.benchmark_group("a file of 100 MB");
    group.sample_size(10);
    group.bench_function("copy it and write the result", |b| {
        b.iter(|| {
            std::fs::copy(&input, &copy).expect("it can be copied");
            std::fs::write(&small, &result).expect("it can be written");
        });
    });
    group.bench_function("prune it without verification", |b| b.iter(|| prune_file(&input, &small)));
    group.finish();
}

criterion_group!(benches, file);
criterion_main!(benches);
