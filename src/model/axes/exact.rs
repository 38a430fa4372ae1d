//! Where dropping a unit does not compute what zeroing its weights computes.
//!
//! The proof that every pruned model carries (the masked equivalence) compares it with the original model in which
//! the slices of the removed units are zero. Along shared labels both are the same by the rules' third law. At a
//! contraction they are the same only if some operand *is* zero at the unit in the masked model: a constant is (its
//! slice is set to zero), and so is what multiplies it; `Sigmoid` of it is not. This pass follows zeros through the
//! graph, each operator by its own laws ([`crate::ops::ZeroLaws`]), and marks as inexact the
//! leaves of every contraction that nothing keeps at zero. A result that lacks a label of the others (the scale beside
//! a quantized tensor) contracts it.
//!
//! A quantized number stands for its distance from a zero point ([`crate::ops::Quantization`]). So what is followed
//! is the number that a value holds at all removed units, a lattice value (one number, or unknown): an operand is zero where
//! it holds its zero point, and a result that is zero holds its own. For everything else the zero point is 0.

use super::{Axes, Binding, Mark, PinKind, Var};
use crate::facts::Facts;
use crate::ir::{Constant, Dim, Graph, Model, Node, NodeId, Origin, ValueId};
use crate::ops::{self, End, Rule, Site};
use std::collections::{HashMap, HashSet};

/// A number that is the same at all removed units of a leaf.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum LatticeValue {
    Number(f64),
    /// The one element of this value, which is known at run time only.
    Element(ValueId),
}

impl LatticeValue {
    pub(super) const ZERO: LatticeValue = LatticeValue::Number(0.0);
}

/// The lattice values of values, by leaf. A leaf that is not there has units of different numbers, or unknown ones.
pub(super) type LatticeValues = HashMap<ValueId, HashMap<Var, LatticeValue>>;

/// Marks the leaves of contractions that are not exact. What is zero where is kept with the axes.
pub(super) fn mark_inexact(model: &Model, facts: &Facts, axes: &mut Axes) {
    let (held, inexact, offsets) = fixpoint(model, facts, axes);
    axes.held = held;
    for (node, leaves) in inexact {
        for (leaf, why) in leaves {
            let why = match offsets.get(&leaf).filter(|_| why == COMBINES) {
                Some((at, why)) => axes.intern(PinKind::Inexact, *at, why.clone()),
                None => axes.intern(PinKind::Inexact, node, why),
            };
            axes.solver.mark(leaf, Mark::Inexact(why));
            axes.inexact_at.entry(node).or_default().push(leaf);
        }
    }
}

/// Where weights of 0 stand for another number than zero, by leaf, and what to say of it.
type Offsets = HashMap<Var, (NodeId, String)>;

/// The leaves along which calls are not exact, and why.
type Inexact = Vec<(NodeId, Vec<(Var, &'static str)>)>;

const COMBINES: &str = "it combines units that do not become zero when their weights do";
const POLE: &str = "where weights become zero it is infinite or no number";

/// Leaves at which what values hold is invalidated, whatever the rules say.
type Invalidated = HashMap<ValueId, HashSet<Var>>;

/// More rounds than this are not spent on carried values.
const ROUNDS: usize = 8;

/// What all values hold. A value that a loop carries holds one number in every iteration if it holds it at first, and if
/// an iteration that finds it so leaves it so: so it is taken to stay what it is at first, and that is invalidated where
/// the iteration tells otherwise, until nothing is invalidated any more: the greatest fixpoint.
fn fixpoint(model: &Model, facts: &Facts, axes: &Axes) -> (LatticeValues, Inexact, Offsets) {
    let carried = ops::body::carried(&model.graph);
    let mut invalidated = Invalidated::new();
    for round in 0.. {
        let (held, inexact, offsets) = follow(model, facts, axes, &invalidated);
        let mut stable = true;
        for &(before, after) in &carried {
            let at = |v: ValueId, leaf: &Var| held.get(&v).and_then(|l| l.get(leaf)).copied();
            let lost = held.get(&before).into_iter().flat_map(HashMap::keys);
            let lost: Vec<Var> =
                lost.filter(|leaf| round == ROUNDS || at(before, leaf) != at(after, leaf)).copied().collect();
            stable &= lost.is_empty();
            invalidated.entry(before).or_default().extend(lost);
        }
        if stable {
            return (held, inexact, offsets);
        }
    }
    unreachable!("after the last round no carried value holds anything")
}

/// Follows lattice values through the graph once.
fn follow(model: &Model, facts: &Facts, axes: &Axes, invalidated: &Invalidated) -> (LatticeValues, Inexact, Offsets) {
    let graph = &model.graph;
    let (mut held, mut found, mut offsets) = (LatticeValues::new(), Inexact::new(), Offsets::new());
    let unknowns = crate::facts::Unknowns::of_questions();
    for node in graph.topological() {
        match graph.node(node) {
            Node::Constant(constant) => {
                for value in graph.results(node) {
                    let zeroed = zeroed_leaves(axes, value, constant);
                    held.insert(value, zeroed.into_iter().map(|leaf| (leaf, LatticeValue::ZERO)).collect());
                }
            }
            Node::Call(call) => {
                let site = Site::new(model, graph, node, call, facts, &unknowns);
                let zeros = (0..site.arity()).map(|slot| is_one_zero(&site, slot)).collect();
                let rule = ops::rule_of(model, call);
                let at = At { graph, facts, axes, held: &held, node, site: &site, zeros, rule };
                let (inexact, mut results) = (at.inexact(), at.results());
                at.offsets(&mut offsets);
                for (value, held) in &mut results {
                    let invalidated = invalidated.get(value);
                    held.retain(|leaf, _| !invalidated.is_some_and(|s| s.contains(leaf)));
                }
                held.extend(results);
                if !inexact.is_empty() {
                    found.push((node, inexact));
                }
            }
            Node::Input(_) | Node::Output(_) => {}
        }
    }
    (held, found, offsets)
}

/// The leaves of a constant whose slices the masked model has at zero: all of one that the file has, or that is zero
/// throughout, and those of traced axes of one that was computed.
fn zeroed_leaves(axes: &Axes, value: ValueId, constant: &Constant) -> HashSet<Var> {
    let Origin::Computed(traces) = &constant.origin else { return leaves_of(axes, value) };
    if constant.tensor.to_f64().is_ok_and(|numbers| numbers.iter().all(|&x| x == 0.0)) {
        return leaves_of(axes, value);
    }
    let traced = axes.of(value).into_iter().flatten().enumerate().filter(|(i, _)| traces.iter().any(|t| t.axis == *i));
    traced.flat_map(|(_, &v)| axes.solver.leaves(v)).collect()
}

fn leaves_of(axes: &Axes, value: ValueId) -> HashSet<Var> {
    axes.of(value).into_iter().flatten().flat_map(|&v| axes.solver.leaves(v)).collect()
}

/// Whether an operand is a constant of one element, the number 0.
fn is_one_zero(site: &Site, slot: usize) -> bool {
    let single = site.tensor(slot).filter(|t| t.count() == 1 && t.dtype.is_float());
    single.and_then(|t| t.to_f64().ok()).is_some_and(|numbers| numbers == [0.0])
}

/// A call, with what its operands hold.
struct At<'a> {
    graph: &'a Graph,
    facts: &'a Facts,
    axes: &'a Axes,
    held: &'a LatticeValues,
    node: NodeId,
    site: &'a Site<'a>,
    /// Which operands are one zero for all units.
    zeros: Vec<bool>,
    rule: &'static Rule,
}

/// What a call's results hold at removed units.
#[derive(Clone, Copy, PartialEq)]
enum Verdict {
    Unknown,
    /// Their zero points.
    Zero,
    /// What the operands hold there.
    Same(LatticeValue),
}

impl At<'_> {
    fn value(&self, end: End) -> Option<ValueId> {
        match end {
            End::Operand(slot) => self.graph.operand(self.node, slot),
            End::Result(port) => Some(ValueId { node: self.node, port: port as u16 }),
        }
    }

    fn held(&self, slot: u16, leaf: Var) -> Option<LatticeValue> {
        let value = self.graph.operand(self.node, usize::from(slot))?;
        self.held.get(&value)?.get(&leaf).copied()
    }

    /// What stands for zero at an end of the call.
    fn zero_value(&self, end: End, leaf: Var) -> Option<LatticeValue> {
        let Some(zero_point) = (self.rule.quantization.zero_point)(end).and_then(|end| self.value(end)) else {
            return Some(LatticeValue::ZERO);
        };
        if leaves_of(self.axes, zero_point).contains(&leaf) {
            return self.held.get(&zero_point)?.get(&leaf).copied();
        }
        if let Some(tensor) = self.graph.tensor(zero_point) {
            let numbers = tensor.to_f64().ok()?;
            let first = *numbers.first()?;
            return numbers.iter().all(|&x| x == first).then_some(LatticeValue::Number(first));
        }
        let single = self.facts.shape(zero_point)?.iter().all(|d| *d == Dim::Fixed(1));
        single.then_some(LatticeValue::Element(zero_point))
    }

    /// Which of these operands, all of which carry a label, are as asked at the leaf's removed units.
    fn which(&self, slots: &[u16], wanted: impl Fn(u16) -> bool) -> Vec<bool> {
        let mut out = vec![false; self.site.arity()];
        for &slot in slots {
            if let Some(at) = out.get_mut(usize::from(slot)) {
                *at = wanted(slot);
            }
        }
        out
    }

    fn zero_at(&self, slots: &[u16], leaf: Var) -> Vec<bool> {
        self.which(slots, |slot| {
            let held = self.held(slot, leaf);
            held.is_some() && held == self.zero_value(End::Operand(usize::from(slot)), leaf)
        })
    }

    /// What the results hold, by the leaves that each carries.
    fn results(&self) -> Vec<(ValueId, HashMap<Var, LatticeValue>)> {
        let verdicts = self.verdicts();
        let held = |port: usize, leaf: Var| match verdicts.get(&leaf)? {
            Verdict::Unknown => None,
            Verdict::Zero => self.zero_value(End::Result(port), leaf),
            Verdict::Same(held) => Some(*held),
        };
        let of = |(port, value): (usize, ValueId)| {
            let leaves = leaves_of(self.axes, value).into_iter();
            (value, leaves.filter_map(|leaf| Some((leaf, held(port, leaf)?))).collect())
        };
        self.graph.results(self.node).enumerate().map(of).collect()
    }

    /// What every label that holds a leaf says of it.
    fn verdicts(&self) -> HashMap<Var, Verdict> {
        let mut verdicts: HashMap<Var, Verdict> = HashMap::new();
        for binding in self.axes.bindings(self.node).iter().filter(|b| b.in_result) {
            for leaf in self.axes.solver.leaves(binding.var) {
                let verdict = self.verdict(binding, leaf);
                let all = verdicts.entry(leaf).or_insert(verdict);
                *all = if *all == verdict { verdict } else { Verdict::Unknown };
            }
        }
        verdicts
    }

    fn verdict(&self, binding: &Binding, leaf: Var) -> Verdict {
        let vanishes = |mut operands: Vec<bool>| {
            if binding.part {
                let others = (0..operands.len()).filter(|&slot| !binding.operands.contains(&(slot as u16)));
                others.collect::<Vec<_>>().into_iter().for_each(|slot| operands[slot] = true);
            }
            (self.rule.zeros.results)(self.site, &operands)
        };
        let mut zero = self.zero_at(&binding.operands, leaf);
        // What is one zero for all units is zero at these.
        for slot in (0..zero.len()).filter(|&slot| self.zeros[slot]) {
            zero[slot] |= !binding.operands.contains(&(slot as u16));
        }
        if vanishes(zero) {
            return Verdict::Zero;
        }
        // What only moves its operand about does with any number what it does with zero.
        let candidates = binding
            .operands
            .iter()
            .filter(|_| self.rule.values.data_movement)
            .filter_map(|&slot| self.held(slot, leaf));
        let same = |held: &LatticeValue| vanishes(self.which(&binding.operands, |s| self.held(s, leaf) == Some(*held)));
        candidates.into_iter().find(same).map_or(Verdict::Unknown, Verdict::Same)
    }

    /// Adds the leaves at which an operand is 0 while its zero point is another number.
    fn offsets(&self, offsets: &mut Offsets) {
        for slot in 0..self.site.arity() {
            let Some(value) = self
                .value(End::Operand(slot))
                .filter(|_| (self.rule.quantization.zero_point)(End::Operand(slot)).is_some())
            else {
                continue;
            };
            let zeros = self.held.get(&value).into_iter().flatten().filter(|(_, held)| **held == LatticeValue::ZERO);
            for (&leaf, _) in zeros {
                let what = match self.zero_value(End::Operand(slot), leaf) {
                    Some(LatticeValue::ZERO) => continue,
                    Some(LatticeValue::Number(zero_point)) => format!("its weights have the zero point {zero_point}"),
                    Some(LatticeValue::Element(_)) | None => {
                        "its weights have several zero points, or an unknown one".into()
                    }
                };
                let why = format!("{what}: a weight that the proof sets to 0 is not zero there");
                offsets.entry(leaf).or_insert((self.node, why));
            }
        }
    }

    /// The leaves of contractions that nothing keeps at zero, and those at whose zeros the call has a pole.
    fn inexact(&self) -> Vec<(Var, &'static str)> {
        let mut inexact = vec![];
        for binding in self.axes.bindings(self.node).iter().filter(|b| !b.unread) {
            for leaf in self.countable(binding) {
                if (self.rule.zeros.pole)(self.site, &self.zero_at(&binding.operands, leaf)) {
                    inexact.push((leaf, POLE));
                }
            }
            // A label of all results is contracted only inside, by the operands that carry it twice.
            let everywhere = binding.in_result && !binding.missed;
            let slots = if everywhere { &binding.repeated } else { &binding.operands };
            if slots.is_empty() {
                continue;
            }
            for leaf in self.countable(binding) {
                let nothing = (self.rule.zeros.absorbing)(self.site, &self.zero_at(slots, leaf));
                // What a recurrence contracts are its own results.
                let silent = || everywhere && self.verdict(binding, leaf) == Verdict::Zero;
                if !nothing && !silent() {
                    inexact.push((leaf, COMBINES));
                }
            }
        }
        inexact
    }

    /// The leaves of a label that have more than one unit.
    fn countable(&self, binding: &Binding) -> impl Iterator<Item = Var> {
        let leaves = self.axes.solver.leaves(binding.var).into_iter();
        leaves.filter(|&leaf| self.axes.solver.size(leaf).size().is_some_and(|n| n > 1))
    }
}
