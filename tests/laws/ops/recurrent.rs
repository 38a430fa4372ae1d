//! Recurrent layers.

use crate::case::Case;
use crate::draw::Draw;
use crate::{Generator, check};
use secateur::ir::DType;

pub(super) const CASES: &[(&str, Generator)] =
    &[("GRU", recurrent), ("LSTM", recurrent), ("RNN", recurrent), ("com.microsoft.DynamicQuantizeLSTM", lstm)];

#[test]
fn laws() {
    check(CASES, 12);
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

fn lstm(op: &str, d: &mut Draw) -> Case {
    let (i, h) = (d.range(1, 4), d.range(1, 4));
    let case = Case::new(op, 1).attribute("hidden_size", h).results(3).data(d.floats(&[3, 2, i]));
    let case = case.data(d.tensor(DType::I8, &[1, i, 4 * h], -9.0, 9.0));
    let case = case.data(d.tensor(DType::I8, &[1, h, 4 * h], -9.0, 9.0)).data(d.floats(&[1, 8 * h]));
    let case = if d.flip() {
        case.absent().data(d.floats(&[1, 2, h])).data(d.floats(&[1, 2, h])).absent()
    } else {
        case.absent().absent().absent().absent()
    };
    // One scale for a direction, or one for each column.
    let (shape, zero) = (d.pick(&[&[1][..], &[1, 4 * h]]).to_vec(), d.pick(&[0.0, 3.0]));
    let scales = |d: &mut Draw, case: Case| {
        case.data(d.tensor(DType::F32, &shape, 0.01, 0.1)).data(d.tensor(DType::I8, &shape, 0.0, zero))
    };
    let case = scales(d, case);
    scales(d, case)
}
