//! Budgets are met, options are obeyed, and the same command gives the same bytes.

use crate::{Folder, fixture, json, left, load, prune, read};
use secateur::analysis::cost;
use secateur::plan::Criterion;
use secateur::plan::{self, Budget, Plan};
use serde_json::Value;

fn share(report: &Value, key: &str) -> f64 {
    report["after"][key].as_f64().unwrap() / report["before"][key].as_f64().unwrap()
}

#[test]
fn budgets_over_the_whole_model() {
    let folder = Folder::new();
    for net in ["digits_resnet", "digits_mobilenet", "digits_densenet", "digits_shuffle", "digits_vgg", "digits_mlp"] {
        for (option, key) in [("--macs", "macs"), ("--params", "params"), ("--size", "bytes")] {
            let (_, report) = prune(&folder, &fixture(net), "o.onnx", &[option, "50%"]);
            let left = share(&report, key);
            // What simplification saves comes on top of the budget.
            assert!((0.44..=0.5).contains(&left), "{net} {option}: {left}");
        }
    }
}

#[test]
fn the_ratio_is_what_every_group_loses() {
    let folder = Folder::new();
    for (ratio, keep) in [("0.25", 0.75), ("50%", 0.5), ("0.9", 0.1)] {
        let (_, report) = prune(&folder, &fixture("digits_resnet"), "o.onnx", &["--ratio", ratio]);
        for group in report["groups"].as_array().unwrap() {
            let wanted = (group["before"].as_f64().unwrap() * keep - 1e-9).ceil();
            assert_eq!(group["after"].as_f64(), Some(wanted), "{ratio}: {group}");
        }
    }
    // Nothing is emptied, whatever is asked.
    let (_, report) = prune(&folder, &fixture("digits_resnet"), "o.onnx", &["--ratio", "1"]);
    assert!(left(&report).iter().all(|&n| n == 1));
}

#[test]
fn axes_stay_multiples_and_long_enough() {
    let folder = Folder::new();
    for net in ["digits_resnet", "digits_vgg", "digits_mlp"] {
        for budget in [["--ratio", "0.45"], ["--macs", "60%"]] {
            let options = [&budget[..], &["--round-to", "8"]].concat();
            let (output, report) = prune(&folder, &fixture(net), "o.onnx", &options);
            assert!(left(&report).iter().all(|n| n % 8 == 0), "{net}: {:?}", left(&report));
            let model = load(output);
            let weights = model.graph.constants().into_iter().filter_map(|n| model.graph.constant(n));
            for c in weights.filter(|c| c.tensor.shape.len() == 4) {
                assert!(c.tensor.shape[0] % 8 == 0, "{net}: {} {:?}", c.name, c.tensor.shape);
            }
        }
    }
    let (_, report) = prune(&folder, &fixture("digits_vgg"), "o.onnx", &["--ratio", "0.9", "--min-keep", "7"]);
    assert!(left(&report).iter().min() == Some(&7), "{:?}", left(&report));
}

#[test]
fn names_choose_groups() {
    let folder = Folder::new();
    let input = fixture("digits_vgg");
    let groups = json(&["groups", &input, "--json"], 0);
    let (label, place) = (groups[0]["group"].as_str().unwrap(), groups[0]["where"][0].as_str().unwrap());
    let tensor = &place[..place.rfind('[').unwrap()];
    let labels = |report: &Value| -> Vec<String> {
        report["groups"].as_array().unwrap().iter().map(|g| g["label"].as_str().unwrap().to_owned()).collect()
    };
    let (_, only) = prune(&folder, &input, "o.onnx", &["--include", tensor]);
    assert!(labels(&only).contains(&label.to_owned()) && labels(&only).len() < groups.as_array().unwrap().len());
    let (_, without) = prune(&folder, &input, "o.onnx", &["--exclude", tensor]);
    assert!(!labels(&without).contains(&label.to_owned()) && !labels(&without).is_empty());
    // All but what is left out.
    let (output, none) = (folder.path("none.onnx"), ["--exclude", "*", "--no-verify"]);
    crate::secateur(&[&["prune", &input, "-o", &output], &none[..]].concat()).code(3);
    assert!(read(output) == read(input));
}

#[test]
fn the_same_command_gives_the_same_bytes() {
    let folder = Folder::new();
    let input = fixture("digits_shuffle");
    let bytes = |options: &[&str]| read(prune(&folder, &input, "o.onnx", options).0);
    // The metadata say which options were given.
    let bare = |bytes: &[u8]| {
        let mut model = secateur::onnx::from_bytes(bytes.to_vec().into(), None).unwrap();
        model.metadata.retain(|(key, _)| key != "secateur.options");
        secateur::onnx::to_bytes(&model).unwrap()
    };
    let mut seen = vec![];
    for options in [
        &["--criterion", "l1"][..],
        &["--criterion", "l2"],
        &["--criterion", "random"],
        &["--criterion", "random", "--seed", "1"],
        &["--macs", "40%", "--criterion", "random", "--seed", "1"],
    ] {
        let once = bytes(options);
        assert!(once == bytes(options), "{options:?}");
        assert!(!seen.contains(&bare(&once)), "{options:?} made no difference");
        seen.push(bare(&once));
    }
    assert!(bare(&bytes(&[])) == bare(&bytes(&["--criterion", "lamp", "--ratio", "50%"])));
}

#[test]
fn batch_norm_is_kept_on_request() {
    let folder = Folder::new();
    let count = |path: &str| {
        let rows = json(&["inspect", path, "--json"], 0);
        let row = rows["operators"].as_array().unwrap().iter().find(|r| r["op"] == "BatchNormalization").cloned();
        row.map_or(0, |r| r["nodes"].as_u64().unwrap())
    };
    let input = fixture("digits_resnet");
    assert!(count(&input) > 0);
    assert_eq!(count(&prune(&folder, &input, "kept.onnx", &["--keep-bn"]).0), count(&input));
    assert_eq!(count(&prune(&folder, &input, "folded.onnx", &[]).0), 0);
}

#[test]
fn the_output_says_how_it_was_made() {
    let folder = Folder::new();
    let (output, report) = prune(&folder, &fixture("digits_mlp"), "o.onnx", &["--ratio", "0.25"]);
    let metadata = load(&output).metadata;
    let get = |key: &str| metadata.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone()).unwrap();
    assert_eq!(get("secateur.version"), env!("CARGO_PKG_VERSION"));
    let plan: secateur::plan::Plan = serde_json::from_value(report["plan"].clone()).unwrap();
    assert_eq!(get("secateur.plan"), plan.hash().unwrap());
    let passes = secateur::job::registry().parse(&get("secateur.passes")).unwrap();
    assert!(passes.to_string().contains("ratio=0.25"), "{passes}");
    assert_eq!(get("secateur.input").len(), 16);
    assert_eq!(plan.options, "--fast --ratio=0.25 --round-to=1");
    assert!(metadata.iter().all(|(key, value)| key != "secateur.options" && !value.is_empty()), "{metadata:?}");
    // Pruned again, it tells of the second time only.
    let (again, _) = prune(&folder, &output, "again.onnx", &[]);
    assert_eq!(load(again).metadata.len(), metadata.len());
}

#[test]
fn the_peak_of_memory_is_a_budget() {
    let folder = Folder::new();
    for net in ["digits_vgg", "digits_resnet"] {
        let (_, report) = prune(&folder, &fixture(net), "o.onnx", &["--peak-memory", "60%"]);
        let left = share(&report, "peak");
        assert!((0.4..=0.6).contains(&left), "{net}: {left}");
        // What is not alive at the peak stays.
        let (_, all) = prune(&folder, &fixture(net), "o.onnx", &["--macs", "60%"]);
        assert!(share(&report, "params") > share(&all, "params"), "{net}");
        let inspected = json(&["inspect", &fixture(net), "--json"], 0);
        assert_eq!(inspected["total"]["peak"], report["before"]["peak"]);
        let most = inspected["layers"].as_array().unwrap().iter().map(|l| l["peak"].as_u64().unwrap()).max();
        assert_eq!(inspected["total"]["peak"].as_u64(), most);
    }
}

#[test]
fn budgets_are_filled_up() {
    let analysis = secateur::prune::prepare(&load(fixture("digits_shuffle"))).unwrap();
    for (share, multiple) in [(0.3, 1), (0.5, 1), (0.7, 4)] {
        let l2 = Criterion::named("l2").unwrap();
        let mut options = plan::Options::new(Budget::macs(share), l2);
        options.round.multiple = multiple;
        let macs = |plan: &Plan| {
            let keep = plan.keep_sets(&analysis).unwrap();
            let facts = cost::predict(&analysis.model.graph, &analysis.axes, &analysis.facts, &keep);
            cost::sums(&analysis.model, &facts, &options.open).macs as f64
        };
        let plan = plan::choose(&analysis, &options).unwrap();
        let whole = cost::cost(&analysis.model, &analysis.facts, &options.open).macs as f64;
        assert!(macs(&plan) <= share * whole);
        // No unit that went would fit.
        for at in 0..plan.cuts.len() {
            let mut more = plan.clone();
            let removed = &mut more.cuts[at].remove;
            removed.truncate(removed.len().saturating_sub(multiple));
            assert!(macs(&more) > share * whole, "{share}: {} has one more", more.cuts[at].group);
        }
    }
}

#[test]
fn what_the_output_says_is_the_same_everywhere() {
    let (here, there) = (Folder::new(), Folder::new());
    let make = |folder: &Folder| {
        let (input, samples) = (folder.path("in.onnx"), folder.path("samples.npz"));
        std::fs::copy(fixture("digits_mlp"), &input).unwrap();
        std::fs::copy(fixture("digits_calib.npz"), &samples).unwrap();
        let options = ["--macs", "50%", "--calib", &samples, "--samples", "8", "--exclude", "{7.weight,a b}"];
        let (output, report) = prune(folder, &input, "o.onnx", &[&options[..], &["--passes", "dce,fold-bn"]].concat());
        let chosen = report["plan"]["options"].as_str().unwrap().to_owned();
        (crate::read(output), chosen)
    };
    let (bytes, chosen) = make(&here);
    assert!(make(&there) == (bytes, chosen.clone()));
    let metadata = load(here.path("o.onnx")).metadata;
    let options = &metadata.iter().find(|(k, _)| k == "secateur.options").unwrap().1;
    let samples = secateur::build::content::hash(fixture("digits_calib.npz").as_ref()).unwrap();
    let expected = format!("--calib=xxh3:{samples} --passes=dce,fold-bn --samples=8");
    assert_eq!(*options, expected);
    assert!(chosen.ends_with(" --exclude='{7.weight,a b}' --macs=50% --round-to=1 --samples=8"), "{chosen}");
    let model = secateur::build::content::hash(fixture("digits_mlp").as_ref()).unwrap();
    assert!(metadata.contains(&("secateur.input".into(), model)), "{metadata:?}");
}
