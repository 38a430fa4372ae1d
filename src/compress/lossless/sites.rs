//! The sums over each label, and what each unit is to them.

use super::Surroundings;
use super::alike::{Alike, Like};
use super::bounds::Bounds;
use crate::axes::{Binding, Var};
use crate::ir::NodeId;
use crate::ops::{Interval, Rule, Site};
use std::collections::BTreeMap;

/// A call that sums over a label.
#[derive(Clone)]
pub(super) struct Place {
    pub node: NodeId,
    /// One for each unit.
    pub parts: Vec<Part>,
}

/// What a unit is to a sum.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    /// It is zero itself.
    Zero,
    /// It is multiplied by zero.
    Unread,
    /// A number that a bias can hold.
    Constant(f64),
    /// A multiple of its class, whose weight can be changed.
    Like(Like),
    /// It has to stay.
    Unknown,
}

/// The class of units that are numbers.
pub(super) const CONSTANT: u32 = u32::MAX;

/// The sums over each leaf.
pub(super) fn places(around: &Surroundings, bounds: &Bounds, alike: &Alike) -> BTreeMap<Var, Vec<Place>> {
    let mut places: BTreeMap<Var, Vec<Place>> = BTreeMap::new();
    for node in around.graph().topological() {
        for binding in around.axes().bindings(node).iter().filter(|b| !b.unread) {
            // As in the analysis of exactness: a label of all results is summed over by what carries it twice.
            let everywhere = binding.in_result && !binding.missed;
            let slots = if everywhere { &binding.repeated } else { &binding.operands };
            for leaf in around.leaves(binding.var).into_iter().filter(|_| !slots.is_empty()) {
                let at = At { around, bounds, alike, node, binding, slots, leaf };
                let parts = around.site(node, |site, rule| at.parts(site, rule));
                places.entry(leaf).or_default().push(Place { node, parts });
            }
        }
    }
    places
}

struct At<'a> {
    around: &'a Surroundings<'a>,
    bounds: &'a Bounds<'a>,
    alike: &'a Alike<'a>,
    node: NodeId,
    binding: &'a Binding,
    slots: &'a [u16],
    leaf: Var,
}

impl At<'_> {
    fn parts(&self, site: &Site, rule: &Rule) -> Vec<Part> {
        (0..self.around.size(self.leaf)).map(|unit| self.part(site, rule, unit)).collect()
    }

    fn part(&self, site: &Site, rule: &Rule, unit: usize) -> Part {
        let is_zero = |slot: u16| {
            let value = self.around.graph().operand(self.node, usize::from(slot));
            let quantized = (rule.quantization.zero_point)(crate::ops::End::Operand(usize::from(slot))).is_some();
            !quantized && value.is_some_and(|v| self.bounds.at(v, self.leaf, unit) == Interval::ZERO)
        };
        let absorbs = |constants: bool| {
            let mut zero = vec![false; site.arity()];
            let counts = |slot: &&u16| constants || site.tensor(usize::from(**slot)).is_none();
            self.slots.iter().filter(counts).for_each(|&slot| zero[usize::from(slot)] = is_zero(slot));
            (rule.zeros.absorbing)(site, &zero)
        };
        if absorbs(false) {
            return Part::Zero;
        }
        if absorbs(true) {
            return Part::Unread;
        }
        self.merged(site, rule, unit).unwrap_or(Part::Unknown)
    }

    /// How the call's weights or bias could take the unit over.
    fn merged(&self, site: &Site, rule: &Rule, unit: usize) -> Option<Part> {
        let c = self.around.contraction(self.node).filter(|_| self.around.is_writable(self.node))?;
        let sum = (rule.operands.sum)(site)?;
        // The contraction is this label's, and the data carry it once.
        let mine = !self.binding.in_result && self.binding.operands.contains(&c.data_slot);
        self.around.only_axis(c.data, self.leaf).filter(|_| mine)?;
        if let Some(x) = self.bounds.at(c.data, self.leaf, unit).single() {
            let folds = sum.full && sum.factor == 1.0;
            // Where a border makes sums of what they are, a constant can still take another one over.
            return Some(if folds { Part::Constant(x) } else { Part::Like(Like { class: CONSTANT, factor: x }) });
        }
        self.alike.units(c.data, self.leaf).map(|units| Part::Like(units[unit]))
    }
}
