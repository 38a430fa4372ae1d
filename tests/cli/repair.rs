//! What a repair can write back, and what it says of what it can't.

use crate::accuracy::accuracy;
use crate::{Folder, fixture, json, load, prune, read, secateur, stdout, text};
use ::secateur::ir::{Attribute, Call, Constant, DType, Form, Model, Node, Origin, Tensor, Use, ValueId};
use ::secateur::onnx;

/// The model with its matrices and kernels in eight bits, a scale for each first index: Cast(q) · s.
fn in_eight_bits(mut model: Model) -> Model {
    let constant = |name: String, tensor| Constant { name, tensor, form: Form::Initializer, origin: Origin::Here };
    for node in model.graph.constants() {
        let Some(weight) = model.graph.constant(node).filter(|c| c.tensor.shape.len() > 1).cloned() else { continue };
        let (numbers, shape) = (weight.tensor.to_f64().unwrap(), &weight.tensor.shape);
        if !weight.tensor.dtype.is_float() || numbers.len() < 100 {
            continue;
        }
        let row = numbers.len() / shape[0];
        let largest = |row: &[f64]| row.iter().fold(1e-9f64, |m, x| m.max(x.abs())) / 127.0;
        let scales: Vec<f64> = numbers.chunks(row).map(largest).collect();
        let steps: Vec<f64> = numbers.iter().enumerate().map(|(i, x)| (x / scales[i / row]).round()).collect();
        let mut along = vec![1; shape.len()];
        along[0] = shape[0];
        let integers = Tensor::from_f64(DType::I8, shape.clone(), &steps).unwrap();
        let scales = Tensor::from_f64(DType::F32, along, &scales).unwrap();
        let uses = model.graph.uses(ValueId { node, port: 0 });
        let first = uses[0].node;
        let value = |node| ValueId { node, port: 0 };
        let q = model.graph.add_before(first, Node::Constant(constant(format!("{}_q", weight.name), integers)));
        let s = model.graph.add_before(first, Node::Constant(constant(format!("{}_s", weight.name), scales)));
        let mut cast = Call { results: vec![format!("{}_c", weight.name)], arity: 1, ..Call::new("Cast") };
        cast.attributes.insert("to".into(), Attribute::Int(1));
        let cast = model.graph.add_before(first, Node::Call(Box::new(cast)));
        let product = Call { results: vec![format!("{}_w", weight.name)], arity: 2, ..Call::new("Mul") };
        let product = model.graph.add_before(first, Node::Call(Box::new(product)));
        model.graph.connect(value(q), Use { node: cast, slot: 0 });
        model.graph.connect(value(cast), Use { node: product, slot: 0 });
        model.graph.connect(value(s), Use { node: product, slot: 1 });
        uses.into_iter().for_each(|at| model.graph.connect(value(product), at));
        model.graph.remove(node);
    }
    model
}

#[test]
fn weights_stored_in_eight_bits_are_repaired_and_stay_in_eight_bits() {
    let folder = Folder::new();
    let (whole, calib) = (folder.path("whole.onnx"), fixture("digits_calib.npz"));
    std::fs::write(&whole, onnx::to_bytes(&in_eight_bits(load(fixture("digits_mlp")))).unwrap()).unwrap();
    let options = ["--macs", "25%", "--calib", &calib, "--samples", "128"];
    let (float, _) = prune(&folder, &fixture("digits_mlp"), "float.onnx", &options);
    let (small, report) = prune(&folder, &whole, "small.onnx", &options);
    assert!(report["unrepaired"].is_null() && report["repaired"].as_array().unwrap().len() > 1, "{report}");
    let (float, eight) = (accuracy(&load(float)), accuracy(&load(&small)));
    assert!(eight > float - 0.02, "{eight} {float}");
    assert!(read(&small).len() < read(&whole).len() / 2);
    let bare = [&options[..], &["--no-compensate"]].concat();
    let (bare, _) = prune(&folder, &whole, "bare.onnx", &bare);
    assert!(accuracy(&load(bare)) < eight - 0.05);
}

#[test]
fn few_samples_are_told() {
    let folder = Folder::new();
    let calib = fixture("digits_calib.npz");
    let (net, output) = (fixture("digits_mlp"), folder.path("o.onnx"));
    let with = |samples: &str| {
        let args =
            ["prune", &net, "-o", &output, "--ratio", "0.25", "--calib", &calib, "--samples", samples, "--no-verify"];
        stdout(&args, 0)
    };
    let few = with("16");
    assert!(few.contains("too few samples") && few.contains("16 samples"), "{few}");
    assert!(!with("200").contains("too few samples"));
}

#[test]
fn what_is_not_repaired_is_told() {
    let numbers = |hash: u64| {
        let shape = if hash == 1 { vec![6, 24] } else { vec![24, 24] };
        let at = |i: usize| ((i * 37 + i * i * 11 + 5) % 101) as f32 / 200.0 - 0.25;
        Some(Tensor::from_f32(shape.clone(), &(0..shape.iter().product()).map(at).collect::<Vec<_>>()))
    };
    let text = "g (f32[n,6] x) => (f32[n,24] y) {
        f32[6,24] v #1
        f32[24,24] w #2
        a = MatMul(x, v)
        b = Relu(a)
        c = MatMul(b, w)
        d = Relu(c)
        e = MatMul(d, w)
        f = Relu(e)
        y = MatMul(f, w)
    }";
    let folder = Folder::new();
    let (whole, output) = (folder.path("whole.onnx"), folder.path("o.onnx"));
    let model = secateur::ir::parse(text, &numbers).unwrap();
    std::fs::write(&whole, onnx::to_bytes(&model).unwrap()).unwrap();
    let args = ["prune", &whole, "-o", &output, "--ratio", "0.5", "--calib", "random:64", "--no-verify"];
    let told = stdout(&args, 0);
    assert!(told.contains("not repaired: 3 calls") && told.contains("other calls read its weight too"), "{told}");
}

#[test]
fn criteria_have_the_names_of_the_literature() {
    let folder = Folder::new();
    let plan = |name: &str| {
        let (net, output) = (fixture("digits_mlp"), folder.path(name));
        stdout(&["plan", &net, "-o", &output, "--ratio", "0.5", "--criterion", name], 0);
        serde_json::from_slice::<serde_json::Value>(&read(&output)).unwrap()["criterion"].clone()
    };
    assert_eq!(plan("magnitude"), "l2");
    assert_eq!(plan("geometric-median*network-slimming"), "fpgm*bn-scale");
    let listed = json(&["criteria", "--json"], 0);
    let aliases: Vec<String> = listed.as_array().unwrap().iter().map(|r| r["aliases"].to_string()).collect();
    assert!(aliases.iter().any(|a| a.contains("\"obd\"")), "{aliases:?}");
}

#[test]
fn samples_are_made_up_unless_somebody_says_otherwise() {
    let (folder, input) = (Folder::new(), fixture("digits_mlp"));
    let made = |options: &[&str]| prune(&folder, &input, "o.onnx", &[&["--macs", "50%"], options].concat()).1;
    let report = made(&["--made-up", "auto", "--samples", "16"]);
    let inputs = serde_json::json!([{"name": "input", "kind": "images", "scale": "0..1", "how": "which is usual"}]);
    assert_eq!(report["samples"], serde_json::json!({"source": "made-up", "count": 16, "inputs": inputs}));
    assert!(report["plan"]["criterion"] == "obs" && !report["repaired"].as_array().unwrap().is_empty());
    let report = made(&["--fast"]);
    assert!(report["samples"]["source"] == "none" && report["plan"]["criterion"] == "lamp");
    for (options, why) in [
        (&["--made-up", "text"][..], "no input takes that"),
        (&["--made-up", "noise", "--fast"], "--fast"),
        (&["--fast", "--calib", "random:4"], "--calib"),
        (&["--criterion", "obs", "--fast"], "--criterion obs needs samples"),
    ] {
        let shown = secateur(&[&["prune", &input, "-o", &folder.path("x.onnx")], options].concat()).code(2);
        let err = text(&shown.get_output().stderr);
        assert!(err.contains(why), "{options:?}: {err}");
    }
}
