//! The same elements in another shape, and tensors of a given shape.

use crate::ops::Site;
use crate::program::{Args, Kind, Literal, Term, kind_of};

/// The shape of a result.
pub fn result_shape(site: &Site, port: usize) -> Result<Vec<usize>, String> {
    let shape = site.result_shape(port).ok_or("the shape of its result is not known before the run")?;
    let size = |d: &crate::ir::Dim| d.size().ok_or_else(|| format!("the size {d} of its result depends on the run"));
    shape.iter().map(size).collect()
}

/// The elements in the shape of the result.
pub fn reshaped<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    Ok(vec![at.at(0)?.reshape(&result_shape(site, 0)?)])
}

/// Stretched to the shape of the result.
pub fn expanded<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    Ok(vec![at.at(0)?.expand(&result_shape(site, 0)?)])
}

/// Repeated along its axes, as often as the result is longer.
pub fn tiled<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
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
pub fn filled<'b>(site: &Site, at: &Args<'b>, value: f64) -> Result<Vec<Term<'b>>, String> {
    let shape = result_shape(site, 0)?;
    let literal = match site.result(0).dtype.and_then(kind_of).ok_or("its type is no number")? {
        Kind::Float => Literal::Floats(vec![value]),
        Kind::Int => Literal::Ints(vec![value as i64]),
        Kind::Bool => Literal::Bools(vec![value != 0.0]),
    };
    Ok(vec![at.builder.literal(literal, &vec![1; shape.len()]).expand(&shape)])
}

/// `start + i · delta`, as often as the result is long.
pub fn range<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let (start, delta) = (at.at(0)?.reshape(&[1]), at.at(2)?.reshape(&[1]));
    let count = result_shape(site, 0)?.iter().product::<usize>();
    let steps = at.builder.ints((0..count as i64).collect(), &[count]);
    Ok(vec![start + steps.cast(start.kind()) * delta])
}

/// Ones on a diagonal.
pub fn eye<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let shape = result_shape(site, 0)?;
    let &[rows, columns] = shape.as_slice() else { return Err(format!("a diagonal of shape {shape:?}")) };
    let above = site.call.int("k", 0);
    let on = (0..rows as i64).flat_map(|r| (0..columns as i64).map(move |c| c == r.saturating_add(above)));
    let kind = site.result(0).dtype.and_then(kind_of).ok_or("its type is no number")?;
    Ok(vec![at.builder.literal(Literal::Bools(on.collect()), &shape).cast(kind)])
}

#[cfg(test)]
#[cfg(all(feature = "tract", feature = "gradients"))]
mod tests {
    use crate::autograd::testing::Trial;

    #[test]
    fn elements_stay_in_order() {
        Trial::new("Reshape", 13, "", &["2 3 4", "=i64[4 -1]"], 1).check();
        Trial::new("Reshape", 13, "", &["2 3 4", "=i64[0 12]"], 1).check();
        Trial::new("Flatten", 13, "axis=2", &["2 3 4"], 1).check();
        Trial::new("Squeeze", 13, "", &["2 1 4", "=i64[1]"], 1).check();
        Trial::new("Squeeze", 11, "axes=[-2]", &["2 1 4"], 1).check();
        Trial::new("Unsqueeze", 13, "", &["2 4", "=i64[0 -1]"], 1).check();
        Trial::new("Squeeze", 13, "", &["1"], 1).check();
    }

    #[test]
    fn copies_add_up_backwards() {
        Trial::new("Expand", 13, "", &["3 1", "=i64[2 1 4]"], 1).check();
        Trial::new("Expand", 13, "", &["3 4", "=i64[1 1]"], 1).check();
        Trial::new("Tile", 13, "", &["2 3", "=i64[2 3]"], 1).check();
        Trial::new("Tile", 13, "", &["2 3 2", "=i64[1 2 1]"], 1).check();
    }

    #[test]
    fn tensors_of_a_shape() {
        let eye = Trial::new("EyeLike", 13, "k=1", &["2 3"], 1).run();
        assert_eq!(eye[0].1.to_f64().unwrap(), [0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
        let zeros = Trial::new("ConstantOfShape", 13, "", &["=i64[2 3]"], 1).run();
        assert_eq!((zeros[0].1.shape.as_slice(), zeros[0].1.to_f64().unwrap()), (&[2, 3][..], vec![0.0; 6]));
    }
}
