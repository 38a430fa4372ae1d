//! `nm`: leaves n of every m weights that stand next to each other along a sum, as `secateur prune --nm` does.
//!
//! ```text
//! w = {0.1, -2.0, 3.0, 0.5}         →          w = {0.0, -2.0, 3.0, 0.0}
//! y = MatMul(x, w)                             y = MatMul(x, w)
//! ```
//!
//! Lossy, like `sparsify`. Hardware that skips zeros asks for such a pattern, most often for two of four.

use super::sparsify::thin;
use crate::ir::Model;
use crate::passes::{Change, Context, Effect, OptionError, Options, Pass, PassError};
use crate::sparsity::{self, Method, Pattern};
use std::path::PathBuf;

/// Leaves n of every m weights.
pub(super) struct Nm {
    n: usize,
    m: usize,
    method: Method,
    samples: Option<PathBuf>,
}

impl Nm {
    /// Options: `n`, `m`, `method`, `calib` (an `.npz` file).
    pub(super) fn new(options: &mut Options) -> Result<Nm, OptionError> {
        let (n, m) = (options.take_or("n", 2)?, options.take_or("m", 4)?);
        Ok(Nm { n, m, method: options.take_or("method", Method::Magnitude)?, samples: options.take("calib")? })
    }
}

impl Pass for Nm {
    fn name(&self) -> &'static str {
        "nm"
    }

    fn effect(&self) -> Effect {
        Effect::Lossy
    }

    fn run(&self, model: &mut Model, _: &mut Context) -> Result<Change, PassError> {
        let pattern = Pattern::of(self.n, self.m).map_err(PassError::new)?;
        thin(model, &sparsity::Options { pattern, method: self.method }, self.samples.as_deref())
    }
}
