//! What operators are made of, in operations that can be run and differentiated; a file per family, and short formulas
//! beside their rules. See [`super::Rule::lower`].

pub mod attention;
pub mod conv;
pub mod deconv;
pub mod einsum;
pub mod elementwise;
pub mod fused;
pub mod indices;
pub mod layer_norm;
pub mod loss;
pub mod ml;
pub mod movement;
pub mod norm;
pub mod own_attention;
pub mod pairs;
pub mod pool;
pub mod product;
pub mod quantize;
pub mod recurrent;
pub mod reduce;
pub mod resize;
pub mod rotary;
pub mod scan;
pub mod select;
pub mod shape;
pub mod softmax;

use super::Site;
use crate::program::{Args, Term};

/// The first operand as it is.
pub fn first<'b>(_: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    Ok(vec![at.at(0)?])
}
