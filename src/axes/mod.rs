//! Axes: which channels, neurons and heads belong together.
//!
//! Each operator states once how the axes of its results relate to those of its operands ([`RuleText`], the notation);
//! the [`Solver`] makes one system of all statements, and knows no operator. What comes out ([`Axes`]) is an expression
//! for every axis of every value: a sum of products of leaves. A leaf that nothing pins and that reaches a constant is
//! a group ([`Groups`]); its indices are units.

mod exact;
mod groups;
mod keep;
mod solver;
mod text;
mod tie;

pub use groups::{Group, GroupId, Groups, Member};
pub use keep::{KeepSets, Kept};
pub use solver::{Mark, Reason, Shape, Solver, Var};
pub use text::{Expr, Label, RuleError, RuleText};

use crate::infer::Facts;
use crate::ir::{Call, Dim, Graph, Model, Node, NodeId, ValueId};
use crate::ops::{self, AxisRule, Site};
use std::borrow::Cow;
use std::cell::Cell;
use std::collections::{HashMap, HashSet};

/// Why an axis is pinned, or not exact.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pin {
    pub kind: PinKind,
    /// The node that asks for it.
    pub node: NodeId,
    pub why: Cow<'static, str>,
}

/// What sort of reason a pin has.
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
    pub unread: bool,
}

/// An expression for every axis of every value of a graph.
pub struct Axes {
    solver: Solver,
    values: HashMap<ValueId, Vec<Var>>,
    bindings: HashMap<NodeId, Vec<Binding>>,
    reasons: Vec<Pin>,
    reason_ids: HashMap<Pin, Reason>,
    zeros: exact::Zeros,
}

/// Derives the axes of the main graph.
pub fn analyze(model: &Model, facts: &Facts) -> Axes {
    let graph = &model.graph;
    let mut axes = Axes {
        solver: Solver::default(),
        values: HashMap::new(),
        bindings: HashMap::new(),
        reasons: vec![],
        reason_ids: HashMap::new(),
        zeros: HashMap::new(),
    };
    let order = graph.topological();
    for value in order.iter().flat_map(|&n| graph.results(n)) {
        if let Some(shape) = facts.shape(value) {
            let vars = shape.iter().map(|d| axes.solver.fresh(d.clone())).collect();
            axes.values.insert(value, vars);
        }
    }
    let unknowns = Cell::new(1 << 28);
    let contradictory: HashSet<NodeId> = facts.contradictions.iter().map(|c| c.node).collect();
    for &node in &order {
        match graph.node(node) {
            Node::Input(i) => {
                let why = if i.default.is_some() { "a model input with a default value" } else { "a model input" };
                axes.pin_values(graph.results(node), PinKind::Interface, node, why);
            }
            Node::Output(_) => axes.pin_operands(graph, node, 0, PinKind::Interface, "a model output"),
            Node::Constant(c) if matches!(c.form, crate::ir::Form::Sparse { .. }) => {
                axes.pin_values(graph.results(node), PinKind::Opaque, node, "a sparse initializer");
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
    axes.solver.settle();
    tie::tie_copies(graph, &mut axes);
    exact::mark_inexact(model, facts, &mut axes);
    axes.solver.settle();
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

    /// The reason that a mark names.
    pub fn reason(&self, id: Reason) -> &Pin {
        &self.reasons[id as usize]
    }

    /// Whether a value is zero at a leaf's units once their slices of all constants are.
    pub fn is_zero(&self, value: ValueId, leaf: Var) -> bool {
        self.zeros.get(&value).is_some_and(|leaves| leaves.contains(&leaf))
    }

    /// The reasons why a leaf's units stay, or are not exact.
    pub fn pins(&self, leaf: Var) -> impl Iterator<Item = &Pin> {
        self.solver.marks(leaf).iter().map(|m| match *m {
            Mark::Pin(r) | Mark::Inexact(r) => self.reason(r),
        })
    }

    fn intern(&mut self, kind: PinKind, node: NodeId, why: impl Into<Cow<'static, str>>) -> Reason {
        let pin = Pin { kind, node, why: why.into() };
        if let Some(&id) = self.reason_ids.get(&pin) {
            return id;
        }
        let id = self.reasons.len() as Reason;
        self.reasons.push(pin.clone());
        self.reason_ids.insert(pin, id);
        id
    }

    fn pin_values(&mut self, values: impl Iterator<Item = ValueId>, kind: PinKind, node: NodeId, why: &'static str) {
        let id = self.intern(kind, node, why);
        for value in values {
            for var in self.values.get(&value).cloned().unwrap_or_default() {
                self.solver.mark(var, Mark::Pin(id));
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
            return self.pin_call(graph, node, "no axis rule for this operator, or not enough known of its operands");
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
        let mut tensors: Vec<(Option<u16>, Vec<Expr>, Vec<Var>)> = vec![];
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
            tensors.push((Some(slot as u16), axes.for_rank(vars.len())?, vars));
        }
        for (port, value) in graph.results(node).enumerate() {
            let Some(vars) = self.values.get(&value).cloned() else { continue };
            let Some(axes) = text.results.get(port) else {
                self.pin_values([value].into_iter(), PinKind::Structure, node, why_of(rule));
                continue;
            };
            tensors.push((None, axes.for_rank(vars.len())?, vars));
        }
        let mut env = Env::new(self, node, rule);
        env.bind_plain_labels(&tensors);
        env.infer_sizes(&tensors);
        env.unify_compounds(&tensors)?;
        let mut bindings = env.finish(&tensors);
        bindings.iter_mut().for_each(|b| b.part |= rule.apart);
        self.bindings.insert(node, bindings);
        Some(())
    }
}

fn why_of(rule: &AxisRule) -> &'static str {
    if rule.why.is_empty() { "the operator does not work unit by unit along this axis" } else { rule.why }
}

/// The labels of one call while its rule is applied.
struct Env<'a> {
    axes: &'a mut Axes,
    clash: Reason,
    structure: Reason,
    inexact: Reason,
    labels: HashMap<String, Var>,
    sizes: HashMap<String, Dim>,
}

type Tensors = [(Option<u16>, Vec<Expr>, Vec<Var>)];

impl<'a> Env<'a> {
    fn new(axes: &'a mut Axes, node: NodeId, rule: &AxisRule) -> Env<'a> {
        let clash = axes.intern(PinKind::Clash, node, "the axes that meet here can't be taken apart alike");
        let structure = axes.intern(PinKind::Structure, node, why_of(rule));
        let why = if rule.why.is_empty() { "what survives depends on how many there are" } else { rule.why };
        let inexact = axes.intern(PinKind::Inexact, node, why);
        Env { axes, clash, structure, inexact, labels: HashMap::new(), sizes: rule.sizes.iter().cloned().collect() }
    }

    /// Axes that are one label: the label is the axis. An axis of length 1 under a longer label is a broadcast.
    fn bind_plain_labels(&mut self, tensors: &Tensors) {
        for (_, exprs, vars) in tensors {
            for (expr, &var) in exprs.iter().zip(vars) {
                let Expr::Label(label) = expr else { continue };
                if *self.axes.solver.size(var) == Dim::Fixed(1) {
                    continue;
                }
                match self.labels.get(&label.name) {
                    Some(&bound) => self.axes.solver.unify(bound, var, self.clash),
                    None => _ = self.labels.insert(label.name.clone(), var),
                }
            }
        }
        for (name, &var) in &self.labels {
            self.sizes.entry(name.clone()).or_insert_with(|| self.axes.solver.size(var).clone());
        }
        // Labels that stand alone somewhere but are of length 1 everywhere.
        for (_, exprs, _) in tensors {
            for expr in exprs {
                if let Expr::Label(label) = expr {
                    self.sizes.entry(label.name.clone()).or_insert(Dim::Fixed(1));
                }
            }
        }
    }

    /// Sizes of labels inside products and sums, where all others of the axis are known.
    fn infer_sizes(&mut self, tensors: &Tensors) {
        for _ in 0..3 {
            for (_, exprs, vars) in tensors {
                for (expr, &var) in exprs.iter().zip(vars) {
                    let size = self.axes.solver.size(var).clone();
                    self.infer_size(expr, &size);
                }
            }
        }
    }

    fn infer_size(&mut self, expr: &Expr, size: &Dim) {
        match expr {
            Expr::Label(l) => _ = self.sizes.entry(l.name.clone()).or_insert_with(|| size.clone()),
            Expr::Product(parts) | Expr::Sum(parts) => {
                let unknown: Vec<&Expr> = parts.iter().filter(|p| self.size_of(p).is_none()).collect();
                let [one] = unknown[..] else { return };
                let known = parts.iter().filter_map(|p| self.size_of(p));
                let rest = match expr {
                    Expr::Product(_) => size.div_exact(&known.product()),
                    _ => Some(size.clone() - known.sum::<Dim>()),
                };
                if let Some(rest) = rest {
                    self.infer_size(one, &rest);
                }
            }
            _ => {}
        }
    }

    fn size_of(&self, expr: &Expr) -> Option<Dim> {
        match expr {
            Expr::Broadcast => Some(Dim::Fixed(1)),
            Expr::Fixed(n) => Some(Dim::from(*n)),
            Expr::Pinned => None,
            Expr::Label(l) => self.sizes.get(&l.name).cloned(),
            Expr::Product(p) => {
                p.iter().map(|e| self.size_of(e)).collect::<Option<Vec<_>>>().map(|v| v.into_iter().product())
            }
            Expr::Sum(p) => p.iter().map(|e| self.size_of(e)).collect::<Option<Vec<_>>>().map(|v| v.into_iter().sum()),
        }
    }

    /// Axes that are more than one label: each is unified with what its rule says it is made of.
    fn unify_compounds(&mut self, tensors: &Tensors) -> Option<()> {
        for (_, exprs, vars) in tensors {
            for (expr, &var) in exprs.iter().zip(vars) {
                match expr {
                    Expr::Label(_) | Expr::Broadcast => {}
                    Expr::Pinned => self.axes.solver.mark(var, Mark::Pin(self.structure)),
                    _ => {
                        let made_of = self.build(expr)?;
                        self.axes.solver.unify(var, made_of, self.clash);
                    }
                }
            }
        }
        Some(())
    }

    fn build(&mut self, expr: &Expr) -> Option<Var> {
        Some(match expr {
            Expr::Broadcast => self.axes.solver.fresh(Dim::Fixed(1)),
            Expr::Pinned => return None,
            Expr::Fixed(n) => {
                let var = self.axes.solver.fresh(Dim::from(*n));
                self.axes.solver.mark(var, Mark::Pin(self.structure));
                var
            }
            Expr::Label(l) => match self.labels.get(&l.name) {
                Some(&var) => var,
                None => {
                    let var = self.axes.solver.fresh(self.sizes.get(&l.name)?.clone());
                    self.labels.insert(l.name.clone(), var);
                    var
                }
            },
            Expr::Product(p) => {
                let parts = p.iter().map(|e| self.build(e)).collect::<Option<Vec<_>>>()?;
                self.axes.solver.product(parts)
            }
            Expr::Sum(p) => {
                let parts = p.iter().map(|e| self.build(e)).collect::<Option<Vec<_>>>()?;
                self.axes.solver.sum(parts)
            }
        })
    }

    /// The bindings of all labels, marks included.
    fn finish(mut self, tensors: &Tensors) -> Vec<Binding> {
        let mut bindings: Vec<Binding> = vec![];
        for (slot, exprs, _) in tensors {
            let mut seen: HashMap<String, usize> = HashMap::new();
            for (axis, expr) in exprs.iter().enumerate() {
                for label in expr.labels() {
                    let Some(binding) = self.binding(&mut bindings, label) else { continue };
                    let other_axis = *seen.entry(label.name.clone()).or_insert(axis) != axis;
                    match slot {
                        Some(slot) if other_axis => binding.repeated.push(*slot),
                        Some(slot) if binding.operands.contains(slot) => {}
                        Some(slot) => binding.operands.push(*slot),
                        None => binding.in_result = true,
                    }
                    binding.part |= slot.is_none() && matches!(expr, Expr::Sum(_));
                    binding.unread |= label.unread;
                }
            }
        }
        bindings
    }

    /// The binding of a label, a new one where it is met for the first time.
    fn binding<'b>(&mut self, bindings: &'b mut Vec<Binding>, label: &Label) -> Option<&'b mut Binding> {
        let var = self.build(&Expr::Label(label.clone()))?;
        if label.inexact {
            self.axes.solver.mark(var, Mark::Inexact(self.inexact));
        }
        let at = bindings.iter().position(|b| b.name == label.name).unwrap_or_else(|| {
            let name = label.name.clone();
            let (operands, repeated) = (vec![], vec![]);
            bindings.push(Binding { name, var, operands, repeated, part: false, in_result: false, unread: false });
            bindings.len() - 1
        });
        bindings.get_mut(at)
    }
}
