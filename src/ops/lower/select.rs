//! Elements picked by value.

use super::shape::result_shape;
use crate::ops::Site;
use crate::program::{Args, Compare, Kind, Literal, Span, Term};

/// The largest or smallest along an axis, and where they are.
pub fn top<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let x = at.at(0)?;
    let axis = site.axis("axis", -1, x.rank())?;
    let count = result_shape(site, 0)?[axis];
    let ordered = if site.call.int("largest", 1) != 0 { x } else { -x };
    let places = ordered.detach().top(axis, count);
    Ok(vec![x.take_along(axis, places), places])
}

/// Where the largest along an axis is; of the smallest if `negated`.
pub fn place<'b>(site: &Site, at: &Args<'b>, negated: bool) -> Result<Vec<Term<'b>>, String> {
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

/// Integers along an axis.
pub fn along<'b>(x: Term<'b>, axis: usize, numbers: Vec<i64>) -> Term<'b> {
    let mut shape = vec![1; x.rank()];
    shape[axis] = numbers.len();
    x.builder().ints(numbers, &shape)
}

/// An axis from its end to its beginning.
pub fn turned(x: Term, axis: usize) -> Term {
    let mut spans: Vec<Span> = x.shape().into_iter().map(|count| Span { start: 0, count, step: 1 }).collect();
    if spans[axis].count > 0 {
        spans[axis] = Span { start: spans[axis].count - 1, count: spans[axis].count, step: -1 };
    }
    x.slice(&spans)
}

/// One of two numbers along another axis, that tells which index it was.
pub fn one_hot<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let (indices, values) = (at.at(0)?.cast(Kind::Int), at.at(2)?);
    let axis = site.axis("axis", -1, indices.rank() + 1)?;
    let to = result_shape(site, 0)?;
    let indices = indices.unsqueeze(axis);
    let counted = |from: i64| along(indices, axis, (from..from + to[axis] as i64).collect());
    let hit = |numbers: Term<'b>| indices.compare(Compare::Equal, numbers);
    let is = hit(counted(0)).or(hit(counted(-(to[axis] as i64))));
    let value = |i: usize| values.narrow(0, i, 1).reshape(&vec![1; to.len()]);
    Ok(vec![is.select(value(1), value(0)).expand(&to)])
}

/// A triangle of the last two axes, and zeros.
pub fn triangle<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let x = at.at(0)?;
    let shift = match site.has(1) {
        true => {
            *site.ints(1).and_then(|k| k.first().copied()).as_ref().ok_or("its diagonal is computed at run time")?
        }
        false => 0,
    };
    let upper = site.call.int("upper", 1) != 0;
    let Some(&[rows, columns]) = x.shape().last_chunk::<2>() else { return Err("it is no matrix".into()) };
    let stays = |r: i64, c: i64| if upper { c - r >= shift } else { c - r <= shift };
    let mask = (0..rows as i64).flat_map(|r| (0..columns as i64).map(move |c| stays(r, c))).collect();
    let mut shape = vec![1; x.rank() - 2];
    shape.extend([rows, columns]);
    let mask = at.builder.literal(Literal::Bools(mask), &shape);
    Ok(vec![match x.kind() {
        Kind::Bool => x.and(mask),
        _ => mask.select(x, super::elementwise::number(x, 0.0)),
    }])
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

    #[test]
    fn triangles() {
        Trial::new("Trilu", 14, "", &["2 3 4"], 1).check();
        Trial::new("Trilu", 14, "upper=0", &["3 4"], 1).check();
        let found =
            Trial::new("Trilu", 14, "", &["2 3", "=i64[1]"], 1).with("x0", Tensor::from_f32(vec![2, 3], &[1.0; 6]));
        assert_eq!(found.run()[0].1.to_f64().unwrap(), [0.0, 1.0, 1.0, 0.0, 0.0, 1.0]);
    }
}
