//! Tensors: stored as they were, or in a file beside the model.

use super::SaveError;
use crate::ir::{DType, Payload, Store, Tensor};
use crate::proto::tensor_proto::DataLocation;
use crate::proto::*;
use bytes::Bytes;

/// Tensors of fewer bytes stay in the model.
const SMALL: usize = 1024;
/// Every tensor in a data file begins at a multiple of this.
const ALIGNMENT: u64 = 64;

/// A data file to be written.
#[derive(Debug, Default)]
pub(super) struct DataFile {
    /// Its name, as the tensors mention it.
    pub location: String,
    /// Where each piece goes, in order.
    pub pieces: Vec<(u64, Bytes)>,
    pub length: u64,
}

impl DataFile {
    pub(super) fn place(&mut self, data: Bytes) -> Vec<StringStringEntryProto> {
        let offset = self.length.next_multiple_of(ALIGNMENT);
        let length = data.len() as u64;
        self.pieces.push((offset, data));
        self.length = offset + length;
        let entry = |key: &str, value| StringStringEntryProto { key: Some(key.into()), value: Some(value) };
        vec![
            entry("location", self.location.clone()),
            entry("offset", offset.to_string()),
            entry("length", length.to_string()),
        ]
    }
}

/// The message of a tensor. `name` stands for that of an initializer; other tensors keep the one they came with.
pub(super) fn tensor(
    t: &Tensor,
    name: Option<&str>,
    who: &str,
    data_file: Option<&mut DataFile>,
) -> Result<TensorProto, SaveError> {
    let mut p: TensorProto = super::decode(&t.extra, who)?;
    p.data_type = Some(t.dtype.code());
    p.dims = t.shape.iter().map(|&d| d as i64).collect();
    if let Some(name) = name {
        p.name = Some(name.to_owned());
    }
    p.external_data.clear();
    if p.data_location == Some(DataLocation::External as i32) {
        p.data_location = None;
    }
    match (&t.payload, data_file) {
        (Payload::Absent(_), _) => return Err(SaveError::NoData { tensor: who.to_owned() }),
        (Payload::Strings(s), _) => p.string_data = s.clone(),
        (Payload::Raw(data), Some(file)) if data.len() >= SMALL => {
            p.external_data = file.place(data.clone());
            p.data_location = Some(DataLocation::External.into());
        }
        (Payload::Raw(data), _) if t.store == Store::Typed => typed(&mut p, t.dtype, data),
        (Payload::Raw(data), _) => p.raw_data = Some(data.clone()),
    }
    Ok(p)
}

/// The inverse of what load does with typed fields.
fn typed(p: &mut TensorProto, dtype: DType, data: &Bytes) {
    macro_rules! fill {
        ($field:ident, $from:ty, $to:ty) => {{
            let (elements, _) = data.as_chunks::<{ size_of::<$from>() }>();
            p.$field = elements.iter().map(|&c| <$from>::from_le_bytes(c) as $to).collect();
        }};
    }
    match dtype {
        DType::String => {}
        DType::F32 | DType::C64 => fill!(float_data, f32, f32),
        DType::F64 | DType::C128 => fill!(double_data, f64, f64),
        DType::I64 => fill!(int64_data, i64, i64),
        DType::U64 => fill!(uint64_data, u64, u64),
        DType::U32 => fill!(uint64_data, u32, u64),
        DType::I32 => fill!(int32_data, i32, i32),
        DType::I16 => fill!(int32_data, i16, i32),
        DType::I8 => fill!(int32_data, i8, i32),
        _ if dtype.bits() == 16 => fill!(int32_data, u16, i32),
        _ => fill!(int32_data, u8, i32),
    }
}
