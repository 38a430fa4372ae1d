//! Recurrent layers, attention, and sums of products over named axes.

use crate::case::Case;
use crate::draw::Draw;
use crate::{Generator, check};
use secateur::ir::{DType, Tensor};
use std::collections::BTreeMap;

pub const CASES: &[(&str, Generator)] = &[
    ("Attention", attention),
    ("Einsum", einsum),
    ("GRU", recurrent),
    ("LSTM", recurrent),
    ("RNN", recurrent),
    ("RotaryEmbedding", rotary),
    ("com.microsoft.Attention", projected),
    ("com.microsoft.GroupQueryAttention", grouped),
    ("com.microsoft.MultiHeadAttention", multi_head),
    ("com.microsoft.RotaryEmbedding", rotary),
];

#[test]
fn laws() {
    check(CASES, 10);
}

fn einsum(op: &str, d: &mut Draw) -> Case {
    let equation = d.pick(&[
        "ij,jk->ik",
        "bij,bjk->bik",
        "bhid,bhjd->bhij",
        "ij->ji",
        "ij->i",
        "i,j->ij",
        "ij,j->i",
        "bnd,hdk->bhnk",
    ]);
    let mut lengths: BTreeMap<char, usize> = BTreeMap::new();
    let mut case = Case::new(op, 12).attribute("equation", format!("{equation:?}"));
    let (operands, _) = equation.split_once("->").expect("an arrow");
    for letters in operands.split(',') {
        let shape: Vec<usize> = letters.chars().map(|c| *lengths.entry(c).or_insert_with(|| d.range(1, 4))).collect();
        case = case.data(d.floats(&shape));
    }
    case
}

fn recurrent(op: &str, d: &mut Draw) -> Case {
    let gates = match op {
        "LSTM" => 4,
        "GRU" => 3,
        _ => 1,
    };
    let (steps, batch, i, h) = (d.range(1, 3), d.range(1, 2), d.range(1, 3), d.range(1, 4));
    let direction = d.pick(&["forward", "bidirectional", "forward", "reverse"]);
    let z = if direction == "bidirectional" { 2 } else { 1 };
    let mut case =
        Case::new(op, d.pick(&[14, 7])).attribute("hidden_size", h).attribute("direction", format!("{direction:?}"));
    if op == "GRU" && d.flip() {
        case = case.attribute("linear_before_reset", 1);
    }
    case =
        case.data(d.floats(&[steps, batch, i])).data(d.floats(&[z, gates * h, i])).data(d.floats(&[z, gates * h, h]));
    if d.flip() {
        case = case.data(d.floats(&[z, 2 * gates * h]));
        if d.flip() {
            case = case.absent().data(d.floats(&[z, batch, h]));
            if op == "LSTM" {
                case = case.data(d.floats(&[z, batch, h]));
            }
        }
    }
    case.results(if op == "LSTM" { 3 } else { 2 })
}

fn attention(op: &str, d: &mut Draw) -> Case {
    let (b, s, t) = (d.range(1, 2), d.range(1, 3), d.range(1, 3));
    let (k, r, w) = (d.range(1, 3), d.range(1, 2), d.range(1, 4));
    let case = Case::new(op, 23);
    if d.flip() {
        return case.data(d.floats(&[b, k * r, s, w])).data(d.floats(&[b, k, t, w])).data(d.floats(&[b, k, t, w]));
    }
    let case = case.attribute("q_num_heads", k * r).attribute("kv_num_heads", k);
    case.data(d.floats(&[b, s, k * r * w])).data(d.floats(&[b, t, k * w])).data(d.floats(&[b, t, k * w]))
}

fn multi_head(op: &str, d: &mut Draw) -> Case {
    let (b, s, t, h, w) = (d.range(1, 2), d.range(1, 3), d.range(1, 3), d.range(1, 3), d.range(1, 4));
    let case = Case::new(op, 1).attribute("num_heads", h).data(d.floats(&[b, s, h * w]));
    let case = case.data(d.floats(&[b, t, h * w])).data(d.floats(&[b, t, h * w]));
    if d.flip() { case } else { case.data(d.floats(&[3 * h * w])) }
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

/// ONNX has cosines, sines, positions; ONNX Runtime's own has positions first.
fn rotary(op: &str, d: &mut Draw) -> Case {
    let (b, h, s, half) = (d.range(1, 2), d.range(1, 3), d.range(1, 3), d.range(1, 2));
    let x = d.floats(&[b, h, s, 2 * half]);
    let (cos, sin) = (d.floats(&[4, half]), d.floats(&[4, half]));
    let count = (b * s) as i64;
    let positions = Tensor::from_i64(vec![b, s], &(0..count).map(|i| i % s as i64).collect::<Vec<_>>());
    let case = Case::new(op, if op.contains('.') { 1 } else { 23 }).data(x);
    if op.contains('.') { case.fixed(positions).data(cos).data(sin) } else { case.data(cos).data(sin).fixed(positions) }
}
