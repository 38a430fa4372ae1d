//! Attention.

use crate::case::Case;
use crate::draw::Draw;
use crate::{Generator, check};

pub(super) const CASES: &[(&str, Generator)] = &[("Attention", attention)];

#[test]
fn laws() {
    check(CASES, 10);
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
