//! Tensors: element type, shape, and data that is shared, never copied, until somebody changes it.

use super::{DType, Extra};
use crate::files::mapped::{self, Spill};
use bytes::Bytes;
use std::borrow::Cow;

/// A constant tensor. Data is row-major and little-endian, as ONNX's `raw_data`.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// The element type.
    pub dtype: DType,
    /// The dimensions; empty for a scalar.
    pub shape: Vec<usize>,
    /// The elements.
    pub payload: Payload,
    /// How the file stores it, so that it is stored the same way again.
    pub store: Store,
    /// Name, doc string, segment, external location and the like.
    pub extra: Extra,
}

/// What a tensor holds.
#[derive(Clone, Debug)]
pub enum Payload {
    /// Elements as in `raw_data`. Cloning shares the memory; a mapped file's pages stay where they are.
    Raw(Bytes),
    /// Strings, one an element.
    Strings(Vec<Bytes>),
    /// Known by its hash alone: the tensor was read from text and nobody supplied its data.
    Absent(u64),
}

/// How the file stores a tensor's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Store {
    /// In `raw_data`.
    #[default]
    Raw,
    /// In `float_data`, `int32_data` and their like.
    Typed,
    /// In a file beside the model.
    External,
}

/// Why a tensor can't be read as asked.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[allow(missing_docs)] // The messages say what each is.
pub enum TensorError {
    #[error("{dtype}{shape:?} needs {expected} bytes of data but has {found}")]
    Length { dtype: DType, shape: Vec<usize>, expected: usize, found: usize },
    #[error("the shape {0:?} has more elements than memory could hold")]
    Overflow(Vec<usize>),
    #[error("the tensor's data is not at hand: it is known by its hash alone")]
    Absent,
    #[error("elements of type {0} can't be read as numbers")]
    NotNumbers(DType),
}

impl Tensor {
    /// A tensor of raw data; the data must have the length that the type and the shape ask for.
    pub fn new(dtype: DType, shape: Vec<usize>, data: impl Into<Bytes>) -> Result<Tensor, TensorError> {
        let data = data.into();
        let Some(count) = element_count(&shape) else { return Err(TensorError::Overflow(shape)) };
        let expected = dtype.bytes(count);
        if data.len() != expected {
            return Err(TensorError::Length { dtype, shape, expected, found: data.len() });
        }
        Ok(Tensor { dtype, shape, payload: Payload::Raw(data), store: Store::Raw, extra: Extra::new() })
    }

    /// A tensor of 64-bit integers. Panics if there are not as many as the shape says.
    pub fn from_i64(shape: Vec<usize>, values: &[i64]) -> Tensor {
        let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Tensor::new(DType::I64, shape, data).expect("as many values as the shape says")
    }

    /// A tensor of 32-bit floats. Panics if there are not as many as the shape says.
    pub fn from_f32(shape: Vec<usize>, values: &[f32]) -> Tensor {
        let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Tensor::new(DType::F32, shape, data).expect("as many values as the shape says")
    }

    /// A tensor of any real number type from `f64`s, rounded to nearest. Panics on a wrong count; `None` for
    /// types that hold no plain numbers.
    pub fn from_f64(dtype: DType, shape: Vec<usize>, values: &[f64]) -> Option<Tensor> {
        macro_rules! pack {
            ($convert:expr) => {
                values.iter().flat_map(|&v| $convert(v).to_le_bytes()).collect::<Vec<u8>>()
            };
        }
        let data = match dtype {
            DType::F32 => pack!(|v| v as f32),
            DType::F64 => pack!(|v: f64| v),
            DType::F16 => pack!(half::f16::from_f64),
            DType::BF16 => pack!(half::bf16::from_f64),
            DType::I64 => pack!(|v| v as i64),
            DType::I32 => pack!(|v| v as i32),
            DType::I16 => pack!(|v| v as i16),
            DType::I8 => pack!(|v| v as i8),
            DType::U64 => pack!(|v| v as u64),
            DType::U32 => pack!(|v| v as u32),
            DType::U16 => pack!(|v| v as u16),
            DType::U8 => pack!(|v| v as u8),
            DType::Bool => pack!(|v| u8::from(v != 0.0)),
            _ => return None,
        };
        Some(Tensor::new(dtype, shape, data).expect("as many values as the shape says"))
    }

    /// How many elements it has.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// Bytes of its data.
    pub fn byte_len(&self) -> usize {
        match &self.payload {
            Payload::Raw(b) => b.len(),
            Payload::Strings(s) => s.iter().map(Bytes::len).sum(),
            Payload::Absent(_) => self.dtype.bytes(self.count()),
        }
    }

    /// The raw data.
    pub fn raw(&self) -> Result<&Bytes, TensorError> {
        match &self.payload {
            Payload::Raw(b) => Ok(b),
            Payload::Strings(_) => Err(TensorError::NotNumbers(self.dtype)),
            Payload::Absent(_) => Err(TensorError::Absent),
        }
    }

    /// A hash of type, shape and data (xxh3): equal tensors have equal hashes.
    pub fn hash(&self) -> u64 {
        let mut h = xxhash_rust::xxh3::Xxh3::new();
        h.update(self.dtype.name().as_bytes());
        self.shape.iter().for_each(|&d| h.update(&(d as u64).to_le_bytes()));
        match &self.payload {
            Payload::Raw(b) => h.update(b),
            Payload::Strings(s) => s.iter().for_each(|s| {
                h.update(&(s.len() as u64).to_le_bytes());
                h.update(s);
            }),
            Payload::Absent(hash) => return *hash,
        }
        self.release();
        h.digest()
    }

    /// Gives back the memory of data that lie in a mapped file. They are read again when somebody looks.
    pub(crate) fn release(&self) {
        if let Payload::Raw(data) = &self.payload {
            mapped::release(data);
        }
    }

    /// Whether type, shape and data are the same.
    pub fn same(&self, other: &Tensor) -> bool {
        self.dtype == other.dtype
            && self.shape == other.shape
            && match (&self.payload, &other.payload) {
                (Payload::Raw(a), Payload::Raw(b)) => (a.as_ptr() == b.as_ptr() && a.len() == b.len()) || a == b,
                (Payload::Strings(a), Payload::Strings(b)) => a == b,
                (Payload::Absent(a), Payload::Absent(b)) => a == b,
                _ => false,
            }
    }

    /// The elements as numbers: floats, integers of 4 to 64 bits, and booleans as 0 and 1.
    pub fn to_f64(&self) -> Result<Vec<f64>, TensorError> {
        macro_rules! unpack {
            ($bytes:expr, $size:literal, $read:expr) => {
                $bytes.chunks_exact($size).map(|c| $read(c.try_into().expect("chunks have this size"))).collect()
            };
        }
        let b = self.raw()?;
        Ok(match self.dtype {
            DType::F32 => unpack!(b, 4, |c| f64::from(f32::from_le_bytes(c))),
            DType::F64 => unpack!(b, 8, f64::from_le_bytes),
            DType::F16 => unpack!(b, 2, |c| half::f16::from_le_bytes(c).to_f64()),
            DType::BF16 => unpack!(b, 2, |c| half::bf16::from_le_bytes(c).to_f64()),
            DType::I64 => unpack!(b, 8, |c| i64::from_le_bytes(c) as f64),
            DType::I32 => unpack!(b, 4, |c| f64::from(i32::from_le_bytes(c))),
            DType::I16 => unpack!(b, 2, |c| f64::from(i16::from_le_bytes(c))),
            DType::I8 => b.iter().map(|&x| f64::from(x as i8)).collect(),
            DType::U64 => unpack!(b, 8, |c| u64::from_le_bytes(c) as f64),
            DType::U32 => unpack!(b, 4, |c| f64::from(u32::from_le_bytes(c))),
            DType::U16 => unpack!(b, 2, |c| f64::from(u16::from_le_bytes(c))),
            DType::U8 => b.iter().map(|&x| f64::from(x)).collect(),
            DType::Bool => b.iter().map(|&x| f64::from(u8::from(x != 0))).collect(),
            DType::U4 => (0..self.count()).map(|i| f64::from(packed(b, 4, i))).collect(),
            DType::I4 => (0..self.count()).map(|i| f64::from((packed(b, 4, i) << 4) as i8 >> 4)).collect(),
            other => return Err(TensorError::NotNumbers(other)),
        })
    }

    /// The sum of `f` over each slice of one axis, for floats. The data is read once, where it lies.
    pub fn slice_sums(&self, axis: usize, f: impl Fn(f64) -> f64 + Copy) -> Result<Vec<f64>, TensorError> {
        macro_rules! sum {
            ($read:expr) => {
                sum_runs(self.raw()?, self.shape[axis], self.shape[axis + 1..].iter().product(), |c| f($read(c)))
            };
        }
        let sums = match self.dtype {
            DType::F32 => sum!(|c| f64::from(f32::from_le_bytes(c))),
            DType::F64 => sum!(f64::from_le_bytes),
            DType::F16 => sum!(|c| half::f16::from_le_bytes(c).to_f64()),
            DType::BF16 => sum!(|c| half::bf16::from_le_bytes(c).to_f64()),
            other => return Err(TensorError::NotNumbers(other)),
        };
        self.release();
        Ok(sums)
    }

    /// Moves long data to a temporary file, from which they are mapped.
    pub(crate) fn spill(&mut self, to: &Spill) {
        if let Payload::Raw(data) = &mut self.payload {
            *data = to.keep(std::mem::take(data).into());
        }
    }

    /// The position of the first element that is no number (NaN), if there is one.
    pub fn nan(&self) -> Option<usize> {
        let raw = || self.raw().ok();
        match self.dtype {
            DType::F32 => raw()?.chunks_exact(4).position(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]).is_nan()),
            dtype if dtype.is_float() => self.to_f64().ok()?.iter().position(|v| v.is_nan()),
            _ => None,
        }
    }

    /// The elements as 64-bit integers, if the type is an integer or a boolean.
    pub fn to_i64(&self) -> Option<Vec<i64>> {
        let b = self.raw().ok()?;
        match self.dtype {
            DType::I64 => Some(b.chunks_exact(8).map(|c| i64::from_le_bytes(c.try_into().expect("8 bytes"))).collect()),
            d if d.is_float() => None,
            _ => Some(self.to_f64().ok()?.into_iter().map(|x| x as i64).collect()),
        }
    }

    /// The slices at `keep` (ascending indices) of one axis, in that order. Strings and packed types included.
    pub fn select(&self, axis: usize, keep: &[usize]) -> Result<Tensor, TensorError> {
        let dim = self.shape[axis];
        let inner: usize = self.shape[axis + 1..].iter().product();
        let outer: usize = self.shape[..axis].iter().product();
        let mut shape = self.shape.clone();
        shape[axis] = keep.len();
        let rows = (0..outer).flat_map(|o| keep.iter().map(move |&k| (o * dim + k) * inner));
        let payload = match &self.payload {
            Payload::Absent(_) => return Err(TensorError::Absent),
            Payload::Strings(s) => Payload::Strings(rows.flat_map(|at| s[at..at + inner].iter().cloned()).collect()),
            Payload::Raw(data) if self.dtype.bits() >= 8 => {
                let size = self.dtype.bits() / 8;
                // Single numbers are moved as such.
                let out = match inner * size {
                    2 => picked::<2>(data, dim, keep),
                    4 => picked::<4>(data, dim, keep),
                    8 => picked::<8>(data, dim, keep),
                    run => {
                        let mut out = Vec::with_capacity(outer * keep.len() * run);
                        rows.for_each(|at| out.extend_from_slice(&data[at * size..at * size + run]));
                        out
                    }
                };
                Payload::Raw(out.into())
            }
            Payload::Raw(data) => {
                let elements: Vec<u8> =
                    rows.flat_map(|at| at..at + inner).map(|i| packed(data, self.dtype.bits(), i)).collect();
                Payload::Raw(pack(&elements, self.dtype.bits()).into())
            }
        };
        self.release();
        Ok(Tensor { dtype: self.dtype, shape, payload, store: self.store, extra: self.extra.clone() })
    }

    /// A copy with the slices at `indices` of one axis set to zero (every bit: the number zero in every type).
    pub fn zeroed(&self, axis: usize, indices: &[usize]) -> Result<Tensor, TensorError> {
        let dim = self.shape[axis];
        let inner: usize = self.shape[axis + 1..].iter().product();
        let outer: usize = self.shape[..axis].iter().product();
        let bits = self.dtype.bits();
        let mut data: Cow<[u8]> = Cow::Borrowed(self.raw()?);
        for o in 0..outer {
            for &k in indices {
                let at = (o * dim + k) * inner;
                if bits >= 8 {
                    data.to_mut()[at * bits / 8..(at + inner) * bits / 8].fill(0);
                } else {
                    (at..at + inner).for_each(|i| data.to_mut()[i * bits / 8] &= !(mask(bits) << (i * bits % 8)));
                }
            }
        }
        Ok(Tensor { payload: Payload::Raw(data.into_owned().into()), ..self.clone() })
    }
}

/// The elements of N bytes at these places of each row.
fn picked<const N: usize>(data: &[u8], row: usize, places: &[usize]) -> Vec<u8> {
    let rows = data.as_chunks::<N>().0.chunks_exact(row.max(1));
    let mut out = vec![0; rows.len() * places.len() * N];
    for (to, row) in out.as_chunks_mut::<N>().0.chunks_exact_mut(places.len().max(1)).zip(rows) {
        to.iter_mut().zip(places).for_each(|(to, &at)| *to = row[at]);
    }
    out
}

/// Sums over runs of `inner` elements of N bytes; run i belongs to slice i mod `dim`. Each run is summed up in order, and so
/// are the runs of a slice; but several at a time, since additions take long and wait for one another.
fn sum_runs<const N: usize>(data: &[u8], dim: usize, inner: usize, f: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    const TOGETHER: usize = 8;
    let mut sums = vec![0.0; dim];
    if dim * inner == 0 {
        return sums;
    }
    let numbers: &[[u8; N]] = data.as_chunks().0;
    for row in numbers.chunks_exact(dim * inner) {
        if inner == 1 {
            sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f(x));
            continue;
        }
        for (sums, runs) in sums.chunks_mut(TOGETHER).zip(row.chunks(TOGETHER * inner)) {
            if sums.len() < TOGETHER {
                let each = sums.iter_mut().zip(runs.chunks_exact(inner));
                each.for_each(|(sum, run)| *sum += run.iter().map(|&x| f(x)).sum::<f64>());
                continue;
            }
            let runs: [&[[u8; N]]; TOGETHER] = std::array::from_fn(|i| &runs[i * inner..(i + 1) * inner]);
            let mut totals = [0.0; TOGETHER];
            (0..inner).for_each(|at| (0..TOGETHER).for_each(|i| totals[i] += f(runs[i][at])));
            sums.iter_mut().zip(totals).for_each(|(sum, total)| *sum += total);
        }
    }
    sums
}

/// How many elements a shape has, if memory could hold them whatever their type; and so for any of its axes together,
/// where others are empty.
pub(super) fn element_count(shape: &[usize]) -> Option<usize> {
    let all = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d.max(1))).filter(|&n| n < usize::MAX / 128)?;
    Some(if shape.contains(&0) { 0 } else { all })
}

fn mask(bits: usize) -> u8 {
    (1u16 << bits).wrapping_sub(1) as u8
}

/// The element of a packed type; the first one is in the low bits of a byte.
fn packed(data: &[u8], bits: usize, index: usize) -> u8 {
    (data[index * bits / 8] >> (index * bits % 8)) & mask(bits)
}

fn pack(elements: &[u8], bits: usize) -> Vec<u8> {
    let mut out = vec![0; (elements.len() * bits).div_ceil(8)];
    for (i, &e) in elements.iter().enumerate() {
        out[i * bits / 8] |= e << (i * bits % 8);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn select_keeps_slices_of_any_axis() {
        let t = Tensor::from_f32(vec![2, 3], &[0., 1., 2., 3., 4., 5.]);
        assert_eq!(t.select(1, &[0, 2]).unwrap().to_f64().unwrap(), [0., 2., 3., 5.]);
        assert_eq!(t.select(0, &[1]).unwrap().to_f64().unwrap(), [3., 4., 5.]);
    }

    #[test]
    fn packed_elements_move_one_by_one() {
        let t = Tensor::new(DType::U4, vec![5], vec![0x21, 0x43, 0x05]).unwrap();
        let s = t.select(0, &[1, 2, 4]).unwrap();
        assert_eq!(s.raw().unwrap().as_ref(), [0x32, 0x05]);
        assert_eq!(t.zeroed(0, &[1]).unwrap().raw().unwrap().as_ref(), [0x01, 0x43, 0x05]);
    }

    #[test]
    fn packed_integers_are_numbers() {
        let data = vec![0x21, 0xf8, 0x07];
        let numbers = |dtype| Tensor::new(dtype, vec![5], data.clone()).unwrap().to_f64().unwrap();
        assert_eq!(numbers(DType::U4), [1.0, 2.0, 8.0, 15.0, 7.0]);
        assert_eq!(numbers(DType::I4), [1.0, 2.0, -8.0, -1.0, 7.0]);
    }

    #[test]
    fn a_wrong_length_is_an_error() {
        assert!(matches!(Tensor::new(DType::F32, vec![2], vec![0; 7]), Err(TensorError::Length { .. })));
        for shape in [vec![usize::MAX, 2], vec![0, 1 << 62, 4]] {
            assert!(matches!(Tensor::new(DType::F32, shape, vec![]), Err(TensorError::Overflow(_))));
        }
    }
}
