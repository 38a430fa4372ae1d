//! What inputs are there for: which axis counts samples, and which are states.

use super::fit::Search;
use super::{FedInput, Given, Lengths, Start};
use crate::facts::Facts;
use crate::ir::{Atom, DType, Dim, Model, ValueId};
use std::collections::{BTreeMap, BTreeSet};

/// The inputs that the model returns as they are declared, beside others: what a recurrence begins with. `facts` are
/// those of inputs of fixed sizes.
pub(crate) fn states(model: &Model, facts: &Facts, inputs: &[FedInput]) -> BTreeSet<String> {
    let graph = &model.graph;
    let type_of = |value| Some((facts.get(value).dtype?, facts.shape(value)?.to_vec()));
    let mut returned: Vec<(DType, Vec<Dim>)> =
        graph.outputs().into_iter().filter_map(|n| type_of(graph.operand(n, 0)?)).collect();
    let mut states = BTreeSet::new();
    for input in inputs.iter().filter(|i| i.dtype.is_float() && i.shape.len() > 1) {
        let ty = type_of(ValueId { node: input.node, port: 0 });
        if let Some(at) = returned.iter().position(|r| Some(r) == ty.as_ref()) {
            returned.remove(at);
            states.insert(input.name.clone());
        }
    }
    if states.len() < inputs.len() { states } else { BTreeSet::new() }
}

/// The axis of each input that counts samples: the one that is given; that of the size which begins an input and which
/// most inputs have; one that has to be as long as that, as inference with other lengths tells; else the first.
pub(crate) fn batch_axes(
    model: &Model,
    inputs: &[FedInput],
    given: &Given,
    lengths: &Lengths,
) -> BTreeMap<String, usize> {
    let firsts = inputs.iter().filter_map(|i| i.shape.first()).filter(|d| d.as_atom().is_some());
    let having = |d: &Dim| inputs.iter().filter(|i| i.shape.contains(d)).count();
    // Of equals the first.
    let batch = firsts.rev().max_by_key(|d| having(d));
    let axis = |input: &FedInput| {
        let own = given.batch(&input.name).filter(|&axis| axis < input.shape.len());
        let shared = || batch.and_then(|batch| input.shape.iter().position(|d| d == batch));
        let tied = || tied_to(model, inputs, lengths, batch?.as_atom()?, input);
        own.or_else(shared).or_else(tied).unwrap_or(0)
    };
    inputs.iter().map(|i| (i.name.clone(), axis(i))).collect()
}

/// The axis of an input of fixed first axis that must be longer if the batch is.
fn tied_to(model: &Model, inputs: &[FedInput], lengths: &Lengths, batch: &Atom, input: &FedInput) -> Option<usize> {
    input.shape.first()?.fixed()?;
    if input.shape.iter().all(|d| d.as_atom().is_none()) || lengths.trouble.is_some() {
        return None;
    }
    let nothing = BTreeMap::new();
    let search = Search::new(model, inputs, &nothing, Start::RUN);
    let longer = |atoms: &[&Atom]| {
        let mut sizes: BTreeMap<Atom, i64> = lengths.atoms().map(|(atom, n)| (atom.clone(), n)).collect();
        atoms.iter().filter_map(|a| sizes.get_mut(*a).map(|n| *n += 1)).for_each(drop);
        search.fits(&sizes)
    };
    if longer(&[batch]) {
        return None;
    }
    input.shape.iter().position(|d| d.as_atom().is_some_and(|atom| longer(&[batch, atom])))
}
