//! Copies of one weight stay one weight, where that costs nothing.
//!
//! Every use of a constant has a copy of its own, so that uses can be cut differently. A matrix that several layers
//! share by design (tied embeddings, layers that repeat) should still be cut alike, or the file would grow by what was
//! shared. So copies of one matrix are made the same again if their axes are made of the same parts, and the same
//! parts must stay. Vectors are left apart: exporters merge equal ones (all zeros, all ones) that have nothing to do
//! with each other.

use super::{Axes, Mark, PinKind, Var};
use crate::ir::{Graph, ValueId};
use std::collections::BTreeMap;

/// Unifies the axes of copies of one matrix.
pub(super) fn tie_copies(graph: &Graph, axes: &mut Axes) {
    let mut copies: BTreeMap<&str, Vec<ValueId>> = BTreeMap::new();
    for node in graph.constants() {
        let Some(constant) = graph.constant(node).filter(|c| is_matrix(&c.tensor.shape)) else { continue };
        if let Some(source) = constant.source() {
            copies.entry(source).or_default().push(ValueId { node, port: 0 });
        }
    }
    for copies in copies.into_values().filter(|c| c.len() > 1) {
        let why = axes.intern(PinKind::Clash, copies[0].node, "its copies can't be cut in the same way");
        let mut tied: Vec<Vec<Var>> = vec![];
        for copy in copies {
            let Some(vars) = axes.of(copy).map(<[Var]>::to_vec) else { continue };
            match tied.iter().find(|first| can_tie(axes, first, &vars)) {
                Some(first) => {
                    let pairs: Vec<(Var, Var)> = first.iter().copied().zip(vars).collect();
                    pairs.into_iter().for_each(|(a, b)| axes.solver.unify(a, b, why));
                }
                None => tied.push(vars),
            }
        }
    }
}

/// Whether two copies are made of the same parts, of which the same must stay.
fn can_tie(axes: &Axes, a: &[Var], b: &[Var]) -> bool {
    let pinned = |v: Var| axes.solver.marks(v).iter().any(|m| matches!(m, Mark::Pin(_)));
    let same = |(&a, &b): (&Var, &Var)| {
        let leaves = axes.solver.leaves(a).into_iter().zip(axes.solver.leaves(b));
        axes.solver.alike(a, b) && leaves.into_iter().all(|(x, y)| pinned(x) == pinned(y))
    };
    a.len() == b.len() && a.iter().zip(b).all(same)
}

/// Whether more than one axis is longer than one.
fn is_matrix(shape: &[usize]) -> bool {
    shape.iter().filter(|&&d| d > 1).count() > 1
}
