//! Declared types of values.

use crate::ir::{DType, Dim, TensorType, Type, ValueInfo};
use crate::proto::tensor_shape_proto::Dimension;
use crate::proto::tensor_shape_proto::dimension::Value;
use crate::proto::*;

/// Reads a declared value. `unknowns` counts the dimensions that the file leaves open.
pub(super) fn value_info(p: &ValueInfoProto, unknowns: &mut u64) -> ValueInfo {
    let ty = p.r#type.as_ref().and_then(tensor_type).map_or(Type::Other, |t| {
        let shape = t.shape.as_ref().map(|s| s.dim.iter().map(|d| dim(d, unknowns)).collect());
        Type::Tensor(TensorType { dtype: DType::from_code(t.elem_type()).unwrap_or(DType::F32), shape })
    });
    ValueInfo { name: p.name().to_owned(), ty, extra: remainder(p) }
}

/// The tensor type in a type, if it is one of a known element type.
pub(crate) fn tensor_type(p: &TypeProto) -> Option<&type_proto::Tensor> {
    match &p.value {
        Some(type_proto::Value::TensorType(t)) if DType::from_code(t.elem_type()).is_some() => Some(t),
        _ => None,
    }
}

fn dim(p: &Dimension, unknowns: &mut u64) -> Dim {
    match known(p) {
        Some(Value::DimValue(n)) => Dim::Fixed(*n),
        Some(Value::DimParam(s)) => Dim::symbol(s),
        None => {
            *unknowns += 1;
            Dim::unknown(*unknowns - 1)
        }
    }
}

/// What a dimension says: negative numbers and empty names say nothing.
pub(crate) fn known(p: &Dimension) -> Option<&Value> {
    p.value.as_ref().filter(|v| match v {
        Value::DimValue(n) => *n >= 0,
        Value::DimParam(s) => !s.is_empty(),
    })
}
