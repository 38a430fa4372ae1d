//! Facts: what is known of values before the run. Element type, shape and, for shape arithmetic, content.
//!
//! [`crate::infer`] derives them by the rules of [`crate::ops`]; whatever asks about a graph looks them up here.

use crate::ir::{DType, Dim, NodeId, Tensor, TensorType, ValueId};
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

/// What is known of a value before the run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fact {
    pub dtype: Option<DType>,
    pub shape: Option<Vec<Dim>>,
    /// The elements, for small tensors of integers, booleans and single floats.
    pub content: Option<Arc<Content>>,
}

/// The elements of a small tensor, as far as they are known; its shape is the fact's.
#[derive(Clone, Debug, PartialEq)]
pub struct Content(pub Vec<Element>);

/// An element that is known before the run.
#[derive(Clone, Debug, PartialEq)]
pub enum Element {
    Int(Dim),
    Float(f64),
    Bool(bool),
    Unknown,
}

/// Tensors with more elements than this are not evaluated.
pub(crate) const CONTENT_LIMIT: usize = 1024;

/// Nor are those whose elements are made of more atoms than this together.
const WEIGHT_LIMIT: usize = 1 << 12;

/// No tensor has more axes: run times take fewer, and rules compare every axis with every other.
pub(crate) const MOST_AXES: usize = 64;

/// Tensors of floats with more elements than this are not evaluated.
pub(crate) const FLOAT_LIMIT: usize = 16;

impl Fact {
    /// A fact of known type and shape.
    pub fn new(dtype: DType, shape: Vec<Dim>) -> Fact {
        Fact { dtype: Some(dtype), shape: Some(shape), content: None }
    }

    /// A fact of which only some parts may be known.
    pub fn maybe(dtype: Option<DType>, shape: Option<Vec<Dim>>) -> Fact {
        Fact { dtype, shape, content: None }
    }

    /// The same fact with known elements; dropped where they are too many, too large or don't fit the shape.
    pub fn with_content(mut self, elements: Vec<Element>) -> Fact {
        let fits = self.shape.as_ref().and_then(|s| count(s)) == Some(elements.len());
        let few = fits && elements.len() <= self.content_limit();
        let weight = |e: &Element| if let Element::Int(d) = e { d.weight() } else { 0 };
        let light = || elements.iter().map(weight).sum::<usize>() <= WEIGHT_LIMIT;
        self.content = (few && light()).then(|| Arc::new(Content(elements)));
        self
    }

    /// How many elements are worth knowing: floats are scales and sizes, never whole weights.
    fn content_limit(&self) -> usize {
        if self.dtype.is_some_and(DType::is_float) { FLOAT_LIMIT } else { CONTENT_LIMIT }
    }

    /// What a constant tells.
    pub fn of_tensor(t: &Tensor) -> Fact {
        let fact = Fact::new(t.dtype, t.shape.iter().map(|&d| Dim::from(d)).collect());
        if t.count() > fact.content_limit() {
            return fact;
        }
        let elements = match t.dtype {
            DType::Bool => t.to_i64().map(|v| v.into_iter().map(|x| Element::Bool(x != 0)).collect()),
            d if d.is_float() => t.to_f64().ok().map(|v| v.into_iter().map(Element::Float).collect()),
            _ => t.to_i64().map(|v| v.into_iter().map(|x| Element::Int(Dim::Fixed(x))).collect()),
        };
        match elements {
            Some(e) => fact.with_content(e),
            None => fact,
        }
    }

    /// How many axes the value has, if that is known.
    pub fn rank(&self) -> Option<usize> {
        self.shape.as_ref().map(Vec::len)
    }

    /// The content as dimensions, if every element is a known integer.
    pub fn dims(&self) -> Option<Vec<Dim>> {
        let of = |e: &Element| if let Element::Int(d) = e { Some(d.clone()) } else { None };
        self.content.as_ref()?.0.iter().map(of).collect()
    }

    /// The content as numbers, if every element is a known integer without symbols.
    pub fn ints(&self) -> Option<Vec<i64>> {
        self.dims()?.iter().map(Dim::fixed).collect()
    }

    /// The fact as a type, where the element type is known.
    pub fn ty(&self) -> Option<TensorType> {
        Some(TensorType { dtype: self.dtype?, shape: self.shape.clone() })
    }
}

/// How many elements a shape has, if that is a number.
pub(crate) fn count(shape: &[Dim]) -> Option<usize> {
    shape.iter().map(Dim::size).try_fold(1usize, |n, d| n.checked_mul(d?))
}

/// An operator that contradicts its operands: it is treated as opaque, and this says why.
#[derive(Clone, Debug)]
pub struct Contradiction {
    pub node: NodeId,
    pub what: String,
}

/// Facts about every value of a graph.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    table: HashMap<ValueId, Fact>,
    pub contradictions: Vec<Contradiction>,
}

impl Facts {
    /// What is known of a value; for an unknown one an empty fact.
    pub fn get(&self, value: ValueId) -> &Fact {
        static NOTHING: Fact = Fact { dtype: None, shape: None, content: None };
        self.table.get(&value).unwrap_or(&NOTHING)
    }

    /// Writes down what is known of a value.
    pub fn set(&mut self, value: ValueId, fact: Fact) {
        self.table.insert(value, fact);
    }

    /// The shape of a value, if its rank is known.
    pub fn shape(&self, value: ValueId) -> Option<&[Dim]> {
        self.get(value).shape.as_deref()
    }
}

/// Makes dimensions that nothing is known of, none twice.
///
/// Two of one id are one size. So each of those who make some up numbers them in a range of its own, and each range is
/// longer than anything that fits into memory. A file is one of them too: it numbers those of its types in their order,
/// and those of its text, from 0.
#[derive(Debug)]
pub struct Unknowns(Cell<u64>);

impl Unknowns {
    /// For the inference of a graph, which has one of these.
    pub(crate) fn of_inference() -> Unknowns {
        Unknowns(Cell::new(1 << 32))
    }

    /// For the rules of a graph's axes, which have one of these.
    pub(crate) fn of_axes() -> Unknowns {
        Unknowns(Cell::new(1 << 47))
    }

    /// For rules that are asked about a graph whose facts and axes are known. What they say is compared with those, never
    /// with what others were answered.
    pub fn of_questions() -> Unknowns {
        Unknowns(Cell::new(1 << 48))
    }

    /// A dimension that equals no other.
    pub fn fresh(&self) -> Dim {
        self.0.set(self.0.get() + 1);
        Dim::unknown(self.0.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_dimensions_of_different_makers_are_different() {
        let makers = [Unknowns::of_inference(), Unknowns::of_axes(), Unknowns::of_questions()];
        let mut dims: Vec<Dim> = makers.iter().flat_map(|m| [m.fresh(), m.fresh()]).collect();
        dims.extend([0, u64::from(u32::MAX)].map(Dim::unknown));
        for (i, dim) in dims.iter().enumerate() {
            assert!(!dims[..i].contains(dim), "{dim} twice");
        }
    }
}
