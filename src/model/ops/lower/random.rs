//! The identity matrix. What is drawn has no derivative.

use super::result_shape;
use crate::ops::Site;
use crate::program::{Args, Literal, Term, kind_of};

/// Ones on a diagonal.
pub(crate) fn eye<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
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
    fn ones_on_a_diagonal() {
        let eye = Trial::new("EyeLike", 13, "k=1", &["2 3"], 1).run();
        assert_eq!(eye[0].1.to_f64().unwrap(), [0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
    }
}
