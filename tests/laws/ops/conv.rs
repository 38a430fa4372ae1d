//! Convolutions.

use crate::case::Case;
use crate::draw::Draw;
use crate::windows::{fitting, window};
use crate::{Generator, check};

pub(super) const CASES: &[(&str, Generator)] =
    &[("CausalConvWithState", causal), ("Conv", conv), ("ConvTranspose", conv_transpose), ("DeformConv", deformed)];

#[test]
fn laws() {
    check(CASES, 30);
}

fn causal(op: &str, d: &mut Draw) -> Case {
    let (n, c, k) = (d.range(1, 3), d.range(1, 4), d.range(1, 3));
    let case = Case::new(op, 27).data(d.floats(&[n, c, 4])).data(d.floats(&[c, 1, k])).results(d.range(1, 2));
    let case = if d.flip() { case.data(d.floats(&[c])) } else { case.absent() };
    if d.flip() && k > 1 { case.data(d.floats(&[n, c, k - 1])) } else { case }
}

fn conv(op: &str, d: &mut Draw) -> Case {
    let (g, i, o) = (d.range(1, 3), d.range(1, 3), d.range(1, 3));
    let (space, kernel, attributes) = window(d, true);
    let x: Vec<usize> = [d.range(1, 3), g * i].into_iter().chain(space).collect();
    let w: Vec<usize> = [g * o, i].into_iter().chain(kernel).collect();
    let mut case = Case::new(op, d.pick(&[11, 1, 22])).attribute("group", g);
    case.attributes.extend(attributes);
    case = case.data(d.floats(&x)).data(d.floats(&w));
    if d.flip() { case.data(d.floats(&[g * o])) } else { case }
}

fn conv_transpose(op: &str, d: &mut Draw) -> Case {
    let (g, i, o) = (d.range(1, 3), d.range(1, 3), d.range(1, 3));
    let rank = d.range(1, 2);
    let space = fitting(d, &vec![1; rank]);
    let kernel: Vec<usize> = (0..rank).map(|_| d.range(1, 3)).collect();
    let x: Vec<usize> = [d.range(1, 2), g * i].into_iter().chain(space).collect();
    let w: Vec<usize> = [g * i, o].into_iter().chain(kernel).collect();
    let mut case = Case::new(op, d.pick(&[11, 1])).attribute("group", g);
    if d.flip() {
        case = case.ints("strides", &vec![2; rank]);
        if d.flip() {
            case = case.ints("output_padding", &vec![1; rank]);
        }
    }
    case = case.data(d.floats(&x)).data(d.floats(&w));
    if d.flip() { case.data(d.floats(&[g * o])) } else { case }
}

fn deformed(op: &str, d: &mut Draw) -> Case {
    let (g, i, o) = (d.range(1, 2), d.range(1, 3), d.range(1, 3));
    let case = Case::new(op, 19).attribute("group", g);
    let case = case.data(d.floats(&[2, g * i, 4, 3])).data(d.floats(&[g * o, i, 2, 2])).data(d.floats(&[2, 8, 3, 2]));
    if d.flip() { case } else { case.data(d.floats(&[g * o])) }
}
