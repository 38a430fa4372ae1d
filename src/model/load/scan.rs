//! A look at a file's wire format before it is decoded.
//!
//! An empty message takes two bytes of a file and hundreds in memory, so a small file can ask for all memory there
//! is. The scan walks the messages without storing them, adds up what decoding would allocate, and finds where a
//! truncated or foreign file goes wrong.

use super::LoadError;
use crate::proto::*;

/// Bytes of memory that the decoded messages may take, not counting the weights.
const LIMIT: usize = 1 << 30;
/// Messages inside messages; prost refuses more as well.
const DEPTH: usize = 100;

/// The messages that hold other messages, and `Leaf` for those that hold none.
#[derive(Clone, Copy)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    Sparse,
    ValueInfo,
    Type,
    TensorType,
    Shape,
    Wrapper,
    Map,
    Function,
    Training,
    Annotation,
    Placement,
    Sharding,
    ShardedDim,
    Leaf,
}

impl Kind {
    /// The message in a field, if there is one.
    fn child(self, field: u64) -> Option<Kind> {
        Some(match (self, field) {
            (Kind::Model, 7) | (Kind::Attribute, 6 | 11) | (Kind::Training, 1 | 2) => Kind::Graph,
            (Kind::Model, 20) => Kind::Training,
            (Kind::Model, 25) => Kind::Function,
            (Kind::Graph, 1) | (Kind::Function, 7) => Kind::Node,
            (Kind::Graph, 5) | (Kind::Attribute, 5 | 10) | (Kind::Sparse, 1 | 2) => Kind::Tensor,
            (Kind::Graph, 15) | (Kind::Attribute, 22 | 23) => Kind::Sparse,
            (Kind::Graph, 11..=13) | (Kind::Function, 12) => Kind::ValueInfo,
            (Kind::Graph, 14) => Kind::Annotation,
            (Kind::Node, 5) | (Kind::Function, 11) => Kind::Attribute,
            (Kind::Node, 10) => Kind::Placement,
            (Kind::Placement, 2) => Kind::Sharding,
            (Kind::Sharding, 4) => Kind::ShardedDim,
            (Kind::Attribute, 14 | 15) | (Kind::ValueInfo, 2) | (Kind::Wrapper, 1) | (Kind::Map, 2) => Kind::Type,
            (Kind::Type, 1 | 8) => Kind::TensorType,
            (Kind::Type, 4 | 9) => Kind::Wrapper,
            (Kind::Type, 5) => Kind::Map,
            (Kind::TensorType, 2) => Kind::Shape,
            (Kind::Model, 8 | 14 | 26)
            | (Kind::Graph, 16)
            | (Kind::Node, 9)
            | (Kind::Tensor, 3 | 13 | 16)
            | (Kind::ValueInfo, 4)
            | (Kind::Type, 7)
            | (Kind::Shape, 1)
            | (Kind::Function, 9 | 14)
            | (Kind::Training, 3 | 4)
            | (Kind::Annotation, 2)
            | (Kind::Sharding, 3)
            | (Kind::ShardedDim, 1) => Kind::Leaf,
            _ => return None,
        })
    }

    /// Bytes of memory that a decoded message takes, without what it holds.
    fn size(self) -> usize {
        match self {
            Kind::Model => size_of::<ModelProto>(),
            Kind::Graph => size_of::<GraphProto>(),
            Kind::Node => size_of::<NodeProto>(),
            Kind::Attribute => size_of::<AttributeProto>(),
            Kind::Tensor => size_of::<TensorProto>(),
            Kind::Sparse => size_of::<SparseTensorProto>(),
            Kind::ValueInfo => size_of::<ValueInfoProto>(),
            Kind::Type | Kind::Wrapper | Kind::Map | Kind::TensorType => size_of::<TypeProto>(),
            Kind::Function => size_of::<FunctionProto>(),
            Kind::Training => size_of::<TrainingInfoProto>(),
            Kind::Shape | Kind::Annotation | Kind::Placement | Kind::Sharding | Kind::ShardedDim | Kind::Leaf => 96,
        }
    }
}

/// Checks that the bytes are whole messages of a model, and that decoding them takes no absurd amount of memory.
pub(super) fn check(bytes: &[u8]) -> Result<(), LoadError> {
    check_as(Kind::Model, bytes)
}

/// The same for a single tensor.
pub(super) fn check_tensor(bytes: &[u8]) -> Result<(), LoadError> {
    check_as(Kind::Tensor, bytes)
}

fn check_as(outermost: Kind, bytes: &[u8]) -> Result<(), LoadError> {
    let mut at = 0;
    let mut memory = 0usize;
    let mut open: Vec<(Kind, usize)> = vec![(outermost, bytes.len())];
    while let Some(&(kind, end)) = open.last() {
        if at == end {
            open.pop();
            continue;
        }
        let start = at;
        let fail = |what: String| Err(LoadError::not_onnx(bytes, format!("at byte {start} {what}")));
        let Some(tag) = varint(bytes, &mut at, end) else { return fail("a field's tag is cut off".into()) };
        match (tag >> 3, tag & 7) {
            (0, _) => return fail("there is a field without a number".into()),
            (_, 0) if varint(bytes, &mut at, end).is_some() => {}
            (_, 0) => return fail("a number is cut off".into()),
            (_, wire @ (1 | 5)) => {
                at += if wire == 1 { 8 } else { 4 };
                if at > end {
                    return fail("a number is cut off".into());
                }
            }
            (field, 2) => {
                let Some(length) = varint(bytes, &mut at, end) else { return fail("a length is cut off".into()) };
                if length > (end - at) as u64 {
                    return fail(format!("a field says that it has {length} bytes, but only {} are left", end - at));
                }
                let stop = at + length as usize;
                match kind.child(field) {
                    Some(child) if open.len() < DEPTH => {
                        memory += child.size();
                        open.push((child, stop));
                    }
                    Some(_) => return fail(format!("messages are nested more than {DEPTH} deep")),
                    None => {
                        memory += size_of::<String>() + 8;
                        at = stop;
                    }
                }
                if memory > LIMIT {
                    return Err(LoadError::TooMuch { offset: start, limit: LIMIT });
                }
            }
            (_, wire) => return fail(format!("there is no field of wire type {wire}")),
        }
    }
    Ok(())
}

/// Reads a number of up to ten bytes.
fn varint(bytes: &[u8], at: &mut usize, end: usize) -> Option<u64> {
    let mut value = 0;
    for shift in (0..70).step_by(7) {
        let byte = *bytes.get(*at).filter(|_| *at < end)?;
        *at += 1;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// What a foreign file might be, by its first bytes.
pub(super) fn hint(bytes: &[u8]) -> &'static str {
    match bytes {
        [b'P', b'K', 3, 4, ..] => {
            "; it is a zip archive: a PyTorch checkpoint perhaps, which has to be exported to ONNX"
        }
        [0x89, b'H', b'D', b'F', ..] => {
            "; it is an HDF5 file: a Keras model perhaps, which has to be converted to ONNX"
        }
        [0x1f, 0x8b, ..] => "; it is compressed with gzip: unpack it first",
        [0x80, 2..=5, ..] => "; it is a Python pickle, which has to be exported to ONNX",
        [_, _, _, _, b'T', b'F', b'L', b'3', ..] => "; it is a TensorFlow Lite model",
        [_, _, _, _, b'O', b'R', b'T', b'M', ..] => {
            "; it is in ONNX Runtime's own format: take the ONNX file it was made of"
        }
        _ if bytes.starts_with(b"version https://git-lfs") => "; it is a Git LFS pointer: run `git lfs pull`",
        _ if bytes.starts_with(b"<!DOCTYPE") || bytes.starts_with(b"<html") => {
            "; it is a web page: did a download fail?"
        }
        [_, _, _, _, _, _, _, _, b'{', ..] => "; it is a safetensors file perhaps, which holds weights and no graph",
        _ => "; is it cut off, or no ONNX file at all?",
    }
}
