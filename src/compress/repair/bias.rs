//! What is added to what a call computes: its bias operand where it has one, else a node behind it.
//!
//! ```text
//! y = Conv(x, w)            y = Conv(x, w, b)
//! y = MatMul(x, w)          t = MatMul(x, w); y = Add(t, b)
//! ```

use crate::ir::{Call, DType, Model, Node, NodeId, Tensor, Use, ValueId};
use crate::ops::Bias;
use crate::passes::{new_constant, rename};
use crate::weights::Weights;

/// Where what is added to a call's only result stands: a constant, or what constants come to; zeros where there is none
/// yet. `shape` broadcasts to the result: as long as the result in some axes, 1 in all others; of a bias in rows it is
/// the shape of one part. `None`, and no change, where there can be none.
pub(super) fn bias_operand(model: &mut Model, node: NodeId, bias: Bias, dtype: DType, shape: &[usize]) -> Option<Use> {
    let zeros = |shape: Vec<usize>| {
        let count = shape.iter().product();
        Tensor::from_f64(dtype, shape, &vec![0.0; count])
    };
    let long = shape.iter().filter(|&&n| n > 1).count();
    match bias {
        Bias::Operand(slot) => match model.graph.operand(node, usize::from(slot)) {
            Some(present) => {
                let count = shape_of(model, present)?.iter().product::<usize>();
                (count == shape.iter().product::<usize>()).then_some(Use { node, slot })
            }
            None if long <= 1 => operand(model, node, slot, zeros(vec![shape.iter().product()])?),
            None => None,
        },
        Bias::Rows { slot, parts } => {
            let (last, rest) = shape.split_last()?;
            let whole = [rest, &[last * parts]].concat();
            match model.graph.operand(node, usize::from(slot)) {
                Some(present) => (shape_of(model, present)? == whole).then_some(Use { node, slot }),
                None => operand(model, node, slot, zeros(whole)?),
            }
        }
        Bias::Behind => behind(model, node, zeros(shape.to_vec())?),
    }
}

/// The shape of a constant, or of what constants come to.
fn shape_of(model: &Model, value: ValueId) -> Option<Vec<usize>> {
    Weights::default().tensor(model, value).map(|tensor| tensor.shape)
}

fn operand(model: &mut Model, node: NodeId, slot: u16, vector: Tensor) -> Option<Use> {
    let graph = &mut model.graph;
    let name = graph.fresh_name("bias", &mut graph.all_names());
    let constant = graph.add_before(node, new_constant(model.ir_version, name, vector));
    let call = graph.call_mut(node)?;
    call.arity = call.arity.max(slot + 1);
    graph.connect(ValueId { node: constant, port: 0 }, Use { node, slot });
    Some(Use { node, slot })
}

/// A node behind the call, which takes over the result's name.
fn behind(model: &mut Model, node: NodeId, numbers: Tensor) -> Option<Use> {
    let graph = &mut model.graph;
    let result = ValueId { node, port: 0 };
    let uses = graph.uses(result);
    let mut taken = graph.all_names();
    let (name, inner) = (graph.value_name(result).to_owned(), graph.fresh_name("before_bias", &mut taken));
    let constant = graph.fresh_name("bias", &mut taken);
    rename(graph, result, inner);
    let constant = graph.add(new_constant(model.ir_version, constant, numbers));
    let sum = graph.add(Node::Call(Box::new(Call { results: vec![name], arity: 2, ..Call::new("Add") })));
    graph.connect(result, Use { node: sum, slot: 0 });
    graph.connect(ValueId { node: constant, port: 0 }, Use { node: sum, slot: 1 });
    uses.into_iter().for_each(|at| graph.connect(ValueId { node: sum, port: 0 }, at));
    Some(Use { node: sum, slot: 1 })
}
