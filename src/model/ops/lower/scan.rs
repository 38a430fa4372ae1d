//! Operators along an axis in which the order matters, and matrices that are seen as a whole.

use super::elementwise::number;
use crate::ops::{Site, normalize_axis};
use crate::program::{Args, Literal, NumberKind, Span, Term};

/// Sums of all up to each element, with or without it, from either end.
pub(crate) fn running_sum<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let x = at.at(0)?;
    if x.kind() == NumberKind::Bool {
        return Err("it sums up booleans, which ONNX has no sum of".into());
    }
    let axis = site.ints(1).and_then(|a| a.first().copied()).ok_or("its axis is computed at run time")?;
    let axis = normalize_axis(axis, x.rank())?;
    let reverse = site.call.int("reverse", 0) != 0;
    let x = if reverse { turned(x, axis) } else { x };
    let sums = x.running_sum(axis);
    let sums = if site.call.int("exclusive", 0) != 0 { shifted(sums, axis) } else { sums };
    Ok(vec![if reverse { turned(sums, axis) } else { sums }])
}

/// A zero in front, and without the last element.
fn shifted(x: Term, axis: usize) -> Term {
    let mut widths = vec![(0, 0); x.rank()];
    widths[axis].0 = 1;
    x.narrow(axis, 0, x.size(axis).saturating_sub(1)).pad(&widths, 0.0)
}

/// The beginning of each sequence of a batch turned around.
pub(crate) fn reversed<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let (x, lengths) = (at.at(0)?, at.at(1)?);
    let (batch, time) = (site.axis("batch_axis", 1, x.rank())?, site.axis("time_axis", 0, x.rank())?);
    let mut shape = vec![1; x.rank()];
    shape[batch] = lengths.count();
    let lengths = lengths.reshape(&shape);
    let steps = along(x, time, (0..x.size(time) as i64).collect());
    let back = lengths - steps - number(steps, 1.0);
    let source = steps.less(lengths).select(back, steps).expand(&x.shape());
    Ok(vec![x.take_along(time, source)])
}

/// A triangle of the last two axes, and zeros.
pub(crate) fn triangle<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
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
        NumberKind::Bool => x.and(mask),
        _ => mask.select(x, number(x, 0.0)),
    }])
}

/// Integers along an axis.
pub(crate) fn along<'b>(x: Term<'b>, axis: usize, numbers: Vec<i64>) -> Term<'b> {
    let mut shape = vec![1; x.rank()];
    shape[axis] = numbers.len();
    x.builder().ints(numbers, &shape)
}

/// An axis from its end to its beginning.
pub(crate) fn turned(x: Term, axis: usize) -> Term {
    let mut spans: Vec<Span> = x.shape().into_iter().map(|count| Span { start: 0, count, step: 1 }).collect();
    if spans[axis].count > 0 {
        spans[axis] = Span { start: spans[axis].count - 1, count: spans[axis].count, step: -1 };
    }
    x.slice(&spans)
}

#[cfg(test)]
#[cfg(all(feature = "tract", feature = "gradients"))]
mod tests {
    use crate::autograd::testing::Trial;
    use crate::ir::Tensor;

    #[test]
    fn sums_on_the_way() {
        for attributes in ["", "exclusive=1", "reverse=1", "exclusive=1 reverse=1"] {
            Trial::new("CumSum", 14, attributes, &["2 5", "=i64[1]"], 1).check_derivative();
            let x = Tensor::from_f32(vec![3], &[1.0, 2.0, 4.0]);
            let found = Trial::new("CumSum", 14, attributes, &["3", "=i64[-1]"], 1).with("x0", x).run();
            let expected = match attributes {
                "" => [1.0, 3.0, 7.0],
                "exclusive=1" => [0.0, 1.0, 3.0],
                "reverse=1" => [7.0, 6.0, 4.0],
                _ => [6.0, 4.0, 0.0],
            };
            assert_eq!(found[0].1.to_f64().unwrap(), expected);
        }
    }

    #[test]
    fn sequences_turned_around() {
        let lengths = || Tensor::from_i64(vec![2], &[3, 2]);
        let trial = || Trial::new("ReverseSequence", 10, "", &["3 2", "i64:2"], 1).with("x1", lengths());
        trial().check_derivative();
        let x = Tensor::from_f32(vec![3, 2], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(trial().with("x0", x).run()[0].1.to_f64().unwrap(), [4.0, 3.0, 2.0, 1.0, 0.0, 5.0]);
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
