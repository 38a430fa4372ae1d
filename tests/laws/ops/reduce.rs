//! Reductions. Their axes moved from an attribute to an operand: ReduceSum's in opset 13, the others' in 18.

use crate::case::Case;
use crate::draw::Draw;
use crate::{Generator, check};
use secateur::ir::DType;

pub(super) const CASES: &[(&str, Generator)] = &[
    ("ArgMax", position),
    ("ArgMin", position),
    ("ReduceL1", reduce),
    ("ReduceL2", reduce),
    ("ReduceLogSum", reduce),
    ("ReduceLogSumExp", reduce),
    ("ReduceMax", reduce),
    ("ReduceMean", reduce),
    ("ReduceMin", reduce),
    ("ReduceProd", reduce),
    ("ReduceSum", reduce),
    ("ReduceSumSquare", reduce),
];

#[test]
fn laws() {
    check(CASES, 20);
}

fn position(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(1, 4);
    let case = Case::new(op, d.pick(&[13, 11, 12])).attribute("axis", d.axis(x.len())).data(d.floats(&x));
    if d.flip() { case.attribute("keepdims", 0) } else { case }
}

fn reduce(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(1, 4);
    let opset = d.pick(&[13, 11, 18]);
    let operand = opset >= if op == "ReduceSum" { 13 } else { 18 };
    let low = if op == "ReduceLogSum" { 0.5 } else { -2.0 };
    let mut case = Case::new(op, opset).data(d.tensor(DType::F32, &x, low, 2.0));
    if d.flip() {
        case = case.attribute("keepdims", 0);
    }
    let axes = d.axes(x.len(), 1);
    match (d.range(0, 3), operand) {
        // All axes, or none.
        (0, true) if d.flip() => case.attribute("noop_with_empty_axes", 1),
        (0, _) => case,
        (_, true) => case.list(&axes),
        (_, false) => case.ints("axes", &axes),
    }
}
