//! The binary, as people and scripts use it: every verb, bad input, the main job on every fixture.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod accuracy;
mod bad_input;
mod branches;
mod budgets;
mod build;
mod compared;
mod criteria;
mod device;
mod equivalence;
mod eval;
mod gates;
mod hostile;
mod inexact;
mod layers;
mod lossless;
mod machine;
mod manual;
mod odd;
mod paths;
mod plans;
mod proof;
mod ready;
mod repair;
mod runtime;
mod search;
mod sizes;
mod small;
mod sound;
mod sparsity;
#[cfg(feature = "gradients")]
mod tune;
#[cfg(feature = "gradients")]
mod tune_more;
mod unchanged;
mod verbs;
mod widths;

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use secateur::ir::Model;
use serde_json::Value;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The trained nets.
const NETS: [&str; 7] = [
    "digits_densenet",
    "digits_mlp",
    "digits_mobilenet",
    "digits_resnet",
    "digits_shuffle",
    "digits_vgg",
    "digits_vgg_dynamo",
];

/// The hand-made models that can be loaded.
const ODD: [&str; 9] = [
    "odd/concat_split",
    "odd/everything",
    "odd/external",
    "odd/fp16",
    "odd/if_capture",
    "odd/int8_qdq",
    "odd/ir3",
    "odd/opaque",
    "odd/shared_bias",
];

/// The path of a file in `fixtures/`; of a model where the name has no extension.
fn fixture(name: &str) -> String {
    let name = if name.contains('.') { name.to_owned() } else { format!("{name}.onnx") };
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name).display().to_string()
}

fn load(path: impl AsRef<Path>) -> Model {
    let path = path.as_ref();
    secateur::onnx::load(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Where the binary is.
const BINARY: &str = env!("CARGO_BIN_EXE_secateur");

/// What makes results the same on every machine, whether or not ONNX Runtime is there.
const TRACT: (&str, &str) = ("SECATEUR_RUNTIME", "tract");

/// The binary, with models run in tract.
fn binary() -> Command {
    let mut command = Command::new(BINARY);
    command.env(TRACT.0, TRACT.1);
    command
}

/// Arguments with `--fast`, where nobody says which samples to choose by: to make some up and run models on them takes a
/// while in a build for tests.
fn by_weights<'a>(args: &[&'a str]) -> Vec<&'a str> {
    let says = |arg: &&str| ["--calib", "--made-up", "--fast"].iter().any(|name| arg.starts_with(name));
    let chooses = matches!(args.first(), Some(&("prune" | "plan" | "apply"))) && !args.iter().any(says);
    [args, if chooses { &["--fast"] } else { &[] }].concat()
}

/// Arguments with `--round-to 1`, where nobody says which widths pay: what a test looks at is seldom about them.
fn any_width<'a>(args: &[&'a str]) -> Vec<&'a str> {
    let says = |arg: &&str| ["--round-to", "--target"].iter().any(|name| arg.starts_with(name));
    let chooses = matches!(args.first(), Some(&("prune" | "plan"))) && !args.iter().any(says);
    [args, if chooses { &["--round-to", "1"] } else { &[] }].concat()
}

/// Runs the binary, and chooses [by weights](by_weights) and [any width](any_width). Whatever it was given, it does not panic.
fn secateur(args: &[&str]) -> Assert {
    let args = &any_width(&by_weights(args))[..];
    let cache = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
    let assert = binary().args(args).env("SECATEUR_CACHE", cache).assert();
    let stderr = text(&assert.get_output().stderr);
    assert!(!stderr.contains("panicked"), "{args:?}: {stderr}");
    assert
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// What the binary wrote to stdout, when it ends with this code.
fn stdout(args: &[&str], code: i32) -> String {
    text(&secateur(args).code(code).get_output().stdout)
}

/// The same as JSON.
fn json(args: &[&str], code: i32) -> Value {
    let out = stdout(args, code);
    serde_json::from_str(&out).unwrap_or_else(|e| panic!("{args:?}: {e}\n{out}"))
}

/// A folder that goes when the test ends.
struct Folder(TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// The files in it, hidden ones included.
    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = std::fs::read_dir(self.0.path()).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        files
    }
}

/// Prunes with these options and no verification; the output's path and the report.
fn prune(folder: &Folder, input: &str, name: &str, options: &[&str]) -> (String, Value) {
    let output = folder.path(name);
    let report = json(&[&["prune", input, "-o", &output, "--no-verify", "--json"], options].concat(), 0);
    (output, report)
}

/// The sizes of the groups after a cut.
fn left(report: &Value) -> Vec<u64> {
    report["groups"].as_array().unwrap().iter().map(|g| g["after"].as_u64().unwrap()).collect()
}

fn read(path: impl AsRef<Path>) -> Vec<u8> {
    std::fs::read(path.as_ref()).unwrap_or_else(|e| panic!("{}: {e}", path.as_ref().display()))
}
