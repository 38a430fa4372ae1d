//! Line charts as SVG, plain text that every browser shows, in its light or its dark colours.

use std::fmt::Write;

/// A chart of lines over one pair of axes that begin at zero.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chart {
    pub title: String,
    /// What the axes show.
    pub x: String,
    pub y: String,
    pub lines: Vec<Line>,
}

/// A line with its name.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

/// The plot's left, top, width and height.
const PLOT: (f64, f64, f64, f64) = (64.0, 48.0, 520.0, 320.0);

/// How wide the names beside the plot are, and how high a line of them is.
const NAMES: (f64, f64) = (200.0, 18.0);

/// Colours in both modes: the page's own text and lines, and hues of one lightness.
const STYLE: &str = "\
  text { font: 13px system-ui, sans-serif; fill: #333 } .title { font-size: 16px }
  .grid { stroke: #ddd } .axis { stroke: #888 } .line { fill: none; stroke-width: 2 }
  @media (prefers-color-scheme: dark) { text { fill: #ccc } .grid { stroke: #333 } .axis { stroke: #777 } }";

impl Chart {
    /// The chart as the text of an SVG file.
    pub(crate) fn svg(&self) -> String {
        let (left, top, width, height) = PLOT;
        let names = top + NAMES.1 * self.lines.len() as f64;
        let size = (left + width + NAMES.0, (top + height + 56.0).max(names + 16.0));
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" width=\"{}\" role=\"img\">\n",
            size.0, size.1, size.0
        );
        _ = writeln!(out, "<style>\n{STYLE}\n</style>\n<title>{}</title>", escaped(&self.title));
        out += &text(left, 26.0, "start", "title", &self.title);
        out += &text(left + width / 2.0, top + height + 40.0, "middle", "", &self.x);
        let at = (16.0, top + height / 2.0);
        _ = writeln!(
            out,
            "<text x=\"{0}\" y=\"{1}\" transform=\"rotate(-90 {0} {1})\" text-anchor=\"middle\">{2}</text>",
            at.0,
            at.1,
            escaped(&self.y)
        );
        let scale = Scale { x: ticks(self.most(|p| p.0)), y: ticks(self.most(|p| p.1)) };
        out += &scale.grid();
        for (i, line) in self.lines.iter().enumerate() {
            out += &scale.line(line, i, self.lines.len());
        }
        out + "</svg>\n"
    }

    fn most(&self, of: fn(&(f64, f64)) -> f64) -> f64 {
        self.lines.iter().flat_map(|l| &l.points).map(of).filter(|x| x.is_finite()).fold(0.0, f64::max)
    }
}

/// The ticks of both axes; the last ones are the plot's ends.
struct Scale {
    x: Vec<f64>,
    y: Vec<f64>,
}

impl Scale {
    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let (left, top, width, height) = PLOT;
        let share = |value: f64, ticks: &[f64]| (value / ticks.last().copied().unwrap_or(1.0)).clamp(0.0, 1.0);
        (left + width * share(x, &self.x), top + height * (1.0 - share(y, &self.y)))
    }

    fn grid(&self) -> String {
        let (left, top, width, height) = PLOT;
        let mut out = String::new();
        for &tick in &self.y {
            let y = self.place((0.0, tick)).1;
            let class = if tick == 0.0 { "axis" } else { "grid" };
            _ = writeln!(out, "<path class=\"{class}\" d=\"M{left} {y:.1}h{width}\"/>");
            out += &text(left - 8.0, y + 4.0, "end", "", &number(tick));
        }
        for &tick in &self.x {
            let x = self.place((tick, 0.0)).0;
            out += &text(x, top + height + 20.0, "middle", "", &number(tick));
        }
        out
    }

    /// A line, and its name beside the plot.
    fn line(&self, line: &Line, number: usize, of: usize) -> String {
        let colour = format!("hsl({} 65% 50%)", 360 * number / of.max(1));
        let places: Vec<(f64, f64)> =
            line.points.iter().filter(|p| p.0.is_finite() && p.1.is_finite()).map(|&p| self.place(p)).collect();
        let path: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let name = escaped(&line.name);
        let mut out = format!(
            "<g><title>{name}</title><polyline class=\"line\" stroke=\"{colour}\" points=\"{}\"/>",
            path.join(" ")
        );
        for (x, y) in &places {
            _ = write!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
        }
        let (x, y) = (PLOT.0 + PLOT.2 + 16.0, PLOT.1 + NAMES.1 * number as f64);
        _ = writeln!(out, "<path stroke=\"{colour}\" stroke-width=\"2\" d=\"M{x} {}h14\"/></g>", y - 4.0);
        out + &text(x + 20.0, y, "start", "", &line.name)
    }
}

/// Round numbers from 0 to one that is not below `most`.
pub(crate) fn ticks(most: f64) -> Vec<f64> {
    let most = if most > 0.0 { most } else { 1.0 };
    let power = 10f64.powf(most.log10().floor());
    let step = [0.2, 0.25, 0.5, 1.0, 2.0].into_iter().map(|s| s * power).find(|s| s * 5.0 >= most).unwrap_or(power);
    let count = (most / step - 1e-9).ceil() as usize;
    (0..=count).map(|i| i as f64 * step).collect()
}

/// A number with as many digits as a tick needs.
pub(crate) fn number(x: f64) -> String {
    let text = format!("{x:.4}");
    match x == 0.0 || x.abs() >= 1e-3 {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => format!("{x:.1e}"),
    }
}

fn text(x: f64, y: f64, anchor: &str, class: &str, words: &str) -> String {
    let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\"{class}>{}</text>\n", escaped(words))
}

/// Text as XML wants it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_the_top() {
        assert_eq!(ticks(0.9), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!(ticks(7.0).last(), Some(&8.0));
        assert_eq!(ticks(1.0).last(), Some(&1.0));
        assert_eq!(ticks(0.0).last(), Some(&1.0));
        assert_eq!(["0.6", "20", "1.0e-5"], [number(0.6000000000000001), number(20.0), number(1e-5)].map(|s| s));
    }

    #[test]
    fn a_line_runs_from_corner_to_corner() {
        let line = Line { name: "a<b".into(), points: vec![(0.0, 0.0), (1.0, 1.0)] };
        let svg = Chart { title: "t".into(), lines: vec![line], ..Chart::default() }.svg();
        assert!(svg.contains("points=\"64.0,368.0 584.0,48.0\""), "{svg}");
        assert!(svg.contains("a&lt;b"), "{svg}");
        // A number that is none is left out.
        let broken = Line { name: "n".into(), points: vec![(0.5, f64::NAN), (1.0, f64::INFINITY)] };
        assert!(Chart { lines: vec![broken], ..Chart::default() }.svg().contains("points=\"\""));
    }
}
