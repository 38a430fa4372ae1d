//! The four kinds of nodes.

use super::{Attribute, Extra, Payload, Tensor, ValueInfo};
use indexmap::IndexMap;

/// A node of the graph.
#[derive(Clone, Debug)]
pub enum Node {
    /// A graph input; in a subgraph also a value captured from outside. One result.
    Input(Input),
    /// A tensor that is known before the run. One result.
    Constant(Constant),
    /// An operator applied to operands.
    Call(Box<Call>),
    /// A graph output. One operand, no result.
    Output(Output),
}

/// A graph input.
#[derive(Clone, Debug)]
pub struct Input {
    pub info: ValueInfo,
    /// Whether it is a value of an enclosing graph, used here by its name. It is not declared in the file then.
    pub captured: bool,
    /// The initializer that the input has as its default (ONNX IR 4 and later): a caller may give another value.
    pub default: Option<Tensor>,
}

/// A graph output. Its value keeps the name that the output has.
#[derive(Clone, Debug)]
pub struct Output {
    pub info: ValueInfo,
}

/// A constant tensor.
#[derive(Clone, Debug)]
pub struct Constant {
    pub name: String,
    pub tensor: Tensor,
    pub form: Form,
    /// Where the numbers are from.
    pub origin: Origin,
}

/// Where a constant's numbers are from.
#[derive(Clone, Debug, Default)]
pub enum Origin {
    /// Written here: by hand, in text, by a pass.
    #[default]
    Here,
    /// From the constant of this name in the input file.
    File(String),
    /// From the constant of this name in the input file, as these uses of it see it: node position there and operand
    /// slot. What those nodes hold inside (a function's body) may use it in several places.
    Passed { source: String, uses: Vec<(u32, u16)> },
    /// Computed from constants of the input file. The traces tell which of its axes are axes of theirs.
    Computed(Vec<AxisTrace>),
}

/// An axis of a computed constant that is an axis of a constant of the input file: where slices of that one are zero,
/// so are the same slices of the computed one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AxisTrace {
    pub axis: usize,
    /// The constant's name in the input file, and its axis.
    pub source: String,
    pub source_axis: usize,
    /// Its uses on the way: node position in the input file and operand slot.
    pub uses: Vec<(u32, u16)>,
}

impl Constant {
    /// Whether it is a sparse initializer of which nothing is known but its type.
    pub fn is_opaque(&self) -> bool {
        matches!((&self.form, &self.tensor.payload), (Form::Sparse { .. }, Payload::Absent(_)))
    }

    /// The constant's name in the input file, where it comes from there.
    pub fn source(&self) -> Option<&str> {
        match &self.origin {
            Origin::File(name) | Origin::Passed { source: name, .. } => Some(name),
            Origin::Here | Origin::Computed(_) => None,
        }
    }
}

/// How a constant stands in the file.
#[derive(Clone, Debug)]
pub enum Form {
    /// An initializer.
    Initializer,
    /// An initializer that is declared as the graph input at this position too (ONNX IR 3 and earlier).
    InputInitializer { position: u32, info: ValueInfo },
    /// A node `Constant` with its encoded remainder (name, doc string) and the attribute that holds the value.
    /// `original` is that attribute as it was encoded, written again while the tensor is untouched.
    Node { extra: Extra, original: Option<Extra> },
    /// A sparse initializer. `original` is how it was encoded, written again while the tensor is untouched; it is empty
    /// where that is not known. If it can't be made dense, the tensor holds its type, and no data.
    Sparse { original: Extra },
}

/// An operator applied to operands.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// The node's name in the file; may be empty.
    pub name: String,
    /// The operator's domain; `""` is the standard one.
    pub domain: String,
    pub op: String,
    /// Which of several local functions of that name is meant; mostly empty.
    pub overload: String,
    pub attributes: IndexMap<String, Attribute>,
    /// Names of the results; an empty one is a result that the file leaves out.
    pub results: Vec<String>,
    /// Operand slots that the file lists, omitted optional ones included. Slots from here on are the values that
    /// the call's subgraphs capture, in the order of the subgraphs' captured inputs.
    pub arity: u16,
    /// The encoded remainder of the node (doc string, metadata).
    pub extra: Extra,
}

/// Where a node stands in the file's order: new nodes go just before an old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub position: u32,
    /// `u32::MAX` for a node of the file, counted up from 0 for those put before it.
    pub before: u32,
}

impl Call {
    /// A call of a standard operator, with nothing else said.
    pub fn new(op: &str) -> Call {
        Call { op: op.into(), ..Call::default() }
    }

    /// Integer attribute, or `default` where it is absent.
    pub fn int(&self, name: &str, default: i64) -> i64 {
        match self.attributes.get(name) {
            Some(Attribute::Int(i)) => *i,
            _ => default,
        }
    }

    /// Float attribute, or `default` where it is absent.
    pub fn float(&self, name: &str, default: f32) -> f32 {
        match self.attributes.get(name) {
            Some(Attribute::Float(x)) => *x,
            _ => default,
        }
    }

    /// List of integers, if the attribute is there.
    pub fn ints(&self, name: &str) -> Option<&[i64]> {
        match self.attributes.get(name) {
            Some(Attribute::Ints(v)) => Some(v),
            _ => None,
        }
    }

    /// String attribute, or `default` where it is absent or not UTF-8.
    pub fn string<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        match self.attributes.get(name) {
            Some(Attribute::String(s)) => std::str::from_utf8(s).unwrap_or(default),
            _ => default,
        }
    }

    /// Whether the attribute is given.
    pub fn has(&self, name: &str) -> bool {
        self.attributes.contains_key(name)
    }

    /// The subgraphs of all attributes, in order.
    pub fn graphs(&self) -> impl Iterator<Item = &super::Graph> {
        self.attributes.values().flat_map(|a| a.graphs())
    }

    /// How messages name the call: its own name, or that of its first result.
    pub fn label(&self) -> &str {
        if !self.name.is_empty() {
            return &self.name;
        }
        self.results.iter().find(|r| !r.is_empty()).map_or("(unnamed)", |r| r.as_str())
    }

    /// The operator with its domain, as messages name it (`Conv`, `com.microsoft.FusedConv`).
    pub fn qualified(&self) -> String {
        if self.domain.is_empty() { self.op.clone() } else { format!("{}.{}", self.domain, self.op) }
    }
}
