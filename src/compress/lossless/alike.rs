//! Units that are alike: what one is on every input, another is times a number.
//!
//! Each unit of a value belongs to a class and has a factor: it is the factor times what the class stands for. Slices of
//! constants are compared number by number. Through a call, units of equal operands are equal, because along a label
//! without mark the operator does the same to each (the rules' third law); and operands that are multiplied by one
//! number make a result that is, where the operator is homogeneous in them.

use super::Surroundings;
use crate::axes::{Binding, Var};
use crate::ir::{Node, NodeId, Tensor, ValueId};
use crate::ops::{Homogeneity, Rule, Site};
use std::collections::HashMap;

/// A class, and how many times it a unit is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Like {
    pub class: u32,
    pub factor: f64,
}

/// By how much numbers may differ, as a share of the largest: single precision rounds so.
const ROUNDING: f64 = 1e-6;

/// The classes of all units.
pub(super) struct Alike<'a> {
    around: &'a Surroundings<'a>,
    values: HashMap<(ValueId, Var), Vec<Like>>,
}

impl<'a> Alike<'a> {
    /// Follows classes through the analyzed model.
    pub(super) fn of(around: &'a Surroundings<'a>) -> Alike<'a> {
        let mut alike = Alike { around, values: HashMap::new() };
        let graph = around.graph();
        for node in graph.topological() {
            match graph.node(node) {
                Node::Constant(c) => alike.constant(ValueId { node, port: 0 }, &c.tensor),
                Node::Call(_) if !around.is_inside(node) => {
                    around.site(node, |site, rule| alike.call(node, site, rule));
                }
                Node::Call(_) | Node::Input(_) | Node::Output(_) => {}
            }
        }
        alike
    }

    /// The class of each unit; `None` where nothing is known.
    pub(super) fn units(&self, value: ValueId, leaf: Var) -> Option<&[Like]> {
        self.values.get(&(value, leaf)).map(Vec::as_slice)
    }

    fn constant(&mut self, value: ValueId, tensor: &Tensor) {
        for leaf in self.around.leaves_of(value) {
            let Some((axis, var)) = self.around.only_axis(value, leaf) else { continue };
            let Some(numbers) = self.around.numbers(tensor) else { return };
            let units = self.around.axes().units_of(var, leaf);
            let behind: usize = tensor.shape[axis + 1..].iter().product();
            let mut slices = vec![vec![]; self.around.size(leaf)];
            for (at, &x) in numbers.iter().enumerate() {
                if let Some(unit) = units[at / behind % units.len()] {
                    slices[unit as usize].push(x);
                }
            }
            self.values.insert((value, leaf), of_slices(slices));
        }
    }

    fn call(&mut self, node: NodeId, site: &Site, rule: &Rule) {
        let axes = self.around.axes();
        for binding in axes.bindings(node).iter().filter(|b| b.in_result && b.repeated.is_empty() && !b.unread) {
            for leaf in self.around.leaves(binding.var) {
                let mine = |b: &&Binding| axes.solver().leaves(b.var).contains(&leaf);
                if axes.bindings(node).iter().filter(mine).count() > 1 {
                    continue;
                }
                let Some(units) = self.joined(node, site, rule, binding, leaf) else { continue };
                for value in self.around.graph().results(node) {
                    if self.around.only_axis(value, leaf).is_some() {
                        self.values.insert((value, leaf), units.clone());
                    }
                }
            }
        }
    }

    /// The classes of a result's units.
    fn joined(&self, node: NodeId, site: &Site, rule: &Rule, binding: &Binding, leaf: Var) -> Option<Vec<Like>> {
        let value = |slot: &u16| self.around.graph().operand(node, usize::from(*slot));
        let operands = binding.operands.iter().map(|slot| self.units(value(slot)?, leaf));
        let operands: Vec<&[Like]> = operands.collect::<Option<_>>()?;
        let mut firsts: HashMap<Vec<u32>, Vec<usize>> = HashMap::new();
        let mut units: Vec<Like> = vec![];
        for unit in 0..self.around.size(leaf) {
            let firsts = firsts.entry(operands.iter().map(|o| o[unit].class).collect()).or_default();
            let ratio = |first: &usize| {
                let ratios: Vec<f64> = operands.iter().map(|o| o[unit].factor / o[*first].factor).collect();
                Some((*first, multiple(site, rule, binding, &ratios)?))
            };
            units.push(match firsts.iter().find_map(ratio) {
                Some((first, ratio)) => Like { class: units[first].class, factor: ratio * units[first].factor },
                None => {
                    firsts.push(unit);
                    Like { class: unit as u32, factor: 1.0 }
                }
            });
        }
        Some(units)
    }
}

/// How many times the result is larger where the operands that carry a label are larger by these factors; `None` where
/// it is no multiple.
fn multiple(site: &Site, rule: &Rule, binding: &Binding, ratios: &[f64]) -> Option<f64> {
    let differs = |r: &f64| (r - 1.0).abs() > ROUNDING;
    let Some(&ratio) = ratios.iter().find(|r| differs(r)) else { return Some(1.0) };
    if ratios.iter().any(|r| differs(r) && (r / ratio - 1.0).abs() > ROUNDING) {
        return None;
    }
    let mut scaled = vec![false; site.arity()];
    for (&slot, r) in binding.operands.iter().zip(ratios) {
        scaled[usize::from(slot)] = differs(r);
    }
    homogeneity(site, rule, binding, &scaled).takes(ratio).then_some(ratio)
}

fn homogeneity(site: &Site, rule: &Rule, binding: &Binding, scaled: &[bool]) -> Homogeneity {
    if let Some(sum) = (rule.operands.sum)(site) {
        let is_addend = |slot: usize| sum.addend.is_some_and(|(at, _)| usize::from(at) == slot);
        let factors = (0..scaled.len()).filter(|&slot| scaled[slot] && !is_addend(slot)).count();
        let added = (0..scaled.len()).all(|slot| !is_addend(slot) || scaled[slot] || !site.has(slot));
        return if factors == 1 && added { Homogeneity::Any } else { Homogeneity::None };
    }
    if rule.values.data_movement {
        let concerns = |slot: usize| {
            let carries = binding.operands.contains(&(slot as u16));
            carries || !binding.part && site.dtype(slot).is_some_and(|d| d.is_float())
        };
        let all = (0..scaled.len()).all(|slot| scaled[slot] || !concerns(slot));
        return if all { Homogeneity::Positive } else { Homogeneity::None };
    }
    (rule.values.homogeneity)(site, scaled)
}

/// Classes of vectors that are multiples of each other.
fn of_slices(slices: Vec<Vec<f64>>) -> Vec<Like> {
    // Zeros are a class of their own, which units that have none never get.
    let zero = slices.len() as u32;
    let mut firsts: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut units: Vec<Like> = vec![];
    for (unit, slice) in slices.iter().enumerate() {
        let largest = (0..slice.len()).max_by(|&a, &b| slice[a].abs().total_cmp(&slice[b].abs()).then(b.cmp(&a)));
        let Some(largest) = largest.filter(|&at| slice[at] != 0.0) else {
            units.push(Like { class: zero, factor: 1.0 });
            continue;
        };
        let firsts = firsts.entry(largest).or_default();
        let same = |first: &&usize| {
            let (a, b) = (slice[largest], slices[**first][largest]);
            slice.iter().zip(&slices[**first]).all(|(x, y)| (x / a - y / b).abs() <= ROUNDING)
        };
        let class = firsts.iter().find(same).copied().unwrap_or_else(|| {
            firsts.push(unit);
            unit
        });
        units.push(Like { class: class as u32, factor: slice[largest] });
    }
    units
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiples_of_a_vector_are_one_class() {
        let slices = vec![vec![1.0, -2.0], vec![0.0, 0.0], vec![-2.0, 4.0], vec![1.0, 2.0], vec![0.0, 0.0]];
        let units = of_slices(slices);
        assert_eq!(units.iter().map(|u| u.class).collect::<Vec<_>>(), [0, 5, 0, 3, 5]);
        assert_eq!((units[0].factor, units[2].factor), (-2.0, 4.0));
    }
}
