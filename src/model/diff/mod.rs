//! What is different between two models.
//!
//! Nodes are matched by their names, then by what they make and by their place in the graph (`matching.rs`), so that a
//! rewrite shows as what it changed and not as everything that it touched. What decorates only is not compared: doc
//! strings, declared types of inner values, how a tensor is stored, the order of independent nodes.

mod matching;
mod nodes;
mod weights;

use crate::facts::Facts;
use crate::infer;
use crate::ir::{self, Attribute, Graph, Model, Node, NodeId};
use matching::Matching;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// All differences of two models.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ModelDiff {
    /// Versions, operator sets, functions, and the order of inputs and outputs.
    pub model: Vec<Change>,
    pub metadata: Vec<Change>,
    /// Inputs and outputs.
    pub interface: Vec<Change>,
    pub nodes: Vec<NodeDiff>,
    pub weights: Vec<WeightDiff>,
}

/// Something that one model says otherwise than the other; `None` where one says nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    pub what: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

/// A node that one model alone has, or that is another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeDiff {
    /// Its name, or that of its first result. For a node in a body, the way there comes first.
    pub name: String,
    /// The node as text, where the model has it.
    pub before: Option<String>,
    pub after: Option<String>,
    /// What is different, where both have it.
    pub changes: Vec<Change>,
}

/// A weight that one model alone has, or that is another one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WeightDiff {
    pub name: String,
    pub before: Option<Weight>,
    pub after: Option<Weight>,
    /// The largest |a−b| where both are numbers in one shape; infinite where one side alone is not finite.
    pub max_abs: Option<f64>,
    /// How many of their elements differ.
    pub differing: Option<u64>,
}

/// A constant, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Weight {
    pub name: String,
    pub dtype: String,
    pub shape: Vec<usize>,
    /// Of type, shape and content, 16 hexadecimal digits.
    pub hash: String,
}

/// What is compared.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether the elements of weights are; their types and shapes always are.
    pub weights: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options { weights: true }
    }
}

impl ModelDiff {
    /// Whether the models are the same.
    pub fn is_empty(&self) -> bool {
        let ModelDiff { model, metadata, interface, nodes, weights } = self;
        model.is_empty() && metadata.is_empty() && interface.is_empty() && nodes.is_empty() && weights.is_empty()
    }
}

/// Compares two models.
pub fn diff(a: &Model, b: &Model, options: Options) -> ModelDiff {
    let mut found = ModelDiff { model: headers(a, b), ..ModelDiff::default() };
    found.metadata = changes(&pairs(&a.metadata), &pairs(&b.metadata));
    let (left, right) = (infer::infer(a), infer::infer(b));
    let sides = [Side { graph: &a.graph, facts: Some(&left) }, Side { graph: &b.graph, facts: Some(&right) }];
    found.interface = interface(&a.graph, &b.graph);
    graphs(&sides, "", options, &mut found);
    found
}

/// A graph, with what is known of its values.
#[derive(Clone, Copy)]
struct Side<'a> {
    graph: &'a Graph,
    /// Facts are about the main graph alone.
    facts: Option<&'a Facts>,
}

/// Adds the differences of two graphs; `way` leads to them.
fn graphs(sides: &[Side; 2], way: &str, options: Options, out: &mut ModelDiff) {
    let ends = sides.map(|side| ends(side.graph, way));
    out.model.extend(changes(&ends[0], &ends[1]));
    let matching = Matching::of(sides[0].graph, sides[1].graph);
    for (a, b) in matching.pairs(sides[0].graph, sides[1].graph) {
        match (a, b) {
            (Some(a), Some(b)) => pair(sides, (a, b), &matching, way, options, out),
            (Some(a), None) => alone(sides[0].graph, a, way, out, true),
            (None, Some(b)) => alone(sides[1].graph, b, way, out, false),
            (None, None) => {}
        }
    }
}

fn pair(
    sides: &[Side; 2],
    (a, b): (NodeId, NodeId),
    matching: &Matching,
    way: &str,
    options: Options,
    out: &mut ModelDiff,
) {
    match (sides[0].graph.node(a), sides[1].graph.node(b)) {
        (Node::Constant(one), Node::Constant(other)) => {
            out.weights.extend(weights::diff(way, one, other, options.weights))
        }
        (Node::Call(one), Node::Call(other)) => {
            out.nodes.extend(nodes::diff(sides, (a, b), matching, way));
            let name = format!("{way}{}.", one.label());
            for (key, attribute) in &one.attributes {
                let bodies =
                    attribute.graphs().iter().zip(other.attributes.get(key).map_or(&[][..], Attribute::graphs));
                for (body, its) in bodies {
                    let sides = [body, its].map(|graph| Side { graph, facts: None });
                    graphs(&sides, &format!("{name}{key}/"), options, out);
                }
            }
        }
        (Node::Output(_), Node::Output(_)) => {
            out.interface.extend(nodes::feeding(sides, (a, b), matching, way));
        }
        _ => {}
    }
}

/// A node that one graph alone has.
fn alone(graph: &Graph, node: NodeId, way: &str, out: &mut ModelDiff, before: bool) {
    let name = format!("{way}{}", graph.label(node));
    match graph.node(node) {
        Node::Call(_) => {
            let line = Some(ir::print_line(graph, node));
            let (before, after) = if before { (line, None) } else { (None, line) };
            out.nodes.push(NodeDiff { name, before, after, changes: vec![] });
        }
        Node::Constant(c) => {
            let weight = Some(Weight::of(c));
            let (before, after) = if before { (weight, None) } else { (None, weight) };
            out.weights.push(WeightDiff { name, before, after, max_abs: None, differing: None });
        }
        // The lists of inputs and outputs tell.
        Node::Input(_) | Node::Output(_) => {}
    }
}

/// What stands around the graph.
fn headers(a: &Model, b: &Model) -> Vec<Change> {
    let of = |m: &Model| {
        let mut all = BTreeMap::from([("ir_version".to_owned(), m.ir_version.to_string())]);
        all.extend(m.opsets.iter().map(|(d, v)| (format!("opset {d:?}"), v.to_string())));
        all.extend(m.functions.iter().map(|f| {
            let hash = xxhash_rust::xxh3::xxh3_64(&f.encoded);
            (format!("function {}.{}:{}", f.domain, f.name, f.overload), format!("#{hash:016x}"))
        }));
        all.insert("graph".to_owned(), m.graph.name.clone());
        all
    };
    changes(&of(a), &of(b))
}

/// Inputs and outputs of a graph in their order, by which they are told.
fn ends(graph: &Graph, way: &str) -> BTreeMap<String, String> {
    let names = |nodes: Vec<NodeId>| nodes.into_iter().map(|n| graph.label(n)).collect::<Vec<_>>().join(", ");
    let ends = [("inputs", names(graph.inputs())), ("outputs", names(graph.outputs()))];
    ends.map(|(what, names)| (format!("{way}{what}"), names)).into()
}

/// Types of inputs and outputs.
fn interface(a: &Graph, b: &Graph) -> Vec<Change> {
    let of = |g: &Graph| {
        let ends = g.inputs().into_iter().chain(g.outputs());
        let said = ends.filter_map(|n| match g.node(n) {
            Node::Input(i) => {
                let default = i.default.as_ref().map(|t| format!(" = #{:016x}", t.hash())).unwrap_or_default();
                Some((format!("input {}", i.info.name), nodes::declared(&i.info) + &default))
            }
            Node::Output(o) => Some((format!("output {}", o.info.name), nodes::declared(&o.info))),
            Node::Constant(_) | Node::Call(_) => None,
        });
        said.collect::<BTreeMap<_, _>>()
    };
    changes(&of(a), &of(b))
}

fn pairs(all: &[(String, String)]) -> BTreeMap<String, String> {
    all.iter().cloned().collect()
}

/// What two lists of named things say differently.
fn changes(a: &BTreeMap<String, String>, b: &BTreeMap<String, String>) -> Vec<Change> {
    let names = a.keys().chain(b.keys().filter(|k| !a.contains_key(*k)));
    let change =
        |what: &String| Change { what: what.clone(), before: a.get(what).cloned(), after: b.get(what).cloned() };
    names.map(change).filter(|c| c.before != c.after).collect()
}

/// Text for people: `-` where the first model alone has something, `+` where the second does, `~` where both differ.
impl fmt::Display for ModelDiff {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for (title, list) in [("model", &self.model), ("metadata", &self.metadata), ("interface", &self.interface)] {
            if !list.is_empty() {
                writeln!(f, "{title}")?;
            }
            list.iter().try_for_each(|c| writeln!(f, "  {c}"))?;
        }
        if !self.nodes.is_empty() {
            writeln!(f, "nodes")?;
        }
        for node in &self.nodes {
            match (&node.before, &node.after) {
                (Some(line), None) => writeln!(f, "  - {line}")?,
                (None, Some(line)) => writeln!(f, "  + {line}")?,
                _ => writeln!(f, "  ~ {}", node.name)?,
            }
            node.changes.iter().try_for_each(|c| writeln!(f, "      {c}"))?;
        }
        if !self.weights.is_empty() {
            writeln!(f, "weights")?;
        }
        self.weights.iter().try_for_each(|w| writeln!(f, "  {w}"))
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match (&self.before, &self.after) {
            (Some(a), Some(b)) => write!(f, "~ {}: {a} → {b}", self.what),
            (Some(a), None) => write!(f, "- {}: {a}", self.what),
            (None, Some(b)) => write!(f, "+ {}: {b}", self.what),
            (None, None) => write!(f, "~ {}", self.what),
        }
    }
}

#[cfg(test)]
mod tests;
