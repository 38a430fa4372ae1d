//! Build files: what is stale is made, what was made can be checked, and both by the binary.

use crate::{Folder, fixture, json, read, secateur, text};
use secateur::onnx;
use serde_json::Value;
use std::path::Path;

const FILE: &str = r#"
input = "in.onnx"
output = "out/small.onnx"
macs = "60%"
no_compensate = true
inputs = "samples.npz"
verify_samples = 1

[gates]
equivalence = true
max_size = "90%"
"#;

/// A folder with a build file, a model and samples.
fn project(file: &str) -> Folder {
    let folder = Folder::new();
    std::fs::write(folder.path("secateur.toml"), file).unwrap();
    std::fs::copy(fixture("digits_mlp"), folder.path("in.onnx")).unwrap();
    std::fs::copy(fixture("digits_calib.npz"), folder.path("samples.npz")).unwrap();
    folder
}

/// Runs a verb on the folder's build file.
fn run(folder: &Folder, verb: &str, options: &[&str], code: i32) -> Value {
    let file = folder.path("secateur.toml");
    json(&[&[verb, "--file", &file, "--json"], options].concat(), code)
}

fn state(rows: &Value) -> (&str, Option<&str>) {
    (rows[0]["state"].as_str().unwrap(), rows[0]["why"].as_str())
}

/// All files in the output folder and their bytes.
fn outputs(folder: &Folder) -> Vec<(String, Vec<u8>)> {
    let files = secateur::build::content::files(Path::new(&folder.path("out"))).unwrap();
    files.iter().map(|f| (f.file_name().unwrap().to_str().unwrap().to_owned(), read(f))).collect()
}

#[test]
fn what_is_stale_is_made_and_what_is_not_is_left() {
    let folder = project(FILE);
    assert_eq!(state(&run(&folder, "build", &["--dry-run"], 0)), ("stale", Some("it was never made")));
    assert!(!Path::new(&folder.path("out")).exists());
    let made = run(&folder, "build", &[], 0);
    assert_eq!(state(&made), ("made", Some("it was never made")));
    assert_eq!(made[0]["gates"].as_array().unwrap().len(), 2);
    let first = outputs(&folder);
    let names: Vec<&str> = first.iter().map(|(n, _)| n.as_str()).collect();
    assert_eq!(names, ["small.lock.json", "small.onnx", "small.plan.json", "small.report.html", "small.report.json"]);
    assert_eq!(state(&run(&folder, "build", &[], 0)), ("fresh", None));
    // The same again, byte for byte, the report too.
    assert_eq!(state(&run(&folder, "build", &["--force"], 0)), ("made", Some("forced")));
    assert!(outputs(&folder) == first);
    // A lock of another version is told from none.
    let (lock, own) = (folder.path("out/small.lock.json"), text(&first[0].1));
    std::fs::write(&lock, own.replace("\"version\": 1", "\"version\": 9")).unwrap();
    let unreadable = Some("its lock file is damaged, or of another version");
    assert_eq!(state(&run(&folder, "build", &["--dry-run"], 0)), ("stale", unreadable));
    run(&folder, "check", &[], 4);
    std::fs::write(&lock, own).unwrap();
    // By a new file, by new options, and by whatever happened to an output.
    std::fs::copy(fixture("digits_test.npz"), folder.path("samples.npz")).unwrap();
    assert_eq!(state(&run(&folder, "build", &["--dry-run"], 0)), ("stale", Some("samples.npz changed")));
    std::fs::copy(fixture("digits_calib.npz"), folder.path("samples.npz")).unwrap();
    assert_eq!(state(&run(&folder, "build", &["--dry-run"], 0)), ("fresh", None));
    std::fs::write(folder.path("out/small.plan.json"), "{}").unwrap();
    let stale = "small.plan.json is missing, or is not what was written";
    assert_eq!(state(&run(&folder, "build", &["--dry-run"], 0)), ("stale", Some(stale)));
    std::fs::write(folder.path("secateur.toml"), FILE.replace("60%", "50%")).unwrap();
    assert_eq!(state(&run(&folder, "build", &[], 0)), ("made", Some("its options changed")));
    assert!(outputs(&folder) != first);
}

#[test]
fn a_build_is_a_prune_with_these_options() {
    let folder = project(&format!("criterion = 'l2'\ncalib = 'samples.npz'\nsamples = 4\n{FILE}"));
    run(&folder, "build", &[], 0);
    run(&folder, "check", &[], 0);
    let (input, samples, output) = (folder.path("in.onnx"), folder.path("samples.npz"), folder.path("o.onnx"));
    let options = ["--macs", "60%", "--calib", &samples, "--samples", "4", "--criterion", "l2", "--round-to", "auto"];
    secateur(&[&["prune", &input, "-o", &output, "--no-verify", "--no-compensate"], &options[..]].concat()).code(0);
    assert!(read(folder.path("out/small.onnx")) == read(&output));
    // Nothing that was written knows where it was made.
    for (name, bytes) in outputs(&folder) {
        let place = folder.path("");
        assert!(!String::from_utf8_lossy(&bytes).contains(place.trim_end_matches('/')), "{name}");
    }
}

#[test]
fn what_misses_a_gate_replaces_nothing() {
    let folder = project(FILE);
    run(&folder, "build", &[], 0);
    let good = outputs(&folder);
    let (file, xml) = (folder.path("secateur.toml"), folder.path("gates.xml"));
    std::fs::write(&file, FILE.replace("90%", "10%")).unwrap();
    let args = ["build", "--file", &file, "--format", "github", "--junit", &xml];
    let shown = secateur(&args).code(4);
    let err = text(&shown.get_output().stderr);
    assert!(err.contains("small.onnx,title=secateur%3A max_size::max_size is "), "{err}");
    assert!(text(&shown.get_output().stdout).starts_with("failed in → "));
    assert!(text(&read(xml)).contains("<testsuite name=\"in\" tests=\"2\""));
    assert!(outputs(&folder) == good);
    // A gate of the command line is one more.
    std::fs::write(&file, FILE).unwrap();
    let more = run(&folder, "build", &["--gate", "max_nodes=1"], 4);
    assert_eq!(more[0]["gates"].as_array().unwrap().iter().filter(|g| g["met"] == false).count(), 1);
}

#[test]
fn check_finds_what_is_not_as_it_was() {
    let folder = project(FILE);
    assert_eq!(state(&run(&folder, "check", &[], 4)).0, "failed");
    run(&folder, "build", &[], 0);
    let made = outputs(&folder);
    let checked = run(&folder, "check", &[], 0);
    assert_eq!(state(&checked).0, "checked");
    assert_eq!(checked[0]["gates"][1]["name"], "equivalence");
    assert!(checked[0]["gates"].as_array().unwrap().iter().all(|g| g["met"] == true), "{checked}");
    assert!(outputs(&folder) == made);
    // A gate of the hour.
    assert_eq!(run(&folder, "check", &["--gate", "max_drift=1e-9"], 4)[0]["errors"], Value::Array(vec![]));
    // Another model in the place of the one that was made.
    std::fs::copy(fixture("digits_mlp"), folder.path("out/small.onnx")).unwrap();
    let errors = run(&folder, "check", &[], 4)[0]["errors"].to_string();
    assert!(errors.contains("small.onnx is missing, or is not what was written"), "{errors}");
}

#[test]
fn an_unrepaired_model_is_proved_as_it_lies_there() {
    let folder = project(FILE);
    run(&folder, "build", &[], 0);
    run(&folder, "check", &[], 0);
    // A weight that changes by accident is found by the proof, not by the hash alone.
    let path = folder.path("out/small.onnx");
    let mut bytes = read(&path);
    let middle = bytes.len() / 2;
    bytes[middle..middle + 400].iter_mut().for_each(|b| *b = 0x40);
    std::fs::write(&path, bytes).unwrap();
    let row = run(&folder, "check", &[], 4);
    let (errors, gates) = (row[0]["errors"].to_string(), &row[0]["gates"]);
    assert!(errors.contains("is not what was written") && errors.contains("does not compute"), "{errors}");
    assert!(gates.as_array().unwrap().iter().any(|g| g["name"] == "equivalence" && g["met"] == false), "{gates}");
}

#[test]
fn data_beside_the_model_is_an_input_and_an_output() {
    let folder = Folder::new();
    std::fs::copy(fixture("odd/external"), folder.path("external.onnx")).unwrap();
    let data = secateur::onnx::data_files(&onnx::load(fixture("odd/external").as_ref()).unwrap()).unwrap();
    for name in &data {
        std::fs::copy(fixture(&format!("odd/{name}")), folder.path(name)).unwrap();
    }
    std::fs::write(folder.path("secateur.toml"), "input = 'external.onnx'\noutput = 'out/s.onnx'\nfast = true")
        .unwrap();
    run(&folder, "build", &[], 0);
    let lock: Value = serde_json::from_slice(&read(folder.path("out/s.lock.json"))).unwrap();
    assert!(data.iter().all(|name| lock["inputs"][name].is_string()), "{lock}");
    assert!(lock["outputs"]["s.onnx.data"].is_string(), "{lock}");
    run(&folder, "check", &[], 0);
}

#[test]
fn profiles_are_built_apart_or_all_at_once() {
    let file = "output = 'out/{profile}.onnx'\ninput = 'in.onnx'\n[profile.a]\nratio = 0.25\n[profile.b]\nextends = 'a'\nround_to = 8";
    let folder = project(file);
    assert_eq!(run(&folder, "build", &["b"], 0).as_array().unwrap().len(), 1);
    let rows = run(&folder, "build", &[], 0);
    assert_eq!((&rows[0]["state"], &rows[1]["state"]), (&"made".into(), &"fresh".into()));
    let err = text(&secateur(&["build", "c", "--file", &folder.path("secateur.toml")]).code(2).get_output().stderr);
    assert!(err.contains("there is no profile `c`"), "{err}");
}

#[test]
fn what_can_not_be_built_says_why() {
    let folder = project(&FILE.replace("macs", "mcas"));
    let file = folder.path("secateur.toml");
    let err = text(&secateur(&["build", "--file", &file]).code(2).get_output().stderr);
    assert!(err.contains("secateur.toml:4:1: unknown key `mcas`; did you mean `macs`?"), "{err}");
    let none = text(&secateur(&["build", "--file", &folder.path("none.toml")]).code(1).get_output().stderr);
    assert!(none.contains("hint: write one"), "{none}");
    std::fs::write(&file, FILE.replace("in.onnx", "gone.onnx")).unwrap();
    assert_eq!(state(&run(&folder, "build", &[], 1)).0, "broken");
}

#[test]
fn the_committed_schema_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("secateur.schema.json");
    let committed: Value = serde_json::from_slice(&read(path)).unwrap();
    let again = "cargo run -- build --schema > secateur.schema.json";
    assert!(committed == secateur::build::schema(), "the definitions changed; run `{again}` and commit it");
}
