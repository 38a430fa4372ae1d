//! Widths that pay: what a target makes of the numbers of units that stay.

use crate::{Folder, fixture, json, load, prune, read, secateur, text};
use serde_json::Value;

/// The groups that were cut, each with its units before and after.
fn widths(report: &Value) -> Vec<(u64, u64)> {
    let groups = report["groups"].as_array().unwrap().iter();
    groups.map(|g| (g["before"].as_u64().unwrap(), g["after"].as_u64().unwrap())).collect()
}

fn macs(report: &Value) -> f64 {
    report["after"]["macs"].as_f64().unwrap() / report["before"]["macs"].as_f64().unwrap()
}

#[test]
fn budgets_are_met_in_blocks_of_the_target() {
    let folder = Folder::new();
    for (target, block) in [("cpu-avx512", 16), ("cpu-avx2", 8), ("tensorrt", 8)] {
        let options = ["--macs", "50%", "--criterion", "l2", "--no-compensate", "--target", target];
        let (_, report) = prune(&folder, &fixture("digits_vgg"), "o.onnx", &options);
        assert!((0.3..=0.5).contains(&macs(&report)), "{target}: {}", macs(&report));
        for (before, after) in widths(&report) {
            assert!(before <= block || after % block == 0, "{target}: {before} → {after}");
        }
    }
}

#[test]
fn a_budget_that_no_block_meets_is_met_all_the_same() {
    let folder = Folder::new();
    let options = ["--macs", "4%", "--criterion", "l2", "--no-compensate", "--target", "npu32"];
    let (_, report) = prune(&folder, &fixture("digits_vgg"), "o.onnx", &options);
    assert!(macs(&report) <= 0.04, "{}", macs(&report));
}

#[test]
fn the_target_is_told_and_makes_the_same_everywhere() {
    let folder = Folder::new();
    let options = ["--ratio", "0.5", "--criterion", "l2", "--no-compensate", "--round-to", "auto"];
    let (here, report) = prune(&folder, &fixture("digits_vgg"), "here.onnx", &options);
    let recorded = report["plan"]["options"].as_str().unwrap();
    assert!(recorded.ends_with("--round-to=auto --target=tract"), "{recorded}");
    assert!(load(&here).metadata.contains(&("secateur.target".into(), "tract".into())));
    let named = [&options[..5], &["--target", "tract"]].concat();
    let (there, again) = prune(&folder, &fixture("digits_vgg"), "there.onnx", &named);
    assert_eq!(report["plan"]["cuts"], again["plan"]["cuts"]);
    assert!(read(here) == read(there));
    assert_eq!(json(&["doctor", "--json", "--runtime", "tract"], 0)["target"], "tract");
    // Rounded strictly, nothing is for a target.
    let (strict, report) = prune(&folder, &fixture("digits_vgg"), "strict.onnx", &["--ratio", "0.5"]);
    assert!(widths(&report).iter().all(|(before, after)| after * 2 == *before));
    assert!(load(strict).metadata.iter().all(|(key, _)| key != "secateur.target"));
}

#[test]
fn targets_that_make_no_sense() {
    let says = |options: &[&str]| {
        let input = fixture("digits_vgg");
        let args = [&["prune", &input, "-o", "never.onnx"], options].concat();
        text(&secateur(&args).code(2).get_output().stderr)
    };
    assert!(says(&["--target", "cpu"]).contains("there is no target `cpu`; there are cpu-avx512, "));
    assert!(says(&["--target", "tract", "--round-to", "8"]).contains("--target tract is about --round-to auto"));
    assert!(says(&["--target", "tract", "--latency", "50%"]).contains("--target tract is of no use"));
    assert!(says(&["--round-to", "none"]).contains("it is neither `auto` nor a number"));
}

#[test]
fn a_build_is_made_again_for_another_target() {
    let folder = Folder::new();
    std::fs::copy(fixture("digits_mlp"), folder.path("in.onnx")).unwrap();
    let (file, lock) = (folder.path("secateur.toml"), folder.path("s.lock.json"));
    let model = "input = 'in.onnx'\noutput = 's.onnx'\nmacs = 0.5\n";
    let build = |more: &str| {
        std::fs::write(&file, format!("{model}{more}")).unwrap();
        let rows = json(&["build", "--file", &file, "--json"], 0);
        rows[0]["why"].as_str().unwrap_or_default().to_owned()
    };
    let target = || serde_json::from_slice::<Value>(&read(&lock)).unwrap()["target"].clone();
    build("");
    assert_eq!(target(), "tract");
    let other = String::from_utf8(read(&lock)).unwrap().replace("\"target\": \"tract\"", "\"target\": \"cpu-avx2\"");
    std::fs::write(&lock, other).unwrap();
    assert_eq!(build(""), "its widths are for cpu-avx2");
    // One that is pinned is an option like others.
    assert_eq!(build("target = 'cpu-avx2'\n"), "its options changed");
    assert_eq!(target(), "cpu-avx2");
    assert_eq!(build("target = 'cpu-avx2'\n"), "");
}
