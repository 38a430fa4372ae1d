//! The floors of the house: a room uses what is on its own floor or below, and no rooms use one another in a circle.

use crate::code::{self, Named};
use petgraph::algo::tarjan_scc;
use petgraph::graph::DiGraph;
use std::collections::{BTreeMap, BTreeSet};

/// The floors from the top down. The last three are folders of rooms, which the crate's root gives short names.
const FLOORS: [&str; 5] = ["cli", "job", "compress", "run", "model"];

/// The rooms of the job, beside which there is only the command line.
const JOB: [&str; 5] = ["build", "draw", "job", "page", "testing"];

/// Where one room uses another: the file, the line and the path.
type Uses = BTreeMap<(String, String), Vec<String>>;

/// Whether a top-level module is a floor of many rooms.
fn is_folder(module: &str) -> bool {
    FLOORS[2..].contains(&module)
}

/// The room that a module is in, from its path (`crate::model::ir::dim` is in `ir`).
fn room(module: &[String]) -> Option<&String> {
    let first = module.get(1)?;
    if is_folder(first) { module.get(2) } else { Some(first) }
}

/// Every room, with the place of its floor from the top.
fn rooms() -> BTreeMap<&'static str, usize> {
    let mut rooms = BTreeMap::new();
    for file in code::files() {
        let Some(name) = room(&file.module) else { continue };
        let floor = match file.module[1].as_str() {
            folder if is_folder(folder) => folder,
            "cli" => "cli",
            other if JOB.contains(&other) => "job",
            other => {
                panic!("the module `{other}` has no floor: it belongs in a folder of one, or in tests/tidy/floors.rs")
            }
        };
        let floor = FLOORS.iter().position(|f| *f == floor).expect("it is one of them");
        let before = rooms.insert(name.as_str(), floor);
        assert!(before.is_none_or(|b| b == floor), "there is a room `{name}` on two floors");
    }
    rooms
}

/// Every use of one room by another.
fn uses() -> Uses {
    let rooms = rooms();
    let mut uses = Uses::new();
    for file in code::files() {
        let Some(own) = room(&file.module) else { continue };
        for Named { line, segments } in &file.paths {
            if segments[0] != "crate" || segments.len() < 2 {
                continue;
            }
            let at = format!("{}:{line} uses {}", file.path, segments.join("::"));
            let Some(other) = room(segments) else { continue };
            assert!(rooms.contains_key(other.as_str()), "{at}, and `{other}` is no room");
            if other != own {
                uses.entry((own.clone(), other.clone())).or_default().push(at);
            }
        }
    }
    uses
}

#[test]
fn a_room_uses_its_floor_and_those_below() {
    let (uses, rooms) = (uses(), rooms());
    let up = uses.iter().filter(|((from, to), _)| rooms[from.as_str()] > rooms[to.as_str()]);
    let up: Vec<String> = up.map(|((from, to), at)| told(from, to, at)).collect();
    assert!(up.is_empty(), "{} uses lead to a floor above:\n{}", up.len(), up.join("\n"));
}

#[test]
fn no_rooms_use_one_another_in_a_circle() {
    let uses = uses();
    let names: BTreeSet<&str> = uses.keys().flat_map(|(a, b)| [a.as_str(), b.as_str()]).collect();
    let mut graph = DiGraph::new();
    let nodes: BTreeMap<&str, _> = names.into_iter().map(|m| (m, graph.add_node(m))).collect();
    uses.keys().for_each(|(a, b)| {
        graph.add_edge(nodes[a.as_str()], nodes[b.as_str()], ());
    });
    let circles = tarjan_scc(&graph).into_iter().filter(|c| c.len() > 1);
    let circles: Vec<String> =
        circles.map(|c| circle(&c.into_iter().map(|n| graph[n]).collect::<Vec<&str>>(), &uses)).collect();
    assert!(circles.is_empty(), "rooms use one another in a circle:\n\n{}", circles.join("\n\n"));
}

/// A circle in words: its rooms, and few uses without which it would be none.
fn circle(members: &[&str], uses: &Uses) -> String {
    let order = in_order(members, uses);
    let place = |m: &str| order.iter().position(|o| *o == m);
    let back = uses.iter().filter(|((a, b), _)| place(a).zip(place(b)).is_some_and(|(a, b)| a > b));
    let back: Vec<String> = back.map(|((a, b), at)| told(a, b, at)).collect();
    format!(
        "{} rooms: {}; without these uses there would be none:\n{}",
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
