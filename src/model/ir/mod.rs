//! The intermediate representation: a model as a graph of calls.
//!
//! A [`Model`] is what an ONNX file says, minus its encoding. Its [`Graph`] is a petgraph of nodes (inputs,
//! constants, calls, outputs) and wires; wires are the only record of who uses what. Inside there are ids;
//! ONNX's names live at the boundary: they are kept so that the file can be written again, and looked up only there.
//!
//! What a pass never has to understand (doc strings, device configurations, training info) is carried as
//! [`Extra`]: the encoded remainder of the message that it came from, opaque to everything but load and save.

mod attribute;
mod dim;
mod function;
mod graph;
#[cfg(test)]
mod graph_tests;
mod node;
mod parse;
mod part;
mod print;
mod tensor;
mod types;
mod verify;

pub use attribute::Attribute;
pub use dim::{Atom, Dim};
pub use function::Function;
pub use graph::{Graph, NodeId, Use, ValueId, Wire};
pub use node::{AxisTrace, Call, Constant, Form, Input, Node, Origin, Output, Place};
pub use parse::{ParseError, WeightSource, parse};
pub use part::{Between, PartError};
pub use print::{Diagram, Language, Printer, print, print_attribute, print_line};
pub use tensor::{Payload, Store, Tensor, TensorError};
pub use types::{DType, TensorType, Type, ValueInfo};
pub use verify::{Violation, verify};

use std::collections::BTreeMap;

/// The encoded remainder of a protobuf message: all that the IR does not model. Empty where there is none.
pub type Extra = bytes::Bytes;

/// The domain of the calls that stand for the boundaries of open bodies. It is never written to a file.
pub const BODY_DOMAIN: &str = "secateur.body";

/// Name, element type and shape of an input for one run.
pub type Signature = (String, DType, Vec<usize>);

/// A whole model.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// The ONNX IR version of the file. Below 4, initializers are graph inputs too, and constant all the same.
    pub ir_version: i64,
    /// The version of each operator set, by domain. The standard domain is `""`.
    pub opsets: BTreeMap<String, i64>,
    /// `metadata_props`, in file order.
    pub metadata: Vec<(String, String)>,
    /// Local functions. Calls of them are opaque.
    pub functions: Vec<Function>,
    pub graph: Graph,
    /// Producer, doc string, training info and whatever else the file says.
    pub extra: Extra,
}

impl Model {
    /// The version of a domain's operator set; `ai.onnx` is the long name of the standard domain.
    pub fn opset(&self, domain: &str) -> i64 {
        self.opsets.get(if domain == "ai.onnx" { "" } else { domain }).copied().unwrap_or(1)
    }

    /// Whether the call is one of a local function: these hide operators of the same name.
    pub fn is_local(&self, call: &Call) -> bool {
        self.functions.iter().any(|f| f.domain == call.domain && f.name == call.op)
    }
}
