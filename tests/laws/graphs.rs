//! Law 5: in random small nets, dropping units computes what zeroing their weights computes; where a statistic is
//! taken over them, what it computes over the kept units. Without a layer they compute what they compute with zero in
//! its branch's place.

use super::draw::Draw;
use super::net::{Net, net, residual_net};
use super::property;
use secateur::analysis::Analysis;
use secateur::analysis::OpenDims;
use secateur::ir::{self, Model, Node, Type};
use secateur::onnx::from_bytes;
use secateur::onnx::to_bytes;
use secateur::plan::{GroupCut, Plan, VERSION, architecture};
use secateur::prune::layers;
use secateur::prune::{self, SIMPLIFY, SIMPLIFY_KEEP_BN};
use secateur::prune::{masked, reference};
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

#[test]
fn the_net_without_layers_is_the_silenced_net() {
    let (removed, told_by_zeros) = (Cell::new(0), Cell::new(0));
    let cases = property("layers", 60, |d| {
        let net = residual_net(d);
        let outcome = super::caught(|| {
            let (layers, by_zeros) = shorten_and_verify(&net, d)?;
            removed.set(removed.get() + u32::from(layers));
            told_by_zeros.set(told_by_zeros.get() + u32::from(by_zeros));
            Ok(())
        });
        outcome.map_err(|why: String| format!("{why}\n{}", net.text))
    });
    assert!(removed.get() * 4 > cases * 3, "{} of {cases} nets lost layers", removed.get());
    assert!(told_by_zeros.get() * 4 > cases * 3, "zeros in the file told {} of {}", told_by_zeros.get(), removed.get());
}

/// A net as a file that was read.
pub(crate) fn original(net: &Net) -> Result<Model, String> {
    let parsed = ir::parse(&net.text, &|hash| net.weights.get(&hash).cloned()).map_err(|e| e.to_string())?;
    let bytes = to_bytes(&parsed).map_err(|e| e.to_string())?;
    from_bytes(bytes.into(), None).map_err(|e| e.to_string())
}

/// Whether the outputs depend on the input, and whether anything was cut.
fn prune_and_verify(net: &Net, d: &mut Draw) -> Result<(bool, bool), String> {
    let original = original(net)?;
    let analysis = prune::prepare(&original).map_err(|e| e.to_string())?;
    if let Some(c) = analysis.facts.contradictions.first() {
        return Err(format!("a contradiction: {}", c.what));
    }
    let plan = random_plan(&analysis, d, net);
    let pruned = execute(&original, &analysis, &plan, d)?;
    let reference = reference(&original, &analysis, &pruned.keep, &pruned.removed);
    let reference = reference.map_err(|e| format!("{e}\n{plan:?}"))?;
    let meaningful = equal(&original, &reference, &pruned.model).map_err(|e| format!("{e}\n{plan:?}"))?;
    Ok((meaningful, !plan.cuts.is_empty()))
}

/// Whether there was a layer to remove, and whether constants of the file that are zero do the same.
fn shorten_and_verify(net: &Net, d: &mut Draw) -> Result<(bool, bool), String> {
    let original = original(net)?;
    let analysis = prune::prepare(&original).map_err(|e| e.to_string())?;
    let found = layers::find(&analysis.model, &analysis.facts).layers;
    let scores: Vec<f64> = found.iter().map(|_| d.range(0, 9) as f64).collect();
    let mut options = layers::Options { count: d.range(1, 2).min(found.len()), ..Default::default() };
    let graph = &analysis.model.graph;
    let chosen = layers::choose(graph, &found, &scores, &options).or_else(|_| {
        options.count = 1;
        layers::choose(graph, &found, &scores, &options)
    });
    let layer = |i: usize| (found[i].clone(), found[i].cut(graph, None).expect("the sums are from the file"));
    let chosen: Vec<_> = chosen.map_err(|e| e.to_string())?.into_iter().map(layer).collect();
    if chosen.is_empty() {
        return Ok((false, false));
    }
    let every = chosen.iter().all(|(l, _)| !layers::zeroing(&analysis.model, &analysis.facts, l).is_empty());
    let short = prune::shorten(analysis, &chosen, &OpenDims::default()).map_err(|e| e.to_string())?;
    let mut plan = random_plan(&short.analysis, d, net);
    if d.flip() {
        plan.cuts.clear();
    }
    plan.layers = chosen.into_iter().map(|(_, cut)| cut).collect();
    let pruned = execute(&original, &short.analysis, &plan, d)?;
    let told = |e| format!("{e}\n{plan:?}");
    let silenced = layers::silenced(&original, &plan.layers);
    let reference = reference(&silenced, &short.analysis, &pruned.keep, &pruned.removed).map_err(|e| e.to_string())?;
    equal(&original, &reference, &pruned.model).map_err(told)?;
    if every && pruned.groups.iter().all(|g| g.exact) {
        let removed = [short.zeroing, pruned.removed].concat();
        let reference = masked(&original, &removed).map_err(|e| e.to_string())?;
        equal(&original, &reference, &pruned.model).map_err(|e| told(format!("by zeros in the file: {e}")))?;
    }
    Ok((true, every))
}

/// Carries out a plan; the result is sound, and has the original's interface.
pub(crate) fn execute(
    original: &Model,
    analysis: &Analysis,
    plan: &Plan,
    d: &mut Draw,
) -> Result<prune::Pruned, String> {
    let simplify = if d.flip() { SIMPLIFY_KEEP_BN } else { SIMPLIFY };
    let open = OpenDims::of(original, HashMap::new());
    let pruned = prune::execute(original, analysis, plan, simplify, &open, None);
    let pruned = pruned.map_err(|e| format!("{e}\n{plan:?}"))?;
    let problems = ir::verify(&pruned.model);
    if !problems.is_empty() {
        return Err(format!("{problems:?}"));
    }
    if interface(original) != interface(&pruned.model) {
        return Err(format!("{:?} became {:?}", interface(original), interface(&pruned.model)));
    }
    Ok(pruned)
}

/// Whether the outputs depend on the input; an error if a model is not what its reference is.
pub(crate) fn equal(original: &Model, reference: &Model, pruned: &Model) -> Result<bool, String> {
    let options = Options { samples: 3, seed: 1, tolerance: Some(1e-4), repeats: 0, ..Options::default() };
    let subjects = Subjects { original, reference: Some(reference), cut: None, pruned };
    let found = verify::verify(&subjects, &options, &|_, _| {}).map_err(|e| e.to_string())?;
    if found.equal { Ok(found.meaningful) } else { Err(format!("{:?}", found.equivalence)) }
}

/// Loses random units of every exact group, and maybe of the others that are free. Within a body there is no reference
/// for these.
pub(crate) fn random_plan(analysis: &Analysis, d: &mut Draw, net: &Net) -> Plan {
    let bodies = ["If<", "Scan<"].iter().any(|op| net.text.contains(op));
    let inexact = d.flip() && !bodies;
    let groups = analysis.groups.free().filter(|g| inexact || g.is_exact());
    let cuts = groups.map(|group| {
        let kept = d.keep(group.size, group.floor);
        let remove = (0..group.size).filter(|u| !kept.contains(u)).collect();
        GroupCut { group: group.id.to_string(), units: group.size, remove, places: vec![] }
    });
    let cuts: Vec<GroupCut> = cuts.filter(|c| !c.remove.is_empty()).collect();
    let architecture = architecture(analysis);
    Plan {
        version: VERSION,
        architecture,
        criterion: "random".into(),
        budget: String::new(),
        options: String::new(),
        layers: vec![],
        cuts,
        lossless: None,
    }
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
