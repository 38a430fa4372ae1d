//! The same elements in another shape, or another order.

use crate::case::Case;
use crate::draw::Draw;
use crate::{Generator, check};

pub(super) const CASES: &[(&str, Generator)] = &[
    ("Flatten", flatten),
    ("Reshape", reshape),
    ("Squeeze", squeeze),
    ("Transpose", transpose),
    ("Unsqueeze", unsqueeze),
];

#[test]
fn laws() {
    check(CASES, 20);
}

fn flatten(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(1, 4);
    let axis = d.int(-(x.len() as i64), x.len() as i64);
    let case = Case::new(op, d.pick(&[13, 11])).data(d.floats(&x));
    if d.range(0, 3) == 0 { case } else { case.attribute("axis", axis) }
}

/// A target that takes the elements apart elsewhere: factors of the axes are regrouped in order.
fn reshape(op: &str, d: &mut Draw) -> Case {
    let rank = d.range(1, 4);
    let factors: Vec<usize> = (0..rank + 2).map(|_| d.pick(&[2, 1, 3])).collect();
    let regroup = |d: &mut Draw| {
        let mut out: Vec<usize> = vec![1];
        for &f in &factors {
            if out.len() < 5 && d.flip() {
                out.push(f);
            } else {
                *out.last_mut().expect("one") *= f;
            }
        }
        out
    };
    let (from, to) = (regroup(d), regroup(d));
    let mut target: Vec<i64> = to.iter().map(|&n| n as i64).collect();
    for (axis, entry) in target.iter_mut().enumerate() {
        if from.get(axis) == Some(&to[axis]) && d.flip() {
            *entry = 0;
        }
    }
    if d.flip() {
        let at = d.range(0, target.len() - 1);
        target[at] = -1;
    }
    let case = Case::new(op, d.pick(&[13, 5, 14])).data(d.floats(&from));
    case.list(&target)
}

/// The axes moved from an attribute to an operand in opset 13.
fn squeeze(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(1, 4);
    let ones: Vec<i64> = (0..x.len() as i64).filter(|&a| x[a as usize] == 1).collect();
    let axes: Vec<i64> = ones.into_iter().filter(|_| d.flip()).collect();
    let axes: Vec<i64> = axes.into_iter().map(|a| if d.flip() { a - x.len() as i64 } else { a }).collect();
    let case = Case::new(op, d.pick(&[13, 11])).data(d.floats(&x));
    match (axes.is_empty(), case.opset) {
        (true, _) => case,
        (_, 13) => case.list(&axes),
        _ => case.ints("axes", &axes),
    }
}

fn transpose(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(1, 4);
    let perm: Vec<i64> = d.permutation(x.len()).into_iter().map(|a| a as i64).collect();
    let case = Case::new(op, d.pick(&[13, 1])).data(d.floats(&x));
    if d.range(0, 3) == 0 { case } else { case.ints("perm", &perm) }
}

fn unsqueeze(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(0, 3);
    let new = d.range(1, 2);
    let rank = x.len() + new;
    let mut axes: Vec<i64> = d.permutation(rank).into_iter().map(|a| a as i64).collect();
    axes.truncate(new);
    let axes: Vec<i64> = axes.into_iter().map(|a| if d.flip() { a - rank as i64 } else { a }).collect();
    let case = Case::new(op, d.pick(&[13, 11])).data(d.floats(&x));
    if case.opset == 13 { case.list(&axes) } else { case.ints("axes", &axes) }
}
