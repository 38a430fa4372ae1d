//! What was measured of gradients.

use super::{Context, ScoreError, l2};
use crate::axes::Group;
use crate::gradients::Want;

/// A number for each unit of a group; shares of squared norms where nothing was measured of it.
pub(super) fn measured(context: &Context, group: &Group, want: Want) -> Result<Vec<f64>, ScoreError> {
    match context.gradients.and_then(|g| g.of(want, group)) {
        Some(numbers) => Ok(numbers.to_vec()),
        None => l2::unmeasured(context, group),
    }
}
