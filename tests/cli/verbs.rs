//! Every verb does what its help says.

use crate::{Folder, NETS, fixture, json, prune, secateur, stdout};
use predicates::prelude::*;

const VERBS: [&str; 20] = [
    "sweep",
    "prune",
    "build",
    "check",
    "plan",
    "apply",
    "verify",
    "eval",
    "bench",
    "diff",
    "profile",
    "inspect",
    "groups",
    "layers",
    "explain",
    "opt",
    "print",
    "criteria",
    "completions",
    "man",
];

#[test]
fn every_verb_has_help_with_an_example_and_json() {
    for verb in VERBS {
        let help = stdout(&[verb, "--help"], 0);
        assert!(help.contains("Example") && help.contains(&format!("secateur {verb}")), "{help}");
        assert!(help.contains("--json"), "{help}");
    }
    let all = stdout(&["--help"], 0);
    assert!(VERBS.iter().all(|v| all.contains(&format!("  {v} "))) && all.contains("Exit codes"), "{all}");
    assert!(stdout(&["--version"], 0).starts_with("secateur 0."));
}

#[test]
fn prune_tells_what_it_did() {
    let folder = Folder::new();
    let (output, report) = (folder.path("small.onnx"), folder.path("report.json"));
    let shown = stdout(&["prune", &fixture("digits_mlp"), "-o", &output, "--report", &report, "--repeats", "3"], 0);
    let parts =
        ["before", "left", "nodes", "parameters", "MACs", "file", "cut (", "not cut (3 groups)", "a model output"];
    let proof = ["masked equivalence holds", "drift of `logits`", "latency before", "times as fast", "time: load"];
    for part in parts.iter().chain(&proof) {
        assert!(shown.contains(part), "no {part:?} in\n{shown}");
    }
    let report: serde_json::Value = serde_json::from_slice(&crate::read(report)).unwrap();
    for key in
        ["before", "after", "layers", "groups", "pinned", "removed", "plan", "verification", "stages", "secateur"]
    {
        assert!(!report[key].is_null(), "{key}");
    }
    assert_eq!(report["verification"]["status"], "ran");
    assert_eq!(report["verification"]["equal"], true);
    assert_eq!(report["after"]["file"], crate::read(output).len());
    assert_eq!(folder.files().len(), 2);
}

#[test]
fn what_is_shown_fits_a_hundred_columns() {
    let folder = Folder::new();
    for net in ["digits_densenet", "digits_shuffle", "odd/opaque", "odd/everything", "odd/loop"] {
        let (input, output) = (fixture(net), folder.path("o.onnx"));
        let texts = [
            stdout(&["prune", &input, "-o", &output, "--no-verify"], 0),
            stdout(&["groups", &input, "--all"], 0),
            stdout(&["explain", &input], 0),
            stdout(&["explain", &input, "c0"], 0),
            stdout(&["inspect", &input, "--layers"], 0),
        ];
        // The first line of a summary has two paths, which may be as long as they like.
        for line in texts.iter().flat_map(|t| t.lines()).filter(|l| !l.contains(" → ")) {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }
}

#[test]
fn verify_compares_and_the_exit_code_tells() {
    let (a, b) = (fixture("digits_vgg"), fixture("digits_mlp"));
    let same = json(&["verify", &a, &fixture("digits_vgg_dynamo"), "--json"], 0);
    assert_eq!(same["equal"], true);
    let different = json(&["verify", &a, &b, "--samples", "2", "--json"], 4);
    assert_eq!(different["equal"], false);
    let images = fixture("digits_test.npz");
    let shown = secateur(&["verify", &b, &b, "--inputs", &images, "--samples", "1"]).code(0);
    shown.stdout(predicate::str::contains("equal within 1e-3, on 1 inputs"));
}

#[test]
fn bench_times_one_or_two() {
    let (a, b) = (fixture("digits_mlp"), fixture("digits_vgg"));
    let one = json(&["bench", &a, "--repeats", "2", "--json"], 0);
    assert!(one["before"]["median_ms"].as_f64().unwrap() > 0.0 && one["after"].is_null());
    let two = json(&["bench", &a, &b, "--repeats", "3", "--warm-up", "1", "--json"], 0);
    assert!(two["speedup"].as_f64().unwrap() > 0.0 && two["after"]["runs"] == 3);
    assert!(stdout(&["bench", &a, "--repeats", "2", "--dim", "batch=4"], 0).contains("half of 2 runs"));
}

#[test]
fn inspect_counts() {
    let input = fixture("digits_vgg");
    let found = json(&["inspect", &input, "--json"], 0);
    // 99178 floats stand in fixtures/README.md; running statistics are among them where BatchNorm is kept.
    assert_eq!(found["total"]["params"], 99178);
    let layers: u64 = found["layers"].as_array().unwrap().iter().map(|l| l["macs"].as_u64().unwrap()).sum();
    assert_eq!(found["total"]["macs"], layers);
    let eight = json(&["inspect", &input, "--json", "--dim", "batch=8"], 0);
    assert_eq!(eight["total"]["macs"], 8 * layers);
    assert!(stdout(&["inspect", &input], 0).contains("Conv"));
}

#[test]
fn groups_and_explain_agree() {
    let input = fixture("digits_vgg");
    let free = json(&["groups", &input, "--json"], 0);
    let all = json(&["groups", &input, "--all", "--json"], 0);
    assert!(free.as_array().unwrap().len() < all.as_array().unwrap().len());
    assert!(free.as_array().unwrap().iter().all(|g| g["state"] == "free"));
    let group = free[0]["group"].as_str().unwrap();
    let place = free[0]["where"][0].as_str().unwrap();
    let tensor = &place[..place.rfind('[').unwrap()];
    for name in [group, tensor] {
        let told = json(&["explain", &input, name, "--json"], 0).to_string();
        assert!(told.contains(&format!("{group}: ")) && told.contains("may go"), "{told}");
    }
    let pins = json(&["explain", &input, "--json"], 0);
    assert_eq!(pins[0]["why"], "`logits`: a model output");
}

#[test]
fn print_is_text_that_parses() {
    let out = stdout(&["print", &fixture("digits_mlp"), "--plain"], 0);
    let parsed = secateur::ir::parse(&out, &|_| None);
    assert!(parsed.is_ok(), "{:?}", parsed.err());
    let as_json = json(&["print", &fixture("digits_mlp"), "--plain", "--json"], 0);
    assert_eq!(as_json["text"], out);
    assert!(stdout(&["print", &fixture("digits_mlp")], 0).contains("c0"));
}

#[test]
fn opt_runs_a_pipeline() {
    let folder = Folder::new();
    let (input, output) = (fixture("digits_resnet"), folder.path("o.onnx"));
    let passes = "fix(drop-identity,dce),fold-bn";
    let steps = json(&["opt", &input, "-o", &output, "--passes", passes, "--verify-each", "--json"], 0);
    assert!(steps.as_array().unwrap().iter().any(|s| s["pass"] == "fold-bn" && s["changes"].as_u64().unwrap() > 0));
    secateur(&["verify", &input, &output, "--samples", "2"]).code(0);
    let times = ["opt", &input, "-o", &output, "--passes", passes, "--time-passes", "--bisect-limit", "1"];
    secateur(&times).code(0).stderr(predicate::str::contains("bisect"));
    assert!(stdout(&["opt", "--list"], 0).contains("fold-bn"));
    assert!(json(&["opt", "--list", "--json"], 0)[0]["name"].is_string());
}

#[test]
fn criteria_and_completions() {
    let names = json(&["criteria", "--json"], 0);
    let names: Vec<&str> = names.as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert!(["l1", "l2", "random"].iter().all(|n| names.contains(n)));
    assert!(stdout(&["criteria"], 0).contains("random"));
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(stdout(&["completions", shell], 0).contains("prune"));
    }
    assert!(json(&["completions", "bash", "--json"], 0)["script"].as_str().unwrap().contains("prune"));
}

#[test]
fn every_net_is_listed_and_cut_the_same_way() {
    let folder = Folder::new();
    for net in NETS {
        let rows = json(&["groups", &fixture(net), "--json"], 0);
        let (_, report) = prune(&folder, &fixture(net), "o.onnx", &[]);
        let free = |rows: &serde_json::Value, key: &str| -> Vec<String> {
            rows.as_array().unwrap().iter().map(|g| g[key].as_str().unwrap().to_owned()).collect()
        };
        let (free, cut) = (free(&rows, "group"), free(&report["groups"], "label"));
        assert!(cut.iter().all(|g| free.contains(g)), "{net}: {free:?} {cut:?}");
        // Where two labels share an axis (groups and their channels), the axis as a whole loses the ratio.
        assert!(cut.len() + 1 >= free.len(), "{net}: {free:?} {cut:?}");
    }
}

#[test]
#[cfg(unix)]
fn a_reader_that_goes_away_is_no_error() {
    use std::process::{Command, Stdio};
    let binary = crate::BINARY;
    for args in [vec!["print", "digits_densenet"], vec!["groups", "digits_densenet"], vec!["explain", "nothing"]] {
        let mut child = Command::new(binary)
            .args([args[0], &fixture(args[1])])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Nobody listens on either stream.
        drop(child.stdout.take());
        drop(child.stderr.take());
        let code = child.wait().unwrap().code();
        assert!(matches!(code, Some(0 | 1)), "{args:?}: {code:?}");
    }
}
