//! A row of its table is all that a budget, a quality constraint or a gate needs: whoever adds one finds it as a flag, as
//! a key of build files, in their schema, as an option of the pass, and in the documents.

use crate::{read, root};
use clap::ArgMatches;
use secateur::build::Config;
use secateur::job::gates::{GATES, Unit};
use secateur::job::search::{BoundUnit, CONSTRAINTS};
use secateur::plan::{BUDGETS, Budget, Goal};
use secateur::{cli, job};
use std::path::Path;

/// Every budget and every constraint, with a value where it takes one.
fn options() -> Vec<(&'static str, Option<&'static str>)> {
    let budgets = BUDGETS.iter().map(|kind| (kind.name, kind.takes_share().then_some("50%")));
    let constraints = CONSTRAINTS.iter().map(|kind| match kind.unit {
        BoundUnit::Number => (kind.name, Some("0.02")),
        BoundUnit::Share => (kind.name, Some("1%")),
    });
    budgets.chain(constraints).collect()
}

/// What the command line makes of a `prune` with one more flag.
fn prune(flag: &str) -> Result<ArgMatches, clap::Error> {
    cli::command().try_get_matches_from(["secateur", "prune", "a.onnx", "-o", "b.onnx", flag])
}

/// Whether a build file may have this line.
fn builds(section: &str, line: &str) -> Result<(), String> {
    let text = format!("input = 'a.onnx'\noutput = 'b.onnx'\n{section}\n{line}\n");
    let config = Config::parse(Path::new("secateur.toml"), text).map_err(|e| e.to_string())?;
    config.targets(None).map(|_| ()).map_err(|e| e.to_string())
}

/// Whether a table of a document has a row that begins like this.
fn documented(document: &str, head: &str) -> bool {
    read(&root().join(document)).lines().any(|line| line.starts_with(&format!("| `{head}")))
}

#[test]
fn every_budget_and_constraint_is_a_flag_a_key_and_in_the_documents() {
    let schema = secateur::build::schema();
    for (name, value) in options() {
        let flag = value.map_or(format!("--{name}"), |value| format!("--{name}={value}"));
        prune(&flag).unwrap_or_else(|e| panic!("{flag}: {e}"));
        let key = name.replace('-', "_");
        let line = value.map_or(format!("{key} = true"), |value| format!("{key} = '{value}'"));
        builds("", &line).unwrap_or_else(|e| panic!("{line}: {e}"));
        assert!(schema["properties"][&key]["description"].is_string(), "{key} is not in the schema");
        for document in ["docs/src/options.md", "docs/src/choosing.md"] {
            assert!(documented(document, &format!("--{name}")), "{document} does not have {flag}");
        }
        // One of them may be given.
        let other = if name == "macs" { "--params=50%" } else { "--macs=50%" };
        let both = cli::command().try_get_matches_from(["secateur", "prune", "a", "-o", "b", &flag, other]);
        assert!(both.unwrap_err().to_string().contains("cannot be used with"), "{flag} {other}");
    }
}

#[test]
fn every_budget_with_a_share_is_an_option_of_the_pass() {
    let registry = job::registry();
    let doc = registry.entries().find(|entry| entry.name == "prune-channels").unwrap().doc;
    for kind in &BUDGETS {
        let budget = Budget::new(kind.name, 0.25).unwrap();
        let pass = match kind.goal {
            Goal::Lossless => "remove-redundant".to_owned(),
            Goal::EachGroup | Goal::Whole(_) => {
                assert!(doc.contains(&format!("{{{}", kind.name)) || doc.contains(&format!(" {}", kind.name)), "{doc}");
                format!("prune-channels{{{}}}", budget.to_string().replace(' ', "="))
            }
        };
        assert_eq!(registry.parse(&pass).unwrap_or_else(|e| panic!("{pass}: {e}")).to_string(), pass);
    }
}

#[test]
fn every_gate_is_a_flag_a_key_and_in_the_documents() {
    let schema = secateur::build::schema();
    let command = cli::command();
    let prune = command.find_subcommand("prune").unwrap();
    let help =
        prune.get_arguments().find(|arg| arg.get_long() == Some("gate")).unwrap().get_help().unwrap().to_string();
    for kind in &GATES {
        let name = kind.name;
        let bound = if kind.unit == Unit::Truth { "true" } else { "1" };
        self::prune(&format!("--gate={name}={bound}")).unwrap_or_else(|e| panic!("{name}: {e}"));
        builds("[gates]", &format!("{name} = {bound}")).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(schema["$defs"]["gates"]["properties"][name]["description"], kind.about);
        assert!(documented("docs/src/ci.md", name) && help.contains(name), "{name}");
    }
}
