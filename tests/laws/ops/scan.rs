//! Operators along an axis in which the order matters, and matrices that are seen as a whole.

use crate::case::{Case, number};
use crate::draw::Draw;
use crate::{Generator, check};

pub(super) const CASES: &[(&str, Generator)] =
    &[("CumProd", cumulative), ("CumSum", cumulative), ("Det", det), ("ReverseSequence", reverse), ("Trilu", trilu)];

#[test]
fn laws() {
    check(CASES, 16);
}

fn cumulative(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(1, 3);
    let case = Case::new(op, if op == "CumProd" { 26 } else { d.pick(&[14, 11]) });
    let case = case.attribute("exclusive", d.range(0, 1)).attribute("reverse", d.range(0, 1));
    case.data(d.floats(&x)).fixed(number(d.axis(x.len())))
}

fn det(op: &str, d: &mut Draw) -> Case {
    let (b, n) = (d.range(1, 4), d.range(1, 3));
    Case::new(op, 11).data(d.floats(&[b, n, n]))
}

fn reverse(op: &str, d: &mut Draw) -> Case {
    let (steps, batch, width) = (d.range(1, 4), d.range(1, 3), d.range(1, 4));
    let lengths: Vec<i64> = (0..batch).map(|_| d.int(1, steps as i64)).collect();
    Case::new(op, 10).data(d.floats(&[steps, batch, width])).list(&lengths)
}

fn trilu(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(2, 4);
    let case = Case::new(op, 14).attribute("upper", d.range(0, 1)).data(d.floats(&x));
    if d.flip() { case } else { case.fixed(number(d.int(-2, 2))) }
}
