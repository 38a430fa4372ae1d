//! What operators are made of, in operations that can be run and differentiated; a file per family, and short formulas
//! beside their rules. See [`super::Rule::lower`].

pub mod attention;
pub mod broadcast;
pub mod contrib_attention;
pub mod conv;
pub mod einsum;
pub mod elementwise;
pub mod fused;
pub mod gather;
pub mod layer_norm;
pub mod loss;
pub mod matmul;
pub mod ml;
pub mod movement;
pub mod norm;
pub mod packed;
pub mod pool;
pub mod quantize;
pub mod random;
pub mod recurrent;
pub mod reduce;
pub mod reshape;
pub mod resize;
pub mod rotary;
#[cfg(test)]
pub mod scale_shift;
pub mod scan;
pub mod scatter;
pub mod select;
pub mod shape;
pub mod slice;
pub mod softmax;

use super::Site;
use crate::program::{Args, Term};

/// The first operand as it is.
pub fn first<'b>(_: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    Ok(vec![at.at(0)?])
}

/// The shape of a result.
pub fn result_shape(site: &Site, port: usize) -> Result<Vec<usize>, String> {
    let shape = site.result_shape(port).ok_or("the shape of its result is not known before the run")?;
    let size = |d: &crate::ir::Dim| d.size().ok_or_else(|| format!("the size {d} of its result depends on the run"));
    shape.iter().map(size).collect()
}
