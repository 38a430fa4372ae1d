//! What reports call the constants of subgraphs: their names, where no other constant has the same.

use crate::ir::{Graph, Node, Origin};
use std::collections::HashMap;

/// Puts the way to it before the name of each constant in a subgraph that another constant has too. What can't be told
/// apart even so is nobody's.
pub(super) fn tell_apart(graph: &mut Graph) {
    let mut counts = HashMap::new();
    let names = |g: &Graph| -> Vec<String> { g.constants().into_iter().map(|n| g.label(n).to_owned()).collect() };
    each(graph, "", &mut |g, _| names(g).into_iter().for_each(|name| *counts.entry(name).or_insert(0usize) += 1));
    if counts.values().all(|&n| n == 1) {
        return;
    }
    let mut taken: HashMap<String, usize> = counts.clone();
    each(graph, "", &mut |g, path| {
        for node in g.constants().into_iter().filter(|_| !path.is_empty()) {
            let Some(constant) = g.constant_mut(node).filter(|c| counts[&c.name] > 1) else { continue };
            let name = format!("{path}{}", constant.name);
            let others = taken.entry(name.clone()).or_insert(0);
            constant.origin = if *others == 0 { Origin::File(name) } else { Origin::Computed(vec![]) };
            *others += 1;
        }
    });
}

/// Visits a graph and its subgraphs, with the way there: `loop.body/`, `loop.body/if.then_branch/`.
fn each(graph: &mut Graph, path: &str, visit: &mut dyn FnMut(&mut Graph, &str)) {
    visit(graph, path);
    for node in graph.calls() {
        let Node::Call(call) = graph.node_mut(node) else { continue };
        let label = call.label().to_owned();
        for (key, attribute) in &mut call.attributes {
            let path = format!("{path}{label}.{key}/");
            attribute.graphs_mut().iter_mut().for_each(|g| each(g, &path, visit));
        }
    }
}
