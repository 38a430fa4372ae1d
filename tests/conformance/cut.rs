//! Cutting a case: all that can be cut of it where its inputs are constants.

use super::case::Case;
use super::form::CONSTANTS;
use super::types::undeclare;
use secateur::analysis::Analysis;
use secateur::analysis::{Group, KeepSets, Kept};
use secateur::feed::Feed;
use secateur::ir::{Dim, Input, Model, Node, NodeId, Tensor, TensorType, Type, ValueId, ValueInfo};
use secateur::onnx::to_bytes;
use secateur::oracle::{OracleError, Runner};
use secateur::prune::apply;
use secateur::verify::Comparison;

/// How far a case can be cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Not at all.
    #[default]
    Nothing,
    /// Calls are refitted, and the types are those that the axes predict.
    Applied,
    /// And the outputs are those of the masked case.
    Equal,
}

/// Cuts a unit of every group. `trusted` says that the oracle is right about the case.
pub(crate) fn cut(case: &Case, trusted: bool) -> Result<Cut, String> {
    let mut model = CONSTANTS.of(case);
    let made = undeclare(&mut model);
    for node in model.graph.outputs() {
        model.graph.remove(node);
    }
    let analysis = Analysis::new(model);
    let free: Vec<&Group> = analysis.groups.free().collect();
    if free.is_empty() {
        return Ok(Cut::Nothing);
    }
    apply(&analysis, &all_but_one(&free)).map_err(|e| format!("of all groups: {e}"))?;
    let exact: Vec<&Group> = free.into_iter().filter(|g| g.is_exact()).collect();
    let fed = first_data(case, &analysis.model);
    let (Some(fed), true, false) = (fed, trusted, exact.is_empty()) else { return Ok(Cut::Applied) };
    let keep = all_but_one(&exact);
    let dropped = apply(&analysis, &keep).map_err(|e| format!("of exact groups: {e}"))?.model;
    let Ok(reference) = outputs(masked(&analysis, &keep), &made, fed) else { return Ok(Cut::Applied) };
    let found = outputs(dropped, &made, fed).map_err(|e| format!("the oracle refuses the cut model: {e}"))?;
    for ((name, whole), &value) in reference.iter().zip(&made) {
        if let Some(kept) = select(&analysis, &keep, value, whole) {
            equal(name, kept, &found)?;
        }
    }
    Ok(Cut::Equal)
}

fn all_but_one(groups: &[&Group]) -> KeepSets {
    let mut keep = KeepSets::default();
    groups.iter().for_each(|g| keep.keep(g.leaf, (1..g.size).collect()));
    keep
}

/// The first input of floats: it is fed, as the oracle takes no model without an input.
fn first_data(case: &Case, model: &Model) -> Option<NodeId> {
    let (name, _) = case.feed.as_ref()?.iter().find(|(_, t)| t.dtype.is_float() && t.count() > 0)?;
    model.graph.constants().into_iter().find(|&n| model.graph.label(n) == name)
}

/// What a model computes for these values, with the constant `fed` as an input.
fn outputs(mut model: Model, made: &[ValueId], fed: NodeId) -> Result<Vec<(String, Tensor)>, OracleError> {
    let constant = model.graph.constant(fed).cloned().expect("a constant stays one");
    let dims = constant.tensor.shape.iter().map(|&n| Dim::from(n)).collect();
    let ty = Type::Tensor(TensorType::new(constant.tensor.dtype, dims));
    let info = ValueInfo::new(constant.name.clone(), ty);
    *model.graph.node_mut(fed) = Node::Input(Input { info, captured: false, default: None });
    for &value in made {
        let info = ValueInfo::new(model.graph.value_name(value).to_owned(), Type::Other);
        model.graph.add_output(value, info);
    }
    let bytes = to_bytes(&model).map_err(|e| OracleError::Prepare(e.to_string()))?;
    let feed = Feed::new(vec![(constant.name, constant.tensor)]);
    Runner::new(&bytes, None, &feed.signature())?.run(&feed)
}

/// The model with all slices of constants that are not kept set to zero.
fn masked(analysis: &Analysis, keep: &KeepSets) -> Model {
    let mut model = analysis.model.clone();
    for node in model.graph.constants() {
        for (axis, &var) in analysis.axes.of(ValueId { node, port: 0 }).into_iter().flatten().enumerate() {
            let Kept::Some(kept) = keep.of(&analysis.axes, var) else { continue };
            let Some(constant) = model.graph.constant_mut(node) else { continue };
            let gone: Vec<usize> = (0..constant.tensor.shape[axis]).filter(|i| !kept.contains(i)).collect();
            constant.tensor = constant.tensor.zeroed(axis, &gone).expect("numbers");
        }
    }
    model
}

/// What is kept of a tensor that has the axes of a value; `None` where that is not known before the run.
fn select(analysis: &Analysis, keep: &KeepSets, value: ValueId, whole: &Tensor) -> Option<Tensor> {
    let mut tensor = whole.clone();
    for (axis, &var) in analysis.axes.of(value).into_iter().flatten().enumerate() {
        match keep.of(&analysis.axes, var) {
            Kept::All => {}
            Kept::Some(kept) => tensor = tensor.select(axis, &kept).ok()?,
            Kept::Open => return None,
        }
    }
    Some(tensor)
}

fn equal(name: &str, reference: Tensor, found: &[(String, Tensor)]) -> Result<(), String> {
    let tolerance = if reference.dtype.bits() == 16 { 1e-2 } else { 1e-4 };
    let mut comparison = Comparison::default();
    comparison.add(&[(name.to_owned(), reference)], found).map_err(|e| e.to_string())?;
    let difference = comparison.finish();
    if difference.worst() <= tolerance {
        Ok(())
    } else {
        Err(format!("not the masked case: {}", difference.outputs[0]))
    }
}
