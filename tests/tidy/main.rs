//! The architecture's invariants, kept by a test: who may know what, and which module stands on which floor. What lints
//! can say stands in `Cargo.toml`.

mod code;
mod families;
mod floors;

use code::{File, Named};
use std::path::Path;

/// Fails with every place outside `allowed` that `what` finds in a file.
fn only(allowed: &[&str], what: impl Fn(&File) -> Vec<Named>) {
    let files = code::files();
    let others = files.iter().filter(|f| !allowed.iter().any(|a| f.path.starts_with(a)));
    let place = |f: &File, n: &Named| format!("{}:{} {}", f.path, n.line, n.segments.join("::"));
    let guilty: Vec<String> =
        others.flat_map(|f| what(f).iter().map(|n| place(f, n)).collect::<Vec<String>>()).collect();
    assert!(guilty.is_empty(), "only {allowed:?} may name these:\n{}", guilty.join("\n"));
}

/// Paths that begin in one of these ways, segment by segment.
fn paths<'a>(starts: &'a [&'a [&'a str]]) -> impl Fn(&File) -> Vec<Named> + 'a {
    |file| {
        let is_one = |n: &&Named| {
            starts.iter().any(|s| n.segments.iter().map(String::as_str).take(s.len()).eq(s.iter().copied()))
        };
        file.paths.iter().filter(is_one).cloned().collect()
    }
}

#[test]
fn only_load_and_save_know_the_protobuf() {
    only(&["src/model/load", "src/model/save", "src/model/proto.rs"], paths(&[&["crate", "proto"]]));
}

#[test]
fn only_the_oracle_knows_runtimes() {
    only(&["src/run/oracle"], paths(&[&["tract_onnx"], &["tract_core"], &["tract_linalg"], &["ort"]]));
}

#[test]
fn only_autograd_knows_the_engine() {
    only(&["src/run/autograd"], paths(&[&["burn_autodiff"], &["burn_backend"], &["burn_flex"], &["burn_cuda"]]));
}

#[test]
fn only_the_command_line_knows_clap() {
    let starts: &[&[&str]] = &[&["clap"], &["clap_complete"], &["clap_mangen"], &["comfy_table"]];
    only(&["src/cli"], paths(starts));
}

#[test]
fn only_the_command_line_shows_progress() {
    only(&["src/cli"], paths(&[&["indicatif"], &["tracing_subscriber"]]));
}

#[test]
fn nothing_but_the_rules_knows_operators() {
    let names = secateur::ops::known();
    // A pass that is about an operator may name it; run-time shape arithmetic, subsets, sums, reshapes and transpositions
    // are written as nodes.
    let written = ["absorb", "island", "materialize", "merge_reshapes", "merge_transposes", "subset"];
    let written: Vec<String> = written.iter().map(|name| format!("passes/{name}.rs")).collect();
    let boundary = [
        "src/model/ops",
        "src/model/load",
        "src/model/save",
        "src/run/oracle",
        "passes/fold",
        "src/compress/repair/bias.rs",
    ];
    let boundary: Vec<&str> = boundary.into_iter().chain(written.iter().map(String::as_str)).collect();
    only(&boundary, |file| file.literals.iter().filter(|n| names.contains(&n.segments[0].as_str())).cloned().collect());
}

#[test]
fn files_stay_readable() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut folders, mut long) = (vec![root.join("src"), root.join("passes")], vec![]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let lines = std::fs::read_to_string(&path).expect("a text").lines().count();
                long.extend((lines > 520).then(|| format!("{}: {lines} lines", path.display())));
            }
        }
    }
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn nothing_is_left_undone() {
    let left = |f: &File| f.text.contains("FIXME") || f.text.contains("XXX");
    let left: Vec<String> = code::files().iter().filter(|f| left(f)).map(|f| f.path.clone()).collect();
    assert!(left.is_empty(), "{left:#?}");
}
