//! `fold-weights` computes weights that are stored in a form from which an axis can't be cut.
//!
//! ```text
//! f32[8,36] raw #…                               f32[8,36] w_0 #…
//! w = Normalize(raw)                   →         y = MatMul(x, w_0)
//! y = MatMul(x, w)
//! ```
//!
//! Some exporters leave in the graph what makes a weight out of a constant: standardization, weight norm, spectral
//! norm. Cutting what a statistic is taken over would change what is left of the weight, so the label is pinned there;
//! and zeroing what it divides by makes it no number. Computed first, the weight can be cut like any other. Exact: the
//! same operators are applied to the same numbers.
//!
//! The plan has to be told in terms of the input file. So the computed constant is traced: an axis that goes through
//! the expression unit by unit, with zeros to zeros, stays an axis of the constants it came from, or of that one
//! which alone makes it zero. Where slices along another axis go, nothing has to be zero in the masked model, and
//! exactness rests on what they are multiplied with. What the expression makes on the way for others, too, is no trace: the
//! zeros would reach them.
//!
//! Only weights of which an axis is pinned or not exact because of their own expression are computed, and only where
//! they take no more bytes than the constants that go, and nothing else reads a part of the expression; all others are
//! cut as they stand, and lose nothing.

use super::edit::is_listed;
use super::fold_constants::{evaluate, foldable, frontier, replace};
use super::foldable::{SMALL, bytes, freed};
use super::{Change, Context, Pass, PassError};
use crate::axes::{self, Axes, Var};
use crate::facts::Facts;
use crate::infer;
use crate::ir::{AxisTrace, DType, Graph, Model, NodeId, Origin, Tensor, Use, ValueId};
use std::collections::{BTreeSet, HashMap, HashSet};

pub(super) struct FoldWeights;

impl Pass for FoldWeights {
    fn name(&self) -> &'static str {
        "fold-weights"
    }

    fn run(&self, model: &mut Model, cx: &mut Context) -> Result<Change, PassError> {
        let facts = cx.facts(model);
        let axes = cx.axes(model);
        let graph = &model.graph;
        let computable = foldable(model, &facts, false);
        let blocked = HashMap::new();
        let mut search =
            Search { graph, facts: &facts, axes: &axes, computable: &computable, blocked, left: MOST_NODES };
        let found = search.run();
        if search.left == 0 {
            cx.note(format!(
                "left some weights: their expressions have more than {MOST_NODES} nodes, each counted alone"
            ));
        }
        if found.is_empty() {
            return Ok(Change(0));
        }
        let values: Vec<ValueId> = found.iter().map(|(v, _)| *v).collect();
        let tensors: HashMap<ValueId, Tensor> = evaluate(model, &facts, &values, cx).into_iter().collect();
        let found = that_go(&model.graph, found.into_iter().filter(|(v, _)| tensors.contains_key(v)).collect());
        let traced =
            |one: &Weight| Some((one.0, tensors.get(&one.0)?.clone(), Tracer::new(model, &found, one).traces()));
        let computed: Vec<(ValueId, Tensor, Vec<AxisTrace>)> = found.iter().filter_map(traced).collect();
        let mut taken = model.graph.all_names();
        let changed = computed.len();
        for (value, tensor, traces) in computed {
            replace(model, value, tensor, traces, &mut taken);
        }
        Ok(Change(changed))
    }
}

/// What a value is computed from, calls and constants.
type Cone = BTreeSet<NodeId>;

/// A value to compute, and what it is computed from.
type Weight = (ValueId, Cone);

/// The weights whose expressions go altogether once all of these are computed. If something else read a part of one,
/// what it reads could be cut, and zeros in the file would change the weight as well.
fn that_go(graph: &Graph, mut found: Vec<Weight>) -> Vec<Weight> {
    loop {
        let values: HashSet<ValueId> = found.iter().map(|(v, _)| *v).collect();
        let inside: HashSet<NodeId> = found.iter().flat_map(|(_, cone)| cone).copied().collect();
        let goes = |&node: &NodeId| {
            graph.constant(node).is_some()
                || graph.results(node).all(|v| {
                    let replaced = |u: &Use| values.contains(&v) && is_listed(graph, *u);
                    graph.uses(v).iter().all(|u| inside.contains(&u.node) || replaced(u))
                })
        };
        let before = found.len();
        found.retain(|(_, cone)| cone.iter().all(goes));
        if found.len() == before {
            return found;
        }
    }
}

/// Looks for weights that have to be computed.
struct Search<'a> {
    graph: &'a Graph,
    facts: &'a Facts,
    axes: &'a Axes,
    computable: &'a HashSet<NodeId>,
    /// The leaves that each call pins, or is not exact along.
    blocked: HashMap<NodeId, HashSet<Var>>,
    /// How many more nodes of expressions are looked at.
    left: usize,
}

impl Search<'_> {
    fn run(&mut self) -> Vec<Weight> {
        for &node in self.computable {
            let leaves = self.blocks(node);
            if !leaves.is_empty() {
                self.blocked.insert(node, leaves);
            }
        }
        let mut found: Vec<Weight> = vec![];
        if self.blocked.is_empty() {
            return found;
        }
        let mut seen: HashSet<ValueId> = HashSet::new();
        let affected = self.affected();
        for value in frontier(self.graph, self.computable).into_iter().filter(|v| affected.contains(&v.node)) {
            found.extend(self.weight(value).filter(|(value, _)| seen.insert(*value)));
        }
        found
    }

    /// The value to compute for one that is read: itself, or what it is made of one by one, where that is smaller.
    fn weight(&mut self, mut value: ValueId) -> Option<Weight> {
        for _ in 0..STEPS {
            if self.left == 0 {
                return None;
            }
            let cone = cone(self.graph, value.node);
            self.left = self.left.saturating_sub(cone.len());
            if !self.is_blocked(value, &cone) {
                return None;
            }
            if self.fits(value, &cone) {
                return Some((value, cone));
            }
            let operands = self.graph.operands(value.node).into_iter().flatten();
            let mut computed = operands.filter(|v| self.graph.call(v.node).is_some());
            value = computed.next().filter(|_| computed.next().is_none() && !self.blocked.contains_key(&value.node))?;
        }
        None
    }

    /// What is computed from calls that block.
    fn affected(&self) -> HashSet<NodeId> {
        let mut affected: HashSet<NodeId> = HashSet::new();
        for node in self.graph.topological() {
            let mut operands = self.graph.operands(node).into_iter().flatten();
            if self.blocked.contains_key(&node) || operands.any(|v| affected.contains(&v.node)) {
                affected.insert(node);
            }
        }
        affected
    }

    /// The leaves that units must stay of, or that are not exact, because of the call itself. What makes indices and
    /// shapes makes no weight.
    fn blocks(&self, node: NodeId) -> HashSet<Var> {
        if !self.graph.results(node).any(|v| self.facts.get(v).dtype.is_some_and(DType::is_float)) {
            return HashSet::new();
        }
        let values = self.graph.operands(node).into_iter().flatten().chain(self.graph.results(node));
        let leaves = values.flat_map(|v| self.leaves(v)).filter(|&l| self.axes.pins(l).any(|pin| pin.node == node));
        let inexact = self.axes.inexact_at(node).iter().flat_map(|&v| self.axes.solver().leaves(v));
        leaves.chain(inexact).collect()
    }

    /// Whether a call on the way to a value is why its units must stay, or are not exact.
    fn is_blocked(&self, value: ValueId, cone: &Cone) -> bool {
        let own: HashSet<Var> = self.leaves(value).collect();
        cone.iter().filter_map(|n| self.blocked.get(n)).any(|leaves| !leaves.is_disjoint(&own))
    }

    fn leaves(&self, value: ValueId) -> impl Iterator<Item = Var> {
        let vars = self.axes.of(value).into_iter().flatten();
        let countable = |leaf: &Var| self.axes.solver().size(*leaf).size().is_some_and(|n| n > 1);
        vars.flat_map(|&v| self.axes.solver().leaves(v)).filter(countable)
    }

    /// Whether a value takes no more bytes than the constants that go with it, and what is made on the way is no
    /// waste of memory.
    fn fits(&self, value: ValueId, cone: &Cone) -> bool {
        let most = SMALL.max(freed(self.graph, &cone.iter().copied().collect()));
        let calls = cone.iter().filter(|&&n| self.graph.call(n).is_some());
        let mut made = calls.flat_map(|&n| self.graph.results(n)).filter(|&v| !self.graph.uses(v).is_empty());
        bytes(self.facts, value) <= most && made.all(|v| bytes(self.facts, v) <= WASTE.saturating_mul(most))
    }
}

/// The most nodes of all expressions that are looked at, counted for each.
const MOST_NODES: usize = 1 << 18;

/// How many calls before the one that is read are looked at.
const STEPS: usize = 16;

/// How many times as much as the constants that go may be in memory on the way to a weight.
const WASTE: usize = 64;

/// Everything that a node is computed from, itself included.
fn cone(graph: &Graph, node: NodeId) -> Cone {
    let mut cone = BTreeSet::from([node]);
    let mut open = vec![node];
    while let Some(n) = open.pop() {
        for value in graph.operands(n).into_iter().flatten() {
            if cone.insert(value.node) {
                open.push(value.node);
            }
        }
    }
    cone
}

/// A constant of the input file that an expression reads, and nothing else reads what is made of it.
struct Source {
    node: NodeId,
    name: String,
    /// Its uses in the expression, in terms of the input file.
    uses: Vec<(u32, u16)>,
}

/// A way to trace the axes of a computed value: the expression alone, and the constants that may be set to zero in it.
struct Tracer<'a> {
    value: ValueId,
    cone: &'a Cone,
    part: Model,
    /// What each node of the expression is in `part`.
    copies: HashMap<NodeId, NodeId>,
    sources: Vec<Source>,
}

/// More constants than this are not looked at one by one.
const SOURCES: usize = 16;

impl<'a> Tracer<'a> {
    fn new(model: &Model, found: &[Weight], (value, cone): &'a Weight) -> Tracer<'a> {
        // What uses the value must not pin it here.
        let (graph, copies) = model.graph.part(cone.iter().copied());
        let part = Model { ir_version: model.ir_version, opsets: model.opsets.clone(), graph, ..Model::default() };
        let graph = &model.graph;
        let inside = |u: &Use| cone.contains(&u.node);
        let computed = |n: NodeId| found.iter().any(|(v, c)| v != value && c.contains(&n));
        let read = !graph.uses(*value).iter().any(|u| computed(u.node));
        let source = |&node: &NodeId| {
            let Some(Origin::File(name)) = graph.constant(node).map(|c| &c.origin) else { return None };
            let uses: Vec<Use> = graph.uses(ValueId { node, port: 0 }).into_iter().filter(inside).collect();
            let alone = read && uses.iter().all(|u| leads_to(graph, u.node, *value, cone));
            let uses = uses.into_iter().filter(|&u| is_listed(graph, u));
            let uses = uses.filter_map(|u| Some((graph.origin(u.node)?, u.slot))).collect();
            alone.then(|| Source { node, name: name.clone(), uses })
        };
        let sources = cone.iter().filter_map(source).collect();
        Tracer { value: *value, cone, part, copies, sources }
    }

    /// The axes of the value that are axes of the sources: of all of them together, or else of one that is enough.
    fn traces(mut self) -> Vec<AxisTrace> {
        let sources = std::mem::take(&mut self.sources);
        let all = sources.iter().collect::<Vec<_>>();
        let alone = sources.iter().filter(|_| (2..=SOURCES).contains(&sources.len())).map(|s| vec![s]);
        let mut traces: Vec<AxisTrace> = vec![];
        for zeroed in std::iter::once(all).chain(alone).filter(|z| !z.is_empty()) {
            let found = self.along(&zeroed, |axis| traces.iter().all(|t: &AxisTrace| t.axis != axis));
            traces.extend(found);
        }
        traces
    }

    /// The axes, of those that are wanted, along which the value is zero where these constants are, and these alone.
    fn along(&mut self, zeroed: &[&Source], wanted: impl Fn(usize) -> bool) -> Vec<AxisTrace> {
        for &node in self.cone {
            let Some(constant) = self.part.graph.constant_mut(self.copies[&node]) else { continue };
            constant.origin = match zeroed.iter().find(|s| s.node == node) {
                Some(source) => Origin::File(source.name.clone()),
                None => Origin::Computed(vec![]),
            };
        }
        let axes = axes::analyze(&self.part, &infer::infer(&self.part));
        let at = |v: ValueId| ValueId { node: self.copies[&v.node], ..v };
        let summed = self.cone.iter().flat_map(|n| axes.summed(self.copies[n])).flat_map(|v| axes.solver().leaves(v));
        let summed: HashSet<Var> = summed.collect();
        let goes_through = |var: Var| {
            let passes = |&leaf: &Var| {
                axes.solver().marks(leaf).is_empty() && !summed.contains(&leaf) && axes.is_zero(at(self.value), leaf)
            };
            axes.solver().leaves(var).iter().all(passes)
        };
        let mut traces = vec![];
        for (axis, &var) in axes.of(at(self.value)).into_iter().flatten().enumerate() {
            if !wanted(axis) || !goes_through(var) {
                continue;
            }
            let carried = zeroed.iter().map(|source| Some((source, carried(&axes, self.copies[&source.node], var)?)));
            let Some(carried) = carried.collect::<Option<Vec<_>>>() else { continue };
            traces.extend(carried.into_iter().filter_map(|(source, source_axis)| {
                let (source, uses) = (source.name.clone(), source.uses.clone());
                Some(AxisTrace { axis, source, source_axis: source_axis?, uses })
            }));
        }
        traces
    }
}

/// The axis of a constant that is this one, `Some(None)` where none has to do with it, `None` where one is so in part.
fn carried(axes: &Axes, constant: NodeId, var: Var) -> Option<Option<usize>> {
    let own = axes.of(ValueId { node: constant, port: 0 }).unwrap_or_default();
    let leaves = axes.solver().leaves(var);
    let meets = |&(_, v): &(usize, &Var)| axes.solver().leaves(*v).iter().any(|leaf| leaves.contains(leaf));
    let meeting: Vec<(usize, &Var)> = own.iter().enumerate().filter(meets).collect();
    match meeting[..] {
        [] => Some(None),
        [(axis, &own)] if axes.solver().find(own) == axes.solver().find(var) => Some(Some(axis)),
        _ => None,
    }
}

/// Whether all that is made of a node inside an expression is read there, but for the value that the expression makes.
fn leads_to(graph: &Graph, node: NodeId, value: ValueId, cone: &Cone) -> bool {
    let mut seen = HashSet::from([node]);
    let mut open = vec![node];
    while let Some(n) = open.pop() {
        for user in graph.results(n).filter(|&v| v != value).flat_map(|v| graph.uses(v)).map(|u| u.node) {
            if !cone.contains(&user) {
                return false;
            }
            if seen.insert(user) {
                open.push(user);
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use crate::passes::tests::nothing_to_do;

    #[test]
    #[cfg(feature = "tract")]
    fn what_a_norm_scales_is_computed() {
        let text = "g (f32[n,2] x) => (f32[n,2] y) {
            f32[2,2] v = {3.0, 4.0, 6.0, 8.0}
            f32[2,1] g = {5.0, 20.0}
            norm = ReduceL2<axes=[1]>(v)
            unit = Div(v, norm)
            w = Mul(unit, g)
            y = MatMul(x, w)
        }";
        insta::assert_snapshot!(crate::passes::tests::after("fold-weights,dce", text), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[n,2] x) => (f32[n,2] y) {
          f32[2,2] w_0 = {3.0, 4.0, 12.0, 16.0}
          y = MatMul(x, w_0)
        }
        "#);
    }

    #[test]
    fn what_can_be_cut_as_it_stands_stays() {
        nothing_to_do(
            "fold-weights",
            "g (f32[2,3] x) => (f32[2,4] y) {
                f32[4,3] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
                t = Transpose<perm=[1,0]>(w)
                y = MatMul(x, t)
            }",
        );
    }

    #[test]
    fn what_is_summed_over_and_gone_stays() {
        nothing_to_do(
            "fold-weights",
            "g (f32[2,3] x) => (f32[2,3] y) {
                f32[3,2] a = {1, 2, 3, 4, 5, 6}
                f32[2,3] b = {1, 2, 3, 4, 5, 6}
                w = MatMul(a, b)
                y = MatMul(x, w)
            }",
        );
    }
}
