//! The student as programs: its outputs, and its loss.

use super::loss::Meaning;
use super::{Options, Running, TuneError};
use crate::autograd::{Bindings, Engine};
use crate::feed::Feed;
use crate::ir::Signature;
use crate::ir::{DType, Model, NodeId, Tensor, ValueId};
use crate::lowering::{Lowered, lower};
use crate::program::{Builder, Id, NumberKind, Program, Statistics, Term};

/// The name of the program's input of labels.
pub(super) const LABELS: &str = "labels of the samples";

/// The name of the program's input that the teacher's value of this name goes to.
pub(super) fn target(name: &str) -> String {
    format!("the teacher's {name}")
}

/// A value that student and teacher have in common.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Its name at the student, and at the teacher.
    pub student: String,
    pub teacher: String,
    pub meaning: Meaning,
    /// Its shape at the teacher, for the first feed.
    pub shape: Vec<usize>,
}

impl Target {
    /// Fails unless the student's output has the teacher's shape, but for the first axis: batches differ in size.
    fn check(&self, student: &[usize]) -> Result<(), TuneError> {
        match student.len() == self.shape.len() && student.iter().skip(1).eq(self.shape.iter().skip(1)) {
            true => Ok(()),
            false => {
                let (name, student, teacher) = (self.student.clone(), student.to_vec(), self.shape.clone());
                Err(TuneError::Outputs { name, student, teacher })
            }
        }
    }
}

/// What a student learns from.
#[derive(Clone, Debug)]
pub(super) struct Lesson {
    /// The outputs; the first one is what labels are about.
    pub outputs: Vec<Target>,
    /// Inner values, which are compared with the teacher's of the same name.
    pub inner: Vec<(ValueId, Target)>,
    /// Whether there is a teacher.
    pub taught: bool,
}

/// A student's loss on batches of one size.
pub(super) struct Graded {
    /// Results: the loss, the first output, and then the moments of the batch.
    pub program: Program,
    /// The constants of floats, with their steps.
    pub leaves: Vec<(NodeId, Id)>,
    /// The constants that moments go to, the elements of each mean, and what stays at each step.
    pub moments: Vec<(NodeId, NodeId, f64)>,
}

impl Graded {
    /// The loss of a student for feeds like this one, with labels like these. Outputs are compared with the teacher's
    /// where there is one. In training a BatchNormalization may go by the batch.
    pub(super) fn new(
        model: &Model,
        lesson: &Lesson,
        signature: &[Signature],
        labels: Option<&Tensor>,
        options: &Options,
        training: bool,
    ) -> Result<Graded, TuneError> {
        let builder = Builder::new();
        let by_batch = training && options.running == Running::Update;
        let statistics = if by_batch { Statistics::Batch } else { Statistics::Running };
        let lowered = lower(&builder, model, signature, statistics)?;
        let loss = loss(&builder, &lowered, lesson, labels, options)?;
        let first = output(&lowered, &lesson.outputs[0].student)?;
        let mut results = vec![loss, first];
        results.extend(lowered.moments.iter().flat_map(|m| [m.mean, m.variance]));
        let program = builder.finish(&results).map_err(TuneError::Program)?;
        let leaves = program.constants().filter(|(_, id)| program.step(*id).kind == NumberKind::Float).collect();
        let moments = lowered.moments.iter().map(|m| (m.running.0, m.running.1, m.momentum)).collect();
        Ok(Graded { program, leaves, moments })
    }
}

/// What a student says of a feed in its first output that is made of floats, and that output's name.
pub(super) fn first_output(engine: Engine, model: &Model, feed: &Feed) -> Result<(String, Tensor), TuneError> {
    let builder = Builder::new();
    let lowered = lower(&builder, model, &feed.signature(), Statistics::Running)?;
    let (name, term) =
        lowered.outputs.into_iter().find(|o| o.1.kind() == NumberKind::Float).ok_or(TuneError::NoFloats)?;
    let program = builder.finish(&[term]).map_err(TuneError::Program)?;
    let constant = |node| model.graph.constant(node).map(|c| &c.tensor);
    let bindings = Bindings { input: &|name| feed.get(name), constant: &constant };
    let found = engine.run(&program, bindings)?;
    Ok((name, found.into_iter().next().expect("a program has its results")))
}

/// The student's output of this name.
fn output<'b>(lowered: &Lowered<'b>, name: &str) -> Result<Term<'b>, TuneError> {
    let found = lowered.outputs.iter().find(|o| o.0 == name);
    found.map(|o| o.1).ok_or_else(|| TuneError::NoOutput(name.to_owned()))
}

fn loss<'b>(
    builder: &'b Builder,
    lowered: &Lowered<'b>,
    lesson: &Lesson,
    labels: Option<&Tensor>,
    options: &Options,
) -> Result<Term<'b>, TuneError> {
    let mut terms = vec![];
    if lesson.taught {
        let share = if labels.is_some() { 1.0 - options.labels } else { 1.0 };
        for goal in &lesson.outputs {
            let student = output(lowered, &goal.student)?;
            goal.check(&student.shape())?;
            let teacher = builder.input(&target(&goal.teacher), NumberKind::Float, &student.shape());
            terms.push(goal.meaning.distance(student, teacher, options.temperature) * share);
        }
    }
    if let Some(labels) = labels {
        let kind = if labels.dtype == DType::I64 { NumberKind::Int } else { NumberKind::Float };
        let given = builder.input(LABELS, kind, &labels.shape);
        let first = &lesson.outputs[0];
        let error = first.meaning.error(output(lowered, &first.student)?, given)?;
        terms.push(error * if lesson.taught { options.labels } else { 1.0 });
    }
    let outputs = terms.into_iter().reduce(|a, b| a + b).ok_or(TuneError::NothingToLearn)?;
    let mut inner = vec![];
    for (value, goal) in &lesson.inner {
        let unread = || TuneError::Feature(goal.student.clone(), "the student does not compute it".into());
        let student = *lowered.values.get(value).ok_or_else(unread)?;
        let teacher = builder.input(&target(&goal.teacher), NumberKind::Float, &student.shape());
        inner.push(goal.meaning.distance(student, teacher, 1.0));
    }
    let (share, count) = (options.features, inner.len() as f64);
    let inner = inner.into_iter().reduce(|a, b| a + b);
    Ok(inner.map_or(outputs, |sum| outputs * (1.0 - share) + sum * (share / count)))
}

/// The tensors that a graded program is given.
pub(super) fn given<'a>(
    feed: &'a Feed,
    targets: &'a [(String, Tensor)],
    labels: Option<&'a Tensor>,
) -> impl Fn(&str) -> Option<&'a Tensor> + 'a {
    move |name| match name {
        LABELS => labels,
        _ => feed.get(name).or_else(|| targets.iter().find(|(n, _)| n == name).map(|(_, t)| t)),
    }
}
