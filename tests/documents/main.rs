//! The documents are true: their console blocks are run, their tables are those of the code, their links lead somewhere.
//!
//! `UPDATE_DOCS=1 cargo test --features gradients --test documents` writes what has changed.

mod blocks;
mod examples;
mod links;
mod rows;
mod sessions;
mod tables;

use std::fs::{read_dir, read_to_string, write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Where the repository is on the web; links to it are links to its files.
const REPOSITORY: &str = "https://github.com/secateur/secateur/blob/main/";

/// The folder of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The documents for users.
fn manual() -> Vec<PathBuf> {
    let pages = read_dir(root().join("docs/src")).unwrap().map(|e| e.unwrap().path());
    let mut pages: Vec<PathBuf> = pages.filter(|p| p.extension().is_some_and(|e| e == "md")).collect();
    pages.sort();
    [vec![root().join("README.md")], pages].concat()
}

/// These and the documents for those who change the code.
fn all() -> Vec<PathBuf> {
    let others = ["ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "passes/README.md", "fixtures/README.md"];
    let others = others.into_iter().chain(["examples/README.md"]).map(|name| root().join(name));
    manual().into_iter().chain(others).collect()
}

fn read(path: &Path) -> String {
    read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The name of a document, from the root of the repository.
fn name(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// Held by a test that may write documents.
static WRITES: Mutex<()> = Mutex::new(());

/// Compares a document with what it should be; with `UPDATE_DOCS` it becomes that.
fn settle(path: &Path, is: &str, should: &str) -> Result<(), String> {
    if is == should {
        return Ok(());
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        write(path, should).unwrap();
        return Ok(());
    }
    let pairs = is.lines().zip(should.lines()).enumerate();
    let (line, (was, now)) = pairs.into_iter().find(|(_, (a, b))| a != b).unwrap_or((0, ("", "")));
    let (name, line) = (name(path), line + 1);
    Err(format!("{name}:{line} is not current (UPDATE_DOCS=1 writes it)\n  it has    {was}\n  should be {now}"))
}

/// Fails with everything that is wrong.
fn report(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n\n"));
}

#[test]
fn tables_are_those_of_the_code() {
    let _alone = WRITES.lock().unwrap_or_else(PoisonError::into_inner);
    let outdated = all().into_iter().filter_map(|path| {
        let text = read(&path);
        let made = tables::filled(&text).unwrap_or_else(|e| panic!("{}: {e}", name(&path)));
        settle(&path, &text, &made).err()
    });
    report(outdated.collect());
}

#[test]
fn links_lead_somewhere() {
    report(all().iter().flat_map(|path| links::broken(path)).collect());
}

#[test]
fn every_page_is_in_the_summary() {
    let summary = read(&root().join("docs/src/SUMMARY.md"));
    let pages = read_dir(root().join("docs/src")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let missing = pages.filter(|p| p != "SUMMARY.md" && !summary.contains(&format!("({p})")));
    report(missing.map(|p| format!("docs/src/SUMMARY.md has no line for {p}")).collect());
}

#[test]
fn the_readme_is_short() {
    let words = read(&root().join("README.md")).split_whitespace().count();
    assert!(words <= 1300, "README.md has {words} words; what is more belongs into docs/");
}

#[test]
fn blocks_say_what_they_are() {
    let unclear = manual().into_iter().flat_map(|path| {
        let wrong = blocks::of(&read(&path)).into_iter().filter_map(|b| b.unclear());
        wrong.map(|(line, why)| format!("{}:{line}: {why}", name(&path))).collect::<Vec<_>>()
    });
    report(unclear.collect());
}

/// What CONTRIBUTING shows of the code is a file of it, which the tests compile and run.
#[test]
fn shown_code_is_a_file() {
    let path = root().join("CONTRIBUTING.md");
    let code = blocks::of(&read(&path)).into_iter().filter(|b| b.language == "rust");
    let loose = code.filter(|b| !b.mark.starts_with("generated: file "));
    report(loose.map(|b| format!("{}:{}: code that nothing compiles", name(&path), b.line + 1)).collect());
}

/// Runs the console blocks of all documents at once, each document in a folder of its own.
fn run(slow: bool) {
    let _alone = WRITES.lock().unwrap_or_else(PoisonError::into_inner);
    let session = |path: PathBuf| {
        let text = read(&path);
        let now = sessions::run(&text, slow);
        settle(&path, &text, &now).err()
    };
    let failed = std::thread::scope(|scope| {
        let running: Vec<_> = manual().into_iter().map(|path| scope.spawn(|| session(path))).collect();
        running.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
    });
    report(failed);
}

#[test]
fn console_blocks_show_what_is_printed() {
    run(false);
}

/// The same for blocks that take minutes in a debug build: `SECATEUR_BIN=target/release/secateur … -- --ignored`.
#[test]
#[ignore = "slow in a debug build"]
fn slow_console_blocks_show_what_is_printed() {
    run(true);
}
