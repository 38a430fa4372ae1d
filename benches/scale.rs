//! How the work grows: time per node should stay the same from 100 to 20,000 nodes.
//!
//! `cargo bench --bench scale`

use criterion::{BenchmarkId, Criterion as Bench, Throughput, criterion_group, criterion_main};
use secateur::analysis::Analysis;
use secateur::analysis::OpenDims;
use secateur::ir::{Model, Tensor, parse};
use secateur::plan::Criterion;
use secateur::plan::{self, Budget, Plan};
use secateur::prune;
use std::collections::HashMap;
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
    filled(&text)
}

/// A perceptron of ten hidden layers with this many units each, and a thin layer between each two: the weights grow
/// with the units and no faster.
fn thin(width: usize) -> Model {
    let mut text = String::from("main (f32[batch,8] h0) => (f32[batch,8] h10) {\n");
    for i in 0..10 {
        _ = writeln!(text, "  f32[8,{width}] a{i} #{:x}\n  f32[{width},8] b{i} #{:x}", 2 * i + 1, 2 * i + 2);
        _ = writeln!(text, "  p{i} = MatMul(h{i}, a{i})\n  r{i} = Relu(p{i})\n  h{} = MatMul(r{i}, b{i})", i + 1);
    }
    text.push('}');
    filled(&text)
}

/// The model that a text describes, with zeros for weights.
fn filled(text: &str) -> Model {
    let mut model = parse(text, &|_| None).expect("the text is a model");
    for node in model.graph.constants() {
        if let Some(c) = model.graph.constant_mut(node) {
            let zeros = vec![0u8; c.tensor.byte_len()];
            c.tensor = Tensor::new(c.tensor.dtype, c.tensor.shape.clone(), zeros).expect("as long as it says");
        }
    }
    model
}

fn by_nodes(c: &mut Bench) {
    let models: Vec<(usize, Model)> = [100, 1_000, 10_000, 20_000].map(|n| (n, network(n, 8))).into();
    stages(c, "by nodes", &models);
}

fn by_units(c: &mut Bench) {
    let models: Vec<(usize, Model)> = [10, 100, 1_000, 10_000].map(|n| (n, thin(n))).into();
    stages(c, "by units of a label", &models);
}

/// Each stage of the main job on models of growing size.
fn stages(c: &mut Bench, by: &str, models: &[(usize, Model)]) {
    stage(c, &format!("prepare and analyze, {by}"), models, |m| {
        move || {
            prune::prepare(m).expect("the model can be analyzed");
        }
    });
    stage(c, &format!("plan, {by}"), models, |m| {
        let analysis = prune::prepare(m).expect("the model can be analyzed");
        move || {
            halved(&analysis);
        }
    });
    stage(c, &format!("cut and simplify, {by}"), models, |m| {
        let analysis = prune::prepare(m).expect("the model can be analyzed");
        let plan = halved(&analysis);
        move || {
            let open = OpenDims::of(m, HashMap::new());
            prune::execute(m, &analysis, &plan, prune::SIMPLIFY, &open, None).expect("the plan fits");
        }
    });
}

fn halved(analysis: &Analysis) -> Plan {
    let criterion = Criterion::named("l2").expect("a criterion");
    plan::choose(analysis, &plan::Options::new(Budget::ratio(0.5), criterion)).expect("half of each group can go")
}

fn stage<'a, F: FnMut()>(c: &mut Bench, name: &str, models: &'a [(usize, Model)], make: impl Fn(&'a Model) -> F) {
    let mut group = c.benchmark_group(name);
    group.sample_size(10);
    for (size, model) in models {
        group.throughput(Throughput::Elements(*size as u64));
        let mut work = make(model);
        group.bench_function(BenchmarkId::from_parameter(size), |b| b.iter(&mut work));
    }
    group.finish();
}

criterion_group!(benches, by_nodes, by_units);
criterion_main!(benches);
