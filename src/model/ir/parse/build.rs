//! Puts a graph together. Names are resolved when all of it is read, so lines may come in any order.

use super::super::{Graph, Input, Node, NodeId, Type, Use, ValueId, ValueInfo};
use super::ParseError;
use super::cursor::Cursor;
use std::collections::HashMap;
use std::fmt;

/// How the text calls a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// `_`
    None,
    /// `%0`
    Anonymous(u32),
    Name(String),
}

impl Key {
    /// The name that the value gets.
    pub(super) fn name(&self) -> String {
        match self {
            Key::Name(name) => name.clone(),
            Key::None | Key::Anonymous(_) => String::new(),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Key::None => f.write_str("`_`"),
            Key::Anonymous(n) => write!(f, "`%{n}`"),
            Key::Name(name) => write!(f, "`{name}`"),
        }
    }
}

/// A value where the text calls it.
#[derive(Clone, Debug)]
pub(super) struct Ref {
    pub(super) key: Key,
    pub(super) at: usize,
}

/// A graph of which a part is read.
#[derive(Default)]
pub(super) struct Builder {
    pub(super) graph: Graph,
    /// The outer values of the captured inputs, in their order.
    pub(super) captures: Vec<Ref>,
    defined: HashMap<Key, ValueId>,
    wires: Vec<(Use, Ref)>,
    first_line: Option<NodeId>,
}

impl Builder {
    /// Adds a node that stands in a line of the graph's body.
    pub(super) fn add_line(&mut self, node: Node) -> NodeId {
        let node = self.graph.add(node);
        self.first_line.get_or_insert(node);
        node
    }

    pub(super) fn output(&mut self, info: ValueInfo, value: Ref) {
        let node = self.graph.add(Node::Output(super::super::Output { info }));
        self.wires.push((Use { node, slot: 0 }, value));
    }

    /// Notes the operands of a node, to be connected in the end.
    pub(super) fn wire(&mut self, node: NodeId, operands: Vec<Ref>) {
        self.wires.extend((0..).zip(operands).map(|(slot, value)| (Use { node, slot }, value)));
    }

    /// Notes what the text calls a result.
    pub(super) fn define(&mut self, text: &Cursor, name: Ref, node: NodeId, port: u16) -> Result<(), ParseError> {
        if name.key == Key::None {
            return Ok(());
        }
        match self.defined.insert(name.key.clone(), ValueId { node, port }) {
            None => Ok(()),
            Some(_) => Err(text.error(name.at, format!("{} is defined before", name.key))),
        }
    }

    /// Connects everything. A name that is not defined here is captured: the enclosing graph must know it.
    pub(super) fn finish(mut self, text: &Cursor) -> Result<(Graph, Vec<Ref>), ParseError> {
        for (to, value) in std::mem::take(&mut self.wires) {
            let known = match &value.key {
                Key::None => continue,
                key => self.defined.get(key).copied(),
            };
            let from = match (known, &value.key) {
                (Some(known), _) => known,
                (None, Key::Name(name)) => {
                    let node = self.capture(name);
                    self.define(text, value.clone(), node, 0)?;
                    self.captures.push(value);
                    ValueId { node, port: 0 }
                }
                (None, key) => return Err(text.error(value.at, format!("no value is called {key}"))),
            };
            self.graph.connect(from, to);
        }
        Ok((self.graph, self.captures))
    }

    /// Adds a captured input, before the lines that use it.
    fn capture(&mut self, name: &str) -> NodeId {
        let node = Node::Input(Input { info: ValueInfo::new(name, Type::Other), captured: true, default: None });
        match self.first_line {
            Some(line) => self.graph.add_before(line, node),
            None => self.graph.add(node),
        }
    }
}
