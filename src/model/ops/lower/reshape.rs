//! The same elements in another shape, or another order.

use super::result_shape;
use crate::ops::Site;
use crate::program::{Args, Term};

/// The elements in the shape of the result.
pub(crate) fn reshaped<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    Ok(vec![at.at(0)?.reshape(&result_shape(site, 0)?)])
}

/// Axes in another order: as told, or the other way round.
pub(crate) fn transposed<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let x = at.at(0)?;
    let order = match site.call.ints("perm") {
        Some(order) => order.iter().map(|&a| usize::try_from(a).map_err(|_| format!("axis {a}"))).collect(),
        None => Ok((0..x.rank()).rev().collect::<Vec<_>>()),
    };
    Ok(vec![x.permute(&order?)])
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
    fn axes_in_another_order() {
        Trial::new("Transpose", 13, "perm=[1,2,0]", &["2 3 4"], 1).check();
        Trial::new("Transpose", 13, "", &["2 3 4"], 1).check();
    }
}
