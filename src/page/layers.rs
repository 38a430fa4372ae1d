//! Where the work was, and where it is: by layer.

use super::chart::{self, Column};
use super::{ROWS, more, places, section, short};
use crate::figures::{count, left, plural};
use crate::job::report::{CallReport, CallSize, Report};
use crate::machine::Quantity;
use crate::plan::PieceCost;
use maud::{Markup, html};

/// How many columns a profile has at most; longer models have several layers in each.
const COLUMNS: usize = 120;

/// The multiply-accumulates along the depth of the model.
pub(super) fn profile(report: &Report) -> Markup {
    let calls: Vec<&CallReport> = report.calls.iter().filter(|c| c.before.macs > 0).collect();
    let each = calls.len().div_ceil(COLUMNS).max(1);
    let columns: Vec<Column> = calls.chunks(each).map(column).collect();
    let about = match each {
        1 => "Multiply-accumulates of each layer, from the input to the output: what is left, and what is gone."
            .to_owned(),
        n => format!(
            "Multiply-accumulates from the input to the output, {n} layers in each column: what is left, and what is gone."
        ),
    };
    let content = (!columns.is_empty()).then(
        || html! { (chart::legend(&["left", "gone"])) (chart::profile(&columns, "Multiply-accumulates by layer")) },
    );
    section("profile", "Where the work went", &about, content)
}

/// What a machine takes along the depth of the model, by its table.
pub(super) fn machine(report: &Report) -> Markup {
    let machine = report.machine.as_ref();
    let pieces: &[PieceCost] = machine.map_or(&[], |m| &m.predicted.pieces);
    let each = pieces.len().div_ceil(COLUMNS).max(1);
    let columns: Vec<Column> = pieces.chunks(each).map(costs).collect();
    let (title, unit) = match machine.map(|m| m.quantity) {
        Some(Quantity::Energy) => ("Where the energy went", "Microjoules"),
        _ => ("Where the time went", "Microseconds"),
    };
    let source = machine.map_or("", |m| m.source.as_str());
    let about = format!(
        "{unit} of each piece of the model (a call with the simple ones behind it), by the table of {}.",
        short(source)
    );
    let content = (!columns.is_empty())
        .then(|| html! { (chart::legend(&["left", "gone"])) (chart::profile(&columns, "Costs by piece")) });
    section("machine", title, &about, content)
}

fn costs(pieces: &[PieceCost]) -> Column {
    let name = match pieces {
        [first, .., last] => format!("{} … {}", short(&first.name), short(&last.name)),
        [one] => short(&one.name),
        [] => String::new(),
    };
    let sum = |of: fn(&PieceCost) -> f64| pieces.iter().map(of).sum();
    Column { name, before: sum(|p| p.before), after: sum(|p| p.after) }
}

fn column(calls: &[&CallReport]) -> Column {
    let sum = |of: fn(&CallReport) -> u64| calls.iter().map(|c| of(c)).sum::<u64>() as f64;
    let name = match calls {
        [first, .., last] => format!("{} … {}", short(&first.name), short(&last.name)),
        [one] => format!("{} {}", one.op, short(&one.name)),
        [] => String::new(),
    };
    Column { name, before: sum(|c| c.before.macs), after: sum(|c| c.after.as_ref().map_or(0, |a| a.macs)) }
}

/// The layers with most work, in the model's order.
pub(super) fn table(report: &Report) -> Markup {
    // What does no products of its own and is gone was folded into something else, or into nothing.
    let (listed, folded): (Vec<&CallReport>, Vec<&CallReport>) =
        report.calls.iter().partition(|c| c.before.macs > 0 || c.after.is_some());
    let mut order: Vec<usize> = (0..listed.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse((listed[i].before.macs, listed[i].before.params)));
    order.truncate(ROWS);
    order.sort_unstable();
    let rows: Vec<&CallReport> = order.into_iter().map(|i| listed[i]).collect();
    let most = rows.iter().map(|c| c.before.macs).max().unwrap_or(0);
    let content = html! {
        table {
            thead {
                tr {
                    th { "layer" } th.wide { "width" } th.number { "" } th.wide { "MACs" } th.number { "" }
                    th.number { "parameters" } th.number { "left" }
                }
            }
            tbody { @for call in &rows { (row(call, most)) } }
        }
        (more(listed.len() - rows.len(), "layers, with less work than these"))
        @if !folded.is_empty() {
            p.more { (plural(folded.len(), "call")) " without multiplications, such as normalizations, folded into others or gone with them" }
        }
    };
    let about = "Width is how long the axis of the layer's result is that was cut.";
    section("layers", "By layer", about, (!rows.is_empty()).then_some(content))
}

fn row(call: &CallReport, most: u64) -> Markup {
    let (before, gone) = (&call.before, call.after.is_none());
    let none = CallSize { macs: 0, params: 0, shape: None };
    let after = call.after.as_ref().unwrap_or(&none);
    let width = call.after.as_ref().and_then(|a| width(before, a));
    html! {
        tr.gone[gone] {
            td { span.name title=(call.name) { (short(&call.name)) } " " span.op { (call.op) } }
            @if let Some((w, v)) = width {
                td.wide { (chart::bar(w as f64, v as f64, w as f64)) }
                td.number { (w) " → " (v) }
            } @else {
                td.wide {} td.number { @if gone { "gone" } @else { "–" } }
            }
            td.wide { (chart::bar(before.macs as f64, after.macs as f64, most as f64)) }
            td.number { (count(before.macs)) " → " (count(after.macs)) }
            td.number { (count(before.params)) " → " (count(after.params)) }
            td.number { @if before.macs > 0 { (left(before.macs, after.macs)) } @else { (left(before.params, after.params)) } }
        }
    }
}

/// The length of the first axis of the result that is another one now.
fn width(before: &CallSize, after: &CallSize) -> Option<(u64, u64)> {
    let (a, b) = (before.shape.as_ref()?, after.shape.as_ref()?);
    let changed = a.iter().zip(b).find(|(a, b)| a != b)?;
    Some((changed.0.parse().ok()?, changed.1.parse().ok()?))
}

/// The layers that went as a whole.
pub(super) fn removed(report: &Report) -> Markup {
    let content = html! {
        table {
            thead {
                tr {
                    th { "ends at" } th { "from → to" } th.number { "nodes" } th.number { "MACs" }
                    th.number { "parameters" } th.number { "score" }
                }
            }
            tbody {
                @for layer in report.layers.iter().take(ROWS) {
                    tr {
                        td { span.name { (short(&layer.cut.name)) } }
                        td { (places(std::slice::from_ref(&layer.entry))) " → " (places(std::slice::from_ref(&layer.exit))) }
                        td.number { (layer.calls) }
                        td.number { (count(layer.macs)) }
                        td.number { (count(layer.params)) }
                        td.number { @if let Some(score) = layer.cut.score { (format!("{score:.4}")) } @else { "–" } }
                    }
                }
            }
        }
        (more(report.layers.len().saturating_sub(ROWS), "layers"))
    };
    section(
        "removed",
        "Layers removed",
        "Residual branches that went as a whole.",
        (!report.layers.is_empty()).then_some(content),
    )
}
