//! Quality constraints, searches, rounds, folds and families: what is tried before a model is made.

use crate::bad_input::fails;
use crate::{Folder, fixture, json, load, prune, read, secateur, stdout, text};
use secateur::feed::{self, Samples};
use secateur::verify;
use secateur::verify::Comparison;
use serde_json::Value;

/// Quick to choose by, and no repair, which takes its time in a debug build.
const QUICK: [&str; 4] = ["--samples", "40", "--no-compensate", "--calib"];

/// The drift of a model on the first 40 images for tests, counted without `secateur::drive`.
fn drift(model: &str) -> f64 {
    let (before, after) = (load(fixture("digits_mlp")), load(model));
    let how = feed::Options { limit: Some(40), ..feed::Options::default() };
    let specs = verify::input_specs(&before).unwrap();
    let samples = Samples::open(&fixture("digits_test.npz"), &specs, &how).unwrap();
    let feed = samples.feeds(40).next().unwrap().unwrap();
    let run = |model| verify::runner(model, verify::Role::Alone, &feed).unwrap().run(&feed).unwrap();
    let mut comparison = Comparison::default();
    comparison.add(&run(&before), &run(&after)).unwrap();
    comparison.finish().outputs[0].relative_l2
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn a_constraint_is_satisfied_by_the_smallest_model() {
    let folder = Folder::new();
    let (calib, images) = (fixture("digits_calib.npz"), fixture("digits_test.npz"));
    let options = [&QUICK[..], &[&calib, "--judge", &images, "--max-drift", "0.2"]].concat();
    let (output, report) = prune(&folder, &fixture("digits_mlp"), "o.onnx", &options);
    let constraint = &report["driven"]["promise"];
    let trials = constraint["trials"].as_array().unwrap();
    let chosen = &trials[constraint["chosen"].as_u64().unwrap() as usize];
    assert_eq!((&constraint["promised"], &report["driven"]["held_out"]), (&"max-drift 0.2".into(), &40.into()));
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
fn a_constraint_by_labels() {
    let folder = Folder::new();
    let (calib, images) = (fixture("digits_calib.npz"), fixture("digits_test.npz"));
    let options = [&QUICK[..], &[&calib, "--judge", &images, "--labels", &images, "--max-drop", "4%"]].concat();
    let (_, report) = prune(&folder, &fixture("digits_mlp"), "o.onnx", &options);
    let constraint = &report["driven"]["promise"];
    let metric = &constraint["trials"][constraint["chosen"].as_u64().unwrap() as usize]["metric"];
    assert_eq!(metric["name"], "accuracy");
    let drop = number(&metric["before"]) - number(&metric["after"]);
    assert!(drop <= 0.04 && (drop - number(&metric["drop"])).abs() < 1e-9, "{metric}");
    assert!(number(&report["after"]["macs"]) < 0.6 * number(&report["before"]["macs"]));
}

#[test]
fn a_constraint_that_the_mildest_cut_violates() {
    let folder = Folder::new();
    let (input, output, calib) = (fixture("digits_mlp"), folder.path("o.onnx"), fixture("digits_calib.npz"));
    // The net has units that do nothing; lots fall on others too.
    let args = ["prune", &input, "-o", &output, "--max-drift", "0.000001", "--criterion", "random", "--no-verify"];
    let ended = secateur(&[&args[..], &QUICK, &[&calib]].concat()).code(3);
    let said = text(&ended.get_output().stderr);
    assert!(said.contains("even the mildest cut violates max-drift 0.000001: with macs 99"), "{said}");
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
    assert_eq!((trials.len(), &report["driven"]["held_out"]), (6, &10.into()));
    let (best, from, to) = (search["best"].as_u64().unwrap() as usize, number(&search["from"]), number(&search["to"]));
    assert!(to <= from && trials.iter().all(|t| number(&t["drift"]) >= to), "{search}");
    assert_eq!((number(&trials[0]["drift"]), number(&trials[best]["drift"])), (from, to));
    assert!(trials.iter().all(|t| number(&t["macs"]) <= 0.4 * number(&report["before"]["macs"])));
    // `plan` searches too, finds the same, and says so beside the plan.
    let planned = secateur(&[&["plan", &input], &options[..]].concat()).code(0);
    let plan: Value = serde_json::from_slice(&planned.get_output().stdout).unwrap();
    assert_eq!(plan, report["plan"]);
    assert!(text(&planned.get_output().stderr).contains("search (5 trials, 10 held-out samples)"));
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
    fails(2, &["no samples to evaluate on", "--calib"], &["--max-drift", "0.1"]);
    fails(2, &["fixes the share of every group", "--macs"], &["--search", "2", "--calib", &calib]);
    fails(2, &["needs labels", "--max-drift"], &["--max-drop", "1%", "--calib", &calib]);
    fails(2, &["not a number above 0"], &["--max-drift", "0", "--calib", &calib]);
    fails(2, &["cannot be used with"], &["--max-drift", "0.1", "--macs", "50%", "--calib", &calib]);
    fails(2, &["cannot be used with"], &["--max-drift", "0.1", "--layers", "1", "--calib", &calib]);
    fails(2, &["cannot be used with"], &["--max-drift", "0.1", "--sparsity", "50%", "--calib", &calib]);
    fails(
        2,
        &["none of it is held out", "--judge"],
        &["--layers", "1", "--macs", "50%", "--search", "2", "--calib", &calib],
    );
    fails(1, &["one in four is held out"], &["--max-drift", "0.1", "--calib", &calib, "--samples", "3"]);
    fails(1, &["no array \"labels\""], &["--max-drop", "1%", "--calib", &calib, "--labels", &calib]);
}

#[test]
fn a_family_has_models_plans_a_table_and_a_curve() {
    let folder = Folder::new();
    let (net, dir, calib) = (fixture("digits_mlp"), folder.path("family"), fixture("digits_calib.npz"));
    let images = fixture("digits_test.npz");
    let args = ["sweep", &net, "-o", &dir, "--sizes", "25%,75%,1%", "--judge", &images, "--labels", &images];
    let family = json(&[&args[..], &["--repeats", "1", "--json"], &QUICK, &[&calib]].concat(), 0);
    let models = family["models"].as_array().unwrap();
    assert_eq!((models.len(), &family["beyond"]), (2, &serde_json::json!(["macs 1%"])));
    for (model, share) in models.iter().zip([0.75, 0.25]) {
        let macs = number(&model["macs"]) / number(&family["whole"]["macs"]);
        assert!((share - 0.02..=share).contains(&macs), "{model}");
        assert_eq!((&model["proved"], &model["metric"]["name"]), (&true.into(), &"accuracy".into()));
        assert!(number(&model["latency"]["speedup"]) > 0.0);
        // The plan is the one of this model, and what was measured is what it drifts.
        let at = |key: &str| folder.path(&format!("family/{}", model[key].as_str().unwrap()));
        assert!((drift(&at("model")) - number(&model["drift"])).abs() < 1e-5, "{model}");
        let again = folder.path("again.onnx");
        stdout(&["apply", &net, "--plan", &at("plan"), "-o", &again, "--no-verify"], 0);
        assert!(load(&again).metadata == load(at("model")).metadata);
    }
    assert_eq!(models[1]["model"], "digits_mlp-25.onnx");
    let written: Value = serde_json::from_slice(&read(folder.path("family/sweep.json"))).unwrap();
    assert_eq!(written, family);
    let drawn = text(&read(folder.path("family/sweep.svg")));
    assert!(drawn.contains("accuracy") && drawn.matches("<circle").count() == 3, "{drawn}");
    let few = [&["sweep", &net, "-o", &dir, "--points", "1", "--repeats", "0"], &QUICK[..], &[&calib]].concat();
    let shown = stdout(&few, 0);
    assert!(shown.contains("digits_mlp-50.onnx") && shown.contains("evaluated on 10 held-out samples"), "{shown}");
    secateur(&["sweep", &net, "-o", &dir]).code(2);
    let none = [&["sweep", &net, "-o", &dir, "--sizes", "1%"], &QUICK[..], &[&calib]].concat();
    secateur(&none).code(3);
}

#[test]
fn rounds_end_in_one_plan_for_the_original() {
    let folder = Folder::new();
    let calib = fixture("digits_calib.npz");
    for net in ["digits_mlp", "digits_shuffle"] {
        let (input, output) = (fixture(net), folder.path("o.onnx"));
        let options =
            ["--macs", "40%", "--criterion", "wanda", "--samples", "16", "--calib", &calib, "--no-compensate"];
        let once = prune(&folder, &input, "once.onnx", &options).1;
        let verified = ["--iterative", "3", "--repeats", "0", "--json"];
        let report = json(&[&["prune", &input, "-o", &output], &options[..], &verified].concat(), 0);
        // The proof covers the cut of all rounds.
        assert_eq!(report["verification"]["equal"], true);
        assert_eq!(report["plan"]["budget"], "macs 40%");
        let left = number(&report["after"]["macs"]) / number(&report["before"]["macs"]);
        assert!((0.37..=0.4).contains(&left), "{net}: {left}");
        assert!(report["plan"]["cuts"] != once["plan"]["cuts"], "{net}: measuring anew made no difference");
        let again = prune(&folder, &input, "again.onnx", &[&options[..], &["--iterative", "3"]].concat());
        assert!(read(again.0) == read(output), "{net}");
    }
}

#[test]
fn folds_tell_how_much_is_chance() {
    let folder = Folder::new();
    let images = fixture("digits_test.npz");
    let options = ["--macs", "50%", "--folds", "3", "--labels", &images, "--samples", "48", "--no-compensate"];
    let (_, report) = prune(&folder, &fixture("digits_mlp"), "o.onnx", &[&options[..], &["--calib", &images]].concat());
    let found = &report["driven"]["folds"];
    let folds = found["folds"].as_array().unwrap();
    assert!(folds.len() == 3 && folds.iter().all(|f| f["samples"] == 16), "{found}");
    let drifts: Vec<f64> = folds.iter().map(|f| number(&f["drift"])).collect();
    let names: Vec<&str> = found["spread"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["drift", "accuracy", "drop"]);
    assert!((number(&found["spread"][0]["mean"]) - drifts.iter().sum::<f64>() / 3.0).abs() < 1e-9);
    let agreement = number(&found["agreement"]);
    assert!(agreement > 0.3 && agreement < 1.0, "{agreement}");
}
