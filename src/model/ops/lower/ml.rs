//! The operators of `ai.onnx.ml` that are arithmetic.

use crate::ops::{Site, ml};
use crate::program::{Args, NumberKind, Term};

/// Scaler: `(x - offset) · scale`, one of each for all features, or one each.
pub(crate) fn scaled<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let x = at.at(0)?.cast(NumberKind::Float);
    let along = |name: &str| {
        let numbers: Vec<f64> = ml::floats(site, name).iter().map(|&n| n.into()).collect();
        let count = numbers.len();
        x.builder().floats(numbers, &[count]).at_rank(x.rank())
    };
    Ok(vec![(x - along("offset")) * along("scale")])
}
