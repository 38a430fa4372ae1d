//! How figures read: the same in the summary on a terminal and on the page of a report.

use crate::judge::Figure;
use std::time::Duration;

/// A count with its thousands set apart by letters: `1.24 M`.
pub(crate) fn count(n: u64) -> String {
    let x = n as f64;
    match n {
        0..10_000 => n.to_string(),
        10_000..1_000_000 => format!("{:.1} k", x / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} M", x / 1e6),
        _ => format!("{:.2} G", x / 1e9),
    }
}

/// Bytes: `97.8 MB`.
pub(crate) fn bytes(n: u64) -> String {
    if n < 10_000 { format!("{n} B") } else { format!("{}B", count(n)) }
}

/// A time: `1.52 ms`.
pub(crate) fn duration(d: Duration) -> String {
    let s = d.as_secs_f64();
    match s {
        _ if s < 1e-3 => format!("{:.0} µs", s * 1e6),
        _ if s < 1.0 => format!("{:.2} ms", s * 1e3),
        _ => format!("{s:.2} s"),
    }
}

/// What is left of something: `25.2 %`, or a dash where there was nothing.
pub(crate) fn left(before: u64, after: u64) -> String {
    if before == 0 { "–".to_owned() } else { share(after as f64 / before as f64) }
}

/// A share: `25.2 %`.
pub(crate) fn share(x: f64) -> String {
    format!("{:.1} %", 100.0 * x)
}

/// A share with one digit more, as measures of quality have it.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

/// A number of things: `1 group`, `3 groups`.
pub(crate) fn plural(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// How many names a list in a line has at most.
const NAMES: usize = 3;

/// The first few names, and how many there are beside them.
pub(crate) fn list(names: &[String]) -> String {
    let shown = names.iter().take(NAMES).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > NAMES { format!("{shown}, … {} more", names.len() - NAMES) } else { shown }
}

/// A figure's name for people.
pub(crate) fn title(figure: &Figure) -> String {
    figure.name.replace('_', " ")
}

/// A figure's value.
pub(crate) fn value(figure: &Figure) -> String {
    match figure.value {
        share if figure.share => percent(share),
        small if small != 0.0 && small.abs() < 1e-2 => format!("{small:.3e}"),
        number => format!("{number:.4}"),
    }
}

/// A difference of two values of a figure; of shares, in points.
pub(crate) fn signed(figure: &Figure, change: f64) -> String {
    if figure.share { format!("{:+.2}", 100.0 * change) } else { format!("{change:+.4}") }
}
