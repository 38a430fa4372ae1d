//! Elements picked by value.

use super::result_shape;
use super::scan::along;
use crate::ops::Site;
use crate::program::{Args, Compare, NumberKind, Term};

/// The largest or smallest along an axis, and where they are.
pub(crate) fn top<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let x = at.at(0)?;
    let axis = site.axis("axis", -1, x.rank())?;
    let count = result_shape(site, 0)?[axis];
    let ordered = if site.call.int("largest", 1) != 0 { x } else { -x };
    let places = ordered.detach().top(axis, count);
    Ok(vec![x.take_along(axis, places), places])
}

/// One of two numbers along another axis, that tells which index it was.
pub(crate) fn one_hot<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let (indices, values) = (at.at(0)?.cast(NumberKind::Int), at.at(2)?);
    let axis = site.axis("axis", -1, indices.rank() + 1)?;
    let to = result_shape(site, 0)?;
    let indices = indices.unsqueeze(axis);
    let counted = |from: i64| along(indices, axis, (from..from + to[axis] as i64).collect());
    let hit = |numbers: Term<'b>| indices.compare(Compare::Equal, numbers);
    let is = hit(counted(0)).or(hit(counted(-(to[axis] as i64))));
    let value = |i: usize| values.narrow(0, i, 1).reshape(&vec![1; to.len()]);
    Ok(vec![is.select(value(1), value(0)).expand(&to)])
}

#[cfg(test)]
#[cfg(all(feature = "tract", feature = "gradients"))]
mod tests {
    use crate::autograd::testing::Trial;
    use crate::ir::Tensor;

    #[test]
    fn the_largest_and_where_they_are() {
        Trial::new("TopK", 11, "", &["3 5", "=i64[2]"], 2).check();
        Trial::new("TopK", 11, "axis=0 largest=0", &["4 3", "=i64[3]"], 2).check();
    }

    #[test]
    fn of_equals_the_first() {
        let x = || Tensor::from_f32(vec![6], &[0.0, 3.0, 1.0, 3.0, 3.0, 0.0]);
        let top = Trial::new("TopK", 11, "", &["6", "=i64[4]"], 2).with("x0", x()).run();
        assert_eq!(top[1].1.to_i64().unwrap(), [1, 3, 4, 2]);
    }

    #[test]
    fn indices_told_apart() {
        Trial::new("OneHot", 11, "", &["i64:2 3", "=i64[4]", "=[0.5 2]"], 1).check_forward();
        Trial::new("OneHot", 11, "axis=0", &["i64:3", "=i64[4]", "=[0.5 2]"], 1).check_derivative();
        let indices = Tensor::from_i64(vec![3], &[-1, 2, 7]);
        let found = Trial::new("OneHot", 11, "", &["i64:3", "=i64[3]", "=[0 1]"], 1).with("x0", indices).run();
        assert_eq!(found[0].1.to_f64().unwrap(), [0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
    }
}
