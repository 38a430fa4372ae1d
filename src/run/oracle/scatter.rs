//! ScatterND for tract: its own makes views of everything for each index, and refuses those that count from the end.

use super::steps::attribute;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::array::{ScatterNd, ScatterReduction};
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::array;

/// tract's operator, computed in another way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Scatter(ScatterNd);

/// The same with types that are still open.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Open(array::ScatterNd);

/// Makes the operator of a ScatterND.
pub(super) fn scatter(_: &ParsingContext, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let reduction = attribute(node, "reduction").map_or(Ok("none"), |a| std::str::from_utf8(&a.s))?;
    Ok((expand(Open(array::ScatterNd::new(ScatterReduction::parse(reduction)?))), vec![]))
}

impl Expansion for Open {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        self.0.rules(s, inputs, outputs)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let made = self.0.wire(prefix, model, inputs)?;
        for outlet in &made {
            let node = model.node_mut(outlet.node);
            if let Some(own) = node.op_as::<ScatterNd>().cloned() {
                node.op = Box::new(Scatter(own));
            }
        }
        Ok(made)
    }
}

impl Op for Scatter {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    op_as_typed_op!();
}

impl TypedOp for Scatter {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.0.output_facts(inputs)
    }
}

impl EvalOp for Scatter {
    op_out_of_plan!();

    fn eval(&self, cx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let depth = inputs[1].shape().last().copied().unwrap_or(0);
        let plain = self.0.reduction == ScatterReduction::None && inputs[0].datum_type() == inputs[2].datum_type();
        if !plain || depth == 0 || depth > inputs[0].rank() {
            return self.0.eval(cx, inputs);
        }
        let (data, indices, updates) = args_3!(inputs);
        let (mut data, indices) = (data.into_tensor(), indices.cast_to::<i64>()?);
        dispatch_datum!(write(data.datum_type())(&mut data, &indices, &updates, depth))?;
        Ok(tvec!(data.into_tvalue()))
    }
}

/// Writes a slice of the updates at each index tuple, of which each addresses the first `depth` axes.
fn write<T: Datum>(data: &mut Tensor, indices: &Tensor, updates: &Tensor, depth: usize) -> TractResult<()> {
    let shape: TVec<usize> = data.shape().into();
    let row: usize = shape[depth..].iter().product();
    let (indices, updates, mut data) =
        (indices.try_as_plain_ram()?, updates.try_as_plain_ram()?, data.try_as_plain_ram_mut()?);
    let (tuples, updates, data) = (indices.as_slice::<i64>()?, updates.as_slice::<T>()?, data.as_slice_mut::<T>()?);
    ensure!(updates.len() == tuples.len() / depth * row, "{} updates for {} indices", updates.len(), tuples.len());
    for (k, tuple) in tuples.chunks(depth).enumerate() {
        let mut at = 0;
        for (&index, &length) in tuple.iter().zip(&shape) {
            let index = if index < 0 { index + length as i64 } else { index };
            ensure!((0..length as i64).contains(&index), "the index {index} is none of an axis of length {length}");
            at = at * length + index as usize;
        }
        data[at * row..][..row].clone_from_slice(&updates[k * row..][..row]);
    }
    Ok(())
}
