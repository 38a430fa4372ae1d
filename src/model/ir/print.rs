//! The text form of a model.
//!
//! It follows ONNX's own textual syntax, one node a line. The grammar stands in [`parse`](super::parse).
//!
//! ```text
//! <ir_version: 8, opset_import: ["" : 17]>
//! main (f32[batch,1,8,8] x) => (f32[batch,10] logits) {
//!   f32[16,1,3,3] w #a1b2c3d4e5f60718
//!   i64[2] target = {0, -1}
//!   [conv] y = Conv<pads=[1,1,1,1], strides=[1,1]>(x, w, _)   # [N, c0:16, 8, 8]
//!   logits = Reshape(y, target)
//! }
//! ```
//!
//! The text is the program, and leaves out what only decorates it: doc strings and whatever else the IR carries as
//! [`Extra`](super::Extra), a node's place in the input file and a constant's name there. Reading a text and printing
//! it again gives the same text; with the weights at hand, it also gives the same program.
//!
//! A value whose name can't stand for it (it is empty, or another value has it) prints as `%0`, `%1` and so on. An
//! operand or result that is left out prints as `_`.

mod chart;
mod literal;
mod page;

pub use chart::{Diagram, Language};
pub(super) use literal::{is_name_char, is_name_start, is_reserved};
pub(super) use page::Page;

use super::{Attribute, Graph, Model, NodeId, ValueId};
use literal::quoted;
use std::fmt;

/// Prints a model, with a comment on each value where the caller has one.
///
/// Only values of the main graph are asked about: a value's id means something else in a subgraph.
pub struct Printer<'a> {
    pub model: &'a Model,
    pub notes: &'a dyn Fn(ValueId) -> Option<String>,
}

impl Printer<'_> {
    /// One node of the main graph in one line. Subgraphs are left out.
    pub fn line(&self, node: NodeId) -> String {
        Page::new(&self.model.graph).with_notes(self.notes).line(node)
    }
}

impl fmt::Display for Printer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        // Field by field, so that a new field of a model can't be forgotten here.
        let Model { ir_version, opsets, metadata, functions, graph, extra: _ } = self.model;
        let opsets: Vec<String> = opsets.iter().map(|(d, v)| format!("{} : {v}", quoted(d.as_bytes()))).collect();
        write!(f, "<ir_version: {ir_version}, opset_import: [{}]", opsets.join(", "))?;
        let functions: Vec<(String, String)> = functions.iter().map(|f| (f.domain.clone(), f.name.clone())).collect();
        for (key, pairs) in [("metadata_props", metadata), ("functions", &functions)] {
            if !pairs.is_empty() {
                let pair = |(a, b): &(String, String)| format!("{} : {}", quoted(a.as_bytes()), quoted(b.as_bytes()));
                write!(f, ", {key}: [{}]", pairs.iter().map(pair).collect::<Vec<_>>().join(", "))?;
            }
        }
        let mut text = String::new();
        Page::new(graph).with_notes(self.notes).graph(&mut text, &[], 0);
        writeln!(f, ">\n{text}")
    }
}

/// The text form of a model.
pub fn print(model: &Model) -> String {
    Printer { model, notes: &|_| None }.to_string()
}

/// One node of a graph in one line, for messages. Subgraphs are left out.
pub fn print_line(graph: &Graph, node: NodeId) -> String {
    Page::new(graph).line(node)
}

/// The value of an attribute. Graphs are left out.
pub fn print_attribute(attribute: &Attribute) -> String {
    literal::attribute(attribute)
}
