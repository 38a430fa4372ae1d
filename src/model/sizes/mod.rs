//! How long the axes are that a model leaves open, wherever it is run or counted without samples; and what integers
//! its inputs may hold.
//!
//! What the user says comes first ([`Given`]). Then a batch is short, and other axes are of a plausible length. Where
//! that contradicts the model (a window that is longer, a reshape that does not come out even, a channel count that only
//! a convolution knows), other lengths are tried until inference finds nothing wrong: [`fit`].
//!
//! # How
//!
//! What is made up is decided in `src/model/sizes/`, once for runs and costs. `fit` asks inference: sizes are put into the inputs,
//! and where a call contradicts its operands or nothing is left, other lengths are tried for the sizes that meet there, taken
//! from the numbers at that place and from a list; a candidate is better the further inference gets, and the number of steps
//! is bounded. `values` asks the law `indices` of rules which operands are looked up, and follows intervals (the law `bounds`)
//! from the inputs there. Costs are counted on facts with open sizes; what these leave unknown (a batch behind a broadcast that nobody
//! knows for one) gets the number that it has when inference runs with sizes: `OpenDims::at`.

mod fit;
mod given;
mod kinds;
mod roles;
mod values;

pub use given::Given;
pub(crate) use given::SizeError;
pub use kinds::Kind;
pub(crate) use kinds::{Known, kinds};
pub(crate) use roles::{batch_axes, states};
pub(crate) use values::{Values, values};

use crate::facts::Facts;
use crate::infer;
use crate::ir::{Atom, DType, Dim, Graph, Model, Node, NodeId};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// An input that has to be fed, of known rank.
#[derive(Clone, Debug)]
pub(crate) struct FedInput {
    /// The input's node.
    pub node: NodeId,
    pub name: String,
    pub dtype: DType,
    /// The shape as it is declared.
    pub shape: Vec<Dim>,
}

/// The inputs that have to be fed; an input that is no tensor, or of unknown rank, is told by its name.
pub(crate) fn inputs(graph: &Graph) -> Vec<Result<FedInput, String>> {
    let input = |node: NodeId| match graph.node(node) {
        Node::Input(i) if i.default.is_none() => {
            let ty = i.info.ty.tensor().and_then(|t| Some((t.dtype, t.shape.clone()?)));
            let input = ty.map(|(dtype, shape)| FedInput { node, name: i.info.name.clone(), dtype, shape });
            Some(input.ok_or_else(|| i.info.name.clone()))
        }
        _ => None,
    };
    graph.inputs().into_iter().filter_map(input).collect()
}

/// The lengths that open axes begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    /// Of an axis that begins some input: mostly the batch.
    pub first: i64,
    /// Of an axis along which windows run: an image's, say.
    pub space: i64,
    /// Of all others.
    pub other: i64,
}

impl Start {
    /// For runs: a batch of two, and sequences long enough for a few halvings.
    pub(crate) const RUN: Start = Start { first: 2, space: 64, other: 16 };
    /// For costs, which are told of one sample.
    pub(crate) const COUNT: Start = Start { first: 1, space: 64, other: 64 };
}

/// Lengths of the sizes that inputs leave open.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lengths {
    of: BTreeMap<Atom, i64>,
    given: BTreeSet<Atom>,
    /// What still contradicts the model, if something does: the node, and why.
    pub trouble: Option<(NodeId, String)>,
}

impl Lengths {
    /// The length of a dimension of an input.
    pub(crate) fn of(&self, dim: &Dim) -> Option<i64> {
        dim.eval(&|atom| self.of.get(atom).copied())
    }

    /// Whether the user said how long it is.
    pub(crate) fn is_given(&self, dim: &Dim) -> bool {
        dim.as_atom().is_some_and(|atom| self.given.contains(atom))
    }

    /// The lengths by size.
    pub(crate) fn atoms(&self) -> impl Iterator<Item = (&Atom, i64)> {
        self.of.iter().map(|(atom, &n)| (atom, n))
    }

    /// The shapes of the inputs in numbers.
    fn shapes(&self, inputs: &[FedInput]) -> HashMap<NodeId, Vec<Dim>> {
        let fixed = |d: &Dim| self.of(d).map_or_else(|| d.clone(), Dim::Fixed);
        inputs.iter().map(|i| (i.node, i.shape.iter().map(fixed).collect())).collect()
    }

    /// The facts of a model whose inputs are so long.
    pub(crate) fn facts(&self, model: &Model) -> Facts {
        let inputs: Vec<FedInput> = inputs(&model.graph).into_iter().flatten().collect();
        infer::infer_sized(model, &self.shapes(&inputs), &mut |_, _| true)
    }
}

/// Lengths for a model's open sizes: what is given, and else the nearest to `start` that inference finds nothing wrong
/// with. The model's functions and bodies should stand in its main graph; what is opaque says nothing.
pub(crate) fn fit(model: &Model, given: &Given, start: Start) -> Result<Lengths, SizeError> {
    let inputs: Vec<FedInput> = inputs(&model.graph).into_iter().flatten().collect();
    let given = given.resolve(&model.graph, &inputs)?;
    Ok(fit::Search::new(model, &inputs, &given, start).run())
}

/// Fails if these are no sizes of the model.
pub(crate) fn check(model: &Model, given: &Given) -> Result<(), SizeError> {
    let inputs: Vec<FedInput> = inputs(&model.graph).into_iter().flatten().collect();
    given.resolve(&model.graph, &inputs).map(drop)
}

/// The sizes that a dimension is made of.
fn atoms(dim: &Dim) -> Vec<Atom> {
    let inner = |atom: Atom| match atom {
        Atom::Floor(n, d) => [atoms(&n), atoms(&d)].concat(),
        atom => vec![atom],
    };
    dim.terms().into_iter().flat_map(|(_, factors)| factors).flat_map(inner).collect()
}

#[cfg(test)]
mod tests;
