//! How far rounding alone can part two models that compute the same.
//!
//! Sums in another order differ in their last bits. Where numbers are then rounded to few bits, such a difference may
//! become one of a whole step. So what matters is whether numbers *that depend on the inputs* are rounded on their way to
//! an output; of which type constants are stored says nothing.

use crate::facts::Facts;
use crate::infer;
use crate::ir::{DType, Graph, Model, Node, NodeId, ValueId};
use crate::ops;
use crate::passes;
use std::collections::HashSet;

/// The largest relative difference that counts as equal in single precision.
const FINE: f64 = 1e-3;

/// The same where the outputs went through 16 bits or fewer.
const COARSE: f64 = 3e-2;

/// The largest relative difference that rounding can make of a model's outputs.
pub(super) fn tolerance(model: &Model) -> f64 {
    let whole = passes::opened(model);
    if is_coarse(&whole, &infer::infer(&whole)) { COARSE } else { FINE }
}

/// Whether an output depends on numbers that were rounded to few bits.
fn is_coarse(model: &Model, facts: &Facts) -> bool {
    let graph = &model.graph;
    let (mut computed, mut rounded): (HashSet<ValueId>, HashSet<ValueId>) = Default::default();
    for node in graph.topological() {
        match graph.node(node) {
            Node::Input(input) if input.default.is_none() => computed.extend(graph.results(node)),
            Node::Call(_) => {
                let operands = || graph.operands(node).into_iter().flatten();
                if !operands().any(|v| computed.contains(&v)) {
                    continue;
                }
                computed.extend(graph.results(node));
                if operands().any(|v| rounded.contains(&v)) || rounds(model, facts, node, &computed) {
                    rounded.extend(graph.results(node));
                }
            }
            _ => {}
        }
    }
    graph.outputs().into_iter().filter_map(|n| graph.operand(n, 0)).any(|v| rounded.contains(&v))
}

/// Whether a call on numbers of the run rounds them to few bits.
fn rounds(model: &Model, facts: &Facts, node: NodeId, computed: &HashSet<ValueId>) -> bool {
    let graph: &Graph = &model.graph;
    if graph.call(node).is_none_or(|call| ops::rule_of(model, call).values.data_movement) {
        return false;
    }
    let dtype = |v: ValueId| facts.get(v).dtype;
    let operands: Vec<ValueId> = graph.operands(node).into_iter().flatten().collect();
    let of_floats = operands.iter().any(|&v| dtype(v).is_some_and(DType::is_float));
    // Floats times integers in one call: it makes integers of the floats inside.
    let inside = operands.iter().any(|v| computed.contains(v) && dtype(*v).is_some_and(DType::is_float))
        && operands.iter().any(|v| !computed.contains(v) && dtype(*v).is_some_and(is_small_integer));
    let result = |v: ValueId| match dtype(v) {
        Some(d) if is_small_float(d) => true,
        Some(d) if is_small_integer(d) => of_floats,
        _ => inside,
    };
    graph.results(node).any(result)
}

fn is_small_float(dtype: DType) -> bool {
    use DType::*;
    matches!(dtype, F16 | BF16 | F8E4M3FN | F8E4M3FNUZ | F8E5M2 | F8E5M2FNUZ | F4E2M1 | F8E8M0)
}

fn is_small_integer(dtype: DType) -> bool {
    use DType::*;
    matches!(dtype, I8 | U8 | I4 | U4 | I2 | U2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::parse;

    const WEIGHT: &str = "f32[4,2] w = {1, 2, 3, 4, 5, 6, 7, 8}";

    fn of(body: &str) -> f64 {
        let head = "<ir_version: 10, opset_import: [\"\" : 21, \"com.microsoft\" : 1]>";
        let text = format!("{head} g (f32[n,4] x) => (f32[n,2] y) {{\n{body}\n}}");
        tolerance(&parse(&text, &|_| None).unwrap_or_else(|e| panic!("{e}\n{text}")))
    }

    #[test]
    fn constants_of_few_bits_loosen_nothing() {
        assert_eq!(of(&format!("{WEIGHT}\ny = MatMul(x, w)")), FINE);
        // Weights that are stored in few bits, and computed with as floats.
        assert_eq!(of("i8[4,2] q = {1, 2, 3, 4, 5, 6, 7, 8}\nw = Cast<to=1>(q)\ny = MatMul(x, w)"), FINE);
        assert_eq!(of("f16[4,2] h = {1, 2, 3, 4, 5, 6, 7, 8}\nw = Cast<to=1>(h)\ny = MatMul(x, w)"), FINE);
        // Flags that are bytes on the way, made of no floats.
        let flags = "f32[] z = {0}\nb = Greater(x, z)\nf = Cast<to=2>(b)\ng = Mul(f, f)\nm = Cast<to=1>(g)";
        assert_eq!(of(&format!("{WEIGHT}\n{flags}\nv = Mul(x, m)\ny = MatMul(v, w)")), FINE);
    }

    #[test]
    fn numbers_of_the_run_that_are_rounded_do() {
        assert_eq!(of(&format!("{WEIGHT}\na = MatMul(x, w)\nh = Cast<to=10>(a)\ny = Cast<to=1>(h)")), COARSE);
        let quantized = "f32[] s = {0.1}\nu8[] z = {128}\nq = QuantizeLinear(x, s, z)\nd = DequantizeLinear(q, s, z)";
        assert_eq!(of(&format!("{WEIGHT}\n{quantized}\ny = MatMul(d, w)")), COARSE);
        let inside =
            "i8[4,2] b = {1, 2, 3, 4, 5, 6, 7, 8}\nf32[] s = {0.1}\ny = com.microsoft.DynamicQuantizeMatMul(x, b, s)";
        assert_eq!(of(inside), COARSE);
    }

    #[test]
    fn what_no_output_depends_on_does_not_count() {
        assert_eq!(of(&format!("{WEIGHT}\nh = Cast<to=10>(x)\ns = Shape(h)\ny = MatMul(x, w)")), FINE);
    }
}
