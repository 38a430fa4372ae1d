//! `--device`: what is not there is told before any work.

use crate::{Folder, fixture, secateur, text};
use std::path::Path;

/// A device that is nowhere: too far, or in no build.
const NOWHERE: &str = "cuda:60000";

/// Asserts that nothing but these words comes of it.
fn refused(args: &[&str], folder: &Folder, code: i32, words: &[&str]) {
    let ended = secateur(args).code(code);
    let said = text(&ended.get_output().stderr);
    assert!(words.iter().all(|w| said.contains(w)), "{args:?}: {said}");
    assert!(ended.get_output().stdout.is_empty(), "{args:?}");
    assert_eq!(std::fs::read_dir(folder.path("")).unwrap().count(), 0, "{args:?}");
}

#[test]
fn a_device_that_is_not_there_ends_every_verb_before_it_begins() {
    let (folder, net, calib) = (Folder::new(), fixture("digits_mlp"), fixture("digits_calib.npz"));
    let (output, test) = (folder.path("o"), fixture("digits_test.npz"));
    let taylor = ["--criterion", "taylor", "--calib", &calib, "--device", NOWHERE];
    let runs = [
        [&["prune", &net, "-o", &output][..], &taylor].concat(),
        [&["plan", &net, "-o", &output][..], &taylor].concat(),
        [&["sweep", &net, "-o", &output][..], &taylor].concat(),
        [&["sensitivity", &net, "--svg", &output][..], &taylor].concat(),
        vec!["tune", &net, "--data", &test, "--labels", &test, "-o", &output, "--device", NOWHERE],
    ];
    for run in runs {
        match (cfg!(feature = "cuda"), cfg!(feature = "gradients"), run[0]) {
            (true, ..) => refused(&run, &folder, 1, &["no CUDA device", "60000", "hint: "]),
            (_, false, "tune") => refused(&run, &folder, 2, &["this build can't train"]),
            _ => refused(&run, &folder, 2, &["this build has no GPU", "--features cuda", "hint: "]),
        }
    }
}

#[test]
fn what_is_no_device_is_told() {
    let (folder, net) = (Folder::new(), fixture("digits_mlp"));
    let args = ["prune", &net, "-o", &folder.path("o"), "--device", "gpu"];
    refused(&args, &folder, 2, &["`gpu` is no device", "cuda:N"]);
}

#[test]
fn build_files_name_devices_too() {
    let folder = Folder::new();
    std::fs::copy(fixture("digits_mlp"), folder.path("in.onnx")).unwrap();
    let lines = format!("input = \"in.onnx\"\noutput = \"o.onnx\"\nmacs = \"60%\"\ndevice = \"{NOWHERE}\"\n");
    std::fs::write(folder.path("secateur.toml"), lines).unwrap();
    let ended = secateur(&["build", "--file", &folder.path("secateur.toml")]);
    let said = text(&ended.failure().get_output().stderr);
    let reason = if cfg!(feature = "cuda") { "no CUDA device" } else { "this build has no GPU" };
    assert!(said.contains(reason) && !Path::new(&folder.path("o.onnx")).exists(), "{said}");
}
