//! Sparse initializers: the numbers that are not zero, and where they are.

use crate::ir::{Payload, Tensor};
use crate::proto::*;
use bytes::Bytes;

/// The least share of zeros of a tensor that is written sparse.
const ZEROS: f64 = 0.7;

/// The message of a tensor with many zeros; nothing for others, and where it would not be shorter: a number's place
/// takes eight bytes.
pub(super) fn sparse(t: &Tensor, name: &str) -> Option<SparseTensorProto> {
    let Payload::Raw(data) = &t.payload else { return None };
    let (size, count) = (t.dtype.bits() / 8, t.count());
    if !t.dtype.is_float() || t.shape.is_empty() || count == 0 {
        return None;
    }
    let numbers = data.chunks_exact(size);
    // Zero is every bit at zero; what has a sign is written.
    let there: Vec<usize> = numbers.enumerate().filter(|(_, n)| n.iter().any(|b| *b != 0)).map(|(i, _)| i).collect();
    let zeros = count - there.len();
    if (zeros as f64) < ZEROS * count as f64 || there.len() * (size + 8) >= data.len() || there.is_empty() {
        return None;
    }
    let values: Vec<u8> = there.iter().flat_map(|&i| &data[i * size..(i + 1) * size]).copied().collect();
    let places: Vec<u8> = there.iter().flat_map(|&i| (i as i64).to_le_bytes()).collect();
    let vector = |name: String, data_type: i32, data: Vec<u8>| TensorProto {
        name: Some(name),
        dims: vec![there.len() as i64],
        data_type: Some(data_type),
        raw_data: Some(Bytes::from(data)),
        ..TensorProto::default()
    };
    Some(SparseTensorProto {
        values: Some(vector(name.to_owned(), t.dtype.code(), values)),
        indices: Some(vector(format!("{name}.places"), crate::ir::DType::I64.code(), places)),
        dims: t.shape.iter().map(|&d| d as i64).collect(),
    })
}
