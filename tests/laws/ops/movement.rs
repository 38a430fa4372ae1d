//! Operators that move slices about.

use crate::case::Case;
use crate::draw::Draw;
use crate::{Generator, check};
use secateur::ir::{DType, Tensor};

pub const CASES: &[(&str, Generator)] = &[
    ("Concat", concat),
    ("DepthToSpace", depth_to_space),
    ("Gather", gather),
    ("Pad", pad),
    ("Slice", slice),
    ("SpaceToDepth", space_to_depth),
    ("Split", split),
];

#[test]
fn laws() {
    check(CASES, 30);
}

/// The index of an axis that may be counted from the end.
fn index(axis: i64, rank: usize) -> usize {
    axis.rem_euclid(rank as i64) as usize
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

/// Ranges of step 1, mostly; attributes before opset 10.
fn slice(op: &str, d: &mut Draw) -> Case {
    let rank = d.range(1, 3);
    let x: Vec<usize> = (0..rank).map(|_| d.range(2, 6)).collect();
    let axes = d.axes(rank, 1);
    let (mut starts, mut ends, mut steps) = (vec![], vec![], vec![]);
    let opset = d.pick(&[13, 10, 9]);
    // tract wants the axes of the attribute counted from the front.
    let axes: Vec<i64> = axes.iter().map(|&a| if opset == 9 { index(a, rank) as i64 } else { a }).collect();
    for &axis in &axes {
        let n = x[index(axis, rank)] as i64;
        let start = d.int(0, n - 1);
        let end = d.int(start + 1, n);
        let negative = |d: &mut Draw, i: i64| if d.flip() { i - n } else { i };
        if opset > 9 && d.range(0, 5) == 5 {
            // Backwards; the end before the first index can only be named from afar.
            starts.push(n - 1);
            ends.push(i64::MIN + 1);
            steps.push(-1);
            continue;
        }
        starts.push(negative(d, start));
        ends.push(if end < n { negative(d, end) } else { d.pick(&[end, i64::MAX, i64::from(i32::MAX), n + 3]) });
        steps.push(if opset > 9 && d.range(0, 3) == 3 { 2 } else { 1 });
    }
    let case = Case::new(op, opset).data(d.floats(&x));
    if opset == 9 {
        return case.ints("starts", &starts).ints("ends", &ends).ints("axes", &axes);
    }
    let case = case.list(&starts).list(&ends).list(&axes);
    if steps.iter().any(|&s| s != 1) || d.flip() { case.list(&steps) } else { case }
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

fn gather(op: &str, d: &mut Draw) -> Case {
    let rank = d.range(1, 3);
    let x: Vec<usize> = (0..rank).map(|_| d.range(1, 5)).collect();
    let axis = d.axis(rank);
    let n = x[index(axis, rank)] as i64;
    let case = Case::new(op, d.pick(&[13, 11])).attribute("axis", axis).data(d.floats(&x));
    let indices = match d.range(0, 3) {
        0 => Tensor::from_i64(vec![], &[d.int(-n, n - 1)]),
        1 => {
            // A run, as an exporter's slice.
            let from = d.int(0, n - 1);
            let run: Vec<i64> = (from..d.int(from + 1, n)).collect();
            Tensor::from_i64(vec![run.len()], &run)
        }
        2 => {
            let count = d.range(1, 4);
            Tensor::from_i64(vec![count], &d.list(count, -n, n - 1))
        }
        _ => Tensor::from_i64(vec![2, 2], &d.list(4, 0, n - 1)),
    };
    case.fixed(indices)
}

fn depth_to_space(op: &str, d: &mut Draw) -> Case {
    let (c, h, w) = (d.range(1, 3), d.range(1, 3), d.range(1, 3));
    let block = d.pick(&[2, 1, 3]);
    let case = Case::new(op, d.pick(&[13, 11])).attribute("blocksize", block);
    let case = if d.flip() { case.attribute("mode", d.pick(&["\"CRD\"", "\"DCR\""])) } else { case };
    case.data(d.tensor(DType::F32, &[2, c * block * block, h, w], -1.0, 1.0))
}

fn space_to_depth(op: &str, d: &mut Draw) -> Case {
    let (c, h, w) = (d.range(1, 3), d.range(1, 2), d.range(1, 2));
    let block = d.pick(&[2, 1, 3]);
    Case::new(op, 13).attribute("blocksize", block).data(d.floats(&[2, c, h * block, w * block]))
}
