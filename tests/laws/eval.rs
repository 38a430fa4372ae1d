//! Running a case's model, and comparing what comes out.

use secateur::analysis::Analysis;
use secateur::analysis::infer;
use secateur::analysis::{KeepSets, Kept};
use secateur::feed::Feed;
use secateur::ir::{Dim, Input, Model, Node, NodeId, Tensor, TensorType, Type, ValueId, ValueInfo};
use secateur::onnx::to_bytes;
use secateur::oracle::{OracleError, Runner};

/// Two numbers this far apart, relative to the largest one, count as the same: kernels sum in different orders.
const TOLERANCE: f64 = 1e-4;

/// The results of the first call. The constant at `input`, if it still is one, is fed as an input instead:
/// the oracle takes no model without one.
pub(crate) fn results(model: &Model, call: NodeId, input: usize, fed: &Tensor) -> Result<Vec<Tensor>, OracleError> {
    let mut model = model.clone();
    let value = model.graph.operand(call, input).expect("an operand");
    let mut fed = fed.clone();
    if let Some(constant) = model.graph.constant(value.node) {
        fed = constant.tensor.clone();
        let dims = fed.shape.iter().map(|&d| Dim::from(d)).collect();
        make_input(&mut model, value.node, dims);
    }
    let name = model.graph.value_name(value).to_owned();
    let facts = infer(&model);
    for result in model.graph.results(call).collect::<Vec<_>>() {
        let ty = facts.get(result).ty().map_or(Type::Other, Type::Tensor);
        let info = ValueInfo::new(model.graph.value_name(result).to_owned(), ty);
        model.graph.add_output(result, info);
    }
    let bytes = to_bytes(&model).map_err(|e| OracleError::Prepare(e.to_string()))?;
    let feed = Feed::new(vec![(name, fed)]);
    let outputs = Runner::new(&bytes, None, &feed.signature())?.run(&feed)?;
    Ok(outputs.into_iter().map(|(_, t)| t).collect())
}

/// Turns a constant into an input of these dimensions.
pub(crate) fn make_input(model: &mut Model, node: NodeId, dims: Vec<Dim>) {
    let Some(constant) = model.graph.constant(node).cloned() else { return };
    let ty = Type::Tensor(TensorType::new(constant.tensor.dtype, dims));
    let info = ValueInfo::new(constant.name, ty);
    *model.graph.node_mut(node) = Node::Input(Input { info, captured: false, default: None });
}

/// What is kept of a tensor that has the axes of a value; `None` where that is not known before the run.
pub(crate) fn select(analysis: &Analysis, keep: &KeepSets, value: ValueId, whole: &Tensor) -> Option<Tensor> {
    let mut tensor = whole.clone();
    for (axis, &var) in analysis.axes.of(value).into_iter().flatten().enumerate() {
        match keep.of(&analysis.axes, var) {
            Kept::All => {}
            Kept::Some(kept) => tensor = tensor.select(axis, &kept).expect("numbers"),
            Kept::Open => return None,
        }
    }
    Some(tensor)
}

/// The model with all slices of constants that are not kept set to zero.
pub(crate) fn masked(analysis: &Analysis, keep: &KeepSets) -> Model {
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

/// Asserts that two tensors are the same, as far as floats go.
pub(crate) fn same(a: &Tensor, b: &Tensor) -> Result<(), String> {
    if a.shape != b.shape || a.dtype != b.dtype {
        return Err(format!("{}{:?} is not {}{:?}", a.dtype, a.shape, b.dtype, b.shape));
    }
    let (x, y) = (a.to_f64().map_err(|e| e.to_string())?, b.to_f64().map_err(|e| e.to_string())?);
    let largest = x.iter().filter(|v| v.is_finite()).fold(1.0, |m: f64, v| m.max(v.abs()));
    let near = |(x, y): (&f64, &f64)| x == y || x.is_nan() && y.is_nan() || (x - y).abs() <= TOLERANCE * largest;
    if x.iter().zip(&y).all(near) { Ok(()) } else { Err(format!("{x:?} is not {y:?}")) }
}
