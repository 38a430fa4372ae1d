//! What all passes' tests need, and the pipelines' own.

use super::{Pipeline, Report, Settings};
use crate::ir::{self, Model};

fn read(text: &str) -> Model {
    ir::parse(text, &|_| None).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

fn run(pipeline: &str, model: &mut Model) -> Report {
    let pipeline: Pipeline = pipeline.parse().expect("the pipeline is one");
    pipeline.run(model, Settings::default()).unwrap_or_else(|e| panic!("{e}"))
}

/// What a pipeline makes of a model, in text.
pub fn after(pipeline: &str, text: &str) -> String {
    let mut model = read(text);
    let report = run(pipeline, &mut model);
    assert!(report.change().happened(), "the pipeline says that it did nothing");
    let again = run(pipeline, &mut model.clone());
    assert!(!again.change().happened(), "the second time there is nothing left to do");
    crate::save::to_bytes(&model).expect("what comes out can be saved");
    ir::print(&model)
}

/// Asserts that a pipeline leaves a model as it is.
pub fn nothing_to_do(pipeline: &str, text: &str) {
    let mut model = read(text);
    let before = ir::print(&model);
    run(pipeline, &mut model);
    assert_eq!(before, ir::print(&model));
}
