//! A family of operators has one name: that of its rules, of their lowering and of the cases of their laws.

use crate::code;
use std::collections::BTreeSet;
use std::path::Path;

const ROOMS: [&str; 3] = ["src/model/ops", "src/model/ops/lower", "tests/laws/ops"];

/// The modules that lie in a folder, but for the folder's own.
fn modules(folder: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let files = std::fs::read_dir(path).expect("a folder").map(|e| e.expect("an entry").path());
    let modules = files.filter(|f| f.extension().is_some_and(|e| e == "rs"));
    let names = modules.filter_map(|f| Some(f.file_stem()?.to_str()?.to_owned()));
    names.filter(|name| name != "mod").collect()
}

/// Families that only the tests compile.
fn examples() -> BTreeSet<String> {
    let compiled: BTreeSet<&str> = code::files().iter().map(|f| f.path.as_str()).collect();
    modules("src/model/ops")
        .into_iter()
        .filter(|name| !compiled.contains(format!("src/model/ops/{name}.rs").as_str()))
        .collect()
}

#[test]
fn a_family_has_one_name() {
    let mut families: BTreeSet<String> = secateur::ops::families().map(|(name, _)| name.to_owned()).collect();
    families.extend(examples());
    let mut wrong = vec![];
    for room in ROOMS {
        let strangers = modules(room).into_iter().filter(|name| !families.contains(name));
        wrong
            .extend(strangers.map(|name| format!("{room}/{name}.rs is named after no family; helpers lie in folders")));
    }
    let here = modules(ROOMS[0]);
    wrong.extend(
        families.iter().filter(|name| !here.contains(*name)).map(|name| format!("src/model/ops/{name}.rs is missing")),
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What lowerings share lies in `lower` itself; the rules of one family are not made in the file of another.
#[test]
fn a_rule_is_lowered_under_its_name() {
    let lowered = modules(ROOMS[1]);
    let mut wrong = vec![];
    for file in code::files() {
        let Some(name) = file.path.strip_prefix("src/model/ops/").and_then(|p| p.strip_suffix(".rs")) else { continue };
        let others = file.paths.iter().filter(|n| match n.segments.as_slice() {
            [first, module, ..] => first == "lower" && module != name && lowered.contains(module),
            _ => false,
        });
        wrong.extend(others.map(|n| format!("{}:{} {}", file.path, n.line, n.segments.join("::"))));
    }
    assert!(wrong.is_empty(), "rules that are lowered under another family's name:\n{}", wrong.join("\n"));
}
