//! What operators are made of, in operations that can be run and differentiated; a file per family, and short formulas
//! beside their rules. See [`super::Rule::lower`].

pub(super) mod attention;
pub(super) mod broadcast;
pub(super) mod contrib_attention;
pub(super) mod conv;
pub(super) mod einsum;
pub(super) mod elementwise;
pub(super) mod fused;
pub(super) mod gather;
pub(super) mod layer_norm;
pub(super) mod loss;
pub(super) mod matmul;
pub(super) mod ml;
pub(super) mod movement;
pub(super) mod norm;
pub(super) mod packed;
pub(super) mod pool;
pub(super) mod quantize;
pub(super) mod random;
pub(super) mod recurrent;
pub(super) mod reduce;
pub(super) mod reshape;
pub(super) mod resize;
pub(super) mod rotary;
#[cfg(test)]
pub(super) mod scale_shift;
pub(super) mod scan;
pub(super) mod scatter;
pub(super) mod select;
pub(super) mod shape;
pub(super) mod slice;
pub(super) mod softmax;

use super::Site;
use crate::program::{Args, Term};

/// The first operand as it is.
pub(super) fn first<'b>(_: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    Ok(vec![at.at(0)?])
}

/// The shape of a result.
pub(super) fn result_shape(site: &Site, port: usize) -> Result<Vec<usize>, String> {
    let shape = site.result_shape(port).ok_or("the shape of its result is not known before the run")?;
    let size = |d: &crate::ir::Dim| d.size().ok_or_else(|| format!("the size {d} of its result depends on the run"));
    shape.iter().map(size).collect()
}
