//! What the lowering of a call is given, and what it may tell beside its results.

use super::{Builder, NumberKind, Term};
use crate::ir::{DType, NodeId};
use std::cell::RefCell;

/// What a rule's `lower` is given beside the call's [`Site`](crate::ops::Site): the terms of the operands.
pub struct Args<'b> {
    pub builder: &'b Builder,
    operands: Vec<Option<Term<'b>>>,
    /// The constants at the operand slots.
    constants: Vec<Option<NodeId>>,
    statistics: Statistics,
    node: NodeId,
    moments: RefCell<Vec<BatchMoments<'b>>>,
}

impl<'b> Args<'b> {
    /// The terms at the operand slots of a call, and the constants that stand there.
    pub fn new(
        builder: &'b Builder,
        node: NodeId,
        operands: Vec<Option<Term<'b>>>,
        constants: Vec<Option<NodeId>>,
        statistics: Statistics,
    ) -> Args<'b> {
        Args { builder, operands, constants, statistics, node, moments: RefCell::default() }
    }

    /// What was told of batches.
    pub fn into_moments(self) -> Vec<BatchMoments<'b>> {
        self.moments.into_inner()
    }

    /// The operand at a slot, if there is one.
    pub fn get(&self, slot: usize) -> Option<Term<'b>> {
        self.operands.get(slot).copied().flatten()
    }

    /// The operand at a slot, which has to be there.
    pub fn at(&self, slot: usize) -> Result<Term<'b>, String> {
        self.get(slot).ok_or_else(|| format!("operand {slot} is missing or no tensor of numbers"))
    }

    /// All operands, which have to be there.
    pub fn all(&self) -> Result<Vec<Term<'b>>, String> {
        (0..self.operands.len()).map(|slot| self.at(slot)).collect()
    }

    /// Whether the batch's own statistics normalize it.
    pub fn by_batch(&self) -> bool {
        self.statistics == Statistics::Batch
    }

    /// Tells the batch's mean and biased variance, of so many elements each, which take the place of the constants at
    /// these two slots.
    pub fn tell(&self, slots: (usize, usize), mean: Term<'b>, variance: Term<'b>, count: usize, momentum: f64) {
        let constant = |slot: usize| self.constants.get(slot).copied().flatten();
        if let (Some(m), Some(v)) = (constant(slots.0), constant(slots.1)) {
            let moments = BatchMoments { node: self.node, running: (m, v), mean, variance, count, momentum };
            self.moments.borrow_mut().push(moments);
        }
    }
}

/// By which means and variances a BatchNormalization normalizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Statistics {
    /// Those of the file, as in inference.
    #[default]
    Running,
    /// Those of the batch, as in training; the program can tell them ([`Lowered::moments`](crate::lowering::Lowered::moments)).
    Batch,
}

/// The mean and variance of a batch, which normalized it.
#[derive(Clone, Copy)]
pub struct BatchMoments<'b> {
    /// The call that normalizes.
    pub node: NodeId,
    /// The constants that hold the running mean and variance.
    pub running: (NodeId, NodeId),
    /// The batch's mean and (biased) variance, in the shapes of the constants.
    pub mean: Term<'b>,
    pub variance: Term<'b>,
    /// Over how many elements each was taken.
    pub count: usize,
    /// How much of a running statistic stays at each step.
    pub momentum: f64,
}

/// What elements of a type are in a program; `None` for those that are no numbers.
pub(crate) fn kind_of(dtype: DType) -> Option<NumberKind> {
    match dtype {
        DType::Bool => Some(NumberKind::Bool),
        d if d.is_float() => Some(NumberKind::Float),
        DType::String | DType::C64 | DType::C128 => None,
        d if d.name().starts_with('f') => None,
        _ => Some(NumberKind::Int),
    }
}
