//! `diff`, and the charts of `print`.

use crate::{Folder, NETS, ODD, fixture, json, prune, secateur, stdout};
use predicates::prelude::*;

#[test]
fn every_fixture_is_the_same_as_itself() {
    for name in NETS.iter().chain(&ODD) {
        assert_eq!(stdout(&["diff", &fixture(name), &fixture(name)], 0), "", "{name}");
    }
}

#[test]
fn diff_tells_what_pruning_did() {
    let folder = Folder::new();
    let (small, _) = prune(&folder, &fixture("digits_mlp"), "small.onnx", &[]);
    let shown = stdout(&["diff", &fixture("digits_mlp"), &small], 1);
    for part in [
        "--- ",
        "+++ ",
        "  + secateur.plan: ",
        "  ~ Gemm `node_linear`\n",
        "  ~ 1.weight: f32[256,64] #",
        "→ f32[128,64] #",
    ] {
        assert!(shown.contains(part), "no {part:?} in\n{shown}");
    }
    let found = json(&["diff", &fixture("digits_mlp"), &small, "--json"], 1);
    assert_eq!(found["same"], false);
    let cut = |w: &&serde_json::Value| w["before"]["shape"] != w["after"]["shape"];
    assert_eq!(found["weights"].as_array().unwrap().iter().filter(cut).count(), 5);
    assert_eq!(json(&["diff", &small, &small, "--json"], 0)["same"], true);
}

#[test]
fn diff_can_leave_out_weights() {
    let folder = Folder::new();
    let net = fixture("digits_vgg");
    let cut = |name: &str, seed: &str| prune(&folder, &net, name, &["--criterion", "random", "--seed", seed]).0;
    let (a, b) = (cut("a.onnx", "1"), cut("b.onnx", "2"));
    let shapes = stdout(&["diff", &a, &b, "--no-weights"], 1);
    assert!(shapes.starts_with("---") && shapes.contains("metadata\n") && !shapes.contains("weights\n"), "{shapes}");
    assert!(stdout(&["diff", &a, &b], 1).contains("elements differ, by "));
}

#[test]
fn what_can_not_be_compared_ends_otherwise() {
    let missing = secateur(&["diff", &fixture("digits_mlp"), "no-such.onnx"]).code(2);
    missing.stderr(predicate::str::contains("no-such.onnx"));
    secateur(&["diff", &fixture("odd/not_onnx"), &fixture("digits_mlp")]).code(2);
}

#[test]
fn charts_have_every_call_and_no_constant() {
    let net = fixture("odd/concat_split");
    let mermaid = stdout(&["print", &net, "--mermaid"], 0);
    assert!(mermaid.starts_with("flowchart TD\n") && mermaid.contains("Concat<br/>n_joined"), "{mermaid}");
    assert!(mermaid.contains("c0:24+c3:8+c4:32"), "{mermaid}");
    let dot = stdout(&["print", &net, "--dot", "--plain"], 0);
    assert!(dot.starts_with("digraph ") && dot.ends_with("}\n") && !dot.contains("c0:"), "{dot}");
    let calls = json(&["inspect", &net, "--json"], 0)["total"]["nodes"].as_u64().unwrap() as usize;
    assert_eq!(dot.matches(" [label=").count() - dot.matches("shape=oval").count(), calls);
    secateur(&["print", &net, "--dot", "--mermaid"]).code(2);
}
