//! Gates: what keeps its bounds is written, what misses one is not, and the exit code tells.

use crate::{Folder, fixture, json, read, secateur, text};

const QUICK: [&str; 4] = ["--samples", "2", "--repeats", "0"];

#[test]
fn a_result_that_keeps_its_bounds_is_written() {
    let folder = Folder::new();
    let (input, output, junit) = (fixture("digits_mlp"), folder.path("o.onnx"), folder.path("gates.xml"));
    let gates = ["--gate", "equivalence=true", "--gate", "max_size=60%", "--gate", "max-nodes=100%"];
    let args = [&["prune", &input, "-o", &output, "--json", "--junit", &junit], &QUICK[..], &gates].concat();
    let report = json(&args, 0);
    let met: Vec<bool> = report["gates"].as_array().unwrap().iter().map(|g| g["met"].as_bool().unwrap()).collect();
    assert_eq!(met, [true; 3]);
    // The size that is judged before it is written is that of the file.
    assert_eq!(report["after"]["file"], read(&output).len());
    let xml = text(&read(junit));
    assert!(
        xml.contains("tests=\"3\"") && xml.contains("failures=\"0\"") && xml.contains("<testcase name=\"max_size\""),
        "{xml}"
    );
}

#[test]
fn one_that_misses_a_bound_is_not() {
    let folder = Folder::new();
    let (input, output, junit) = (fixture("digits_mlp"), folder.path("o.onnx"), folder.path("gates.xml"));
    let gates = ["--gate", "max_drift=0.1%", "--gate", "max_size=99%", "--gate", "min_accuracy=0.9"];
    let args = [&["prune", &input, "-o", &output, "--junit", &junit], &QUICK[..], &gates].concat();
    let shown = secateur(&args).code(4);
    let (out, err) = (text(&shown.get_output().stdout), text(&shown.get_output().stderr));
    let lines: Vec<&str> = err.lines().filter(|l| l.starts_with("gate missed")).collect();
    assert_eq!(lines.len(), 2, "{err}");
    assert!(lines[0].starts_with("gate missed: max_drift is 0.") && lines[0].ends_with("at most 0.001"), "{err}");
    assert!(lines[1].contains("min_accuracy was not measured: there are no labels"), "{err}");
    assert!(out.contains("(not written)") && out.contains("MISSED max_drift") && out.contains("ok max_size"), "{out}");
    assert_eq!(folder.files(), [std::path::PathBuf::from(&junit)]);
    assert!(text(&read(&junit)).contains("failures=\"2\""));
    let github = [&args[..], &["--format", "github"]].concat();
    let err = text(&secateur(&github).code(4).get_output().stderr);
    assert!(err.contains("::error file=") && err.contains("title=secateur%3A max_drift::max_drift is 0."), "{err}");
}

#[test]
fn verify_is_judged_by_the_bounds_alone() {
    let (a, b) = (fixture("digits_vgg"), fixture("digits_mlp"));
    secateur(&["verify", &a, &b, "--samples", "2"]).code(4);
    let kept = json(&["verify", &a, &b, "--samples", "2", "--gate", "max_drift=9", "--json"], 0);
    assert_eq!((&kept["equal"], &kept["gates"][0]["met"]), (&false.into(), &true.into()));
    let (images, labels) = (fixture("digits_test.npz"), ["--gate", "min_accuracy=98%", "--gate", "max_drop=0"]);
    let args = [&["verify", &b, &b, "--inputs", &images, "--labels", &images, "--samples", "1"], &labels[..]].concat();
    secateur(&args).code(0);
}

#[test]
fn a_gate_that_there_is_not_is_wrong_usage() {
    let err = text(&secateur(&["prune", "m", "-o", "o", "--gate", "max_drif=1"]).code(2).get_output().stderr);
    assert!(err.contains("there is no gate `max_drif`; there are max_drift"), "{err}");
    secateur(&["prune", "m", "-o", "o", "--gate", "max_drift=-1"]).code(2);
}
