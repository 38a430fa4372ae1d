//! Slices and elements picked by index.

use crate::case::Case;
use crate::draw::{Draw, index};
use crate::{Generator, check};
use secateur::ir::{DType, Tensor};

pub(super) const CASES: &[(&str, Generator)] =
    &[("Gather", gather), ("GatherElements", gather_elements), ("GatherND", gather_nd)];

#[test]
fn laws() {
    check(CASES, 30);
}

fn gather(op: &str, d: &mut Draw) -> Case {
    let rank = d.range(1, 3);
    let x: Vec<usize> = (0..rank).map(|_| d.range(1, 5)).collect();
    let axis = d.axis(rank);
    let n = x[index(axis, rank)] as i64;
    let case = Case::new(op, d.pick(&[13, 11])).attribute("axis", axis).data(d.floats(&x));
    let indices = match d.range(0, 3) {
        0 => Tensor::from_i64(vec![], &[d.int(-n, n - 1)]),
        1 => {
            // A run, as an exporter's slice.
            let from = d.int(0, n - 1);
            let run: Vec<i64> = (from..d.int(from + 1, n)).collect();
            Tensor::from_i64(vec![run.len()], &run)
        }
        2 => {
            let count = d.range(1, 4);
            Tensor::from_i64(vec![count], &d.list(count, -n, n - 1))
        }
        _ => Tensor::from_i64(vec![2, 2], &d.list(4, 0, n - 1)),
    };
    case.fixed(indices)
}

fn gather_elements(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(1, 3);
    let axis = d.range(0, x.len() - 1);
    Case::new(op, d.pick(&[13, 11])).attribute("axis", axis).data(d.floats(&x)).fixed(indices(d, &x, axis))
}

/// Indices of the shape of a tensor, along one of its axes.
fn indices(d: &mut Draw, shape: &[usize], axis: usize) -> Tensor {
    d.tensor(DType::I64, shape, 0.0, shape[axis] as f64 - 1.0)
}

fn gather_nd(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(2, 3);
    let count = d.range(1, 3);
    let high = x[0] as f64 - 1.0;
    Case::new(op, d.pick(&[13, 12])).data(d.floats(&x)).fixed(d.tensor(DType::I64, &[count, 1], 0.0, high))
}
