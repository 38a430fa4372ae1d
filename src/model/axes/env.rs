//! The labels of one call while its rule is applied: what they are bound to, and how long they are.

use super::{Axes, Binding, Expr, Label, Mark, PinKind, ReasonId, Var, why_of};
use crate::ir::{Call, Dim, NodeId};
use crate::ops::{AxisRule, End};
use std::collections::{HashMap, HashSet};

/// The labels of one call while its rule is applied.
pub(super) struct Env<'a> {
    pub(super) axes: &'a mut Axes,
    pub(super) node: NodeId,
    pub(super) clash: ReasonId,
    pub(super) structure: ReasonId,
    inexact: ReasonId,
    labels: HashMap<String, Var>,
    sizes: HashMap<String, Dim>,
}

pub(super) type Tensors = [(End, Vec<Expr>, Vec<Var>)];

impl<'a> Env<'a> {
    pub(super) fn new(axes: &'a mut Axes, node: NodeId, rule: &AxisRule) -> Env<'a> {
        let clash = axes.intern(PinKind::Clash, node, "the axes that meet here can't be split in the same way");
        let structure = axes.intern(PinKind::Structure, node, why_of(rule));
        let why = if rule.why.is_empty() {
            "what it makes of the units that stay depends on those that go"
        } else {
            rule.why
        };
        let inexact = axes.intern(PinKind::Inexact, node, why);
        Env {
            axes,
            node,
            clash,
            structure,
            inexact,
            labels: HashMap::new(),
            sizes: rule.sizes.iter().cloned().collect(),
        }
    }

    /// Axes that are one label: the label is the axis. An axis of length 1 under a longer label is a broadcast.
    pub(super) fn bind_plain_labels(&mut self, tensors: &Tensors) {
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
    pub(super) fn infer_sizes(&mut self, tensors: &Tensors) {
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
    pub(super) fn unify_compounds(&mut self, tensors: &Tensors) -> Option<()> {
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

    /// Whether a label is bound.
    pub(super) fn has(&self, label: &str) -> bool {
        self.labels.contains_key(label)
    }

    /// The variable of a label.
    pub(super) fn var(&mut self, label: &str) -> Option<Var> {
        self.build(&Expr::label(label))
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
    pub(super) fn finish(mut self, tensors: &Tensors) -> Vec<Binding> {
        let (mut bindings, mut places) = (vec![], HashMap::new());
        for (end, exprs, _) in tensors {
            let mut seen: HashMap<String, usize> = HashMap::new();
            for (axis, expr) in exprs.iter().enumerate() {
                for label in expr.labels() {
                    let Some(binding) = self.binding(&mut bindings, &mut places, label) else { continue };
                    let other_axis = *seen.entry(label.name.clone()).or_insert(axis) != axis;
                    match *end {
                        End::Operand(slot) if other_axis => binding.repeated.push(slot as u16),
                        // Operands come in their order.
                        End::Operand(slot) if binding.operands.last() == Some(&(slot as u16)) => {}
                        End::Operand(slot) => binding.operands.push(slot as u16),
                        End::Result(_) => binding.in_result = true,
                    }
                    binding.part |= matches!((end, expr), (End::Result(_), Expr::Sum(_)));
                    binding.unread |= label.unread;
                }
            }
        }
        bindings
    }

    /// The binding of a label, a new one where it is met for the first time.
    fn binding<'b>(
        &mut self,
        bindings: &'b mut Vec<Binding>,
        places: &mut HashMap<String, usize>,
        label: &Label,
    ) -> Option<&'b mut Binding> {
        let var = self.build(&Expr::Label(label.clone()))?;
        if label.inexact {
            self.axes.solver.mark(var, Mark::Inexact(self.inexact));
            self.axes.inexact_at.entry(self.node).or_default().push(var);
        }
        let at = *places.entry(label.name.clone()).or_insert_with_key(|name| {
            let name = name.clone();
            let (operands, repeated) = (vec![], vec![]);
            let (part, in_result, missed, unread) = (false, false, false, false);
            bindings.push(Binding { name, var, operands, repeated, part, in_result, missed, unread });
            bindings.len() - 1
        });
        bindings.get_mut(at)
    }
}

/// Marks the labels that a used result lacks although others carry them. A term of a sum in an operand is a part that
/// this result is not made of; any other label is contracted.
pub(super) fn mark_missed(call: &Call, tensors: &Tensors, bindings: &mut [Binding]) {
    let names = |exprs: &[Expr]| exprs.iter().flat_map(Expr::labels).map(|l| l.name.clone()).collect::<HashSet<_>>();
    let used = |port: usize| call.results.get(port).is_some_and(|name| !name.is_empty());
    let results = tensors.iter().filter(|t| matches!(t.0, End::Result(port) if used(port)));
    let results: Vec<HashSet<String>> = results.map(|t| names(&t.1)).collect();
    if results.len() < 2 {
        return;
    }
    let sums = tensors.iter().filter(|t| matches!(t.0, End::Operand(_))).flat_map(|t| &t.1);
    let terms: Vec<Expr> = sums.filter(|e| matches!(e, Expr::Sum(_))).cloned().collect();
    let terms = names(&terms);
    for binding in bindings.iter_mut().filter(|b| b.in_result && !terms.contains(&b.name)) {
        binding.missed = results.iter().any(|labels| !labels.contains(&binding.name));
    }
}
