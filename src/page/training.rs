//! How a training went: as a page of its own, and as a section of a report.

use super::{document, section, short};
use crate::draw::{Chart, Line};
use crate::job::report::Report;
use crate::tune::Curve;
use maud::{Markup, PreEscaped, html};

/// A training, told on one page.
pub(crate) struct TrainingPage<'a> {
    /// The model that was trained.
    pub model: &'a str,
    /// What it learned from, in a sentence.
    pub about: &'a str,
    /// What the curve's metric is.
    pub metric: &'a str,
    pub curve: &'a Curve,
}

impl TrainingPage<'_> {
    /// The page, as HTML: one file that needs nothing else.
    pub(crate) fn html(&self) -> String {
        let curve = self.curve;
        let best = curve.held_out.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1)).map(|(epoch, _)| epoch);
        let learned = curve.training.iter().enumerate().map(|(i, &loss)| ((i + 1) as f64, loss));
        let losses = [line("training", learned), line("held out", numbered(&curve.held_out))];
        let metric = [line(self.metric, numbered(&curve.metric))];
        let chart = |title: &str, lines: &[Line]| {
            let chart = Chart { title: title.into(), x: "epoch".into(), y: title.into(), lines: lines.to_vec() };
            Some(PreEscaped(chart.svg()))
        };
        let body = html! {
            header { p.kicker { "secateur tune" } h1 { (short(self.model)) } p.about { (self.about) } }
            (section("loss", "Loss", &said(best), chart("loss", &losses)))
            @if !curve.metric.is_empty() { (section("metric", "Held out", "", chart(self.metric, &metric))) }
            (section("epochs", "Epoch by epoch", "", Some(self.table(best))))
        };
        document(&format!("{} – secateur", short(self.model)), body)
    }

    fn table(&self, best: Option<usize>) -> Markup {
        let shown = |number: Option<&f64>| number.map_or(String::new(), |x| format!("{x:.4}"));
        html! {
            table {
                thead { tr { th { "epoch" } th.number { "loss" } th.number { "held-out loss" } th.number { (self.metric) } } }
                tbody {
                    @for (epoch, loss) in self.curve.held_out.iter().enumerate() {
                        @let training = epoch.checked_sub(1).and_then(|e| self.curve.training.get(e));
                        tr {
                            td { (epoch) @if Some(epoch) == best { " ←" } } td.number { (shown(training)) }
                            td.number { (shown(Some(loss))) } td.number { (shown(self.curve.metric.get(epoch))) }
                        }
                    }
                }
            }
        }
    }
}

/// What became of the training.
fn said(best: Option<usize>) -> String {
    match best {
        Some(0) => "No epoch lowered the loss on samples that are held out.".into(),
        Some(epoch) => format!("The loss on samples that are held out is lowest after epoch {epoch}."),
        None => String::new(),
    }
}

fn line(name: &str, points: impl Iterator<Item = (f64, f64)>) -> Line {
    Line { name: name.into(), points: points.collect() }
}

fn numbered(numbers: &[f64]) -> impl Iterator<Item = (f64, f64)> {
    numbers.iter().enumerate().map(|(i, &number)| (i as f64, number))
}

/// The training between the rounds of a cut.
pub(super) fn rounds(report: &Report) -> Markup {
    let all = report.searched.iter().flat_map(|s| &s.rounds).collect::<Vec<_>>();
    let content = html! {
        table {
            thead { tr { th { "round" } th.number { "steps" } th.number { "loss before" } th.number { "after" } } }
            tbody {
                @for (round, one) in all.iter().enumerate() {
                    tr {
                        td { (round + 1) } td.number { (one.steps) }
                        td.number { (format!("{:.4}", one.before)) } td.number { (format!("{:.4}", one.after)) }
                    }
                }
            }
        }
    };
    let about = "Losses on samples that are held out, after each round's cut and after its training.";
    section("training", "How training went", about, (!all.is_empty()).then_some(content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_the_curves_and_marks_the_best_epoch() {
        let curve = Curve { training: vec![0.5, 0.4], held_out: vec![0.9, 0.3, 0.6], metric: vec![0.1, 0.8, 0.7] };
        let page = TrainingPage { model: "a<b.onnx", about: "80 samples", metric: "accuracy", curve: &curve }.html();
        assert!(page.starts_with("<!DOCTYPE html>") && page.contains("a&lt;b.onnx"), "{page}");
        assert!(page.contains("lowest after epoch 1.") && page.contains("<td>1 ←</td>"), "{page}");
        assert_eq!((page.matches("<svg").count(), page.matches("<polyline").count()), (2, 3));
        let bare = TrainingPage { model: "m", about: "", metric: "accuracy", curve: &Curve::default() }.html();
        assert!(bare.matches("<svg").count() == 1 && !page.contains("http://x"), "{bare}");
    }
}
