//! How it is shown what a machine takes for a model.

use super::show;
use crate::job::report::MachineReport;
use crate::machine::Quantity;
use std::fmt::Write;

/// What the summary says.
pub(super) fn summary(report: &MachineReport) -> String {
    let predicted = &report.predicted;
    let share = |x: f64| format!("{:.1} %", 100.0 * x / predicted.before.max(f64::MIN_POSITIVE));
    let mut out = format!("\n{} ({})\n", report.quantity, report.source);
    let asked = report.asked.map_or_else(String::new, |a| format!(" ({:.1} % asked for)", 100.0 * a));
    let hash = report.table.as_ref().map_or_else(String::new, |h| format!(" by table {h}"));
    let (before, after) = (amount(report, predicted.before), amount(report, predicted.after));
    _ = writeln!(out, "  predicted{hash}: {before} → {after}, {} left{asked}", share(predicted.after));
    if let Some(m) = report.measured {
        let ((low, high), plans) = (m.interval, report.rounds.len());
        let plans = if plans == 1 { "first plan".to_owned() } else { format!("{plans} plans tried") };
        let [s, low, high] = [m.share, low, high].map(|x| 100.0 * x);
        _ = writeln!(out, "  measured: {s:.1} % left ({low:.1} – {high:.1}), {plans}");
    }
    let nodes = predicted.floor_nodes.iter().map(|(name, cost)| format!("`{name}` {}", share(*cost)));
    let nodes = nodes.collect::<Vec<_>>().join(", ");
    let most = if nodes.is_empty() { String::new() } else { format!(", most of it {nodes}") };
    out += &show::wrap(&format!("  at least {} is left, whatever is cut{most}", share(predicted.floor)), 6);
    if !report.skipped.is_empty() {
        _ = writeln!(out, "  {} shapes of nodes could not be measured and count as nothing", report.skipped.len());
    }
    out
}

/// A time or an energy. The table's are in millionths, those of a model of energies in picojoules.
fn amount(report: &MachineReport, x: f64) -> String {
    match (report.quantity, &report.table) {
        (Quantity::Latency, _) => show::duration(std::time::Duration::from_secs_f64(x.max(0.0) / 1e6)),
        (Quantity::Energy, Some(_)) => format!("{x:.2} µJ"),
        (Quantity::Energy, None) => format!("{:.2} µJ", x / 1e6),
    }
}
