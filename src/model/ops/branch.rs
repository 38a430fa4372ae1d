//! If, while its bodies are closed: the types of its results are what its branches declare. Its axes stay opaque, so that
//! whatever goes in or comes out stays whole; but what follows is known to have a rank, and can be cut.

use super::{Rule, Site};
use crate::facts::Fact;
use crate::ir::{Dim, Graph, Node, TensorType};

pub(super) const RULES: &[(&str, Rule)] = &[("If", Rule { infer, ..Rule::OPAQUE })];

fn infer(site: &Site) -> Result<Vec<Fact>, String> {
    let branches: Vec<Vec<Option<&TensorType>>> = site.call.graphs().map(declared).collect();
    let fact = |i: usize| {
        let types: Option<Vec<&TensorType>> = branches.iter().map(|b| b.get(i).copied().flatten()).collect();
        types.and_then(|types| common(site, &types)).unwrap_or_default()
    };
    Ok((0..site.call.results.len()).map(fact).collect())
}

fn declared(branch: &Graph) -> Vec<Option<&TensorType>> {
    let ty = |node| match branch.node(node) {
        Node::Output(o) => o.info.ty.tensor(),
        _ => None,
    };
    branch.outputs().into_iter().map(ty).collect()
}

/// What all branches say; a dimension in which they differ is unknown.
fn common(site: &Site, types: &[&TensorType]) -> Option<Fact> {
    let (first, others) = types.split_first()?;
    if others.iter().any(|t| t.dtype != first.dtype) {
        return None;
    }
    let shapes: Option<Vec<&Vec<Dim>>> = types.iter().map(|t| t.shape.as_ref()).collect();
    let same_rank = shapes.filter(|all| all.windows(2).all(|w| w[0].len() == w[1].len()));
    let dim = |all: &[&Vec<Dim>], axis: usize| {
        let dim = &all[0][axis];
        let agreed = !dim.has_unknown() && all.iter().all(|s| s[axis] == *dim);
        if agreed { dim.clone() } else { site.unknown() }
    };
    let shape = same_rank.map(|all| (0..all[0].len()).map(|axis| dim(&all, axis)).collect());
    Some(Fact::maybe(Some(first.dtype), shape))
}
