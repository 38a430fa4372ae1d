//! How results are shown: JSON for machines, tables and sentences for people.

use super::{Failure, figures, log, machine, progress, trials};
use crate::compare::{Difference, OutputDifference};
use crate::figures::{plural, share};
use crate::job::files;
use crate::job::gates::Verdict;
use crate::job::prove::Failed;
use crate::job::report::{
    GroupReport, LayerReport, Outcome, PinReport, Report, SampleReport, SizeRow, SparsityReport, StageReport,
};
use crate::latency::{Latency, Timing};
use crate::lossless::{Certificate, Proof};
use crate::oracle::Plan;
use crate::repair::Repaired;
use crate::sparsity::Thinned;
use crate::verify::{Doubled, Verification};
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, presets};
use serde::Serialize;
use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

pub(super) use super::log::note;
pub(super) use crate::figures::{bytes, count, duration, list};

/// How many lines a list in the summary has at most.
const LINES: usize = 20;

/// How wide tables and lists are at most, in characters.
const WIDTH: usize = 100;

/// Prints text to stdout. A reader that has gone away is no error.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    log::written();
    match progress::without_bars(|| std::io::stdout().write_all(text.as_bytes())) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::new(format!("stdout: {e}"))),
        _ => Ok(()),
    }
}

pub(super) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    print(&(serde_json::to_string_pretty(value)? + "\n"))
}

/// Writes JSON to a file: whole, or not at all.
pub(super) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Failure> {
    Ok(files::write_json(path, value)?)
}

/// Writes text to a file: whole, or not at all.
pub(super) fn write_text(path: &Path, text: &str) -> Result<(), Failure> {
    Ok(files::write_text(path, text)?)
}

/// A table without frames; all columns but the first `left` are numbers, set to the right.
pub(super) fn table(header: &[&str], left: usize, rows: impl IntoIterator<Item = Vec<String>>) -> String {
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

/// The whole summary of a run of `prune`.
pub(super) fn summary(report: &Report) -> String {
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
    out += &report.unproved.as_ref().map_or_else(String::new, |failed| unproved(failed, report));
    out += &report.searched.as_ref().map_or_else(String::new, trials::summary);
    out += &lossless(&report.lossless);
    out += &samples(&report.samples);
    out += &repaired(report);
    out += &report.sparsity.as_ref().map_or_else(String::new, sparsity);
    out += "\nverification\n";
    out += &match &report.verification {
        Outcome::Ran(v) => verification(v, report.equivalence()),
        Outcome::NoReference { why, drift: d, latency: l } => {
            let why = format!("  equivalence not shown, because there is no reference: {why}");
            let times = l.as_ref().map_or_else(String::new, |l| latency(l, "before", "after"));
            wrap(&why, 6) + &drift(d) + &times
        }
        Outcome::Unable { why, instead } => {
            wrap(&format!("  not run: {why}"), 6) + &wrap(&format!("  checked instead: {instead}"), 6)
        }
        Outcome::Skipped => "  skipped\n".to_owned(),
    };
    out += &strayed(report);
    out += &report.slow().map_or_else(String::new, |what| wrap(&format!("  {what}"), 6));
    out += &report.metrics.as_ref().map_or_else(String::new, figures::metrics);
    out += &gates(&report.gates);
    out + &stages(&report.stages)
}

/// What the gates say, a line each.
pub(super) fn gates(verdicts: &[Verdict]) -> String {
    if verdicts.is_empty() {
        return String::new();
    }
    let line = |v: &Verdict| wrap(&format!("  {} {}", if v.met { "ok" } else { "MISSED" }, v.says), 6);
    format!("\ngates\n{}", verdicts.iter().map(line).collect::<String>())
}

/// What went without loss, group by group.
fn lossless(certificates: &[Certificate]) -> String {
    if certificates.is_empty() {
        return String::new();
    }
    let line = |c: &Certificate| {
        let count = |is: fn(&Proof) -> bool| c.units.iter().filter(|u| is(&u.proof)).count();
        let sorts = [
            count(|p| matches!(p, Proof::Dead)),
            count(|p| matches!(p, Proof::Unread)),
            count(|p| matches!(p, Proof::Constant { .. })),
            count(|p| matches!(p, Proof::Twin { .. })),
        ];
        let first = c.places.first().cloned().unwrap_or_default();
        [c.group.clone(), first].into_iter().chain(sorts.map(|n| n.to_string())).collect()
    };
    let more = certificates.len().saturating_sub(LINES);
    let more = if more > 0 { format!("  … {more} more\n") } else { String::new() };
    let lines: Vec<Vec<String>> = certificates.iter().take(LINES).map(line).collect();
    let header = ["group", "first at", "dead", "unread", "constant", "multiples"];
    let units: usize = certificates.iter().map(|c| c.units.len()).sum();
    format!("\nwithout loss ({})\n{}{more}", plural(units, "unit"), table(&header, 2, lines))
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
pub(super) fn layer_table(layers: &[LayerReport]) -> String {
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
    let row = |s: SizeRow| vec![s.name.to_owned(), s.show(s.before), s.show(s.after), s.left()];
    table(&["", "before", "after", "left"], 1, report.sizes().into_iter().map(row))
        + &report.plan.target().map_or_else(String::new, |target| format!("widths for {target}\n"))
        + &report.machine.as_ref().map_or_else(String::new, machine::summary)
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

/// What samples were made up, or why none were.
fn samples(samples: &SampleReport) -> String {
    match samples {
        SampleReport::Given { .. } | SampleReport::None { why: None } => String::new(),
        SampleReport::MadeUp { .. } => {
            let advice = "real ones keep more of the accuracy: give some with --calib";
            format!("\nsamples\n{}{}", wrap(&format!("  {samples}"), 6), wrap(&format!("  {advice}"), 6))
        }
        SampleReport::None { why: Some(why) } => {
            let text = format!("  none, so weights alone chose: {why}; give some with --calib");
            format!("\nsamples\n{}", wrap(&text, 6))
        }
    }
}

/// What the repair came to: the median contraction and the worst, and what was not repaired.
fn repaired(report: &Report) -> String {
    let mut out = String::new();
    if let Some((median, worst)) = report.repair() {
        _ = writeln!(
            out,
            "\nrepaired ({}; errors as shares of the output's variance, on held-out samples)\n  \
             median {} → {}, worst {} → {} (`{}`)",
            plural(report.refitted().count(), "contraction"),
            share(median.before),
            share(median.after),
            share(worst.before),
            share(worst.after),
            worst.node
        );
        if let Some(spilled) = report.repair_costs.filter(|r| r.in_file > 0) {
            let [memory, file] = [spilled.in_memory, spilled.in_file].map(bytes);
            _ = writeln!(out, "  activations took {memory} of memory and {file} of a temporary file (--memory)");
        }
        let few: Vec<&Repaired> = report.refitted().filter(|r| r.lacks_samples()).collect();
        if let Some(most) = few.iter().max_by_key(|r| r.reads) {
            let text = format!(
                "  too few samples: {} of them read more numbers than there are samples (`{}`: {} numbers, {} samples), \
                 so the repair learns little from them; give more with --calib and --samples",
                few.len(),
                most.node,
                most.reads,
                most.rows
            );
            out += &wrap(&text, 6);
        }
    } else if !report.unrepaired.is_empty() {
        out += "\nrepaired (nothing)\n";
    }
    for (why, calls, macs, first) in report.unrepaired_by_reason() {
        let text = format!(
            "  not repaired: {}, {} of the MACs (`{first}`{}): {why}",
            plural(calls, "call"),
            share(macs),
            if calls > 1 { ", …" } else { "" }
        );
        out += &wrap(&text, 6);
    }
    out
}

/// The matrices with zeros, a line each.
fn sparsity(found: &SparsityReport) -> String {
    let of = |zeros: usize, of: usize| share(zeros as f64 / of.max(1) as f64);
    let all = (count(found.zeros as u64), count(found.weights as u64), of(found.zeros, found.weights));
    let mut out = format!("\nzeros ({}: {} of {} weights, {})\n", found.asked, all.0, all.1, all.2);
    let line = |l: &Thinned| {
        let shape = l.shape.iter().map(usize::to_string).collect::<Vec<_>>().join("×");
        let numbers = [count(l.weights as u64), of(l.zeros, l.weights)];
        [l.tensor.clone(), shape, l.method.to_string()].into_iter().chain(numbers).collect()
    };
    let lines = found.layers.iter().take(LINES).map(line);
    out += &table(&["weight", "shape", "by", "weights", "zero"], 3, lines.collect::<Vec<Vec<String>>>());
    if found.layers.len() > LINES {
        _ = writeln!(out, "  … {} more", found.layers.len() - LINES);
    }
    out += "  the tensors keep their sizes; whether zeros make them faster depends on the runtime\n";
    if !found.proved {
        out += "  the equivalence below is that of the model before its weights were refitted; the drift includes the \
                zeros\n";
    }
    out
}

/// A paragraph, broken at spaces; all lines but the first are indented by `indent`.
pub(super) fn wrap(text: &str, indent: usize) -> String {
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

/// A group that stays whole, and why.
pub(super) fn pin_line(pin: &PinReport) -> String {
    format!("  {}, {} units ({}): {}", pin.label, pin.size, list(&pin.places), pin.why)
}

/// What verification found, in sentences.
pub(super) fn verification(v: &Verification, against: &str) -> String {
    let mut out = String::new();
    let verdict = if v.equal { "holds" } else { "FAILS" };
    let (worst_abs, worst_rel) = (v.equivalence.worst_abs(), v.equivalence.worst());
    _ = writeln!(
        out,
        "  {against} {verdict}: largest difference {worst_abs:.1e} absolute, {worst_rel:.1e} relative \
         (tolerance {:.0e}, {} inputs{})",
        v.tolerance,
        v.samples,
        v.runtime.map_or_else(String::new, |ran| format!(", {ran}"))
    );
    if let Some(rounding) = v.rounding {
        _ = writeln!(out, "  that is in 32 bits; the 16 of the model change its outputs by {rounding:.1e} (relative)");
    }
    if !v.constants.is_empty() {
        let names = list(&v.constants.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>());
        out += &wrap(&format!("  with {names} as a constant, which decides what is run"), 6);
    }
    if v.plan == Plan::Program {
        out += "  computed in double precision by secateur itself, since the runtime can't run the models\n";
    }
    match &v.double {
        Some(Doubled::Apart(apart)) => {
            _ = writeln!(out, "  in double precision, which decides: {:.1e} relative", apart.worst());
        }
        Some(Doubled::Unable(why)) => out += &wrap(&format!("  not computed in double precision: {why}"), 6),
        None => {}
    }
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
    if let Some(why) = &v.untimed {
        out += &wrap(&format!("  not timed: {why}"), 6);
    }
    out
}

/// What a proof that failed left whole.
fn unproved(failed: &Failed, report: &Report) -> String {
    let count = failed.groups.len();
    let mut out =
        format!("\nnot exact{}\n", if count > 0 { format!(" ({})", plural(count, "group")) } else { String::new() });
    out += &wrap(&format!("  the whole plan fails its proof: {}", failed.why), 6);
    for group in failed.groups.iter().take(LINES) {
        let (label, size, places) = (&group.label, group.size, list(&group.places));
        out += &wrap(&format!("  {label}, {size} units ({places}): {}", group.reason.text()), 6);
    }
    if failed.groups.len() > LINES {
        _ = writeln!(out, "  … {} more", failed.groups.len() - LINES);
    }
    let rest = match (failed.groups.is_empty(), failed.replanned) {
        (true, _) => "nothing of it was carried out".to_owned(),
        (false, true) => {
            "they stay whole, and others lose more to meet the budget; that was cut and is proved".to_owned()
        }
        (false, false) => match report.missed() {
            Some(missed) => format!("they stay whole, so that {missed}; the rest was cut and is proved"),
            None => "they stay whole; the rest was cut and is proved".to_owned(),
        },
    };
    out += &wrap(&format!("  {rest} ({} in between)", plural(failed.runs, "proof")), 6);
    failed.dropped.iter().for_each(|what| out += &wrap(&format!("  dropped: {what}"), 6));
    out
}

/// That little is left of what the model said.
fn strayed(report: &Report) -> String {
    report.strayed().map_or_else(String::new, |drift| {
        let what = format!(
            "  the outputs are as far from the original's as zeros would be (relative L2 {drift:.2}): little of the accuracy \
             can be left. Cut less, bound the drift (--max-drift), give real samples (--calib), or train the result \
             (`secateur tune`)"
        );
        wrap(&what, 6)
    })
}

/// How far outputs are from the original's, a line each.
pub(super) fn drift(d: &Difference) -> String {
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
pub(super) fn latency(l: &Latency, first: &str, second: &str) -> String {
    let timing = |t: &Timing| {
        let (low, high) = t.quartiles;
        format!("{} (half of {} runs in {} – {})", duration(t.median), t.runs(), duration(low), duration(high))
    };
    let mut out = format!("  latency {first}: {}\n", timing(&l.first));
    let threads = if l.threads > 1 { format!(" on {} threads", l.threads) } else { String::new() };
    let place = format!("in {}{threads} on this machine", l.ran);
    if l.second.is_none() {
        _ = writeln!(out, "  {place}");
    }
    if let Some((t, ratio)) = &l.second {
        _ = writeln!(out, "  latency {second}: {}", timing(t));
        let ((low, high), sure) = (ratio.interval, 100.0 * ratio.confidence);
        let sure = match ratio.is_sure() {
            true => format!("{low:.2} – {high:.2} with {sure:.0} % confidence"),
            false => format!("{low:.2} – {high:.2}, of too few runs to be sure"),
        };
        _ = writeln!(out, "  {:.2} times as fast ({sure}), {place}", ratio.median);
    }
    out
}

fn stages(stages: &[StageReport]) -> String {
    let shown: Vec<String> =
        stages.iter().map(|s| format!("{} {}", s.name, duration(Duration::from_secs_f64(s.seconds)))).collect();
    format!("\n{}", wrap(&format!("time: {}", shown.join(", ")), 6))
}
