//! Checks of what a rule says that its operator is made of: forward against the oracle, backward against differences.

use super::{Bindings, Device, Engine, Precision};
use crate::feed::Feed;
use crate::ir::Signature;
use crate::ir::{DType, Model, Node, NodeId, Payload, Tensor, TensorType, Type, ValueId, ValueInfo};
use crate::lowering::lower;
use crate::ops::testing::Case;
use crate::oracle::Runner;
use crate::program::{Builder, Id, Op, Program, Statistics, Term};
use crate::save::to_bytes;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::HashMap;

/// What runs programs: on the CPU, or on the device that `SECATEUR_DEVICE` names; see CONTRIBUTING.md.
pub(crate) fn engine() -> Engine {
    let device = std::env::var("SECATEUR_DEVICE").map_or(Device::Cpu, |d| d.parse().unwrap_or_else(|e| panic!("{e}")));
    Engine { device, ..Engine::default() }
}

/// How far numbers of the engine may be from others: GPUs have fewer bits for some operations.
pub(crate) fn tolerance() -> f64 {
    if engine().device == Device::Cpu { 2e-5 } else { 5e-3 }
}

/// An operator on random operands.
pub(crate) struct Trial {
    model: Model,
    feed: Feed,
    statistics: Statistics,
}

impl Trial {
    /// A call as for [`Case::new`], of `results` results; floats are drawn from -1 to 1, integers are 0 or 1.
    pub(crate) fn new(op: &str, opset: i64, attributes: &str, operands: &[&str], results: usize) -> Trial {
        Trial::within(op, opset, attributes, operands, results, -1.0, 1.0)
    }

    /// The same with floats drawn from `low` to `high`.
    pub(crate) fn within(
        op: &str,
        opset: i64,
        attributes: &str,
        operands: &[&str],
        results: usize,
        low: f64,
        high: f64,
    ) -> Trial {
        let mut model = Case::new(op, opset, attributes, operands, results).model;
        model.ir_version = 9;
        model.opsets.entry(String::new()).or_insert(opset);
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let call = model.graph.calls()[0];
        let mut given = vec![];
        for node in model.graph.inputs() {
            let Node::Input(input) = model.graph.node(node) else { continue };
            let ty = input.info.ty.tensor().expect("a tensor");
            let shape = ty.shape.as_ref().expect("a shape").iter().map(|d| d.fixed().expect("a number") as usize);
            given.push((input.info.name.clone(), draw(&mut rng, ty.dtype, shape.collect(), low, high)));
        }
        for node in model.graph.constants() {
            let constant = model.graph.constant_mut(node).expect("a constant");
            if matches!(constant.tensor.payload, Payload::Absent(_)) {
                let (dtype, shape) = (constant.tensor.dtype, constant.tensor.shape.clone());
                constant.tensor = draw(&mut rng, dtype, shape, low, high);
            }
        }
        for value in model.graph.results(call).collect::<Vec<_>>() {
            let name = model.graph.value_name(value).to_owned();
            if !name.is_empty() {
                model.graph.add_output(value, ValueInfo::new(name, Type::Other));
            }
        }
        declare(&mut model);
        Trial { model, feed: Feed::new(given), statistics: Statistics::Running }
    }

    /// With another tensor for an input (`x0`, `x1`, …) or constant.
    pub(crate) fn with(mut self, name: &str, tensor: Tensor) -> Trial {
        let mut tensors: Vec<(String, Tensor)> = self.feed.iter().cloned().collect();
        if let Some(entry) = tensors.iter_mut().find(|(n, _)| n == name) {
            entry.1 = tensor;
            self.feed = Feed::new(tensors);
            return self;
        }
        let node = self.model.graph.constants().into_iter().find(|&n| self.model.graph.label(n) == name);
        let constant = node.and_then(|n| self.model.graph.constant_mut(n)).expect("a tensor of that name");
        constant.tensor = tensor;
        self
    }

    /// Normalized by the batch's own statistics.
    pub(crate) fn by_batch(mut self) -> Trial {
        self.statistics = Statistics::Batch;
        self
    }

    /// Asserts that the program computes what the oracle does, and that derivatives agree with differences.
    pub(crate) fn check(&self) {
        self.check_forward();
        self.check_derivative();
    }

    /// Asserts that the program computes what the oracle does.
    pub(crate) fn check_forward(&self) {
        let bytes = to_bytes(&self.model).expect("a model that can be written");
        let expected = Runner::new(&bytes, None, &self.signature()).and_then(|r| r.run(&self.feed));
        let expected = expected.unwrap_or_else(|e| panic!("{e}; compare with numbers of your own"));
        for ((name, expected), (_, found)) in expected.iter().zip(self.run()) {
            close(name, &expected.to_f64().expect("numbers"), &found.to_f64().expect("numbers"), tolerance());
        }
    }

    /// What the program computes.
    pub(crate) fn run(&self) -> Vec<(String, Tensor)> {
        let builder = Builder::new();
        let lowered =
            lower(&builder, &self.model, &self.signature(), self.statistics).unwrap_or_else(|e| panic!("{e}"));
        let terms: Vec<Term> = lowered.outputs.iter().map(|o| o.1).collect();
        let program = builder.finish(&terms).expect("a program");
        let found = bound(&self.tensors(), |b| engine().run(&program, b)).unwrap_or_else(|e| panic!("{e}"));
        lowered.outputs.into_iter().map(|o| o.0).zip(found).collect()
    }

    /// Asserts that derivatives of a random sum of all results agree with differences, in double precision.
    pub(crate) fn check_derivative(&self) {
        let builder = Builder::new();
        let lowered =
            lower(&builder, &self.model, &self.signature(), self.statistics).unwrap_or_else(|e| panic!("{e}"));
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let floats = lowered.outputs.iter().map(|o| o.1).filter(|t| t.kind() == crate::program::NumberKind::Float);
        let loss = floats.map(|t| weighted(t, &mut rng)).reduce(|a, b| a + b).expect("a result of floats");
        let program = builder.finish(&[loss]).expect("a program");
        self.compare(&program, &mut rng);
    }

    /// The gradient of the sum of the first result by an input (`x0`, `x1`, …).
    pub(crate) fn gradient(&self, name: &str) -> Vec<f64> {
        let builder = Builder::new();
        let lowered =
            lower(&builder, &self.model, &self.signature(), self.statistics).unwrap_or_else(|e| panic!("{e}"));
        let program = builder.finish(&[lowered.outputs[0].1]).expect("a program");
        let leaf = program.ids().find(|&id| program.step(id).op == Op::Input(name.to_owned())).expect("an input");
        let tensors = self.tensors();
        let derived = bound(&tensors, |b| engine().differentiate(&program, b, &[leaf]));
        derived.unwrap_or_else(|e| panic!("{e}")).gradients[0].to_f64().expect("numbers")
    }

    fn compare(&self, program: &Program, rng: &mut impl Rng) {
        let exact = Engine { precision: Precision::Double, ..Engine::default() };
        let leaves: Vec<Id> = program.ids().filter(|&id| self.is_variable(program, id)).collect();
        let tensors = self.tensors();
        let derived = bound(&tensors, |b| exact.differentiate(program, b, &leaves)).unwrap_or_else(|e| panic!("{e}"));
        assert!(!leaves.is_empty(), "nothing to differentiate by");
        let mut some = false;
        for (leaf, gradient) in leaves.iter().zip(&derived.gradients) {
            let gradient = gradient.to_f64().expect("numbers");
            some |= gradient.iter().any(|&s| s != 0.0);
            for _ in 0..gradient.len().clamp(6, 24) {
                let at = rng.random_range(0..gradient.len());
                let value = |by: f64| {
                    let mut moved = self.tensors();
                    let tensor = moved.get_mut(&key(program, *leaf)).expect("a leaf");
                    let mut elements = tensor.to_f64().expect("numbers");
                    elements[at] += by;
                    *tensor = Tensor::from_f64(DType::F64, tensor.shape.clone(), &elements).expect("floats");
                    bound(&moved, |b| exact.run(program, b)).expect("a run")[0].to_f64().expect("numbers")[0]
                };
                let step = 1e-5;
                let difference = (value(step) - value(-step)) / (2.0 * step);
                let error = (difference - gradient[at]).abs() / (1.0 + difference.abs());
                assert!(
                    error < 1e-4,
                    "{}[{at}]: {} but differences say {difference}",
                    program.step(*leaf),
                    gradient[at]
                );
            }
        }
        assert!(some, "nothing depends on any operand");
        // In single precision, and on the device.
        let there = bound(&tensors, |b| engine().differentiate(program, b, &leaves)).unwrap_or_else(|e| panic!("{e}"));
        for ((leaf, exact), found) in leaves.iter().zip(&derived.gradients).zip(&there.gradients) {
            let (exact, found) = (exact.to_f64().expect("numbers"), found.to_f64().expect("numbers"));
            close(&program.step(*leaf).to_string(), &exact, &found, 2.0 * tolerance().max(1e-3));
        }
    }

    fn is_variable(&self, program: &Program, id: Id) -> bool {
        let step = program.step(id);
        matches!(step.op, Op::Input(_) | Op::Constant(_)) && step.kind == crate::program::NumberKind::Float
    }

    fn signature(&self) -> Vec<Signature> {
        self.feed.signature()
    }

    fn tensors(&self) -> HashMap<Key, Tensor> {
        let constants = self.model.graph.constants().into_iter();
        let constants =
            constants.map(|n| (Key::Constant(n), self.model.graph.constant(n).expect("one").tensor.clone()));
        self.feed.iter().map(|(name, t)| (Key::Input(name.clone()), t.clone())).chain(constants).collect()
    }
}

/// Does something with these tensors as inputs and constants.
fn bound<T>(tensors: &HashMap<Key, Tensor>, work: impl FnOnce(Bindings) -> T) -> T {
    let input = |name: &str| tensors.get(&Key::Input(name.to_owned()));
    let constant = |node| tensors.get(&Key::Constant(node));
    work(Bindings { input: &input, constant: &constant })
}

/// The sum of a tensor's elements, each times a number of its own.
fn weighted<'b>(term: Term<'b>, rng: &mut impl Rng) -> Term<'b> {
    let factors = (0..term.count()).map(|_| rng.random_range(0.5..1.5)).collect();
    (term * term.builder().floats(factors, &term.shape())).total()
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Input(String),
    Constant(NodeId),
}

fn key(program: &Program, id: Id) -> Key {
    match &program.step(id).op {
        Op::Input(name) => Key::Input(name.clone()),
        Op::Constant(node) => Key::Constant(*node),
        other => panic!("{other} is no variable"),
    }
}

/// Declares the outputs' types, as inference knows them.
fn declare(model: &mut Model) {
    let facts = crate::infer::infer(model);
    for node in model.graph.outputs() {
        let value: ValueId = model.graph.operand(node, 0).expect("an output has a value");
        let fact = facts.get(value).clone();
        if let (Node::Output(output), Some(dtype)) = (model.graph.node_mut(node), fact.dtype) {
            output.info.ty = Type::Tensor(TensorType { dtype, shape: fact.shape });
        }
    }
}

fn draw(rng: &mut impl Rng, dtype: DType, shape: Vec<usize>, low: f64, high: f64) -> Tensor {
    let count: usize = shape.iter().product();
    let elements: Vec<f64> = (0..count)
        .map(|_| if dtype.is_float() { rng.random_range(low..high) } else { f64::from(rng.random_range(0..2)) })
        .collect();
    Tensor::from_f64(dtype, shape, &elements).expect("a plain type")
}

/// Asserts that numbers agree, relative to the largest.
pub(crate) fn close(name: &str, expected: &[f64], found: &[f64], tolerance: f64) {
    assert_eq!(expected.len(), found.len(), "{name}");
    let scale = expected.iter().fold(1.0, |m: f64, v| m.max(v.abs()));
    for (at, (e, f)) in expected.iter().zip(found).enumerate() {
        assert!((e - f).abs() <= tolerance * scale || e == f, "{name}[{at}]: {f} instead of {e}");
    }
}
