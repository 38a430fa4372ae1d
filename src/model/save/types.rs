//! Declared types of values: the file's own words, where they still hold.

use super::SaveError;
use crate::ir::{Dim, TensorType, Type, ValueInfo};
use crate::load::{file_name, known, tensor_type};
use crate::proto::tensor_shape_proto::Dimension;
use crate::proto::tensor_shape_proto::dimension::Value;
use crate::proto::*;

/// The message of a declared value: the one that it came from, with what has changed since.
pub(super) fn value_info(info: &ValueInfo) -> Result<ValueInfoProto, SaveError> {
    let mut p: ValueInfoProto = super::decode(&info.extra, &info.name)?;
    if p.name() != info.name {
        p.name = Some(info.name.clone());
    }
    let Type::Tensor(ty) = &info.ty else {
        return Ok(p);
    };
    if !p.r#type.as_ref().and_then(tensor_type).is_some_and(|t| same(t, ty)) {
        let whole = p.r#type.get_or_insert_default();
        patch(whole, ty);
    }
    Ok(p)
}

fn same(p: &type_proto::Tensor, ty: &TensorType) -> bool {
    p.elem_type() == ty.dtype.code()
        && match (&p.shape, &ty.shape) {
            (None, None) => true,
            (Some(p), Some(dims)) => p.dim.len() == dims.len() && p.dim.iter().zip(dims).all(|(p, d)| says(p, d)),
            _ => false,
        }
}

/// Whether a dimension of the file says the same as one of the IR.
fn says(p: &Dimension, dim: &Dim) -> bool {
    known(p) == value(dim).as_ref()
}

/// How the file says a dimension. An expression is written as its text, one with unknowns not at all.
fn value(dim: &Dim) -> Option<Value> {
    match dim {
        Dim::Fixed(n) => Some(Value::DimValue(*n)),
        _ if dim.has_unknown() => None,
        _ => Some(Value::DimParam(match dim.as_symbol() {
            Some(name) => file_name(name).to_owned(),
            None => dim.to_string(),
        })),
    }
}

/// Writes a tensor type into a type; denotations stay where their dimension is still there.
fn patch(whole: &mut TypeProto, ty: &TensorType) {
    let mut p = match whole.value.take() {
        Some(type_proto::Value::TensorType(t)) => t,
        _ => type_proto::Tensor::default(),
    };
    p.elem_type = Some(ty.dtype.code());
    p.shape = ty.shape.as_ref().map(|dims| {
        let mut shape = p.shape.take().unwrap_or_default();
        shape.dim.resize_with(dims.len(), Dimension::default);
        for (p, dim) in shape.dim.iter_mut().zip(dims).filter(|(p, d)| !says(p, d)) {
            p.value = value(dim);
        }
        shape
    });
    whole.value = Some(type_proto::Value::TensorType(p));
}
