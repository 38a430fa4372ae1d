//! Units that are alike: what one is on every input, another is times a number.
//!
//! Each unit of a value belongs to a class and has a factor: it is the factor times what the class stands for. Slices of
//! constants are compared number by number. Through a call, units of equal operands are equal, because along a label
//! without mark the operator does the same to each (the rules' third law); and operands that are multiplied by one
//! number make a result that is, where the operator is homogeneous in them.

use super::Surroundings;
use super::constants::Constants;
use super::slices::{self, Slice};
use crate::axes::{Binding, Var};
use crate::ir::{DType, Node, NodeId, Tensor, ValueId};
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
    constants: &'a Constants,
    values: HashMap<(ValueId, Var), Vec<Like>>,
}

impl<'a> Alike<'a> {
    /// Follows classes through the analyzed model.
    pub(super) fn of(around: &'a Surroundings<'a>, constants: &'a Constants) -> Alike<'a> {
        let mut alike = Alike { around, constants, values: HashMap::new() };
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
            let Some(indices) = self.constants.along(value, axis) else { return };
            let units = self.around.axes().units_of(var, leaf);
            let slices = slices::of_units(&tensor.shape, axis, indices, &units, self.around.size(leaf));
            let numbers = Numbers { tensor, axis, indices: indices_of(&units, slices.len()) };
            self.values.insert((value, leaf), of_slices(&slices, |a, b| numbers.are_multiples(&slices, a, b)));
            tensor.release();
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

/// How far apart the means of multiples may be, scaled to their largest number: they differ by no more than their numbers do,
/// and by what rounds them.
const CELL: f64 = 4.0 * ROUNDING;

/// Classes of vectors that are multiples of each other, as the comparison of two by number says; only those are compared
/// that have their largest number at the same place, and about the same mean.
fn of_slices(slices: &[Slice], mut are_multiples: impl FnMut(usize, usize) -> bool) -> Vec<Like> {
    // Zeros are a class of their own, which units that have none never get.
    let zero = slices.len() as u32;
    let mut firsts: HashMap<(usize, i64), Vec<usize>> = HashMap::new();
    let mut units: Vec<Like> = vec![];
    for (unit, slice) in slices.iter().enumerate() {
        if slice.count == 0 || slice.largest == 0.0 {
            units.push(Like { class: zero, factor: 1.0 });
            continue;
        }
        let mean = slice.sum / slice.count as f64 / slice.largest;
        // What is not finite is a multiple of nothing, and numbers beyond all bounds are compared with one another.
        let cell = if mean.is_finite() { (mean / CELL).floor() as i64 } else { i64::MAX / 2 };
        let near = [cell - 1, cell, cell + 1].into_iter().filter_map(|cell| firsts.get(&(slice.at, cell)));
        let mut near: Vec<usize> = near.flatten().copied().collect();
        near.sort_unstable();
        let class = near.into_iter().find(|&first| are_multiples(first, unit)).unwrap_or_else(|| {
            firsts.entry((slice.at, cell)).or_default().push(unit);
            unit
        });
        units.push(Like { class: class as u32, factor: slice.largest });
    }
    units
}

/// The indices of each unit along an axis.
fn indices_of(units: &[Option<u32>], size: usize) -> Vec<Vec<usize>> {
    let mut indices = vec![vec![]; size];
    units.iter().enumerate().for_each(|(at, unit)| unit.iter().for_each(|&u| indices[u as usize].push(at)));
    indices
}

/// The numbers of a constant, by the units of an axis.
struct Numbers<'a> {
    tensor: &'a Tensor,
    axis: usize,
    indices: Vec<Vec<usize>>,
}

impl Numbers<'_> {
    /// Whether the numbers of two units are the same but for rounding, scaled to their largest ones.
    fn are_multiples(&self, slices: &[Slice], a: usize, b: usize) -> bool {
        let Ok(raw) = self.tensor.raw() else { return false };
        macro_rules! compare {
            ($read:expr) => {{
                let numbers = raw.as_chunks().0;
                let (x, y) = (slices[b].largest, slices[a].largest);
                let same = |(i, j): (usize, usize)| ($read(numbers[j]) / x - $read(numbers[i]) / y).abs() <= ROUNDING;
                self.places(a).zip(self.places(b)).all(same)
            }};
        }
        match self.tensor.dtype {
            DType::F32 => compare!(|n| f64::from(f32::from_le_bytes(n))),
            DType::F64 => compare!(f64::from_le_bytes),
            DType::F16 => compare!(|n| half::f16::from_le_bytes(n).to_f64()),
            DType::BF16 => compare!(|n| half::bf16::from_le_bytes(n).to_f64()),
            _ => false,
        }
    }

    /// Where the numbers of a unit stand, in order.
    fn places(&self, unit: usize) -> impl Iterator<Item = usize> + '_ {
        let inner: usize = self.tensor.shape[self.axis + 1..].iter().product();
        let (outer, length) = (self.tensor.shape[..self.axis].iter().product(), self.tensor.shape[self.axis]);
        let starts = (0..outer).flat_map(move |o| self.indices[unit].iter().map(move |i| (o * length + i) * inner));
        starts.flat_map(move |start| start..start + inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiples_of_a_vector_are_one_class() {
        let tensor = Tensor::from_f32(vec![5, 2], &[1.0, -2.0, 0.0, 0.0, -2.0, 4.0, 1.0, 2.0, 0.0, 0.0]);
        let slices = slices::along(&tensor, 0).unwrap();
        let numbers = Numbers { tensor: &tensor, axis: 0, indices: (0..5).map(|i| vec![i]).collect() };
        let units = of_slices(&slices, |a, b| numbers.are_multiples(&slices, a, b));
        assert_eq!(units.iter().map(|u| u.class).collect::<Vec<_>>(), [0, 5, 0, 3, 5]);
        assert_eq!((units[0].factor, units[2].factor), (-2.0, 4.0));
    }

    #[test]
    fn few_are_compared() {
        let draw = |k: usize| (k.wrapping_mul(2_654_435_761) >> 7) as f32 % 1013.0 - 506.0;
        let numbers: Vec<f32> = (0..600 * 9).map(draw).collect();
        let tensor = Tensor::from_f32(vec![600, 9], &numbers);
        let slices = slices::along(&tensor, 0).unwrap();
        let mut compared = 0;
        let units = of_slices(&slices, |_, _| {
            compared += 1;
            false
        });
        assert_eq!(units.len(), 600);
        assert!(compared < 60, "{compared} comparisons");
    }
}
