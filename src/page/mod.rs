//! A report as a page to look at: one HTML file that needs nothing else.
//!
//! No scripts, no fonts, nothing from elsewhere: charts are inline SVG, and the colours follow the reader's light or dark
//! mode. Lists are cut off where they are long (and say so), so the page stays small whatever the model.

mod chart;
mod layers;
mod lists;
mod proof;
mod summary;
mod training;

pub(crate) use training::TrainingPage;

use crate::job::report::Report;
use crate::job::search::Trial as Tried;
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// A model that was tried: how large it is and how good.
#[derive(Clone, Debug)]
struct Trial {
    /// The share of the multiply-accumulates that it keeps.
    macs: f64,
    /// How good it is; what that means is in the name.
    score: f64,
    /// What the score measures (`accuracy`, `drift`), and whether more of it is better.
    measure: &'static str,
    more_is_better: bool,
    /// Whether this is the one that was written.
    chosen: bool,
}

/// How many rows a table has at most.
const ROWS: usize = 60;

/// How long a name is at most; the rest is cut out of its middle.
const NAME: usize = 120;

const STYLE: &str = include_str!("style.css");

/// The page of a report, as HTML.
pub(crate) fn html(report: &Report) -> String {
    page(report, &trials(report))
}

fn page(report: &Report, trials: &[Trial]) -> String {
    let title = format!("{} – secateur", short(&report.input));
    let sections = [
        summary::gates(&report.gates),
        layers::profile(report),
        layers::machine(report),
        layers::table(report),
        layers::removed(report),
        lists::groups(report),
        lists::pins(report),
        lists::unproved(report),
        lists::repaired(report),
        lists::sparsity(report),
        training::rounds(report),
        chart::section("trials", "What was tried", chart::trials(trials)),
        lists::metrics(report),
        proof::section(report),
        proof::latency(report),
        summary::making(report),
    ];
    let body = html! { (summary::head(report)) @for section in sections { (section) } };
    document(&title, body)
}

/// A whole page.
fn document(title: &str, body: Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content=(concat!("secateur ", env!("CARGO_PKG_VERSION")));
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main { (body) }
            }
        }
    };
    page.into_string()
}

/// What was tried on the way to the plan.
fn trials(report: &Report) -> Vec<Trial> {
    let whole = report.before.cost.macs.max(1) as f64;
    let shown = |trial: &Tried, chosen: bool| {
        let (score, measure, more_is_better) = match &trial.score.metric {
            // What was lost grows as a share shrinks, and as an error grows.
            Some(m) => (m.after, m.name, (m.before - m.after) * m.drop >= 0.0),
            None => (trial.score.drift, "drift", false),
        };
        Trial { macs: trial.after.macs as f64 / whole, score, measure, more_is_better, chosen }
    };
    let searched = report.searched.as_ref();
    let constraint = searched.and_then(|s| s.constraint.as_ref()).map(|c| (&c.trials, c.chosen));
    let allocation = searched.and_then(|s| s.allocation.as_ref()).map(|s| (&s.trials, Some(s.best)));
    let all = constraint.into_iter().chain(allocation);
    all.flat_map(|(trials, best)| trials.iter().enumerate().map(move |(i, t)| shown(t, best == Some(i)))).collect()
}

/// A section with a heading, where there is something in it.
fn section(id: &str, title: &str, about: &str, content: Option<Markup>) -> Markup {
    html! {
        @if let Some(content) = content {
            section id=(id) {
                h2 { (title) }
                @if !about.is_empty() { p.about { (about) } }
                (content)
            }
        }
    }
}

/// A name that fits a line; the middle of a long one is left out.
fn short(name: &str) -> String {
    let count = name.chars().count();
    if count <= NAME {
        return name.to_owned();
    }
    let head: String = name.chars().take(NAME / 2).collect();
    let tail: String = name.chars().skip(count - NAME / 2).collect();
    format!("{head}…{tail}")
}

/// The names of places, as many as fit a line.
fn places(names: &[String]) -> String {
    let shown = names.iter().take(3).map(|n| short(n)).collect::<Vec<_>>().join(", ");
    if names.len() > 3 { format!("{shown}, … {} more", names.len() - 3) } else { shown }
}

/// Says what was left out of a list.
fn more(left_out: usize, of_what: &str) -> Markup {
    html! {
        @if left_out > 0 { p.more { "… " (left_out) " more " (of_what) "; the JSON report has them all" } }
    }
}

#[cfg(test)]
mod screenshot_test;
#[cfg(test)]
mod tests;
