//! No output of any verb overwrites what it reads, and none overwrites another.

use crate::{Folder, fixture, read, secateur};
use predicates::prelude::*;
use std::fs;

/// A folder with a model whose weights are in a file of their own, samples, labels and a plan.
fn folder() -> Folder {
    let folder = Folder::new();
    fs::copy(fixture("odd/external"), folder.path("m.onnx")).unwrap();
    fs::copy(fixture("odd/external.bin"), folder.path("external.bin")).unwrap();
    fs::copy(fixture("digits_mlp"), folder.path("n.onnx")).unwrap();
    fs::copy(fixture("digits_test.npz"), folder.path("s.npz")).unwrap();
    fs::create_dir(folder.path("images")).unwrap();
    fs::write(folder.path("images/1.png"), "").unwrap();
    fs::write(folder.path("plan.json"), "{}").unwrap();
    folder
}

/// The files of a folder and what is in them.
fn all(folder: &Folder) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let files = folder.files().into_iter().filter(|f| f.is_file());
    files.map(|f| (f.clone(), fs::read(f).unwrap())).collect()
}

#[test]
fn outputs_spare_inputs() {
    let folder = folder();
    let at = |name: &str| folder.path(name);
    let data = secateur::onnx::data_files(&crate::load(at("m.onnx"))).unwrap().into_iter().next().unwrap();
    let (m, n, s, o, plan, data) = (at("m.onnx"), at("n.onnx"), at("s.npz"), at("o.onnx"), at("plan.json"), at(&data));
    let image = at("images/1.png");
    let before = all(&folder);
    let prune = |model: &str, more: &[&str]| {
        [&["prune", model, "-o", &o, "--no-verify"], more].concat().iter().map(|a| (*a).to_owned()).collect::<Vec<_>>()
    };
    let words = |args: &[&str]| args.iter().map(|a| (*a).to_owned()).collect::<Vec<String>>();
    let refused = [
        words(&["opt", &m, "-o", &data]),
        words(&["opt", &m, "-o", &m]),
        words(&["plan", &n, "-o", &n]),
        words(&["plan", &m, "-o", &data]),
        words(&["plan", &n, "-o", &s, "--calib", &s]),
        prune(&n, &["--report", &n]),
        prune(&n, &["--html", &n]),
        prune(&n, &["--reference", &n]),
        prune(&n, &["--junit", &n]),
        prune(&m, &["--report", &data]),
        prune(&n, &["--calib", &s, "--report", &s]),
        prune(&n, &["--calib", &at("images"), "--html", &image]),
        words(&["apply", &n, "--plan", &plan, "-o", &plan]),
        words(&["apply", &n, "--plan", &plan, "-o", &o, "--report", &plan]),
        words(&["profile", &n, "-o", &n]),
        words(&["sensitivity", &n, "--calib", &s, "--svg", &n]),
        words(&["verify", &n, &n, "--junit", &n]),
        words(&["tune", &n, "--teacher", &m, "--data", &s, "-o", &o, "--checkpoint", &data]),
        words(&["tune", &n, "--teacher", &m, "--data", &s, "-o", &m]),
        words(&["sweep", &n, "--calib", &at("n-50.json"), "-o", &at(""), "--sizes", "50%"]),
    ];
    fs::write(at("n-50.json"), "").unwrap();
    for args in &refused {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let shown = secateur(&args).code(predicate::in_iter([1, 2]));
        shown.stderr(predicate::str::contains("would").and(predicate::str::contains("overwrit")));
    }
    fs::remove_file(at("n-50.json")).unwrap();
    assert!(all(&folder) == before);
}

#[test]
#[cfg(unix)]
fn links_are_the_same_file() {
    let folder = folder();
    let (n, o) = (folder.path("n.onnx"), folder.path("o.onnx"));
    let (soft, hard, far) = (folder.path("soft"), folder.path("hard"), folder.path("images/../n.onnx"));
    std::os::unix::fs::symlink(&n, &soft).unwrap();
    fs::hard_link(&n, &hard).unwrap();
    let before = all(&folder);
    for name in [&soft, &hard, &far] {
        secateur(&["opt", &n, "-o", name]).code(1).stderr(predicate::str::contains("would be overwritten"));
        let report = ["prune", &*n, "-o", &o, "--no-verify", "--report", name];
        secateur(&report).code(1).stderr(predicate::str::contains("would overwrite"));
        let two = ["prune", &*n, "-o", &o, "--no-verify", "--report", &soft, "--html", name];
        secateur(&two).code(2).stderr(predicate::str::contains("name the same file"));
    }
    assert!(all(&folder) == before);
}

#[test]
fn outputs_spare_one_another() {
    let folder = folder();
    let (n, o, r) = (folder.path("n.onnx"), folder.path("o.onnx"), folder.path("r.json"));
    let data = folder.path("o.onnx.data");
    for pair in [["--report", &*r, "--html", &*r], ["--report", &o, "--html", &r], ["--reference", &r, "--junit", &r]] {
        let args = [&["prune", &*n, "-o", &o, "--no-verify"], &pair[..]].concat();
        secateur(&args).code(2).stderr(predicate::str::contains("name the same file"));
    }
    let args = ["prune", &*n, "-o", &o, "--no-verify", "--external-data", "always", "--report", &data];
    secateur(&args).code(2).stderr(predicate::str::contains("name the same file"));
    assert!(!std::path::Path::new(&o).exists());
    // What is no file takes any number of outputs.
    #[cfg(unix)]
    secateur(&["prune", &n, "-o", &o, "--no-verify", "--report", "/dev/null", "--html", "/dev/null"]).code(0);
}

#[test]
fn a_second_run_replaces_the_first() {
    let folder = folder();
    let (n, o, r) = (folder.path("n.onnx"), folder.path("o.onnx"), folder.path("r.json"));
    let args = ["prune", &*n, "-o", &o, "--no-verify", "--external-data", "always", "--report", &r];
    secateur(&args).code(0);
    let before = read(&o);
    secateur(&args).code(0);
    assert!(read(&o) == before);
    secateur(&["prune", &n, "-o", &n, "--overwrite", "--no-verify"]).code(0);
}

/// A disk that is full leaves the old files, and nothing half-written.
#[test]
#[cfg(unix)]
fn a_full_disk_leaves_what_was_there() {
    let folder = folder();
    let (n, o, r) = (folder.path("n.onnx"), folder.path("o.onnx"), folder.path("r.json"));
    let before = [(&o, "old"), (&r, "older")];
    before.iter().for_each(|(path, text)| fs::write(path, text).unwrap());
    let names = folder.files();
    // Files may have 8 blocks of 512 or 1024 bytes; the signal that comes with it is ignored, as a full disk sends none.
    let script = "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\"";
    let run = |more: &[&str]| {
        let mut command = assert_cmd::Command::new("sh");
        command.args(["-c", script, crate::BINARY, "prune", &n, "-o", &o, "--no-verify"]).args(more);
        command.assert().code(1).stderr(predicate::str::contains(o.as_str()).or(predicate::str::contains(r.as_str())));
    };
    run(&[]);
    run(&["--external-data", "always"]);
    for (path, text) in before {
        assert_eq!(fs::read_to_string(path).unwrap(), text);
    }
    assert_eq!(folder.files(), names);
}
