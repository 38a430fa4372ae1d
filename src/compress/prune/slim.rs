//! Simplification that makes no model larger.

use super::{PruneError, SIMPLIFY, SIMPLIFY_KEEP_BN, TIDY, run_passes};
use crate::cost::{self, Cost, OpenDims};
use crate::infer;
use crate::ir::Model;

/// Simplifies a model by a pipeline. Where the usual one leaves more bytes, parameters or calls than the model had before
/// it was cut, and [`TIDY`] fewer of them, by that. Returns the pipeline by which it was done; one that somebody asked for
/// is not doubted.
pub(super) fn simplified<'a>(
    model: &mut Model,
    pipeline: &'a str,
    before: &Cost,
    open: &OpenDims,
) -> Result<&'a str, PruneError> {
    let cut = model.clone();
    run_passes(pipeline, model)?;
    let is_usual = pipeline == SIMPLIFY || pipeline == SIMPLIFY_KEEP_BN;
    if !is_usual || excess(model, before, open) == [0; 3] {
        return Ok(pipeline);
    }
    let mut tidy = cut;
    run_passes(TIDY, &mut tidy)?;
    if excess(&tidy, before, open) >= excess(model, before, open) {
        return Ok(pipeline);
    }
    *model = tidy;
    Ok(TIDY)
}

/// How many bytes, parameters and calls a model has more than another one.
fn excess(model: &Model, before: &Cost, open: &OpenDims) -> [u64; 3] {
    let now = cost::sums(model, &infer::infer(model), open);
    [(now.bytes, before.bytes), (now.params, before.params), (now.nodes, before.nodes)]
        .map(|(a, b)| a.saturating_sub(b))
}
