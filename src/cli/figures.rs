//! How the figures of a judgement are shown.

use super::show;
use crate::judge::Figure;
use crate::report::Metrics;

/// The figures before and after.
pub fn metrics(metrics: &Metrics) -> String {
    let row = |(before, after): (Figure, Figure)| {
        let change = signed(&after, metrics.change[after.name]);
        vec![title(&after), value(&before), value(&after), change]
    };
    let rows = metrics.before.figures().into_iter().zip(metrics.after.figures()).map(row);
    let table = show::table(&["", "before", "after", "change"], 1, rows);
    format!("\nmetrics ({} samples)\n{table}", metrics.after.samples())
}

/// A figure's name for people.
pub fn title(figure: &Figure) -> String {
    figure.name.replace('_', " ")
}

/// A figure's value.
pub fn value(figure: &Figure) -> String {
    match figure.value {
        share if figure.share => percent(share),
        small if small != 0.0 && small.abs() < 1e-2 => format!("{small:.3e}"),
        number => format!("{number:.4}"),
    }
}

/// A difference of two values of a figure; of shares, in points.
pub fn signed(figure: &Figure, change: f64) -> String {
    if figure.share { format!("{:+.2}", 100.0 * change) } else { format!("{change:+.4}") }
}

/// A share.
pub fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}
