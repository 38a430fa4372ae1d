//! The architecture's invariants, kept by a test: who may know what.

use std::path::{Path, PathBuf};

/// Every Rust file of the crate, with its path from the root and its text up to its unit tests.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![];
    for folder in ["src", "passes"] {
        walk(&root.join(folder), &mut files);
    }
    let relative = |p: &Path| p.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
    files.sort();
    files.iter().map(|p| (relative(p), std::fs::read_to_string(p).unwrap())).collect()
}

fn walk(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => walk(&path, out),
            false if path.extension().is_some_and(|e| e == "rs") => out.push(path),
            false => {}
        }
    }
}

/// The code of a file: without its unit tests and comments.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    text.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn is_test(path: &str) -> bool {
    path.contains("test")
}

/// Fails with every file outside `allowed` whose code has one of `words`.
fn only(words: &[&str], allowed: &[&str]) {
    let guilty: Vec<String> = sources()
        .into_iter()
        .filter(|(path, _)| !allowed.iter().any(|a| path.starts_with(a)) && !is_test(path))
        .filter(|(_, text)| words.iter().any(|w| code(text).contains(w)))
        .map(|(path, _)| path)
        .collect();
    assert!(guilty.is_empty(), "{words:?} stand in {guilty:?}; only {allowed:?} may have them");
}

#[test]
fn only_load_and_save_know_the_protobuf() {
    only(&["crate::proto", "super::proto"], &["src/load", "src/save"]);
}

#[test]
fn only_the_oracle_knows_runtimes() {
    only(&["tract_onnx", "tract_core", "tract_linalg", "use ort::"], &["src/oracle"]);
}

#[test]
fn only_autograd_knows_the_engine() {
    only(&["burn_autodiff", "burn_backend", "burn_flex", "burn_cuda"], &["src/autograd"]);
}

#[test]
fn only_the_command_line_talks() {
    only(&["println!", "eprintln!", "print!("], &["src/cli"]);
}

#[test]
fn only_the_command_line_knows_clap() {
    only(&["clap::", "comfy_table"], &["src/cli"]);
}

#[test]
fn only_the_command_line_shows_progress() {
    only(&["indicatif", "tracing_subscriber"], &["src/cli"]);
}

#[test]
fn nothing_but_the_rules_knows_operators() {
    let names: Vec<String> = secateur::ops::known().iter().map(|n| format!("\"{n}\"")).collect();
    let words: Vec<&str> = names.iter().map(String::as_str).collect();
    // A pass that is about an operator may name it; run-time shape arithmetic, subsets, sums, reshapes and transpositions
    // are written as nodes.
    let written = ["absorb", "bias", "island", "materialize", "merge_reshapes", "merge_transposes", "subset"];
    let written: Vec<String> = written.iter().map(|name| format!("passes/{name}.rs")).collect();
    let written = written.iter().map(String::as_str);
    let rim: Vec<&str> =
        ["src/ops", "src/load", "src/save", "src/oracle", "passes/fold"].into_iter().chain(written).collect();
    only(&words, &rim);
}

#[test]
fn files_stay_readable() {
    let long: Vec<String> = sources()
        .into_iter()
        .filter(|(_, text)| text.lines().count() > 520)
        .map(|(path, text)| format!("{path}: {} lines", text.lines().count()))
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn nothing_is_left_undone() {
    let words = ["todo!", "unimplemented!", "dbg!", "FIXME", "XXX"];
    only(&words, &[]);
}
