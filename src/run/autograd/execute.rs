//! Runs the steps of a program on a backend.

use super::exchange::{Placement, Value, download, download_floats, literal, upload};
use super::kernels::Kernels;
use super::{Bindings, Derived, EngineError, Precision, numbers};
use crate::ir::Tensor;
use crate::program::{Id, Op, Program, Step};
use burn_backend::tensor::FloatTensor;
use burn_backend::{AutodiffBackend, Backend};
use std::collections::HashMap;

/// The results of a program.
pub(super) fn run<B: Kernels>(
    program: &Program,
    bindings: Bindings,
    place: &Placement<B>,
) -> Result<Vec<Tensor>, EngineError> {
    let values = values(program, bindings, place, |_, value| value)?;
    let results = program.results.iter().map(|&id| {
        let value = values[id.0 as usize].clone().expect("results are kept");
        download(value, &program.step(id).shape, place.precision)
    });
    results.collect()
}

/// The results, and the derivative of the first one's sum by these leaves.
pub(super) fn differentiate<B: AutodiffBackend + Kernels>(
    program: &Program,
    bindings: Bindings,
    by: &[Id],
    place: &Placement<B>,
) -> Result<Derived, EngineError> {
    let precision = place.precision;
    let mut leaves: HashMap<Id, FloatTensor<B>> = HashMap::new();
    let track = |id: Id, value: Value<B>| match value {
        Value::Float(t) if by.contains(&id) => {
            let leaf = B::float_set_require_grad(t, true);
            leaves.insert(id, leaf.clone());
            Value::Float(leaf)
        }
        other => other,
    };
    let mut values = values(program, bindings, place, track)?;
    let target = match program.results.first().and_then(|id| values[id.0 as usize].clone()) {
        Some(Value::Float(t)) => B::float_sum(t),
        _ => return Err(EngineError::Leaf("a result that is no tensor of floats".into())),
    };
    let mut results = vec![];
    for &id in &program.results {
        let value = values[id.0 as usize].clone().expect("results are kept");
        results.push(download(detached::<B>(value), &program.step(id).shape, precision)?);
    }
    values.clear();
    let mut found = B::backward(target);
    let mut gradients = vec![];
    for &id in by {
        let leaf = leaves.get(&id).ok_or_else(|| EngineError::Leaf(program.step(id).to_string()))?;
        let shape = program.step(id).shape.clone();
        gradients.push(match B::grad_remove(leaf, &mut found) {
            Some(gradient) => download_floats::<B::InnerBackend>(gradient, shape, precision)?,
            None => zeros(shape, precision),
        });
    }
    Ok(Derived { results, gradients })
}

fn detached<B: AutodiffBackend>(value: Value<B>) -> Value<B::InnerBackend> {
    match value {
        Value::Float(t) => Value::Float(B::inner(t)),
        Value::Int(t) => Value::Int(B::int_inner(t)),
        Value::Bool(t) => Value::Bool(B::bool_inner(t)),
    }
}

fn zeros(shape: Vec<usize>, precision: Precision) -> Tensor {
    let count = shape.iter().product();
    match precision {
        Precision::Single => Tensor::from_f32(shape, &vec![0.0; count]),
        Precision::Double => {
            Tensor::from_f64(crate::ir::DType::F64, shape, &vec![0.0; count]).expect("64-bit floats are floats")
        }
    }
}

/// The value of each step that is a result. Others are let go as soon as the last step that reads them has run; `seen`
/// may change a leaf before anyone reads it.
fn values<B: Kernels>(
    program: &Program,
    bindings: Bindings,
    place: &Placement<B>,
    mut seen: impl FnMut(Id, Value<B>) -> Value<B>,
) -> Result<Vec<Option<Value<B>>>, EngineError> {
    let last_uses = program.last_uses();
    let mut values: Vec<Option<Value<B>>> = vec![None; program.steps.len()];
    for id in program.ids() {
        let step = program.step(id);
        let value = match leaf(step, bindings, place)? {
            Some(value) => seen(id, value),
            None => {
                let last = &last_uses[id.0 as usize];
                let operands = step.operands.iter().enumerate().map(|(at, o)| {
                    let slot = &mut values[o.0 as usize];
                    let again = step.operands[at + 1..].contains(o);
                    let value = if last.contains(o) && !again { slot.take() } else { slot.clone() };
                    value.expect("steps run in order")
                });
                let operands = operands.collect();
                numbers::apply(step, operands, place)
                    .map_err(|message| EngineError::Step { step: step.to_string(), message })?
            }
        };
        values[id.0 as usize] = Some(value);
    }
    Ok(values)
}

/// The value of a step that has no operands.
fn leaf<B: Backend>(step: &Step, bindings: Bindings, place: &Placement<B>) -> Result<Option<Value<B>>, EngineError> {
    let (tensor, what) = match &step.op {
        Op::Literal(l) => return Ok(Some(literal(l, &step.shape, place))),
        Op::Input(name) => {
            let tensor = (bindings.input)(name).ok_or_else(|| EngineError::NoInput(name.clone()))?;
            (tensor, format!("the input {name:?}"))
        }
        Op::Constant(node) => {
            let tensor = (bindings.constant)(*node).ok_or(EngineError::NoConstant(node.index()))?;
            (tensor, format!("the constant {}", node.index()))
        }
        _ => return Ok(None),
    };
    if tensor.shape != step.shape {
        let (found, expected) = (tensor.shape.clone(), step.shape.clone());
        return Err(EngineError::Shape { what, found, expected });
    }
    upload(tensor, step.kind, place, || what.clone()).map(Some)
}
