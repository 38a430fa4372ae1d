//! `inline-functions` replaces calls of local functions by what these compute.
//!
//! ```text
//! y = local.Twice<k = 2.0>(x)          →          t = Constant<value_float = 2.0>()
//!                                                 y = Mul(x, t)
//! ```
//!
//! Exact, because it is what a call of a function means. Operands that a call leaves out are left out inside, attributes
//! are those of the call or the function's defaults, and inner names are made fresh. Functions that nobody calls any
//! more go.
//!
//! A call stays if the function is written in other versions of operator sets than the model, if it calls itself, or if
//! the call does not fit it. So it does if the graph would grow too large: functions that call functions twice
//! can do that.
//!
//! Constants of a function's body are in the file once for all calls: slices of them can't be told, and so nothing is
//! zero there in the masked model. A constant that a call hands over is told by that call (`Origin::Passed`).

use super::edit::is_listed;
use super::splice::{fresh, hand_over, is_file_constant, rename_all, splice, take_over};
use super::{Change, Context, Pass, PassError};
use crate::ir::{Attribute, Call, Constant, Form, Function, Graph, Model, Node, NodeId, Origin, ValueId};
use indexmap::IndexMap;
use petgraph::algo::kosaraju_scc;
use petgraph::graph::DiGraph;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

pub(super) struct InlineFunctions;

/// The model grows by no more nodes than this, or than so many times what it has. Nodes with long names count more.
const MOST: usize = 1 << 16;
const TIMES: usize = 8;

/// No graph is inside more graphs than this: a file's messages may be nested 100 deep, and each of them takes three.
const DEEPEST: usize = 28;

/// So many bytes of names count as one node.
const NAME: usize = 64;

impl Pass for InlineFunctions {
    fn name(&self) -> &'static str {
        "inline-functions"
    }

    fn run(&self, model: &mut Model, cx: &mut Context) -> Result<Change, PassError> {
        if model.functions.is_empty() {
            return Ok(Change(0));
        }
        let (sound, opsets) = inlinable(model, cx);
        let taken = model.graph.all_names();
        let positions = positions(&model.functions);
        let bodies = model.functions.iter().filter_map(|f| f.body.as_ref());
        let room = MOST.max(TIMES * bodies.chain([&model.graph]).map(weight).sum::<usize>());
        let functions = &model.functions;
        let mut inliner = Inliner { functions, positions, sound: &sound, taken, room, done: 0, left: false };
        inliner.graph(&mut model.graph, 0);
        let done = inliner.done;
        if inliner.left {
            cx.note("left calls of local functions: the graph would grow too large");
        }
        if done > 0 {
            model.opsets = opsets;
            drop_unused(model);
        }
        Ok(Change(done))
    }
}

/// The model without local functions, as far as they can be inlined.
pub fn inlined(model: &Model) -> Cow<'_, Model> {
    let mut cow = Cow::Borrowed(model);
    if !model.functions.is_empty() {
        // The pass has no way to fail.
        _ = InlineFunctions.run(cow.to_mut(), &mut Context::default());
    }
    cow
}

/// Which functions mean in the model what they mean for themselves, and the operator sets that it takes.
fn inlinable(model: &Model, cx: &mut Context) -> (Vec<bool>, BTreeMap<String, i64>) {
    let mut opsets = model.opsets.clone();
    let mut sound = vec![];
    let recursive = recursive(&model.functions);
    for (at, function) in model.functions.iter().enumerate() {
        let versions = versions(function, &opsets);
        let why = match (&function.body, &versions) {
            (None, _) => Some("it is not a valid graph"),
            (_, None) => Some("it is written in other versions of operator sets than the model"),
            (Some(_), _) => recursive.contains(&at).then_some("it calls itself"),
        };
        match why {
            Some(why) => cx.note(format!("left {}: {why}", function.name)),
            None => opsets.extend(versions.into_iter().flatten()),
        }
        sound.push(why.is_none());
    }
    (sound, opsets)
}

/// The versions of the operator sets that a function's body uses, if they are those that the model has, or are new.
fn versions(function: &Function, opsets: &BTreeMap<String, i64>) -> Option<Vec<(String, i64)>> {
    let mut domains = BTreeSet::new();
    function.body.iter().for_each(|body| visit_calls(body, &mut |call| _ = domains.insert(call.domain.clone())));
    let version = |domain: String| {
        let version = *function.opsets.get(&domain)?;
        opsets.get(&domain).is_none_or(|v| *v == version).then_some((domain, version))
    };
    domains.into_iter().map(version).collect()
}

fn visit_calls(graph: &Graph, visit: &mut dyn FnMut(&Call)) {
    for call in graph.calls().into_iter().filter_map(|n| graph.call(n)) {
        visit(call);
        call.graphs().for_each(|g| visit_calls(g, visit));
    }
}

/// Functions by what calls say: domain, name and overload. Of several the first counts.
type Positions<'a> = HashMap<(&'a str, &'a str, &'a str), usize>;

fn positions(functions: &[Function]) -> Positions<'_> {
    let keys = functions.iter().enumerate().rev();
    keys.map(|(at, f)| ((f.domain.as_str(), f.name.as_str(), f.overload.as_str()), at)).collect()
}

fn position(positions: &Positions, call: &Call) -> Option<usize> {
    positions.get(&(call.domain.as_str(), call.op.as_str(), call.overload.as_str())).copied()
}

/// The functions that a graph calls itself.
fn called(positions: &Positions, graph: &Graph) -> HashSet<usize> {
    let mut found = HashSet::new();
    visit_calls(graph, &mut |call| found.extend(position(positions, call)));
    found
}

/// The functions that calls in a graph need, and those that these need.
fn needed(functions: &[Function], graph: &Graph) -> HashSet<usize> {
    let positions = positions(functions);
    let mut found = HashSet::new();
    let mut waiting = vec![graph];
    while let Some(graph) = waiting.pop() {
        let new = called(&positions, graph).into_iter().filter(|&at| found.insert(at));
        waiting.extend(new.flat_map(|at| &functions[at].body));
    }
    found
}

/// Functions that call themselves, directly or not.
fn recursive(functions: &[Function]) -> HashSet<usize> {
    let positions = positions(functions);
    let mut calls: DiGraph<(), (), usize> = DiGraph::default();
    functions.iter().for_each(|_| _ = calls.add_node(()));
    for (at, body) in functions.iter().enumerate().filter_map(|(at, f)| Some((at, f.body.as_ref()?))) {
        called(&positions, body).into_iter().for_each(|to| _ = calls.add_edge(at.into(), to.into(), ()));
    }
    let circles = kosaraju_scc(&calls).into_iter().filter(|c| c.len() > 1 || calls.contains_edge(c[0], c[0]));
    circles.flatten().map(|at| at.index()).collect()
}

/// How much room a graph takes: its nodes, subgraphs included, and its names.
fn weight(graph: &Graph) -> usize {
    let of = |node: NodeId| {
        let Some(call) = graph.call(node) else { return 1 + graph.label(node).len() / NAME };
        let names = call.name.len() + call.results.iter().map(String::len).sum::<usize>();
        1 + names / NAME + call.graphs().map(weight).sum::<usize>()
    };
    graph.nodes().into_iter().map(of).sum()
}

/// How deep graphs are inside one another.
fn levels(graph: &Graph) -> usize {
    let calls = graph.calls().into_iter().filter_map(|n| graph.call(n));
    calls.flat_map(Call::graphs).map(|g| 1 + levels(g)).max().unwrap_or(0)
}

/// Drops functions that nothing calls, and the operator sets that were theirs alone.
fn drop_unused(model: &mut Model) {
    let needed = needed(&model.functions, &model.graph);
    let mut domains: HashSet<String> = model.functions.iter().map(|f| f.domain.clone()).collect();
    let mut at = 0..;
    model.functions.retain(|_| at.next().is_some_and(|i| needed.contains(&i)));
    visit_calls(&model.graph, &mut |call| _ = domains.remove(&call.domain));
    for function in &model.functions {
        domains.remove(&function.domain);
        function.opsets.keys().for_each(|domain| _ = domains.remove(domain));
    }
    domains.remove("");
    model.opsets.retain(|domain, _| !domains.contains(domain));
}

/// Puts bodies in the place of calls.
struct Inliner<'a> {
    functions: &'a [Function],
    positions: Positions<'a>,
    sound: &'a [bool],
    taken: HashSet<String>,
    /// How much more may come in.
    room: usize,
    done: usize,
    /// Whether a call stays for want of room.
    left: bool,
}

impl Inliner<'_> {
    /// Inlines all calls of a graph and its subgraphs, those that come with the bodies included.
    fn graph(&mut self, graph: &mut Graph, depth: usize) {
        let mut waiting = graph.calls();
        while let Some(node) = waiting.pop() {
            if let Some(call) = graph.call_mut(node) {
                call.attributes.values_mut().flat_map(|a| a.graphs_mut()).for_each(|g| self.graph(g, depth + 1));
            }
            if let Some(body) = self.body_for(graph, node, depth) {
                waiting.extend(self.inline(graph, node, body));
            }
        }
    }

    /// The body to put in the place of a call, attributes filled in.
    fn body_for(&mut self, graph: &Graph, node: NodeId, depth: usize) -> Option<Graph> {
        let call = graph.call(node)?;
        let at = position(&self.positions, call).filter(|&at| self.sound[at])?;
        let body = self.functions[at].body.as_ref()?;
        let (inputs, operands) = (body.inputs(), graph.operands(node));
        let fits = operands.len() <= inputs.len() && call.results.len() <= body.outputs().len();
        if !fits || call.graphs().next().is_some() {
            return None;
        }
        let missing = inputs.iter().enumerate().filter(|(slot, _)| operands.get(*slot).copied().flatten().is_none());
        // An output or a subgraph of the body can't do without.
        let optional = |input: NodeId| {
            let uses = body.uses(ValueId { node: input, port: 0 });
            uses.into_iter().all(|u| is_listed(body, u))
        };
        if !missing.into_iter().all(|(_, &input)| optional(input)) {
            return None;
        }
        let untold = operands.iter().flatten().any(|v| is_file_constant(graph, *v)) && graph.origin(node).is_none();
        // All names begin with that of the call.
        let growth = weight(body) + body.len() * (graph.label(node).len() / NAME);
        let Some(room) = self.room.checked_sub(growth).filter(|_| depth + levels(body) <= DEEPEST) else {
            self.left = true;
            return None;
        };
        if untold {
            return None;
        }
        self.room = room;
        let mut body = body.clone();
        fill_in(&mut body, call, &self.functions[at].defaults);
        Some(body)
    }

    /// Replaces a call by a body; returns the calls that came in.
    fn inline(&mut self, graph: &mut Graph, node: NodeId, mut body: Graph) -> Vec<NodeId> {
        let slots = 0..graph.operands(node).len();
        let operands = hand_over(graph, node, slots, &mut self.taken);
        let given: HashMap<NodeId, ValueId> =
            body.inputs().into_iter().zip(operands).filter_map(|(input, value)| Some((input, value?))).collect();
        let outside =
            |(&input, &value): (&NodeId, &ValueId)| (body.label(input).to_owned(), graph.value_name(value).to_owned());
        let names = given.iter().map(outside).collect();
        let label = graph.label(node).to_owned();
        rename_all(&mut body, &names, &mut |name| fresh(graph, &format!("{label}/{name}"), &mut self.taken));
        let (copies, outputs) = splice(graph, node, &body, &given);
        let added: Vec<NodeId> = body.calls().into_iter().rev().map(|n| copies[&n]).collect();
        for &n in &added {
            let last = graph.operands(n).iter().rposition(Option::is_some).map_or(0, |at| at + 1);
            let Some(call) = graph.call_mut(n) else { continue };
            // Operands that are left out at the end are not listed at all.
            call.arity = call.arity.min(last as u16);
            if !call.name.is_empty() {
                call.name = format!("{label}/{}", call.name);
            }
        }
        take_over(graph, node, &outputs);
        self.done += 1;
        added
    }
}

/// Gives a function's body the attributes of a call, and marks its constants as the function's.
fn fill_in(body: &mut Graph, call: &Call, defaults: &IndexMap<String, Attribute>) {
    let given = |name: &str| call.attributes.get(name).or_else(|| defaults.get(name)).cloned();
    fill_in_graph(body, &given);
}

fn fill_in_graph(graph: &mut Graph, given: &dyn Fn(&str) -> Option<Attribute>) {
    for node in graph.nodes() {
        let constant = match graph.node_mut(node) {
            Node::Constant(constant) => {
                constant.origin = Origin::Computed(vec![]);
                continue;
            }
            Node::Call(call) => {
                fill_in_call(call, given);
                constant_of(call)
            }
            Node::Input(_) | Node::Output(_) => continue,
        };
        if let Some(constant) = constant {
            *graph.node_mut(node) = Node::Constant(constant);
        }
    }
}

fn fill_in_call(call: &mut Call, given: &dyn Fn(&str) -> Option<Attribute>) {
    let attributes = std::mem::take(&mut call.attributes).into_iter();
    let filled = attributes.filter_map(|(name, mut attribute)| {
        if let Attribute::Reference { to, .. } = &attribute {
            attribute = given(to)?;
        }
        attribute.graphs_mut().iter_mut().for_each(|g| fill_in_graph(g, given));
        Some((name, attribute))
    });
    call.attributes = filled.collect();
}

/// The constant that a call stands for, now that its attribute is known.
fn constant_of(call: &Call) -> Option<Constant> {
    let (("", "Constant"), [name]) = ((call.domain.as_str(), call.op.as_str()), &call.results[..]) else { return None };
    let (key, value) = call.attributes.first().filter(|_| call.attributes.len() == 1 && call.arity == 0)?;
    let form = Form::Node { extra: Default::default(), original: None };
    Some(Constant { name: name.clone(), tensor: value.as_constant(key)?, form, origin: Origin::Computed(vec![]) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ir, load};

    fn functions() -> Model {
        load::load("fixtures/odd/functions.onnx".as_ref()).unwrap()
    }

    fn calls(model: &Model) -> String {
        let graph = &model.graph;
        graph
            .topological()
            .into_iter()
            .filter(|&n| graph.call(n).is_some())
            .map(|n| ir::print_line(graph, n) + "\n")
            .collect()
    }

    #[test]
    fn functions_in_functions_come_out() {
        let mut model = functions();
        let done = InlineFunctions.run(&mut model, &mut Context::default()).unwrap();
        assert_eq!((done, model.functions.len()), (Change(6), 0));
        assert!(!model.opsets.contains_key("fixtures.local"));
        insta::assert_snapshot!(calls(&model), @"
        [n_a] a = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(input, a.w, a.b)
        [n_a.relu] a.relu = Relu(a)
        p1/t/t = Conv<pads=[1,1,1,1]>(a.relu, p1.w1, bias)
        p1/t/u = LeakyRelu<alpha=0.2>(p1/t/t)
        p1/t = Mul(p1/t/u, p1/t/c)
        p1/u/t = Conv<pads=[1,1,1,1]>(p1/t, p1.w2)
        p1/u/u = LeakyRelu<alpha=0.1>(p1/u/t)
        p1/u = Mul(p1/u/u, p1/u/c)
        p1 = Add(a.relu, p1/u)
        p2/t/t = Conv<pads=[1,1,1,1]>(p1, p2.w1, bias_0)
        p2/t/u = LeakyRelu<alpha=0.3>(p2/t/t)
        p2/t = Mul(p2/t/u, p2/t/c)
        p2/u/t = Conv<pads=[1,1,1,1]>(p2/t, p2.w2, p2.b2)
        p2/u/u = LeakyRelu<alpha=0.1>(p2/u/t)
        p2/u = Mul(p2/u/u, p2/u/c)
        p2 = Add(p1, p2/u)
        [n_pooled] pooled = GlobalAveragePool(p2)
        [n_flat] flat = Flatten(pooled)
        [n_logits] logits = Gemm<transB=1>(flat, fc.w, fc.b)
        ");
        assert_eq!(InlineFunctions.run(&mut model, &mut Context::default()).unwrap(), Change(0));
    }

    #[test]
    fn constants_know_which_call_got_them() {
        let model = inlined(&functions()).into_owned();
        let told = model.graph.constants().into_iter().filter_map(|n| match &model.graph.constant(n)?.origin {
            Origin::Passed { source, uses } => Some(format!("{source} {uses:?}")),
            _ => None,
        });
        insta::assert_snapshot!(told.collect::<Vec<_>>().join("\n"), @"
        p1.w1 [(2, 1)]
        bias [(2, 2)]
        p1.w2 [(2, 3)]
        p2.w1 [(3, 1)]
        p2.w2 [(3, 3)]
        p2.b2 [(3, 4)]
        bias [(3, 2)]
        ");
    }

    #[test]
    fn what_may_mean_something_else_stays() {
        let note = |change: fn(&mut Model)| {
            let (mut model, mut cx) = (functions(), Context::default());
            change(&mut model);
            InlineFunctions.run(&mut model, &mut cx).unwrap();
            format!("{} calls left; {}\n", model.graph.calls().len(), cx.take_notes().join("; "))
        };
        let mut notes = note(|m| _ = m.opsets.insert(String::new(), 18));
        notes += &note(|m| m.functions[0].body = None);
        notes += &note(|m| m.functions[0].body = m.functions[1].body.clone());
        insta::assert_snapshot!(notes, @"
        7 calls left; left Block: it is written in other versions of operator sets than the model; left Pair: it is written in other versions of operator sets than the model
        11 calls left; left Block: it is not a valid graph
        11 calls left; left Block: it calls itself
        ");
    }

    #[test]
    fn what_would_be_nested_too_deep_for_a_file_stays() {
        let mut model = load::load("fuzz/corpus/model/nested_functions.onnx".as_ref()).unwrap();
        let mut cx = Context::default();
        assert_eq!(InlineFunctions.run(&mut model, &mut cx).unwrap(), Change(DEEPEST));
        assert_eq!((levels(&model.graph), cx.take_notes().len()), (DEEPEST, 1));
        load::from_bytes(crate::save::to_bytes(&model).unwrap().into(), None).unwrap();
    }
}
