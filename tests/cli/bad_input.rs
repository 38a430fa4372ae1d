//! What is wrong is named, the exit code tells whose fault it is, and nothing is left behind.

use crate::{Folder, fixture, secateur, text};
use predicates::prelude::*;

/// Runs what must fail with this code and these words, and must not write anything into the folder.
pub(crate) fn fails(folder: &Folder, code: i32, words: &[&str], args: &[&str]) {
    let before = folder.files();
    let assert = secateur(args).code(code);
    let stderr = text(&assert.get_output().stderr);
    for word in words {
        assert!(stderr.contains(word), "{args:?}: no {word:?} in\n{stderr}");
    }
    assert.stdout(predicate::str::is_empty());
    assert_eq!(folder.files(), before, "{args:?} left something");
}

#[test]
fn files_that_are_no_models() {
    let folder = Folder::new();
    let (output, empty) = (folder.path("o.onnx"), folder.path("empty.onnx"));
    std::fs::write(&empty, "").unwrap();
    let cases: [(&str, &str); 5] = [
        ("nowhere.onnx", if cfg!(windows) { "cannot find the file" } else { "No such file" }),
        (&fixture("."), "folder"),
        (&empty, "empty"),
        (&fixture("odd/truncated"), "cut off"),
        (&fixture("odd/not_onnx"), "not an ONNX model"),
    ];
    for (input, words) in cases {
        for args in [vec!["prune", input, "-o", &output], vec!["plan", input], vec!["opt", input, "-o", &output]] {
            fails(&folder, 1, &[input.trim_end_matches('.'), words], &args);
        }
        for verb in ["inspect", "groups", "explain", "print", "bench"] {
            fails(&folder, 1, &[words], &[verb, input]);
        }
        fails(&folder, 1, &[words], &["verify", &fixture("digits_mlp"), input]);
    }
}

#[test]
fn places_that_can_not_be_written() {
    let folder = Folder::new();
    let (input, output, nowhere) = (folder.path("in.onnx"), folder.path("o.onnx"), folder.path("no/o.onnx"));
    std::fs::copy(fixture("digits_mlp"), &input).unwrap();
    let before = crate::read(&input);
    for verb in ["prune", "opt"] {
        fails(&folder, 1, &["input file", "--overwrite"], &[verb, &input, "-o", &input]);
        let dotted = folder.path("./in.onnx");
        fails(&folder, 1, &["input file", "--overwrite"], &[verb, &input, "-o", &dotted]);
        fails(&folder, 1, &["no folder", &nowhere], &[verb, &input, "-o", &nowhere]);
        fails(&folder, 1, &["is a folder"], &[verb, &input, "-o", &folder.path("")]);
    }
    fails(&folder, 1, &["no folder"], &["plan", &input, "-o", &nowhere]);
    fails(&folder, 1, &["no folder"], &["prune", &input, "-o", &output, "--report", &nowhere]);
    let build = folder.path("secateur.toml");
    std::fs::write(&build, "input = 'in.onnx'\noutput = './in.onnx'").unwrap();
    fails(&folder, 2, &["secateur.toml:2:10", "would be overwritten"], &["build", "--file", &build]);
    fails(&folder, 2, &["same file"], &["prune", &input, "-o", &output, "--report", &output]);
    assert!(crate::read(&input) == before);
    secateur(&["prune", &input, "-o", &input, "--overwrite", "--no-verify"]).code(0);
    assert!(crate::read(&input) != before);
}

#[test]
#[cfg(unix)]
fn a_folder_without_write_permission() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let locked = folder.path("locked");
    std::fs::create_dir(&locked).unwrap();
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o555)).unwrap();
    // Root may write anywhere.
    if std::fs::write(folder.path("locked/probe"), "").is_err() {
        let output = folder.path("locked/o.onnx");
        fails(&folder, 1, &[&output], &["prune", &fixture("digits_mlp"), "-o", &output, "--no-verify"]);
        // Before any work is done, and in the words of the command line.
        let stderr = text(&secateur(&["plan", "nowhere.onnx", "-o", &output]).code(1).get_output().stderr);
        assert!(stderr.contains(&output) && !stderr.contains(".secateur-"), "{stderr}");
    }
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn options_that_make_no_sense() {
    let folder = Folder::new();
    let (input, output) = (fixture("digits_mlp"), folder.path("o.onnx"));
    let cases: &[(i32, &[&str], &str)] = &[
        (2, &["--wat"], "--wat"),
        (2, &["--ratio", "150%"], "150%"),
        (2, &["--ratio", "half"], "half"),
        (2, &["--macs=-1"], "-1"),
        (2, &["--ratio", "0.5", "--macs", "0.5"], "cannot be used with"),
        (2, &["--criterion", "magic"], "`l1`, `l2`"),
        (2, &["--include", "["], "not a glob"),
        (2, &["--include", "nothing*"], "`nothing*` fits no"),
        (2, &["--exclude", "nothing*"], "`nothing*` fits no"),
        (2, &["--dim", "batch"], "NAME=SIZE"),
        (2, &["--dim", "batch=0"], "not a positive number"),
        (2, &["--dim", "batch=many"], "`many`"),
        (2, &["--dim", "rows=2"], "no open dimension `rows`; open are"),
        (2, &["--shape", "rows=2"], "the model has no input `rows`"),
        (2, &["--shape", "rows=2,x"], "`x` is not a positive number"),
        (2, &["--batch-axis", "rows=x"], "`x` is not the number of an axis"),
        (2, &["--round-to", "0"], "--round-to"),
        (2, &["--min-keep", "0"], "--min-keep"),
        (2, &["--samples", "0"], "--samples"),
        (2, &["--verify-samples", "0"], "--verify-samples"),
        (2, &["--tolerance", "NaN"], "NaN"),
        (2, &["--external-data", "maybe"], "maybe"),
        (1, &["--macs", "1%"], "can't be met"),
    ];
    for (code, options, words) in cases {
        let args = [&["prune", &input, "-o", &output], *options].concat();
        fails(&folder, *code, &[words], &args);
    }
    fails(&folder, 2, &["--output"], &["prune", &input]);
    fails(&folder, 2, &["there is no pass \"wat\""], &["opt", &input, "-o", &output, "--passes", "wat"]);
    fails(&folder, 2, &["column 5"], &["opt", &input, "-o", &output, "--passes", "fix("]);
    fails(&folder, 2, &["did you mean"], &["opt", &input, "-o", &output, "--passes", "fold-bm"]);
    fails(&folder, 2, &["--repeats"], &["bench", &input, "--repeats", "0"]);
    fails(&folder, 1, &["`nobody`", "hint"], &["explain", &input, "nobody"]);
    fails(&folder, 2, &["tcsh"], &["completions", "tcsh"]);
    fails(&folder, 2, &["prone"], &["prone", &input]);
}

#[test]
fn samples_that_do_not_fit() {
    let folder = Folder::new();
    let (input, output, npz) = (fixture("digits_mlp"), folder.path("o.onnx"), folder.path("bad.npz"));
    let try_with = |arrays: &[(&str, &[usize])], words: &[&str]| {
        let mut writer = ndarray_npy::NpzWriter::new(std::fs::File::create(&npz).unwrap());
        for (name, shape) in arrays {
            writer.add_array(*name, &ndarray::ArrayD::<f32>::zeros(*shape)).unwrap();
        }
        writer.finish().unwrap();
        fails(&folder, 1, words, &["prune", &input, "-o", &output, "--inputs", &npz]);
        fails(&folder, 1, words, &["verify", &input, &input, "--inputs", &npz]);
    };
    try_with(&[("images", &[4, 1, 8, 8])], &["no array \"input\"", "images"]);
    try_with(&[("input", &[4, 1, 9, 9])], &["\"input\"", "[4, 1, 9, 9]"]);
    try_with(&[("input", &[64])], &["\"input\"", "[64]"]);
    try_with(&[("input", &[0, 1, 8, 8])], &["no samples"]);
    fails(&folder, 1, &["nowhere.npz"], &["prune", &input, "-o", &output, "--inputs", "nowhere.npz"]);
    fails(&folder, 1, &["digits_mlp"], &["prune", &input, "-o", &output, "--inputs", &input]);
}
