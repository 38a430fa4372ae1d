//! ONNX Runtime's attentions.

use crate::case::Case;
use crate::draw::Draw;
use crate::{Generator, check};
use secateur::ir::DType;

pub(super) const CASES: &[(&str, Generator)] = &[
    ("com.microsoft.Attention", projected),
    ("com.microsoft.GroupQueryAttention", grouped),
    ("com.microsoft.MultiHeadAttention", multi_head),
    ("com.microsoft.QAttention", attention),
];

#[test]
fn laws() {
    check(CASES, 12);
}

fn projected(op: &str, d: &mut Draw) -> Case {
    let (b, s, i, h, w) = (d.range(1, 2), d.range(1, 3), d.range(1, 4), d.range(1, 3), d.range(1, 4));
    let case = Case::new(op, 1).attribute("num_heads", h).data(d.floats(&[b, s, i]));
    case.data(d.floats(&[i, 3 * h * w])).data(d.floats(&[3 * h * w]))
}

fn grouped(op: &str, d: &mut Draw) -> Case {
    let (b, s, k, r, w) = (d.range(1, 2), d.range(1, 3), d.range(1, 3), d.range(1, 2), 2 * d.range(1, 2));
    let case = Case::new(op, 1).attribute("num_heads", k * r).attribute("kv_num_heads", k);
    let case = case.data(d.floats(&[b, s, k * r * w])).data(d.floats(&[b, s, k * w])).data(d.floats(&[b, s, k * w]));
    let lengths = d.tensor(DType::I32, &[b], s as f64 - 1.0, s as f64 - 1.0);
    let total = d.tensor(DType::I32, &[], s as f64, s as f64);
    case.absent().absent().fixed(lengths).fixed(total).results(3)
}

fn multi_head(op: &str, d: &mut Draw) -> Case {
    let (b, s, t, h, w) = (d.range(1, 2), d.range(1, 3), d.range(1, 3), d.range(1, 3), d.range(1, 4));
    let case = Case::new(op, 1).attribute("num_heads", h).data(d.floats(&[b, s, h * w]));
    let case = case.data(d.floats(&[b, t, h * w])).data(d.floats(&[b, t, h * w]));
    if d.flip() { case } else { case.data(d.floats(&[3 * h * w])) }
}

fn attention(op: &str, d: &mut Draw) -> Case {
    let (h, width, i) = (d.range(1, 3), d.range(1, 3), d.range(1, 4));
    let case = Case::new(op, 1).attribute("num_heads", h).quantized(d, &[2, 3, i]);
    let case = case.data(d.tensor(DType::I8, &[i, 3 * h * width], -9.0, 9.0)).data(d.floats(&[3 * h * width]));
    let scale = d.tensor(DType::F32, &[], 0.5, 1.0);
    let zero = d.tensor(DType::U8, &[], 0.0, 9.0);
    case.data(scale.clone()).data(scale).absent().data(zero).data(d.tensor(DType::I8, &[], 0.0, 0.0))
}
