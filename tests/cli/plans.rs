//! A plan is a file: it can be kept, edited, applied elsewhere, and it is not trusted.

use crate::{Folder, fixture, json, load, prune, read, secateur, stdout};
use predicates::prelude::*;
use secateur::ir::Tensor;
use serde_json::{Value, json};

#[test]
fn plan_and_apply_are_prune() {
    let folder = Folder::new();
    let (plan, output) = (folder.path("plan.json"), folder.path("applied.onnx"));
    for net in ["digits_resnet", "digits_shuffle", "odd/shared_bias", "odd/external"] {
        let input = fixture(net);
        stdout(&["plan", &input, "--macs", "60%", "-o", &plan], 0);
        assert_eq!(json(&["plan", &input, "--macs", "60%"], 0), serde_json::from_slice::<Value>(&read(&plan)).unwrap());
        stdout(&["apply", &input, "--plan", &plan, "-o", &output, "--no-verify"], 0);
        let (pruned, _) = prune(&folder, &input, "applied2.onnx", &["--macs", "60%"]);
        if net == "odd/external" {
            // The models name different data files.
            assert!(read(format!("{output}.data")) == read(format!("{pruned}.data")));
        } else {
            assert!(read(&output) == read(pruned), "{net}");
        }
    }
}

#[test]
fn a_plan_fits_other_weights() {
    let folder = Folder::new();
    let (tuned, plan, output) = (folder.path("tuned.onnx"), folder.path("plan.json"), folder.path("o.onnx"));
    let mut model = load(fixture("digits_vgg"));
    for node in model.graph.constants() {
        let constant = model.graph.constant_mut(node).unwrap();
        let t = &constant.tensor;
        if t.dtype.is_float() {
            let numbers: Vec<f64> =
                t.to_f64().unwrap().iter().enumerate().map(|(i, x)| x * (1.0 + (i % 7) as f64 / 50.0)).collect();
            constant.tensor = Tensor::from_f64(t.dtype, t.shape.clone(), &numbers).unwrap();
        }
    }
    secateur::onnx::save(&model, tuned.as_ref(), &Default::default()).unwrap();
    stdout(&["plan", &fixture("digits_vgg"), "-o", &plan], 0);
    let report = json(&["apply", &tuned, "--plan", &plan, "-o", &output, "--json", "--repeats", "0"], 0);
    assert_eq!(report["verification"]["equal"], true);
    assert_eq!(report["plan"], serde_json::from_slice::<Value>(&read(plan)).unwrap());
    let (other, _) = prune(&folder, &fixture("digits_vgg"), "other.onnx", &[]);
    assert!(read(output) != read(other));
}

#[test]
fn plans_that_do_not_fit_are_refused() {
    let folder = Folder::new();
    let (input, path, output) = (fixture("digits_mlp"), folder.path("plan.json"), folder.path("o.onnx"));
    let good = json(&["plan", &input], 0);
    let all: Vec<usize> = (0..good["cuts"][0]["units"].as_u64().unwrap() as usize).collect();
    let cases: Vec<(&str, Value, &str)> = vec![
        ("/cuts/0/remove", json!([100_000]), "removes unit 100000 of"),
        ("/cuts/0/remove", json!(all), "at least one must stay"),
        ("/cuts/0/remove", json!([-1]), "not a plan"),
        ("/cuts/0/remove", json!([1, 1]), "unit 1 of c0 twice"),
        ("/cuts/0/units", json!(3), "of 3 units"),
        ("/cuts/0/group", json!("c99"), "c99"),
        ("/cuts/0/group", json!("zebra"), "zebra"),
        ("/cuts/1", good["cuts"][0].clone(), "twice"),
        ("/version", json!(99), "version 99"),
        ("/architecture", json!("0123456789abcdef"), "another architecture"),
        ("/budget", json!(7), "not a plan"),
        ("/cuts", Value::Null, "not a plan"),
        ("", json!([]), "not a plan"),
    ];
    for (at, value, words) in cases {
        let mut plan = good.clone();
        *plan.pointer_mut(at).unwrap() = value;
        std::fs::write(&path, plan.to_string()).unwrap();
        let refused = secateur(&["apply", &input, "--plan", &path, "-o", &output]).code(1);
        refused.stderr(predicate::str::contains(words)).stdout(predicate::str::is_empty());
        assert_eq!(folder.files().len(), 1, "{words}");
    }
    for text in ["", "{", "no json", "\u{0}"] {
        std::fs::write(&path, text).unwrap();
        let refused = secateur(&["apply", &input, "--plan", &path, "-o", &output]).code(1);
        refused.stderr(predicate::str::contains("not a plan"));
    }
    std::fs::write(&path, good.to_string()).unwrap();
    for other in ["digits_vgg", "digits_resnet", "odd/fp16"] {
        let refused = secateur(&["apply", &fixture(other), "--plan", &path, "-o", &output]).code(1);
        refused.stderr(predicate::str::contains("another architecture"));
    }
    secateur(&["apply", &input, "--plan", "nowhere.json", "-o", &output]).code(1);
    assert_eq!(folder.files().len(), 1);
}

#[test]
fn pinned_groups_stay_whole() {
    let folder = Folder::new();
    let (input, path, output) = (fixture("digits_mlp"), folder.path("plan.json"), folder.path("o.onnx"));
    let groups = json(&["groups", &input, "--all", "--json"], 0);
    let pinned = groups.as_array().unwrap().iter().find(|g| g["state"] == "pinned").unwrap();
    let mut plan = json(&["plan", &input], 0);
    plan["cuts"] = json!([{"group": pinned["group"], "units": pinned["units"], "remove": [0]}]);
    std::fs::write(&path, plan.to_string()).unwrap();
    let refused = secateur(&["apply", &input, "--plan", &path, "-o", &output]).code(1);
    refused.stderr(predicate::str::contains("must stay whole"));
}

#[test]
fn an_empty_plan_changes_nothing() {
    let folder = Folder::new();
    let (input, path, output) = (fixture("digits_mlp"), folder.path("plan.json"), folder.path("o.onnx"));
    stdout(&["plan", &input, "--ratio", "0", "-o", &path], 3);
    stdout(&["apply", &input, "--plan", &path, "-o", &output], 3);
    assert!(read(&output) == read(&input));
    let mut plan = json(&["plan", &input], 0);
    plan["cuts"].as_array_mut().unwrap().iter_mut().for_each(|c| c["remove"] = json!([]));
    std::fs::write(&path, plan.to_string()).unwrap();
    stdout(&["apply", &input, "--plan", &path, "-o", &output], 3);
    assert!(read(&output) == read(&input));
}
