//! What is there to be copied works: the snippets of the action and the workflow, the hook, make and CMake.

use crate::{Folder, fixture, read, text};
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// A folder with a model and a build file for it.
fn project() -> Folder {
    let folder = Folder::new();
    std::fs::copy(fixture("digits_mlp"), folder.path("in.onnx")).unwrap();
    let file = "input = 'in.onnx'\noutput = 'out/small.onnx'\nfast = true\n[gates]\nmax_size = '90%'\n";
    std::fs::write(folder.path("secateur.toml"), file).unwrap();
    folder
}

/// A command in a folder, with the binary on its path; what it writes, if it is there at all.
fn run(folder: &Folder, program: &str, args: &[&str], env: &[(&str, &str)], code: i32) -> Option<String> {
    let binary = Path::new(crate::BINARY);
    let mut path = vec![binary.parent().unwrap().to_owned()];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let mut command = Command::new(program);
    command.args(args).current_dir(folder.path("")).env("PATH", std::env::join_paths(path).unwrap());
    command
        .env("SECATEUR_CACHE", folder.path("cache"))
        .env(crate::TRACT.0, crate::TRACT.1)
        .envs(env.iter().copied())
        .env_remove("MAKEFLAGS");
    let Ok(output) = command.output() else {
        eprintln!("skipped: there is no {program}");
        return None;
    };
    let all = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{program} {args:?}: {all}");
    Some(all)
}

/// The scripts under `run:` of a workflow or an action.
fn scripts(yaml: &str) -> Vec<String> {
    let lines: Vec<&str> = yaml.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut found = vec![];
    for (i, line) in lines.iter().enumerate() {
        match line.trim_start().strip_prefix("run: ") {
            Some("|") => {
                let body = lines[i + 1..].iter().take_while(|l| l.trim().is_empty() || indent(l) > indent(line));
                found.push(body.map(|l| l.trim_start().to_owned() + "\n").collect());
            }
            Some(script) => found.push(script.to_owned()),
            None => {}
        }
    }
    found
}

/// Whether a text may be YAML: no tabs, whole levels, and each line an entry, a list's item or a block's text.
fn check_yaml(name: &str, yaml: &str) {
    let mut block = None;
    for (number, line) in yaml.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        let (indent, content) = (line.len() - line.trim_start().len(), line.trim());
        assert!(!line.contains('\t') && indent % 2 == 0, "{name}:{}: {line}", number + 1);
        if block.is_some_and(|b| indent > b) || content.starts_with('#') {
            continue;
        }
        let entry = content.trim_start_matches("- ");
        let key = entry.split_once(':').map(|(key, value)| (key, value.is_empty() || value.starts_with(' ')));
        assert!(matches!(key, Some((_, true))), "{name}:{}: {line}", number + 1);
        block = (content.ends_with(": |") || content.ends_with(": >")).then_some(indent);
    }
}

#[test]
fn the_yaml_is_well_formed() {
    for name in ["action.yml", "examples/ci/models.yml", ".pre-commit-hooks.yaml"] {
        check_yaml(name, &text(&read(root().join(name))));
    }
}

#[test]
fn the_action_builds_and_checks() {
    let folder = project();
    let scripts = scripts(&text(&read(root().join("action.yml"))));
    let verbs = |verb| [("VERB", verb), ("PROFILE", ""), ("FILE", "secateur.toml"), ("JUNIT", "gates.xml")];
    assert_eq!(scripts.len(), 2);
    // It is there already, and is not installed.
    let Some(_) = run(&folder, "bash", &["-euc", &scripts[0]], &[("INSTALL", "false")], 0) else { return };
    run(&folder, "bash", &["-euc", &scripts[1]], &verbs("build"), 0);
    run(&folder, "bash", &["-euc", &scripts[1]], &verbs("check"), 0);
    assert!(text(&read(folder.path("gates.xml"))).contains("max_size"));
    std::fs::write(folder.path("out/small.onnx"), read(fixture("digits_mlp"))).unwrap();
    let told = run(&folder, "bash", &["-euc", &scripts[1]], &verbs("check"), 4).unwrap();
    assert!(told.contains("::error file=out/small.onnx,title=secateur%3A max_size::"), "{told}");
    // The workflow uses inputs that the action has.
    let (action, workflow) = (read(root().join("action.yml")), read(root().join("examples/ci/models.yml")));
    assert!(text(&workflow).contains("          verb: check") && text(&action).contains("  verb:\n"));
}

#[test]
fn the_hooks_run() {
    let folder = project();
    let hooks = text(&read(root().join(".pre-commit-hooks.yaml")));
    let entries: Vec<&str> = hooks.lines().filter_map(|l| l.trim().strip_prefix("entry: secateur ")).collect();
    assert_eq!(entries, ["check", "build"]);
    run(&folder, "secateur", &[entries[0]], &[], 4);
    run(&folder, "secateur", &[entries[1]], &[], 0);
    run(&folder, "secateur", &[entries[0]], &[], 0);
}

#[test]
fn make_makes_what_is_stale() {
    let folder = project();
    std::fs::copy(root().join("examples/make/Makefile"), folder.path("Makefile")).unwrap();
    let Some(first) = run(&folder, "make", &["model.sum"], &[], 0) else { return };
    assert!(first.contains("made in") && first.contains("cksum"), "{first}");
    let second = run(&folder, "make", &["model.sum"], &[], 0).unwrap();
    assert!(second.contains("fresh in") && !second.contains("cksum out"), "{second}");
    run(&folder, "make", &["check-models"], &[], 0);
}

#[test]
fn cmake_makes_models() {
    let folder = project();
    for name in ["CMakeLists.txt", "Secateur.cmake"] {
        std::fs::copy(root().join("examples/cmake").join(name), folder.path(name)).unwrap();
    }
    let Some(_) = run(&folder, "cmake", &["-S", ".", "-B", "b"], &[], 0) else { return };
    run(&folder, "cmake", &["--build", "b"], &[], 0);
    run(&folder, "cmake", &["--build", "b", "--target", "models-check"], &[], 0);
    assert!(Path::new(&folder.path("out/small.onnx")).is_file());
}
