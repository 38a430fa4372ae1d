//! Our tensors to ONNX Runtime's, and back.

use super::OracleError;
use crate::ir::{DType, Tensor};
use half::{bf16, f16};
use ort::value::{DynValue, TensorElementType, ValueType};

macro_rules! types {
    ($($ours:ident $theirs:ident $rust:ty;)*) => {
        /// ONNX Runtime's name of an element type.
        pub(crate) fn element_type(dtype: DType, value: &str) -> Result<TensorElementType, OracleError> {
            match dtype {
                $(DType::$ours => Ok(TensorElementType::$theirs),)*
                DType::Bool => Ok(TensorElementType::Bool),
                other => Err(OracleError::ElementType { value: value.into(), dtype: other.to_string() }),
            }
        }

        /// Whether values of this type can be taken over.
        pub(crate) fn is_known(dtype: &ValueType) -> bool {
            matches!(dtype.tensor_type(), $(Some(TensorElementType::$theirs))|* | Some(TensorElementType::Bool))
        }

        /// A copy for ONNX Runtime. `name` is what errors call it.
        pub(crate) fn to_ort(tensor: &Tensor, name: &str) -> Result<DynValue, OracleError> {
            let prepare = |message: String| OracleError::Prepare(format!("{name:?}: {message}"));
            let raw = tensor.raw().map_err(|e| prepare(e.to_string()))?;
            match tensor.dtype {
                $(DType::$ours => {
                    let elements = raw.chunks_exact(size_of::<$rust>());
                    let read = |c: &[u8]| c.try_into().map_or(<$rust>::default(), <$rust>::from_le_bytes);
                    let data: Vec<$rust> = elements.map(read).collect();
                    let value = ort::value::Tensor::from_array((tensor.shape.clone(), data));
                    Ok(value.map_err(|e| prepare(e.to_string()))?.into_dyn())
                })*
                DType::Bool => {
                    let data: Vec<bool> = raw.iter().map(|&b| b != 0).collect();
                    let value = ort::value::Tensor::from_array((tensor.shape.clone(), data));
                    Ok(value.map_err(|e| prepare(e.to_string()))?.into_dyn())
                }
                other => Err(OracleError::ElementType { value: name.into(), dtype: other.to_string() }),
            }
        }

        /// A copy of what ONNX Runtime computed.
        pub(crate) fn from_ort(value: &DynValue, name: &str) -> Result<Tensor, OracleError> {
            let prepare = |message: String| OracleError::Prepare(format!("{name:?}: {message}"));
            let tensor = |dtype, shape: &[i64], bytes: Vec<u8>| {
                let shape = shape.iter().map(|&d| d as usize).collect();
                Tensor::new(dtype, shape, bytes).map_err(|e| prepare(e.to_string()))
            };
            let told = value.dtype().tensor_type();
            match told {
                $(Some(TensorElementType::$theirs) => {
                    let (shape, data) = value.try_extract_tensor::<$rust>().map_err(|e| prepare(e.to_string()))?;
                    tensor(DType::$ours, shape, data.iter().flat_map(|x| x.to_le_bytes()).collect())
                })*
                Some(TensorElementType::Bool) => {
                    let (shape, data) = value.try_extract_tensor::<bool>().map_err(|e| prepare(e.to_string()))?;
                    tensor(DType::Bool, shape, data.iter().map(|&b| u8::from(b)).collect())
                }
                other => Err(OracleError::ElementType { value: name.into(), dtype: format!("{other:?}") }),
            }
        }
    };
}

types! {
    F32 Float32 f32;
    F64 Float64 f64;
    F16 Float16 f16;
    BF16 Bfloat16 bf16;
    I64 Int64 i64;
    I32 Int32 i32;
    I16 Int16 i16;
    I8 Int8 i8;
    U64 Uint64 u64;
    U32 Uint32 u32;
    U16 Uint16 u16;
    U8 Uint8 u8;
}
