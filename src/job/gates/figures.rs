//! What was measured of a result, and what gates say to it.

use super::{Bound, Direction, Gate, GateFigure, GateKind};
use crate::compare::Difference;
use crate::job::report::{Metrics, Outcome, Report};
use crate::judge::Judgement;
use crate::latency::Latency;
use crate::verify::Verification;
use serde::Serialize;

/// What was measured of a result; or why it was not.
#[derive(Clone, Debug)]
pub struct Figures {
    /// How far the outputs are from the original's.
    pub drift: Result<f64, String>,
    /// The accuracy of the original and of the result.
    pub accuracy: Result<(f64, f64), String>,
    /// The median times of the original and of the result, in seconds.
    pub latency: Result<(f64, f64), String>,
    /// Bytes of the files.
    pub size: (u64, u64),
    /// Calls in the main graph, before and after.
    pub nodes: (u64, u64),
    /// Whether the proof holds.
    pub equal: Result<bool, String>,
}

/// What a gate says to a result.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// The gate's name.
    pub name: &'static str,
    /// The bound and the figure, in the same unit.
    pub bound: f64,
    /// `None` where it was not measured.
    pub figure: Option<f64>,
    /// Whether the figure keeps the bound; `false` where it was not measured.
    pub met: bool,
    /// Both in a sentence.
    pub says: String,
}

impl Figures {
    /// What a report tells.
    pub fn of(report: &Report) -> Figures {
        let (drift, latency, equal) = match &report.verification {
            Outcome::Ran(v) => return Figures::ran(report, v),
            Outcome::NoReference { why, drift, latency } => {
                (Ok(drift), latency.as_ref(), format!("there is no reference: {why}"))
            }
            Outcome::Unable { why, .. } => (Err(format!("the models can't be run: {why}")), None, why.clone()),
            Outcome::Skipped => (Err("the models were not run".to_owned()), None, "the models were not run".to_owned()),
        };
        Figures::with(report, drift, latency, Err(equal))
    }

    fn ran(report: &Report, v: &Verification) -> Figures {
        Figures::with(report, Ok(&v.drift), v.latency.as_ref(), proof(v))
    }

    fn with(
        report: &Report,
        drift: Result<&Difference, String>,
        latency: Option<&Latency>,
        equal: Result<bool, String>,
    ) -> Figures {
        Figures {
            drift: drift.map(Difference::drift),
            accuracy: accuracy(report.metrics.as_ref()),
            latency: times(latency),
            size: (report.before.file, report.after.file),
            nodes: (report.before.cost.nodes, report.after.cost.nodes),
            equal,
        }
    }

    /// What a comparison of two models tells, with the bytes of their files and their numbers of nodes.
    pub fn compared(v: &Verification, metrics: Option<&Metrics>, size: (u64, u64), nodes: (u64, u64)) -> Figures {
        let (drift, latency) = (Ok(v.drift.drift()), times(v.latency.as_ref()));
        Figures { drift, accuracy: accuracy(metrics), latency, size, nodes, equal: proof(v) }
    }

    /// What the gates say, in their order.
    pub fn judge(&self, gates: &[Gate]) -> Vec<Verdict> {
        gates.iter().map(|gate| self.verdict(gate)).collect()
    }

    fn verdict(&self, gate: &Gate) -> Verdict {
        let GateKind { name, unit, direction, figure, .. } = *gate.kind;
        let (Bound::Number(bound) | Bound::Of(bound)) = gate.bound;
        let figure = match figure(self) {
            Ok(figure) => in_unit_of(figure, gate.bound),
            Err(why) => {
                let says = format!("{name} was not measured: {why}");
                return Verdict { name, bound, figure: None, met: false, says };
            }
        };
        // What is not a number keeps no bound.
        let (met, side) = match direction {
            Direction::AtLeast => (figure >= bound, "least"),
            Direction::AtMost => (figure <= bound, "most"),
        };
        let shown = match gate.bound {
            Bound::Number(_) => unit.show(Bound::Number(figure)),
            Bound::Of(_) => unit.show(Bound::Of(figure)),
        };
        let says = format!("{name} is {shown}, and must be at {side} {}", unit.show(gate.bound));
        Verdict { name, bound, figure: Some(figure), met, says }
    }
}

/// A figure in the unit of a bound.
fn in_unit_of(figure: GateFigure, bound: Bound) -> f64 {
    match (figure, bound) {
        (GateFigure::Alone(figure), _) => figure,
        (GateFigure::Beside((_, after)), Bound::Number(_)) => after as f64,
        (GateFigure::Beside((before, after)), Bound::Of(_)) => after as f64 / u64::max(before, 1) as f64,
    }
}

/// Whether the proof holds and says something.
fn proof(v: &Verification) -> Result<bool, String> {
    match v.equal && !v.meaningful {
        true => Err("the outputs hardly depend on these inputs; give others with --inputs".to_owned()),
        false => Ok(v.equal),
    }
}

fn times(latency: Option<&Latency>) -> Result<(f64, f64), String> {
    let timed = latency.and_then(|l| Some((l.first.median.as_secs_f64(), l.second.as_ref()?.0.median.as_secs_f64())));
    timed.ok_or_else(|| "no run was timed (--repeats)".to_owned())
}

fn accuracy(metrics: Option<&Metrics>) -> Result<(f64, f64), String> {
    let metrics = metrics.ok_or("there are no labels (give --inputs and --labels)")?;
    Ok((how_right(&metrics.before)?, how_right(&metrics.after)?))
}

/// The accuracy, or what comes nearest to it: 1 is as good as can be.
fn how_right(judgement: &Judgement) -> Result<f64, String> {
    let figures = judgement.figures();
    let found = ["accuracy", "r2"].iter().find_map(|name| figures.iter().find(|f| f.name == *name));
    found.map(|f| f.value).ok_or_else(|| "this task has no accuracy".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> Figures {
        Figures {
            drift: Ok(0.03),
            accuracy: Ok((0.99, 0.97)),
            latency: Ok((0.010, 0.004)),
            size: (1000, 400),
            nodes: (50, 40),
            equal: Ok(true),
        }
    }

    fn met(gate: &str) -> bool {
        figures().judge(&[gate.parse().unwrap()])[0].met
    }

    #[test]
    fn bounds_are_inclusive() {
        for gate in ["max_drift=0.03", "min_accuracy=97%", "min_speedup=2.5", "max_latency_ms=4", "max_size=400"] {
            assert!(met(gate), "{gate}");
        }
        for gate in ["max_drift=0.029", "min_accuracy=0.971", "min_speedup=2.51", "max_latency_ms=3.9", "max_size=39%"]
        {
            assert!(!met(gate), "{gate}");
        }
        assert!(met("max_drop=2.1%") && !met("max_drop=1%"));
        assert!(met("max_nodes=80%") && !met("max_nodes=39"));
        assert!(met("equivalence=true") && met("equivalence=false"));
    }

    #[test]
    fn a_verdict_names_figure_and_bound() {
        let gates = ["max_drift=2%".parse().unwrap(), "max_size=30%".parse().unwrap()];
        let says: Vec<String> = figures().judge(&gates).into_iter().map(|v| v.says).collect();
        assert_eq!(says[0], "max_drift is 0.03, and must be at most 0.02");
        assert_eq!(says[1], "max_size is 40 %, and must be at most 30 %");
    }

    #[test]
    fn what_was_not_measured_or_is_no_number_is_not_let_through() {
        let unknown = Figures { drift: Ok(f64::NAN), accuracy: Err("no labels".into()), ..figures() };
        let verdicts = unknown.judge(&["max_drift=1".parse().unwrap(), "min_accuracy=0".parse().unwrap()]);
        assert!(verdicts.iter().all(|v| !v.met));
        assert_eq!(verdicts[1].says, "min_accuracy was not measured: no labels");
    }
}
