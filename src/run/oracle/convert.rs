//! Our tensors to tract's, and back.

use super::OracleError;
use crate::ir::{DType, Tensor};
use tract_onnx::prelude::{DatumType, Tensor as TractTensor};

/// tract's name of an element type. It has no bf16, nor anything below 8 bits.
pub(super) fn datum_type(dtype: DType, value: &str) -> Result<DatumType, OracleError> {
    Ok(match dtype {
        DType::F32 => DatumType::F32,
        DType::F64 => DatumType::F64,
        DType::F16 => DatumType::F16,
        DType::I64 => DatumType::I64,
        DType::I32 => DatumType::I32,
        DType::I16 => DatumType::I16,
        DType::I8 => DatumType::I8,
        DType::U64 => DatumType::U64,
        DType::U32 => DatumType::U32,
        DType::U16 => DatumType::U16,
        DType::U8 => DatumType::U8,
        DType::Bool => DatumType::Bool,
        other => return Err(OracleError::ElementType { value: value.into(), dtype: other.to_string() }),
    })
}

fn dtype(datum: DatumType) -> Option<DType> {
    Some(match datum.unquantized() {
        DatumType::F32 => DType::F32,
        DatumType::F64 => DType::F64,
        DatumType::F16 => DType::F16,
        DatumType::I64 => DType::I64,
        DatumType::I32 => DType::I32,
        DatumType::I16 => DType::I16,
        DatumType::I8 => DType::I8,
        DatumType::U64 => DType::U64,
        DatumType::U32 => DType::U32,
        DatumType::U16 => DType::U16,
        DatumType::U8 => DType::U8,
        DatumType::Bool => DType::Bool,
        _ => return None,
    })
}

/// A copy for tract. `value` is what errors call it.
pub(super) fn to_tract(tensor: &Tensor, value: &str) -> Result<TractTensor, OracleError> {
    let failed = |message: String| OracleError::Prepare(format!("{value:?}: {message}"));
    let raw = tensor.raw().map_err(|e| failed(e.to_string()))?;
    let datum = datum_type(tensor.dtype, value)?;
    let mut copy = TractTensor::zero_dt(datum, &tensor.shape).map_err(|e| failed(e.to_string()))?;
    let bytes = copy.as_bytes_mut();
    if bytes.len() != raw.len() {
        return Err(failed(format!("{} bytes of data instead of {}", raw.len(), bytes.len())));
    }
    if tensor.dtype == DType::Bool {
        // Any other byte than 0 and 1 is no `bool` at all.
        bytes.iter_mut().zip(raw).for_each(|(to, &from)| *to = u8::from(from != 0));
    } else {
        bytes.copy_from_slice(raw);
    }
    Ok(copy)
}

/// A copy of what tract computed. Sizes that it keeps as expressions become numbers.
pub(super) fn from_tract(tensor: &TractTensor, value: &str) -> Result<Tensor, OracleError> {
    let failed = |message: String| OracleError::Prepare(format!("{value:?}: {message}"));
    if tensor.datum_type() == DatumType::TDim {
        let numbers = tensor.cast_to::<i64>().map_err(|e| failed(e.to_string()))?;
        return from_tract(&numbers, value);
    }
    let dtype = dtype(tensor.datum_type())
        .ok_or_else(|| OracleError::ElementType { value: value.into(), dtype: format!("{:?}", tensor.datum_type()) })?;
    let view = tensor.try_as_plain_ram().map_err(|e| failed(e.to_string()))?;
    Tensor::new(dtype, tensor.shape().to_vec(), view.as_bytes().to_vec()).map_err(|e| failed(e.to_string()))
}
