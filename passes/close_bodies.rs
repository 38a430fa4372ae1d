//! `close-bodies` puts the nodes of bodies that `open-bodies` opened back into their calls.
//!
//! ```text
//! a = MatMul(x, w)                                  y = If<then_branch = t () => (a) {
//! b = Relu(x)                                           a = MatMul(x, w)
//! y = secateur.body.If<…>(c, a, b)         →        }, else_branch = e () => (b) {
//!                                                       b = Relu(x)
//!                                                   }>(c)
//! ```
//!
//! A node goes where it came from, unless it is used further out as well: then it goes as far out as all its uses are.
//! Exact, because a body computes the same from the same values, and what goes out does not depend on the body.
//!
//! What a body returns is made under a name of its own. Where it returns the same twice, or something from outside, an
//! Identity stands in between.

use super::{Change, Context, Pass, PassError};
use crate::facts::Facts;
use crate::ir::{
    BODY_DOMAIN, Call, Constant, Form, Graph, Input, Model, Node, NodeId, Output, Type, Use, ValueId, ValueInfo,
};
use crate::ops;
use crate::ops::body::{self, ASSUMED, ENTER, REGIONS};
use std::collections::{HashMap, HashSet};

pub(super) struct CloseBodies;

/// The model as it can be written: bodies closed.
pub fn closed(model: &Model) -> Result<Model, PassError> {
    let mut model = model.clone();
    CloseBodies.run(&mut model, &mut Context::default())?;
    Ok(model)
}

impl Pass for CloseBodies {
    fn name(&self) -> &'static str {
        "close-bodies"
    }

    fn run(&self, model: &mut Model, cx: &mut Context) -> Result<Change, PassError> {
        let graph = &model.graph;
        let open: Vec<NodeId> =
            graph.topological().into_iter().filter(|&n| graph.call(n).is_some_and(body::is_open)).collect();
        if open.is_empty() {
            return Ok(Change(0));
        }
        let facts = cx.facts(model);
        let mut regions = Regions::new(graph, &open);
        let homes = regions.homes(graph)?;
        let mut rooms: HashMap<u32, Vec<NodeId>> = HashMap::new();
        for node in graph.topological() {
            rooms.entry(homes[&node]).or_default().push(node);
        }
        let mut closer = Closer { facts: &facts, rooms, taken: graph.all_names() };
        // Inner bodies first: afterwards, they are a part of a call in the outer one.
        let mut order = open;
        order.sort_by_key(|&n| std::cmp::Reverse(regions.depth(homes[&n])));
        for &node in &order {
            closer.close(&mut model.graph, node)?;
        }
        model.graph.nodes().into_iter().for_each(|n| model.graph.set_region(n, 0));
        Ok(Change(order.len()))
    }
}

/// Which body is in which.
struct Regions {
    outer: HashMap<u32, u32>,
    of: HashMap<NodeId, Opened>,
}

/// What is known of an open call.
struct Opened {
    /// The regions of its bodies.
    regions: Vec<u32>,
    /// How many operands enter.
    entering: usize,
    /// How many values each body returns.
    returned: Vec<usize>,
}

impl Opened {
    fn of(call: &Call) -> Opened {
        let returned = call.graphs().map(|g| g.outputs().len()).collect();
        Opened { regions: body::regions(call), entering: body::entering(call), returned }
    }

    /// Which body a slot belongs to; what enters belongs to the first.
    fn body_of(&self, slot: u16) -> Option<usize> {
        let Some(mut at) = usize::from(slot).checked_sub(self.entering) else {
            // With a choice of bodies it is the condition.
            return (self.returned.len() == 1).then_some(0);
        };
        for (which, &count) in self.returned.iter().enumerate() {
            if at < count {
                return Some(which);
            }
            at -= count;
        }
        None
    }
}

impl Regions {
    fn new(graph: &Graph, open: &[NodeId]) -> Regions {
        let of: HashMap<NodeId, Opened> = open.iter().filter_map(|&n| Some((n, Opened::of(graph.call(n)?)))).collect();
        let outer = of.iter().flat_map(|(&n, own)| own.regions.iter().map(move |&r| (r, graph.region(n)))).collect();
        Regions { outer, of }
    }

    /// The regions around a region and itself, outermost first.
    fn path(&self, region: u32) -> Vec<u32> {
        let mut path = vec![region];
        while let Some(&outer) = self.outer.get(&path[path.len() - 1]).filter(|_| path.len() <= self.outer.len()) {
            path.push(outer);
        }
        path.reverse();
        path
    }

    fn depth(&self, region: u32) -> usize {
        self.path(region).len()
    }

    /// The innermost region that is around both.
    fn common(&self, a: u32, b: u32) -> u32 {
        if a == b {
            return a;
        }
        let (a, b) = (self.path(a), self.path(b));
        a.iter().zip(&b).take_while(|(x, y)| x == y).last().map_or(0, |(x, _)| *x)
    }

    /// Where a use reads its value: what a body gets and returns is in the body.
    fn of_use(&self, homes: &HashMap<NodeId, u32>, at: Use) -> u32 {
        let own = homes.get(&at.node).copied().unwrap_or(0);
        let Some(opened) = self.of.get(&at.node) else { return own };
        opened.body_of(at.slot).and_then(|which| opened.regions.get(which)).copied().unwrap_or(own)
    }

    /// The region that each node goes to.
    fn homes(&mut self, graph: &Graph) -> Result<HashMap<NodeId, u32>, PassError> {
        let mut homes = HashMap::new();
        for node in graph.topological().into_iter().rev() {
            let mut home = match graph.node(node) {
                Node::Call(_) | Node::Constant(_) => graph.region(node),
                Node::Input(_) | Node::Output(_) => 0,
            };
            let users = graph.results(node).flat_map(|v| graph.uses(v)).collect::<Vec<Use>>();
            match self.call_of(graph, node, &users) {
                Some(call) => {
                    home = homes[&call];
                    self.check_inside(graph, node, call, &users, &homes)?;
                }
                None => home = users.into_iter().fold(home, |home, at| self.common(home, self.of_use(&homes, at))),
            }
            for &inner in self.of.get(&node).iter().flat_map(|o| &o.regions) {
                self.outer.insert(inner, home);
            }
            homes.insert(node, home);
        }
        Ok(homes)
    }

    /// The open call whose body gets what this node makes, if it is such a node.
    fn call_of(&self, graph: &Graph, node: NodeId, users: &[Use]) -> Option<NodeId> {
        graph.call(node).filter(|c| c.domain == BODY_DOMAIN && c.op == ENTER)?;
        users
            .iter()
            .map(|u| u.node)
            .find(|n| self.of.contains_key(n) && graph.operand(*n, 0).is_some_and(|v| v.node == node))
    }

    /// What a body gets is of no use outside.
    fn check_inside(
        &self,
        graph: &Graph,
        enter: NodeId,
        call: NodeId,
        users: &[Use],
        homes: &HashMap<NodeId, u32>,
    ) -> Result<(), PassError> {
        let inside =
            |u: &Use| self.of[&call].regions.first().is_some_and(|r| self.path(self.of_use(homes, *u)).contains(r));
        match users.iter().all(inside) {
            true => Ok(()),
            false => Err(PassError::new(format!("`{}` is used outside of its body", graph.label(enter)))),
        }
    }
}

struct Closer<'a> {
    facts: &'a Facts,
    /// The nodes of each region.
    rooms: HashMap<u32, Vec<NodeId>>,
    taken: HashSet<String>,
}

impl Closer<'_> {
    fn close(&mut self, graph: &mut Graph, node: NodeId) -> Result<(), PassError> {
        let Some(call) = graph.call(node) else { return Ok(()) };
        let entering = body::entering(call);
        let regions = body::regions(call);
        let shells: Vec<Graph> = call.graphs().cloned().collect();
        let operands = graph.operands(node);
        let single = shells.len() == 1;
        let enter = operands.first().copied().flatten().map(|v| v.node).filter(|_| single);
        let mut captured: Vec<ValueId> = vec![];
        let mut bodies = vec![];
        let mut slot = entering;
        for (shell, region) in shells.iter().zip(regions) {
            let returned: Vec<Option<ValueId>> =
                (slot..slot + shell.outputs().len()).map(|s| operands.get(s).copied().flatten()).collect();
            slot += returned.len();
            let mut nodes = self.rooms.remove(&region).unwrap_or_default();
            // What entered a body further in went with it.
            nodes.retain(|&n| graph.contains(n));
            let mut body = Body::new(graph, shell, enter, self.facts);
            body.fill(&nodes);
            body.finish(&returned, shell, &mut self.taken);
            captured.extend(&body.captured);
            let new = body.new;
            declare_inside(graph, &nodes, new, &mut bodies);
            // Wires are found fastest in this order.
            nodes.into_iter().rev().for_each(|n| _ = graph.remove(n));
        }
        let own = match enter {
            Some(enter) => graph.operands(enter),
            None => operands[..entering.min(operands.len())].to_vec(),
        };
        let arity = enter.and_then(|n| graph.call(n)).map_or(entering as u16, |c| c.arity);
        if usize::from(arity) + captured.len() > usize::from(u16::MAX) {
            let what = format!("the bodies of `{}` use {} values from outside", graph.label(node), captured.len());
            return Err(PassError::new(format!("{what}; {} operands are the most", u16::MAX)));
        }
        enter.into_iter().for_each(|n| forget(graph, n));
        restore(graph, node, own, arity, captured, bodies);
        Ok(())
    }
}

/// Removes `Enter`, and what is declared of its results.
fn forget(graph: &mut Graph, enter: NodeId) {
    let names: HashSet<String> = graph.call(enter).into_iter().flat_map(|c| c.results.clone()).collect();
    graph.value_info.retain(|info| !names.contains(&info.name));
    graph.remove(enter);
}

/// Moves the declarations of a body's values into it.
fn declare_inside(graph: &mut Graph, nodes: &[NodeId], mut body: Graph, bodies: &mut Vec<Graph>) {
    let names: HashSet<&str> = nodes.iter().flat_map(|&n| graph.results(n)).map(|v| graph.value_name(v)).collect();
    let (inner, outer): (Vec<ValueInfo>, Vec<ValueInfo>) =
        graph.value_info.iter().cloned().partition(|info| names.contains(info.name.as_str()));
    let returned: HashSet<String> = body.outputs().into_iter().map(|n| body.label(n).to_owned()).collect();
    body.value_info = inner.into_iter().filter(|info| !returned.contains(&info.name)).collect();
    graph.value_info = outer;
    bodies.push(body);
}

/// Makes the call what it was, with new bodies.
fn restore(
    graph: &mut Graph,
    node: NodeId,
    own: Vec<Option<ValueId>>,
    arity: u16,
    captured: Vec<ValueId>,
    bodies: Vec<Graph>,
) {
    for slot in (0..graph.operands(node).len()).rev() {
        graph.disconnect(Use { node, slot: slot as u16 });
    }
    if let Some(call) = graph.call_mut(node) {
        call.domain.clear();
        call.attributes.shift_remove(REGIONS);
        call.attributes.shift_remove(ASSUMED);
        let places = call.attributes.values_mut().flat_map(|a| a.graphs_mut());
        places.zip(bodies).for_each(|(place, body)| *place = body);
        call.arity = arity;
    }
    let captured = (usize::from(arity)..).zip(captured.into_iter().map(Some));
    for (slot, value) in own.into_iter().enumerate().chain(captured) {
        if let Some(value) = value {
            graph.connect(value, Use { node, slot: slot as u16 });
        }
    }
}

/// A body under construction.
struct Body<'a> {
    outside: &'a Graph,
    facts: &'a Facts,
    new: Graph,
    values: HashMap<ValueId, ValueId>,
    /// Values from outside, in the order of the inputs that stand for them.
    captured: Vec<ValueId>,
}

impl<'a> Body<'a> {
    /// A body with its inputs: what `enter` makes.
    fn new(outside: &'a Graph, shell: &Graph, enter: Option<NodeId>, facts: &'a Facts) -> Body<'a> {
        let mut new = Graph::default();
        (new.name, new.extra) = (shell.name.clone(), shell.extra.clone());
        let mut body = Body { outside, facts, new, values: HashMap::new(), captured: vec![] };
        let inputs = enter.into_iter().flat_map(|n| outside.results(n));
        for (value, input) in inputs.zip(shell.inputs()) {
            let Node::Input(input) = shell.node(input) else { continue };
            let info = ValueInfo { name: outside.value_name(value).to_owned(), ..input.info.clone() };
            let node = Node::Input(Input { info: body.typed(info, value), captured: false, default: None });
            let own = ValueId { node: body.new.add(node), port: 0 };
            body.values.insert(value, own);
        }
        body
    }

    /// A declaration with the lengths that are known by now.
    fn typed(&self, mut info: ValueInfo, value: ValueId) -> ValueInfo {
        let (Type::Tensor(ty), Some(found)) = (&mut info.ty, self.facts.shape(value)) else { return info };
        match &mut ty.shape {
            Some(declared) if declared.len() == found.len() => {
                let lengths = declared.iter_mut().zip(found).filter(|(_, f)| f.fixed().is_some());
                lengths.for_each(|(d, f)| d.clone_from(f));
            }
            Some(_) => ty.shape = None,
            None => {}
        }
        info
    }

    fn fill(&mut self, nodes: &[NodeId]) {
        for &node in nodes {
            let copy = self.new.add(self.outside.node(node).clone());
            for value in self.outside.results(node) {
                self.values.insert(value, ValueId { node: copy, port: value.port });
            }
            for (slot, value) in self.outside.operands(node).into_iter().enumerate() {
                let Some(value) = value else { continue };
                let own = self.value(value);
                self.new.connect(own, Use { node: copy, slot: slot as u16 });
            }
        }
    }

    /// What a value is called in here; one from outside is captured at its first use.
    fn value(&mut self, value: ValueId) -> ValueId {
        if let Some(&own) = self.values.get(&value) {
            return own;
        }
        let info = ValueInfo::new(self.outside.value_name(value), Type::Other);
        let own = ValueId { node: self.new.add(Node::Input(Input { info, captured: true, default: None })), port: 0 };
        self.values.insert(value, own);
        self.captured.push(value);
        own
    }

    /// Adds the outputs.
    fn finish(&mut self, returned: &[Option<ValueId>], shell: &Graph, taken: &mut HashSet<String>) {
        let mut seen = HashSet::new();
        for (value, output) in returned.iter().zip(shell.outputs()) {
            let (Some(value), Node::Output(Output { info })) = (*value, shell.node(output)) else { continue };
            let mut own = self.value(value);
            let is_made = match self.new.node(own.node) {
                Node::Call(_) | Node::Constant(Constant { form: Form::Node { .. }, .. }) => true,
                Node::Input(_) | Node::Constant(_) | Node::Output(_) => false,
            };
            if !is_made || !seen.insert(own) {
                own = self.copy(own, taken);
            }
            let info = ValueInfo { name: self.new.value_name(own).to_owned(), ..info.clone() };
            let info = self.typed(info, value);
            self.new.add_output(own, info);
        }
    }

    fn copy(&mut self, value: ValueId, taken: &mut HashSet<String>) -> ValueId {
        let base = self.new.value_name(value).to_owned();
        let mut call = Call::new(ops::IDENTITY);
        (call.results, call.arity) = (vec![self.new.fresh_name(&base, taken)], 1);
        let node = self.new.add(Node::Call(Box::new(call)));
        self.new.connect(value, Use { node, slot: 0 });
        ValueId { node, port: 0 }
    }
}
