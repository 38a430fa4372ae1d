//! Resampling.

use crate::case::Case;
use crate::draw::Draw;
use crate::{Generator, check};
use secateur::ir::Tensor;

pub(super) const CASES: &[(&str, Generator)] = &[
    ("AffineGrid", affine_grid),
    ("CenterCropPad", center_crop_pad),
    ("GridSample", grid),
    ("Resize", resize),
    ("Upsample", upsample),
    ("com.microsoft.GridSample", grid),
];

#[test]
fn laws() {
    check(CASES, 20);
}

fn affine_grid(op: &str, d: &mut Draw) -> Case {
    let (n, space) = (d.range(1, 4), d.range(2, 3));
    let size: Vec<i64> = [n as i64, 3].into_iter().chain((0..space).map(|_| d.int(1, 4))).collect();
    Case::new(op, 20).data(d.floats(&[n, space, space + 1])).list(&size)
}

fn center_crop_pad(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(1, 3);
    let axes = d.axes(x.len(), 1);
    let lengths: Vec<i64> = axes.iter().map(|_| d.int(1, 5)).collect();
    Case::new(op, 18).ints("axes", &axes).data(d.floats(&x)).list(&lengths)
}

fn grid(op: &str, d: &mut Draw) -> Case {
    let (n, c, rows) = (d.range(1, 3), d.range(1, 4), d.range(1, 3));
    let case = Case::new(op, if op.contains('.') { 1 } else { 16 })
        .attribute("mode", d.pick(&["\"bilinear\"", "\"nearest\""]));
    case.data(d.floats(&[n, c, 3, 4])).data(d.floats(&[n, rows, 2, 2]))
}

fn resize(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(4, 4);
    let scales = scales(d);
    let opset = d.pick(&[13, 10, 11, 18]);
    let mode = d.pick(&["\"nearest\"", "\"linear\""]);
    let mut case = Case::new(op, opset).attribute("mode", mode).data(d.floats(&x));
    if opset == 10 {
        return case.fixed(Tensor::from_f32(vec![4], &scales));
    }
    case = case.attribute("coordinate_transformation_mode", "\"asymmetric\"").attribute("nearest_mode", "\"floor\"");
    case = if opset == 11 { case.fixed(Tensor::from_f32(vec![0], &[])) } else { case.absent() };
    // Since opset 18 only some axes may be named.
    let from = if opset == 18 && d.flip() { 2 } else { 0 };
    if from > 0 {
        case = case.ints("axes", &[2, 3]);
    }
    if d.flip() {
        return case.fixed(Tensor::from_f32(vec![4 - from], &scales[from..]));
    }
    let sizes: Vec<i64> = x.iter().zip(&scales).map(|(&n, &s)| (n as f32 * s) as i64).collect();
    let case = if opset == 11 { case.fixed(Tensor::from_f32(vec![0], &[])) } else { case.absent() };
    case.list(&sizes[from..])
}

/// Scales of an image: the channels keep theirs.
fn scales(d: &mut Draw) -> Vec<f32> {
    vec![1.0, 1.0, d.pick(&[2.0, 1.0, 3.0]), d.pick(&[2.0, 1.0])]
}

fn upsample(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(4, 4);
    let scales = scales(d);
    let case = Case::new(op, d.pick(&[9, 7])).attribute("mode", "\"nearest\"").data(d.floats(&x));
    if case.opset == 7 {
        case.attribute("scales", format!("{scales:?}"))
    } else {
        case.fixed(Tensor::from_f32(vec![4], &scales))
    }
}
