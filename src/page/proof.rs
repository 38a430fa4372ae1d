//! The proof, the drift and the times.

use super::{ROWS, chart, more, short, summary};
use crate::compare::Difference;
use crate::figures;
use crate::job::report::{Outcome, Report};
use crate::verify::{Doubled, Verification};
use maud::{Markup, html};

fn content(report: &Report) -> Markup {
    match &report.verification {
        Outcome::Ran(v) => ran(report, v),
        Outcome::NoReference { why, drift, .. } => html! {
            p { "Equivalence is not shown, because there is no reference: " (why) }
            (outputs("Drift from the original", drift))
        },
        Outcome::Unable { why, instead } => html! {
            p { "The models were not run: " (why) } p { "Checked instead: " (instead) }
        },
        Outcome::Skipped => html! { p { "Skipped (--no-verify)." } },
    }
}

pub(super) fn section(report: &Report) -> Markup {
    super::section("proof", "Proof", "", Some(content(report)))
}

fn ran(report: &Report, v: &Verification) -> Markup {
    let (mark, class) = if v.equal { ("✓ holds", "good") } else { ("✗ fails", "bad") };
    html! {
        p {
            "The " (report.equivalence()) " " strong.(class) { (mark) } ": on " (v.samples)
            " inputs, the cut model and the original with zeros where units are gone differ by "
            (format!("{:.1e}", v.equivalence.worst())) " of the largest output at most (tolerance "
            (format!("{:.0e}", v.tolerance)) ")"
            @if let Some(ran) = v.runtime { ", run in " (ran) }
            "."
        }
        @if let Some(Doubled::Apart(apart)) = &v.double {
            p { "In double precision, which decides, they differ by " (format!("{:.1e}", apart.worst())) "." }
        }
        @if v.meaningful {
            p.about { "Another input changes the outputs by " (format!("{:.1e}", v.sensitivity)) ", so the check is meaningful." }
        } @else {
            p.warn { "It says little: another input changes the outputs by only " (format!("{:.1e}", v.sensitivity)) "." }
        }
        (outputs("Equivalence", &v.equivalence))
        (outputs("Drift from the original", &v.drift))
    }
}

fn outputs(title: &str, difference: &Difference) -> Markup {
    html! {
        h3 { (title) }
        table {
            thead {
                tr {
                    th { "output" } th.number { "largest difference" } th.number { "relative" } th.number { "relative L2" }
                    th.number { "cosine" }
                }
            }
            tbody {
                @for o in difference.outputs.iter().take(ROWS) {
                    tr {
                        td { span.name { (short(&o.name)) } }
                        td.number { (format!("{:.1e}", o.max_abs)) }
                        td.number {
                            @if let Some(differing) = o.differing { (figures::percent(differing)) " differ" }
                            @else { (format!("{:.1e}", o.max_rel)) }
                        }
                        td.number { (format!("{:.4}", o.relative_l2)) } td.number { (format!("{:.4}", o.cosine)) }
                    }
                }
            }
        }
        (more(difference.outputs.len().saturating_sub(ROWS), "outputs"))
    }
}

/// Every timed run, before and after.
pub(super) fn latency(report: &Report) -> Markup {
    let content = summary::latency(report).map(|l| {
        let rows: Vec<_> =
            [("before", &l.first)].into_iter().chain(l.second.as_ref().map(|(t, _)| ("after", t))).collect();
        html! { (chart::runs(&rows)) }
    });
    let about = summary::latency(report).and_then(|l| l.second.as_ref()).map_or_else(String::new, |(after, ratio)| {
        let (low, high) = ratio.quartiles;
        let setup = summary::latency(report).map_or_else(String::new, |l| {
            format!("in {} on {} of this machine", l.ran, figures::plural(l.threads, "thread"))
        });
        format!(
            "{} runs of each model in turns, {setup}: {:.2} times as fast (half of the turns {low:.2} – {high:.2}). \
             A dot is a run, the line the median, the box the middle half.",
            after.runs(),
            ratio.median
        )
    });
    super::section("latency", "Latency", &about, content)
}
