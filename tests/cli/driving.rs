//! Promises, searches, rounds, folds and families: what is tried before a model is made.

use crate::bad_input::fails;
use crate::{Folder, fixture, json, load, prune, read, secateur, stdout, text};
use secateur::compare::Comparison;
use secateur::feed::{self, Samples};
use secateur::verify;
use serde_json::Value;

/// Quick to choose by, and no repair, which takes its time in a debug build.
const QUICK: [&str; 4] = ["--samples", "32", "--no-compensate", "--calib"];

/// The drift of a model on the first 32 images for tests, counted without `secateur::drive`.
fn drift(model: &str) -> f64 {
    let (before, after) = (load(fixture("digits_mlp")), load(model));
    let how = feed::Options { limit: Some(32), ..feed::Options::default() };
    let specs = verify::input_specs(&before).unwrap();
    let samples = Samples::open(&fixture("digits_test.npz"), &specs, &how).unwrap();
    let feed = samples.feeds(32).next().unwrap().unwrap();
    let run = |model| verify::runner(model, "tested", &feed).unwrap().run(&feed).unwrap();
    let mut comparison = Comparison::default();
    comparison.add(&run(&before), &run(&after)).unwrap();
    comparison.finish().outputs[0].relative_l2
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn a_promise_is_kept_by_the_smallest_model() {
    let folder = Folder::new();
    let (calib, images) = (fixture("digits_calib.npz"), fixture("digits_test.npz"));
    let options = [&QUICK[..], &[&calib, "--judge", &images, "--max-drift", "0.2"]].concat();
    let (output, report) = prune(&folder, &fixture("digits_mlp"), "o.onnx", &options);
    let promise = &report["driven"]["promise"];
    let trials = promise["trials"].as_array().unwrap();
    let chosen = &trials[promise["chosen"].as_u64().unwrap() as usize];
    assert_eq!((&promise["promised"], &report["driven"]["held_out"]), (&"max-drift 0.2".into(), &32.into()));
    assert_eq!(report["after"]["macs"], chosen["macs"]);
    // It is what was measured, on samples that had no part in it, and of this very model.
    let found = drift(&output);
    assert!(found <= 0.2 && (found - number(&chosen["drift"])).abs() < 1e-5, "{found}: {chosen}");
    for trial in trials.iter().filter(|t| number(&t["macs"]) < number(&chosen["macs"])) {
        assert!(number(&trial["drift"]) > 0.2, "{trial}");
    }
    assert!(
        trials.iter().any(|t| number(&t["drift"]) > 0.2) && report["plan"]["budget"].as_str().unwrap().contains("macs")
    );
}

#[test]
fn a_promise_by_labels() {
    let folder = Folder::new();
    let (calib, images) = (fixture("digits_calib.npz"), fixture("digits_test.npz"));
    let options = [&QUICK[..], &[&calib, "--judge", &images, "--labels", &images, "--max-drop", "4%"]].concat();
    let (_, report) = prune(&folder, &fixture("digits_mlp"), "o.onnx", &options);
    let promise = &report["driven"]["promise"];
    let metric = &promise["trials"][promise["chosen"].as_u64().unwrap() as usize]["metric"];
    assert_eq!(metric["name"], "accuracy");
    let drop = number(&metric["before"]) - number(&metric["after"]);
    assert!(drop <= 0.04 && (drop - number(&metric["drop"])).abs() < 1e-9, "{metric}");
    assert!(number(&report["after"]["macs"]) < 0.6 * number(&report["before"]["macs"]));
}

#[test]
fn a_promise_that_the_gentlest_cut_breaks() {
    let folder = Folder::new();
    let (input, output, calib) = (fixture("digits_mlp"), folder.path("o.onnx"), fixture("digits_calib.npz"));
    // The net has units that do nothing; lots fall on others too.
    let args = ["prune", &input, "-o", &output, "--max-drift", "0.000001", "--criterion", "random", "--no-verify"];
    let ended = secateur(&[&args[..], &QUICK, &[&calib]].concat()).code(3);
    let said = text(&ended.get_output().stderr);
    assert!(said.contains("even the gentlest cut breaks max-drift 0.000001: with macs 99"), "{said}");
    assert!(read(output) == read(input));
}

#[test]
fn a_search_is_no_worse_and_gives_the_same_again() {
    let folder = Folder::new();
    let (input, calib) = (fixture("digits_mlp"), fixture("digits_calib.npz"));
    let options = [&["--macs", "40%", "--search", "5"], &QUICK[..], &[&calib]].concat();
    let (output, report) = prune(&folder, &input, "o.onnx", &options);
    let search = &report["driven"]["search"];
    let trials = search["trials"].as_array().unwrap();
    assert_eq!((trials.len(), &report["driven"]["held_out"]), (6, &8.into()));
    let (best, from, to) = (search["best"].as_u64().unwrap() as usize, number(&search["from"]), number(&search["to"]));
    assert!(to <= from && trials.iter().all(|t| number(&t["drift"]) >= to), "{search}");
    assert_eq!((number(&trials[0]["drift"]), number(&trials[best]["drift"])), (from, to));
    assert!(trials.iter().all(|t| number(&t["macs"]) <= 0.4 * number(&report["before"]["macs"])));
    // `plan` searches too, finds the same, and says so beside the plan.
    let planned = secateur(&[&["plan", &input], &options[..]].concat()).code(0);
    let plan: Value = serde_json::from_slice(&planned.get_output().stdout).unwrap();
    assert_eq!(plan, report["plan"]);
    assert!(text(&planned.get_output().stderr).contains("search (5 trials, 8 samples held out)"));
    let other = [&options[..], &["--seed", "1"]].concat();
    assert!(read(prune(&folder, &input, "other.onnx", &other).0) != read(output));
}

#[test]
fn what_can_not_be_tried() {
    let folder = Folder::new();
    let (input, output, calib) = (fixture("digits_mlp"), folder.path("o.onnx"), fixture("digits_calib.npz"));
    let fails = |code: i32, words: &[&str], more: &[&str]| {
        fails(&folder, code, words, &[&["prune", &input, "-o", &output], more].concat());
    };
    fails(2, &["no samples to judge by", "--calib"], &["--max-drift", "0.1"]);
    fails(2, &["nothing to spread", "--macs"], &["--search", "2", "--calib", &calib]);
    fails(2, &["no labels", "--max-drift"], &["--max-drop", "1%", "--calib", &calib]);
    fails(2, &["not a number above 0"], &["--max-drift", "0", "--calib", &calib]);
    fails(2, &["cannot be used with"], &["--max-drift", "0.1", "--macs", "50%", "--calib", &calib]);
    fails(2, &["cannot be used with"], &["--max-drift", "0.1", "--layers", "1", "--calib", &calib]);
    fails(1, &["one in four is held out"], &["--max-drift", "0.1", "--calib", &calib, "--samples", "3"]);
    fails(1, &["no array \"labels\""], &["--max-drop", "1%", "--calib", &calib, "--labels", &calib]);
}
