//! Declared types of values.

use crate::ir::{DType, Dim, TensorType, Type, ValueInfo};
use crate::proto::tensor_shape_proto::Dimension;
use crate::proto::tensor_shape_proto::dimension::Value;
use crate::proto::*;
use std::collections::HashMap;

/// The sizes that a file leaves open, told apart.
#[derive(Default)]
pub(super) struct OpenSizes {
    unnamed: u64,
    /// How often a name has been met that says nothing.
    placeholders: HashMap<String, u32>,
}

/// Reads a declared value.
pub(super) fn value_info(p: &ValueInfoProto, open: &mut OpenSizes) -> ValueInfo {
    let ty = p.r#type.as_ref().and_then(tensor_type).map_or(Type::Other, |t| {
        let shape = t.shape.as_ref().map(|s| s.dim.iter().map(|d| open.dim(d)).collect());
        Type::Tensor(TensorType { dtype: DType::from_code(t.elem_type()).unwrap_or(DType::F32), shape })
    });
    ValueInfo { name: p.name().to_owned(), ty, extra: remainder(p) }
}

/// The tensor type in a type, if it is one of a known element type.
pub(crate) fn tensor_type(p: &TypeProto) -> Option<&type_proto::Tensor> {
    match &p.value {
        Some(type_proto::Value::TensorType(t)) if DType::from_code(t.elem_type()).is_some() => Some(t),
        _ => None,
    }
}

impl OpenSizes {
    fn dim(&mut self, p: &Dimension) -> Dim {
        match known(p) {
            Some(Value::DimValue(n)) => Dim::Fixed(*n),
            Some(Value::DimParam(s)) => self.symbol(s),
            None => {
                self.unnamed += 1;
                Dim::unknown(self.unnamed - 1)
            }
        }
    }

    /// The size of a name. One that an exporter puts wherever it knows nothing (`?`, `unk__12`, `None`) is another size
    /// each time: from the second on, a number behind the name tells them apart.
    fn symbol(&mut self, name: &str) -> Dim {
        if !is_placeholder(name) {
            return Dim::symbol(name);
        }
        let count = self.placeholders.entry(name.to_owned()).or_insert(0);
        *count += 1;
        if *count == 1 && file_name(name) == name { Dim::symbol(name) } else { Dim::symbol(&format!("{name}#{count}")) }
    }
}

/// The name that the file has for a symbol.
pub(crate) fn file_name(symbol: &str) -> &str {
    numbered(symbol).filter(|name| is_placeholder(name)).unwrap_or(symbol)
}

/// What comes before a number at the end, `name#2`.
fn numbered(symbol: &str) -> Option<&str> {
    let (name, number) = symbol.rsplit_once('#')?;
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    is_number.then_some(name)
}

/// Whether a name says nothing: no letters in it, or only words for what is not known.
fn is_placeholder(name: &str) -> bool {
    const NOTHING: [&str; 9] = ["unk", "unknown", "none", "null", "dyn", "dynamic", "any", "undef", "undefined"];
    const SIZE: [&str; 4] = ["dim", "dimension", "axis", "axes"];
    let name = name.to_lowercase();
    let mut words = name.split(|c: char| !c.is_alphabetic()).filter(|w| !w.is_empty()).peekable();
    if words.peek().is_none() {
        return true;
    }
    let (said, sizes): (Vec<&str>, Vec<&str>) = words.partition(|word| !SIZE.contains(word));
    let is_size = sizes.len() <= 1 && said.len() == 1;
    is_size && NOTHING.contains(&said[0])
}

/// What a dimension says: negative numbers and empty names say nothing.
pub(crate) fn known(p: &Dimension) -> Option<&Value> {
    p.value.as_ref().filter(|v| match v {
        Value::DimValue(n) => *n >= 0,
        Value::DimParam(s) => !s.is_empty(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(open: &mut OpenSizes, names: &[&str]) -> Vec<String> {
        let dim = |name: &&str| Dimension { value: Some(Value::DimParam((*name).to_owned())), ..Dimension::default() };
        names.iter().map(|name| open.dim(&dim(name)).as_symbol().unwrap().to_owned()).collect()
    }

    #[test]
    fn names_that_say_nothing_are_told_apart() {
        let mut open = OpenSizes::default();
        let names =
            ["n", "?", "n", "?", "unk__12", "unk__12", "None", "dyn_dim_0", "dyn_dim_0", "?#2", "dim_0", "dim_0"];
        let symbols = named(&mut open, &names);
        let expected = ["n", "?", "n", "?#2", "unk__12", "unk__12#2", "None", "dyn_dim_0", "dyn_dim_0#2", "?#2#1"];
        assert_eq!(symbols[..10], expected);
        assert_eq!(symbols[10..], ["dim_0", "dim_0"]);
        // Files get the names back that they had.
        let back: Vec<&str> = symbols.iter().map(|s| file_name(s)).collect();
        assert_eq!(back, names);
        assert_eq!(file_name("batch#2"), "batch#2");
    }

    #[test]
    fn words_for_what_is_known_are_names() {
        let nothing = ["", "?", "-1", "*", "unk__3", "Unknown", "dynamic_axes_1", "any", "None"];
        assert!(nothing.into_iter().all(is_placeholder));
        let something = ["n", "batch", "dim", "dim_0", "axis", "s0", "unknown_words", "dynamic_batch", "N?"];
        assert!(!something.into_iter().any(is_placeholder));
    }
}
