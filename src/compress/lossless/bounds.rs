//! Interval bounds: between which numbers each unit of each value lies, for every input within the declared ranges.
//!
//! Bounds go forward through the graph, a hull for the whole value and one for each unit of each leaf. Sums of products
//! are bounded by their weights, everything else by the law `bounds` of its operator. What a sum reads may also be zero:
//! beyond a border, or where units before it were cut. So what is proved here holds of any cut of the model too.

use super::constants::Constants;
use super::surroundings::{Factors, Surroundings};
use super::{Ranges, slices, sums};
use crate::axes::Var;
use crate::contraction::Contraction;
use crate::ir::{Node, NodeId, Tensor, ValueId};
use crate::ops::{Interval, Rule, Site, Sum};
use std::cell::OnceCell;
use std::collections::HashMap;

/// Bounds of one value.
struct Known {
    /// Of a constant, found when somebody asks.
    all: OnceCell<Interval>,
    by: HashMap<Var, Vec<Interval>>,
}

impl Known {
    fn new(all: Interval, by: HashMap<Var, Vec<Interval>>) -> Known {
        Known { all: all.into(), by }
    }
}

/// Bounds of all values.
pub(super) struct Bounds<'a> {
    around: &'a Surroundings<'a>,
    constants: &'a Constants,
    values: HashMap<ValueId, Known>,
}

impl<'a> Bounds<'a> {
    /// Follows bounds through the analyzed model.
    pub(super) fn of(around: &'a Surroundings<'a>, constants: &'a Constants, ranges: &Ranges) -> Bounds<'a> {
        let mut bounds = Bounds { around, constants, values: HashMap::new() };
        let graph = around.graph();
        for node in graph.topological() {
            match graph.node(node) {
                Node::Input(input) => {
                    let known = Known::new(ranges.of(&input.info.name), HashMap::new());
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
        known.by.get(&leaf).map_or_else(|| self.all(value), |units| units[unit])
    }

    fn all(&self, value: ValueId) -> Interval {
        let Some(known) = self.values.get(&value) else { return Interval::ANY };
        let hull = || self.around.graph().tensor(value).and_then(slices::hull).unwrap_or(Interval::ANY);
        *known.all.get_or_init(hull)
    }

    fn constant(&mut self, value: ValueId, tensor: &Tensor) {
        if !tensor.dtype.is_float() || tensor.raw().is_err() {
            return;
        }
        let (mut all, mut by) = (OnceCell::new(), HashMap::new());
        for (axis, &var) in self.around.axes().of(value).into_iter().flatten().enumerate() {
            let Some(indices) = self.constants.along(value, axis) else { continue };
            all = indices.iter().map(|s| s.hull).fold(Interval::NONE, Interval::hull).into();
            for leaf in self.around.leaves(var) {
                let hulls = by.entry(leaf).or_insert_with(|| vec![Interval::NONE; self.around.size(leaf)]);
                for (slice, unit) in indices.iter().zip(self.around.axes().units_of(var, leaf)) {
                    if let Some(unit) = unit {
                        hulls[unit as usize] = hulls[unit as usize].hull(slice.hull);
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
                let mut last: Option<(Vec<Interval>, Interval)> = None;
                let mut at = |unit: usize| {
                    let bounds = operands.iter().zip(&alls).enumerate().map(|(slot, (value, all))| match value {
                        Some(v) if carries(slot) => self.at(*v, leaf, unit),
                        // Parts of a sum are made by their own operands alone.
                        _ if binding.part && rule.values.data_movement => Interval::NONE,
                        _ => *all,
                    });
                    let bounds: Vec<Interval> = bounds.collect();
                    // Mostly units are bounded alike.
                    match last.take_if(|(of, _)| are_same(of, &bounds)) {
                        Some(known) => last.insert(known).1,
                        None => {
                            let found = law(&bounds).unwrap_or(all);
                            last.insert((bounds, found)).1
                        }
                    }
                };
                let units: Vec<Interval> = (0..self.around.size(leaf)).map(&mut at).collect();
                by.entry(leaf).and_modify(|old: &mut Vec<Interval>| widen(old, &units)).or_insert(units);
            }
        }
        for value in results {
            let here: Vec<Var> = self.around.leaves_of(value);
            let by = by.iter().filter(|(leaf, _)| here.contains(leaf)).map(|(l, u)| (*l, u.clone())).collect();
            self.values.insert(value, Known::new(all, by));
        }
    }

    /// Bounds of a sum of products with a constant.
    fn product(&self, node: NodeId, site: &Site, sum: Sum) -> Option<Known> {
        let (graph, axes) = (self.around.graph(), self.around.axes());
        let factors = self.around.factors(node, site, sum)?;
        let tensor = graph.tensor(factors.weight)?;
        let sums = self.sums(&factors, tensor)?;
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
        Some(Known::new(all, by))
    }

    /// One sum for every place along the weight's axes that the result has too; all others are summed over. What is read may
    /// be zero: something was cut.
    fn sums(&self, factors: &Factors, tensor: &Tensor) -> Option<Vec<Interval>> {
        let shape = &tensor.shape;
        let mut steps: Vec<sums::Step> =
            shape.iter().map(|&length| sums::Step { length, place: None, factor: None }).collect();
        let mut places = 1;
        for &axis in factors.shared.iter().rev() {
            steps[axis].place = Some(places);
            places *= shape[axis];
        }
        let read = match factors.contraction {
            Some(c) => {
                steps[c.weight_axis].factor = Some((1, 1));
                if let Some(axis) = c.group_axis {
                    steps[axis].factor = Some(((shape[axis] / c.groups).max(1), c.depth()));
                }
                self.elements(c)
            }
            None => {
                steps.iter_mut().for_each(|step| step.factor = step.place.map(|apart| (1, apart)));
                self.read_at_places(factors, shape, places)?
            }
        };
        let read: Vec<Interval> = read.into_iter().map(|x| x.hull(Interval::ZERO)).collect();
        sums::sums(tensor, steps, places, &read)
    }

    /// Between which numbers lies what the weights of each place are multiplied with, where the data have these places too.
    fn read_at_places(&self, factors: &Factors, shape: &[usize], places: usize) -> Option<Vec<Interval>> {
        let axes = self.around.axes();
        let mut read = vec![self.all(factors.data); places];
        let shape: Vec<usize> = factors.shared.iter().map(|&axis| shape[axis]).collect();
        for (i, &axis) in factors.shared.iter().enumerate() {
            let var = axes.of(factors.weight)?[axis];
            for leaf in self.around.leaves(var) {
                let units = axes.units_of(var, leaf);
                for (place, x) in read.iter_mut().enumerate() {
                    if let Some(unit) = units[index(&shape, i, place)] {
                        *x = x.meet(self.at_if_carried(factors.data, leaf, unit as usize));
                    }
                }
            }
        }
        Some(read)
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

/// Whether intervals are the same, zeros' signs included.
fn are_same(some: &[Interval], others: &[Interval]) -> bool {
    let bits = |x: &Interval| (x.lo.to_bits(), x.hi.to_bits());
    some.iter().map(bits).eq(others.iter().map(bits))
}

fn widen(old: &mut [Interval], new: &[Interval]) {
    old.iter_mut().zip(new).for_each(|(a, b)| *a = a.hull(*b));
}
