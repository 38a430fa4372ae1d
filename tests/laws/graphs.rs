//! Law 5: in random small nets, dropping units computes what zeroing their weights computes; where a statistic is
//! taken over them, what it computes over the kept units.

use super::draw::Draw;
use super::net::{Net, net};
use super::property;
use secateur::analysis::Analysis;
use secateur::cost::OpenDims;
use secateur::ir::{self, Model, Node, Type};
use secateur::load::from_bytes;
use secateur::plan::{Cut, Plan, VERSION, architecture};
use secateur::prune::{self, SIMPLIFY, SIMPLIFY_KEEP_BN};
use secateur::reference::reference;
use secateur::save::to_bytes;
use secateur::verify::{self, Options, Subjects};
use std::cell::Cell;
use std::collections::HashMap;

#[test]
fn the_pruned_net_is_its_reference() {
    let (meaningful, cut) = (Cell::new(0), Cell::new(0));
    let cases = property("nets", 60, |d| {
        let net = net(d);
        let told = |why: String| format!("{why}\n{}", net.text);
        let outcome = super::caught(|| {
            let seen = prune_and_verify(&net, d)?;
            meaningful.set(meaningful.get() + u32::from(seen.0));
            cut.set(cut.get() + u32::from(seen.1));
            Ok(())
        });
        outcome.map_err(told)
    });
    // Most nets have something to cut, and outputs that depend on the input.
    assert!(meaningful.get() * 4 > cases * 3, "{} of {cases} nets are meaningful", meaningful.get());
    assert!(cut.get() * 4 > cases * 3, "{} of {cases} nets were cut", cut.get());
}

/// Whether the outputs depend on the input, and whether anything was cut.
fn prune_and_verify(net: &Net, d: &mut Draw) -> Result<(bool, bool), String> {
    let parsed = ir::parse(&net.text, &|hash| net.weights.get(&hash).cloned()).map_err(|e| e.to_string())?;
    let bytes = to_bytes(&parsed).map_err(|e| e.to_string())?;
    let original = from_bytes(bytes.into(), None).map_err(|e| e.to_string())?;
    let analysis = prune::prepare(&original).map_err(|e| e.to_string())?;
    if let Some(c) = analysis.facts.contradictions.first() {
        return Err(format!("a contradiction: {}", c.what));
    }
    let plan = random_plan(&analysis, d);
    let simplify = if d.flip() { SIMPLIFY_KEEP_BN } else { SIMPLIFY };
    let open = OpenDims::of(&original, HashMap::new());
    let pruned =
        prune::execute(&original, &analysis, &plan, simplify, &open, None).map_err(|e| format!("{e}\n{plan:?}"))?;
    let problems = ir::verify(&pruned.model);
    if !problems.is_empty() {
        return Err(format!("{problems:?}"));
    }
    if interface(&original) != interface(&pruned.model) {
        return Err(format!("{:?} became {:?}", interface(&original), interface(&pruned.model)));
    }
    let reference = reference(&original, &analysis, &pruned.keep, &pruned.removed);
    let reference = reference.map_err(|e| format!("{e}\n{plan:?}"))?;
    let options =
        Options { inputs: None, samples: 3, seed: 1, sizes: HashMap::new(), tolerance: Some(1e-4), repeats: 0 };
    let subjects = Subjects { original: &original, reference: Some(&reference), cut: None, pruned: &pruned.model };
    let found = verify::verify(&subjects, &options).map_err(|e| format!("{e}\n{plan:?}"))?;
    if !found.equal {
        return Err(format!("{:?}\n{plan:?}", found.equivalence));
    }
    Ok((found.meaningful, !plan.cuts.is_empty()))
}

/// Loses random units of every exact group, and maybe of the others that are free.
fn random_plan(analysis: &Analysis, d: &mut Draw) -> Plan {
    let inexact = d.flip();
    let groups = analysis.groups.free().filter(|g| inexact || g.is_exact());
    let cuts = groups.map(|group| {
        let kept = d.keep(group.size, group.floor);
        let remove = (0..group.size).filter(|u| !kept.contains(u)).collect();
        Cut { group: group.id.to_string(), units: group.size, remove, places: vec![] }
    });
    let cuts: Vec<Cut> = cuts.filter(|c| !c.remove.is_empty()).collect();
    let architecture = architecture(analysis);
    Plan { version: VERSION, architecture, criterion: "random".into(), budget: String::new(), cuts }
}

/// Names and types of inputs and outputs.
fn interface(model: &Model) -> Vec<(String, Type)> {
    let graph = &model.graph;
    let info = |n| match graph.node(n) {
        Node::Input(i) => (i.info.name.clone(), i.info.ty.clone()),
        Node::Output(o) => (o.info.name.clone(), o.info.ty.clone()),
        _ => unreachable!("neither input nor output"),
    };
    graph.inputs().into_iter().chain(graph.outputs()).map(info).collect()
}
