//! Ranges of axes.

use crate::case::Case;
use crate::draw::{Draw, index};
use crate::{Generator, check};

pub(super) const CASES: &[(&str, Generator)] = &[("Slice", slice)];

#[test]
fn laws() {
    check(CASES, 30);
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
