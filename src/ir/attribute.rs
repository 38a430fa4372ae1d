//! Attributes of a call. They stay generic: an operator that nobody knows survives with all that it says.

use super::{Extra, Graph, Tensor};
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
    /// A sparse tensor, a type or a reference to an attribute of the enclosing function, as it was encoded.
    Other(Extra),
}

impl Attribute {
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
