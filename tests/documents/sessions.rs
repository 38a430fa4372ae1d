//! Console blocks, run in bash: `$ ` is a command, `> ` its next line, `? 4` its exit code if that is not 0, and the rest what
//! it prints. `...` stands for any lines and `[..]` for any part of a line.

use crate::blocks::{self, Block};
use crate::{examples, root};
use snapbox::Data;
use snapbox::filter::NormalizeToExpected;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A command and what it should print.
#[derive(Default)]
struct Step {
    /// As it stands in the document.
    lines: Vec<String>,
    code: i32,
    expected: Vec<String>,
}

fn steps(block: &Block) -> Vec<Step> {
    let mut steps: Vec<Step> = vec![];
    for line in &block.lines {
        let Some(step) = steps.last_mut().filter(|_| !line.starts_with("$ ")) else {
            steps.push(Step { lines: vec![line.clone()], ..Step::default() });
            continue;
        };
        let continues = step.expected.is_empty() && step.lines.last().is_some_and(|l| l.ends_with('\\'));
        match line.strip_prefix("? ") {
            Some(code) if step.expected.is_empty() => step.code = code.parse().expect("an exit code"),
            _ if continues && line.starts_with("> ") => step.lines.push(line.clone()),
            _ => step.expected.push(line.clone()),
        }
    }
    steps
}

/// Runs the blocks of a document; the document as it should be.
pub(crate) fn run(text: &str, slow: bool) -> String {
    let blocks = blocks::of(text);
    if !blocks.iter().any(|b| b.is_run(slow)) {
        return text.to_owned();
    }
    let folder = tempfile::tempdir().unwrap();
    examples::prepare(folder.path());
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut shift = 0isize;
    for block in &blocks {
        if let Some(file) = block.mark.strip_prefix("file: ") {
            std::fs::write(folder.path().join(file), block.lines.join("\n") + "\n").unwrap();
        }
        // What a slow block reads was made by others.
        let is_run = block.is_run(slow) || slow && block.is_run(false);
        if !is_run {
            continue;
        }
        let is: Vec<String> =
            steps(block).iter().flat_map(|step| step.run(folder.path(), block.is_run(slow))).collect();
        let start = (block.line as isize + 1 + shift) as usize;
        shift += is.len() as isize - block.lines.len() as isize;
        lines.splice(start..start + block.lines.len(), is);
    }
    lines.join("\n") + "\n"
}

impl Step {
    /// Runs the command; its lines as they should be. What is expected is kept where it fits, or if the block does not
    /// count (it was only run for what it writes).
    fn run(&self, folder: &Path, counts: bool) -> Vec<String> {
        let (code, printed) = execute(&self.lines, folder);
        if !counts {
            return [self.lines.clone(), self.head(self.code), self.expected.clone()].concat();
        }
        let expected = self.expected.iter().map(|l| l.clone() + "\n").collect::<String>();
        let printed = NormalizeToExpected::new().redact().normalize(Data::text(printed), &Data::text(expected));
        let printed = printed.render().unwrap_or_default();
        let printed = printed.lines().map(str::to_owned).collect();
        [self.lines.clone(), self.head(code), printed].concat()
    }

    fn head(&self, code: i32) -> Vec<String> {
        if code == 0 { vec![] } else { vec![format!("? {code}")] }
    }
}

/// The folder of the binary: the one that was built with this test, or that of `SECATEUR_BIN`.
fn programs() -> PathBuf {
    let binary = std::env::var_os("SECATEUR_BIN").map_or(env!("CARGO_BIN_EXE_secateur").into(), PathBuf::from);
    root().join(binary).parent().unwrap().to_owned()
}

/// Runs a command in bash; its exit code and what it printed but progress, which depends on the time.
fn execute(lines: &[String], folder: &Path) -> (i32, String) {
    let command: Vec<&str> = lines.iter().map(|l| &l[2..]).collect();
    let command = command.join("\n").replace("cargo run --release -- ", "secateur ");
    let path = std::env::join_paths(
        [programs()].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    );
    let mut bash = Command::new("bash");
    bash.args(["-c", &format!("exec 2>&1\n{command}")]).current_dir(folder).env("PATH", path.unwrap());
    let bash = bash.env("SECATEUR_RUNTIME", "tract").env_remove("ORT_DYLIB_PATH");
    let out = bash.env("HOME", folder).env("SECATEUR_CACHE", folder.join("cache")).output().unwrap();
    let printed = String::from_utf8(out.stdout).expect("UTF-8");
    assert!(!printed.contains("panicked"), "{command}: {printed}");
    let kept = printed.lines().filter(|l| !is_progress(l)).map(|l| l.to_owned() + "\n");
    (out.status.code().unwrap_or(-1), kept.collect())
}

/// Whether a line says how far something is: `verifying: 7 of 15, 2 s`.
fn is_progress(line: &str) -> bool {
    let tail = line.strip_suffix(" s").and_then(|l| l.rsplit_once(": "));
    tail.is_some_and(|(_, t)| t.split([' ', ',']).all(|w| w.parse::<u64>().is_ok() || ["", "of", "runs"].contains(&w)))
}

#[test]
fn progress_is_told_from_results() {
    assert!(
        is_progress("verifying: 7 of 15, 2 s") && is_progress("repairing: 32 runs, 27 s") && is_progress("sweep: 3 s")
    );
    assert!(!is_progress("time: load 3 ms, verify 2.3 s") && !is_progress("latency before: 61 ms"));
}

#[test]
fn what_does_not_fit_is_replaced() {
    let block = |expected: &str| format!("# X\n\n```console\n$ echo one two; false\n{expected}```\n\nY\n");
    let fits = block("? 1\none [..]\n");
    assert_eq!(run(&fits, false), fits);
    assert_eq!(run(&block("? 1\nthree\n"), false), block("? 1\none two\n"));
    assert_eq!(run(&block("one two\n"), false), block("? 1\none two\n"));
    assert_eq!(run(&fits, true), fits);
}
