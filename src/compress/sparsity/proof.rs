//! The proof of zeros: the input file with the same weights at zero must compute the same.

use super::Thinned;
use crate::analysis::Analysis;
use crate::axes::{KeepSets, Kept};
use crate::ir::{Model, Tensor, TensorError, ValueId};

/// The weights of a constant of the input file that are zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zeroed {
    /// The constant's name in the input file.
    pub tensor: String,
    /// One flag for each of its elements.
    pub at: Vec<bool>,
}

/// What became zero, in terms of the input file; `model` is what the cut left of `analysis`. `None` where that can't be
/// said: weights that stayed are others now, or no constant of the file holds them.
pub(crate) fn zeroed(analysis: &Analysis, keep: &KeepSets, model: &Model, thinned: &[Thinned]) -> Option<Vec<Zeroed>> {
    let one = |thinned: &Thinned| {
        let &node = thinned.constants.first().filter(|_| thinned.kept)?;
        let original = analysis.model.graph.constant(node)?;
        let now = model.graph.constant(node)?.tensor.to_f64().ok()?;
        let mut positions = vec![0];
        for (axis, &var) in analysis.axes.of(ValueId { node, port: 0 })?.iter().enumerate() {
            let length = original.tensor.shape[axis];
            let kept = match keep.of(&analysis.axes, var) {
                Kept::All => (0..length).collect(),
                Kept::Some(kept) => kept,
                Kept::Open => return None,
            };
            positions = positions.iter().flat_map(|&p| kept.iter().map(move |&k| p * length + k)).collect();
        }
        let mut at = vec![false; original.tensor.count()];
        positions.into_iter().zip(now).for_each(|(position, number)| at[position] = number == 0.0);
        Some(Zeroed { tensor: original.source()?.to_owned(), at })
    };
    thinned.iter().map(one).collect()
}

/// Sets weights of a model to zero.
pub(crate) fn set_zero(model: &mut Model, zeroed: &[Zeroed]) -> Result<(), TensorError> {
    let graph = &mut model.graph;
    for node in graph.constants() {
        let Some(constant) = graph.constant_mut(node) else { continue };
        let Some(zeroed) = zeroed.iter().find(|z| z.tensor == constant.name) else { continue };
        let old = &constant.tensor;
        let numbers: Vec<f64> =
            old.to_f64()?.into_iter().zip(&zeroed.at).map(|(x, &gone)| if gone { 0.0 } else { x }).collect();
        if let Some(new) = Tensor::from_f64(old.dtype, old.shape.clone(), &numbers) {
            constant.tensor = Tensor { store: old.store, extra: old.extra.clone(), ..new };
        }
    }
    Ok(())
}
