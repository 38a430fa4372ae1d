//! How names, numbers, types and tensors are written. [`parse`](super::super::parse) reads the same forms.

use super::super::{Attribute, DType, Payload, Store, Tensor, Type, ValueInfo};

/// Constants of up to so many elements are written out; larger ones are written as their hash.
const INLINE: usize = 16;

/// Whether a character may stand in a name that is not quoted.
pub(in crate::model::ir) fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '/' | '-')
}

/// Whether a character may begin a name that is not quoted.
pub(in crate::model::ir) fn is_name_start(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '/')
}

/// Words that mean something by themselves, so a name that reads like one is quoted.
pub(in crate::model::ir) fn is_reserved(word: &str) -> bool {
    matches!(word, "_" | "captured" | "other" | "inf" | "nan") || DType::from_name(word).is_some()
}

fn is_bare(name: &str) -> bool {
    name.starts_with(is_name_start) && name.chars().all(is_name_char) && !is_reserved(name)
}

/// A name, quoted where it has to be.
pub(super) fn name(name: &str) -> String {
    if is_bare(name) { name.to_owned() } else { quoted(name.as_bytes()) }
}

/// A name, or the placeholder where there is none.
pub(super) fn name_or_blank(s: &str) -> String {
    if s.is_empty() { "_".to_owned() } else { name(s) }
}

/// The name of a graph: a number would read as an attribute's value.
pub(super) fn graph_name(s: &str) -> String {
    match s {
        "" => "_".to_owned(),
        _ if s.starts_with(|c: char| c.is_ascii_digit()) => quoted(s.as_bytes()),
        _ => name(s),
    }
}

/// An attribute's key: a colon after it begins its kind, so fewer characters are plain than in other names.
pub(super) fn key(key: &str) -> String {
    let plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain { key.to_owned() } else { quoted(key.as_bytes()) }
}

/// An operator with its domain. The last dot parts the two.
pub(super) fn operator(domain: &str, op: &str) -> String {
    let dotted = format!("{domain}.{op}");
    match domain {
        _ if op.contains('.') && domain.is_empty() => quoted(op.as_bytes()),
        "" => name(op),
        _ if is_bare(&dotted) && !op.is_empty() && !op.contains('.') => dotted,
        _ => format!("{}.{}", quoted(domain.as_bytes()), quoted(op.as_bytes())),
    }
}

/// A string in quotes; bytes that are not UTF-8 as `\xff`.
pub(super) fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                c if c.is_control() => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
                c => out.push(c),
            }
        }
        chunk.invalid().iter().for_each(|b| out.push_str(&format!("\\x{b:02x}")));
    }
    out + "\""
}

/// Opaque bytes.
pub(super) fn opaque(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The shortest text that reads back as the same number. It has a point or an exponent, so it is no integer.
fn float(x: f32) -> String {
    if x.is_nan() { nan(x.to_bits().into(), f32::NAN.to_bits().into()) } else { format!("{x:?}") }
}

fn double(x: f64) -> String {
    if x.is_nan() { nan(x.to_bits(), f64::NAN.to_bits()) } else { format!("{x:?}") }
}

/// A number of 16 bits as it reads in 32, which hold it exactly.
fn half(x: f32, bits: u16, usual_nan: u16) -> String {
    if x.is_nan() { nan(bits.into(), usual_nan.into()) } else { float(x) }
}

/// There are many bit patterns of NaN; an unusual one is written out.
fn nan(bits: u64, usual: u64) -> String {
    if bits == usual { "nan".to_owned() } else { format!("nan({bits:x})") }
}

/// An element type with a shape, `f32[16,3]`.
fn tensor_type<D: std::fmt::Display>(dtype: DType, shape: &[D]) -> String {
    format!("{dtype}[{}]", list(shape.iter(), D::to_string, ","))
}

/// A declared type with a space after it, or nothing where there is none.
fn declared_type(info: &ValueInfo) -> String {
    match &info.ty {
        Type::Other if info.extra.is_empty() => String::new(),
        // The type is in the encoded message alone, and a program without it would be another one.
        Type::Other => format!("other({}) ", opaque(&info.extra)),
        Type::Tensor(t) => match &t.shape {
            None => format!("{}[..] ", t.dtype),
            Some(shape) => tensor_type(t.dtype, shape) + " ",
        },
    }
}

/// A declared value: its type and the name that it has in the text.
pub(super) fn declared(info: &ValueInfo, shown: &str) -> String {
    declared_type(info) + shown
}

/// A declared value by its own name.
pub(super) fn value_info(info: &ValueInfo) -> String {
    declared(info, &name_or_blank(&info.name))
}

/// The type of a tensor, as [`declared`] writes the same type.
pub(super) fn type_of(tensor: &Tensor) -> String {
    tensor_type(tensor.dtype, &tensor.shape)
}

/// The data of a tensor: ` = {1.0, 2.0}` or ` #0123456789abcdef`, and how it is stored where that is unusual.
pub(super) fn data(tensor: &Tensor, equals: &str) -> String {
    let value = match elements(tensor) {
        Some(all) => format!("{equals}{{{}}}", all.join(", ")),
        None => format!(" #{:016x}", tensor.hash()),
    };
    value + store(tensor)
}

/// The mark of how a tensor is stored.
pub(super) fn store(tensor: &Tensor) -> &'static str {
    match tensor.store {
        Store::Raw => "",
        Store::Typed => " @typed",
        Store::External => " @external",
    }
}

/// The elements of a small tensor, unless their text would not say exactly what they are.
fn elements(t: &Tensor) -> Option<Vec<String>> {
    let count = super::super::tensor::element_count(&t.shape).filter(|&n| n <= INLINE)?;
    let data = match &t.payload {
        Payload::Strings(s) if t.dtype == DType::String && s.len() == count => {
            return Some(s.iter().map(|s| quoted(s)).collect());
        }
        Payload::Raw(data) if data.len() == t.dtype.bytes(count) => data,
        _ => return None,
    };
    Some(match t.dtype {
        DType::F32 => each(data, |b| float(f32::from_le_bytes(b))),
        DType::F64 => each(data, |b| double(f64::from_le_bytes(b))),
        DType::F16 => each(data, u16::from_le_bytes)
            .into_iter()
            .map(|b| half(half::f16::from_bits(b).to_f32(), b, half::f16::NAN.to_bits()))
            .collect(),
        DType::BF16 => each(data, u16::from_le_bytes)
            .into_iter()
            .map(|b| half(half::bf16::from_bits(b).to_f32(), b, half::bf16::NAN.to_bits()))
            .collect(),
        DType::I64 => each(data, |b| i64::from_le_bytes(b).to_string()),
        DType::I32 => each(data, |b| i32::from_le_bytes(b).to_string()),
        DType::I16 => each(data, |b| i16::from_le_bytes(b).to_string()),
        DType::I8 => each(data, |b| i8::from_le_bytes(b).to_string()),
        DType::U64 => each(data, |b| u64::from_le_bytes(b).to_string()),
        DType::U32 => each(data, |b| u32::from_le_bytes(b).to_string()),
        DType::U16 => each(data, |b| u16::from_le_bytes(b).to_string()),
        DType::U8 => each(data, |b| u8::from_le_bytes(b).to_string()),
        // Only 0 and 1 have a word.
        DType::Bool if data.iter().all(|&b| b <= 1) => each(data, |[b]| (b == 1).to_string()),
        _ => return None,
    })
}

fn each<const N: usize, T>(data: &[u8], show: impl Fn([u8; N]) -> T) -> Vec<T> {
    data.as_chunks::<N>().0.iter().map(|&chunk| show(chunk)).collect()
}

fn list<T>(items: impl IntoIterator<Item = T>, show: impl Fn(T) -> String, between: &str) -> String {
    items.into_iter().map(show).collect::<Vec<_>>().join(between)
}

/// The kind of an attribute whose value does not show it: an empty list.
pub(super) fn kind(attribute: &Attribute) -> &'static str {
    match attribute {
        Attribute::Ints(v) if v.is_empty() => ": ints",
        Attribute::Floats(v) if v.is_empty() => ": floats",
        Attribute::Strings(v) if v.is_empty() => ": strings",
        Attribute::Tensors(v) if v.is_empty() => ": tensors",
        Attribute::Graphs(v) if v.is_empty() => ": graphs",
        _ => "",
    }
}

/// The value of an attribute that holds no graph.
pub(super) fn attribute(attribute: &Attribute) -> String {
    let tensor = |t: &Tensor| type_of(t) + &data(t, " ");
    let many = |all: String| format!("[{all}]");
    match attribute {
        Attribute::Float(x) => float(*x),
        Attribute::Int(i) => i.to_string(),
        Attribute::String(s) => quoted(s),
        Attribute::Tensor(t) => tensor(t),
        Attribute::Floats(v) => many(list(v, |&x| float(x), ", ")),
        Attribute::Ints(v) => many(list(v, i64::to_string, ",")),
        Attribute::Strings(v) => many(list(v, |s| quoted(s), ", ")),
        Attribute::Tensors(v) => many(list(v, tensor, ", ")),
        Attribute::Reference { encoded: extra, .. } | Attribute::Other(extra) => format!("other({})", opaque(extra)),
        Attribute::Graph(_) | Attribute::Graphs(_) => many(String::new()),
    }
}
