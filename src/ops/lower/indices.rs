//! Elements picked and placed by tensors of indices.

use super::elementwise::number;
use super::shape::result_shape;
use crate::ops::Site;
use crate::program::{Args, Kind, Term};

/// Slices of an axis, by indices whose axes take its place.
pub fn gathered<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let (x, indices) = (at.at(0)?, at.at(1)?);
    let axis = site.axis("axis", 0, x.rank())?;
    let flat = indices.reshape(&[indices.count()]);
    Ok(vec![x.take(axis, flat).reshape(&result_shape(site, 0)?)])
}

/// One element for each index, from the same place along the other axes.
pub fn gathered_each<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let (x, indices) = (at.at(0)?, at.at(1)?);
    let axis = site.axis("axis", 0, x.rank())?;
    Ok(vec![beside(x, &indices.shape(), axis).take_along(axis, indices)])
}

/// The beginning of every other axis, as long as it is in this shape.
fn beside<'b>(x: Term<'b>, shape: &[usize], axis: usize) -> Term<'b> {
    (0..x.rank()).filter(|&a| a != axis && a < shape.len()).fold(x, |x, a| x.narrow(a, 0, shape[a]))
}

/// Slices by tuples of indices; the first `batch` axes are shared.
pub fn gathered_tuples<'b>(site: &Site, at: &Args<'b>, batch: usize, depth: usize) -> Result<Vec<Term<'b>>, String> {
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
struct Slices {
    count: usize,
    size: usize,
}

impl Slices {
    fn of(shape: &[usize], axes: usize) -> Slices {
        Slices { count: shape[..axes].iter().product(), size: shape[axes..].iter().product() }
    }
}

/// Tuples of indices, along the last axis, as single indices into the row-major elements of a shape.
fn flattened<'b>(tuples: Term<'b>, shape: &[usize]) -> Term<'b> {
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

/// The data with one element written for each index, at the same place along the other axes.
pub fn scattered_each<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let x = at.at(0)?;
    let axis = site.axis("axis", 0, x.rank())?;
    written(site, x, axis, at.at(1)?, at.at(2)?).map(|y| vec![y])
}

/// The data with slices written at tuples of indices.
pub fn scattered_tuples<'b>(site: &Site, at: &Args<'b>, depth: usize) -> Result<Vec<Term<'b>>, String> {
    let x = at.at(0)?;
    let slices = Slices::of(&x.shape(), depth);
    let flat = flattened(at.at(1)?, &x.shape()[..depth]);
    let shape = [flat.count(), slices.size];
    let indices = flat.reshape(&[shape[0], 1]).expand(&shape);
    let rows = x.reshape(&[slices.count, slices.size]);
    let y = written(site, rows, 0, indices, at.at(2)?.reshape(&shape))?;
    Ok(vec![y.reshape(&x.shape())])
}

/// Elements written along an axis, in the way that `reduction` says.
fn written<'b>(
    site: &Site,
    x: Term<'b>,
    axis: usize,
    indices: Term<'b>,
    updates: Term<'b>,
) -> Result<Term<'b>, String> {
    let zeros = |like: Term<'b>| number(like, 0.0).expand(&beside(x, &indices.shape(), axis).shape());
    let whole = |y: Term<'b>| {
        let missing: Vec<(usize, usize)> = x.shape().iter().zip(y.shape()).map(|(&n, m)| (0, n - m)).collect();
        y.pad(&missing, 0.0)
    };
    let added = |updates: Term<'b>| whole(zeros(updates).add_along(axis, indices, updates));
    match site.call.string("reduction", "none") {
        "none" => {
            let hits = added(indices.builder().ints(vec![1], &vec![1; indices.rank()]).expand(&indices.shape()));
            let kind = x.kind();
            let updates = if kind == Kind::Bool { updates.cast(Kind::Int) } else { updates };
            Ok(number(hits, 0.0).less(hits).select(added(updates).cast(kind), x))
        }
        "add" => Ok(x + added(updates)),
        other => Err(format!("scattering by `{other}` has no derivative here")),
    }
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

    #[test]
    fn written_elements() {
        let rows = crate::ir::Tensor::from_i64(vec![2, 4], &[0, 1, 2, 0, 1, 0, -3, 2]);
        let each = |attributes| Trial::new("ScatterElements", 16, attributes, &["3 4", "i64:2 4", "2 4"], 1);
        each("").with("x1", rows.clone()).check();
        each("reduction=add").with("x1", rows).check_derivative();
        let fewer = crate::ir::Tensor::from_i64(vec![2, 2], &[3, 1, 0, 2]);
        let trial = Trial::new("ScatterElements", 16, "axis=1", &["3 4", "i64:2 2", "2 2"], 1).with("x1", fewer);
        trial.check();
    }

    #[test]
    fn written_slices() {
        let tuples = crate::ir::Tensor::from_i64(vec![2, 1], &[2, 0]);
        let slices = |attributes| Trial::new("ScatterND", 16, attributes, &["3 4", "i64:2 1", "2 4"], 1);
        slices("").with("x1", tuples.clone()).check();
        slices("reduction=add").with("x1", tuples).check_derivative();
        let pairs = crate::ir::Tensor::from_i64(vec![2, 2], &[2, 0, 1, -1]);
        Trial::new("ScatterND", 16, "", &["3 4", "i64:2 2", "2"], 1).with("x1", pairs).check_derivative();
    }
}
