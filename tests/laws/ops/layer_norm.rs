//! Normalization over the features of each sample, or over groups of them.

use crate::case::Case;
use crate::draw::Draw;
use crate::{Generator, check};
use secateur::ir::DType;

pub(super) const CASES: &[(&str, Generator)] = &[
    ("GroupNormalization", group),
    ("LayerNormalization", layer),
    ("RMSNormalization", layer),
    ("SimplifiedLayerNormalization", layer),
    ("com.microsoft.EmbedLayerNormalization", embed),
    ("com.microsoft.SimplifiedLayerNormalization", layer),
    ("com.microsoft.SkipLayerNormalization", skip),
    ("com.microsoft.SkipSimplifiedLayerNormalization", skip),
];

#[test]
fn laws() {
    check(CASES, 16);
}

/// Scale and bias were one a group before opset 21.
fn group(op: &str, d: &mut Draw) -> Case {
    let (g, c) = (d.range(1, 3), d.range(1, 3));
    let opset = d.pick(&[21, 18]);
    let n = if opset == 21 { g * c } else { g };
    let case = Case::new(op, opset).attribute("num_groups", g).data(d.floats(&[2, g * c, 3, 2]));
    case.data(d.floats(&[n])).data(d.floats(&[n]))
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

fn embed(op: &str, d: &mut Draw) -> Case {
    let (words, positions, h) = (d.range(2, 5), d.range(2, 4), d.range(1, 4));
    let ids = d.tensor(DType::I32, &[2, 2], 0.0, 1.0);
    let case = Case::new(op, 1).data(ids).absent().data(d.floats(&[words, h])).data(d.floats(&[positions, h]));
    case.absent().data(d.floats(&[h])).data(d.floats(&[h])).results(2)
}

fn skip(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(3, 3);
    let h = [x[2]];
    let case = Case::new(op, 1).data(d.floats(&x)).data(d.floats(&x)).data(d.floats(&h));
    let case = if op.contains("Simplified") { case } else { case.data(d.floats(&h)) };
    if d.flip() { case } else { case.data(d.floats(&h)) }
}
