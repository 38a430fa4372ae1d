//! What is checked on a case.

use super::case::{Case, inputs};
use super::cut::{Cut, cut};
use super::form::{CONSTANTS, Form, Inputs, RUN};
use super::run::{Run, run};
use super::types::{Known, types};
use secateur::analysis::Unknowns;
use secateur::analysis::infer;
use secateur::ir::{self, Attribute, Dim, Graph, Model, Tensor};
use secateur::job;
use secateur::onnx::from_bytes;
use secateur::onnx::to_bytes;
use secateur::ops::{Site, rule_of};
use secateur::passes::{self, Effect, Options};
use secateur::prune::pipelines::{self, FOLD, PREPARE, SIMPLIFY};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What was found.
#[derive(Default)]
pub(crate) struct Finding {
    /// What is wrong, each with what was checked.
    pub broken: Vec<String>,
    /// How much of the outputs' types is inferred where all inputs are constants.
    pub types: Known,
    /// Whether the rule of the case's only call relates its axes, and counts operations.
    pub axes: bool,
    pub cost: bool,
    pub cut: Cut,
    /// What the oracle makes of the case: in the form that it is worst at, of those that it runs.
    pub oracle: Run,
    /// Whether outputs after the passes were compared, in some form, and the passes had changed something there.
    pub compared: bool,
    pub changed: bool,
}

/// Checks all there is to check. What fails, or panics, is in the finding.
pub(crate) fn check(case: &Case) -> Finding {
    let mut finding = Finding::default();
    let mut step = |what: String, test: &mut dyn FnMut(&mut Finding) -> Result<(), String>| {
        if let Err(why) = caught(|| test(&mut finding)) {
            finding.broken.push(format!("{what}: {why}"));
        }
    };
    step("bytes".into(), &mut |_| bytes(case));
    step("text".into(), &mut |_| text(&case.model));
    for &form in RUN.iter().chain([&CONSTANTS]) {
        step(format!("types, {form:?}"), &mut |_| types(case, &form.of(case)).map(|_| ()));
    }
    step("rule".into(), &mut |f| {
        f.types = types(case, &CONSTANTS.of(case)).unwrap_or_default();
        (f.axes, f.cost) = rule(case).unwrap_or_default();
        Ok(())
    });
    for &form in RUN {
        step(format!("opt, {form:?}"), &mut |f| opt(case, form, f));
    }
    step("cut".into(), &mut |f| {
        f.cut = cut(case, f.oracle == Run::Right)?;
        Ok(())
    });
    finding
}

/// A panic is an error too.
fn caught(test: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(test)).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
        Err(format!("a panic: {}", words.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()))
    })
}

fn bytes(case: &Case) -> Result<(), String> {
    if let Some(violation) = ir::verify(&case.model).first() {
        return Err(violation.to_string());
    }
    let saved = to_bytes(&case.model).map_err(|e| e.to_string())?;
    if saved == case.bytes { Ok(()) } else { Err("the file is saved as another one".into()) }
}

/// Prints the model, and parses what is printed.
fn text(model: &Model) -> Result<(), String> {
    let mut weights = HashMap::new();
    collect(&model.graph, &mut weights);
    let text = ir::print(model);
    let parsed = ir::parse(&text, &|hash| weights.get(&hash).cloned()).map_err(|e| format!("{e}\n{text}"))?;
    if let Some(violation) = ir::verify(&parsed).first() {
        return Err(format!("{violation}\n{text}"));
    }
    let again = ir::print(&parsed);
    if again == text { Ok(()) } else { Err(format!("{text}\nis printed again as\n{again}")) }
}

/// All tensors of a graph, by their hash.
fn collect(graph: &Graph, weights: &mut HashMap<u64, Tensor>) {
    let mut add = |t: &Tensor| _ = weights.insert(t.hash(), t.clone());
    graph.constants().iter().filter_map(|&n| graph.constant(n)).for_each(|c| add(&c.tensor));
    let calls = graph.calls();
    let attributes = || calls.iter().filter_map(|&n| graph.call(n)).flat_map(|c| c.attributes.values());
    for attribute in attributes() {
        match attribute {
            Attribute::Tensor(t) => add(t),
            Attribute::Tensors(all) => all.iter().for_each(&mut add),
            _ => {}
        }
    }
    attributes().flat_map(Attribute::graphs).for_each(|g| collect(g, weights));
}

/// Whether the rule of the case's only call relates its axes, and counts operations.
fn rule(case: &Case) -> Option<(bool, bool)> {
    case.call()?;
    let model = CONSTANTS.of(case);
    let node = *model.graph.calls().first()?;
    let call = model.graph.call(node)?;
    let (rule, facts, unknowns) = (rule_of(&model, call), infer(&model), Unknowns::of_questions());
    let site = Site::new(&model, &model.graph, node, call, &facts, &unknowns);
    Some(((rule.axes)(&site).is_some(), (rule.cost)(&site) != Dim::Fixed(0)))
}

/// Runs all exact passes and compares outputs. The oracle has a say only where it is right about the model as it was.
fn opt(case: &Case, form: Form, finding: &mut Finding) -> Result<(), String> {
    let before = reloaded(&form.of(case))?;
    let (after, changed) = optimized(before.clone())?;
    types(case, &after).map_err(|e| format!("types afterwards: {e}"))?;
    if form.inputs == Inputs::First && inputs(&case.model).count() < 2 {
        return Ok(());
    }
    let truth = run(case, &before);
    if truth == Run::Right {
        finding.compared = true;
        finding.changed |= changed;
        if let Run::Wrong(why) | Run::Silent(why) = run(case, &after) {
            return Err(format!("the outputs change: {why}\n{}", ir::print(&after)));
        }
    }
    if matches!(truth, Run::Wrong(_)) || !matches!(finding.oracle, Run::Wrong(_) | Run::Right) {
        finding.oracle = truth;
    }
    Ok(())
}

fn reloaded(model: &Model) -> Result<Model, String> {
    let bytes = to_bytes(model).map_err(|e| e.to_string())?;
    from_bytes(bytes.into(), None).map_err(|e| e.to_string())
}

/// The model after all exact passes (those around a cut, and between them whatever else there is), and whether it is
/// another one then.
fn optimized(mut model: Model) -> Result<(Model, bool), String> {
    let exact = |e: &&passes::Entry| (e.make)(&mut Options::default()).is_ok_and(|p| p.effect() == Effect::Exact);
    let registry = job::registry();
    let others: Vec<&str> = registry.entries().filter(exact).map(|e| e.name).collect();
    let pipeline = format!("{PREPARE},{},{SIMPLIFY},{FOLD}", others.join(","));
    let pipeline = registry.parse(&pipeline).map_err(|e| format!("{e}"))?;
    let report = pipeline.run(&mut model, pipelines::settings()).map_err(|e| e.to_string())?;
    let facts = infer(&model);
    secateur::prune::refresh_declarations(&mut model.graph, &facts);
    if let Some(violation) = ir::verify(&model).first() {
        return Err(violation.to_string());
    }
    Ok((reloaded(&model)?, report.change().happened()))
}
