//! What a cut leaves around a call, and what has to change at the call.

use crate::ir::{Attribute, Dim};

/// What a cut did around a call: the sizes that are left.
pub struct CutSizes<'a> {
    /// The operands' shapes afterwards.
    pub operands: Vec<Option<Vec<Dim>>>,
    /// The results' shapes afterwards.
    pub results: Vec<Option<Vec<Dim>>>,
    /// Looks up what is left of a label of the call's axis rule; `None` for a label that the rule lacks.
    pub labels: &'a dyn Fn(&str) -> Option<LabelCut>,
}

/// What is left of a label: its size and, if it lost any, the kept indices.
pub type LabelCut = (Dim, Option<Vec<usize>>);

impl CutSizes<'_> {
    /// The size that a label of the call's axis rule has left.
    pub fn size(&self, label: &str) -> Option<Dim> {
        (self.labels)(label).map(|l| l.0)
    }

    /// The kept indices of a label of the call's axis rule, if it lost any.
    pub fn kept(&self, label: &str) -> Option<Vec<usize>> {
        (self.labels)(label).and_then(|l| l.1)
    }

    /// The shape that a result has left.
    pub fn result(&self, port: usize) -> Option<&[Dim]> {
        self.results.get(port)?.as_deref()
    }

    /// The shape that an operand has left.
    pub fn operand(&self, slot: usize) -> Option<&[Dim]> {
        self.operands.get(slot)?.as_deref()
    }
}

/// What has to change at a call beside its constants.
#[derive(Clone, Debug, Default)]
pub struct Refit {
    /// New values of attributes.
    pub attributes: Vec<(&'static str, Attribute)>,
    /// Attributes that go.
    pub without: Vec<&'static str>,
    /// New contents of 1-D (or, with `true`, scalar) 64-bit integer operands. Open dimensions are computed at run
    /// time, from the model's inputs.
    pub operands: Vec<(usize, Vec<Dim>, bool)>,
}

impl Refit {
    /// A new value of an attribute.
    pub fn attribute(mut self, name: &'static str, value: Attribute) -> Refit {
        self.attributes.push((name, value));
        self
    }

    /// A new 1-D operand.
    pub fn operand(mut self, slot: usize, content: Vec<Dim>) -> Refit {
        self.operands.push((slot, content, false));
        self
    }

    /// A new scalar operand.
    pub fn scalar(mut self, slot: usize, content: Dim) -> Refit {
        self.operands.push((slot, vec![content], true));
        self
    }
}
