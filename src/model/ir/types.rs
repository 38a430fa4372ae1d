//! Element types, tensor types and declared values.

use super::{Dim, Extra};
use std::fmt;

macro_rules! dtypes {
    ($($variant:ident = $code:literal, $text:literal, $bits:literal;)*) => {
        /// The element type of a tensor, with ONNX's codes (`TensorProto.DataType`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum DType { $($variant = $code,)* }

        impl DType {
            /// The type with ONNX's code, if there is one.
            pub fn from_code(code: i32) -> Option<DType> {
                match code { $($code => Some(DType::$variant),)* _ => None }
            }
            /// The type with this short name (`f32`, `i64`).
            pub fn from_name(name: &str) -> Option<DType> {
                match name { $($text => Some(DType::$variant),)* _ => None }
            }
            /// The short name that the text form uses.
            pub fn name(self) -> &'static str {
                match self { $(DType::$variant => $text,)* }
            }
            /// Bits of an element in raw data; 0 for strings, which have none.
            pub fn bits(self) -> usize {
                match self { $(DType::$variant => $bits,)* }
            }
        }
    };
}

dtypes! {
    F32 = 1, "f32", 32;
    U8 = 2, "u8", 8;
    I8 = 3, "i8", 8;
    U16 = 4, "u16", 16;
    I16 = 5, "i16", 16;
    I32 = 6, "i32", 32;
    I64 = 7, "i64", 64;
    String = 8, "string", 0;
    Bool = 9, "bool", 8;
    F16 = 10, "f16", 16;
    F64 = 11, "f64", 64;
    U32 = 12, "u32", 32;
    U64 = 13, "u64", 64;
    C64 = 14, "c64", 64;
    C128 = 15, "c128", 128;
    BF16 = 16, "bf16", 16;
    F8E4M3FN = 17, "f8e4m3fn", 8;
    F8E4M3FNUZ = 18, "f8e4m3fnuz", 8;
    F8E5M2 = 19, "f8e5m2", 8;
    F8E5M2FNUZ = 20, "f8e5m2fnuz", 8;
    U4 = 21, "u4", 4;
    I4 = 22, "i4", 4;
    F4E2M1 = 23, "f4e2m1", 4;
    F8E8M0 = 24, "f8e8m0", 8;
    U2 = 25, "u2", 2;
    I2 = 26, "i2", 2;
}

impl DType {
    /// ONNX's code of the type.
    pub fn code(self) -> i32 {
        self as i32
    }

    /// Bytes that `count` elements take in raw data; sub-byte types are packed, the last byte padded. As many as can
    /// be counted where there are more.
    pub fn bytes(self, count: usize) -> usize {
        let bits = self.bits() as u128 * count as u128;
        usize::try_from(bits.div_ceil(8)).unwrap_or(usize::MAX)
    }

    /// Whether the elements are real floating-point numbers.
    pub fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F16 | DType::F64 | DType::BF16)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The type of a tensor value: element type and, where the rank is known, the dimensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorType {
    pub dtype: DType,
    pub shape: Option<Vec<Dim>>,
}

impl TensorType {
    /// A tensor of known rank.
    pub fn new(dtype: DType, shape: Vec<Dim>) -> TensorType {
        TensorType { dtype, shape: Some(shape) }
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", self.dtype)?;
        let Some(shape) = &self.shape else { return f.write_str("[..]") };
        f.write_str("[")?;
        for (i, dim) in shape.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{dim}")?;
        }
        f.write_str("]")
    }
}

/// The declared type of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    Tensor(TensorType),
    /// A sequence, map, optional or sparse tensor, or none: nothing here looks inside.
    Other,
}

impl Type {
    /// The type, if it is a tensor's.
    pub fn tensor(&self) -> Option<&TensorType> {
        match self {
            Type::Tensor(t) => Some(t),
            Type::Other => None,
        }
    }
}

/// A declared value: an entry of a graph's inputs, outputs or `value_info`.
#[derive(Clone, Debug)]
pub struct ValueInfo {
    pub name: String,
    pub ty: Type,
    /// The encoded `ValueInfoProto`. It is written as it is while `ty` still says the same.
    pub extra: Extra,
}

impl ValueInfo {
    /// A declaration with nothing else said.
    pub fn new(name: impl Into<String>, ty: Type) -> ValueInfo {
        ValueInfo { name: name.into(), ty, extra: Extra::new() }
    }
}
