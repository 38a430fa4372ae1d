//! A graph as a chart, in the languages of Mermaid and of Graphviz.
//!
//! Calls are boxes with their operator, their name and the constants that they read; wires are arrows with what the
//! caller has to say of the value. Constants have no box of their own: a chart of a hundred layers would drown in them.
//! Bodies of calls are not drawn; what they capture is.

use super::super::{Graph, Model, Node, NodeId, ValueId};
use std::collections::HashMap;
use std::fmt::{self, Write};

/// The language of a chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// As Markdown pages show it.
    Mermaid,
    /// For Graphviz.
    Dot,
}

/// The main graph of a model as a chart, with a note on each value where the caller has one.
pub struct Diagram<'a> {
    pub model: &'a Model,
    pub notes: &'a dyn Fn(ValueId) -> Option<String>,
    pub language: Language,
}

/// The shape of a box.
#[derive(Clone, Copy)]
enum Outline {
    Call,
    /// An input or an output.
    End,
}

impl fmt::Display for Diagram<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let graph = &self.model.graph;
        let drawn: Vec<NodeId> =
            graph.nodes().into_iter().filter(|&n| !matches!(graph.node(n), Node::Constant(_))).collect();
        let numbers: HashMap<NodeId, usize> = drawn.iter().enumerate().map(|(i, &n)| (n, i)).collect();
        match self.language {
            Language::Mermaid => writeln!(f, "flowchart TD")?,
            Language::Dot => {
                writeln!(f, "digraph {} {{", dot(&graph.name))?;
                writeln!(
                    f,
                    "  node [shape=box, fontname=\"sans-serif\"]; edge [fontname=\"sans-serif\", fontsize=10]"
                )?;
            }
        }
        for (i, &node) in drawn.iter().enumerate() {
            self.node(f, i, node)?;
        }
        for &node in &drawn {
            for value in graph.operands(node).into_iter().flatten() {
                if let Some(from) = numbers.get(&value.node) {
                    self.wire(f, *from, numbers[&node], value)?;
                }
            }
        }
        if self.language == Language::Dot { writeln!(f, "}}") } else { Ok(()) }
    }
}

impl Diagram<'_> {
    fn node(&self, f: &mut fmt::Formatter, number: usize, node: NodeId) -> fmt::Result {
        let graph = &self.model.graph;
        let (outline, lines) = match graph.node(node) {
            Node::Call(call) => {
                let mut lines = vec![call.qualified()];
                lines.extend(Some(call.name.clone()).filter(|n| !n.is_empty()));
                lines.extend(constants(graph, node));
                (Outline::Call, lines)
            }
            _ => (Outline::End, vec![graph.label(node).to_owned()]),
        };
        match (self.language, outline) {
            (Language::Mermaid, Outline::Call) => writeln!(f, "  n{number}[\"{}\"]", mermaid(&lines)),
            (Language::Mermaid, Outline::End) => writeln!(f, "  n{number}([\"{}\"])", mermaid(&lines)),
            (Language::Dot, Outline::Call) => writeln!(f, "  n{number} [label={}]", dot(&lines.join("\n"))),
            (Language::Dot, Outline::End) => {
                writeln!(f, "  n{number} [label={}, shape=oval]", dot(&lines.join("\n")))
            }
        }
    }

    fn wire(&self, f: &mut fmt::Formatter, from: usize, to: usize, value: ValueId) -> fmt::Result {
        let note = (self.notes)(value);
        match (self.language, note) {
            (Language::Mermaid, Some(note)) => writeln!(f, "  n{from} -->|\"{}\"| n{to}", mermaid(&[note])),
            (Language::Mermaid, None) => writeln!(f, "  n{from} --> n{to}"),
            (Language::Dot, Some(note)) => writeln!(f, "  n{from} -> n{to} [label={}]", dot(&note)),
            (Language::Dot, None) => writeln!(f, "  n{from} -> n{to}"),
        }
    }
}

/// The constants that a call reads, each in a line: name and shape.
fn constants(graph: &Graph, node: NodeId) -> Vec<String> {
    let read = graph.operands(node).into_iter().flatten();
    let line = |value: ValueId| {
        let constant = graph.constant(value.node)?;
        let shape: Vec<String> = constant.tensor.shape.iter().map(usize::to_string).collect();
        Some(format!("{} {}", constant.name, shape.join("×")).trim().to_owned())
    };
    read.filter_map(line).collect()
}

/// Lines within quotes. Entities stand for all that means something to Mermaid or to HTML.
fn mermaid(lines: &[String]) -> String {
    let mut out = String::new();
    for (i, line) in lines.iter().enumerate() {
        out.push_str(if i > 0 { "<br/>" } else { "" });
        for c in line.chars() {
            match c {
                '"' | '<' | '>' | '&' | '#' | ';' | '`' | '\\' | '|' => _ = write!(out, "#{};", u32::from(c)),
                c if c.is_control() => out.push(' '),
                c => out.push(c),
            }
        }
    }
    out
}

/// A string in quotes. Graphviz knows escapes for backslash, quote and line.
fn dot(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{}\"", text.replace(|c: char| c.is_control(), " "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::parse;
    use insta::assert_snapshot;

    fn chart(language: Language) -> String {
        let text = r#"g (f32[n,3] x) => (f32[n,2] y) {
            f32[3,2] w = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0}
            ["a \"b\" <c>"] h = MatMul(x, w)
            s = Relu(h)
            y = Add(h, s)
        }"#;
        let model = parse(text, &|_| None).unwrap();
        let note = |v: ValueId| Some(format!("{}[n, 2]", model.graph.value_name(v))).filter(|_| v.port == 0);
        Diagram { model: &model, notes: &note, language }.to_string()
    }

    #[test]
    fn constants_are_told_in_the_boxes() {
        assert_snapshot!(chart(Language::Mermaid), @r#"
        flowchart TD
          n0(["x"])
          n1["MatMul<br/>a #34;b#34; #60;c#62;<br/>w 3×2"]
          n2["Relu"]
          n3["Add"]
          n4(["y"])
          n0 -->|"x[n, 2]"| n1
          n1 -->|"h[n, 2]"| n2
          n1 -->|"h[n, 2]"| n3
          n2 -->|"s[n, 2]"| n3
          n3 -->|"y[n, 2]"| n4
        "#);
        assert_snapshot!(chart(Language::Dot), @r#"
        digraph "g" {
          node [shape=box, fontname="sans-serif"]; edge [fontname="sans-serif", fontsize=10]
          n0 [label="x", shape=oval]
          n1 [label="MatMul\na \"b\" <c>\nw 3×2"]
          n2 [label="Relu"]
          n3 [label="Add"]
          n4 [label="y", shape=oval]
          n0 -> n1 [label="x[n, 2]"]
          n1 -> n2 [label="h[n, 2]"]
          n1 -> n3 [label="h[n, 2]"]
          n2 -> n3 [label="s[n, 2]"]
          n3 -> n4 [label="y[n, 2]"]
        }
        "#);
    }
}
