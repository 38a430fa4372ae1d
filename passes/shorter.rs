//! Whether another way to say a shape is shorter than the arithmetic that is there.

use super::Materializer;
use super::edit::ask;
use super::fold_shapes::Target;
use crate::facts::{Element, Fact, Facts};
use crate::ir::{DType, Dim, Graph, Model, NodeId, Use, ValueId};
use crate::ops;
use std::collections::{HashMap, HashSet};

/// What is needed to tell which of several ways takes the fewest calls.
pub(super) struct Shorter<'a> {
    model: &'a Model,
    graph: &'a Graph,
    facts: &'a Facts,
    materializer: Materializer,
    /// Where each node stands in the order of the data.
    place: HashMap<NodeId, usize>,
    /// The first value of each open shape.
    shaped: HashMap<&'a [Dim], ValueId>,
}

impl<'a> Shorter<'a> {
    pub(super) fn new(model: &'a Model, facts: &'a Facts) -> Shorter<'a> {
        let graph = &model.graph;
        let order = graph.topological();
        let mut shaped = HashMap::new();
        // What is inside a body is not there for all.
        for value in order.iter().filter(|n| graph.region(**n) == 0).flat_map(|&n| graph.results(n)) {
            let open = facts.shape(value).filter(|s| s.iter().any(|d| d.fixed().is_none()));
            if let Some(shape) = open {
                shaped.entry(shape).or_insert(value);
            }
        }
        let place = order.into_iter().enumerate().map(|(i, n)| (n, i)).collect();
        Shorter { model, graph, facts, materializer: Materializer::new(graph, model.ir_version), place, shaped }
    }

    /// Leaves the targets that make the model shorter, each said in the shortest way. Targets that hold numbers do.
    pub(super) fn choose(&self, targets: &mut Vec<(Use, ValueId, Target)>) {
        let mut uses: HashMap<ValueId, HashSet<Use>> = HashMap::new();
        targets.iter().for_each(|(at, value, _)| _ = uses.entry(*value).or_default().insert(*at));
        targets.retain_mut(|(at, value, target)| {
            let Target::Computed { dims, scalar, told } = target else { return true };
            if dims.iter().all(|d| d.fixed().is_some()) {
                return true;
            }
            let now = self.dying(*value, &uses[value]);
            let shape = self.existing(*at, dims, *told).filter(|_| !*scalar);
            match (shape, self.materializer.calls(dims)) {
                (Some(shape), _) if now > 1 => {
                    *target = Target::ShapeOf(shape);
                    true
                }
                (_, calls) => calls.is_some_and(|calls| calls < now),
            }
        });
    }

    /// A value that is there before a call and has these dimensions as its shape; or, for what the call's rule told, the
    /// shape of the call's result, if the call makes the same of that.
    fn existing(&self, at: Use, dims: &[Dim], told: bool) -> Option<ValueId> {
        let before = |v: &&ValueId| self.place[&v.node] < self.place[&at.node];
        let find = |dims: &[Dim]| self.shaped.get(dims).filter(before).copied();
        let result = || self.facts.shape(ValueId { node: at.node, port: 0 }).filter(|_| told);
        find(dims).or_else(|| result().filter(|shape| self.is_same(at, shape)).and_then(find))
    }

    /// Whether a call has the results that it has if an operand holds these dimensions.
    fn is_same(&self, at: Use, dims: &[Dim]) -> bool {
        let mut facts = Facts::default();
        let operands = self.graph.operands(at.node);
        operands.iter().flatten().for_each(|&v| facts.set(v, self.facts.get(v).clone()));
        let Some(Some(value)) = operands.get(usize::from(at.slot)) else { return false };
        let content = dims.iter().cloned().map(Element::Int).collect();
        facts.set(*value, Fact::new(DType::I64, vec![Dim::from(dims.len())]).with_content(content));
        let rule = self.graph.call(at.node).map(|c| ops::rule_of(self.model, c));
        let made = rule.and_then(|rule| ask(self.model, &facts, at.node, |site| (rule.infer)(site).ok())).flatten();
        let shapes = |all: &[Fact]| all.iter().map(|f| f.shape.clone()).collect::<Vec<_>>();
        let now: Vec<Fact> = self.graph.results(at.node).map(|v| self.facts.get(v).clone()).collect();
        made.is_some_and(|made| shapes(&made) == shapes(&now))
    }

    /// How many calls nobody needs once these uses of a value are gone.
    fn dying(&self, value: ValueId, uses: &HashSet<Use>) -> usize {
        let mut dead: HashSet<NodeId> = HashSet::new();
        let mut waiting = vec![value.node];
        while let Some(node) = waiting.pop() {
            let is_gone = |u: Use| dead.contains(&u.node) || node == value.node && uses.contains(&u);
            let needed = self.graph.results(node).flat_map(|v| self.graph.uses(v)).any(|u| !is_gone(u));
            if self.graph.call(node).is_some() && !needed && dead.insert(node) {
                waiting.extend(self.graph.operands(node).into_iter().flatten().map(|v| v.node));
            }
        }
        dead.len()
    }
}
