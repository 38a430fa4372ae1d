//! Normalization.

use crate::case::Case;
use crate::draw::Draw;
use crate::{Generator, check};
use secateur::ir::DType;

pub const CASES: &[(&str, Generator)] = &[
    ("BatchNormalization", batch),
    ("GroupNormalization", group),
    ("Hardmax", softmax),
    ("InstanceNormalization", instance),
    ("LRN", local),
    ("LayerNormalization", layer),
    ("LogSoftmax", softmax),
    ("LpNormalization", norm),
    ("MeanVarianceNormalization", mean_variance),
    ("RMSNormalization", layer),
    ("SimplifiedLayerNormalization", layer),
    ("Softmax", softmax),
    ("com.microsoft.EmbedLayerNormalization", embed),
    ("com.microsoft.SimplifiedLayerNormalization", layer),
    ("com.microsoft.SkipLayerNormalization", skip),
    ("com.microsoft.SkipSimplifiedLayerNormalization", skip),
];

#[test]
fn laws() {
    check(CASES, 16);
}

fn batch(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(2, 4);
    let c = [x[1]];
    let mut case = Case::new(op, d.pick(&[15, 9, 14])).data(d.floats(&x));
    case = case.data(d.floats(&c)).data(d.floats(&c)).data(d.floats(&c)).data(d.tensor(DType::F32, &c, 0.5, 2.0));
    if d.flip() { case.attribute("epsilon", "0.01") } else { case }
}

fn instance(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(3, 4);
    Case::new(op, 6).data(d.floats(&x)).data(d.floats(&[x[1]])).data(d.floats(&[x[1]]))
}

fn local(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(4, 4);
    Case::new(op, d.pick(&[13, 1])).attribute("size", d.pick(&[3, 1, 5])).data(d.floats(&x))
}

/// Along one axis since opset 13, before along all from it on.
fn softmax(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(2, 4);
    let case = Case::new(op, d.pick(&[13, 11])).data(d.floats(&x));
    if d.flip() { case } else { case.attribute("axis", d.axis(x.len())) }
}

fn layer(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(2, 4);
    let from = d.range(0, x.len() - 1);
    let axis = if d.flip() { from as i64 } else { from as i64 - x.len() as i64 };
    let opset = match op {
        "LayerNormalization" => 17,
        "RMSNormalization" => 23,
        _ => 1,
    };
    let opset = if op == "SimplifiedLayerNormalization" { 17 } else { opset };
    let (from, axis) = if op.contains("Simplified") { (x.len() - 1, -1) } else { (from, axis) };
    let case = Case::new(op, opset).attribute("axis", axis).data(d.floats(&x)).data(d.floats(&x[from..]));
    if op == "LayerNormalization" && d.flip() { case.data(d.floats(&x[from..])) } else { case }
}

/// Scale and bias were one a group before opset 21.
fn group(op: &str, d: &mut Draw) -> Case {
    let (g, c) = (d.range(1, 3), d.range(1, 3));
    let opset = d.pick(&[21, 18]);
    let n = if opset == 21 { g * c } else { g };
    let case = Case::new(op, opset).attribute("num_groups", g).data(d.floats(&[2, g * c, 3, 2]));
    case.data(d.floats(&[n])).data(d.floats(&[n]))
}

fn norm(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(1, 4);
    Case::new(op, 1).attribute("axis", d.axis(x.len())).attribute("p", d.range(1, 2)).data(d.floats(&x))
}

fn mean_variance(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(4, 4);
    let case = Case::new(op, d.pick(&[13, 9])).data(d.floats(&x));
    if d.flip() { case } else { case.ints("axes", &[2, 3]) }
}

fn skip(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(3, 3);
    let h = [x[2]];
    let case = Case::new(op, 1).data(d.floats(&x)).data(d.floats(&x)).data(d.floats(&h));
    let case = if op.contains("Simplified") { case } else { case.data(d.floats(&h)) };
    if d.flip() { case } else { case.data(d.floats(&h)) }
}

fn embed(op: &str, d: &mut Draw) -> Case {
    let (words, positions, h) = (d.range(2, 5), d.range(2, 4), d.range(1, 4));
    let ids = d.tensor(DType::I32, &[2, 2], 0.0, 1.0);
    let case = Case::new(op, 1).data(ids).absent().data(d.floats(&[words, h])).data(d.floats(&[positions, h]));
    case.absent().data(d.floats(&[h])).data(d.floats(&[h])).results(2)
}
