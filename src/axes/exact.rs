//! Where dropping a unit does not compute what zeroing its weights computes.
//!
//! The proof that every pruned model carries (the masked equivalence) compares it with the original model in which
//! the slices of the removed units are zero. Along shared labels both are the same by the rules' third law. At a
//! contraction they are the same only if some operand *is* zero at the unit in the masked model: a constant is (its
//! slice is set to zero), and so is what multiplies it; `Sigmoid` of it is not. This pass follows zeros through the
//! graph, each operator by its own laws ([`crate::ops::Rule::zero`] and `adds_nothing`), and marks as inexact the
//! leaves of every contraction that nothing keeps at zero.

use super::{Axes, Mark, PinKind, Var};
use crate::infer::Facts;
use crate::ir::{Graph, Model, Node, NodeId, Origin, ValueId};
use crate::ops::{self, Site};
use std::cell::Cell;
use std::collections::{HashMap, HashSet};

/// The leaves at whose removed units a value is zero in the masked model.
pub(super) type Zeros = HashMap<ValueId, HashSet<Var>>;

/// Marks the leaves of contractions that are not exact. What is zero where is kept with the axes.
pub(super) fn mark_inexact(model: &Model, facts: &Facts, axes: &mut Axes) {
    let graph = &model.graph;
    let zeros = zeros(model, facts, axes);
    let unknowns = Cell::new(1 << 29);
    for node in graph.topological() {
        let Some(call) = graph.call(node) else { continue };
        let site = Site::new(model, graph, node, call, facts, &unknowns);
        let rule = ops::rule_of(model, call);
        check_contractions(graph, axes, &zeros, node, |operands| (rule.adds_nothing)(&site, operands));
    }
    axes.zeros = zeros;
}

/// More rounds than this are not spent on carried values.
const ROUNDS: usize = 8;

/// What is zero where. A value that a loop carries is zero in every iteration if it is so at first, and if an iteration
/// that finds it zero leaves it zero: so it is taken to stay what it is at first, and that is taken back where the
/// iteration tells otherwise, until nothing is taken back any more.
fn zeros(model: &Model, facts: &Facts, axes: &Axes) -> Zeros {
    let carried = ops::body::carried(&model.graph);
    let mut spoilt = Zeros::new();
    for round in 0.. {
        let zeros = follow(model, facts, axes, &spoilt);
        let mut stable = true;
        for &(before, after) in &carried {
            let zero = |v: ValueId| zeros.get(&v).cloned().unwrap_or_default();
            let mut lost: HashSet<Var> = zero(before).difference(&zero(after)).copied().collect();
            if round == ROUNDS {
                lost = zero(before);
            }
            stable &= lost.is_empty();
            spoilt.entry(before).or_default().extend(lost);
        }
        if stable {
            return zeros;
        }
    }
    Zeros::new()
}

/// Follows zeros through the graph once. At the spoilt leaves a value is not zero, whatever its rule says.
fn follow(model: &Model, facts: &Facts, axes: &Axes, spoilt: &Zeros) -> Zeros {
    let graph = &model.graph;
    let mut zeros = Zeros::new();
    let unknowns = Cell::new(1 << 29);
    for node in graph.topological() {
        match graph.node(node) {
            Node::Constant(constant) => {
                for value in graph.results(node) {
                    zeros.insert(value, zeroed_leaves(axes, value, &constant.origin));
                }
            }
            Node::Call(call) => {
                let site = Site::new(model, graph, node, call, facts, &unknowns);
                let rule = ops::rule_of(model, call);
                let vanishing = vanishing(graph, axes, &zeros, node, |operands| (rule.zero)(&site, operands));
                for value in graph.results(node) {
                    let mut mine: HashSet<Var> = leaves_of(axes, value).intersection(&vanishing).copied().collect();
                    if let Some(spoilt) = spoilt.get(&value) {
                        mine.retain(|leaf| !spoilt.contains(leaf));
                    }
                    zeros.insert(value, mine);
                }
            }
            Node::Input(_) | Node::Output(_) => {}
        }
    }
    zeros
}

/// The leaves of a constant whose slices the masked model has at zero: all of one that the file has, those of traced
/// axes of one that was computed.
fn zeroed_leaves(axes: &Axes, value: ValueId, origin: &Origin) -> HashSet<Var> {
    let Origin::Computed(traces) = origin else { return leaves_of(axes, value) };
    let traced = axes.of(value).into_iter().flatten().enumerate().filter(|(i, _)| traces.iter().any(|t| t.axis == *i));
    traced.flat_map(|(_, &v)| axes.solver.leaves(v)).collect()
}

fn leaves_of(axes: &Axes, value: ValueId) -> HashSet<Var> {
    axes.of(value).into_iter().flatten().flat_map(|&v| axes.solver.leaves(v)).collect()
}

/// Which of these operands, all of which carry a label, are zero at the leaf's removed units.
fn zero_at(graph: &Graph, zeros: &Zeros, node: NodeId, slots: &[u16], leaf: Var, arity: usize) -> Vec<bool> {
    let mut out = vec![false; arity];
    for &slot in slots {
        let value = graph.operand(node, usize::from(slot));
        out[usize::from(slot)] = value.and_then(|v| zeros.get(&v)).is_some_and(|z| z.contains(&leaf));
    }
    out
}

/// The leaves at which the call's results are zero: those for which every label that holds them says so.
fn vanishing(graph: &Graph, axes: &Axes, zeros: &Zeros, node: NodeId, rule: impl Fn(&[bool]) -> bool) -> HashSet<Var> {
    let arity = graph.operands(node).len();
    let mut verdicts: HashMap<Var, bool> = HashMap::new();
    for binding in axes.bindings(node).iter().filter(|b| b.in_result) {
        for leaf in axes.solver.leaves(binding.var) {
            let mut operands = zero_at(graph, zeros, node, &binding.operands, leaf, arity);
            if binding.part {
                let others = (0..arity).filter(|&slot| !binding.operands.contains(&(slot as u16)));
                others.for_each(|slot| operands[slot] = true);
            }
            let zero = rule(&operands);
            *verdicts.entry(leaf).or_insert(true) &= zero;
        }
    }
    verdicts.into_iter().filter(|(_, zero)| *zero).map(|(leaf, _)| leaf).collect()
}

fn check_contractions(
    graph: &Graph,
    axes: &mut Axes,
    zeros: &Zeros,
    node: NodeId,
    adds_nothing: impl Fn(&[bool]) -> bool,
) {
    let arity = graph.operands(node).len();
    let mut inexact = vec![];
    for binding in axes.bindings(node).iter().filter(|b| !b.unread) {
        // A label of a result is contracted only inside, by the operands that carry it twice.
        let slots = if binding.in_result { &binding.repeated } else { &binding.operands };
        if slots.is_empty() {
            continue;
        }
        for leaf in axes.solver.leaves(binding.var) {
            let countable = axes.solver.size(leaf).size().is_some_and(|n| n > 1);
            if countable && !adds_nothing(&zero_at(graph, zeros, node, slots, leaf, arity)) {
                inexact.push(leaf);
            }
        }
    }
    if inexact.is_empty() {
        return;
    }
    let why = axes.intern(PinKind::Inexact, node, "it sums over units that do not become zero when their weights do");
    inexact.into_iter().for_each(|leaf| axes.solver.mark(leaf, Mark::Inexact(why)));
}
