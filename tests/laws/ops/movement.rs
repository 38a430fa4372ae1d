//! Operators that move slices about.

use crate::case::Case;
use crate::draw::{Draw, index};
use crate::{Generator, check};
use secateur::ir::{DType, Tensor};

pub(super) const CASES: &[(&str, Generator)] = &[
    ("Col2Im", col2im),
    ("Concat", concat),
    ("DepthToSpace", depth_to_space),
    ("Pad", pad),
    ("SpaceToDepth", space_to_depth),
    ("Split", split),
];

#[test]
fn laws() {
    check(CASES, 30);
}

fn concat(op: &str, d: &mut Draw) -> Case {
    let mut x = d.shape(1, 4);
    let axis = d.axis(x.len());
    let at = index(axis, x.len());
    let mut case = Case::new(op, d.pick(&[13, 4, 11])).attribute("axis", axis);
    for _ in 0..d.range(1, 3) {
        x[at] = d.range(1, 4);
        case = case.data(d.floats(&x));
    }
    case
}

fn depth_to_space(op: &str, d: &mut Draw) -> Case {
    let (c, h, w) = (d.range(1, 3), d.range(1, 3), d.range(1, 3));
    let block = d.pick(&[2, 1, 3]);
    let case = Case::new(op, d.pick(&[13, 11])).attribute("blocksize", block);
    let case = if d.flip() { case.attribute("mode", d.pick(&["\"CRD\"", "\"DCR\""])) } else { case };
    case.data(d.tensor(DType::F32, &[2, c * block * block, h, w], -1.0, 1.0))
}

/// Padding before and after each axis: an attribute before opset 11, then an operand; axes are named since 18.
fn pad(op: &str, d: &mut Draw) -> Case {
    let rank = d.range(1, 4);
    let x: Vec<usize> = (0..rank).map(|_| d.range(2, 4)).collect();
    let opset = d.pick(&[13, 2, 11, 18]);
    let mode = d.pick(&["constant", "reflect", "edge", "constant"]);
    let pads: Vec<i64> = (0..2 * rank).map(|_| if d.flip() { d.int(0, 1) } else { 0 }).collect();
    let value = d.pick(&[0.0f32, 1.5]);
    let valued = d.flip();
    let case = Case::new(op, opset).attribute("mode", format!("{mode:?}")).data(d.floats(&x));
    if opset == 2 {
        return case.ints("pads", &pads).attribute("value", format!("{value:?}"));
    }
    if opset == 18 && d.flip() {
        let axes = d.axes(rank, 1);
        let some: Vec<i64> = (0..2 * axes.len()).map(|i| pads[i]).collect();
        let case = case.list(&some);
        let case = if valued { case.fixed(Tensor::from_f32(vec![], &[value])) } else { case.absent() };
        return case.list(&axes);
    }
    let case = case.list(&pads);
    if valued { case.fixed(Tensor::from_f32(vec![], &[value])) } else { case }
}

fn space_to_depth(op: &str, d: &mut Draw) -> Case {
    let (c, h, w) = (d.range(1, 3), d.range(1, 2), d.range(1, 2));
    let block = d.pick(&[2, 1, 3]);
    Case::new(op, 13).attribute("blocksize", block).data(d.floats(&[2, c, h * block, w * block]))
}

/// Sizes: an attribute before opset 13, then an operand; or equal parts.
fn split(op: &str, d: &mut Draw) -> Case {
    let mut x = d.shape(1, 4);
    let axis = d.axis(x.len());
    let parts = d.range(1, 3);
    let opset = d.pick(&[13, 11, 18]);
    let equal = d.flip();
    let length = d.range(1, 3);
    let sizes: Vec<i64> = (0..parts).map(|_| if equal { length as i64 } else { d.int(1, 3) }).collect();
    let at = index(axis, x.len());
    x[at] = sizes.iter().sum::<i64>() as usize;
    let case = Case::new(op, opset).attribute("axis", axis).data(d.floats(&x)).results(parts);
    match (equal && d.flip(), opset) {
        (true, 18) => case.attribute("num_outputs", parts),
        (true, _) => case,
        (false, 11) => case.ints("split", &sizes),
        _ => case.list(&sizes),
    }
}

fn col2im(op: &str, d: &mut Draw) -> Case {
    let (n, c) = (d.range(1, 2), d.range(1, 4));
    Case::new(op, 18).data(d.floats(&[n, 4 * c, 9])).list(&[4, 4]).list(&[2, 2])
}
