//! Interval bounds: between which numbers each unit of each value lies, for every input within the declared ranges.
//!
//! Bounds go forward through the graph, a hull for the whole value and one for each unit of each leaf. Sums of products
//! are bounded by their weights, everything else by the law `bounds` of its operator. What a sum reads may also be zero:
//! beyond a border, or where units before it were cut. So what is proved here holds of any cut of the model too.

use super::Ranges;
use super::surroundings::{Factors, Surroundings};
use crate::axes::Var;
use crate::contraction::Contraction;
use crate::ir::{Node, NodeId, Tensor, ValueId};
use crate::ops::{Interval, Rule, Site, Sum};
use std::collections::HashMap;

/// Bounds of one value.
struct Known {
    all: Interval,
    by: HashMap<Var, Vec<Interval>>,
}

/// Bounds of all values.
pub(super) struct Bounds<'a> {
    around: &'a Surroundings<'a>,
    values: HashMap<ValueId, Known>,
}

impl<'a> Bounds<'a> {
    /// Follows bounds through the analyzed model.
    pub(super) fn of(around: &'a Surroundings<'a>, ranges: &Ranges) -> Bounds<'a> {
        let mut bounds = Bounds { around, values: HashMap::new() };
        let graph = around.graph();
        for node in graph.topological() {
            match graph.node(node) {
                Node::Input(input) => {
                    let known = Known { all: ranges.of(&input.info.name), by: HashMap::new() };
                    bounds.values.insert(ValueId { node, port: 0 }, known);
                }
                Node::Constant(c) => bounds.constant(ValueId { node, port: 0 }, &c.tensor),
                Node::Call(_) => around.site(node, |site, rule| bounds.call(node, site, rule)),
                Node::Output(_) => {}
            }
        }
        bounds
    }

    /// The bounds of a value at a unit.
    pub(super) fn at(&self, value: ValueId, leaf: Var, unit: usize) -> Interval {
        let Some(known) = self.values.get(&value) else { return Interval::ANY };
        known.by.get(&leaf).map_or(known.all, |units| units[unit])
    }

    fn all(&self, value: ValueId) -> Interval {
        self.values.get(&value).map_or(Interval::ANY, |k| k.all)
    }

    fn constant(&mut self, value: ValueId, tensor: &Tensor) {
        let Some(numbers) = self.around.numbers(tensor) else { return };
        let all = numbers.iter().copied().map(Interval::point).fold(Interval::NONE, Interval::hull);
        let mut by = HashMap::new();
        for (axis, &var) in self.around.axes().of(value).into_iter().flatten().enumerate() {
            for leaf in self.around.leaves(var) {
                let units = self.around.axes().units_of(var, leaf);
                let hulls = by.entry(leaf).or_insert_with(|| vec![Interval::NONE; self.around.size(leaf)]);
                for (at, &x) in numbers.iter().enumerate() {
                    if let Some(unit) = units[index(&tensor.shape, axis, at)] {
                        hulls[unit as usize] = hulls[unit as usize].hull(Interval::point(x));
                    }
                }
            }
        }
        self.values.insert(value, Known { all, by });
    }

    fn call(&mut self, node: NodeId, site: &Site, rule: &Rule) {
        let graph = self.around.graph();
        // A loop's values are others in the next turn.
        let results: Vec<ValueId> = graph.results(node).collect();
        if self.around.is_inside(node) || !site.result(0).dtype.is_some_and(|d| d.is_float()) {
            return;
        }
        if let Some(sum) = (rule.operands.sum)(site) {
            let known = self.product(node, site, sum);
            self.values.extend(known.map(|known| (results[0], known)));
            return;
        }
        let operands = graph.operands(node).into_iter().take(site.arity()).collect::<Vec<_>>();
        let law = |at: &[Interval]| {
            let zero: Vec<bool> = at.iter().map(|x| *x == Interval::ZERO).collect();
            match rule.values.data_movement {
                _ if (rule.zeros.results)(site, &zero) => Some(Interval::ZERO),
                true => hull(site, at),
                false => (rule.values.bounds)(site, at),
            }
        };
        let alls: Vec<Interval> = operands.iter().map(|v| v.map_or(Interval::ANY, |v| self.all(v))).collect();
        let all = law(&alls).unwrap_or(Interval::ANY);
        let mut by = HashMap::new();
        for binding in self.around.axes().bindings(node).iter().filter(|b| b.in_result && b.repeated.is_empty()) {
            for leaf in self.around.leaves(binding.var) {
                let carries = |slot: usize| binding.operands.contains(&(slot as u16));
                let at = |unit: usize| {
                    let bounds = operands.iter().zip(&alls).enumerate().map(|(slot, (value, all))| match value {
                        Some(v) if carries(slot) => self.at(*v, leaf, unit),
                        // Parts of a sum are made by their own operands alone.
                        _ if binding.part && rule.values.data_movement => Interval::NONE,
                        _ => *all,
                    });
                    law(&bounds.collect::<Vec<_>>()).unwrap_or(all)
                };
                let units: Vec<Interval> = (0..self.around.size(leaf)).map(at).collect();
                by.entry(leaf).and_modify(|old: &mut Vec<Interval>| widen(old, &units)).or_insert(units);
            }
        }
        for value in results {
            let here: Vec<Var> = self.around.leaves_of(value);
            let by = by.iter().filter(|(leaf, _)| here.contains(leaf)).map(|(l, u)| (*l, u.clone())).collect();
            self.values.insert(value, Known { all, by });
        }
    }

    /// Bounds of a sum of products with a constant.
    fn product(&self, node: NodeId, site: &Site, sum: Sum) -> Option<Known> {
        let (graph, axes) = (self.around.graph(), self.around.axes());
        let factors = self.around.factors(node, site, sum)?;
        let tensor = graph.tensor(factors.weight)?;
        let numbers = self.around.numbers(tensor)?;
        let data = self.read(&factors, &tensor.shape)?;
        // One sum for every place along the weight's axes that the result has too; all others are summed over.
        let kept: usize = factors.shared.iter().map(|&axis| tensor.shape[axis]).product();
        let mut sums = vec![Interval::ZERO; kept];
        for (flat, (&w, &x)) in numbers.iter().zip(&data).enumerate() {
            let place =
                factors.shared.iter().fold(0, |at, &axis| at * tensor.shape[axis] + index(&tensor.shape, axis, flat));
            sums[place] = sums[place] + Interval::point(w) * x;
        }
        let addend = sum.addend.and_then(|(slot, f)| Some((graph.operand(node, usize::from(slot))?, f)));
        let whole = |total: Interval, added: &dyn Fn(ValueId) -> Interval| {
            let added = addend.map_or(Interval::ZERO, |(value, f)| added(value) * Interval::point(f));
            total * Interval::point(sum.factor) + added
        };
        let all = whole(sums.iter().copied().fold(Interval::NONE, Interval::hull), &|v| self.all(v));
        let mut by = HashMap::new();
        let shape: Vec<usize> = factors.shared.iter().map(|&axis| tensor.shape[axis]).collect();
        for (i, &axis) in factors.shared.iter().enumerate() {
            let var = axes.of(factors.weight)?[axis];
            for leaf in self.around.leaves(var) {
                let units = axes.units_of(var, leaf);
                let mut hulls = vec![Interval::NONE; self.around.size(leaf)];
                for (at, &x) in sums.iter().enumerate() {
                    if let Some(unit) = units[index(&shape, i, at)] {
                        hulls[unit as usize] = hulls[unit as usize].hull(x);
                    }
                }
                let hulls = hulls.into_iter().enumerate();
                by.insert(leaf, hulls.map(|(unit, x)| whole(x, &|v| self.at(v, leaf, unit))).collect());
            }
        }
        Some(Known { all, by })
    }

    /// Between which numbers lies what each element of a weight is multiplied with; zero where something was cut.
    fn read(&self, factors: &Factors, shape: &[usize]) -> Option<Vec<Interval>> {
        let axes = self.around.axes();
        let mut read = vec![self.all(factors.data); shape.iter().product()];
        if let Some(c) = factors.contraction {
            let elements = self.elements(c);
            for row in c.rows(shape, c.depth()) {
                (0..c.depth()).for_each(|l| read[row.start + l * row.step] = elements[row.group * c.depth() + l]);
            }
        } else {
            for &axis in &factors.shared {
                let var = axes.of(factors.weight)?[axis];
                for leaf in self.around.leaves(var) {
                    let units = axes.units_of(var, leaf);
                    for (flat, x) in read.iter_mut().enumerate() {
                        if let Some(unit) = units[index(shape, axis, flat)] {
                            *x = x.meet(self.at_if_carried(factors.data, leaf, unit as usize));
                        }
                    }
                }
            }
        }
        Some(read.into_iter().map(|x| x.hull(Interval::ZERO)).collect())
    }

    /// The bounds of a value at a unit of a leaf, if it carries that.
    fn at_if_carried(&self, value: ValueId, leaf: Var, unit: usize) -> Interval {
        let known = self.values.get(&value).and_then(|k| k.by.get(&leaf));
        known.map_or(Interval::ANY, |units| units[unit])
    }

    /// Between which numbers lies each element of a contraction's view.
    fn elements(&self, c: &Contraction) -> Vec<Interval> {
        let mut elements = vec![self.all(c.data); c.view.length];
        for leaf in self.around.leaves(c.view.var) {
            let units = self.around.axes().units_of(c.view.var, leaf);
            for (element, unit) in elements.iter_mut().zip(units) {
                if let Some(unit) = unit {
                    *element = element.meet(self.at(c.data, leaf, unit as usize));
                }
            }
        }
        elements
    }
}

/// The index along an axis of an element of a tensor.
fn index(shape: &[usize], axis: usize, flat: usize) -> usize {
    let behind: usize = shape[axis + 1..].iter().product();
    flat / behind % shape[axis]
}

/// What moves numbers about makes none that its operands do not hold.
fn hull(site: &Site, at: &[Interval]) -> Option<Interval> {
    let holds = |slot: &usize| site.dtype(*slot).is_some_and(|d| d.is_float());
    (0..at.len()).filter(holds).map(|slot| at[slot]).reduce(Interval::hull)
}

fn widen(old: &mut [Interval], new: &[Interval]) {
    old.iter_mut().zip(new).for_each(|(a, b)| *a = a.hull(*b));
}
