//! Programs: models in a small language of operations that an engine can run and differentiate.
//!
//! An operator of ONNX has attributes, versions, optional operands and shapes that are computed on the way. Here all
//! of that is settled: a [`Program`] is made for inputs of fixed sizes, it is a list of [`Step`]s in the order in
//! which they run, and each is one of some forty operations ([`Op`]). What an ONNX operator is made of stands in its
//! rule ([`crate::ops::Rule::lower`]), written with [`Term`]s. A program can be printed, and knows of no engine;
//! [`crate::lowering`] writes models as programs, and [`crate::autograd`] runs them.
//!
//! # Why a language of our own
//!
//! Criteria that look at gradients, and training, need derivatives. ONNX has some 200 operators with attributes, versions,
//! optional operands and shapes that are computed on the way; engines of automatic differentiation have other operations.
//! To write each operator against an engine would spread both over all families, and a change of either would touch all. So
//! there is a small language between them (`src/model/program/`): some forty operations on tensors of floats, integers and
//! booleans, of fixed shapes, with nothing optional. What an operator is made of is one more law of its rule (`lower`, in
//! `src/model/ops/lower/`), written with terms that compute their shapes as they are made. An engine has to run forty operations,
//! and knows of no ONNX; a rule knows of no engine.
//!
//! - A program is made for one signature: the sizes of inputs are put into the model, inference makes numbers of all
//!   shapes, and what is known before the run (shape arithmetic) becomes literals. Another size is another program; the
//!   last, smaller batch has its own.
//! - Constants of the model are read by node, so the same program runs with other weights. Each step says which call it is
//!   part of; errors and criteria find the way back by that.
//! - A shape that a rule makes must be the inferred one. So each lowering is checked against the types whenever it is used.
//! - Where a gradient should not follow the function, the rule says so: `detach` is in the language (rounding in
//!   quantization, relevance propagation).

mod args;
mod builder;
mod logits;
mod op;
mod print;
mod shape;
mod term;

pub(crate) use args::{Args, BatchMoments, Statistics, kind_of};
pub(crate) use builder::Builder;
pub(crate) use op::{Binary, Compare, Kernel, Literal, Map, NumberKind, Op, Span, Window};
pub(crate) use term::Term;

use crate::ir::NodeId;

/// The number of a step, whose result it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(pub u32);

/// One operation and what it makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub op: Op,
    pub operands: Vec<Id>,
    pub kind: NumberKind,
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
