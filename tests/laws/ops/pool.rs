//! Pooling.

use crate::case::Case;
use crate::draw::Draw;
use crate::windows::window;
use crate::{Generator, check};
use secateur::ir::Tensor;

pub(super) const CASES: &[(&str, Generator)] = &[
    ("AveragePool", pool),
    ("GlobalAveragePool", global),
    ("GlobalLpPool", global),
    ("GlobalMaxPool", global),
    ("LpPool", pool),
    ("MaxPool", pool),
    ("MaxRoiPool", regions),
    ("RoiAlign", regions),
];

#[test]
fn laws() {
    check(CASES, 20);
}

fn pool(op: &str, d: &mut Draw) -> Case {
    let (space, _, attributes) = window(d, false);
    let x: Vec<usize> = [d.range(1, 3), d.range(1, 4)].into_iter().chain(space).collect();
    let mut case = Case::new(op, d.pick(&[11, 7, 19]));
    let padded = attributes.iter().any(|a| a.starts_with("pads") || a.starts_with("auto_pad"));
    case.attributes.extend(attributes);
    if op != "LpPool" && !padded && case.opset > 7 && d.flip() {
        case = case.attribute("ceil_mode", 1);
    }
    if op == "AveragePool" && d.flip() {
        case = case.attribute("count_include_pad", 1);
    }
    case.data(d.floats(&x))
}

fn global(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(3, 4);
    Case::new(op, d.pick(&[1, 13])).data(d.floats(&x))
}

fn regions(op: &str, d: &mut Draw) -> Case {
    let (n, c, regions) = (d.range(1, 2), d.range(1, 4), d.range(1, 3));
    let x = d.floats(&[n, c, 5, 5]);
    let align = op == "RoiAlign";
    let corners: Vec<f32> = (0..regions)
        .flat_map(|r| {
            let corners = [0.0, 1.0, 3.0, 4.0];
            let batch = [(r % n) as f32];
            batch.into_iter().filter(move |_| !align).chain(corners).collect::<Vec<_>>()
        })
        .collect();
    let case = Case::new(op, if align { 16 } else { 1 }).data(x);
    let case = case.data(Tensor::from_f32(vec![regions, corners.len() / regions], &corners));
    if align {
        let batch: Vec<i64> = (0..regions).map(|r| (r % n) as i64).collect();
        case.attribute("output_height", 2).attribute("output_width", 3).fixed(Tensor::from_i64(vec![regions], &batch))
    } else {
        case.ints("pooled_shape", &[2, 3])
    }
}
