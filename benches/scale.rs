//! How the analysis grows: time per node should stay the same from 100 to 20,000 nodes.
//!
//! `cargo bench --bench scale`

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use secateur::ir::{Model, Tensor, parse};
use secateur::prune;
use std::fmt::Write;

/// A residual network of about `nodes` calls: blocks of convolution, ReLU, convolution and addition.
fn network(nodes: usize, width: usize) -> Model {
    let mut text = String::from("main (f32[batch,8,4,4] x0) => (f32[batch,8,4,4] out) {\n");
    _ = writeln!(text, "  f32[{width},8,1,1] w_in #1\n  h0 = Conv(x0, w_in)");
    let blocks = nodes / 4;
    for i in 0..blocks {
        let (a, b) = (2 * i + 2, 2 * i + 3);
        _ = writeln!(text, "  f32[{width},{width},1,1] a{i} #{a:x}\n  f32[{width},{width},1,1] b{i} #{b:x}");
        _ = writeln!(text, "  p{i} = Conv(h{i}, a{i})\n  r{i} = Relu(p{i})\n  q{i} = Conv(r{i}, b{i})");
        _ = writeln!(text, "  h{} = Add(h{i}, q{i})", i + 1);
    }
    _ = writeln!(text, "  f32[8,{width},1,1] w_out #ffffff\n  out = Conv(h{blocks}, w_out)\n}}");
    let mut model = parse(&text, &|_| None).expect("the text is a model");
    for node in model.graph.constants() {
        if let Some(c) = model.graph.constant_mut(node) {
            let zeros = vec![0u8; c.tensor.byte_len()];
            c.tensor = Tensor::new(c.tensor.dtype, c.tensor.shape.clone(), zeros).expect("as long as it says");
        }
    }
    model
}

fn by_nodes(c: &mut Criterion) {
    let mut group = c.benchmark_group("prepare and analyze, by nodes");
    group.sample_size(10);
    for nodes in [100, 1_000, 10_000, 20_000] {
        let model = network(nodes, 8);
        group.throughput(Throughput::Elements(nodes as u64));
        group.bench_with_input(BenchmarkId::from_parameter(nodes), &model, |b, m| {
            b.iter(|| prune::prepare(m).expect("the model can be analyzed"));
        });
    }
    group.finish();
}

fn by_units(c: &mut Criterion) {
    let mut group = c.benchmark_group("prepare and analyze, by units of a label");
    group.sample_size(10);
    for width in [10, 100, 1_000] {
        let model = network(40, width);
        group.bench_with_input(BenchmarkId::from_parameter(width), &model, |b, m| {
            b.iter(|| prune::prepare(m).expect("the model can be analyzed"));
        });
    }
    group.finish();
}

criterion_group!(benches, by_nodes, by_units);
criterion_main!(benches);
