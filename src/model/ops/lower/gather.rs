//! Elements and slices picked by tensors of indices.

use super::elementwise::number;
use super::result_shape;
use crate::ops::Site;
use crate::program::{Args, Term};

/// Slices of an axis, by indices whose axes take its place.
pub(crate) fn gathered<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let (x, indices) = (at.at(0)?, at.at(1)?);
    let axis = site.axis("axis", 0, x.rank())?;
    let flat = indices.reshape(&[indices.count()]);
    Ok(vec![x.take(axis, flat).reshape(&result_shape(site, 0)?)])
}

/// One element for each index, from the same place along the other axes.
pub(crate) fn gathered_each<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let (x, indices) = (at.at(0)?, at.at(1)?);
    let axis = site.axis("axis", 0, x.rank())?;
    Ok(vec![beside(x, &indices.shape(), axis).take_along(axis, indices)])
}

/// The beginning of every other axis, as long as it is in this shape.
pub(crate) fn beside<'b>(x: Term<'b>, shape: &[usize], axis: usize) -> Term<'b> {
    (0..x.rank()).filter(|&a| a != axis && a < shape.len()).fold(x, |x, a| x.narrow(a, 0, shape[a]))
}

/// Slices by tuples of indices; the first `batch` axes are shared.
pub(crate) fn gathered_tuples<'b>(
    site: &Site,
    at: &Args<'b>,
    batch: usize,
    depth: usize,
) -> Result<Vec<Term<'b>>, String> {
    let (x, tuples) = (at.at(0)?, at.at(1)?);
    let slices = Slices::of(&x.shape(), batch + depth);
    let mut flat = flattened(tuples, &x.shape()[batch..batch + depth]);
    if batch > 0 {
        // Which slice the shared axes' part begins at.
        let part: usize = x.shape()[batch..batch + depth].iter().product();
        let parts: usize = x.shape()[..batch].iter().product();
        let each = flat.count() / parts.max(1);
        let starts = (0..parts).map(|p| (p * part) as i64).collect();
        flat = (flat.reshape(&[parts, each]) + at.builder.ints(starts, &[parts, 1])).reshape(&[parts * each]);
    }
    Ok(vec![x.reshape(&[slices.count, slices.size]).take(0, flat).reshape(&result_shape(site, 0)?)])
}

/// A tensor as a list of slices.
pub(crate) struct Slices {
    pub count: usize,
    pub size: usize,
}

impl Slices {
    pub(crate) fn of(shape: &[usize], axes: usize) -> Slices {
        Slices { count: shape[..axes].iter().product(), size: shape[axes..].iter().product() }
    }
}

/// Tuples of indices, along the last axis, as single indices into the row-major elements of a shape.
pub(crate) fn flattened<'b>(tuples: Term<'b>, shape: &[usize]) -> Term<'b> {
    let count = tuples.count() / shape.len().max(1);
    let rows = tuples.reshape(&[count, shape.len()]);
    let mut flat = rows.builder().ints(vec![0], &[1]).expand(&[count]);
    for (i, &n) in shape.iter().enumerate() {
        let index = rows.narrow(1, i, 1).reshape(&[count]);
        let index = index.less(number(index, 0.0)).select(index + n as f64, index);
        flat = flat * n as f64 + index;
    }
    flat
}

#[cfg(test)]
#[cfg(all(feature = "tract", feature = "gradients"))]
mod tests {
    use crate::autograd::testing::Trial;
    use crate::autograd::{Bindings, Engine};
    use crate::program::{Builder, Literal};

    #[test]
    fn picked_slices_and_elements() {
        Trial::new("Gather", 13, "axis=1", &["2 4 3", "=i64[0 -1 0]"], 1).check();
        Trial::new("Gather", 13, "", &["=5 3", "i64:2 4"], 1).check();
        Trial::new("Gather", 13, "axis=1", &["2 4", "=i64[-1]"], 1).check();
        Trial::new("GatherElements", 13, "axis=1", &["3 4", "i64:2 5"], 1).check_derivative();
        Trial::new("GatherElements", 13, "", &["3 4", "i64:2 4"], 1).check();
        Trial::new("GatherND", 13, "", &["2 3 4", "i64:5 2"], 1).check();
        Trial::new("GatherND", 13, "", &["2 3", "i64:5 2"], 1).check();
        Trial::new("GatherND", 13, "batch_dims=1", &["2 3 4", "i64:2 1"], 1).check();
        Trial::new("GatherND", 13, "batch_dims=1", &["2 3 4 2", "i64:2 5 2"], 1).check();
    }

    #[test]
    fn picked_booleans_are_booleans() {
        let builder = Builder::new();
        let x = builder.literal(Literal::Bools(vec![true, false, true]), &[3]);
        let at = builder.ints(vec![1, -1], &[2]);
        let (first, all) = (x.narrow(0, 0, 2), builder.literal(Literal::Bools(vec![true; 2]), &[2]));
        let program = builder.finish(&[x.take(0, at).and(all), x.take_along(0, at).or(first)]).unwrap();
        let found = Engine::default().run(&program, Bindings { input: &|_| None, constant: &|_| None }).unwrap();
        assert_eq!([found[0].to_i64().unwrap(), found[1].to_i64().unwrap()], [[0, 1], [1, 1]]);
    }
}
