//! How two calls differ that were matched.

use super::matching::Matching;
use super::{Change, NodeDiff, Side};
use crate::ir::{self, Call, Dim, Graph, NodeId, Type, ValueId, ValueInfo};

/// The differences of two calls, if there are any.
pub(super) fn diff(sides: &[Side; 2], (a, b): (NodeId, NodeId), matching: &Matching, way: &str) -> Option<NodeDiff> {
    let (one, other) = (sides[0].graph.call(a)?, sides[1].graph.call(b)?);
    let mut changes = vec![];
    let mut note = |what: &str, before: Option<String>, after: Option<String>| {
        if before != after {
            changes.push(Change { what: what.to_owned(), before, after });
        }
    };
    note("operator", Some(one.qualified()), Some(other.qualified()));
    note("overload", Some(one.overload.clone()), Some(other.overload.clone()));
    note("name", Some(one.name.clone()), Some(other.name.clone()));
    attributes(one, other, &mut note);
    operands(sides, (a, b), matching, &mut note);
    results(sides, (a, b), &mut note);
    let lines = (ir::print_line(sides[0].graph, a), ir::print_line(sides[1].graph, b));
    let name = format!("{way}{} `{}`", one.qualified(), one.label());
    (!changes.is_empty()).then_some(NodeDiff { name, before: Some(lines.0), after: Some(lines.1), changes })
}

/// What is told of each difference: what it is about, before and after.
type Note<'a> = &'a mut dyn FnMut(&str, Option<String>, Option<String>);

/// Attributes but for graphs, which are compared by themselves; their number counts.
fn attributes(a: &Call, b: &Call, note: Note) {
    let text = |call: &Call, key: &str| {
        let attribute = call.attributes.get(key)?;
        Some(match attribute.graphs().len() {
            0 => ir::print_attribute(attribute),
            n => format!("{n} graphs"),
        })
    };
    let keys = a.attributes.keys().chain(b.attributes.keys().filter(|k| !a.attributes.contains_key(*k)));
    keys.for_each(|key| note(&format!("attribute {key}"), text(a, key), text(b, key)));
}

fn operands(sides: &[Side; 2], (a, b): (NodeId, NodeId), matching: &Matching, note: Note) {
    let (mine, its) = (sides[0].graph.operands(a), sides[1].graph.operands(b));
    for slot in 0..mine.len().max(its.len()) {
        let (m, i) = (mine.get(slot).copied().flatten(), its.get(slot).copied().flatten());
        if m.and_then(|m| matching.value(m)) == i && m.is_some() == i.is_some() {
            continue;
        }
        let name = |graph: &Graph, v: Option<ValueId>| v.map(|v| value(graph, v));
        let (before, after) = (name(sides[0].graph, m), name(sides[1].graph, i));
        // A value of the same name that another node makes is told of where it is made.
        note(&format!("operand {slot}"), before, after);
    }
}

/// Names and types of results. Constants' types are compared with their content.
fn results(sides: &[Side; 2], (a, b): (NodeId, NodeId), note: Note) {
    let count = |side: &Side, node| side.graph.result_count(node);
    let (mine, its) = (count(&sides[0], a), count(&sides[1], b));
    note("number of results", Some(mine.to_string()), Some(its.to_string()));
    for port in 0..mine.min(its) as u16 {
        let [m, i] = [(0, a), (1, b)].map(|(s, node)| (&sides[s], ValueId { node, port }));
        let name = |(side, v): (&Side, ValueId)| value(side.graph, v);
        note(&format!("result {port}"), Some(name(m)), Some(name(i)));
        let of = |(side, v): (&Side, ValueId)| Some(inferred(side, v)).filter(|_| side.facts.is_some());
        note(&format!("type of {}", name(i)), of(m), of(i));
    }
}

/// The change of what an output tells, where it is another value.
pub(super) fn feeding(sides: &[Side; 2], (a, b): (NodeId, NodeId), matching: &Matching, way: &str) -> Option<Change> {
    let [m, i] = [(0, a), (1, b)].map(|(s, node): (usize, NodeId)| sides[s].graph.operand(node, 0));
    let same = m.and_then(|m| matching.value(m)) == i && m.is_some() == i.is_some();
    let name = |s: usize, v: Option<ValueId>| v.map(|v| made_by(sides[s].graph, v));
    let what = format!("{way}what makes {}", sides[0].graph.label(a));
    (!same).then(|| Change { what, before: name(0, m), after: name(1, i) })
}

fn made_by(graph: &Graph, v: ValueId) -> String {
    match graph.call(v.node) {
        Some(call) => format!("{} `{}`", call.qualified(), call.label()),
        None => value(graph, v),
    }
}

fn value(graph: &Graph, value: ValueId) -> String {
    let name = graph.value_name(value);
    if name.is_empty() { "(unnamed)".to_owned() } else { name.to_owned() }
}

/// A type as inference found it. What is not known is a question mark, whatever its number.
fn inferred(side: &Side, value: ValueId) -> String {
    let Some(facts) = side.facts else { return String::new() };
    let fact = facts.get(value);
    let dtype = fact.dtype.map_or_else(|| "?".to_owned(), |d| d.to_string());
    match &fact.shape {
        Some(shape) => format!("{dtype}[{}]", shape.iter().map(dim).collect::<Vec<_>>().join(", ")),
        None => format!("{dtype}[..]"),
    }
}

fn dim(dim: &Dim) -> String {
    if dim.has_unknown() { "?".to_owned() } else { dim.to_string() }
}

/// A declared type.
pub(super) fn declared(info: &ValueInfo) -> String {
    match &info.ty {
        Type::Tensor(t) => t.to_string(),
        Type::Other => "no tensor".to_owned(),
    }
}
