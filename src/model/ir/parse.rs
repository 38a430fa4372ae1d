//! Reads the text form of a model.
//!
//! ```text
//! model    = [header] graph
//! header   = "<" entry,* ">"
//!            ir_version: 8 · opset_import: ["" : 17] · metadata_props: ["key" : "value"] · functions: ["domain" : "name"]
//! graph    = name "(" input,* ")" "=>" "(" output,* ")" ["<" value_info,* ">"] "{" (constant | call)* "}"
//! input    = [type] name ["=" [type] data]             with a default
//!          | "captured" [type] name ["=" outer]        a value of the enclosing graph
//! output   = [type] name ["=" value]
//! constant = type name ["="] data [mark]
//! data     = ("{" element,* "}" | "#" hash | "@sparse(" hex ")") ["@typed" | "@external"]
//! mark     = "@node" | "@input(" position ["," value_info] ")"
//! value_info = [type] name
//! call     = ["[" node name "]"] [result,+ "="] operator ["<" attribute,* ">"] "(" operand,* ["|" surplus,+] ")"
//! attribute = key [":" kind] "=" value      1 · 1.0 · "text" · [1,2] · f32[2] {1.0, 2.0} · other(hex) · graph
//! type     = "f32[16,batch]" | "f32[..]" of unknown rank | "f32" of rank 0 | "other(" hex ")" of no tensor
//! ```
//!
//! A name of letters, digits and `_ . : / -` stands as it is, any other in quotes. `_` is an omitted operand or result,
//! `%0` a value without a name, and `[=]` a node named as its first result. A comment begins with `#` and a space: a
//! `#` with up to 16 hexadecimal digits is the hash of a tensor.
//!
//! What makes texts pleasant to write by hand: the header may be missing (then it is that of ONNX IR 8 with operator
//! set 17), types of inputs and outputs too, lines may come in any order, and a subgraph that uses a name of an
//! enclosing graph captures it without saying so.

mod build;
mod call;
mod cursor;
mod data;
mod graph;

use super::{Model, Tensor};
use cursor::Cursor;

/// Where the text's hashes find their tensors.
pub type WeightSource<'a> = &'a dyn Fn(u64) -> Option<Tensor>;

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {what}")]
pub struct ParseError {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// What was expected and what is there instead.
    pub what: String,
}

/// Graphs and dimensions may be nested no deeper than this, so that no text can exhaust the stack.
const DEPTH: usize = 48;

/// What the parser knows while it reads.
struct Parser<'a> {
    cursor: Cursor<'a>,
    weights: WeightSource<'a>,
    depth: usize,
}

/// Reads a model from its text form. A tensor whose hash `weights` does not know is known by its hash alone.
pub fn parse(text: &str, weights: WeightSource) -> Result<Model, ParseError> {
    Parser { cursor: Cursor::new(text), weights, depth: 0 }.model()
}

#[cfg(test)]
mod tests;
