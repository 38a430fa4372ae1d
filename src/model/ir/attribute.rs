//! Attributes of a call. They stay generic: an operator that nobody knows survives with all that it says.

use super::{DType, Extra, Graph, Payload, Store, Tensor};
use bytes::Bytes;

/// The value of an attribute.
#[derive(Clone, Debug)]
pub enum Attribute {
    Float(f32),
    Int(i64),
    String(Bytes),
    Tensor(Tensor),
    Graph(Box<Graph>),
    Floats(Vec<f32>),
    Ints(Vec<i64>),
    Strings(Vec<Bytes>),
    Tensors(Vec<Tensor>),
    Graphs(Vec<Graph>),
    /// What the attribute of this name is in a call of the enclosing function, as it was encoded.
    Reference {
        to: String,
        encoded: Extra,
    },
    /// A sparse tensor or a type, as it was encoded.
    Other(Extra),
}

impl Attribute {
    /// The tensor that the attribute stands for where it is the only one of a `Constant`, and called `name`.
    pub fn as_constant(&self, name: &str) -> Option<Tensor> {
        let strings = |shape, s| Tensor {
            dtype: DType::String,
            shape,
            payload: Payload::Strings(s),
            store: Store::Typed,
            extra: Extra::new(),
        };
        Some(match (name, self) {
            ("value", Attribute::Tensor(t)) => t.clone(),
            ("value_float", Attribute::Float(x)) => Tensor::from_f32(vec![], &[*x]),
            ("value_floats", Attribute::Floats(x)) => Tensor::from_f32(vec![x.len()], x),
            ("value_int", Attribute::Int(x)) => Tensor::from_i64(vec![], &[*x]),
            ("value_ints", Attribute::Ints(x)) => Tensor::from_i64(vec![x.len()], x),
            ("value_string", Attribute::String(s)) => strings(vec![], vec![s.clone()]),
            ("value_strings", Attribute::Strings(s)) => strings(vec![s.len()], s.clone()),
            _ => return None,
        })
    }

    /// The subgraphs that the attribute holds.
    pub fn graphs(&self) -> &[Graph] {
        match self {
            Attribute::Graph(g) => std::slice::from_ref(g.as_ref()),
            Attribute::Graphs(gs) => gs,
            _ => &[],
        }
    }

    /// The subgraphs that the attribute holds, to be changed.
    pub fn graphs_mut(&mut self) -> &mut [Graph] {
        match self {
            Attribute::Graph(g) => std::slice::from_mut(g.as_mut()),
            Attribute::Graphs(gs) => gs,
            _ => &mut [],
        }
    }
}
