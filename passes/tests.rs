//! What all passes' tests need, and the pipelines' own.

use super::{
    Change, Context, EXACT, Entry, Execution, OptionError, Options, Pass, PassError, Pipeline, PipelineReport,
    Registry, Settings,
};
use crate::compare::Comparison;
use crate::feed::{Feed, InputSpec};
use crate::ir::{self, Model, Node, Tensor};
use crate::oracle::{OracleError, Runner};
use crate::{pipelines, pruning, save};

fn read(text: &str) -> Model {
    ir::parse(text, &|_| None).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

fn run(pipeline: &str, model: &mut Model) -> PipelineReport {
    let pipeline = pruning::registry().parse(pipeline).expect("the pipeline is one");
    pipeline.run(model, pipelines::settings()).unwrap_or_else(|e| panic!("{e}"))
}

/// What a pipeline of exact passes makes of a model, in text. In builds with an oracle the outputs are compared.
pub(crate) fn after(pipeline: &str, text: &str) -> String {
    let mut model = read(text);
    let before = outputs(&model);
    let report = run(pipeline, &mut model);
    assert!(report.change().happened(), "the pipeline says that it did nothing");
    let again = run(pipeline, &mut model.clone());
    assert!(!again.change().happened(), "the second time there is nothing left to do");
    save::to_bytes(&model).expect("what comes out can be saved");
    if let Ok(before) = before {
        let now = outputs(&model).expect("the oracle runs what comes out too");
        let mut comparison = Comparison::default();
        comparison.add(&before, &now).expect("the outputs have the same names and shapes");
        let worst = comparison.finish().worst();
        assert!(worst < 1e-5, "the outputs differ by {worst}");
    }
    ir::print(&model)
}

/// What the oracle makes of random numbers, if there is one and it can.
fn outputs(model: &Model) -> Result<Vec<(String, Tensor)>, OracleError> {
    let spec = |n| match model.graph.node(n) {
        Node::Input(input) => {
            let ty = input.info.ty.tensor()?;
            Some(InputSpec::new(input.info.name.clone(), ty.dtype, ty.shape.clone()?))
        }
        _ => None,
    };
    let inputs: Vec<InputSpec> = model.graph.inputs().into_iter().filter_map(spec).collect();
    let feed = Feed::random(&inputs, 1).expect("the inputs of the tests are tensors of numbers");
    Runner::new(&save::to_bytes(model).expect("the tests' models can be saved"), None, &feed.signature())?.run(&feed)
}

/// Asserts that a pipeline leaves a model as it is.
pub(crate) fn nothing_to_do(pipeline: &str, text: &str) {
    let mut model = read(text);
    let before = ir::print(&model);
    run(pipeline, &mut model);
    assert_eq!(before, ir::print(&model));
}

/// A chain that takes more than one pass, and more than one run of them.
const CHAIN: &str = "g (f32[2,3] x) => (f32[6] y) {
    f32[2] unused = {1.0, 2.0}
    i64[1] a = {2}
    i64[1] b = {3}
    t = Mul(a, b)
    i = Identity(x)
    y = Reshape(i, t)
}";

/// A pass that is registered by a test.
struct Quiet;

impl Pass for Quiet {
    fn name(&self) -> &'static str {
        "quiet"
    }

    fn run(&self, _: &mut Model, cx: &mut Context) -> Result<Change, PassError> {
        cx.note("was here");
        Ok(Change(0))
    }
}

#[test]
fn passes_from_elsewhere_run_from_text() {
    let make: fn(&mut Options) -> Result<Box<dyn Pass>, OptionError> = |options| {
        options.take_or("n", 1usize)?;
        Ok(Box::new(Quiet))
    };
    let registry = Registry::default().with(Entry { name: "quiet", doc: "", make });
    let pipeline = registry.parse("quiet{n=2},fix(dce,quiet)").unwrap();
    assert_eq!(pipeline.to_string(), "quiet{n=2},fix(dce,quiet)");
    let report = pipeline.run(&mut read(CHAIN), Settings::default()).unwrap();
    assert_eq!(report.executions[0].notes, ["was here"]);
    // What is added can be mistyped, can't be given unknown options, and is nobody else's.
    let fails = |text: &str| registry.parse(text).err().expect("this is no pipeline").to_string();
    assert_eq!(fails("quite"), "column 1: there is no pass \"quite\"; did you mean \"quiet\"?");
    assert_eq!(fails("quiet{m=1}"), "column 7: quiet has no option \"m\"; did you mean \"n\"?");
    assert!("quiet".parse::<Pipeline>().is_err());
    // One of a name that is taken goes first.
    let dce = registry.clone().with(Entry { name: "dce", doc: "", make: |_| Ok(Box::new(Quiet)) });
    assert_eq!(dce.parse("dce").unwrap().run(&mut read(CHAIN), Settings::default()).unwrap().change(), Change(0));
}

fn fails(text: &str) -> String {
    text.parse::<Pipeline>().err().expect("this is no pipeline").to_string()
}

#[test]
fn a_pipeline_prints_as_it_was_read() {
    for text in ["", "dce", "fold-bn,fix(drop-identity,dce)", "fix(fix(dce),fix())"] {
        assert_eq!(text.parse::<Pipeline>().unwrap().to_string(), text);
    }
    assert_eq!(" dce , fix ( dce ) ".parse::<Pipeline>().unwrap().to_string(), "dce,fix(dce)");
    assert!("".parse::<Pipeline>().unwrap().is_empty());
    let nested = |depth: usize| format!("{}dce{}", "fix(".repeat(depth), ")".repeat(depth));
    assert!(nested(4).parse::<Pipeline>().is_ok());
    assert_eq!(fails(&nested(5)), "column 20: fix(…) is nested too deep");
}

#[test]
fn errors_say_where_and_what() {
    let errors: Vec<String> =
        ["dce,fold-bnn", "é,dce", "dce{fast=1}", "fix(dce", "dce{", "dce dce", "dce,", "dce{a=\"b"].map(fails).to_vec();
    insta::assert_snapshot!(errors.join("\n"), @r#"
    column 5: there is no pass "fold-bnn"; did you mean "fold-bn"?
    column 1: there is no pass "é"
    column 5: dce has no options
    column 8: expected ')', not the end
    column 5: expected an option or "}", not the end
    column 5: expected "," or the end, not 'd'
    column 5: expected the name of a pass, not the end
    column 7: the quotes that begin here do not end
    "#);
}

#[test]
fn every_pass_is_made_and_named_as_it_is_listed() {
    for entry in pruning::registry().entries() {
        let pass = (entry.make)(&mut Options::new(vec![])).unwrap();
        assert_eq!(pass.name(), entry.name);
    }
    assert!(EXACT.is_sorted_by_key(|e| e.name));
    assert_eq!(pruning::registry().entries().count(), EXACT.len() + pruning::PASSES.len());
}

#[test]
fn fix_runs_until_nothing_changes() {
    let mut model = read(CHAIN);
    let report = run("fix(drop-identity,fold-constants,dce)", &mut model);
    let runs: Vec<String> = report.executions.iter().map(|e| format!("{} {}", e.pass, e.change.0)).collect();
    insta::assert_snapshot!(runs.join(", "), @"drop-identity 1, fold-constants 1, dce 4, drop-identity 0, fold-constants 0, dce 0");
}

#[test]
fn fix_ends_where_passes_undo_each_other() {
    let text = "g (f32[2] x) => (f32[2] y) {
        f32[2] w = {1.0, 2.0}
        a = Mul(x, w)
        y = Add(a, w)
    }";
    let report = run("fix(split-constants,merge-constants)", &mut read(text));
    assert_eq!(report.executions.len(), 4);
}

#[test]
fn the_bisect_limit_counts_runs() {
    let pipeline: Pipeline = "drop-identity,fix(fold-constants,dce)".parse().unwrap();
    let settings = Settings { bisect_limit: Some(2), ..Settings::default() };
    let report = pipeline.run(&mut read(CHAIN), settings).unwrap();
    let runs: Vec<&str> = report.executions.iter().map(|e| e.pass).collect();
    assert_eq!(runs, ["drop-identity", "fold-constants"]);
    assert!(report.limited);
    assert_eq!(report.times().len(), 2);
}

#[test]
fn the_hook_sees_each_run_and_may_stop() {
    let mut sizes = vec![];
    let mut hook = |e: &Execution, model: &Model| {
        sizes.push(model.graph.len());
        if e.number == 2 { Err("the outputs differ".to_owned()) } else { Ok(()) }
    };
    let pipeline: Pipeline = "drop-identity,dce,dce".parse().unwrap();
    let settings = Settings { after_each: Some(&mut hook), ..Settings::default() };
    let error = pipeline.run(&mut read(CHAIN), settings).unwrap_err();
    assert_eq!(error.to_string(), "after pass 2, dce: the outputs differ");
    assert_eq!(sizes.len(), 2);
}

#[test]
fn before_ir_4_new_constants_are_nodes() {
    let mut model = read(
        "<ir_version: 3, opset_import: [\"\" : 8]>
        g (f32[2] x) => (f32[2] y) {
            f32[2] w = {1.0, 2.0} @input(1)
            a = Mul(x, w)
            y = Add(a, w)
        }",
    );
    run("split-constants", &mut model);
    insta::assert_snapshot!(ir::print(&model), @r#"
    <ir_version: 3, opset_import: ["" : 8]>
    g (f32[2] x) => (f32[2] y) {
      f32[2] w = {1.0, 2.0} @input(1)
      a = Mul(x, w)
      f32[2] w_0 = {1.0, 2.0} @node
      y = Add(a, w_0)
    }
    "#);
}
