//! What both analyses look at: the model, the leaves that matter, and the contractions by call.

use crate::analysis::Analysis;
use crate::axes::{Axes, Binding, Group, Var};
use crate::contraction::Contraction;
use crate::ir::{Dim, Graph, NodeId, Tensor, ValueId};
use crate::ops::Granularity;
use crate::ops::{self, Rule, Site, Sum, body};
use std::collections::{BTreeMap, BTreeSet, HashMap};

pub(crate) struct Surroundings<'a> {
    analysis: &'a Analysis,
    wanted: BTreeMap<Var, &'a Group>,
    contractions: HashMap<NodeId, Contraction>,
    /// The contractions whose weights may change.
    writable: BTreeSet<NodeId>,
}

/// What a sum of products multiplies.
pub(crate) struct Factors<'a> {
    pub data: ValueId,
    pub weight: ValueId,
    /// The contraction of both; `None` where the sum has one term for each of the weight's taps.
    pub contraction: Option<&'a Contraction>,
    /// The weight's axes that the result has too.
    pub shared: Vec<usize>,
}

impl<'a> Surroundings<'a> {
    pub(crate) fn new(analysis: &'a Analysis) -> Surroundings<'a> {
        // Numbers of experts are data, and what follows from them is no matter of single units.
        let wanted = |g: &&Group| g.is_exact() && g.kind != Granularity::Expert;
        let wanted = analysis.groups.all.iter().filter(wanted).map(|g| (g.leaf, g)).collect();
        let mut contractions: HashMap<NodeId, Vec<Contraction>> = HashMap::new();
        for c in Contraction::every(analysis) {
            contractions.entry(c.node).or_default().push(c);
        }
        let alone = |(node, mut all): (NodeId, Vec<Contraction>)| {
            let sums = analysis.axes.bindings(node).iter().filter(|b| !b.in_result && !b.unread).count();
            Some((node, all.pop().filter(|_| all.is_empty() && sums == 1)?))
        };
        let contractions: HashMap<_, _> = contractions.into_iter().filter_map(alone).collect();
        let writable = crate::contraction::writable(analysis).into_iter().collect();
        Surroundings { analysis, wanted, contractions, writable }
    }

    pub(crate) fn graph(&self) -> &'a Graph {
        &self.analysis.model.graph
    }

    pub(crate) fn axes(&self) -> &'a Axes {
        &self.analysis.axes
    }

    /// The groups whose units may turn out to be of no use.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &'a Group> {
        self.wanted.values().copied()
    }

    /// The leaves of an axis that are such groups'.
    pub(crate) fn leaves(&self, var: Var) -> Vec<Var> {
        let mut leaves = self.axes().solver().leaves(var);
        leaves.retain(|leaf| self.wanted.contains_key(leaf));
        leaves.sort_unstable();
        leaves.dedup();
        leaves
    }

    /// The same for all axes of a value.
    pub(crate) fn leaves_of(&self, value: ValueId) -> Vec<Var> {
        let leaves: BTreeSet<Var> =
            self.axes().of(value).into_iter().flatten().flat_map(|&var| self.leaves(var)).collect();
        leaves.into_iter().collect()
    }

    /// How many units a leaf has.
    pub(crate) fn size(&self, leaf: Var) -> usize {
        self.wanted.get(&leaf).map_or(0, |g| g.size)
    }

    /// The axis of a value that carries a leaf, if it is but one.
    pub(crate) fn only_axis(&self, value: ValueId, leaf: Var) -> Option<(usize, Var)> {
        let carries = |(_, var): &(usize, Var)| self.axes().solver().leaves(*var).contains(&leaf);
        let mut axes = self.axes().of(value)?.iter().copied().enumerate().filter(carries);
        axes.next().filter(|_| axes.next().is_none())
    }

    /// Whether a call is in a loop's body, or at its border.
    pub(crate) fn is_inside(&self, node: NodeId) -> bool {
        self.graph().region(node) != 0 || self.graph().call(node).is_some_and(body::is_boundary)
    }

    /// Shows a call with its rule to a function.
    pub(crate) fn site<T>(&self, node: NodeId, see: impl FnOnce(&Site, &Rule) -> T) -> T
    where
        T: Default,
    {
        let Analysis { model, facts, .. } = self.analysis;
        let unknowns = crate::facts::Unknowns::of_questions();
        let Some(call) = model.graph.call(node) else { return T::default() };
        see(&Site::new(model, &model.graph, node, call, facts, &unknowns), ops::rule_of(model, call))
    }

    /// The only contraction of a call.
    pub(crate) fn contraction(&self, node: NodeId) -> Option<&Contraction> {
        self.contractions.get(&node)
    }

    /// Whether the weights of a call's contraction may change.
    pub(crate) fn is_writable(&self, node: NodeId) -> bool {
        self.writable.contains(&node)
    }

    /// The factors of a call that is a sum of products with a constant, over one label or over axes of length one.
    pub(crate) fn factors(&self, node: NodeId, site: &Site, sum: Sum) -> Option<Factors<'_>> {
        let contraction = self.contraction(node);
        let is_sum = |b: &&Binding| !b.in_result && !b.unread && self.axes().solver().size(b.var) != &Dim::Fixed(1);
        if contraction.is_none() && self.axes().bindings(node).iter().any(|b| is_sum(&b)) {
            return None;
        }
        let addend = sum.addend.map(|(slot, _)| usize::from(slot));
        let slots: Vec<usize> = (0..site.arity()).filter(|s| site.has(*s) && Some(*s) != addend).collect();
        let &[a, b] = &slots[..] else { return None };
        let value = |slot: usize| self.graph().operand(node, slot);
        let is_constant =
            |slot| site.tensor(slot).is_some() || value(slot).is_some_and(|v| self.analysis.is_computed(v));
        let (data, weight) = match (is_constant(a), is_constant(b)) {
            (false, true) => (a, b),
            (true, false) => (b, a),
            _ => return None,
        };
        let (data, weight) = (self.graph().operand(node, data)?, self.graph().operand(node, weight)?);
        let shared = self.shared_axes(weight, ValueId { node, port: 0 })?;
        Some(Factors { data, weight, contraction, shared })
    }

    /// The axes of a weight that a result has too.
    fn shared_axes(&self, weight: ValueId, result: ValueId) -> Option<Vec<usize>> {
        let (axes, solver) = (self.axes(), self.axes().solver());
        let mine: BTreeSet<Var> = axes.of(result)?.iter().flat_map(|&v| solver.leaves(v)).collect();
        let shared = |var: &Var| solver.leaves(*var).iter().any(|leaf| mine.contains(leaf));
        let all = axes.of(weight)?.iter().enumerate();
        Some(all.filter(|(_, var)| shared(var)).map(|(axis, _)| axis).collect())
    }

    /// A constant, or what constants come to.
    pub(crate) fn weight(&self, value: ValueId) -> Option<Tensor> {
        self.analysis.weight(value)
    }

    /// The numbers of a float tensor.
    pub(crate) fn numbers(&self, tensor: &Tensor) -> Option<Vec<f64>> {
        if tensor.dtype.is_float() { tensor.to_f64().ok() } else { None }
    }
}
