//! How results are shown: JSON for machines, tables and sentences for people.

use super::{Failure, figures, trials};
use crate::analysis::Analysis;
use crate::axes::Group;
use crate::compare::{Difference, OutputDifference};
use crate::files;
use crate::gates::Verdict;
use crate::latency::{Latency, Timing};
use crate::repair::{Repaired, Step};
use crate::report::{GroupReport, LayerReport, Outcome, PinReport, Report, SparsityReport, StageReport};
use crate::sparsity::Thinned;
use crate::verify::Verification;
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, presets};
use serde::Serialize;
use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// How many lines a list in the summary has at most.
const LINES: usize = 20;

/// How wide tables and lists are at most, in characters.
const WIDTH: usize = 100;

/// How many names a list in a line has at most.
const NAMES: usize = 3;

/// The reference is the original with zeros in it.
pub const MASKED: &str = "masked equivalence";

/// The reference has its statistics restricted to the kept units, beside the zeros.
const RESTRICTED: &str = "restricted equivalence";

/// Says something to a person, on stderr. Nobody listening is no error.
pub fn say(text: &str) {
    _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// Prints text to stdout. A reader that has gone away is no error.
pub fn print(text: &str) -> Result<(), Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::new(format!("stdout: {e}"))),
        _ => Ok(()),
    }
}

pub fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    print(&(serde_json::to_string_pretty(value)? + "\n"))
}

/// Writes JSON to a file: whole, or not at all.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Failure> {
    write_text(path, &(serde_json::to_string_pretty(value)? + "\n"))
}

/// Writes text to a file: whole, or not at all.
pub fn write_text(path: &Path, text: &str) -> Result<(), Failure> {
    files::write(path, text).map_err(|e| Failure::new(format!("{}: {e}", path.display())))
}

/// A table without frames; all columns but the first `left` are numbers, set to the right.
pub fn table(header: &[&str], left: usize, rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.iter().copied());
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH as u16);
    rows.into_iter().for_each(|row| _ = table.add_row(row));
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_padding((if i == 0 { 2 } else { 1 }, 1));
        if i >= left {
            column.set_cell_alignment(CellAlignment::Right);
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table.lines().fold(String::new(), |text, line| text + line.trim_end() + "\n")
}

/// A count with its thousands set apart by letters: `1.24 M`.
pub fn count(n: u64) -> String {
    let x = n as f64;
    match n {
        0..10_000 => n.to_string(),
        10_000..1_000_000 => format!("{:.1} k", x / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} M", x / 1e6),
        _ => format!("{:.2} G", x / 1e9),
    }
}

/// Bytes: `97.8 MB`.
pub fn bytes(n: u64) -> String {
    if n < 10_000 { format!("{n} B") } else { format!("{}B", count(n)) }
}

pub fn duration(d: Duration) -> String {
    let s = d.as_secs_f64();
    match s {
        _ if s < 1e-3 => format!("{:.0} µs", s * 1e6),
        _ if s < 1.0 => format!("{:.2} ms", s * 1e3),
        _ => format!("{s:.2} s"),
    }
}

/// The whole summary of a run of `prune`.
pub fn summary(report: &Report) -> String {
    let failed = matches!(&report.verification, Outcome::Ran(v) if !v.equal);
    let written = if failed || report.gates.iter().any(|g| !g.met) { " (not written)" } else { "" };
    let mut out = format!("{} → {}{written}\n\n", report.input, report.output);
    out += &sizes(report);
    out += &layers(&report.layers);
    let other = !report.layers.is_empty() || report.sparsity.is_some();
    if !other || !report.groups.is_empty() {
        out += &groups(&report.groups);
    }
    if report.sparsity.is_none() || !report.groups.is_empty() {
        out += &pinned(&report.pinned);
    }
    out += &report.driven.as_ref().map_or_else(String::new, trials::told);
    out += &repaired(&report.repaired);
    out += &report.sparsity.as_ref().map_or_else(String::new, sparsity);
    out += "\nverification\n";
    out += &match &report.verification {
        Outcome::Ran(v) => verification(v, if report.groups.iter().all(|g| g.exact) { MASKED } else { RESTRICTED }),
        Outcome::NoReference { why, drift: d, latency: l } => {
            let why = format!("  no equivalence shown, for lack of a reference: {why}");
            let times = l.as_ref().map_or_else(String::new, |l| latency(l, "before", "after"));
            wrap(&why, 6) + &drift(d) + &times
        }
        Outcome::Unable { why, instead } => {
            wrap(&format!("  not run: {why}"), 6) + &wrap(&format!("  checked instead: {instead}"), 6)
        }
        Outcome::Skipped => "  skipped\n".to_owned(),
    };
    out += &report.metrics.as_ref().map_or_else(String::new, figures::metrics);
    out += &gates(&report.gates);
    out + &stages(&report.stages)
}

/// What the gates say, a line each.
pub fn gates(verdicts: &[Verdict]) -> String {
    if verdicts.is_empty() {
        return String::new();
    }
    let line = |v: &Verdict| wrap(&format!("  {} {}", if v.met { "ok" } else { "MISSED" }, v.says), 6);
    format!("\ngates\n{}", verdicts.iter().map(line).collect::<String>())
}

fn layers(layers: &[LayerReport]) -> String {
    if layers.is_empty() {
        return String::new();
    }
    let more = layers.len().saturating_sub(LINES);
    let more = if more > 0 { format!("  … {more} more\n") } else { String::new() };
    format!("\nremoved ({})\n{}{more}", plural(layers.len(), "layer"), layer_table(&layers[..layers.len().min(LINES)]))
}

/// Layers, a line each.
pub fn layer_table(layers: &[LayerReport]) -> String {
    let line = |l: &LayerReport| {
        let name = format!("{} (node {})", l.cut.name, l.cut.node);
        let score = l.cut.score.map_or_else(|| "–".to_owned(), |s| format!("{s:.4}"));
        let ends = [name, l.entry.clone(), l.exit.clone()];
        ends.into_iter().chain([l.calls.to_string(), count(l.macs), count(l.params), score]).collect()
    };
    let header = ["ends at", "from", "to", "nodes", "MACs", "parameters", "score"];
    table(&header, 3, layers.iter().map(line).collect::<Vec<_>>())
}

fn sizes(report: &Report) -> String {
    let (a, b) = (&report.before, &report.after);
    let row = |name: &str, before: u64, after: u64, show: fn(u64) -> String| {
        let left =
            if before == 0 { "–".to_owned() } else { format!("{:.1} %", 100.0 * after as f64 / before as f64) };
        vec![name.to_owned(), show(before), show(after), left]
    };
    table(
        &["", "before", "after", "left"],
        1,
        [
            row("nodes", a.cost.nodes, b.cost.nodes, count),
            row("parameters", a.cost.params, b.cost.params, count),
            row("MACs", a.cost.macs, b.cost.macs, count),
            row("peak memory", a.cost.peak, b.cost.peak, bytes),
        ]
        .into_iter()
        // A result that failed its check was not written and has no size.
        .chain((b.file > 0).then(|| row("file", a.file, b.file, bytes))),
    )
}

fn groups(groups: &[GroupReport]) -> String {
    if groups.is_empty() {
        return "\nno group was cut\n".to_owned();
    }
    let rows = groups.iter().map(|g| {
        let label = format!("{}{}", g.label, if g.exact { "" } else { "!" });
        vec![label, list(&g.places), g.before.to_string(), g.after.to_string()]
    });
    format!("\ncut ({})\n{}", plural(groups.len(), "group"), table(&["group", "where", "units", "left"], 2, rows))
}

/// What the repair came to: the median contraction, and the worst.
fn repaired(all: &[Repaired]) -> String {
    let mut order: Vec<&Repaired> = all.iter().filter(|r| r.step != Step::RematchStatistics).collect();
    order.sort_by(|a, b| a.after.total_cmp(&b.after));
    let (Some(median), Some(worst)) = (order.get(order.len() / 2), order.last()) else { return String::new() };
    let share = |x: f64| format!("{:.1} %", 100.0 * x);
    format!(
        "\nrepaired ({} contractions; errors as shares of the output's variance)\n  median {} → {}, worst {} → {} (`{}`)\n",
        order.len(),
        share(median.before),
        share(median.after),
        share(worst.before),
        share(worst.after),
        worst.node
    )
}

/// The matrices with zeros, a line each.
fn sparsity(found: &SparsityReport) -> String {
    let share = |zeros: usize, of: usize| format!("{:.1} %", 100.0 * zeros as f64 / of.max(1) as f64);
    let all = (count(found.zeros as u64), count(found.weights as u64), share(found.zeros, found.weights));
    let mut out = format!("\nzeros ({}: {} of {} weights, {})\n", found.asked, all.0, all.1, all.2);
    let line = |l: &Thinned| {
        let shape = l.shape.iter().map(usize::to_string).collect::<Vec<_>>().join("×");
        let numbers = [count(l.weights as u64), share(l.zeros, l.weights)];
        [l.tensor.clone(), shape, l.method.to_string()].into_iter().chain(numbers).collect()
    };
    let lines = found.layers.iter().take(LINES).map(line);
    out += &table(&["weight", "shape", "by", "weights", "zero"], 3, lines.collect::<Vec<Vec<String>>>());
    if found.layers.len() > LINES {
        _ = writeln!(out, "  … {} more", found.layers.len() - LINES);
    }
    out += "  the tensors are as large as before; what is faster with zeros in them is up to the runtime\n";
    if !found.proved {
        out += "  the equivalence below is that of the model before its weights changed; the drift is with the zeros\n";
    }
    out
}

/// The first few names, and how many there are beside them.
pub fn list(names: &[String]) -> String {
    let shown = names.iter().take(NAMES).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > NAMES { format!("{shown}, … {} more", names.len() - NAMES) } else { shown }
}

/// A paragraph, broken at spaces; all lines but the first are indented by `indent`.
pub fn wrap(text: &str, indent: usize) -> String {
    let mut lines = vec![String::new()];
    // The spaces in front belong to the first line.
    let lead: String = text.chars().take_while(|c| *c == ' ').collect();
    for word in text.split_whitespace() {
        let line = lines.len() - 1;
        let margin = if line == 0 { lead.clone() } else { " ".repeat(indent) };
        match lines[line].is_empty() {
            true => lines[line] = margin + word,
            false if lines[line].chars().count() + 1 + word.chars().count() <= WIDTH => {
                lines[line] += &format!(" {word}")
            }
            false => lines.push(" ".repeat(indent) + word),
        }
    }
    lines.join("\n") + "\n"
}

fn pinned(pins: &[PinReport]) -> String {
    if pins.is_empty() {
        return String::new();
    }
    let mut out = format!("\nnot cut ({})\n", plural(pins.len(), "group"));
    for pin in pins.iter().take(LINES) {
        out += &wrap(&pin_line(pin), 6);
    }
    if pins.len() > LINES {
        _ = writeln!(
            out,
            "  … {} more: `secateur groups MODEL` lists all, `secateur explain` tells why",
            pins.len() - LINES
        );
    }
    out
}

/// Why nothing is cut.
pub fn nothing(analysis: &Analysis) -> String {
    let whole = if analysis.groups.all.iter().any(Group::is_free) {
        "nothing to prune: the options leave every group whole"
    } else {
        "nothing to prune: no group may be cut (`secateur explain` says why)"
    };
    whole.to_owned()
}

/// A group that stays whole, and why.
pub fn pin_line(pin: &PinReport) -> String {
    format!("  {}, {} units ({}): {}", pin.label, pin.size, list(&pin.places), pin.why)
}

/// What verification found, in sentences.
pub fn verification(v: &Verification, against: &str) -> String {
    let mut out = String::new();
    let verdict = if v.equal { "holds" } else { "FAILS" };
    let (worst_abs, worst_rel) = worst(&v.equivalence);
    _ = writeln!(
        out,
        "  {against} {verdict}: largest difference {worst_abs:.1e} absolute, {worst_rel:.1e} relative \
         (tolerance {:.0e}, {} inputs)",
        v.tolerance, v.samples
    );
    if !v.meaningful {
        _ = writeln!(
            out,
            "  but it says little: another input changes the outputs by only {:.1e}; verify with --inputs",
            v.sensitivity
        );
    }
    out += &drift(&v.drift);
    if let Some(l) = &v.latency {
        out += &latency(l, "before", "after");
    }
    out
}

fn worst(d: &Difference) -> (f64, f64) {
    let abs = d.outputs.iter().map(|o| o.max_abs).fold(0.0, f64::max);
    (abs, d.worst())
}

/// How far outputs are from the original's, a line each.
pub fn drift(d: &Difference) -> String {
    let line = |o: &OutputDifference| match o.differing {
        Some(share) => {
            format!("  drift of `{}` from the original: {:.1} % of the elements differ\n", o.name, share * 100.0)
        }
        None => format!(
            "  drift of `{}` from the original: cosine {:.4}, relative L2 {:.4}\n",
            o.name, o.cosine, o.relative_l2
        ),
    };
    let shown: String = d.outputs.iter().take(8).map(line).collect();
    if d.outputs.len() > 8 { format!("{shown}  … {} more outputs\n", d.outputs.len() - 8) } else { shown }
}

/// Latencies, with the spread of the runs.
pub fn latency(l: &Latency, first: &str, second: &str) -> String {
    let timing = |t: &Timing| {
        let (low, high) = t.quartiles;
        format!("{} (half of {} runs in {} – {})", duration(t.median), t.runs, duration(low), duration(high))
    };
    let mut out = format!("  latency {first}: {}\n", timing(&l.first));
    if let Some((t, ratio)) = &l.second {
        _ = writeln!(out, "  latency {second}: {}", timing(t));
        let (low, high) = ratio.quartiles;
        _ = writeln!(out, "  {:.2} times as fast ({low:.2} – {high:.2}), in tract on this machine", ratio.of_medians);
    }
    out
}

fn stages(stages: &[StageReport]) -> String {
    let shown: Vec<String> =
        stages.iter().map(|s| format!("{} {}", s.name, duration(Duration::from_secs_f64(s.seconds)))).collect();
    format!("\ntime: {}\n", shown.join(", "))
}

fn plural(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
