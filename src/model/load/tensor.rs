//! Tensors: raw, typed and external data all become little-endian bytes.

use super::external::Files;
use crate::ir::{DType, Payload, Store, Tensor, TensorError};
use crate::proto::tensor_proto::DataLocation;
use crate::proto::*;
use bytes::Bytes;
use prost::Message;
use std::io;
use std::path::PathBuf;

/// The most bytes that a sparse tensor is made dense for: as much as a file may have.
const LARGEST: usize = 1 << 31;

/// What is wrong with a tensor.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say what each is.
pub enum TensorFault {
    #[error("element type {0} is unknown")]
    ElementType(i32),
    #[error("the dimension {0} is negative")]
    Negative(i64),
    #[error(transparent)]
    Shape(#[from] TensorError),
    #[error("its data stands in a field that its element type {0} does not use, or in two fields")]
    Field(DType),
    #[error("it needs {expected} strings but has {found}")]
    Strings { expected: usize, found: usize },
    #[error("its data is external, but no location is given")]
    NoLocation,
    #[error("its data is external, but there is no folder to look in")]
    NoFolder,
    #[error("the {key} {value:?} of its external data is not a number")]
    BadEntry { key: &'static str, value: String },
    #[error("the location {0:?} of its external data is not below the model's folder")]
    Escapes(String),
    #[error("its data at {offset} with {length} bytes lies outside {location:?}, which has {size} bytes")]
    OutsideFile { location: String, offset: usize, length: usize, size: usize },
    #[error("its data file {}: {cause}", path.display())]
    File { path: PathBuf, cause: io::Error },
    #[error("with its zeros it takes {bytes} bytes; all sparse tensors of a model together may take {limit}")]
    Sparse { bytes: usize, limit: usize },
}

/// How many bytes the sparse tensors of a model take with their zeros: a few bytes of a file can ask for any number.
pub(super) struct Zeros {
    limit: usize,
    taken: usize,
}

impl Zeros {
    /// What a model may take at least, and what it may take for each byte of its sparse tensors.
    const ALWAYS: usize = 1 << 27;
    const TIMES: usize = 64;

    pub(super) fn new() -> Zeros {
        Zeros { limit: Zeros::ALWAYS, taken: 0 }
    }

    /// Counts a tensor before it is made dense; fails where that is too much.
    pub(super) fn count(&mut self, p: &SparseTensorProto) -> Result<(), TensorFault> {
        let dtype = DType::from_code(p.values.as_ref().map_or(0, |v| v.data_type()));
        let elements = shape(&p.dims)?.into_iter().try_fold(1usize, usize::checked_mul).unwrap_or(usize::MAX);
        let bytes = dtype.map_or(0, |dtype| dtype.bytes(elements));
        self.limit = self.limit.saturating_add(p.encoded_len().saturating_mul(Zeros::TIMES));
        self.taken = self.taken.saturating_add(bytes);
        if self.taken > self.limit { Err(TensorFault::Sparse { bytes, limit: self.limit }) } else { Ok(()) }
    }
}

/// Takes a tensor out of its message. The message's name stays in `extra`.
pub(super) fn tensor(mut p: TensorProto, files: &mut Files) -> Result<Tensor, TensorFault> {
    let code = p.data_type.take().unwrap_or(0);
    let dtype = DType::from_code(code).ok_or(TensorFault::ElementType(code))?;
    let shape = shape(&std::mem::take(&mut p.dims))?;
    // An empty tensor of this type and shape says whether the product of its dimensions overflows.
    let needed = match Tensor::new(dtype, shape.clone(), Bytes::new()) {
        Ok(_) => 0,
        Err(TensorError::Length { expected, .. }) => expected,
        Err(e) => return Err(e.into()),
    };
    let (payload, store) = payload(&mut p, dtype, needed, files)?;
    if let Payload::Strings(s) = &payload {
        let expected = shape.iter().product();
        if s.len() != expected {
            return Err(TensorFault::Strings { expected, found: s.len() });
        }
    }
    let extra = || remainder(&p);
    match payload {
        Payload::Raw(data) => Ok(Tensor { store, extra: extra(), ..Tensor::new(dtype, shape, data)? }),
        payload => Ok(Tensor { dtype, shape, payload, store, extra: extra() }),
    }
}

/// A tensor's dimensions.
pub(super) fn shape(dims: &[i64]) -> Result<Vec<usize>, TensorFault> {
    dims.iter().map(|&d| usize::try_from(d).map_err(|_| TensorFault::Negative(d))).collect()
}

fn payload(
    p: &mut TensorProto,
    dtype: DType,
    needed: usize,
    files: &mut Files,
) -> Result<(Payload, Store), TensorFault> {
    let external = p.data_location == Some(DataLocation::External as i32);
    let raw = p.raw_data.take();
    let payload = match (&raw, external) {
        (None, true) if dtype == DType::String => return Err(TensorFault::Field(dtype)),
        (None, true) => (Payload::Raw(files.slice(p, needed)?), Store::External),
        (Some(_), false) if dtype == DType::String => return Err(TensorFault::Field(dtype)),
        (Some(data), false) => (Payload::Raw(data.clone()), Store::Raw),
        (None, false) => (typed(p, dtype), Store::Typed),
        (Some(_), true) => return Err(TensorFault::Field(dtype)),
    };
    let left = [
        p.float_data.len(),
        p.int32_data.len(),
        p.string_data.len(),
        p.int64_data.len(),
        p.double_data.len(),
        p.uint64_data.len(),
    ];
    if left.iter().any(|&n| n > 0) { Err(TensorFault::Field(dtype)) } else { Ok(payload) }
}

/// The data of a typed field. Types below 32 bits stand in `int32_data`, one bit pattern a number; two 4-bit and
/// four 2-bit elements share one.
fn typed(p: &mut TensorProto, dtype: DType) -> Payload {
    macro_rules! bytes {
        ($field:ident, $as:ty) => {
            std::mem::take(&mut p.$field).into_iter().flat_map(|v| (v as $as).to_le_bytes()).collect::<Vec<u8>>()
        };
    }
    let data = match dtype {
        DType::String => return Payload::Strings(std::mem::take(&mut p.string_data)),
        DType::F32 | DType::C64 => bytes!(float_data, f32),
        DType::F64 | DType::C128 => bytes!(double_data, f64),
        DType::I64 => bytes!(int64_data, i64),
        DType::U64 => bytes!(uint64_data, u64),
        DType::U32 => bytes!(uint64_data, u32),
        DType::I32 => bytes!(int32_data, i32),
        _ if dtype.bits() == 16 => bytes!(int32_data, u16),
        _ => bytes!(int32_data, u8),
    };
    Payload::Raw(data.into())
}

/// Moves the external data of a tensor into its message, where that is to stay as it is.
pub(super) fn inline(p: &mut TensorProto, files: &mut Files) -> Result<(), TensorFault> {
    if p.data_location == Some(DataLocation::External as i32) {
        let bare = TensorProto { external_data: p.external_data.clone(), ..TensorProto::default() };
        let (dims, data_type, data_location) = (p.dims.clone(), p.data_type, p.data_location);
        let tensor = tensor(TensorProto { dims, data_type, data_location, ..bare }, files)?;
        p.raw_data = Some(tensor.raw()?.clone());
        p.external_data.clear();
        p.data_location = None;
    }
    Ok(())
}

/// A sparse tensor with its zeros. If places and numbers do not make one, or it would be very large, what stands for
/// it: its type, and a hash in place of data.
pub(crate) fn sparse(p: &SparseTensorProto) -> Result<Tensor, TensorFault> {
    let code = p.values.as_ref().map_or(0, |v| v.data_type());
    let dtype = DType::from_code(code).ok_or(TensorFault::ElementType(code))?;
    let shape = shape(&p.dims)?;
    if let Err(e @ TensorError::Overflow(_)) = Tensor::new(dtype, shape.clone(), Bytes::new()) {
        return Err(e.into());
    }
    let payload = dense(p, dtype, &shape).map_or_else(|| absent(p), Payload::Raw);
    Ok(Tensor { dtype, shape, payload, store: Store::Raw, extra: Default::default() })
}

/// The data of a sparse tensor, zeros and all. Places count elements, or are a row of indices each.
fn dense(p: &SparseTensorProto, dtype: DType, shape: &[usize]) -> Option<Bytes> {
    let part = |p: &Option<TensorProto>| tensor(p.clone()?, &mut Files::new(None)).ok();
    let (values, places) = (part(&p.values)?, part(&p.indices)?);
    let (size, count) = (dtype.bits() / 8, shape.iter().product::<usize>());
    if dtype.bits() < 8 || dtype.bytes(count) > LARGEST || values.shape.len() != 1 {
        return None;
    }
    let at = |indices: &[i64]| {
        let index = indices.iter().zip(shape).try_fold(0, |at, (&index, &size)| {
            usize::try_from(index).ok().filter(|&i| i < size).map(|i| at * size + i)
        });
        index.filter(|_| indices.len() == shape.len())
    };
    let numbers = places.to_i64().filter(|_| places.dtype == DType::I64)?;
    let places: Vec<usize> = match places.shape[..] {
        [_] => numbers.iter().map(|&at| usize::try_from(at).ok().filter(|&at| at < count)).collect::<Option<_>>()?,
        [_, rank] if rank > 0 => numbers.chunks_exact(rank).map(at).collect::<Option<_>>()?,
        _ => return None,
    };
    let values = values.raw().ok()?;
    if places.len() * size != values.len() || !places.is_sorted_by(|a, b| a < b) {
        return None;
    }
    let mut data = vec![0; count * size];
    for (at, value) in places.into_iter().zip(values.chunks_exact(size)) {
        data[at * size..(at + 1) * size].copy_from_slice(value);
    }
    Some(data.into())
}

/// The payload of a sparse tensor.
fn absent(p: &SparseTensorProto) -> Payload {
    Payload::Absent(xxhash_rust::xxh3::xxh3_64(&remainder(p)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One float somewhere in a tensor of this length.
    fn one_of(length: i64) -> SparseTensorProto {
        let data = |data_type: DType, raw: &[u8]| TensorProto {
            dims: vec![1],
            data_type: Some(data_type.code()),
            raw_data: Some(Bytes::copy_from_slice(raw)),
            ..TensorProto::default()
        };
        let (values, indices) = (data(DType::F32, &1f32.to_le_bytes()), data(DType::I64, &3i64.to_le_bytes()));
        SparseTensorProto { values: Some(values), indices: Some(indices), dims: vec![length] }
    }

    #[test]
    fn zeros_are_counted_before_they_are_made() {
        let mut zeros = Zeros::new();
        assert!(zeros.count(&one_of(30_000_000)).is_ok());
        let again = zeros.count(&one_of(30_000_000)).unwrap_err().to_string();
        assert!(again.starts_with("with its zeros it takes 120000000 bytes; all sparse tensors"), "{again}");
        for length in [500_000_000, i64::MAX] {
            assert!(Zeros::new().count(&one_of(length)).is_err());
        }
    }
}
