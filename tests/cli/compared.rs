//! What is there to look at: `diff`, the charts of `print`, the page of a report.

use crate::{Folder, NETS, ODD, fixture, json, prune, read, secateur, stdout, text};
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

#[test]
fn the_page_tells_what_the_report_tells() {
    let folder = Folder::new();
    let (page, report) = (folder.path("report.html"), folder.path("report.json"));
    let (out, net) = (folder.path("small.onnx"), fixture("digits_mlp"));
    secateur(&["prune", &net, "-o", &out, "--html", &page, "--report", &report, "--repeats", "3"]).success();
    let (page, report) = (text(&read(page)), read(report));
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"), "{}", page.len());
    for part in ["✓ holds", "digits_mlp.onnx", "id=\"latency\"", "id=\"pins\""] {
        assert!(page.contains(part), "{part}");
    }
    for group in report["groups"].as_array().unwrap() {
        let units = format!("{} → {}</td>", group["before"], group["after"]);
        assert!(page.contains(&units), "{units}");
    }
    // Calls are told with what they cost; together they are the whole.
    let sum = |side: &str| {
        report["calls"].as_array().unwrap().iter().map(|c| c[side]["macs"].as_u64().unwrap_or(0)).sum::<u64>()
    };
    assert_eq!(sum("before"), report["before"]["macs"].as_u64().unwrap());
    assert_eq!(sum("after"), report["after"]["macs"].as_u64().unwrap());
    assert_eq!(folder.files().len(), 3);
    secateur(&["prune", &net, "-o", &out, "--html", &out]).code(2);
    secateur(&["prune", &net, "-o", &out, "--html", &folder.path("no/such.html")]).code(1);
}

#[test]
fn stderr_says_as_much_as_is_asked_for() {
    let folder = Folder::new();
    let (out, net) = (folder.path("small.onnx"), fixture("odd/concat_split"));
    let stderr = |more: &[&str], code| {
        let args = [&["prune", &net, "-o", &out, "--no-verify"], more].concat();
        text(&secateur(&args).code(code).get_output().stderr)
    };
    assert_eq!(stderr(&[], 0), "");
    let told = stderr(&["-v"], 0);
    assert!(told.contains("stage=\"plan\"") && !told.contains("fold-shapes"), "{told}");
    assert!(stderr(&["-vv"], 0).contains("fold-shapes"));
    // Nothing to prune is said, unless silence is asked for; a failure is said always.
    assert!(stderr(&["--max-ratio", "0", "--macs", "100%"], 3).contains("nothing to prune"));
    assert_eq!(stderr(&["--max-ratio", "0", "--macs", "100%", "--quiet"], 3), "");
    assert!(stderr(&["--macs", "1%", "-q"], 1).starts_with("error: a budget"));
    for line in stderr(&["--macs", "1%", "-v", "--log-format", "json"], 1).lines() {
        let object: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(object["level"].is_string() && object["message"].is_string(), "{line}");
    }
    stderr(&["-q", "-v"], 2);
}
