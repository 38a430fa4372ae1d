//! Sums, products, norms and extrema over axes, which stay with size 1; and where extrema are.

use super::elementwise::{abs, number};
use super::result_shape;
use super::scan::{along, turned};
use crate::ops::Site;
use crate::program::{Args, Compare, NumberKind, Term};

/// The mean; of integers, rounded towards zero.
pub(crate) fn mean<'b>(x: Term<'b>, axes: &[usize]) -> Term<'b> {
    if x.kind() == NumberKind::Float {
        return x.mean(axes);
    }
    let count: usize = axes.iter().map(|&a| x.size(a)).product();
    x.sum(axes) / number(x, count as f64)
}

/// The smallest.
pub(crate) fn smallest<'b>(x: Term<'b>, axes: &[usize]) -> Term<'b> {
    -(-x).largest(axes)
}

/// `Σ |x|`
pub(crate) fn l1<'b>(x: Term<'b>, axes: &[usize]) -> Term<'b> {
    abs(x).sum(axes)
}

/// `√Σ x²`, whose derivative at 0 is 0.
pub(crate) fn l2<'b>(x: Term<'b>, axes: &[usize]) -> Term<'b> {
    let squares = x.square().sum(axes);
    let none = squares.compare(Compare::Equal, number(squares, 0.0));
    none.select(number(squares, 0.0), none.select(number(squares, 1.0), squares).sqrt())
}

/// `ln Σ exp(x)`, without overflow.
pub(crate) fn log_sum_exp<'b>(x: Term<'b>, axes: &[usize]) -> Term<'b> {
    let most = x.largest(axes).detach();
    (x - most).exp().sum(axes).ln() + most
}

/// Where the largest along an axis is; of the smallest if `negated`.
pub(crate) fn place<'b>(site: &Site, at: &Args<'b>, negated: bool) -> Result<Vec<Term<'b>>, String> {
    let x = at.at(0)?.detach();
    let x = if x.rank() == 0 { x.reshape(&[1]) } else { x };
    let axis = site.axis("axis", 0, x.rank())?;
    let x = if negated { -x } else { x };
    let last = site.call.int("select_last_index", 0) != 0;
    let x = if last { turned(x, axis) } else { x };
    // The engine does not say which of several equal ones it picks, but the first is the smallest place of them.
    let size = x.size(axis);
    let places = along(x, axis, (0..size as i64).collect());
    let beyond = along(x, axis, vec![size as i64; size]);
    let is_largest = x.compare(Compare::Equal, x.largest(&[axis]));
    let first = -(-is_largest.select(places, beyond)).largest(&[axis]);
    let found = if last { -first + (size as f64 - 1.0) } else { first };
    Ok(vec![found.reshape(&result_shape(site, 0)?)])
}

#[cfg(test)]
#[cfg(all(feature = "tract", feature = "gradients"))]
mod tests {
    use crate::autograd::testing::Trial;
    use crate::ir::Tensor;

    const ALL: [&str; 10] = ["Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSum", "LogSumExp"];

    #[test]
    fn over_axes_that_are_named_or_not() {
        for op in ALL {
            let op = &format!("Reduce{op}");
            Trial::within(op, 11, "axes=[1]", &["2 3 2"], 1, 0.2, 2.0).check();
            Trial::within(op, 11, "axes=[0,-1] keepdims=0", &["2 3 2"], 1, 0.2, 2.0).check();
            Trial::within(op, 11, "", &["2 3"], 1, 0.2, 2.0).check();
            Trial::within(op, 18, "", &["2 3 2", "=i64[2]"], 1, 0.2, 2.0).check_derivative();
        }
        for op in ["ReduceL1", "ReduceL2", "ReduceProd", "ReduceMin", "ReduceSumSquare", "ReduceLogSumExp"] {
            Trial::within(op, 11, "axes=[1]", &["2 3"], 1, -2.0, 2.0).check();
        }
    }

    #[test]
    fn no_axes_are_all_or_none() {
        Trial::new("ReduceSum", 13, "noop_with_empty_axes=1", &["2 3"], 1).check_derivative();
        let all = Trial::new("ReduceSum", 13, "keepdims=0", &["2 3"], 1);
        assert_eq!(all.run()[0].1.shape, [0usize; 0]);
        all.check();
    }

    #[test]
    fn zeros_have_gradients() {
        let gradient = |op, at: &[f32]| {
            let x = Tensor::from_f32(vec![at.len()], at);
            Trial::new(op, 13, "", &[&at.len().to_string()], 1).with("x0", x).gradient("x0")
        };
        assert_eq!(gradient("ReduceProd", &[2.0, 0.0, 3.0]), [0.0, 6.0, 0.0]);
        assert_eq!(gradient("ReduceProd", &[0.0, 0.0, 3.0]), [0.0, 0.0, 0.0]);
        assert_eq!(gradient("ReduceL2", &[0.0, 0.0]), [0.0, 0.0]);
        assert_eq!(gradient("ReduceL1", &[0.0, -2.0]), [0.0, -1.0]);
    }

    #[test]
    fn where_extrema_are() {
        for op in ["ArgMax", "ArgMin"] {
            Trial::new(op, 13, "axis=1", &["3 5 2"], 1).check_forward();
            Trial::new(op, 13, "axis=-1 keepdims=0", &["3 5"], 1).check_forward();
        }
    }

    #[test]
    fn of_equals_the_first_or_the_last() {
        let x = || Tensor::from_f32(vec![6], &[0.0, 3.0, 1.0, 3.0, 3.0, 0.0]);
        let place = |op: &str, attributes| {
            let found = Trial::new(op, 13, attributes, &["6"], 1).with("x0", x()).run();
            found[0].1.to_i64().unwrap()[0]
        };
        assert_eq!([place("ArgMax", ""), place("ArgMax", "select_last_index=1")], [1, 4]);
        assert_eq!([place("ArgMin", ""), place("ArgMin", "select_last_index=1")], [0, 5]);
    }
}
