//! Tables that mirror a registry, between `<!-- generated: what -->` and `<!-- end -->`.

use crate::{examples, root};
use clap::{Arg, ArgAction, Command};
use secateur::job::gates;
use secateur::job::search::CONSTRAINTS;
use secateur::{cli, job, plan};
use std::fmt::Write;

/// The document with its generated parts made anew.
pub(crate) fn filled(text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\n<!-- generated: ") {
        let (what, after) = after.split_once(" -->\n").ok_or("a mark of a generated part is not closed")?;
        let (_, after) = after.split_once("<!-- end -->").ok_or_else(|| format!("`{what}` has no end"))?;
        _ = write!(out, "{before}\n<!-- generated: {what} -->\n{}<!-- end -->", made(what)?);
        rest = after;
    }
    Ok(out + rest)
}

/// What a mark asks for.
fn made(what: &str) -> Result<String, String> {
    let words: Vec<&str> = what.split_whitespace().collect();
    match words[..] {
        ["criteria"] => Ok(criteria()),
        ["passes"] => Ok(pass_table()),
        ["gates"] => Ok(gate_table()),
        ["budgets"] => options("prune", &plan::BUDGETS.each_ref().map(|kind| kind.name)),
        ["constraints"] => options("prune", &CONSTRAINTS.each_ref().map(|kind| kind.name)),
        ["exit-codes"] => Ok(exit_codes()),
        ["targets"] => Ok(targets()),
        ["verbs"] => Ok(verbs()),
        ["options", verb, ref names @ ..] => options(verb, names),
        ["file", path] => {
            let code = std::fs::read_to_string(root().join(path)).map_err(|e| format!("{path}: {e}"))?;
            Ok(format!("```rust\n{code}```\n"))
        }
        _ => Err(format!("nothing makes `{what}`")),
    }
}

/// A table; cells may hold whatever text they like.
fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let rule = format!("|{}\n", "---|".repeat(head.len()));
    let cell = |c: String| c.replace('|', "\\|").replace('\n', " ");
    let rows: String = rows.into_iter().map(|r| line(r.into_iter().map(cell).collect())).collect();
    line(head.iter().map(|h| (*h).to_owned()).collect()) + &rule + &rows
}

fn criteria() -> String {
    let rows = plan::CRITERIA.iter().map(|c| {
        let names = [&[c.name], c.aliases].concat().iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
        let needs = match (c.needs_data, c.gradient.is_some()) {
            (true, true) => "samples, gradients",
            (true, false) => "samples",
            (false, true) => "gradients",
            (false, false) => "",
        };
        vec![names, needs.to_owned(), c.about.to_owned(), c.source.to_owned()]
    });
    table(&["criterion", "needs", "what it measures", "source"], rows)
}

fn pass_table() -> String {
    let registry = job::registry();
    let rows = registry.entries().map(|e| {
        let (does, options) = e.doc.split_once(" {").unwrap_or((e.doc, ""));
        let options = options.trim_end_matches('}').split_whitespace().map(|o| format!("`{o}`"));
        vec![format!("`{}`", e.name), does.to_owned(), options.collect::<Vec<_>>().join(" ")]
    });
    table(&["pass", "does", "options"], rows)
}

fn gate_table() -> String {
    let rows = gates::GATES.iter().map(|kind| vec![format!("`{}`", kind.name), kind.about.to_owned()]);
    table(&["gate", "what it bounds, and how the bound is written"], rows)
}

/// The targets that widths are rounded for.
fn targets() -> String {
    let row = |t: plan::Target| format!("| `{t}` | {} | {} |\n", t.about(), t.source());
    format!("| target | what | source |\n|---|---|---|\n{}", plan::Target::all().map(row).collect::<String>())
}

fn exit_codes() -> String {
    let rows = cli::EXIT_CODES.iter().map(|(code, what)| vec![code.to_string(), (*what).to_owned()]);
    table(&["code", "meaning"], rows)
}

/// Options of a verb by their names, in the order that the document wants.
fn options(verb: &str, names: &[&str]) -> Result<String, String> {
    let command = cli::command();
    let verb = command.find_subcommand(verb).ok_or_else(|| format!("there is no verb `{verb}`"))?;
    let find = |name: &&str| {
        let long = name.trim_start_matches("--");
        let found = verb.get_arguments().find(|a| a.get_long() == Some(long));
        found.map(row).ok_or_else(|| format!("`{}` has no option `{name}`", verb.get_name()))
    };
    Ok(table(&["option", "meaning"], names.iter().map(find).collect::<Result<Vec<_>, _>>()?))
}

/// An option with what it takes, and what is said of it.
fn row(arg: &Arg) -> Vec<String> {
    let takes = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    let values: Vec<String> = arg.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect();
    let value = if takes && !values.is_empty() { values.join(" ") } else { String::new() };
    let name = match (arg.get_short(), arg.get_long()) {
        (Some(short), Some(long)) => format!("-{short}, --{long} {value}"),
        (None, Some(long)) => format!("--{long} {value}"),
        _ => value,
    };
    let mut about = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let choices: Vec<String> = match takes {
        true => arg.get_possible_values().iter().map(|v| format!("`{}`", v.get_name())).collect(),
        false => vec![],
    };
    if !choices.is_empty() {
        about += &format!(" ({})", choices.join(", "));
    }
    let default: Vec<String> = arg.get_default_values().iter().map(|v| v.to_string_lossy().into_owned()).collect();
    if takes && !default.is_empty() {
        about += &format!(" [default: {}]", default.join(" "));
    }
    vec![format!("`{}`", name.trim()), about]
}

/// All verbs with all their options and examples.
fn verbs() -> String {
    let command = cli::command();
    let visible = command.get_subcommands().filter(|v| !v.is_hide_set() && v.get_name() != "help");
    visible.map(verb).collect::<Vec<_>>().join("\n")
}

fn verb(verb: &Command) -> String {
    let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
    let mut out = format!("## {}\n\n{about}.\n\n", verb.get_name());
    let arguments: Vec<&Arg> = verb.get_positionals().collect();
    if !arguments.is_empty() {
        out += &(table(&["argument", "meaning"], arguments.into_iter().map(row)) + "\n");
    }
    let local = |a: &&Arg| !a.is_positional() && !a.is_global_set() && !a.is_hide_set();
    let options: Vec<&Arg> = verb.get_arguments().filter(local).collect();
    if !options.is_empty() {
        out += &(table(&["option", "meaning"], options.into_iter().map(row)) + "\n");
    }
    let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
    let commands = help.lines().filter_map(|l| l.strip_prefix("  ")).map(|command| {
        let code = examples::exit_code(command);
        let code = if code == 0 { String::new() } else { format!("? {code}\n") };
        format!("$ {command}\n{code}...\n")
    });
    out + "```console\n" + &commands.collect::<String>() + "```\n"
}
