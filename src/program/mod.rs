//! Programs: models in a small language of operations that an engine can run and differentiate.
//!
//! An operator of ONNX has attributes, versions, optional operands and shapes that are computed on the way. Here all
//! of that is settled: a [`Program`] is made for inputs of fixed sizes, it is a list of [`Step`]s in the order in
//! which they run, and each is one of some forty operations ([`Op`]). What an ONNX operator is made of stands in its
//! rule ([`crate::ops::Rule::lower`]), written with [`Term`]s. A program can be printed, and knows of no engine;
//! [`crate::lowering`] writes models as programs, and [`crate::autograd`] runs them.

mod args;
mod builder;
mod logits;
mod op;
mod print;
mod shape;
mod term;

pub use args::{Args, Moments, Statistics, kind_of};
pub use builder::Builder;
pub use op::{Binary, Compare, Kernel, Kind, Literal, Map, Op, Span, Window};
pub use term::Term;

use crate::ir::NodeId;

/// The number of a step, whose result it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(pub u32);

/// One operation and what it makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub op: Op,
    pub operands: Vec<Id>,
    pub kind: Kind,
    pub shape: Vec<usize>,
    /// The call of the model that the step is a part of.
    pub origin: Option<NodeId>,
}

/// Steps in the order in which they run. Nothing in it is unused.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Program {
    pub steps: Vec<Step>,
    /// What a run returns.
    pub results: Vec<Id>,
}

impl Program {
    /// The step that makes a value.
    pub fn step(&self, id: Id) -> &Step {
        &self.steps[id.0 as usize]
    }

    /// The ids of all steps, in order.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = Id> + use<> {
        (0..self.steps.len() as u32).map(Id)
    }

    /// The constants of the model that the program reads, with their steps.
    pub fn constants(&self) -> impl Iterator<Item = (NodeId, Id)> {
        self.ids().filter_map(|id| match self.step(id).op {
            Op::Constant(node) => Some((node, id)),
            _ => None,
        })
    }

    /// For each step the values that no later step reads; results of the program are never among them.
    pub fn last_uses(&self) -> Vec<Vec<Id>> {
        let mut last = vec![vec![]; self.steps.len()];
        let mut seen = vec![false; self.steps.len()];
        self.results.iter().for_each(|r| seen[r.0 as usize] = true);
        for id in self.ids().rev() {
            for &operand in &self.step(id).operands {
                if !std::mem::replace(&mut seen[operand.0 as usize], true) {
                    last[id.0 as usize].push(operand);
                }
            }
        }
        last
    }
}
