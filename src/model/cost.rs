//! What a model costs: multiply-accumulate operations, parameters, bytes.
//!
//! Costs come from facts alone, so the cost of a plan is known before anything is cut: [`Axes`] and keep-sets predict
//! the shapes, and the same rules count.
//!
//! Of the branches of an If only the dearer counts ([`of_a_run`]), and a loop's body counts once.

mod branches;
mod peak;

pub use branches::of_a_run;
pub use peak::Walk;

use crate::axes::{Axes, KeepSets, Var};
use crate::facts::{Fact, Facts};
use crate::infer;
use crate::ir::{Atom, Dim, Graph, Model, Node, NodeId, ValueId};
use crate::ops::{self, Site};
use crate::sizes::{self, Given, SizeError, Start};
use std::collections::{BTreeMap, HashMap, HashSet};

/// What a model costs.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Cost {
    /// Multiply-accumulate operations of one run.
    pub macs: u64,
    /// Elements of all floating-point and quantized constants.
    pub params: u64,
    /// Bytes of all constants.
    pub bytes: u64,
    /// Bytes of activations that are alive at once, at most; see `Walk`.
    pub peak: u64,
    /// Calls in the main graph.
    pub nodes: u64,
    /// Ifs of which only the dearer branch counts among the operations.
    #[serde(skip_serializing_if = "is_none")]
    pub choices: u64,
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

impl Cost {
    /// Adds what sums up: all but the peak. Sums that can't be counted stay at the largest number.
    fn add(&mut self, other: &Cost) {
        self.macs = self.macs.saturating_add(other.macs);
        self.params = self.params.saturating_add(other.params);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.nodes += other.nodes;
    }
}

/// Numbers for the dimensions that the model leaves open, so that costs can be counted.
#[derive(Clone, Debug, Default)]
pub struct OpenDims {
    /// Sizes of named dimensions, whatever the model.
    pub named: HashMap<String, i64>,
    /// Of what the inputs leave open.
    sizes: BTreeMap<Atom, i64>,
    /// Of what inference left unknown, in the facts of one model.
    unknown: BTreeMap<Atom, i64>,
}

/// A dimension of which nothing is known counts as this long.
const OPEN_LENGTH: i64 = 64;

impl OpenDims {
    /// The model's open dimensions: 1 for the first axis of an input (a batch of one) and 64 for others, or what else
    /// the model asks for, unless named. Names that it does not have say nothing.
    pub fn of(model: &Model, named: HashMap<String, i64>) -> OpenDims {
        let known = |given: Given, (name, size): (&String, &i64)| {
            let more = given.clone().with(name, *size);
            if sizes::check(model, &more).is_ok() { more } else { given }
        };
        let open = OpenDims::given(model, &named.iter().fold(Given::default(), known));
        OpenDims { named, ..open.unwrap_or_default() }
    }

    /// The same, where sizes are given that must be the model's.
    pub fn given(model: &Model, given: &Given) -> Result<OpenDims, SizeError> {
        let lengths = sizes::fit(model, given, Start::COUNT)?;
        let sizes = lengths.atoms().map(|(atom, n)| (atom.clone(), n)).collect();
        Ok(OpenDims { sizes, ..OpenDims::default() })
    }

    /// The same, with numbers for what these facts leave unknown of a model with the same inputs: a batch that is sliced
    /// or broadcast, say, so that nobody knows it for one.
    pub fn at(&self, model: &Model, facts: &Facts) -> OpenDims {
        let values = || model.graph.nodes().into_iter().flat_map(|n| model.graph.results(n));
        // Names that only results have say no more than no name.
        let unknown = |d: &Dim| match d.as_atom() {
            Some(Atom::Symbol(name)) if self.named.contains_key(&**name) => false,
            Some(atom @ (Atom::Unknown(_) | Atom::Symbol(_))) => !self.sizes.contains_key(atom),
            _ => false,
        };
        let mut found = OpenDims { unknown: BTreeMap::new(), ..self.clone() };
        if !values().any(|v| facts.shape(v).is_some_and(|s| s.iter().any(unknown))) {
            return found;
        }
        let fixed = |d: &Dim| self.number(d).map_or_else(|| d.clone(), Dim::Fixed);
        let inputs = sizes::inputs(&model.graph).into_iter().flatten();
        let shapes = inputs.map(|i| (i.node, i.shape.iter().map(fixed).collect())).collect();
        let sized = infer::infer_sized(model, &shapes, &mut |_, _| true);
        for value in values() {
            let (Some(open), Some(shape)) = (facts.shape(value), sized.shape(value)) else { continue };
            for (dim, number) in open.iter().zip(shape).filter(|(d, _)| unknown(d)) {
                if let (Some(atom), Some(n)) = (dim.as_atom(), number.fixed()) {
                    found.unknown.entry(atom.clone()).or_insert(n);
                }
            }
        }
        found
    }

    /// The number of a dimension that is made of known ones.
    fn number(&self, dim: &Dim) -> Option<i64> {
        dim.eval(&|atom| self.sizes.get(atom).copied())
    }

    /// The number that stands for a dimension.
    pub fn eval(&self, dim: &Dim) -> u64 {
        let value = dim.eval(&|atom| match atom {
            Atom::Floor(..) => None,
            Atom::Symbol(s) if self.named.contains_key(&**s) => Some(self.named[&**s]),
            atom => {
                let known = self.sizes.get(atom).or_else(|| self.unknown.get(atom));
                Some(known.copied().unwrap_or(OPEN_LENGTH))
            }
        });
        value.and_then(|v| u64::try_from(v).ok()).unwrap_or(0)
    }

    /// How many elements a shape stands for; the largest number where there are more.
    pub fn count(&self, shape: &[Dim]) -> u64 {
        shape.iter().map(|d| self.eval(d)).fold(1, u64::saturating_mul)
    }
}

/// Counts a model's cost from the facts of its values.
pub fn cost(model: &Model, facts: &Facts, open: &OpenDims) -> Cost {
    let open = &open.at(model, facts);
    Cost { peak: Walk::new(&model.graph, facts, open).peak(), ..sums(model, facts, open) }
}

/// The same without the peak, which takes a walk over the graph.
pub fn sums(model: &Model, facts: &Facts, open: &OpenDims) -> Cost {
    let mut total = Cost::default();
    let nodes = per_node(model, facts, open);
    nodes.iter().for_each(|(_, node)| total.add(node));
    total.choices = branches::choices(&model.graph);
    let macs = of_a_run(&model.graph, nodes.iter().map(|(n, cost)| (*n, u128::from(cost.macs))));
    total.macs = u64::try_from(macs).unwrap_or(u64::MAX);
    total
}

/// The cost of each call and constant, in the file's order, without peaks.
pub fn per_node(model: &Model, facts: &Facts, open: &OpenDims) -> Vec<(NodeId, Cost)> {
    let graph = &model.graph;
    let unknowns = crate::facts::Unknowns::of_questions();
    let of = |node: NodeId| match graph.node(node) {
        Node::Call(call) => {
            let site = Site::new(model, graph, node, call, facts, &unknowns);
            let macs = open.eval(&(ops::rule_of(model, call).cost)(&site));
            Some(Cost { macs, nodes: 1, ..Cost::default() })
        }
        Node::Constant(c) => {
            let fact = facts.get(ValueId { node, port: 0 });
            let count = fact.shape.as_ref().map_or(0, |s| open.count(s));
            let counted = c.tensor.dtype.is_float() || c.tensor.dtype.bits() <= 8 && c.tensor.shape.len() > 1;
            let bytes = c.tensor.dtype.bytes(count as usize) as u64;
            Some(Cost { params: if counted { count } else { 0 }, bytes, ..Cost::default() })
        }
        _ => None,
    };
    graph.nodes().into_iter().filter_map(|n| Some((n, of(n)?))).collect()
}

/// A call with what it costs: its own, and the cost of the constants that it is the first to read.
#[derive(Clone, Debug)]
pub struct CallCost {
    pub node: NodeId,
    pub cost: Cost,
}

/// What each call costs, in topological order.
pub fn per_call(model: &Model, facts: &Facts, open: &OpenDims) -> Vec<CallCost> {
    let graph = &model.graph;
    let costs: HashMap<NodeId, Cost> = per_node(model, facts, open).into_iter().collect();
    let mut paid: HashSet<NodeId> = HashSet::new();
    let of = |node: NodeId| {
        graph.call(node)?;
        let mut cost = costs.get(&node).cloned().unwrap_or_default();
        for operand in graph.operands(node).into_iter().flatten() {
            // A shared constant counts where it is used first.
            if graph.tensor(operand).is_some() && paid.insert(operand.node) {
                costs.get(&operand.node).iter().for_each(|c| cost.add(c));
            }
        }
        Some(CallCost { node, cost })
    };
    graph.topological().into_iter().filter_map(of).collect()
}

/// The facts that a model will have once only these units are kept.
pub fn predict(graph: &Graph, axes: &Axes, facts: &Facts, keep: &KeepSets) -> Facts {
    let mut out = facts.clone();
    if keep.is_empty() {
        return out;
    }
    for value in graph.nodes().into_iter().flat_map(|n| graph.results(n)) {
        let Some(vars) = axes.of(value) else { continue };
        let fact = facts.get(value);
        // The solver may know an open length by another name.
        let length = |(axis, &var): (usize, &Var)| {
            let left = keep.size(axes, var);
            let known = fact.shape.as_ref().and_then(|shape| shape.get(axis));
            known.filter(|_| left == *axes.solver().size(var)).cloned().unwrap_or(left)
        };
        let shape = vars.iter().enumerate().map(length).collect();
        if fact.shape.as_ref() != Some(&shape) {
            out.set(value, Fact::maybe(fact.dtype, Some(shape)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::parse;

    fn macs(body: &str) -> u64 {
        let text = format!("<\n  ir_version: 8,\n  opset_import: [\"\" : 17]\n>\n{body}");
        let model = parse(&text, &|_| None).unwrap_or_else(|e| panic!("{e}"));
        cost(&model, &infer::infer(&model), &OpenDims::of(&model, HashMap::new())).macs
    }

    #[test]
    fn a_batch_is_one_sample_whatever_becomes_of_it() {
        let text = |before: &str| {
            format!(
                "g (f32[n,4] x, f32[4,8] w, f32[m,4] z) => (f32[n,8] y) {{
                    i64[2] from = {{0, 0}}
                    i64[2] to = {{1000000, 1000000}}
                    {before}
                    y = MatMul(a, w)
                }}"
            )
        };
        assert_eq!(macs(&text("a = Relu(x)")), 32);
        assert_eq!(macs(&text("a = Slice(x, from, to)")), 32);
        assert_eq!(macs(&text("a = Add(x, z)")), 32);
    }

    #[test]
    fn nothing_is_free_because_it_is_short() {
        let text = "g (f32[n,1,s] x, f32[8,1,400] k) => (f32[n,8,t] y) { y = Conv<strides=[160]>(x, k) }";
        assert_eq!(macs(text), 8 * 400);
    }
}
