//! Prints one graph.

use super::super::{Attribute, Call, Constant, Form, Graph, Input, Node, NodeId, Output, ValueId};
use super::literal;
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// A list of inputs or outputs that would make the line longer than this is broken into lines.
const WIDTH: usize = 100;

type Notes<'a> = &'a dyn Fn(ValueId) -> Option<String>;

/// A graph, and how its values are called in the text.
pub(in crate::model::ir) struct Page<'a> {
    graph: &'a Graph,
    notes: Notes<'a>,
    names: HashMap<ValueId, String>,
    /// Constants and calls, in the order of their lines.
    body: Vec<NodeId>,
}

/// How the subgraphs of a call are printed.
#[derive(Clone, Copy)]
enum Subgraphs {
    /// In full, indented by so many spaces.
    Full(usize),
    /// By name, so that the call fits a line.
    Short,
}

impl<'a> Page<'a> {
    pub(in crate::model::ir) fn new(graph: &'a Graph) -> Page<'a> {
        let mut order = graph.topological();
        if order.len() < graph.len() {
            // A cycle is an error, but it must be possible to print what is wrong.
            let placed: HashSet<NodeId> = order.iter().copied().collect();
            order.extend(graph.nodes().into_iter().filter(|n| !placed.contains(n)));
        }
        let body = order.into_iter().filter(|&n| matches!(graph.node(n), Node::Constant(_) | Node::Call(_))).collect();
        let mut page = Page { graph, notes: &|_| None, names: HashMap::new(), body };
        page.names = page.name_values();
        page
    }

    pub(super) fn with_notes(self, notes: Notes<'a>) -> Page<'a> {
        Page { notes, ..self }
    }

    fn parameters(&self) -> Vec<NodeId> {
        self.graph.nodes().into_iter().filter(|&n| matches!(self.graph.node(n), Node::Input(_))).collect()
    }

    fn name_values(&self) -> HashMap<ValueId, String> {
        let mut names = HashMap::new();
        let mut taken = HashSet::new();
        let mut anonymous = 0;
        for value in self.parameters().iter().chain(&self.body).flat_map(|&n| self.graph.results(n)) {
            let name = self.graph.value_name(value);
            let shown = if !name.is_empty() && taken.insert(name) {
                literal::name(name)
            } else if self.graph.uses(value).is_empty() {
                "_".to_owned()
            } else {
                anonymous += 1;
                format!("%{}", anonymous - 1)
            };
            names.insert(value, shown);
        }
        names
    }

    /// How an operand reads.
    fn shown(&self, value: Option<ValueId>) -> String {
        let Some(value) = value else { return "_".to_owned() };
        match self.names.get(&value) {
            Some(name) => name.clone(),
            None => format!("<no result {} of {}>", value.port, self.first_result(value.node)),
        }
    }

    fn first_result(&self, node: NodeId) -> String {
        match (self.graph.node(node), self.names.get(&ValueId { node, port: 0 })) {
            (_, Some(name)) => name.clone(),
            (Node::Output(o), _) => literal::value_info(&o.info),
            _ => "_".to_owned(),
        }
    }

    /// The graph from its name to the closing brace. `outer` are the values of the enclosing graph that it captures,
    /// as they are called there.
    pub(super) fn graph(&self, out: &mut String, outer: &[String], indent: usize) {
        let inner = " ".repeat(indent + 2);
        out.push_str(&literal::graph_name(&self.graph.name));
        out.push(' ');
        self.list(out, &self.parameter_texts(outer), indent);
        out.push_str(" => ");
        let outputs = self.graph.outputs();
        let outputs: Vec<_> = outputs.into_iter().map(|n| (self.output(n), None)).collect();
        self.list(out, &outputs, indent);
        if !self.graph.value_info.is_empty() {
            let infos: Vec<String> =
                self.graph.value_info.iter().map(|i| inner.clone() + &literal::value_info(i)).collect();
            out.push_str(&format!(" <\n{}\n{}>", infos.join(",\n"), " ".repeat(indent)));
        }
        out.push_str(" {\n");
        for &node in &self.body {
            out.push_str(&inner);
            match self.graph.node(node) {
                Node::Constant(c) => out.push_str(&self.constant(node, c)),
                Node::Call(c) => _ = self.call(out, node, c, Subgraphs::Full(indent + 2)),
                Node::Input(_) | Node::Output(_) => {}
            }
            if let Some(note) = self.note(node) {
                out.push_str(&format!("   # {note}"));
            }
            out.push('\n');
        }
        out.push_str(&" ".repeat(indent));
        out.push('}');
    }

    /// A list of inputs or outputs with their notes: in one line, or one a line where it is long or has notes.
    fn list(&self, out: &mut String, items: &[(String, Option<String>)], indent: usize) {
        let width: usize = items.iter().map(|(text, _)| text.len() + 2).sum();
        if width <= WIDTH && items.iter().all(|(_, note)| note.is_none()) {
            let items: Vec<&str> = items.iter().map(|(text, _)| text.as_str()).collect();
            return out.push_str(&format!("({})", items.join(", ")));
        }
        out.push_str("(\n");
        for (i, (text, note)) in items.iter().enumerate() {
            let comma = if i + 1 < items.len() { "," } else { "" };
            let note = note.as_ref().map(|n| format!("   # {n}")).unwrap_or_default();
            out.push_str(&format!("{}{text}{comma}{note}\n", " ".repeat(indent + 2)));
        }
        out.push_str(&" ".repeat(indent));
        out.push(')');
    }

    fn parameter_texts(&self, outer: &[String]) -> Vec<(String, Option<String>)> {
        let mut outer = outer.iter();
        let mut text = |node| match self.graph.node(node) {
            Node::Input(i) => {
                let from = if i.captured { outer.next().map_or("_", |s| s.as_str()) } else { "" };
                self.input(node, i, from)
            }
            _ => String::new(),
        };
        self.parameters().into_iter().map(|n| (text(n), self.note(n))).collect()
    }

    /// An input; a captured one with the value `from` of the enclosing graph, where that has another name.
    fn input(&self, node: NodeId, input: &Input, from: &str) -> String {
        let Input { info, captured, default } = input;
        let name = self.first_result(node);
        let declared = literal::declared(info, &name);
        match (captured, default) {
            (true, _) if from == name => format!("captured {declared}"),
            (true, _) => format!("captured {declared} = {from}"),
            (false, None) => declared,
            (false, Some(t)) => {
                let ty = literal::type_of(t);
                if declared == format!("{ty} {name}") {
                    declared + &literal::data(t, " = ")
                } else {
                    // The declared type leaves open what the default's own type is.
                    format!("{declared} = {ty}{}", literal::data(t, " "))
                }
            }
        }
    }

    /// An output, with the value where that has another name.
    fn output(&self, node: NodeId) -> String {
        let Node::Output(Output { info }) = self.graph.node(node) else { return String::new() };
        let name = literal::name_or_blank(&info.name);
        let value = self.shown(self.graph.operand(node, 0));
        let declared = literal::declared(info, &name);
        if value == name { declared } else { format!("{declared} = {value}") }
    }

    fn constant(&self, node: NodeId, constant: &Constant) -> String {
        // `source` says where a constant comes from, as a node's place does, and is no part of the program.
        let Constant { name: _, tensor, form, origin: _ } = constant;
        let shown = self.first_result(node);
        let head = format!("{} {shown}", literal::type_of(tensor));
        match form {
            Form::Initializer => head + &literal::data(tensor, " = "),
            Form::Node { .. } => head + &literal::data(tensor, " = ") + " @node",
            Form::Sparse { .. } if !constant.is_opaque() => head + &literal::data(tensor, " = ") + " @sparse",
            Form::Sparse { original } => {
                format!("{head} @sparse({}){}", literal::opaque(original), literal::store(tensor))
            }
            Form::InputInitializer { position, info } => {
                let declared = literal::value_info(info);
                let info = if declared == head { String::new() } else { format!(", {declared}") };
                head + &literal::data(tensor, " = ") + &format!(" @input({position}{info})")
            }
        }
    }

    /// Appends a call and says where in `out` its operands stand.
    fn call(&self, out: &mut String, node: NodeId, call: &Call, subgraphs: Subgraphs) -> Vec<Range<usize>> {
        let Call { name, domain, op, overload: _, attributes: _, results, arity, extra: _ } = call;
        let shown: Vec<String> = self.graph.results(node).map(|v| self.shown(Some(v))).collect();
        // A first result that prints as a placeholder says nothing about the name.
        if results.first() == Some(name) && shown.first() == Some(&literal::name(name)) {
            out.push_str("[=] ");
        } else if !name.is_empty() {
            out.push_str(&format!("[{}] ", literal::name(name)));
        }
        if !shown.is_empty() {
            out.push_str(&format!("{} = ", shown.join(", ")));
        }
        out.push_str(&literal::operator(domain, op));
        let operands = self.graph.operands(node);
        let (listed, captured) = operands.split_at(usize::from(*arity).min(operands.len()));
        let captured: Vec<String> = captured.iter().map(|v| self.shown(*v)).collect();
        self.attributes(out, call, &captured, subgraphs);
        out.push('(');
        let mut spans = Vec::new();
        let mut operand = |out: &mut String, between: &str, name: &str| {
            out.push_str(between);
            spans.push(out.len()..out.len() + name.len());
            out.push_str(name);
        };
        for (i, value) in listed.iter().enumerate() {
            operand(out, if i > 0 { ", " } else { "" }, &self.shown(*value));
        }
        // More operands than anything captures are an error; they are shown so that it can be seen.
        let captures: usize = call.graphs().map(|g| g.captures().len()).sum();
        for (i, name) in captured.iter().enumerate() {
            match i.cmp(&captures) {
                Ordering::Less => operand(out, "", ""),
                Ordering::Equal => operand(out, " | ", name),
                Ordering::Greater => operand(out, ", ", name),
            }
        }
        out.push(')');
        spans
    }

    fn attributes(&self, out: &mut String, call: &Call, captured: &[String], subgraphs: Subgraphs) {
        if call.attributes.is_empty() {
            return;
        }
        // A call with subgraphs has its attributes one a line.
        let (open, between, close, indent) = match subgraphs {
            Subgraphs::Full(indent) if call.graphs().next().is_some() => {
                let (inner, outer) = (" ".repeat(indent + 2), " ".repeat(indent));
                (format!("<\n{inner}"), format!(",\n{inner}"), format!("\n{outer}>"), indent + 2)
            }
            _ => ("<".to_owned(), ", ".to_owned(), ">".to_owned(), 0),
        };
        let mut captured = captured;
        let mut subgraph = |out: &mut String, graph: &Graph| match subgraphs {
            Subgraphs::Full(_) => {
                let (own, rest) = captured.split_at(graph.captures().len().min(captured.len()));
                captured = rest;
                Page::new(graph).graph(out, own, indent);
            }
            Subgraphs::Short => out.push_str(&format!("{} {{...}}", literal::graph_name(&graph.name))),
        };
        for (i, (key, attribute)) in call.attributes.iter().enumerate() {
            out.push_str(if i > 0 { &between } else { &open });
            out.push_str(&format!("{}{}=", literal::key(key), literal::kind(attribute)));
            match attribute {
                Attribute::Graph(g) => subgraph(out, g),
                Attribute::Graphs(graphs) => {
                    out.push('[');
                    for (i, g) in graphs.iter().enumerate() {
                        out.push_str(if i > 0 { ", " } else { "" });
                        subgraph(out, g);
                    }
                    out.push(']');
                }
                plain => out.push_str(&literal::attribute(plain)),
            }
        }
        out.push_str(&close);
    }

    /// What the caller has to say about the results of a node.
    fn note(&self, node: NodeId) -> Option<String> {
        let notes: Vec<Option<String>> = self.graph.results(node).map(self.notes).collect();
        notes.iter().any(Option::is_some).then(|| {
            let shown: Vec<String> = notes.into_iter().map(|n| n.unwrap_or_else(|| "_".to_owned())).collect();
            shown.join(", ").replace(['\n', '\r'], " ")
        })
    }

    /// One node in one line.
    pub(in crate::model::ir) fn line(&self, node: NodeId) -> String {
        let (text, _) = self.line_with_spans(node);
        match self.note(node) {
            Some(note) => format!("{text}   # {note}"),
            None => text,
        }
    }

    /// One node in one line, with a mark under one operand where there is one to be marked.
    pub(in crate::model::ir) fn marked_line(&self, node: NodeId, slot: Option<usize>) -> String {
        let (text, spans) = self.line_with_spans(node);
        let Some(span) = slot.and_then(|s| spans.get(s)).filter(|s| !s.is_empty()) else { return text };
        let column = text[..span.start].chars().count();
        let length = text[span.clone()].chars().count();
        format!("{text}\n{}^{}", " ".repeat(column), "~".repeat(length.saturating_sub(1)))
    }

    fn line_with_spans(&self, node: NodeId) -> (String, Vec<Range<usize>>) {
        let mut out = String::new();
        let spans = match self.graph.node(node) {
            Node::Input(i) => {
                out.push_str(&self.input(node, i, &self.first_result(node)));
                vec![]
            }
            Node::Constant(c) => {
                out.push_str(&self.constant(node, c));
                vec![]
            }
            Node::Output(_) => {
                out.push_str(&format!("=> ({})", self.output(node)));
                vec![]
            }
            Node::Call(c) => self.call(&mut out, node, c, Subgraphs::Short),
        };
        (out, spans)
    }
}
