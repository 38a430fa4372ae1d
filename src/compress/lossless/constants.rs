//! The slices of all constants along the axes whose units may turn out to be of no use.

use super::Surroundings;
use super::slices::{self, Slice};
use crate::ir::{NodeId, ValueId};
use crate::parallel;
use std::collections::HashMap;

pub(super) struct Constants {
    slices: HashMap<(NodeId, usize), Vec<Slice>>,
}

impl Constants {
    /// Looks at all constants, side by side.
    pub(super) fn of(around: &Surroundings) -> Constants {
        let mut axes = vec![];
        for node in around.graph().constants() {
            let of = around.axes().of(ValueId { node, port: 0 }).into_iter().flatten().enumerate();
            axes.extend(of.filter(|(_, var)| !around.leaves(**var).is_empty()).map(|(axis, _)| (node, axis)));
        }
        let look =
            |&(node, axis): &(NodeId, usize)| slices::along(around.graph().tensor(ValueId { node, port: 0 })?, axis);
        let found = parallel::side_by_side(&axes, look);
        Constants { slices: axes.into_iter().zip(found).filter_map(|(at, found)| Some((at, found?))).collect() }
    }

    /// The slices of a constant along an axis, by index; `None` where nobody would ask for them.
    pub(super) fn along(&self, value: ValueId, axis: usize) -> Option<&[Slice]> {
        self.slices.get(&(value.node, axis)).map(Vec::as_slice)
    }
}
