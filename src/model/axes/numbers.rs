//! Values whose elements are indices: of which label they count the units.
//!
//! A TopK over experts says which ones are best, and a Gather picks their weights by these numbers. When units go, the
//! others are renumbered in both places alike. So a label may be cut although its units are looked up at run time, as
//! long as all numbers come from the label itself (`@e` at a result), and every use of them is one that a rule states
//! (`@e` at an operand) or only moves them about ([`AxisRule::carries`]). Any other use pins the label.

use super::env::Env;
use super::{Axes, Mark, PinKind, RuleText, Shape, Var};
use crate::ir::{Graph, ValueId};
use crate::ops::AxisRule;

impl Axes {
    /// The axis whose indices are the elements of this value, if they are.
    pub fn indices_of(&self, value: ValueId) -> Option<Var> {
        self.numbers.get(&value).copied()
    }

    /// Pins the labels that must keep more units than a leaf can be asked to, and notes what all others must keep.
    pub(super) fn bound_below(&mut self) {
        for (node, var, count) in std::mem::take(&mut self.at_least) {
            let leaves = self.solver.leaves(var);
            match (self.solver.shape(var), &leaves[..]) {
                (Shape::Leaf, &[leaf]) => {
                    let floor = self.floors.entry(leaf).or_insert(1);
                    *floor = count.max(*floor);
                }
                _ => {
                    let why = self.intern(PinKind::Clash, node, "so many of the units that are counted here must stay");
                    leaves.into_iter().for_each(|leaf| self.solver.mark(leaf, Mark::Pin(why)));
                }
            }
        }
    }

    /// How many units of a leaf must stay at least.
    pub fn floor(&self, leaf: Var) -> usize {
        self.floors.get(&leaf).copied().unwrap_or(1)
    }
}

impl Env<'_> {
    /// Follows numbers from the operands to the results; `None` if the rule does not fit.
    pub(super) fn follow_numbers(&mut self, graph: &Graph, rule: &AxisRule, text: &RuleText) -> Option<()> {
        let arity = graph.call(self.node).map_or(0, |c| usize::from(c.arity));
        for (slot, value) in graph.operands(self.node).into_iter().enumerate().take(arity) {
            let Some(value) = value else { continue };
            let stated = text.operands.get(slot).and_then(|axes| axes.indices_of.as_deref());
            match (stated, self.axes.indices_of(value)) {
                (Some(label), Some(var)) => {
                    let label = self.var(label)?;
                    self.axes.solver.unify(label, var, self.clash);
                }
                (Some(label), None) => {
                    let label = self.var(label)?;
                    self.axes.solver.mark(label, Mark::Pin(self.structure));
                }
                (None, Some(var)) if slot == 0 && rule.carries => {
                    self.axes.numbers.extend(graph.results(self.node).map(|result| (result, var)));
                }
                (None, Some(var)) => {
                    let why = self.axes.intern(PinKind::Opaque, self.node, "it computes with the units' numbers");
                    self.axes.solver.mark(var, Mark::Pin(why));
                }
                (None, None) => {}
            }
        }
        for (value, axes) in graph.results(self.node).zip(&text.results) {
            if let Some(label) = &axes.indices_of {
                let var = self.var(label)?;
                self.axes.numbers.insert(value, var);
            }
        }
        for (label, count) in &rule.at_least {
            let var = self.var(label)?;
            self.axes.at_least.push((self.node, var, *count));
        }
        for (label, kind) in &rule.roles {
            // A call may lack some of its labels.
            if self.has(label) {
                let var = self.var(label)?;
                self.axes.roles.push((var, *kind));
            }
        }
        Some(())
    }
}
