//! Layers: found, chosen, removed, and proved to be gone.

use crate::equivalence::{difference, zeroed};
use crate::{Folder, fixture, json, load, read, secateur, stdout};
use predicates::prelude::*;
use serde_json::{Value, json};

/// Prunes with verification; the output's path and the report.
fn verified(folder: &Folder, net: &str, options: &[&str]) -> (String, Value) {
    let (input, output) = (fixture(net), folder.path("short.onnx"));
    let args = [&["prune", &input, "-o", &output, "--json", "--repeats", "0"], options].concat();
    let report = json(&args, 0);
    assert_eq!(report["verification"]["equal"], true, "{net} {options:?}");
    assert!(report["after"]["nodes"].as_u64() < report["before"]["nodes"].as_u64());
    (output, report)
}

#[test]
fn residual_blocks_are_listed() {
    let listed = json(&["layers", &fixture("digits_resnet"), "--json", "--all"], 0);
    let ends: Vec<&str> = listed["layers"].as_array().unwrap().iter().map(|l| l["name"].as_str().unwrap()).collect();
    assert_eq!(ends, ["/1/Add", "/2/Add", "/4/Add", "/6/Add"]);
    let refused: Vec<&str> =
        listed["refused"].as_array().unwrap().iter().map(|l| l["name"].as_str().unwrap()).collect();
    assert_eq!(refused, ["/3/Add", "/5/Add"]);
    let first = &listed["layers"][0];
    assert_eq!((&first["calls"], &first["slot"]), (&json!(6), &json!(0)));
    let shown = stdout(&["layers", &fixture("digits_resnet"), "--all"], 0);
    assert!(shown.contains("/1/Add (node 10)") && shown.contains("nothing bypasses a branch"), "{shown}");
    assert!(json(&["layers", &fixture("digits_vgg"), "--json"], 0)["layers"].as_array().unwrap().is_empty());
}

#[test]
fn a_layer_goes_and_the_rest_stays() {
    let folder = Folder::new();
    for net in ["digits_resnet", "digits_mobilenet"] {
        let (output, report) = verified(&folder, net, &["--layers", "1"]);
        let layers = report["layers"].as_array().unwrap();
        assert_eq!((layers.len(), report["groups"].as_array().unwrap().len()), (1, 0));
        let macs = |when: &str| report[when]["macs"].as_u64().unwrap();
        assert_eq!(macs("before") - macs("after"), layers[0]["macs"].as_u64().unwrap());
        // Zeros in the file tell the same.
        let masked = zeroed(&fixture(net), &report["removed"]);
        assert!(difference(&masked, &load(&output)) <= 1e-4, "{net}");
        assert!(difference(&load(fixture(net)), &load(&output)) > 1e-3, "{net}");
        let listed = json(&["layers", &output, "--json"], 0);
        let before = json(&["layers", &fixture(net), "--json"], 0);
        assert_eq!(listed["layers"].as_array().unwrap().len() + 1, before["layers"].as_array().unwrap().len());
    }
}

#[test]
fn samples_tell_what_changes_least() {
    let folder = Folder::new();
    let (_, report) = verified(&folder, "digits_resnet", &["--layers", "1", "--calib", &fixture("digits_calib.npz")]);
    // Measured: the last block's input and output have a cosine of 0.996, the other blocks' 0.5 to 0.9.
    assert_eq!(report["layers"][0]["name"], "/6/Add");
    assert_eq!(report["plan"]["criterion"], "1 - cosine");
    assert!(report["layers"][0]["score"].as_f64().unwrap() < 0.02);
}

#[test]
fn channels_are_cut_from_what_is_left() {
    let folder = Folder::new();
    let (output, report) = verified(&folder, "digits_resnet", &["--layers", "2", "--ratio", "0.5"]);
    assert_eq!(report["layers"].as_array().unwrap().len(), 2);
    assert!(report["groups"].as_array().unwrap().iter().all(|g| g["after"] != g["before"]));
    assert!(!report["groups"].as_array().unwrap().is_empty());
    let text = String::from_utf8_lossy(&read(output)).into_owned();
    assert!(text.contains("remove-layers{count=2},prune-channels{ratio=0.5 score=fold}"));
}

#[test]
fn patterns_choose_among_layers() {
    let folder = Folder::new();
    let names = |options: &[&str]| {
        let (_, report) = verified(&folder, "digits_resnet", options);
        report["layers"].as_array().unwrap().iter().map(|l| l["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&["--layers", "1", "--include", "/4/*"]), ["/4/Add"]);
    assert_eq!(names(&["--layers", "2", "--exclude", "/2/*", "--exclude", "7.3.weight"]), ["/1/Add", "/6/Add"]);
}

#[test]
fn plan_and_apply_are_prune_with_layers() {
    let folder = Folder::new();
    let (input, plan, output) = (fixture("digits_resnet"), folder.path("plan.json"), folder.path("applied.onnx"));
    for options in [&["--layers", "2"][..], &["--layers", "1", "--macs", "50%"]] {
        stdout(&[&["plan", &input, "-o", &plan], options].concat(), 0);
        let applied = json(&["apply", &input, "--plan", &plan, "-o", &output, "--json", "--repeats", "0"], 0);
        assert_eq!(applied["verification"]["equal"], true);
        let (pruned, report) = verified(&folder, "digits_resnet", options);
        assert!(read(&output) == read(pruned));
        assert_eq!(applied["layers"], report["layers"]);
    }
}

#[test]
fn what_can_not_be_is_said() {
    let folder = Folder::new();
    let (input, output, path) = (fixture("digits_resnet"), folder.path("o.onnx"), folder.path("plan.json"));
    let fails = |args: &[&str], code: i32, why: &str| {
        secateur(args).code(code).stderr(predicate::str::contains(why));
        assert!(!std::path::Path::new(&output).exists());
    };
    fails(&["prune", &input, "-o", &output, "--layers", "99"], 1, "too many layers: 99 asked for, but only 4 can go");
    fails(
        &["prune", &fixture("digits_vgg"), "-o", &output, "--layers", "1"],
        1,
        "too many layers: 1 asked for, but only 0 can go",
    );
    fails(&["prune", &input, "-o", &output, "--layers", "0"], 2, "0 is not in");
    fails(&["prune", &input, "-o", &output, "--layers", "1", "--exclude", "zebra"], 2, "zebra");
    fails(&["prune", &input, "-o", &output, "--layers", "1", "--calib", "nowhere.npz"], 1, "nowhere.npz");
    let good = json(&["plan", &input, "--layers", "1"], 0);
    let cases = [
        ("/layers/0/node", json!(11), "has no such layer"),
        ("/layers/0/slot", json!(1), "has no such layer"),
        ("/layers/0/node", json!(26), "neither operand is made from the other"),
        ("/layers/0/node", json!(33), "another architecture"),
        ("/layers/1", good["layers"][0].clone(), "twice"),
        ("/layers/0/node", json!("first"), "not a plan"),
    ];
    for (at, value, why) in cases {
        let mut plan = good.clone();
        match at {
            "/layers/1" => plan["layers"].as_array_mut().unwrap().push(value),
            _ => *plan.pointer_mut(at).unwrap() = value,
        }
        std::fs::write(&path, serde_json::to_vec(&plan).unwrap()).unwrap();
        fails(&["apply", &input, "--plan", &path, "-o", &output], 1, why);
    }
}
