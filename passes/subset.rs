//! Subsets of an axis, as nodes: the indices that are kept, and the way back to full size.
//!
//! ```text
//! taken    y = x[kept]                    y = Gather<axis>(x, kept)
//! spread   y[kept] = x, 0 elsewhere       t = Gather<axis>(x, places); y = Where(is_kept, t, 0)
//! ```
//!
//! The reference of an inexact cut is made of these; it is run, and never the result of a pass.

use super::edit::new_constant;
use crate::ir::{Attribute, Call, DType, Graph, Model, Node, Tensor, Use, ValueId};
use std::collections::HashSet;

/// Writes subsets into one graph.
pub struct Subsets {
    ir_version: i64,
    opset: i64,
    taken: HashSet<String>,
}

impl Subsets {
    /// For this model's graph, and no other.
    pub fn new(model: &Model) -> Subsets {
        Subsets { ir_version: model.ir_version, opset: model.opset(""), taken: model.graph.all_names() }
    }

    /// Whether the model's operator set can say [`Subsets::spread`]: `Where` came with the ninth.
    pub fn can_spread(&self) -> bool {
        self.opset >= 9
    }

    /// The kept indices of an axis.
    pub fn taken(&mut self, graph: &mut Graph, value: ValueId, axis: usize, kept: &[usize]) -> ValueId {
        let kept = self.numbers(graph, kept);
        self.gather(graph, value, kept, axis)
    }

    /// Each index in `value`, replaced by the number that `table` has for it.
    pub fn renumbered(&mut self, graph: &mut Graph, value: ValueId, table: &[usize]) -> ValueId {
        let table = self.numbers(graph, table);
        self.gather(graph, table, value, 0)
    }

    /// The value at the kept indices of an axis that is `length` long, and zero at all others. `at` is the value's
    /// rank and the axis. `None` for elements that are no numbers.
    pub fn spread(
        &mut self,
        graph: &mut Graph,
        value: ValueId,
        dtype: DType,
        at: (usize, usize),
        kept: &[usize],
        length: usize,
    ) -> Option<ValueId> {
        let (rank, axis) = at;
        let mut is_kept = vec![0_u8; length];
        kept.iter().for_each(|&index| is_kept[index] = 1);
        let zero = Tensor::new(dtype, vec![], vec![0; dtype.bytes(1)]).ok()?;
        let mut shape = vec![1; rank];
        shape[axis] = length;
        let is_kept = Tensor::new(DType::Bool, shape, is_kept).ok()?;
        let places = self.numbers(graph, &places(kept, length));
        let (is_kept, zero) = (self.constant(graph, is_kept), self.constant(graph, zero));
        let all = self.gather(graph, value, places, axis);
        Some(self.call(graph, Call::new("Where"), &[is_kept, all, zero]))
    }

    fn gather(&mut self, graph: &mut Graph, value: ValueId, indices: ValueId, axis: usize) -> ValueId {
        let mut gather = Call::new("Gather");
        gather.attributes.insert("axis".into(), Attribute::Int(axis as i64));
        self.call(graph, gather, &[value, indices])
    }

    fn numbers(&mut self, graph: &mut Graph, numbers: &[usize]) -> ValueId {
        let numbers: Vec<i64> = numbers.iter().map(|&i| i as i64).collect();
        self.constant(graph, Tensor::from_i64(vec![numbers.len()], &numbers))
    }

    fn constant(&mut self, graph: &mut Graph, tensor: Tensor) -> ValueId {
        let name = graph.fresh_name("subset", &mut self.taken);
        ValueId { node: graph.add(new_constant(self.ir_version, name, tensor)), port: 0 }
    }

    fn call(&mut self, graph: &mut Graph, mut call: Call, operands: &[ValueId]) -> ValueId {
        call.results = vec![graph.fresh_name("subset", &mut self.taken)];
        call.arity = operands.len() as u16;
        let node = graph.add(Node::Call(Box::new(call)));
        for (slot, &value) in operands.iter().enumerate() {
            graph.connect(value, Use { node, slot: slot as u16 });
        }
        ValueId { node, port: 0 }
    }
}

/// The place of each index among the kept ones; 0 for those that are gone.
pub fn places(kept: &[usize], length: usize) -> Vec<usize> {
    let mut places = vec![0; length];
    kept.iter().enumerate().for_each(|(place, &index)| places[index] = place);
    places
}
