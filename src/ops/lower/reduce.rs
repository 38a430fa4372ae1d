//! Sums, products, norms and extrema over axes, which stay with size 1.

use super::elementwise::{abs, number};
use crate::program::{Compare, Kind, Term};

/// The mean; of integers, rounded towards zero.
pub fn mean<'b>(x: Term<'b>, axes: &[usize]) -> Term<'b> {
    if x.kind() == Kind::Float {
        return x.mean(axes);
    }
    let count: usize = axes.iter().map(|&a| x.size(a)).product();
    x.sum(axes) / number(x, count as f64)
}

/// The smallest.
pub fn smallest<'b>(x: Term<'b>, axes: &[usize]) -> Term<'b> {
    -(-x).largest(axes)
}

/// `Σ |x|`
pub fn l1<'b>(x: Term<'b>, axes: &[usize]) -> Term<'b> {
    abs(x).sum(axes)
}

/// `√Σ x²`, whose derivative at 0 is 0.
pub fn l2<'b>(x: Term<'b>, axes: &[usize]) -> Term<'b> {
    let squares = x.square().sum(axes);
    let none = squares.compare(Compare::Equal, number(squares, 0.0));
    none.select(number(squares, 0.0), none.select(number(squares, 1.0), squares).sqrt())
}

/// `ln Σ exp(x)`, without overflow.
pub fn log_sum_exp<'b>(x: Term<'b>, axes: &[usize]) -> Term<'b> {
    let most = x.largest(axes).detach();
    (x - most).exp().sum(axes).ln() + most
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
    fn zeros_have_slopes() {
        let slope = |op, at: &[f32]| {
            let x = Tensor::from_f32(vec![at.len()], at);
            Trial::new(op, 13, "", &[&at.len().to_string()], 1).with("x0", x).slope("x0")
        };
        assert_eq!(slope("ReduceProd", &[2.0, 0.0, 3.0]), [0.0, 6.0, 0.0]);
        assert_eq!(slope("ReduceProd", &[0.0, 0.0, 3.0]), [0.0, 0.0, 0.0]);
        assert_eq!(slope("ReduceL2", &[0.0, 0.0]), [0.0, 0.0]);
        assert_eq!(slope("ReduceL1", &[0.0, -2.0]), [0.0, -1.0]);
    }
}
