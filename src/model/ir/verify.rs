//! The invariants of the IR.
//!
//! Whoever reads a graph may rely on them, and whoever changes one must keep them. In the main graph and in every
//! subgraph:
//!
//!  1. A wire begins at a result that its node has.
//!  2. A wire ends at a slot that its node has: a call has as many as its arity says, and one more for each value
//!     that its subgraphs capture; an output has one; inputs and constants have none.
//!  3. A slot holds one wire at most.
//!  4. An output has its operand, and each captured value is connected. Other slots may be empty.
//!  5. No value depends on itself.
//!  6. Inputs, constants and results that are used have a name, and no two values of a graph have the same.
//!  7. Outputs have names, and no two of a graph the same.
//!  8. A tensor's data is of the kind and the length that its type and its shape ask for. (A sparse constant, which is
//!     kept as it was encoded, has none.) This holds for constants, for defaults of inputs and for attributes.
//!  9. The main graph captures nothing, and a captured input has no default.
//! 10. A call says which operator it applies, and has no more than 65,535 results and no more operands.
//!
//! A name may be that of a value in an enclosing graph: ONNX forbids it, but there are such models, and here it is the
//! wires that say who uses what.

use super::print::Page;
use super::tensor::element_count;
use super::{Attribute, Call, DType, Graph, Model, Node, NodeId, Payload, Tensor, TensorError, Use, ValueId};
use std::collections::{HashMap, HashSet};
use std::fmt;

/// A broken invariant: where and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The line of the node, with a mark under the operand that is meant. In a subgraph, the way to it comes first.
    pub at: String,
    /// What is broken, in words.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.what)?;
        self.at.lines().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

/// Checks every invariant and collects all that are broken.
pub fn verify(model: &Model) -> Vec<Violation> {
    let mut checker = Checker::new(&model.graph, "");
    for node in model.graph.captures() {
        checker.report(node, "the main graph captures a value, but there is no graph around it");
    }
    checker.check();
    checker.finish()
}

/// A graph under examination.
struct Checker<'a> {
    graph: &'a Graph,
    /// The way here from the main graph, in words.
    path: &'a str,
    found: Vec<Finding>,
    /// What is wrong in subgraphs.
    inner: Vec<Violation>,
}

struct Finding {
    node: NodeId,
    slot: Option<usize>,
    what: String,
}

impl<'a> Checker<'a> {
    fn new(graph: &'a Graph, path: &'a str) -> Checker<'a> {
        Checker { graph, path, found: vec![], inner: vec![] }
    }

    fn report(&mut self, node: NodeId, what: impl Into<String>) {
        self.found.push(Finding { node, slot: None, what: what.into() });
    }

    fn report_operand(&mut self, at: Use, what: impl Into<String>) {
        self.found.push(Finding { node: at.node, slot: Some(at.slot.into()), what: what.into() });
    }

    fn check(&mut self) {
        self.check_wires();
        self.check_cycles();
        self.check_value_names();
        self.check_output_names();
        for node in self.graph.nodes() {
            self.check_node(node);
        }
    }

    /// The findings in the file's order, those of subgraphs last.
    fn finish(mut self) -> Vec<Violation> {
        if self.found.is_empty() {
            return self.inner;
        }
        let page = Page::new(self.graph);
        self.found.sort_by_key(|f| (self.graph.place(f.node), f.node));
        let here = self.found.into_iter().map(|f| {
            let line = page.marked_line(f.node, f.slot);
            let at = if self.path.is_empty() { line } else { format!("in {}\n{line}", self.path) };
            Violation { at, what: f.what }
        });
        here.chain(self.inner).collect()
    }

    fn check_wires(&mut self) {
        let mut taken: HashSet<Use> = HashSet::new();
        let mut slots: HashMap<NodeId, usize> = HashMap::new();
        for (value, to) in self.graph.wires() {
            let results = self.graph.result_count(value.node);
            if usize::from(value.port) >= results {
                let name = self.graph_label(value.node);
                let what = format!("operand {} is result {} of {name}, which has {results}", to.slot, value.port);
                self.report_operand(to, what);
            }
            let slots = *slots.entry(to.node).or_insert_with(|| slot_count(self.graph.node(to.node)));
            if usize::from(to.slot) >= slots {
                self.report_operand(to, format!("a value is connected to slot {}, but there are {slots}", to.slot));
            }
            if !taken.insert(to) {
                self.report_operand(to, format!("slot {} holds more than one value", to.slot));
            }
        }
        for node in self.graph.outputs() {
            if !taken.contains(&Use { node, slot: 0 }) {
                self.report(node, "an output without a value");
            }
        }
        for node in self.graph.calls() {
            self.check_captured(node, &taken);
        }
    }

    /// Like [`Graph::label`], for nodes that may have no result.
    fn graph_label(&self, node: NodeId) -> String {
        match self.graph.label(node) {
            "" => "a node without a name".to_owned(),
            name => format!("`{name}`"),
        }
    }

    fn check_captured(&mut self, node: NodeId, taken: &HashSet<Use>) {
        let Some(call) = self.graph.call(node) else { return };
        let names = call.graphs().flat_map(|g| g.captures().into_iter().map(|n| g.label(n)));
        let missing: Vec<&str> = (call.arity..=u16::MAX)
            .zip(names)
            .filter(|(slot, _)| !taken.contains(&Use { node, slot: *slot }))
            .map(|(_, name)| name)
            .collect();
        for name in missing {
            self.report(node, format!("a subgraph captures `{name}`, but no value is connected for it"));
        }
    }

    /// Reports the operands by which values depend on themselves.
    fn check_cycles(&mut self) {
        let placed: HashSet<NodeId> = self.graph.topological().into_iter().collect();
        let mut stuck: HashSet<NodeId> = self.graph.nodes().into_iter().filter(|n| !placed.contains(n)).collect();
        // What only comes after a cycle is stuck too, but not to blame.
        loop {
            let feeding: HashSet<NodeId> =
                self.graph.wires().filter(|(_, to)| stuck.contains(&to.node)).map(|(v, _)| v.node).collect();
            let before = stuck.len();
            stuck.retain(|n| feeding.contains(n));
            if stuck.len() == before {
                break;
            }
        }
        let wires: Vec<(ValueId, Use)> = self.graph.wires().collect();
        for (value, to) in wires {
            if stuck.contains(&to.node) && stuck.contains(&value.node) {
                self.report_operand(to, format!("operand {} is on a cycle: it depends on this call's result", to.slot));
            }
        }
    }

    fn check_value_names(&mut self) {
        let mut owners: HashMap<&str, NodeId> = HashMap::new();
        let graph = self.graph;
        for node in graph.nodes() {
            for value in graph.results(node) {
                let name = graph.value_name(value);
                let is_result = graph.call(node).is_some();
                if name.is_empty() {
                    if !is_result || !graph.uses(value).is_empty() {
                        self.report(node, format!("result {} has no name", value.port));
                    }
                } else if owners.insert(name, node).is_some() {
                    self.report(node, format!("another value is called `{name}` too"));
                }
            }
        }
    }

    /// A value may be an output twice, and has its name there twice then.
    fn check_output_names(&mut self) {
        let mut names = HashMap::new();
        let graph = self.graph;
        for node in graph.outputs() {
            let (name, value) = (graph.label(node), graph.operand(node, 0));
            if name.is_empty() {
                self.report(node, "an output without a name");
            } else if *names.entry(name).or_insert(value) != value {
                self.report(node, format!("another output is called `{name}` too"));
            }
        }
    }

    fn check_node(&mut self, node: NodeId) {
        match self.graph.node(node) {
            Node::Output(_) => {}
            Node::Input(input) => {
                if input.captured && input.default.is_some() {
                    self.report(node, "a captured input has a default");
                }
                self.check_tensor(node, "the default", input.default.as_ref());
            }
            Node::Constant(c) => self.check_tensor(node, "the constant", Some(&c.tensor)),
            Node::Call(call) => self.check_call(node, call),
        }
    }

    fn check_tensor<'t>(&mut self, node: NodeId, which: &str, tensors: impl IntoIterator<Item = &'t Tensor>) {
        for tensor in tensors {
            if let Some(what) = misfit(tensor) {
                self.report(node, format!("{which}: {what}"));
            }
        }
    }

    fn check_call(&mut self, node: NodeId, call: &Call) {
        if call.op.is_empty() {
            self.report(node, "a call without an operator");
        }
        let most = usize::from(u16::MAX);
        let (slots, results) = (usize::from(call.arity) + captured_count(call), call.results.len());
        if slots > most || results > most {
            self.report(node, format!("{slots} operands and {results} results, but {most} are the most"));
        }
        for (key, attribute) in &call.attributes {
            let which = format!("attribute `{key}`");
            match attribute {
                Attribute::Tensor(t) => self.check_tensor(node, &which, [t]),
                Attribute::Tensors(ts) => self.check_tensor(node, &which, ts),
                _ => {}
            }
            for graph in attribute.graphs() {
                let mut path = format!("`{key}` of `{}`", call.label());
                if !self.path.is_empty() {
                    path = format!("{path}, in {}", self.path);
                }
                let mut checker = Checker::new(graph, &path);
                checker.check();
                self.inner.extend(checker.finish());
            }
        }
    }
}

fn captured_count(call: &Call) -> usize {
    call.graphs().map(|g| g.captures().len()).sum()
}

/// How many operand slots a node has.
fn slot_count(node: &Node) -> usize {
    match node {
        Node::Input(_) | Node::Constant(_) => 0,
        Node::Output(_) => 1,
        Node::Call(call) => usize::from(call.arity) + captured_count(call),
    }
}

/// How the data of a tensor fails to be what its type and its shape ask for.
fn misfit(tensor: &Tensor) -> Option<String> {
    let Tensor { dtype, shape, payload, store: _, extra: _ } = tensor;
    let Some(count) = element_count(shape) else { return Some(TensorError::Overflow(shape.clone()).to_string()) };
    match payload {
        Payload::Absent(_) => None,
        Payload::Strings(_) if *dtype != DType::String => Some(format!("strings in a tensor of {dtype}")),
        Payload::Strings(s) => {
            (s.len() != count).then(|| format!("{dtype}{shape:?} needs {count} strings but has {}", s.len()))
        }
        Payload::Raw(_) if *dtype == DType::String => Some("raw data in a tensor of strings".to_owned()),
        Payload::Raw(data) => {
            let (expected, found) = (dtype.bytes(count), data.len());
            let error = || TensorError::Length { dtype: *dtype, shape: shape.clone(), expected, found };
            (found != expected).then(|| error().to_string())
        }
    }
}

#[cfg(test)]
mod tests;
