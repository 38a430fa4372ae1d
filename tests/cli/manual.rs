//! The manual pages: one for every verb, with its options and examples. (tests/documents runs the examples.)

use crate::{Folder, json, stdout};
use std::path::Path;

/// The verbs that `--help` lists.
fn verbs() -> Vec<String> {
    let help = stdout(&["--help"], 0);
    let listed = help.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    let indented = |l: &&str| l.starts_with("  ") && !l.starts_with("   ");
    let names = listed.lines().filter(indented).map(|l| l.split_whitespace().next().unwrap().to_owned());
    names.filter(|v| v != "help").collect()
}

#[test]
fn every_verb_has_a_manual_page() {
    let folder = Folder::new();
    let dir = folder.path("deep/man1");
    stdout(&["man", "-o", &dir], 0);
    let page = stdout(&["man"], 0);
    assert!(page.starts_with(".ie") && page.contains("Exit codes") && page.contains("secateur"), "{page}");
    for verb in verbs() {
        let page = std::fs::read_to_string(Path::new(&dir).join(format!("secateur-{verb}.1"))).unwrap();
        assert!(page.contains(".SH OPTIONS") && page.contains("Example"), "{verb}: {page}");
    }
    let pages = json(&["man", "--json"], 0);
    assert_eq!(pages.as_array().unwrap().len(), 1 + verbs().len());
}
