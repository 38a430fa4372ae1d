//! Activations and other functions of each element that are more than one operation.

use crate::ops::Site;
use crate::program::{Args, Term};

/// `x < 0 ? alpha · x : x`.
pub fn leaky_relu<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let x = at.at(0)?;
    let alpha = f64::from(site.call.float("alpha", 0.01));
    Ok(vec![x.relu() - (-x).relu() * alpha])
}
