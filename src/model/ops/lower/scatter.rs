//! Elements and slices written at tensors of indices.

use super::elementwise::number;
use super::gather::{Slices, beside, flattened};
use crate::ops::Site;
use crate::program::{Args, NumberKind, Term};

/// The data with one element written for each index, at the same place along the other axes.
pub(crate) fn scattered_each<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let x = at.at(0)?;
    let axis = site.axis("axis", 0, x.rank())?;
    written(site, x, axis, at.at(1)?, at.at(2)?).map(|y| vec![y])
}

/// The data with slices written at tuples of indices.
pub(crate) fn scattered_tuples<'b>(site: &Site, at: &Args<'b>, depth: usize) -> Result<Vec<Term<'b>>, String> {
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
            let updates = if kind == NumberKind::Bool { updates.cast(NumberKind::Int) } else { updates };
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
