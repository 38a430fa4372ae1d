//! The graph: nodes, wires and the questions that everybody asks of them.
//!
//! petgraph stores it. Its neighbours come in no order that we want, and parallel wires are common (`Mul(x, x)`),
//! so every wire carries its ports and the accessors here sort by them. Node ids are stable; they are reused only
//! after a removal, so a pass must not keep an id of a node that it removed.

use super::{Call, Constant, Extra, Input, Node, Output, Place, Type, ValueInfo};
use petgraph::Direction::{Incoming, Outgoing};
use petgraph::stable_graph::{EdgeIndex, NodeIndex, StableDiGraph};
use petgraph::visit::{EdgeRef, IntoEdgeReferences};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet};

/// A node of a graph.
pub type NodeId = NodeIndex<u32>;

/// A wire: from a result of one node to an operand slot of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wire {
    pub from: u16,
    pub to: u16,
}

/// A value: one result of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId {
    pub node: NodeId,
    pub port: u16,
}

/// A use of a value: an operand slot of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Use {
    pub node: NodeId,
    pub slot: u16,
}

/// A node with its place in the file.
#[derive(Clone, Debug)]
struct Entry {
    node: Node,
    place: Place,
    /// Position in the input file's list of nodes, for calls and `Constant` nodes that come from there.
    origin: Option<u32>,
    /// Which body of a call it belongs to while bodies are open; 0 is none.
    region: u32,
}

/// Slots and ports from this one on have an index; the few before it are looked for among the node's wires.
const FAR: u16 = 4;

/// The wires at far slots and ports, so that calls with thousands of operands or results take no longer for each.
#[derive(Clone, Debug, Default)]
struct Far {
    to: BTreeMap<Use, EdgeIndex<u32>>,
    from: BTreeSet<(ValueId, EdgeIndex<u32>)>,
}

impl Far {
    fn add(&mut self, from: ValueId, to: Use, wire: EdgeIndex<u32>) {
        if to.slot >= FAR {
            self.to.insert(to, wire);
        }
        if from.port >= FAR {
            self.from.insert((from, wire));
        }
    }

    fn remove(&mut self, from: ValueId, to: Use, wire: EdgeIndex<u32>) {
        if self.to.get(&to) == Some(&wire) {
            self.to.remove(&to);
        }
        if from.port >= FAR {
            self.from.remove(&(from, wire));
        }
    }
}

/// A graph of nodes and wires.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    pub name: String,
    /// Declared types of inner values, as in the file. They are refreshed after a change, never trusted blindly.
    pub value_info: Vec<ValueInfo>,
    /// Doc string, quantization annotations, metadata.
    pub extra: Extra,
    /// Names of constants that the quantization annotations mention. They stay, though no wire may use them.
    pub mentioned: HashSet<String>,
    net: StableDiGraph<Entry, Wire>,
    far: Far,
    next_position: u32,
    fresh_names: u32,
}

impl Graph {
    /// Adds a node at the end of the file's order.
    pub fn add(&mut self, node: Node) -> NodeId {
        let place = Place { position: self.next_position, before: u32::MAX };
        self.next_position += 1;
        self.net.add_node(Entry { node, place, origin: None, region: 0 })
    }

    /// Adds a node just before another one in the file's order, and in its region.
    pub fn add_before(&mut self, anchor: NodeId, node: Node) -> NodeId {
        let at = self.net[anchor].place;
        let before = if at.before == u32::MAX { self.fresh_names } else { at.before };
        self.fresh_names += 1;
        let (place, region) = (Place { position: at.position, before }, self.region(anchor));
        self.net.add_node(Entry { node, place, origin: None, region })
    }

    /// Adds an initializer.
    pub fn add_constant(&mut self, constant: Constant) -> ValueId {
        ValueId { node: self.add(Node::Constant(constant)), port: 0 }
    }

    /// Some of its nodes, with the wires between them, and what each is there.
    pub fn part(&self, nodes: impl IntoIterator<Item = NodeId>) -> (Graph, HashMap<NodeId, NodeId>) {
        let mut part = Graph::default();
        let mut nodes: Vec<NodeId> = nodes.into_iter().collect();
        nodes.sort_by_key(|&n| (self.net[n].place, n));
        let copies: HashMap<NodeId, NodeId> =
            nodes.iter().map(|&n| (n, part.net.add_node(self.net[n].clone()))).collect();
        for e in nodes.iter().flat_map(|&n| self.net.edges_directed(n, Incoming)) {
            if let Some(&from) = copies.get(&e.source()) {
                let (value, at) = ends(&e);
                let wire = part.net.add_edge(from, copies[&e.target()], *e.weight());
                part.far.add(ValueId { node: from, ..value }, Use { node: copies[&e.target()], ..at }, wire);
            }
        }
        part.next_position = self.next_position;
        part.fresh_names = self.fresh_names;
        (part, copies)
    }

    /// Removes a node and its wires.
    pub fn remove(&mut self, node: NodeId) -> Option<Node> {
        for e in self.net.edges_directed(node, Incoming).chain(self.net.edges_directed(node, Outgoing)) {
            let (from, to) = ends(&e);
            self.far.remove(from, to, e.id());
        }
        self.net.remove_node(node).map(|e| e.node)
    }

    /// Whether the graph still has the node.
    pub fn contains(&self, node: NodeId) -> bool {
        self.net.contains_node(node)
    }

    /// The node, which has to be in the graph.
    pub fn node(&self, node: NodeId) -> &Node {
        &self.net[node].node
    }

    /// The node, which has to be in the graph.
    pub fn node_mut(&mut self, node: NodeId) -> &mut Node {
        &mut self.net[node].node
    }

    /// Where the node stands in the file's order.
    pub fn place(&self, node: NodeId) -> Place {
        self.net[node].place
    }

    /// Position in the input file's list of nodes, if the node comes from there.
    pub fn origin(&self, node: NodeId) -> Option<u32> {
        self.net[node].origin
    }

    /// Writes down at which position in the input file the call stood.
    pub fn set_origin(&mut self, node: NodeId, origin: u32) {
        self.net[node].origin = Some(origin);
    }

    /// The body that the node belongs to while bodies are open (`passes::open_bodies`); 0 is the graph itself.
    pub fn region(&self, node: NodeId) -> u32 {
        self.net[node].region
    }

    /// Moves the node to a body.
    pub fn set_region(&mut self, node: NodeId, region: u32) {
        self.net[node].region = region;
    }

    /// The node, if it is a call.
    pub fn call(&self, node: NodeId) -> Option<&Call> {
        match self.node(node) {
            Node::Call(c) => Some(c),
            _ => None,
        }
    }

    /// The node, if it is a call.
    pub fn call_mut(&mut self, node: NodeId) -> Option<&mut Call> {
        match self.node_mut(node) {
            Node::Call(c) => Some(c),
            _ => None,
        }
    }

    /// The node, if it is a constant.
    pub fn constant(&self, node: NodeId) -> Option<&Constant> {
        match self.node(node) {
            Node::Constant(c) => Some(c),
            _ => None,
        }
    }

    /// The node, if it is a constant.
    pub fn constant_mut(&mut self, node: NodeId) -> Option<&mut Constant> {
        match self.node_mut(node) {
            Node::Constant(c) => Some(c),
            _ => None,
        }
    }

    /// How many nodes there are, of all kinds.
    pub fn len(&self) -> usize {
        self.net.node_count()
    }

    /// Whether the graph has no nodes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All nodes in the file's order.
    pub fn nodes(&self) -> Vec<NodeId> {
        let mut all: Vec<NodeId> = self.net.node_indices().collect();
        all.sort_by_key(|&n| (self.net[n].place, n));
        all
    }

    /// All nodes, every one after those it uses, else in the file's order. Nodes on a cycle are left out.
    pub fn topological(&self) -> Vec<NodeId> {
        let mut waiting: HashMap<NodeId, usize> = HashMap::with_capacity(self.len());
        let mut ready = BinaryHeap::new();
        for n in self.net.node_indices() {
            match self.net.edges_directed(n, Incoming).count() {
                0 => ready.push(Reverse((self.net[n].place, n))),
                k => _ = waiting.insert(n, k),
            }
        }
        let mut order = Vec::with_capacity(self.len());
        while let Some(Reverse((_, n))) = ready.pop() {
            order.push(n);
            for e in self.net.edges_directed(n, Outgoing) {
                let left = waiting.get_mut(&e.target()).expect("a target waits until its last operand is placed");
                *left -= 1;
                if *left == 0 {
                    ready.push(Reverse((self.net[e.target()].place, e.target())));
                }
            }
        }
        order
    }

    /// Graph inputs, in the file's order; captured values are not among them.
    pub fn inputs(&self) -> Vec<NodeId> {
        self.of_kind(|n| matches!(n, Node::Input(Input { captured: false, .. })))
    }

    /// Values captured from the enclosing graphs, in the order of the call's extra operands.
    pub fn captures(&self) -> Vec<NodeId> {
        self.of_kind(|n| matches!(n, Node::Input(Input { captured: true, .. })))
    }

    /// Graph outputs, in the file's order.
    pub fn outputs(&self) -> Vec<NodeId> {
        self.of_kind(|n| matches!(n, Node::Output(_)))
    }

    /// Constants, in the file's order.
    pub fn constants(&self) -> Vec<NodeId> {
        self.of_kind(|n| matches!(n, Node::Constant(_)))
    }

    /// Calls, in the file's order.
    pub fn calls(&self) -> Vec<NodeId> {
        self.of_kind(|n| matches!(n, Node::Call(_)))
    }

    fn of_kind(&self, wanted: impl Fn(&Node) -> bool) -> Vec<NodeId> {
        let mut found: Vec<NodeId> = self.net.node_indices().filter(|&n| wanted(&self.net[n].node)).collect();
        found.sort_by_key(|&n| (self.net[n].place, n));
        found
    }

    /// Connects a value to an operand slot, instead of whatever was there.
    pub fn connect(&mut self, value: ValueId, to: Use) {
        self.disconnect(to);
        let wire = self.net.add_edge(value.node, to.node, Wire { from: value.port, to: to.slot });
        self.far.add(value, to, wire);
    }

    /// Leaves an operand slot empty.
    pub fn disconnect(&mut self, from: Use) {
        if let Some((wire, value)) = self.wire_to(from) {
            self.net.remove_edge(wire);
            self.far.remove(value, from, wire);
        }
    }

    /// The wire at an operand slot, and the value that it carries.
    fn wire_to(&self, to: Use) -> Option<(EdgeIndex<u32>, ValueId)> {
        if to.slot >= FAR {
            let wire = *self.far.to.get(&to)?;
            let (node, _) = self.net.edge_endpoints(wire)?;
            return Some((wire, ValueId { node, port: self.net[wire].from }));
        }
        let e = self.net.edges_directed(to.node, Incoming).find(|e| e.weight().to == to.slot)?;
        Some((e.id(), ends(&e).0))
    }

    /// All wires: the value that each carries, and where to.
    pub fn wires(&self) -> impl Iterator<Item = (ValueId, Use)> {
        self.net.edge_references().map(|e| ends(&e))
    }

    /// Connects a value beside whatever is in the slot, as no code but a test of the verifier may.
    #[cfg(test)]
    pub(super) fn connect_too(&mut self, value: ValueId, to: Use) {
        self.net.add_edge(value.node, to.node, Wire { from: value.port, to: to.slot });
    }

    /// The value at an operand slot.
    pub fn operand(&self, node: NodeId, slot: usize) -> Option<ValueId> {
        Some(self.wire_to(Use { node, slot: u16::try_from(slot).ok()? })?.1)
    }

    /// All operand slots of a node up to the last one in use; empty ones are `None`.
    pub fn operands(&self, node: NodeId) -> Vec<Option<ValueId>> {
        let mut slots = vec![None; self.call(node).map_or(0, |c| usize::from(c.arity))];
        for e in self.net.edges_directed(node, Incoming) {
            let slot = usize::from(e.weight().to);
            if slot >= slots.len() {
                slots.resize(slot + 1, None);
            }
            slots[slot] = Some(ValueId { node: e.source(), port: e.weight().from });
        }
        slots
    }

    /// The uses of one value, by place and slot.
    pub fn uses(&self, value: ValueId) -> Vec<Use> {
        let mut uses: Vec<Use> = match value.port {
            FAR.. => {
                let all = (value, EdgeIndex::new(0))..=(value, EdgeIndex::end());
                let to = |e| Some(Use { node: self.net.edge_endpoints(e)?.1, slot: self.net[e].to });
                self.far.from.range(all).filter_map(|(_, e)| to(*e)).collect()
            }
            _ => {
                let from = self.net.edges_directed(value.node, Outgoing).filter(|e| e.weight().from == value.port);
                from.map(|e| Use { node: e.target(), slot: e.weight().to }).collect()
            }
        };
        uses.sort_by_key(|u| (self.net[u.node].place, u.node, u.slot));
        uses
    }

    /// Whether any result of the node is used.
    pub fn is_used(&self, node: NodeId) -> bool {
        self.net.edges_directed(node, Outgoing).next().is_some()
    }

    /// Makes every use of `old` a use of `new`.
    pub fn replace(&mut self, old: ValueId, new: ValueId) {
        for u in self.uses(old) {
            self.connect(new, u);
        }
    }

    /// How many results a node has.
    pub fn result_count(&self, node: NodeId) -> usize {
        match self.node(node) {
            Node::Input(_) | Node::Constant(_) => 1,
            Node::Call(c) => c.results.len(),
            Node::Output(_) => 0,
        }
    }

    /// The results of a node.
    pub fn results(&self, node: NodeId) -> impl Iterator<Item = ValueId> + use<> {
        (0..self.result_count(node) as u16).map(move |port| ValueId { node, port })
    }

    /// The name that a value has in the file.
    pub fn value_name(&self, value: ValueId) -> &str {
        match self.node(value.node) {
            Node::Input(i) => &i.info.name,
            Node::Constant(c) => &c.name,
            Node::Call(c) => &c.results[usize::from(value.port)],
            Node::Output(o) => &o.info.name,
        }
    }

    /// Values by name.
    pub fn values_by_name(&self) -> HashMap<String, ValueId> {
        let all = self.net.node_indices().flat_map(|n| self.results(n));
        all.map(|v| (self.value_name(v).to_owned(), v)).filter(|(name, _)| !name.is_empty()).collect()
    }

    /// How messages name a node: its own name, or that of what it makes.
    pub fn label(&self, node: NodeId) -> &str {
        match self.node(node) {
            Node::Call(c) => c.label(),
            _ => self.value_name(ValueId { node, port: 0 }),
        }
    }

    /// The constant behind a value, if it is one.
    pub fn tensor(&self, value: ValueId) -> Option<&super::Tensor> {
        self.constant(value.node).map(|c| &c.tensor)
    }

    /// A value name that nothing in the graph or its subgraphs has yet, beginning with `base`.
    pub fn fresh_name(&mut self, base: &str, taken: &mut HashSet<String>) -> String {
        loop {
            let name = format!("{base}_{}", self.fresh_names);
            self.fresh_names += 1;
            if taken.insert(name.clone()) {
                return name;
            }
        }
    }

    /// Every value name in the graph and its subgraphs.
    pub fn all_names(&self) -> HashSet<String> {
        let mut names: HashSet<String> = self.values_by_name().into_keys().collect();
        for n in self.net.node_indices() {
            if let Node::Call(c) = self.node(n) {
                c.graphs().for_each(|g| names.extend(g.all_names()));
            }
        }
        names
    }

    /// Adds an output and connects it.
    pub fn add_output(&mut self, value: ValueId, info: ValueInfo) -> NodeId {
        let node = self.add(Node::Output(Output { info }));
        self.connect(value, Use { node, slot: 0 });
        node
    }

    /// Makes values outputs too, behind those that there are, under their own names and of whatever type they come to
    /// have. One that is an output already stays as it is.
    pub fn also_return(&mut self, values: impl IntoIterator<Item = ValueId>) {
        for value in values {
            let is_output = self.uses(value).iter().any(|u| matches!(self.node(u.node), Node::Output(_)));
            if !is_output {
                let name = self.value_name(value).to_owned();
                self.add_output(value, ValueInfo::new(name, Type::Other));
            }
        }
    }
}

/// The value that a wire carries, and where to.
fn ends(e: &impl EdgeRef<NodeId = NodeId, Weight = Wire>) -> (ValueId, Use) {
    let Wire { from, to } = *e.weight();
    (ValueId { node: e.source(), port: from }, Use { node: e.target(), slot: to })
}
