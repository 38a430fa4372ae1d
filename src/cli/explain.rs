//! `secateur explain`: why can this be cut, or why not?

use super::{Exit, Failure, show, source};
use crate::analysis::Analysis;
use crate::axes::{Axes, Group};
use crate::ir::{Node, NodeId, ValueId};
use crate::{ir, prune};
use serde::Serialize;
use std::path::PathBuf;

/// Show which groups touch a node or a tensor, and what pins it
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  secateur explain model.onnx conv1.weight")]
pub(super) struct Args {
    /// The model
    model: PathBuf,
    /// A node, a tensor or a group (`c3`), by its name; everything that is pinned if not given
    name: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A value with its axes, and the groups that they are made of.
#[derive(Serialize)]
struct Explanation {
    value: String,
    axes: Vec<Axis>,
}

#[derive(Serialize)]
struct Axis {
    /// As the text form writes it.
    text: String,
    reasons: Vec<String>,
}

pub(super) fn run(args: Args) -> super::Outcome {
    let analysis = source::prepare(&source::load(&args.model)?)?;
    let Some(name) = &args.name else { return all_pins(&analysis, args.json) };
    let values = values_of(&analysis, name).ok_or_else(|| {
        Failure::new(format!("nothing in the model is called `{name}`"))
            .hint("`secateur print MODEL` shows all names; `secateur groups MODEL` all groups")
    })?;
    let explained: Vec<Explanation> = values.into_iter().map(|v| explain(&analysis, v)).collect();
    if args.json {
        show::print_json(&explained)?;
        return Ok(Exit::Done);
    }
    for e in explained {
        show::print(&show::wrap(&e.value, 4))?;
        for (i, axis) in e.axes.iter().enumerate() {
            show::print(&format!("  axis {i}: {}\n", axis.text))?;
            for reason in &axis.reasons {
                show::print(&show::wrap(&format!("    {reason}"), 8))?;
            }
        }
    }
    Ok(Exit::Done)
}

fn all_pins(analysis: &Analysis, json: bool) -> super::Outcome {
    let pins = prune::pins(analysis, false);
    if json {
        show::print_json(&pins)?;
    } else if pins.is_empty() {
        let none = "no group: no constant has an axis of units (the weights of trees, say, are attributes)";
        let without = analysis.groups.all.is_empty();
        show::print(&show::wrap(if without { none } else { "nothing is pinned: every group may be cut" }, 4))?;
    } else {
        for pin in pins {
            show::print(&show::wrap(show::pin_line(&pin).trim_start(), 4))?;
        }
    }
    Ok(Exit::Done)
}

/// The values that a name means: a group's constants, a node's operands and results, or the value itself.
fn values_of(analysis: &Analysis, name: &str) -> Option<Vec<ValueId>> {
    let graph = &analysis.model.graph;
    if let Some(group) = analysis.groups.named(name) {
        let mut values: Vec<ValueId> = group.members.iter().map(|m| m.constant).collect();
        values.dedup();
        return Some(values);
    }
    let named = |node: NodeId| match graph.node(node) {
        Node::Call(c) => c.name == name,
        _ => false,
    };
    if let Some(node) = graph.calls().into_iter().find(|&n| named(n)) {
        return Some(graph.operands(node).into_iter().flatten().chain(graph.results(node)).collect());
    }
    let from_file = |n: NodeId| graph.constant(n).is_some_and(|c| c.source() == Some(name));
    let copies: Vec<ValueId> =
        graph.constants().into_iter().filter(|&n| from_file(n)).map(|node| ValueId { node, port: 0 }).collect();
    if !copies.is_empty() {
        return Some(copies);
    }
    graph.values_by_name().get(name).map(|&v| vec![v])
}

fn explain(analysis: &Analysis, value: ValueId) -> Explanation {
    let graph = &analysis.model.graph;
    let users: Vec<String> =
        graph.uses(value).into_iter().map(|u| graph.label(u.node).to_owned()).filter(|l| !l.is_empty()).collect();
    let kind = match graph.node(value.node) {
        Node::Input(_) => "a model input".to_owned(),
        Node::Constant(_) => "a constant".to_owned(),
        _ => format!("made by {}", ir::print_line(graph, value.node).trim()),
    };
    let used = if users.is_empty() { String::new() } else { format!(", used by {}", show::list(&users)) };
    let vars = analysis.axes.of(value).unwrap_or_default();
    let axis = |&var| Axis {
        text: analysis.groups.show(&analysis.axes, var),
        reasons: reasons(analysis, &analysis.axes, var),
    };
    Explanation { value: format!("{}: {kind}{used}", graph.value_name(value)), axes: vars.iter().map(axis).collect() }
}

fn reasons(analysis: &Analysis, axes: &Axes, var: crate::axes::Var) -> Vec<String> {
    let graph = &analysis.model.graph;
    let mut out: Vec<String> = vec![];
    for leaf in axes.solver().leaves(var) {
        match analysis.groups.of_leaf(leaf) {
            Some(g) => out.extend(of_group(analysis, g)),
            None => out.extend(axes.pins(leaf).map(|p| prune::reason(graph, p))),
        }
    }
    out.dedup();
    out
}

fn of_group(analysis: &Analysis, group: &Group) -> Vec<String> {
    let graph = &analysis.model.graph;
    let places = show::list(&crate::axes::places(&analysis.model, group));
    if group.is_exact() {
        return vec![format!("{}: {} units may go, with {places}", group.id, group.size)];
    }
    let mut out: Vec<String> = group.pins.iter().map(|p| format!("pinned by {}", prune::reason(graph, p))).collect();
    out.extend(group.inexact.iter().map(|p| format!("{}: not exact because of {}", group.id, prune::reason(graph, p))));
    out
}
