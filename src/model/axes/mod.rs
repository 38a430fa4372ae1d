//! Axes: which channels, neurons and heads belong together.
//!
//! Each operator states once how the axes of its results relate to those of its operands ([`RuleText`], the notation);
//! the [`Solver`] makes one system of all statements, and knows no operator. What comes out ([`Axes`]) is an expression
//! for every axis of every value: a sum of products of leaves. A leaf that nothing pins and that reaches a constant is
//! a group ([`Groups`]); its indices are units.

mod computed;
mod env;
mod exact;
mod groups;
mod keep;
mod kind;
mod numbers;
mod solver;
#[cfg(test)]
mod solver_tests;
mod text;
mod tie;

pub(crate) use groups::places;
pub use groups::{Group, GroupId, Groups, Member};
pub use keep::{KeepSets, Kept};
pub use solver::Var;
pub(crate) use solver::{Mark, ReasonId, Shape, Solver};
pub use text::Label;
pub(crate) use text::{Expr, RuleText};

use self::env::Env;
use crate::facts::Facts;
use crate::ir::{Call, Graph, Model, Node, NodeId, ValueId};
use crate::ops::{self, AxisRule, End, Granularity, Site};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// Why an axis is pinned, or not exact.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pin {
    pub kind: PinKind,
    /// The node that asks for it.
    pub node: NodeId,
    pub why: Cow<'static, str>,
}

/// What kind of reason a pin has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PinKind {
    /// An input or output of the model: callers rely on its shape.
    Interface,
    /// Nothing is known of the operator, or not enough of its operands.
    Opaque,
    /// Two axes must be the same, and have no common form.
    Clash,
    /// The units may go, but what survives changes.
    Inexact,
    /// The operator is not made of independent units along this axis (a window, a sort, a kernel's taps).
    Structure,
}

/// A label of a call's rule, bound to a variable.
#[derive(Clone, Debug)]
pub struct Binding {
    pub name: String,
    pub var: Var,
    /// The operand slots that carry it.
    pub operands: Vec<u16>,
    /// The operand slots that carry it on two axes: it is contracted inside too, as in a recurrence.
    pub repeated: Vec<u16>,
    /// Whether it is a term of a sum in a result, or the rule keeps its results apart: that part is made by the
    /// operands that carry it, and no others.
    pub part: bool,
    /// Whether a result carries it too; if not, it is contracted, or unread.
    pub in_result: bool,
    /// Whether a result lacks it that others carry: it is contracted on the way there.
    pub missed: bool,
    pub unread: bool,
}

/// An expression for every axis of every value of a graph.
pub struct Axes {
    solver: Solver,
    values: HashMap<ValueId, Vec<Var>>,
    bindings: HashMap<NodeId, Vec<Binding>>,
    inexact_at: HashMap<NodeId, Vec<Var>>,
    /// Values whose elements are indices of an axis.
    numbers: HashMap<ValueId, Var>,
    /// How many units calls ask to stay; taken over into `floors`, by leaf.
    at_least: Vec<(NodeId, Var, usize)>,
    floors: HashMap<Var, usize>,
    /// What kind of units calls say that they have.
    roles: Vec<(Var, Granularity)>,
    reasons: Vec<Pin>,
    reason_ids: HashMap<Pin, ReasonId>,
    held: exact::LatticeValues,
}

/// Derives the axes of the main graph.
pub(crate) fn analyze(model: &Model, facts: &Facts) -> Axes {
    let graph = &model.graph;
    let mut axes = Axes {
        solver: Solver::default(),
        values: HashMap::new(),
        bindings: HashMap::new(),
        inexact_at: HashMap::new(),
        numbers: HashMap::new(),
        at_least: vec![],
        floors: HashMap::new(),
        roles: vec![],
        reasons: vec![],
        reason_ids: HashMap::new(),
        held: HashMap::new(),
    };
    let order = graph.topological();
    for value in order.iter().flat_map(|&n| graph.results(n)) {
        if let Some(shape) = facts.shape(value) {
            let vars = shape.iter().map(|d| axes.solver.fresh(d.clone())).collect();
            axes.values.insert(value, vars);
        }
    }
    let unknowns = crate::facts::Unknowns::of_axes();
    let contradictory: HashSet<NodeId> = facts.contradictions.iter().map(|c| c.node).collect();
    for &node in &order {
        match graph.node(node) {
            Node::Input(i) => {
                let why = if i.default.is_some() { "a model input with a default value" } else { "a model input" };
                axes.pin_values(graph.results(node), PinKind::Interface, node, why);
            }
            Node::Output(_) => axes.pin_operands(graph, node, 0, PinKind::Interface, "a model output"),
            Node::Constant(c) if c.is_opaque() => {
                axes.pin_values(graph.results(node), PinKind::Opaque, node, "a sparse initializer that can't be read");
            }
            Node::Constant(_) => {}
            Node::Call(_) if contradictory.contains(&node) => {
                axes.pin_call(graph, node, "its operands contradict each other");
            }
            Node::Call(call) => {
                let site = Site::new(model, graph, node, call, facts, &unknowns);
                axes.add_call(model, graph, node, call, &site);
            }
        }
    }
    axes.keep_long(graph, &order);
    computed::pin_sums(model, &mut axes);
    axes.solver.hand_down_marks();
    tie::tie_copies(graph, &mut axes);
    axes.bound_below();
    exact::mark_inexact(model, facts, &mut axes);
    axes.solver.hand_down_marks();
    axes
}

impl Axes {
    /// The variables of a value's axes; `None` where its rank is not known.
    pub fn of(&self, value: ValueId) -> Option<&[Var]> {
        self.values.get(&value).map(Vec::as_slice)
    }

    /// The union of all axes.
    pub fn solver(&self) -> &Solver {
        &self.solver
    }

    /// The labels of a call's rule.
    pub fn bindings(&self, node: NodeId) -> &[Binding] {
        self.bindings.get(&node).map_or(&[], Vec::as_slice)
    }

    /// The axes along which a call is not exact: what it makes of the units that stay depends on which these are.
    pub fn inexact_at(&self, node: NodeId) -> &[Var] {
        self.inexact_at.get(&node).map_or(&[], Vec::as_slice)
    }

    /// The reason that a mark names.
    pub fn reason(&self, id: ReasonId) -> &Pin {
        &self.reasons[id as usize]
    }

    /// Whether a value is zero at a leaf's units once their slices of all constants are.
    pub fn is_zero(&self, value: ValueId, leaf: Var) -> bool {
        self.held.get(&value).and_then(|held| held.get(&leaf)) == Some(&exact::LatticeValue::ZERO)
    }

    /// The reasons why a leaf's units stay, or are not exact.
    pub fn pins(&self, leaf: Var) -> impl Iterator<Item = &Pin> {
        self.solver.marks(leaf).iter().map(|m| match *m {
            Mark::Pin(r) | Mark::Inexact(r) => self.reason(r),
        })
    }

    fn intern(&mut self, kind: PinKind, node: NodeId, why: impl Into<Cow<'static, str>>) -> ReasonId {
        let pin = Pin { kind, node, why: why.into() };
        if let Some(&id) = self.reason_ids.get(&pin) {
            return id;
        }
        let id = self.reasons.len() as ReasonId;
        self.reasons.push(pin.clone());
        self.reason_ids.insert(pin, id);
        id
    }

    fn pin_values(&mut self, values: impl Iterator<Item = ValueId>, kind: PinKind, node: NodeId, why: &'static str) {
        let id = self.intern(kind, node, why);
        for value in values {
            let numbers = self.indices_of(value);
            for var in self.values.get(&value).cloned().unwrap_or_default().into_iter().chain(numbers) {
                self.solver.mark(var, Mark::Pin(id));
            }
        }
    }

    /// Pins what is made of too many parts to be taken apart.
    fn keep_long(&mut self, graph: &Graph, order: &[NodeId]) {
        let long = self.solver.collapse();
        if long.is_empty() {
            return;
        }
        for &node in order {
            let vars = graph.results(node).filter_map(|v| self.values.get(&v)).flatten();
            let leaves: Vec<Var> = vars.flat_map(|&var| self.solver.leaves(var)).collect();
            for leaf in leaves.into_iter().filter(|leaf| long.contains(leaf)) {
                let why = format!("it is part of an axis that is made of more than {} parts", solver::MOST_PARTS);
                let why = self.intern(PinKind::Structure, node, why);
                self.solver.mark(leaf, Mark::Pin(why));
            }
        }
    }

    fn pin_operands(&mut self, graph: &Graph, node: NodeId, from: usize, kind: PinKind, why: &'static str) {
        let operands = graph.operands(node).into_iter().skip(from).flatten();
        self.pin_values(operands.collect::<Vec<_>>().into_iter(), kind, node, why);
    }

    fn pin_call(&mut self, graph: &Graph, node: NodeId, why: &'static str) {
        self.pin_operands(graph, node, 0, PinKind::Opaque, why);
        self.pin_values(graph.results(node), PinKind::Opaque, node, why);
    }

    fn add_call(&mut self, model: &Model, graph: &Graph, node: NodeId, call: &Call, site: &Site) {
        let rule = ops::rule_of(model, call);
        let captured = usize::from(call.arity);
        self.pin_operands(graph, node, captured, PinKind::Opaque, "captured by a subgraph");
        let Some(axis_rule) = (rule.axes)(site) else {
            let why = match ops::rule(&call.domain, &call.op) {
                None => "nothing is known of this operator",
                Some(_) if model.is_local(call) => "nothing is known of this local function",
                Some(_) if !site.is_ranked() => "the rank of an operand is not known",
                Some(_) => "operands or attributes like these have no axis rule",
            };
            return self.pin_call(graph, node, why);
        };
        if !self.ranks_known(graph, node, call, &axis_rule) {
            return self.pin_call(graph, node, "the rank of an operand or a result is not known");
        }
        if self.apply(graph, node, call, &axis_rule).is_none() {
            debug_assert!(false, "{} does not fit `{}`", call.qualified(), axis_rule.text);
            self.pin_call(graph, node, "its axis rule does not fit its operands");
        }
    }

    /// Whether every value that the rule speaks of has a known rank. A result of unknown rank would let go of the
    /// operands' labels, and whoever uses it pins nothing of them.
    fn ranks_known(&self, graph: &Graph, node: NodeId, call: &Call, rule: &AxisRule) -> bool {
        let Ok(text) = RuleText::parse(&rule.text) else { return true };
        // Of what is opaque the rule says nothing.
        let operands = graph.operands(node).into_iter().take(usize::from(call.arity)).zip(&text.operands);
        let operands = operands.filter_map(|(v, axes)| Some((v?, axes)));
        let results = graph.results(node).zip(&text.results).filter(|(v, _)| !graph.value_name(*v).is_empty());
        operands.chain(results).all(|(v, axes)| axes.is_opaque() || self.values.contains_key(&v))
    }

    /// Applies a rule to a call; `None` if it does not fit.
    fn apply(&mut self, graph: &Graph, node: NodeId, call: &Call, rule: &AxisRule) -> Option<()> {
        let text = RuleText::parse(&rule.text).inspect_err(|e| debug_assert!(false, "{e}")).ok()?;
        let operands = graph.operands(node).into_iter().take(usize::from(call.arity)).collect::<Vec<_>>();
        let mut tensors: Vec<(End, Vec<Expr>, Vec<Var>)> = vec![];
        for (slot, value) in operands.iter().enumerate() {
            let Some(value) = value else { continue };
            let Some(axes) = text.operands.get(slot) else {
                self.pin_values([*value].into_iter(), PinKind::Structure, node, why_of(rule));
                continue;
            };
            let Some(vars) = self.values.get(value).cloned() else {
                // Without a rank there are no axes to pin.
                if axes.is_opaque() { continue } else { return None }
            };
            tensors.push((End::Operand(slot), axes.for_rank(vars.len())?, vars));
        }
        for (port, value) in graph.results(node).enumerate() {
            let Some(vars) = self.values.get(&value).cloned() else { continue };
            let Some(axes) = text.results.get(port) else {
                self.pin_values([value].into_iter(), PinKind::Structure, node, why_of(rule));
                continue;
            };
            tensors.push((End::Result(port), axes.for_rank(vars.len())?, vars));
        }
        let mut env = Env::new(self, node, rule);
        env.bind_plain_labels(&tensors);
        env.infer_sizes(&tensors);
        env.unify_compounds(&tensors)?;
        env.follow_numbers(graph, rule, &text)?;
        let mut bindings = env.finish(&tensors);
        env::mark_missed(call, &tensors, &mut bindings);
        bindings.iter_mut().for_each(|b| b.part |= rule.apart);
        self.bindings.insert(node, bindings);
        Some(())
    }
}

fn why_of(rule: &AxisRule) -> &'static str {
    if rule.why.is_empty() { "the operator does not work unit by unit along this axis" } else { rule.why }
}
