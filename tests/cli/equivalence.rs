//! The promise of the report: setting the slices under `removed` to zero in the input computes what the output
//! computes. Done here from the JSON alone, as anybody could do it, and not by `secateur::apply`.

use crate::{Folder, NETS, ODD, fixture, load, prune};
use secateur::feed::Feed;
use secateur::ir::{Model, Node, NodeId, Tensor, Use, ValueId};
use secateur::verify;
use secateur::verify::Comparison;
use serde_json::Value;
use std::collections::BTreeMap;

/// Sets slices to zero, element by element.
fn zero(tensor: &mut Tensor, axis: usize, indices: &[usize]) {
    let inner: usize = tensor.shape[axis + 1..].iter().product();
    let dim = tensor.shape[axis];
    let mut numbers = tensor.to_f64().unwrap();
    for (i, x) in numbers.iter_mut().enumerate() {
        if indices.contains(&(i / inner % dim)) {
            *x = 0.0;
        }
    }
    *tensor = Tensor::from_f64(tensor.dtype, tensor.shape.clone(), &numbers).unwrap();
}

/// The input model without what `removed` lists.
pub(crate) fn zeroed(input: &str, removed: &Value) -> Model {
    let mut model = load(input);
    let graph = &mut model.graph;
    // Entries of one tensor and the same uses belong to one constant.
    let mut cuts: BTreeMap<(String, String), Vec<&Value>> = BTreeMap::new();
    for entry in removed.as_array().unwrap() {
        let key = (entry["tensor"].as_str().unwrap().to_owned(), entry["uses"].to_string());
        cuts.entry(key).or_default().push(entry);
    }
    for ((name, _), entries) in cuts {
        let source = graph.constants().into_iter().find(|&n| graph.label(n) == name);
        let source = source.unwrap_or_else(|| panic!("{input} has no constant {name}"));
        let node = match entries[0]["uses"].as_array() {
            None => source,
            Some(uses) => copy(graph, source, uses),
        };
        for entry in entries {
            let indices: Vec<usize> =
                entry["indices"].as_array().unwrap().iter().map(|i| i.as_u64().unwrap() as usize).collect();
            let axis = entry["axis"].as_u64().unwrap() as usize;
            zero(&mut graph.constant_mut(node).unwrap().tensor, axis, &indices);
        }
    }
    model
}

fn copy(graph: &mut secateur::ir::Graph, source: NodeId, uses: &[Value]) -> NodeId {
    let mut constant = graph.constant(source).unwrap().clone();
    constant.name = format!("{}.copy.{}", constant.name, graph.len());
    let copy = graph.add(Node::Constant(constant));
    for place in uses {
        let (position, slot) = (place[0].as_u64().unwrap() as u32, place[1].as_u64().unwrap() as u16);
        let node = graph.calls().into_iter().find(|&n| graph.origin(n) == Some(position)).unwrap();
        graph.connect(ValueId { node: copy, port: 0 }, Use { node, slot });
    }
    copy
}

fn feeds(model: &Model, seeds: std::ops::Range<u64>) -> Vec<Feed> {
    let specs = verify::input_specs(model).unwrap();
    seeds.map(|seed| Feed::random(&specs, seed).unwrap()).collect()
}

/// The largest difference of two models, relative to the largest output.
pub(crate) fn difference(a: &Model, b: &Model) -> f64 {
    let feeds = feeds(a, 5..7);
    let run = |model| verify::runner(model, verify::Role::Alone, &feeds[0]).unwrap();
    let (a, b) = (run(a), run(b));
    let mut comparison = Comparison::default();
    feeds.iter().for_each(|f| comparison.add(&a.run(f).unwrap(), &b.run(f).unwrap()).unwrap());
    comparison.finish().worst()
}

/// Names and types of the inputs and outputs.
fn interface(model: &Model) -> Vec<String> {
    let info = |n: NodeId| match model.graph.node(n) {
        Node::Input(i) if i.default.is_none() => Some(format!("in {} {:?}", i.info.name, i.info.ty)),
        Node::Output(o) => Some(format!("out {} {:?}", o.info.name, o.info.ty)),
        _ => None,
    };
    model.graph.nodes().into_iter().filter_map(info).collect()
}

fn check(names: &[&str], options: &[&str]) {
    let folder = Folder::new();
    for name in names {
        let input = fixture(name);
        // This is about the cut alone.
        let options = [options, &["--no-compensate", "--no-merge"]].concat();
        let (output, report) = prune(&folder, &input, "o.onnx", &options);
        let (original, small) = (load(&input), load(&output));
        assert_eq!(interface(&original), interface(&small), "{name}");
        assert!(interface(&small).iter().all(|t| t.contains("batch")), "{name}: {:?}", interface(&small));
        assert!(secateur::ir::verify(&small).is_empty(), "{name}");
        assert!(report["after"]["macs"].as_u64() < report["before"]["macs"].as_u64(), "{name}");
        let masked = zeroed(&input, &report["removed"]);
        let tolerance = if name.contains("fp16") || name.contains("int8") { 3e-2 } else { 1e-4 };
        assert!(difference(&masked, &small) <= tolerance, "{name}: {}", difference(&masked, &small));
        // Against the model as it was there must be a difference, or nothing was shown.
        assert!(difference(&original, &small) > 10.0 * tolerance, "{name}");
    }
}

#[test]
fn what_is_removed_is_what_is_missing() {
    check(&NETS, &["--ratio", "0.5"]);
}

#[test]
fn also_in_odd_models() {
    // Nobody can run the operator in `opaque`; nothing in `everything` can be cut.
    let odd: Vec<&str> = ODD.into_iter().filter(|n| !n.ends_with("opaque") && !n.ends_with("everything")).collect();
    check(&odd, &["--ratio", "0.5"]);
}

#[test]
fn also_by_lot_and_with_batch_norm_kept() {
    check(&["digits_resnet", "digits_shuffle"], &["--criterion", "random", "--seed", "3", "--keep-bn"]);
    check(&["digits_densenet", "digits_mobilenet"], &["--macs", "60%", "--criterion", "l1"]);
}
