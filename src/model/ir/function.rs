//! Local functions: operators that the model itself defines.

use super::{Attribute, Extra, Graph};
use indexmap::IndexMap;
use std::collections::BTreeMap;

/// An operator that is made of others.
#[derive(Clone, Debug, Default)]
pub struct Function {
    pub domain: String,
    pub name: String,
    /// Tells functions of one domain and name apart; mostly empty.
    pub overload: String,
    /// What it computes: its operands are the graph's inputs, its results the outputs. `None` where the file's
    /// function is no sound graph; calls of it are opaque.
    pub body: Option<Graph>,
    /// The operator sets that the body is written in.
    pub opsets: BTreeMap<String, i64>,
    /// What attributes are where a call does not give them.
    pub defaults: IndexMap<String, Attribute>,
    /// The function as it was encoded; it is written like this.
    pub encoded: Extra,
}
