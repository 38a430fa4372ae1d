//! What quantized weights are worth: `(w - zero point) · scale`, as the operator that reads them has it.

use super::Context;
use crate::ir::{DType, Tensor, ValueId};
use crate::ops::{self, End};

/// The weights of a constant as real numbers: itself if it is one of floats, and `None` where its integers are no
/// weights. Of what is made of constants, what it comes to.
pub(super) fn weights(context: &Context, constant: ValueId) -> Option<Tensor> {
    let Some(tensor) = context.graph().tensor(constant) else {
        return context.analysis.weight(constant).filter(|t| t.dtype.is_float());
    };
    if tensor.dtype.is_float() {
        return Some(tensor.clone());
    }
    if tensor.dtype.bits() > 8 || tensor.shape.len() < 2 {
        return None;
    }
    let mut numbers = tensor.to_f64().ok()?;
    let user = *context.graph().uses(constant).first()?;
    let call = context.graph().call(user.node)?;
    let rule = ops::rule(&call.domain, &call.op)?;
    let slot = usize::from(user.slot);
    let (zero_point, scale) = ((rule.quantization.zero_point)(End::Operand(slot)), (rule.quantization.scale)(slot));
    if zero_point.is_none() && scale.is_none() {
        return None;
    }
    let operand = |slot| context.graph().operand(user.node, slot);
    if let Some(End::Operand(at)) = zero_point {
        along(context, constant, tensor, operand(at), &mut numbers, |w, zero| w - zero);
    }
    if let Some(at) = scale {
        along(context, constant, tensor, operand(at), &mut numbers, |w, scale| w * scale);
    }
    Tensor::from_f64(DType::F32, tensor.shape.clone(), &numbers)
}

/// Combines each weight with the parameter for it: the only one, or the one at its index of the axis that both share.
fn along(
    context: &Context,
    constant: ValueId,
    tensor: &Tensor,
    parameters: Option<ValueId>,
    numbers: &mut [f64],
    combine: impl Fn(f64, f64) -> f64,
) {
    let Some(value) = parameters else { return };
    let Some(parameters) = context.graph().tensor(value).and_then(|t| t.to_f64().ok()) else { return };
    if let [one] = parameters[..] {
        return numbers.iter_mut().for_each(|n| *n = combine(*n, one));
    }
    let (Some(mine), Some(theirs)) = (context.axes().of(constant), context.axes().of(value)) else { return };
    let solver = context.axes().solver();
    let same = |axis: &usize| theirs.last().is_some_and(|&v| solver.find(v) == solver.find(mine[*axis]));
    let Some(axis) = (0..mine.len()).find(same).filter(|&axis| tensor.shape[axis] == parameters.len()) else { return };
    let inner: usize = tensor.shape[axis + 1..].iter().product();
    for (at, number) in numbers.iter_mut().enumerate() {
        *number = combine(*number, parameters[at / inner.max(1) % parameters.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Context, Criterion};
    use crate::ir::parse;
    use crate::oracle::Setup;
    use crate::prune;

    /// The scores of the two columns of quantized weights.
    fn scores(scale: &str, zero: &str) -> Vec<f64> {
        let text = format!(
            "g (f32[1,2] x) => (f32[1,1] y) {{
                u8[2,2] q = {{8, 8, 8, 2}}
                {scale}
                {zero}
                f32[2,1] v = {{1.0, 1.0}}
                w = DequantizeLinear<axis=1>(q, s, z)
                a = MatMul(x, w)
                y = MatMul(a, v)
            }}"
        );
        let analysis = prune::prepare(&parse(&text, &|_| None).expect("a model")).expect("an analysis");
        let quantized = analysis.groups.all.iter().find(|g| g.members.len() > 1 && g.size == 2).expect("the columns");
        let setup = Setup::default();
        let context = Context::new(&analysis, &setup);
        Criterion::named("l1").expect("a criterion").score(&context, quantized).expect("scores")
    }

    #[test]
    fn integers_count_from_their_zero_point() {
        let of = |zero: &str| scores("f32 s = {0.5}", &format!("u8 z = {{{zero}}}"));
        assert!(of("0")[0] > of("0")[1]);
        assert!(of("8")[0] < of("8")[1]);
    }

    #[test]
    fn columns_count_by_their_scales() {
        let of = |scales: &str| scores(&format!("f32[2] s = {{{scales}}}"), "u8[2] z = {0, 0}");
        assert!(of("1.0, 1.0")[0] > of("1.0, 1.0")[1]);
        assert!(of("1.0, 4.0")[0] < of("1.0, 4.0")[1]);
    }
}
