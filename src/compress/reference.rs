//! The reference of a cut: a model of its own that computes, at full size, what the pruned model has to compute.
//!
//! For exact groups it is the **masked** model: the original with the removed slices of its constants set to zero.
//! Groups under a softmax, a norm or a mean are not exact, because such a call mixes the units of an axis and would
//! see the zeros. In the **restricted** model each of these calls is given the kept units only, and its results are
//! spread to full size again, with zeros where units are gone:
//!
//! ```text
//! y = LayerNormalization(x, w, b)   →   y' = LayerNormalization(x[kept], w[kept], b[kept])
//!                                       y  = y' where kept, 0 elsewhere
//! ```
//!
//! Nothing else changes: all other nodes are those of the input file, at their full widths.

use crate::analysis::Analysis;
use crate::apply::{ApplyError, Removed, Uses, refit_call};
use crate::axes::{KeepSets, Kept, Var};
use crate::cost::predict;
use crate::facts::Facts;
use crate::ir::{Form, Graph, Model, Node, NodeId, Use, ValueId};
use crate::ops::body;
use crate::passes::{Subsets, places};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Why there is no reference for a cut.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say what each is.
pub enum ReferenceError {
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error("{op} `{node}` can't be given the kept units only: {what}")]
    Unsayable { op: String, node: String, what: String },
}

/// The reference of a cut: the masked model, restricted where the cut is not exact.
pub fn reference(
    original: &Model,
    analysis: &Analysis,
    keep: &KeepSets,
    removed: &[Removed],
) -> Result<Model, ReferenceError> {
    let mut model = masked(original, removed)?;
    let calls = inexact_calls(analysis, keep);
    if calls.is_empty() {
        return Ok(model);
    }
    let after = predict(&analysis.model.graph, &analysis.axes, &analysis.facts, keep);
    let cut = Restriction { analysis, keep, after };
    let positions = positions(&model.graph);
    let mut subsets = Subsets::new(&model);
    for node in calls {
        let graph = &analysis.model.graph;
        let main = |n: &NodeId| graph.region(*n) == 0 && !graph.call(*n).is_some_and(body::is_boundary);
        let at = Some(node).filter(main).and_then(|n| positions.get(&graph.origin(n)?));
        let at = *at.ok_or_else(|| cut.unsayable(node, "it is not a node of the input file's main graph"))?;
        cut.restrict(node, &mut model, at, &mut subsets)?;
    }
    Ok(model)
}

/// The calls that are not exact along an axis that loses units.
fn inexact_calls(analysis: &Analysis, keep: &KeepSets) -> Vec<NodeId> {
    let axes = &analysis.axes;
    let cut = |&node: &NodeId| axes.inexact_at(node).iter().any(|&v| keep.of(axes, v) != Kept::All);
    analysis.model.graph.calls().into_iter().filter(cut).collect()
}

/// The nodes of a graph by their position in the input file.
fn positions(graph: &Graph) -> HashMap<u32, NodeId> {
    graph.calls().into_iter().filter_map(|n| Some((graph.origin(n)?, n))).collect()
}

/// The cut that inexact calls are restricted to.
struct Restriction<'a> {
    analysis: &'a Analysis,
    keep: &'a KeepSets,
    /// The facts that the keep-sets predict.
    after: Facts,
}

impl Restriction<'_> {
    /// Gives a call of the analyzed model, which is `at` in the reference, the kept units only.
    fn restrict(&self, node: NodeId, model: &mut Model, at: NodeId, to: &mut Subsets) -> Result<(), ReferenceError> {
        let before = &self.analysis.model.graph;
        for (slot, value) in before.operands(node).into_iter().enumerate() {
            let Some((value, mut operand)) = value.zip(model.graph.operand(at, slot)) else { continue };
            for (axis, kept, _) in self.cuts(node, value)? {
                operand = to.taken(&mut model.graph, operand, axis, &kept);
            }
            if let Some((kept, length)) = self.renumbered(node, value)? {
                operand = to.renumbered(&mut model.graph, operand, &places(&kept, length));
            }
            model.graph.connect(operand, Use { node: at, slot: slot as u16 });
        }
        refit_call(self.analysis, self.keep, &self.after, node, (model, at), &mut None)?;
        for (port, value) in before.results(node).enumerate() {
            let result = ValueId { node: at, port: port as u16 };
            let uses = model.graph.uses(result);
            let mut whole = result;
            for (axis, kept, length) in self.cuts(node, value)? {
                let dtype = self.after.get(value).dtype.filter(|_| to.can_spread());
                let dtype =
                    dtype.ok_or_else(|| self.unsayable(node, "its results can't be broadcast in this opset"))?;
                let rank = self.after.get(value).rank().unwrap_or_default();
                let zeros = to.spread(&mut model.graph, whole, dtype, (rank, axis), &kept, length);
                whole = zeros.ok_or_else(|| self.unsayable(node, "its results are not numbers"))?;
            }
            if let Some((kept, _)) = self.renumbered(node, value)? {
                whole = to.renumbered(&mut model.graph, whole, &kept);
            }
            uses.into_iter().filter(|_| whole != result).for_each(|u| model.graph.connect(whole, u));
        }
        Ok(())
    }

    /// The axes of a value that lose units, with the indices that stay and the length before.
    fn cuts(&self, node: NodeId, value: ValueId) -> Result<Vec<(usize, Vec<usize>, usize)>, ReferenceError> {
        let axes = &self.analysis.axes;
        let mut cuts = vec![];
        for (axis, &var) in axes.of(value).into_iter().flatten().enumerate() {
            cuts.extend(self.cut(node, var)?.map(|(kept, length)| (axis, kept, length)));
        }
        Ok(cuts)
    }

    /// What stays of the axis whose indices are the elements of a value, if it loses any.
    fn renumbered(&self, node: NodeId, value: ValueId) -> Result<Option<(Vec<usize>, usize)>, ReferenceError> {
        self.analysis.axes.indices_of(value).map_or(Ok(None), |var| self.cut(node, var))
    }

    /// The indices of an axis that stay, and its length before; `None` where all of them do.
    fn cut(&self, node: NodeId, var: Var) -> Result<Option<(Vec<usize>, usize)>, ReferenceError> {
        let axes = &self.analysis.axes;
        match (self.keep.of(axes, var), axes.solver().size(var).size()) {
            (Kept::All, _) => Ok(None),
            (Kept::Some(kept), Some(length)) => Ok(Some((kept, length))),
            _ => Err(self.unsayable(node, "the units share an axis with an open dimension")),
        }
    }

    fn unsayable(&self, node: NodeId, what: &str) -> ReferenceError {
        let graph = &self.analysis.model.graph;
        let op = graph.call(node).map_or_else(String::new, |c| c.qualified());
        ReferenceError::Unsayable { op, node: graph.label(node).to_owned(), what: what.to_owned() }
    }
}

/// The model with the removed slices set to zero: the reference of an exact cut.
pub fn masked(original: &Model, removed: &[Removed]) -> Result<Model, ApplyError> {
    let mut model = original.clone();
    let mut taken = model.graph.all_names();
    mask(&mut model.graph, removed, &mut taken)?;
    Ok(model)
}

/// Sets slices of a graph's own constants to zero, and those of its subgraphs. Positions are those in the graph that has
/// the constant.
fn mask(graph: &mut Graph, removed: &[Removed], taken: &mut HashSet<String>) -> Result<(), ApplyError> {
    for node in graph.calls() {
        let call = graph.call_mut(node).into_iter().flat_map(|c| c.attributes.values_mut());
        call.flat_map(|a| a.graphs_mut()).try_for_each(|g| mask(g, removed, taken))?;
    }
    let source = |n: NodeId| graph.constant(n).and_then(|c| c.source()).unwrap_or_else(|| graph.label(n));
    let constants: HashMap<String, NodeId> = graph.constants().into_iter().map(|n| (source(n).to_owned(), n)).collect();
    let positions = positions(graph);
    let mut copies: BTreeMap<(&str, &Option<Uses>), NodeId> = BTreeMap::new();
    for entry in removed {
        let Some(&source) = constants.get(&entry.tensor) else { continue };
        let copy = *copies.entry((&entry.tensor, &entry.uses)).or_insert_with(|| match &entry.uses {
            None => source,
            Some(uses) => copy_for(graph, source, uses, &positions, taken),
        });
        if let Some(c) = graph.constant_mut(copy) {
            let zeroed = c.tensor.zeroed(entry.axis, &entry.indices);
            c.tensor = zeroed.map_err(|error| ApplyError::Tensor { name: c.name.clone(), error })?;
        }
    }
    Ok(())
}

/// A copy of a constant for some of its uses.
fn copy_for(
    graph: &mut Graph,
    source: NodeId,
    uses: &[(u32, u16)],
    positions: &HashMap<u32, NodeId>,
    taken: &mut HashSet<String>,
) -> NodeId {
    let Some(mut constant) = graph.constant(source).cloned() else { return source };
    constant.name = graph.fresh_name(&constant.name, taken);
    constant.form = Form::Initializer;
    let copy = graph.add(Node::Constant(constant));
    for (position, slot) in uses {
        if let Some(&node) = positions.get(position) {
            graph.connect(ValueId { node: copy, port: 0 }, Use { node, slot: *slot });
        }
    }
    copy
}
