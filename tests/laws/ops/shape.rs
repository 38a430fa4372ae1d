//! Operators that compute with shapes.

use crate::case::Case;
use crate::draw::Draw;
use crate::{Generator, check};
use secateur::ir::{DType, Tensor};

pub(super) const CASES: &[(&str, Generator)] =
    &[("Expand", expand), ("Range", range), ("Shape", shape), ("Size", size), ("Tile", tile)];

#[test]
fn laws() {
    check(CASES, 20);
}

fn expand(op: &str, d: &mut Draw) -> Case {
    let whole = d.shape(1, 4);
    let part = d.broadcast(&whole);
    let mut target: Vec<i64> = whole.iter().map(|&n| n as i64).collect();
    for (i, n) in part.iter().enumerate() {
        // A target of 1 leaves an axis as it is.
        let at = whole.len() - part.len() + i;
        if *n == whole[at] && d.flip() {
            target[at] = 1;
        }
    }
    Case::new(op, d.pick(&[13, 8])).data(d.floats(&part)).list(&target)
}

fn range(op: &str, d: &mut Draw) -> Case {
    let dtype = d.pick(&[DType::I64, DType::F32]);
    let (from, to, step) = (d.int(-3, 3) as f64, d.int(4, 9) as f64, d.int(1, 3) as f64);
    let one = |x: f64| match dtype {
        DType::I64 => Tensor::from_i64(vec![], &[x as i64]),
        _ => Tensor::from_f32(vec![], &[x as f32]),
    };
    Case::new(op, 11).data(one(from)).data(one(to)).data(one(step))
}

fn shape(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(1, 4);
    let case = Case::new(op, d.pick(&[15, 13])).data(d.floats(&x));
    if case.opset < 15 || d.flip() {
        return case;
    }
    case.attribute("start", d.int(-3, 2)).attribute("end", d.int(-1, 5))
}

fn size(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(0, 4);
    Case::new(op, 13).data(d.floats(&x))
}

fn tile(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(1, 4);
    let repeats: Vec<i64> = x.iter().map(|_| d.pick(&[1, 2, 3])).collect();
    Case::new(op, d.pick(&[13, 6])).data(d.floats(&x)).list(&repeats)
}
