//! What the job promises to those who call it.

use super::gates::Gate;
use super::report::Outcome;
use super::*;
use crate::plan::Budget;
use crate::{load, save};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

fn model() -> Model {
    load::load("fixtures/digits_mlp.onnx".as_ref()).expect("a fixture")
}

fn bytes(done: &Done) -> Vec<u8> {
    save::to_bytes(done.model.as_ref().expect("a model")).expect("it is encoded")
}

/// Without timed runs.
fn quick() -> Options {
    let verification = VerifyOptions { repeats: 0, ..VerifyOptions::default() };
    Options { verification, ..Options::under(Budget::macs(0.5)) }
}

#[test]
fn a_result_is_proved_unless_somebody_says_otherwise() {
    let done = prune(&model(), &Options::default()).expect("it is done");
    assert!(matches!(done.proof(), Outcome::Ran(v) if v.equal && v.meaningful));
    let (before, after) = (&done.report.before, &done.report.after);
    assert!(after.cost.macs < before.cost.macs && after.file < before.file && done.nothing.is_none());
    let unproved = prune(&model(), &Options { proof: false, ..quick() }).expect("it is done");
    assert!(matches!(unproved.proof(), Outcome::Skipped));
}

#[test]
fn a_plan_that_is_applied_makes_what_a_prune_makes() {
    let whole = prune(&model(), &quick()).expect("it is done");
    let planned = plan(&model(), &quick()).expect("a plan");
    let applied = apply(&model(), planned.plan, &quick()).expect("it is done");
    assert!(bytes(&whole) == bytes(&applied));
}

#[test]
fn what_can_not_be_proved_is_not_cut() {
    // Nothing is as equal as this.
    let verification = VerifyOptions { tolerance: Some(-1.0), ..quick().verification };
    let done = prune(&model(), &Options { verification, ..quick() }).expect("it is done");
    let unproved = done.report.unproved.as_ref().expect("the proof failed");
    assert!(unproved.groups.is_empty() && !unproved.dropped.is_empty());
    assert!(bytes(&done) == save::to_bytes(&model()).expect("it is encoded") && done.nothing.is_some());
}

#[test]
fn what_misses_a_gate_is_refused_and_not_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("small.onnx");
    let gate: Gate = "max_size=1%".parse().expect("a gate");
    let done = prune(&model(), &Options { gates: vec![gate], output: Some(Output::to(&path)), ..quick() });
    let done = done.expect("it is done");
    assert!(matches!(&done.model, Err(Refusal::Gates(missed)) if missed[0].name == "max_size"));
    assert_eq!(done.save(&path).unwrap_err().kind(), ErrorKind::Check);
    assert!(!path.exists() && done.written.is_empty());
    // The same without it.
    let done = prune(&model(), &Options { output: Some(Output::to(&path)), ..quick() }).expect("it is done");
    assert_eq!(done.written, std::slice::from_ref(&path));
    assert!(std::fs::read(&path).expect("a file") == bytes(&done));
    let checked = check(&model(), done.report.plan, &Options { output: Some(Output::to(&path)), ..quick() });
    assert!(!checked.expect("it is checked").is_wrong());
}

#[test]
fn nothing_that_is_read_is_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    let (input, samples) = (folder.path().join("in.onnx"), folder.path().join("samples.npz"));
    std::fs::copy("fixtures/digits_mlp.onnx", &input).expect("a copy");
    std::fs::copy("fixtures/digits_calib.npz", &samples).expect("a copy");
    for path in [&input, &samples] {
        let before = std::fs::read(path).expect("a file");
        let calibration = Calibration { source: Some(samples.display().to_string()), ..Calibration::default() };
        let selection = Selection { calibration, ..Selection::default() };
        let choice = Choice { selection, ..quick().choice };
        let done = prune_file(&input, &Options { choice, output: Some(Output::to(path)), ..quick() });
        assert!(done.is_err() && std::fs::read(path).expect("a file") == before, "{}", path.display());
    }
}

#[test]
fn options_that_do_not_go_together_are_told_before_any_work() {
    let selection = Selection { criterion: Some("wanda".parse().expect("a criterion")), ..Selection::default() };
    let options = Options { choice: Choice { selection, ..Choice::default() }, ..Options::default() };
    let Err(error) = prune(&model(), &options) else { panic!("wanda needs samples") };
    assert_eq!((error.kind(), error.hint()), (ErrorKind::Options, Some("give some with --calib")));
}

/// What begins and ends on the way; `at` says after how many beginnings the job is stopped.
fn heard(at: usize) -> (Result<Done, Error>, Vec<String>) {
    let (heard, stop) = (Arc::new(Mutex::new(vec![])), Arc::new(AtomicBool::new(at == 0)));
    let (seen, flag) = (heard.clone(), stop.clone());
    let monitor = Monitor::new(move |event| {
        let mut seen = seen.lock().expect("nobody panicked");
        match event {
            Event::Begin { what, .. } => seen.push(what.to_owned()),
            Event::End => seen.push("end".to_owned()),
            _ => {}
        }
        let begun = seen.iter().filter(|what| *what != "end").count();
        flag.fetch_or(begun >= at, Ordering::Relaxed);
    });
    let done = prune(&model(), &Options { monitor: monitor.stopped_by(stop), ..quick() });
    let heard = heard.lock().expect("nobody panicked").clone();
    (done, heard)
}

#[test]
fn progress_is_told_and_a_job_can_be_stopped_between_any_two_steps() {
    let (done, all) = heard(usize::MAX);
    assert!(done.is_ok());
    for what in ["analyzing", "planning", "verifying"] {
        assert!(all.iter().any(|w| w == what), "{what}: {all:?}");
    }
    let count = all.iter().filter(|what| *what != "end").count();
    assert_eq!(all.len(), 2 * count, "{all:?}");
    for at in 0..count {
        let (done, some) = heard(at);
        assert_eq!(done.err().map(|e| e.kind()), Some(ErrorKind::Cancelled), "{some:?}");
        assert!(some.len() == 2 * at && all.starts_with(&some), "{some:?}");
    }
}
