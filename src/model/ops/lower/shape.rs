//! Tensors of a given shape.

use super::result_shape;
use crate::ops::Site;
use crate::program::{Args, Literal, NumberKind, Term, kind_of};

/// Stretched to the shape of the result.
pub(crate) fn expanded<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    Ok(vec![at.at(0)?.expand(&result_shape(site, 0)?)])
}

/// Repeated along its axes, as often as the result is longer.
pub(crate) fn tiled<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let (x, to) = (at.at(0)?, result_shape(site, 0)?);
    let from = x.shape();
    if from.contains(&0) || from.len() != to.len() {
        return Err(format!("{from:?} can't be repeated to {to:?}"));
    }
    // An axis more for each that is repeated: where the copy stands.
    let (mut single, mut copied) = (vec![], vec![]);
    for (&n, &m) in from.iter().zip(&to) {
        if n != m {
            single.push(1);
            copied.push(m / n);
        }
        single.push(n);
        copied.push(n);
    }
    Ok(vec![x.reshape(&single).expand(&copied).reshape(&to)])
}

/// One number everywhere in the result.
pub(crate) fn filled<'b>(site: &Site, at: &Args<'b>, value: f64) -> Result<Vec<Term<'b>>, String> {
    let shape = result_shape(site, 0)?;
    let literal = match site.result(0).dtype.and_then(kind_of).ok_or("its type is no number")? {
        NumberKind::Float => Literal::Floats(vec![value]),
        NumberKind::Int => Literal::Ints(vec![value as i64]),
        NumberKind::Bool => Literal::Bools(vec![value != 0.0]),
    };
    Ok(vec![at.builder.literal(literal, &vec![1; shape.len()]).expand(&shape)])
}

/// `start + i · delta`, as often as the result is long.
pub(crate) fn range<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let (start, delta) = (at.at(0)?.reshape(&[1]), at.at(2)?.reshape(&[1]));
    let count = result_shape(site, 0)?.iter().product::<usize>();
    let steps = at.builder.ints((0..count as i64).collect(), &[count]);
    Ok(vec![start + steps.cast(start.kind()) * delta])
}

#[cfg(test)]
#[cfg(all(feature = "tract", feature = "gradients"))]
mod tests {
    use crate::autograd::testing::Trial;

    #[test]
    fn copies_add_up_backwards() {
        Trial::new("Expand", 13, "", &["3 1", "=i64[2 1 4]"], 1).check();
        Trial::new("Expand", 13, "", &["3 4", "=i64[1 1]"], 1).check();
        Trial::new("Tile", 13, "", &["2 3", "=i64[2 3]"], 1).check();
        Trial::new("Tile", 13, "", &["2 3 2", "=i64[1 2 1]"], 1).check();
    }

    #[test]
    fn tensors_of_a_shape() {
        let zeros = Trial::new("ConstantOfShape", 13, "", &["=i64[2 3]"], 1).run();
        assert_eq!((zeros[0].1.shape.as_slice(), zeros[0].1.to_f64().unwrap()), (&[2, 3][..], vec![0.0; 6]));
    }
}
