//! Surgery: a plan's keep-sets, carried out. Nothing is decided here.
//!
//! Constants are sliced along every axis that a cut label reaches, calls are refitted by their rules, and types are
//! inferred anew. They must be the ones that the axes predicted: two independent derivations, one answer.

mod uses;

pub(crate) use uses::leave_out_uses;

use crate::analysis::Analysis;
use crate::axes::{KeepSets, Kept};
use crate::cost::predict;
use crate::facts::{Element, Facts};
use crate::files::mapped::Spill;
use crate::infer;
use crate::ir::{DType, Dim, Form, Graph, Model, NodeId, Origin, TensorError, TensorType, Type, Use, ValueId};
use crate::ops::{self, CutSizes, LabelCut, Refit, Site};
use crate::parallel;
use crate::passes::{Materializer, Old};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// A slice of a constant of the input file that is gone. Setting these slices to zero in the input model gives what
/// the pruned model computes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// The constant's name in the input file. Where several graphs of the file have constants of that name, the way to
    /// the graph comes first: `loop.body/w`.
    pub tensor: String,
    /// The axis of the constant that lost slices, counted from 0.
    pub axis: usize,
    /// The indices that are gone, ascending.
    pub indices: Vec<usize>,
    /// The uses that are meant, as node position in the constant's graph in the input file and operand slot; all of
    /// them where absent. Slots behind a node's operands are what its subgraphs capture, in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uses: Option<Uses>,
}

/// Uses of a constant: node position in the input file and operand slot.
pub(crate) type Uses = Vec<(u32, u16)>;

/// A model after surgery.
pub struct Applied {
    /// The model without the units.
    pub model: Model,
    /// What inference finds in it.
    pub facts: Facts,
    /// What is gone, in terms of the input file.
    pub removed: Vec<Removed>,
}

/// Why surgery failed. Each of these is a defect of a rule, not of the model; the output would have been broken.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say what each is.
pub enum ApplyError {
    #[error("constant `{name}`: {error}")]
    Tensor { name: String, error: TensorError },
    #[error("refitting {op} `{node}`: {what}")]
    Refit { op: String, node: String, what: String },
    #[error("after the cut, `{value}` of {op} `{node}` is {found} but the plan predicted {predicted}")]
    Prediction { op: String, node: String, value: String, found: String, predicted: String },
    #[error("after the cut, {op} `{node}` contradicts its operands: {what}")]
    Contradiction { op: String, node: String, what: String },
}

/// Removes what the keep-sets do not keep.
pub fn apply(analysis: &Analysis, keep: &KeepSets) -> Result<Applied, ApplyError> {
    let predicted = predict(&analysis.model.graph, &analysis.axes, &analysis.facts, keep);
    let mut model = analysis.model.clone();
    let removed = slice_constants(analysis, keep, &mut model.graph)?;
    refit_calls(analysis, keep, &predicted, &mut model)?;
    let facts = infer::infer(&model);
    check(analysis, &predicted, &model, &facts)?;
    refresh_declarations(&mut model.graph, &facts);
    Ok(Applied { model, facts, removed })
}

/// What is gone, in terms of the input file, without these keep-sets being carried out.
pub(crate) fn removed_by(analysis: &Analysis, keep: &KeepSets) -> Vec<Removed> {
    removed_of(&analysis.model.graph, &kept_of(analysis, keep))
}

/// The cut of one constant: indices removed, by axis.
type ConstantCut = BTreeMap<usize, Vec<usize>>;

/// The indices of a constant that stay, by the axes that lose some.
type KeptOf = (NodeId, Vec<(usize, Vec<usize>)>);

/// The same for all constants.
fn kept_of(analysis: &Analysis, keep: &KeepSets) -> Vec<KeptOf> {
    let kept = |node: NodeId| {
        let axes = analysis.axes.of(ValueId { node, port: 0 }).into_iter().flatten().enumerate();
        let kept = axes.filter_map(|(axis, &var)| match keep.of(&analysis.axes, var) {
            Kept::Some(kept) => Some((axis, kept)),
            Kept::All | Kept::Open => None,
        });
        (node, kept.collect())
    };
    analysis.model.graph.constants().into_iter().map(kept).collect()
}

/// Constants that are cut go to a temporary file where they would take more memory than this in all.
const IN_MEMORY: usize = 64 << 20;

fn slice_constants(analysis: &Analysis, keep: &KeepSets, graph: &mut Graph) -> Result<Vec<Removed>, ApplyError> {
    let kept = kept_of(analysis, keep);
    let removed = removed_of(graph, &kept);
    let tensor = |node: NodeId| analysis.model.graph.tensor(ValueId { node, port: 0 });
    let left = |(node, cut): &KeptOf| {
        let tensor = tensor(*node).filter(|t| !cut.is_empty() && t.count() > 0)?;
        let share = cut.iter().map(|(axis, kept)| kept.len() as f64 / tensor.shape[*axis] as f64).product::<f64>();
        Some((tensor.byte_len() as f64 * share) as usize)
    };
    let spill = (kept.iter().filter_map(left).sum::<usize>() > IN_MEMORY).then(Spill::default);
    let sliced = parallel::side_by_side(&kept, |(node, cut)| {
        let mut sliced = tensor(*node).filter(|_| !cut.is_empty())?.clone();
        for (axis, kept) in cut {
            sliced = match sliced.select(*axis, kept) {
                Ok(sliced) => sliced,
                Err(error) => return Some(Err(error)),
            };
        }
        if let Some(spill) = &spill {
            sliced.spill(spill);
        }
        Some(Ok(sliced))
    });
    for ((node, _), sliced) in kept.into_iter().zip(sliced) {
        if let (Some(constant), Some(sliced)) = (graph.constant_mut(node), sliced) {
            constant.tensor = sliced.map_err(|error| ApplyError::Tensor { name: constant.name.clone(), error })?;
        }
    }
    Ok(removed)
}

fn removed_of(graph: &Graph, kept: &[KeptOf]) -> Vec<Removed> {
    let mut cuts: BTreeMap<String, Vec<(Uses, ConstantCut)>> = BTreeMap::new();
    for (node, kept) in kept {
        let Some(constant) = graph.constant(*node) else { continue };
        let lost = |(axis, kept): &(usize, Vec<usize>)| (*axis, complement(kept, constant.tensor.shape[*axis]));
        let cut: ConstantCut = kept.iter().map(lost).collect();
        match &constant.origin {
            Origin::File(source) => cuts.entry(source.clone()).or_default().push((uses(graph, *node), cut)),
            Origin::Passed { source, uses } => cuts.entry(source.clone()).or_default().push((uses.clone(), cut)),
            Origin::Computed(traces) => {
                for trace in traces {
                    let traced = cut.get(&trace.axis).map(|indices| (trace.source_axis, indices.clone()));
                    let copy = (trace.uses.clone(), traced.into_iter().collect());
                    cuts.entry(trace.source.clone()).or_default().push(copy);
                }
            }
            Origin::Here => {}
        }
    }
    cuts.into_iter().flat_map(|(tensor, copies)| removed(&tensor, copies)).collect()
}

/// The uses of a constant, in terms of the input file.
fn uses(graph: &Graph, constant: NodeId) -> Uses {
    let users = graph.uses(ValueId { node: constant, port: 0 });
    users.into_iter().filter_map(|u| Some((graph.origin(u.node)?, u.slot))).collect()
}

fn complement(kept: &[usize], dim: usize) -> Vec<usize> {
    let mut keep = vec![false; dim];
    kept.iter().for_each(|&i| keep[i] = true);
    (0..dim).filter(|&i| !keep[i]).collect()
}

/// The entries of one constant of the input file. Copies that were cut differently are told apart by their uses.
fn removed(tensor: &str, copies: Vec<(Uses, ConstantCut)>) -> Vec<Removed> {
    let mut by_cut: BTreeMap<ConstantCut, Uses> = BTreeMap::new();
    for (uses, cut) in copies {
        by_cut.entry(cut).or_default().extend(uses);
    }
    let entries = by_cut.into_iter().flat_map(|(cut, mut uses)| {
        uses.sort_unstable();
        uses.dedup();
        let tensor = tensor.to_owned();
        cut.into_iter().map(move |(axis, indices)| Removed {
            tensor: tensor.clone(),
            axis,
            indices,
            uses: Some(uses.clone()),
        })
    });
    entries.collect()
}

fn refit_calls(analysis: &Analysis, keep: &KeepSets, after: &Facts, model: &mut Model) -> Result<(), ApplyError> {
    let before = &analysis.model.graph;
    let mut materializer = None;
    for node in before.calls() {
        let operands = before.operands(node);
        let mut touched = operands.iter().flatten().copied().chain(before.results(node));
        if touched.any(|v| analysis.facts.shape(v) != after.shape(v)) {
            refit_call(analysis, keep, after, node, (model, node), &mut materializer)?;
        }
    }
    Ok(())
}

/// Refits a call of the analyzed model to what the keep-sets leave of it, as the node `at` of `model`.
///
/// `after` are the facts that the keep-sets predict.
pub(crate) fn refit_call(
    analysis: &Analysis,
    keep: &KeepSets,
    after: &Facts,
    node: NodeId,
    (model, at): (&mut Model, NodeId),
    materializer: &mut Option<Materializer>,
) -> Result<(), ApplyError> {
    let before = &analysis.model;
    let Some(call) = before.graph.call(node) else { return Ok(()) };
    let unknowns = crate::facts::Unknowns::of_questions();
    let site = Site::new(before, &before.graph, node, call, &analysis.facts, &unknowns);
    let labels = |name: &str| label(analysis, keep, node, name);
    let shape = |v: ValueId| after.shape(v).map(<[Dim]>::to_vec);
    let cut = CutSizes {
        operands: before.graph.operands(node).into_iter().map(|v| v.and_then(shape)).collect(),
        results: before.graph.results(node).map(shape).collect(),
        labels: &labels,
    };
    let fail = |what: String| ApplyError::Refit { op: call.qualified(), node: call.label().to_owned(), what };
    let refit = (ops::rule_of(before, call).refit)(&site, &cut).map_err(fail)?;
    let held = |slot: usize| {
        let is_vector = site.dtype(slot) == Some(DType::I64) && site.rank(slot) == Some(1);
        let content = site.fact(slot).content.as_ref().filter(|_| is_vector)?;
        let dim = |e: &Element| if let Element::Int(dim) = e { Some(dim.clone()) } else { None };
        Some(content.0.iter().map(dim).collect())
    };
    write_refit((model, at), refit, &held, materializer).map_err(fail)
}

/// What a cut leaves of a label of the call's rule.
fn label(analysis: &Analysis, keep: &KeepSets, node: NodeId, name: &str) -> Option<LabelCut> {
    let binding = analysis.axes.bindings(node).iter().find(|b| b.name == name)?;
    let kept = match keep.of(&analysis.axes, binding.var) {
        Kept::All | Kept::Open => None,
        Kept::Some(indices) => Some(indices),
    };
    Some((keep.size(&analysis.axes, binding.var), kept))
}

/// Changes a call. `held` are the dimensions that an operand held, where they are known. The materializer is made where one
/// is needed first: it asks for every name in the graph.
fn write_refit(
    (model, node): (&mut Model, NodeId),
    refit: Refit,
    held: &dyn Fn(usize) -> Option<Vec<Option<Dim>>>,
    materializer: &mut Option<Materializer>,
) -> Result<(), String> {
    if let Some(call) = model.graph.call_mut(node) {
        for name in refit.without {
            call.attributes.shift_remove(name);
        }
        for (name, value) in refit.attributes {
            call.attributes.insert(name.to_owned(), value);
        }
    }
    if refit.operands.is_empty() {
        return Ok(());
    }
    let materializer = materializer.get_or_insert_with(|| Materializer::new(&model.graph, model.ir_version));
    for (slot, content, scalar) in refit.operands {
        let (dims, operand) = (held(slot), model.graph.operand(node, slot));
        let old = operand.zip(dims.as_deref()).map(|(value, dims)| Old { value, dims });
        let value = materializer.value_after(&mut model.graph, &content, scalar, node, old);
        let value = value.ok_or_else(|| format!("operand {slot} can't be computed from the model's inputs"))?;
        // A call may list fewer operands than its operator takes.
        if let Some(call) = model.graph.call_mut(node).filter(|c| usize::from(c.arity) <= slot) {
            call.arity = slot as u16 + 1;
        }
        model.graph.connect(value, Use { node, slot: slot as u16 });
    }
    Ok(())
}

/// Asserts that inference finds what the axes predicted.
fn check(analysis: &Analysis, predicted: &Facts, model: &Model, facts: &Facts) -> Result<(), ApplyError> {
    let graph = &model.graph;
    let old: Vec<NodeId> = analysis.facts.contradictions.iter().map(|c| c.node).collect();
    if let Some(c) = facts.contradictions.iter().find(|c| !old.contains(&c.node)) {
        let (op, node) = name(graph, c.node);
        return Err(ApplyError::Contradiction { op, node, what: c.what.clone() });
    }
    for value in analysis.model.graph.nodes().into_iter().flat_map(|n| analysis.model.graph.results(n)) {
        // Nobody sees a result that the file leaves out, and a rule need not say what would be in it.
        if !graph.contains(value.node) || graph.value_name(value).is_empty() {
            continue;
        }
        let (Some(found), Some(wanted)) = (facts.shape(value), predicted.shape(value)) else { continue };
        let differ = |(a, b): (&Dim, &Dim)| a.fixed().is_some() && b.fixed().is_some() && a != b;
        if found.len() != wanted.len() || found.iter().zip(wanted).any(differ) {
            let (op, node) = name(graph, value.node);
            let value = graph.value_name(value).to_owned();
            let (found, predicted) = (show(found), show(wanted));
            return Err(ApplyError::Prediction { op, node, value, found, predicted });
        }
    }
    Ok(())
}

fn name(graph: &Graph, node: NodeId) -> (String, String) {
    (graph.call(node).map_or_else(|| "constant".to_owned(), |c| c.qualified()), graph.label(node).to_owned())
}

fn show(shape: &[Dim]) -> String {
    format!("[{}]", shape.iter().map(Dim::to_string).collect::<Vec<_>>().join(", "))
}

/// Writes the inferred shapes where the file declares the old ones; drops what is no longer known or there.
pub fn refresh_declarations(graph: &mut Graph, facts: &Facts) {
    let values: HashMap<String, ValueId> = graph.values_by_name();
    let mut infos = std::mem::take(&mut graph.value_info);
    infos.retain_mut(|info| {
        let (Type::Tensor(ty), Some(&value)) = (&mut info.ty, values.get(&info.name)) else {
            return values.contains_key(&info.name);
        };
        let Some(found) = facts.shape(value) else { return true };
        let Some(declared) = &mut ty.shape else { return true };
        if declared.len() != found.len() {
            return false;
        }
        for (d, f) in declared.iter_mut().zip(found) {
            if let Dim::Fixed(_) = f {
                *d = f.clone();
            }
        }
        true
    });
    graph.value_info = infos;
    for node in graph.constants() {
        let Some(constant) = graph.constant_mut(node) else { continue };
        // Old files declare every initializer as an input too.
        let Form::InputInitializer { info, .. } = &mut constant.form else { continue };
        if let Type::Tensor(TensorType { shape: Some(declared), .. }) = &mut info.ty {
            *declared = constant.tensor.shape.iter().map(|&n| Dim::from(n)).collect();
        }
    }
}
