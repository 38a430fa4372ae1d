//! The head of the page: which files, the figures that matter most, the gates; and its foot: how it was made.

use super::{chart, section, short};
use crate::figures;
use crate::job::gates::Verdict;
use crate::job::report::{Outcome, Report};
use crate::latency::Latency;
use maud::{Markup, html};
use std::time::Duration;

/// The files and the tiles.
pub(super) fn head(report: &Report) -> Markup {
    let plan = &report.plan;
    let failed = if report.failed() { " (not written)" } else { "" };
    html! {
        header {
            p.kicker { "secateur " (report.secateur) }
            h1 { (short(&report.input)) span.arrow { " → " } (short(&report.output)) (failed) }
            p.about { (plan.budget) " by " (plan.criterion) }
        }
        div.tiles {
            @for row in report.sizes().iter().rev() {
                (tile(row.name, &row.left(), &format!("{} → {}", row.show(row.before), row.show(row.after)),
                    Some((row.before, row.after)), ""))
            }
            (speed(report))
            (quality(report))
            (verdict(report))
        }
    }
}

/// A figure, what it is, and what it is made of.
fn tile(name: &str, figure: &str, detail: &str, bar: Option<(u64, u64)>, class: &str) -> Markup {
    html! {
        div.tile.(class) {
            p.name { (name) }
            p.figure { (figure) }
            p.detail { (detail) }
            @if let Some((before, after)) = bar { (chart::bar(before as f64, after as f64, before.max(after) as f64)) }
        }
    }
}

fn speed(report: &Report) -> Markup {
    let second = latency(report).and_then(|l| Some((l, l.second.as_ref()?)));
    html! {
        @if let Some((all, (after, ratio))) = second {
            @let detail = format!("{} → {}, median in {}", figures::duration(all.first.median), figures::duration(after.median), all.ran);
            (tile("speed", &format!("{:.2} ×", ratio.median), &detail, None, ""))
        }
    }
}

/// The times, wherever the models were run.
pub(super) fn latency(report: &Report) -> Option<&Latency> {
    report.verification.latency()
}

/// The first figure of the judgement, which matters most.
fn quality(report: &Report) -> Markup {
    let metrics = report.metrics.as_ref();
    let first = metrics.and_then(|m| Some((m, *m.after.figures().first()?, *m.before.figures().first()?)));
    html! {
        @if let Some((metrics, after, before)) = first {
            @let change = figures::signed(&after, metrics.change[after.name]);
            @let detail = format!("was {}, {change}{}", figures::value(&before), if after.share { " points" } else { "" });
            (tile(&figures::title(&after), &figures::value(&after), &detail, None, ""))
        }
    }
}

fn verdict(report: &Report) -> Markup {
    match &report.verification {
        Outcome::Ran(v) => {
            let (word, class) = if v.equal { ("✓ holds", "good") } else { ("✗ fails", "bad") };
            let detail = format!("largest difference {:.1e}, tolerance {:.0e}", v.equivalence.worst(), v.tolerance);
            tile(report.equivalence(), word, &detail, None, class)
        }
        Outcome::NoReference { .. } => tile("proof", "none", "there is no reference; drift measured", None, "unsure"),
        Outcome::Unable { .. } => tile("proof", "not run", "types and invariants checked instead", None, "unsure"),
        Outcome::Skipped => tile("proof", "skipped", "switched off", None, "unsure"),
    }
}

/// What was promised, kept or not.
pub(super) fn gates(gates: &[Verdict]) -> Markup {
    let missed = gates.iter().filter(|g| !g.met).count();
    let about = match missed {
        0 => "All are met.".to_owned(),
        n => format!("{n} of {} missed.", gates.len()),
    };
    let table = html! {
        table.gates {
            thead { tr { th { "" } th { "gate" } th { "found" } } }
            tbody {
                @for gate in gates {
                    @let (mark, class) = if gate.met { ("✓ met", "good") } else { ("✗ missed", "bad") };
                    tr { td.(class) { (mark) } td { (gate.name) } td { (gate.says) } }
                }
            }
        }
    };
    section("gates", "Gates", &about, (!gates.is_empty()).then_some(table))
}

/// Where the time went, and the plan's fingerprints.
pub(super) fn making(report: &Report) -> Markup {
    let most = report.stages.iter().map(|s| s.seconds).fold(0.0, f64::max);
    let hash = report.plan.hash().unwrap_or_else(|_| "unknown".to_owned());
    let content = html! {
        table {
            thead { tr { th { "stage" } th.number { "time" } th.wide {} } }
            tbody {
                @for stage in &report.stages {
                    tr {
                        td { (stage.name) }
                        td.number { (figures::duration(Duration::from_secs_f64(stage.seconds.max(0.0)))) }
                        td.wide { (chart::bar(0.0, stage.seconds, most)) }
                    }
                }
            }
        }
        p.more { "plan " code { (hash) } ", architecture " code { (report.plan.architecture) } ", made by secateur " (report.secateur) }
    };
    section("making", "How it was made", "", Some(content))
}
