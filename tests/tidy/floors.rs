//! The floors of the house: a module uses what is on its own floor or below, and no modules use one another in a circle.

use crate::code::{self, Named};
use petgraph::algo::tarjan_scc;
use petgraph::graph::DiGraph;
use std::collections::{BTreeMap, BTreeSet};

/// All top-level modules by floor, from the top down.
const FLOORS: &[(&str, &[&str])] = &[
    ("cli", &["cli"]),
    ("job", &["build", "draw", "job", "page", "testing"]),
    (
        "prune",
        &[
            "analysis",
            "apply",
            "contraction",
            "gradients",
            "layers",
            "lossless",
            "machine",
            "plan",
            "prune",
            "pruning",
            "reference",
            "repair",
            "score",
            "sensitivity",
            "sparsity",
            "stats",
            "tune",
            "weights",
        ],
    ),
    ("run", &["autograd", "compare", "feed", "figures", "judge", "latency", "oracle", "pipelines", "verify", "widen"]),
    (
        "model",
        &[
            "axes", "content", "cost", "diff", "facts", "files", "infer", "ir", "load", "lowering", "ops", "panics",
            "parallel", "passes", "program", "proto", "save", "sizes",
        ],
    ),
];

/// Where one module uses another: the file, the line and the path.
type Uses = BTreeMap<(String, String), Vec<String>>;

/// Every use of one top-level module by another, also by a name that the crate's root gives it.
fn uses() -> Uses {
    let files = code::files();
    let modules: BTreeSet<&String> = files.iter().filter_map(|f| f.module.get(1)).collect();
    let root = files.iter().filter(|f| f.path == "src/lib.rs").flat_map(|f| &f.exports);
    let renamed: BTreeMap<&String, &String> = root.filter_map(|(name, path)| Some((name, path.first()?))).collect();
    let mut uses = Uses::new();
    for file in files {
        let Some(own) = file.module.get(1) else { continue };
        for Named { line, segments } in &file.paths {
            let Some(first) = segments.get(1).filter(|_| segments[0] == "crate") else { continue };
            let at = format!("{}:{line} uses {}", file.path, segments.join("::"));
            let other = *renamed.get(first).unwrap_or(&first);
            assert!(modules.contains(other), "{at}, and `{first}` is no module of the crate");
            if other != own {
                uses.entry((own.clone(), other.clone())).or_default().push(at);
            }
        }
    }
    uses
}

fn floor(module: &str) -> usize {
    let floor = FLOORS.iter().position(|(_, modules)| modules.contains(&module));
    floor.unwrap_or_else(|| panic!("the module `{module}` has no floor: give it one in tests/tidy/floors.rs"))
}

#[test]
fn a_module_uses_its_floor_and_those_below() {
    let uses = uses();
    let up = uses.iter().filter(|((from, to), _)| floor(from) > floor(to));
    let up: Vec<String> = up.map(|((from, to), at)| told(from, to, at)).collect();
    assert!(up.is_empty(), "{} uses lead to a floor above:\n{}", up.len(), up.join("\n"));
}

#[test]
fn every_module_has_one_floor() {
    let listed: Vec<&str> = FLOORS.iter().flat_map(|(_, modules)| modules.iter().copied()).collect();
    let files = code::files();
    let there: BTreeSet<&str> = files.iter().filter_map(|f| f.module.get(1)).map(String::as_str).collect();
    assert_eq!(listed.iter().copied().collect::<BTreeSet<_>>(), there);
    assert_eq!(listed.len(), there.len(), "a module stands on two floors");
}

#[test]
fn no_modules_use_one_another_in_a_circle() {
    let uses = uses();
    let modules: BTreeSet<&str> = uses.keys().flat_map(|(a, b)| [a.as_str(), b.as_str()]).collect();
    let mut graph = DiGraph::new();
    let nodes: BTreeMap<&str, _> = modules.into_iter().map(|m| (m, graph.add_node(m))).collect();
    uses.keys().for_each(|(a, b)| {
        graph.add_edge(nodes[a.as_str()], nodes[b.as_str()], ());
    });
    let circles = tarjan_scc(&graph).into_iter().filter(|c| c.len() > 1);
    let circles: Vec<String> =
        circles.map(|c| circle(&c.into_iter().map(|n| graph[n]).collect::<Vec<&str>>(), &uses)).collect();
    assert!(circles.is_empty(), "modules use one another in a circle:\n\n{}", circles.join("\n\n"));
}

/// A circle in words: its modules, and few uses without which it would be none.
fn circle(members: &[&str], uses: &Uses) -> String {
    let order = in_order(members, uses);
    let place = |m: &str| order.iter().position(|o| *o == m);
    let back = uses.iter().filter(|((a, b), _)| place(a).zip(place(b)).is_some_and(|(a, b)| a > b));
    let back: Vec<String> = back.map(|((a, b), at)| told(a, b, at)).collect();
    format!(
        "{} modules: {}; without these uses there would be none:\n{}",
        order.len(),
        order.join(" → "),
        back.join("\n")
    )
}

fn told(from: &str, to: &str, at: &[String]) -> String {
    format!("  {from} → {to}\n    {}", at.join("\n    "))
}

/// Users before what they use, as far as that goes, after Eades, Lin and Smyth (1993): what is used by none left comes
/// first, what uses none left last, else first who uses most and is used least.
fn in_order<'a>(members: &[&'a str], uses: &Uses) -> Vec<&'a str> {
    let mut left: BTreeSet<&str> = members.iter().copied().collect();
    let (mut first, mut last) = (vec![], vec![]);
    while !left.is_empty() {
        let weight = |a: &str, b: &str| uses.get(&(a.to_string(), b.to_string())).map_or(0, Vec::len);
        let out = |m: &str| left.iter().filter(|o| **o != m).map(|o| weight(m, o)).sum::<usize>();
        let into = |m: &str| left.iter().filter(|o| **o != m).map(|o| weight(o, m)).sum::<usize>();
        if let Some(sink) = left.iter().copied().find(|m| out(m) == 0) {
            last.push(sink);
            left.remove(sink);
            continue;
        }
        let best = left.iter().copied().max_by_key(|m| (into(m) == 0, out(m) as isize - into(m) as isize));
        let best = best.expect("some are left");
        first.push(best);
        left.remove(best);
    }
    first.into_iter().chain(last.into_iter().rev()).collect()
}
