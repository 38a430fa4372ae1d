//! What was cut, what could not be, what was refitted or set to zero, and how good the result is.

use super::{ROWS, chart, more, places, section, short};
use crate::figures::{self, count, share};
use crate::job::report::Report;
use maud::{Markup, html};

pub(super) fn groups(report: &Report) -> Markup {
    let all = &report.groups;
    let content = html! {
        table {
            thead { tr { th { "group" } th { "where" } th.wide { "units" } th.number { "" } th.number { "left" } } }
            tbody {
                @for group in all.iter().take(ROWS) {
                    tr {
                        td { (group.label) @if !group.exact { span.warn title="not exact" { "!" } } }
                        td.places { (places(&group.places)) }
                        td.wide { (chart::bar(group.before as f64, group.after as f64, group.before as f64)) }
                        td.number { (group.before) " → " (group.after) }
                        td.number { (figures::left(group.before as u64, group.after as u64)) }
                    }
                }
            }
        }
        (more(all.len().saturating_sub(ROWS), "groups"))
    };
    let inexact = all.iter().any(|g| !g.exact);
    let note =
        if inexact { " A ! marks groups that are not exact: their removal changes the units that stay." } else { "" };
    let about = format!("Channels, neurons or heads that stay or go together.{note}");
    section("groups", "What was cut", &about, (!all.is_empty()).then_some(content))
}

pub(super) fn pins(report: &Report) -> Markup {
    let all = &report.pinned;
    let content = html! {
        table {
            thead { tr { th { "group" } th.number { "units" } th { "where" } th { "why" } } }
            tbody {
                @for pin in all.iter().take(ROWS) {
                    tr {
                        td { (pin.label) } td.number { (pin.size) } td.places { (places(&pin.places)) }
                        td { (short(&pin.why)) }
                    }
                }
            }
        }
        (more(all.len().saturating_sub(ROWS), "groups"))
    };
    section("pins", "What could not be cut", "And what asks for that.", (!all.is_empty()).then_some(content))
}

/// What a proof that failed left whole.
pub(super) fn unproved(report: &Report) -> Markup {
    let content = report.unproved.as_ref().map(|failed| {
        html! {
            p.warn { "The whole plan fails its proof: " (failed.why) ". The groups below stay whole; the rest is proved. Please report this." }
            table {
                thead { tr { th { "group" } th.number { "units" } th { "where" } th { "why" } } }
                tbody {
                    @for group in failed.groups.iter().take(ROWS) {
                        tr {
                            td { (group.label) } td.number { (group.size) } td.places { (places(&group.places)) }
                            td { (group.reason.text()) }
                        }
                    }
                }
            }
            (more(failed.groups.len().saturating_sub(ROWS), "groups"))
        }
    });
    section("unproved", "What is not exact here", "", content)
}

pub(super) fn repaired(report: &Report) -> Markup {
    let mut all: Vec<_> = report.refitted().collect();
    all.sort_by(|a, b| b.before.total_cmp(&a.before));
    let most = all.iter().map(|r| r.before.max(r.after)).filter(|x| x.is_finite()).fold(0.0, f64::max).min(1.0);
    let content = html! {
        (chart::legend(&["after the repair", "before"]))
        table {
            thead { tr { th { "layer" } th { "weight" } th.wide { "error" } th.number { "before" } th.number { "after" } } }
            tbody {
                @for one in all.iter().take(ROWS) {
                    tr {
                        td { span.name { (short(&one.node)) } } td.places { (short(&one.weight)) }
                        td.wide { (chart::bar(one.before, one.after, most)) }
                        td.number { (share(one.before)) } td.number { (share(one.after)) }
                    }
                }
            }
        }
        (more(all.len().saturating_sub(ROWS), "layers, with smaller errors"))
        @for (why, calls, macs, first) in report.unrepaired_by_reason().into_iter().take(ROWS) {
            p.about { "Not repaired: " (figures::plural(calls, "call")) ", " (share(macs)) " of the MACs (" (short(first)) "): " (short(why)) "." }
        }
    };
    let about = match report.repair() {
        Some((median, worst)) => format!(
            "Error of what each layer computes from what is left, on samples that the fit did not see, as a share of its output's variance: median {} → {}, worst {} → {}.",
            share(median.before),
            share(median.after),
            share(worst.before),
            share(worst.after)
        ),
        None => String::new(),
    };
    section("repaired", "Repair", &about, (!all.is_empty() || !report.unrepaired.is_empty()).then_some(content))
}

pub(super) fn sparsity(report: &Report) -> Markup {
    let content = report.sparsity.as_ref().map(|found| {
        html! {
            p.about { (found.asked) ": " (count(found.zeros as u64)) " of " (count(found.weights as u64)) " weights. The tensors are as large as before." }
            table {
                thead { tr { th { "weight" } th { "shape" } th { "by" } th.number { "weights" } th.wide { "zero" } th.number { "" } } }
                tbody {
                    @for l in found.layers.iter().take(ROWS) {
                        @let shape = l.shape.iter().map(usize::to_string).collect::<Vec<_>>().join("×");
                        tr {
                            td { span.name { (short(&l.tensor)) } } td { (shape) } td { (l.method) }
                            td.number { (count(l.weights as u64)) }
                            td.wide { (chart::bar(l.weights as f64, l.zeros as f64, l.weights as f64)) }
                            td.number { (share(l.zeros as f64 / l.weights.max(1) as f64)) }
                        }
                    }
                }
            }
            (more(found.layers.len().saturating_sub(ROWS), "weights"))
        }
    });
    section("sparsity", "Zeros", "", content)
}

pub(super) fn metrics(report: &Report) -> Markup {
    let content = report.metrics.as_ref().map(|metrics| {
        html! {
            table {
                thead { tr { th { "" } th.number { "before" } th.number { "after" } th.number { "change" } } }
                tbody {
                    @for (before, after) in metrics.before.figures().iter().zip(metrics.after.figures()) {
                        tr {
                            td { (figures::title(&after)) }
                            td.number { (figures::value(before)) } td.number { (figures::value(&after)) }
                            td.number { (figures::signed(&after, metrics.change[after.name])) }
                        }
                    }
                }
            }
        }
    });
    let samples = report.metrics.as_ref().map_or(0, |m| m.after.samples());
    section("metrics", "How good it is", &format!("On {samples} labelled samples."), content)
}
