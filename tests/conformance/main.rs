//! The operator cases of the ONNX project, as a sweep: models with inputs and the outputs that have to come out.
//!
//! Every case is loaded, saved byte for byte, printed and parsed; its types are inferred, with more and with less of
//! it known before the run, and have to hold for the expected outputs; and all exact passes run on it, after which
//! the oracle, where it is right about the case, must still be.
//!
//! A selection is committed in `cases/` and checked by `cargo test`. CONTRIBUTING.md says how to run the whole sweep,
//! which writes `TABLE.md`.

mod case;
mod check;
mod cut;
mod form;
mod run;
mod table;
mod types;

use case::{Case, folders};
use check::{Finding, check};
use std::path::{Path, PathBuf};
use table::Table;

fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance")
}

/// Checks all cases below a folder; what is wrong, each with its case.
fn all(dir: &Path, mut see: impl FnMut(&Case, &Finding)) -> Vec<String> {
    let mut broken = vec![];
    for folder in folders(dir) {
        match Case::read(&folder) {
            Err(why) => broken.push(format!("{}: {why}", folder.display())),
            Ok(case) => {
                let finding = check(&case);
                broken.extend(finding.broken.iter().map(|why| format!("{}: {why}", case.name)));
                see(&case, &finding);
            }
        }
    }
    broken
}

#[test]
fn the_selection_conforms() {
    let mut cases = 0;
    let broken = all(&home().join("cases"), |_, _| cases += 1);
    assert!(broken.is_empty(), "{}", broken.join("\n\n"));
    assert!(cases > 0);
}

#[test]
#[ignore = "needs the cases: SECATEUR_CONFORMANCE=DIR"]
fn sweep() {
    let dir = std::env::var_os("SECATEUR_CONFORMANCE").expect("SECATEUR_CONFORMANCE names the folder of cases");
    let dir = Path::new(&dir);
    let about = std::fs::read_to_string(dir.join("about")).unwrap_or_default();
    let mut table = Table::new(about.trim());
    let broken = all(dir, |case, finding| table.add(case, finding));
    table.failures = broken.len();
    std::fs::write(home().join("TABLE.md"), table.to_string()).unwrap();
    assert!(broken.is_empty(), "{} failures:\n{}", broken.len(), broken.join("\n\n"));
}
