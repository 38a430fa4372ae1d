use super::*;
use crate::compare::{Difference, OutputDifference};
use crate::cost::Cost;
use crate::job::gates::Verdict;
use crate::job::report::{
    CallReport, CallSize, GroupReport, MachineReport, Outcome, PinReport, SampleReport, Size, StageReport,
};
use crate::latency::{Latency, Ratio, Timing};
use crate::machine::Quantity;
use crate::oracle;
use crate::plan::{Estimate, PieceCost, Plan};
use crate::repair::{Repaired, Step, Unrepaired};
use crate::verify::Verification;
use std::time::Duration;

/// What a name must not do to the page.
const HOSTILE: &str = "<script>alert('x')</script>\"&amp;</td>";

const RAN: oracle::Ran = oracle::Ran { runtime: oracle::Runtime::Tract, version: "1.2.3" };

fn timing(first: u64) -> Timing {
    let sorted: Vec<Duration> = (0..40).map(|i| Duration::from_micros(first + i * 7)).collect();
    Timing { median: sorted[20], quartiles: (sorted[10], sorted[30]), sorted }
}

fn verification() -> Verification {
    let output = |relative_l2: f64| OutputDifference {
        name: HOSTILE.into(),
        max_abs: 2e-7,
        max_rel: 1e-7,
        cosine: 0.98,
        relative_l2,
        differing: None,
        count: 30,
    };
    Verification {
        untimed: None,
        equivalence: Difference { outputs: vec![output(1e-7)] },
        drift: Difference {
            outputs: vec![output(0.2), OutputDifference { max_abs: f64::INFINITY, ..output(f64::NAN) }],
        },
        sensitivity: 0.5,
        rounding: None,
        double: None,
        constants: vec![],
        tolerance: 1e-3,
        equal: true,
        meaningful: true,
        samples: 3,
        latency: Some(Latency {
            ran: RAN,
            threads: 1,
            first: timing(900),
            second: Some((
                timing(500),
                Ratio { median: 1.8, quartiles: (1.7, 1.9), interval: (1.7, 1.9), confidence: 0.95 },
            )),
        }),
        runtime: Some(RAN),
        plan: oracle::Plan::Optimized,
    }
}

/// A report on a model of so many layers, groups, pins and refitted weights.
pub(super) fn report(n: usize) -> Report {
    let size = |macs: u64| Size {
        cost: Cost { macs, params: 2000, bytes: 8000, peak: 0, nodes: n as u64, choices: 0 },
        file: 9000,
    };
    let of = |i: usize, by: u64| CallSize {
        macs: 1000 * (1 + i as u64 % 7) / by,
        params: 100 / by,
        shape: Some(vec!["batch".into(), (64 / by).to_string(), "8".into()]),
    };
    let name = |i: usize| format!("/layer_{i}/{}{HOSTILE}", "a_long_way/".repeat(20));
    let call = |i: usize| CallReport {
        name: name(i),
        op: "Conv".into(),
        before: of(i, 1),
        after: (i % 5 != 4).then(|| of(i, 2)),
    };
    let group = |i: usize| GroupReport {
        label: format!("c{i}"),
        before: 64,
        after: 32,
        exact: i.is_multiple_of(2),
        places: vec![name(i); 6],
    };
    let pin = |i: usize| PinReport { label: format!("c{i}"), size: 10, places: vec![name(i)], why: HOSTILE.into() };
    let repaired = |i: usize| Repaired {
        step: Step::Refit,
        node: name(i),
        weight: name(i),
        before: 0.4,
        after: 0.01 * i as f64,
        rows: 9,
        reads: 4,
    };
    let unrepaired = |i: usize| Unrepaired { node: name(i), macs: 7, why: name(i) };
    Report {
        unproved: None,
        secateur: "0.0.0",
        input: HOSTILE.into(),
        output: "small.onnx".into(),
        before: size(1000),
        after: size(400),
        calls: (0..n).map(call).collect(),
        layers: vec![],
        groups: (0..n).map(group).collect(),
        pinned: (0..n).map(pin).collect(),
        removed: vec![],
        samples: SampleReport::default(),
        repaired: (0..n).map(repaired).collect(),
        unrepaired: (0..n).map(unrepaired).collect(),
        sparsity: None,
        plan: Plan {
            options: String::new(),
            lossless: None,
            version: 1,
            architecture: "0123456789abcdef".into(),
            criterion: HOSTILE.into(),
            budget: "macs 50%".into(),
            layers: vec![],
            cuts: vec![],
        },
        verification: Outcome::Ran(Box::new(verification())),
        metrics: None,
        lossless: vec![],
        machine: None,
        searched: None,
        gates: gates(),
        stages: ["load", "plan", "cut"].map(|n| StageReport { name: n.into(), seconds: 0.25 }).into(),
        repair_costs: None,
    }
}

fn gates() -> Vec<Verdict> {
    let gate =
        |says: &str, met| Verdict { name: "max_drift", bound: 0.02, figure: Some(0.012), met, says: says.into() };
    vec![gate("max_drift is 0.012, and must be at most 0.02", true), gate(HOSTILE, false)]
}

fn some_trials() -> Vec<Trial> {
    let trial = |i: usize| Trial {
        macs: 0.3 + 0.02 * i as f64,
        score: [0.9, 0.93, 0.92, f64::NAN, 0.97][i % 5],
        measure: "accuracy",
        more_is_better: true,
        chosen: i == 4,
    };
    (0..20).map(trial).collect()
}

pub(super) fn shown(report: &Report) -> String {
    page(report, &some_trials())
}

/// The elements of a page, each closed where it has to be. No attribute holds an angle bracket.
fn check_nesting(html: &str) {
    const VOID: [&str; 3] = ["meta", "br", "!DOCTYPE"];
    let mut open: Vec<&str> = vec![];
    let body = html.split_once("<style>").map(|(head, rest)| (head, rest.split_once("</style>").unwrap().1)).unwrap();
    for part in [body.0, body.1] {
        for tag in part.split('<').skip(1) {
            let (inside, text) = tag.split_once('>').expect("a tag ends");
            assert!(!text.contains('>'), "a stray bracket after {inside:?}");
            let name = inside.trim_start_matches('/').split([' ', '/']).next().unwrap();
            match inside.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop(), Some(name), "in {open:?}"),
                None if VOID.contains(&name) => {}
                None => open.push(name),
            }
        }
    }
    assert!(open.is_empty(), "{open:?} stay open");
}

#[test]
fn every_section_is_there_and_closed() {
    let html = shown(&report(8));
    check_nesting(&html);
    for id in ["gates", "profile", "layers", "groups", "pins", "repaired", "trials", "proof", "latency", "making"] {
        assert!(html.contains(&format!("<section id=\"{id}\">")), "{id}");
    }
    for words in ["✗ missed", "✓ met", "✓ holds", "1.80 ×", "40.0 %", "64 → 32", "median 40.0 % → 3.0 %", "plan <code>"]
    {
        assert!(html.contains(words), "no {words:?}");
    }
}

#[test]
fn names_are_only_text() {
    let html = shown(&report(8));
    assert!(!html.contains("<script") && html.contains("&lt;script&gt;"));
    let plain = html.replace("http-equiv", "");
    for outside in ["http:", "https:", "//", "url(", "@import", "src=", "href=", "javascript:"] {
        assert!(!plain.contains(outside), "{outside:?} leads away");
    }
}

#[test]
fn a_huge_model_gives_a_small_page() {
    let html = shown(&report(20_000));
    assert!(html.len() < 1_000_000, "{} bytes", html.len());
    check_nesting(&html);
    assert!(html.contains("… 19940 more groups") && html.contains("167 layers in each column"));
}

#[test]
fn what_is_missing_is_left_out() {
    let bare = Report { verification: Outcome::Skipped, gates: vec![], ..report(0) };
    let html = super::html(&bare);
    check_nesting(&html);
    for id in ["gates", "profile", "layers", "groups", "pins", "repaired", "trials", "latency", "metrics", "sparsity"] {
        assert!(!html.contains(&format!("<section id=\"{id}\">")), "{id}");
    }
    assert!(html.contains("Skipped (--no-verify)."));
    let unable = Outcome::Unable { why: "no Loop".into(), instead: "types".into() };
    let html = super::html(&Report { verification: unable, gates: vec![], ..report(1) });
    assert!(html.contains("not run") && html.contains("no Loop"));
}

#[test]
fn a_table_shows_where_the_time_went() {
    let piece = |i: usize| PieceCost { name: format!("{HOSTILE}{i}"), before: 2.5 * (i + 1) as f64, after: 1.25 };
    let pieces: Vec<PieceCost> = (0..9).map(piece).collect();
    let (before, after) = (pieces.iter().map(|p| p.before).sum(), pieces.iter().map(|p| p.after).sum());
    let predicted = Estimate { before, after, floor: 1.0, floor_nodes: vec![], pieces };
    let machine = MachineReport {
        quantity: Quantity::Latency,
        source: "phone.json".into(),
        host: None,
        table: None,
        asked: Some(0.5),
        predicted,
        measured: None,
        rounds: vec![],
        met: Some(true),
        skipped: vec![],
    };
    let html = super::html(&Report { machine: Some(machine), ..report(1) });
    check_nesting(&html);
    let section = html.split_once("<section id=\"machine\">").unwrap().1.split_once("</section>").unwrap().0;
    assert!(section.contains("Where the time went") && section.contains("the table of phone.json"));
    assert_eq!(section.matches("rect class=\"after\"").count(), 9);
    assert!(!section.contains(HOSTILE) && section.contains("22.5 → 1.25"), "{section}");
}

#[test]
fn nothing_beats_the_front() {
    // A page shows it as a line: of five trials, those two that no smaller one equals.
    let trial = |macs, score| Trial { macs, score, measure: "drift", more_is_better: false, chosen: false };
    let all = [trial(0.5, 0.2), trial(0.3, 0.4), trial(0.4, 0.5), trial(0.5, 0.3), trial(0.7, 0.2)];
    let html = page(&report(0), &all);
    let line = html.split_once("class=\"front\" points=\"").unwrap().1.split_once('"').unwrap().0;
    assert_eq!(line.split(' ').count(), 2, "{line}");
}
