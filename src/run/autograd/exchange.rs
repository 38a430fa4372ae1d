//! Tensors of the model to tensors of the engine, and back.

use super::{EngineError, Precision};
use crate::ir::{DType, Tensor};
use crate::program::{Literal, NumberKind};
use burn_backend::tensor::{BoolTensor, FloatTensor, IntTensor};
use burn_backend::{Backend, BoolDType, DType as Elements, ExecutionError, TensorData, get_device_settings};

/// A tensor of the engine.
#[derive(Clone, Debug)]
pub(super) enum Value<B: Backend> {
    Float(FloatTensor<B>),
    Int(IntTensor<B>),
    Bool(BoolTensor<B>),
}

/// Where a backend computes, and with which elements. Integers have 64 bits everywhere.
pub(super) struct Placement<B: Backend> {
    pub device: B::Device,
    pub precision: Precision,
    /// How booleans are stored there.
    pub booleans: BoolDType,
}

impl<B: Backend> Placement<B> {
    /// `None` where the device has no floats of this precision.
    pub(super) fn new(device: B::Device, precision: Precision) -> Option<Placement<B>> {
        let floats = match precision {
            Precision::Single => Elements::F32,
            Precision::Double => Elements::F64,
        };
        let booleans = get_device_settings::<B>(&device).bool_dtype;
        B::supports_dtype(&device, floats).then_some(Placement { device, precision, booleans })
    }
}

/// The engine has no tensors of rank 0: they have one axis there.
pub(super) fn held(shape: &[usize]) -> Vec<usize> {
    if shape.is_empty() { vec![1] } else { shape.to_vec() }
}

/// A tensor of the model, in the program's kind.
pub(super) fn upload<B: Backend>(
    tensor: &Tensor,
    kind: NumberKind,
    place: &Placement<B>,
    what: impl Fn() -> String,
) -> Result<Value<B>, EngineError> {
    let unreadable = || EngineError::Elements { what: what(), dtype: tensor.dtype };
    let shape = held(&tensor.shape);
    Ok(match kind {
        NumberKind::Float if place.precision == Precision::Single && tensor.dtype == DType::F32 => {
            let bytes = tensor.raw().map_err(|_| unreadable())?;
            let floats = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            Value::Float(B::float_from_data(TensorData::new::<f32, _>(floats, shape), &place.device))
        }
        NumberKind::Float => floats(tensor.to_f64().map_err(|_| unreadable())?, shape, place),
        NumberKind::Int => ints(tensor.to_i64().ok_or_else(unreadable)?, shape, place),
        NumberKind::Bool => {
            bools(tensor.to_i64().ok_or_else(unreadable)?.into_iter().map(|v| v != 0).collect(), shape, place)
        }
    })
}

/// A literal of a program.
pub(super) fn literal<B: Backend>(literal: &Literal, shape: &[usize], place: &Placement<B>) -> Value<B> {
    let shape = held(shape);
    match literal {
        Literal::Floats(v) => floats(v.clone(), shape, place),
        Literal::Ints(v) => ints(v.clone(), shape, place),
        Literal::Bools(v) => bools(v.clone(), shape, place),
    }
}

fn floats<B: Backend>(elements: Vec<f64>, shape: Vec<usize>, place: &Placement<B>) -> Value<B> {
    let data = match place.precision {
        Precision::Single => TensorData::new::<f32, _>(elements.into_iter().map(|v| v as f32).collect(), shape),
        Precision::Double => TensorData::new(elements, shape),
    };
    Value::Float(B::float_from_data(data, &place.device))
}

fn ints<B: Backend>(elements: Vec<i64>, shape: Vec<usize>, place: &Placement<B>) -> Value<B> {
    Value::Int(B::int_from_data(TensorData::new(elements, shape), &place.device))
}

fn bools<B: Backend>(elements: Vec<bool>, shape: Vec<usize>, place: &Placement<B>) -> Value<B> {
    let data = TensorData::new(elements, shape).convert_dtype(Elements::Bool(place.booleans));
    Value::Bool(B::bool_from_data(data, &place.device))
}

/// A tensor of the engine as one of the model.
pub(super) fn download<B: Backend>(
    value: Value<B>,
    shape: &[usize],
    precision: Precision,
) -> Result<Tensor, EngineError> {
    let shape = shape.to_vec();
    Ok(match value {
        Value::Float(t) => download_floats::<B>(t, shape, precision)?,
        Value::Int(t) => {
            let data = wait(B::int_into_data(t))?.convert::<i64>();
            Tensor::from_i64(shape, &data.try_into_vec::<i64>().map_err(|e| EngineError::Panic(format!("{e:?}")))?)
        }
        Value::Bool(t) => {
            let bytes: Vec<u8> = wait(B::bool_into_data(t))?.iter::<bool>().map(u8::from).collect();
            Tensor::new(DType::Bool, shape, bytes).map_err(|e| EngineError::Panic(e.to_string()))?
        }
    })
}

/// Floats of the engine as a tensor of the model.
pub(super) fn download_floats<B: Backend>(
    tensor: FloatTensor<B>,
    shape: Vec<usize>,
    precision: Precision,
) -> Result<Tensor, EngineError> {
    let data = wait(B::float_into_data(tensor))?;
    let unreadable = |e| EngineError::Panic(format!("{e:?}"));
    Ok(match precision {
        Precision::Single => Tensor::from_f32(shape, &data.try_into_vec::<f32>().map_err(unreadable)?),
        Precision::Double => {
            let elements = data.try_into_vec::<f64>().map_err(unreadable)?;
            Tensor::from_f64(DType::F64, shape, &elements).expect("64-bit floats are floats")
        }
    })
}

fn wait(data: impl Future<Output = Result<TensorData, ExecutionError>>) -> Result<TensorData, EngineError> {
    burn_backend::read_sync(data).map_err(|e| EngineError::Panic(format!("{e:?}")))
}
