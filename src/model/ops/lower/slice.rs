//! Ranges of axes.

use crate::program::{Span, Term};

/// Ranges of axes: axis, first index, how many, step.
pub(crate) fn sliced<'b>(x: Term<'b>, ranges: &[(usize, (i64, i64, i64))]) -> Vec<Term<'b>> {
    let mut spans: Vec<Span> = x.shape().into_iter().map(|count| Span { start: 0, count, step: 1 }).collect();
    for &(axis, (start, count, step)) in ranges {
        spans[axis] = Span { start: start.max(0) as usize, count: count as usize, step: step as isize };
    }
    vec![x.slice(&spans)]
}

#[cfg(test)]
#[cfg(all(feature = "tract", feature = "gradients"))]
mod tests {
    use crate::autograd::testing::Trial;

    #[test]
    fn ranges_forward_and_backward() {
        let slice = |operands: &[&str]| Trial::new("Slice", 13, "", operands, 1).check();
        slice(&["4 6", "=i64[1]", "=i64[3]"]);
        slice(&["4 6", "=i64[1 0]", "=i64[4 5]", "=i64[0 1]", "=i64[1 2]"]);
        slice(&["4 6", "=i64[-1]", "=i64[-9]", "=i64[1]", "=i64[-1]"]);
        slice(&["4 6", "=i64[4]", "=i64[-9]", "=i64[1]", "=i64[-2]"]);
        slice(&["4 7", "=i64[5]", "=i64[0]", "=i64[1]", "=i64[-3]"]);
        slice(&["4 7", "=i64[-1 2]", "=i64[0 0]", "=i64[1 0]", "=i64[-3 -1]"]);
        slice(&["4 6", "=i64[-2]", "=i64[2147483647]", "=i64[-1]"]);
    }
}
