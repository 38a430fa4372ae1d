//! Charts as inline SVG. Colours are classes of the page's style, so they follow its mode.

use super::{Trial, section as page_section, short};
use crate::draw::{number, ticks};
use crate::figures;
use crate::latency::Timing;
use maud::{Markup, html};
use std::time::Duration;

/// The width of a chart; it is scaled to the page.
const WIDTH: f64 = 960.0;

/// The room for the numbers beside a plot.
const LEFT: f64 = 64.0;

/// One column of a profile.
pub(super) struct Column {
    pub name: String,
    pub before: f64,
    pub after: f64,
}

/// A section with a chart, where there is one.
pub(super) fn section(id: &str, title: &str, chart: Option<(String, Markup)>) -> Markup {
    let (about, chart) = chart.unzip();
    page_section(id, title, &about.unwrap_or_default(), chart)
}

/// What the two colours mean.
pub(super) fn legend(names: &[&str; 2]) -> Markup {
    html! { p.legend { span.swatch.after {} (names[0]) span.swatch.before {} (names[1]) } }
}

/// A bar as wide as its cell: what is left of what there was, of `most`.
pub(super) fn bar(before: f64, after: f64, most: f64) -> Markup {
    let width = |x: f64| if most > 0.0 && x.is_finite() { (100.0 * x / most).clamp(0.0, 100.0) } else { 0.0 };
    html! {
        svg.bar viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" {
            rect.track width="100" height="8" {}
            rect.before width=(fixed(width(before))) height="8" {}
            rect.after width=(fixed(width(after))) height="8" {}
        }
    }
}

/// Columns beside each other, over a scale of counts.
pub(super) fn profile(columns: &[Column], label: &str) -> Markup {
    let (top, height) = (8.0, 200.0);
    let most = columns.iter().map(|c| c.before.max(c.after)).fold(0.0, f64::max);
    let scale = ticks(most);
    let end = scale.last().copied().unwrap_or(1.0);
    let y = |x: f64| top + height * (1.0 - x / end);
    let step = (WIDTH - LEFT) / columns.len().max(1) as f64;
    let (step, gap) = (step.min(64.0), (step * 0.2).min(6.0));
    let say = |x: f64| if end < 100.0 { number(x) } else { figures::count(x as u64) };
    html! {
        svg.chart viewBox=(format!("0 0 {WIDTH} {}", top + height + 12.0)) role="img" aria-label=(label) {
            @for tick in &scale {
                path.grid d=(format!("M{LEFT} {:.1}H{WIDTH}", y(*tick))) {}
                text x=(LEFT - 8.0) y=(fixed(y(*tick) + 4.0)) text-anchor="end" { (say(*tick)) }
            }
            @for (i, c) in columns.iter().enumerate() {
                @let (x, width) = (LEFT + step * i as f64 + gap / 2.0, (step - gap).max(0.5));
                @let (was, is) = (c.before.max(c.after), c.after);
                g {
                    title { (c.name) ": " (say(c.before)) " → " (say(c.after)) }
                    rect.before x=(fixed(x)) y=(fixed(y(was))) width=(fixed(width)) height=(fixed(y(is) - y(was))) {}
                    rect.after x=(fixed(x)) y=(fixed(y(is))) width=(fixed(width)) height=(fixed(y(0.0) - y(is))) {}
                }
            }
        }
    }
}

/// Every run as a dot, in a row for each model.
pub(super) fn runs(rows: &[(&str, &Timing)]) -> Markup {
    const DOTS: usize = 200;
    let ms = |d: Duration| d.as_secs_f64() * 1e3;
    // A run that something else held up would squeeze all others: what lies beyond stands at the edge.
    let reach = |t: &Timing| ms(t.quartiles.1) + 3.0 * (ms(t.quartiles.1) - ms(t.quartiles.0)).max(0.1 * ms(t.median));
    let most = rows.iter().map(|(_, t)| reach(t).min(t.sorted.last().map_or(0.0, |d| ms(*d)))).fold(0.0, f64::max);
    let scale = ticks(most);
    let end = scale.last().copied().unwrap_or(1.0);
    let x = |t: f64| LEFT + (WIDTH - LEFT - 24.0) * (t / end).min(1.0);
    let (row, foot) = (56.0, 34.0);
    let bottom = row * rows.len() as f64;
    html! {
        svg.chart viewBox=(format!("0 0 {WIDTH} {}", bottom + foot)) role="img" aria-label="Latency of every run" {
            @for tick in &scale {
                path.grid d=(format!("M{:.1} 0V{bottom}", x(*tick))) {}
                text x=(fixed(x(*tick))) y=(bottom + 18.0) text-anchor="middle" { (number(*tick)) @if *tick == end { " ms" } }
            }
            @for (i, (name, t)) in rows.iter().enumerate() {
                @let middle = row * (i as f64 + 0.5);
                @let class = if i == 0 { "before" } else { "after" };
                @let (low, high) = (x(ms(t.quartiles.0)), x(ms(t.quartiles.1)));
                text.strong x=(LEFT - 12.0) y=(middle + 4.0) text-anchor="end" { (name) }
                rect.box.(class) x=(fixed(low)) y=(middle - 14.0) width=(fixed((high - low).max(1.0))) height="28" {}
                @for (k, run) in t.sorted.iter().step_by(t.sorted.len().div_ceil(DOTS).max(1)).enumerate() {
                    circle.dot.(class) cx=(fixed(x(ms(*run)))) cy=(fixed(middle + (k % 5) as f64 * 4.0 - 8.0)) r="3" {}
                }
                path.median d=(format!("M{:.1} {:.1}v36", x(ms(t.median)), middle - 18.0)) {
                    title { (figures::duration(t.median)) }
                }
            }
        }
    }
}

/// What was tried, by size and by how good it is, with the line of the best.
pub(super) fn trials(trials: &[Trial]) -> Option<(String, Markup)> {
    const DOTS: usize = 500;
    let sound: Vec<&Trial> = trials.iter().filter(|t| t.macs.is_finite() && t.score.is_finite()).take(DOTS).collect();
    let first = sound.first()?;
    let (top, height) = (12.0, 260.0);
    let (scale_x, scale_y) = (span(&sound, |t| t.macs * 100.0), span(&sound, |t| t.score));
    let share = |value: f64, scale: &[f64]| match scale {
        [low, .., high] => ((value - low) / (high - low)).clamp(0.0, 1.0),
        _ => 0.0,
    };
    let x = |t: f64| LEFT + (WIDTH - LEFT - 24.0) * share(t * 100.0, &scale_x);
    let y = |s: f64| top + height * (1.0 - share(s, &scale_y));
    let front = front(&sound);
    let line: Vec<String> = front.iter().map(|t| format!("{:.1},{:.1}", x(t.macs), y(t.score))).collect();
    let chart = html! {
        svg.chart viewBox=(format!("0 0 {WIDTH} {}", top + height + 44.0)) role="img" aria-label="Trials by size and score" {
            @for tick in &scale_y {
                path.grid d=(format!("M{LEFT} {:.1}H{WIDTH}", y(*tick))) {}
                text x=(LEFT - 8.0) y=(fixed(y(*tick) + 4.0)) text-anchor="end" { (number(*tick)) }
            }
            @for tick in &scale_x {
                text x=(fixed(x(*tick / 100.0))) y=(top + height + 20.0) text-anchor="middle" { (number(*tick)) " %" }
            }
            text x=(fixed(WIDTH / 2.0)) y=(top + height + 40.0) text-anchor="middle" { "MACs kept" }
            polyline.front points=(line.join(" ")) {}
            @for t in &sound {
                @let (class, r) = if t.chosen { ("chosen", 6) } else { ("after", 3) };
                circle.dot.(class) cx=(fixed(x(t.macs))) cy=(fixed(y(t.score))) r=(r) {
                    title { (figures::share(t.macs)) " of the MACs, " (t.measure) " " (format!("{:.4}", t.score)) }
                }
            }
        }
    };
    let which = if first.more_is_better { "more is better" } else { "less is better" };
    Some((
        format!("{} models: {} ({which}) by size. The line is the Pareto front.", trials.len(), short(first.measure)),
        chart,
    ))
}

/// The trials that no smaller or equal one beats, from small to large.
fn front<'a>(trials: &[&'a Trial]) -> Vec<&'a Trial> {
    let worth = |t: &Trial| if t.more_is_better { t.score } else { -t.score };
    let mut order = trials.to_vec();
    order.sort_by(|a, b| a.macs.total_cmp(&b.macs).then(worth(b).total_cmp(&worth(a))));
    let mut best = f64::NEG_INFINITY;
    order.retain(|t| {
        let better = worth(t) > best;
        best = best.max(worth(t));
        better
    });
    order
}

/// Round numbers around all values: from 0 up, or from near the least one where all are far from 0.
fn span(trials: &[&Trial], of: fn(&Trial) -> f64) -> Vec<f64> {
    let values = trials.iter().map(|t| of(t));
    let (least, most) = values.fold((f64::INFINITY, 0.0), |(a, b), v| (f64::min(a, v), f64::max(b, v)));
    if least <= 0.5 * most {
        return ticks(most);
    }
    let step = ticks((most - least).max(0.01 * most)).get(1).copied().unwrap_or(1.0);
    let (first, last) = ((least / step).floor() as i64, (most / step).ceil() as i64);
    (first..=last.max(first + 1)).map(|i| i as f64 * step).collect()
}

/// A coordinate; a tenth of a unit is enough.
fn fixed(x: f64) -> String {
    let text = format!("{x:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}
