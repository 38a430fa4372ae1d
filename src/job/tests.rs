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

/// By weights alone, and without timed runs.
fn quick() -> Options {
    let verification = VerifyOptions { repeats: 0, ..VerifyOptions::default() };
    let mut options = Options { verification, ..Options::under(Budget::macs(0.5)) };
    options.choice.selection.calibration.made_up = MakeUp::None;
    options
}

/// On few samples that are made up.
fn making_up() -> Options {
    let mut options = quick();
    options.choice.selection.calibration = Calibration { samples: 16, ..Calibration::default() };
    options
}

#[test]
fn a_result_is_proved_unless_somebody_says_otherwise() {
    let done = prune(&model(), &quick()).expect("it is done");
    assert!(matches!(done.proof(), Outcome::Ran(v) if v.equal && v.meaningful));
    let (before, after) = (&done.report.before, &done.report.after);
    assert!(after.cost.macs < before.cost.macs && after.file < before.file && done.nothing.is_none());
    let unproved = prune(&model(), &Options { proof: false, ..quick() }).expect("it is done");
    assert!(matches!(unproved.proof(), Outcome::Skipped));
}

#[test]
fn a_plan_that_is_applied_makes_what_a_prune_makes() {
    for options in [quick(), making_up()] {
        let whole = prune(&model(), &options).expect("it is done");
        let planned = plan(&model(), &options).expect("a plan");
        let applied = apply(&model(), planned.plan, &options).expect("it is done");
        assert!(bytes(&whole) == bytes(&applied));
    }
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
    let criterion = Some("wanda".parse().expect("a criterion"));
    let calibration = Calibration { made_up: MakeUp::None, ..Calibration::default() };
    let selection = Selection { criterion, calibration, ..Selection::default() };
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

#[test]
fn samples_are_made_up_where_there_are_none() {
    let done = prune(&model(), &making_up()).expect("it is done");
    let report::SampleReport::MadeUp { count, inputs } = &done.report.samples else {
        panic!("{}", done.report.samples)
    };
    assert!(*count == 16 && done.report.plan.criterion == "obs" && !done.report.repaired.is_empty());
    insta::assert_snapshot!(inputs[0], @"images for `input` in 0..1, which is usual");
    let again = prune(&model(), &making_up()).expect("it is done");
    assert!(bytes(&done) == bytes(&again));
    let metadata = &done.model.as_ref().expect("a model").metadata;
    assert!(metadata.iter().any(|(key, value)| key == "secateur.samples" && value.starts_with("16 made up: images")));
    let mut asked = making_up();
    asked.choice.selection.lossless = Some(crate::lossless::Ranges::new(&["0..2".into()]).expect("a range"));
    let done = prune(&model(), &asked).expect("it is done");
    insta::assert_snapshot!(done.report.samples, @"16 made up: images for `input` in 0..2, as --input-range says");
}

#[test]
fn nothing_is_made_up_where_weights_are_to_choose() {
    let made = |change: &dyn Fn(&mut Selection)| {
        let mut options = making_up();
        change(&mut options.choice.selection);
        let done = prune(&model(), &options).expect("it is done");
        (done.report.plan.criterion.clone(), done.report.samples.to_string(), done.report.repaired.len())
    };
    let weights = |(criterion, samples, _): (String, String, usize)| (criterion, samples);
    let chosen = |criterion: &str| (criterion.to_owned(), "none".to_owned());
    assert_eq!(weights(made(&|s| s.calibration.made_up = MakeUp::None)), chosen("lamp"));
    assert_eq!(weights(made(&|s| s.calibration.repair = false)), chosen("lamp"));
    assert_eq!(weights(made(&|s| s.criterion = "l2".parse().ok())), chosen("l2"));
    let noise = made(&|s| s.calibration.made_up = MakeUp::Noise);
    assert!(noise.1.starts_with("16 made up: noise for `input`") && noise.2 > 0, "{noise:?}");
    let mut text = making_up();
    text.choice.selection.calibration.made_up = MakeUp::Text;
    let error = prune(&model(), &text).err().expect("pictures are no text").to_string();
    assert!(error.contains("--made-up text: no input takes that (input ["), "{error}");
}

#[test]
fn samples_that_a_model_answers_alike_are_not_gone_by() {
    let mut mute = model();
    let graph = &mut mute.graph;
    for node in graph.constants() {
        let constant = graph.constant_mut(node).expect("a constant");
        if constant.tensor.shape.len() == 2 {
            let zeros = vec![0.0; constant.tensor.count()];
            constant.tensor = crate::ir::Tensor::from_f64(constant.tensor.dtype, constant.tensor.shape.clone(), &zeros)
                .expect("numbers");
        }
    }
    let mut options = making_up();
    options.choice.selection.lossless = None;
    let done = prune(&mute, &options).expect("it is done");
    insta::assert_snapshot!(done.report.samples, @"none: the model answers all made-up samples alike");
}
