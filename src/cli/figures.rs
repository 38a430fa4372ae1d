//! How the figures of a judgement are shown.

use super::show;
use crate::job::report::Metrics;
use crate::judge::Figure;

pub(super) use crate::figures::{percent, signed, title, value};

/// The figures before and after.
pub(super) fn metrics(metrics: &Metrics) -> String {
    let row = |(before, after): (Figure, Figure)| {
        let change = signed(&after, metrics.change[after.name]);
        vec![title(&after), value(&before), value(&after), change]
    };
    let rows = metrics.before.figures().into_iter().zip(metrics.after.figures()).map(row);
    let table = show::table(&["", "before", "after", "change"], 1, rows);
    format!("\nmetrics ({} samples)\n{table}", metrics.after.samples())
}
