//! Pipelines: passes as text, such as `fold-bn,fix(drop-identity,dce)`.

use super::options::Options;
use super::text::{self, SyntaxError, Words, nearest};
use super::{Change, Context, Effect, Evaluate, Pass, PassError, Registry};
use crate::ir::{Graph, Model, Violation, verify};
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// Passes in the order in which they run. It prints as it was read, but for spaces.
pub struct Pipeline {
    words: Vec<Words>,
    steps: Vec<Step>,
}

enum Step {
    Pass(Box<dyn Pass>),
    /// Again and again until nothing changes.
    Fix(Vec<Step>),
}

/// One run of one pass.
#[derive(Clone, Debug)]
pub struct Execution {
    /// Counted from 1 over the whole pipeline: the number that `bisect_limit` counts to.
    pub number: usize,
    pub pass: &'static str,
    pub effect: Effect,
    pub change: Change,
    pub time: Duration,
    /// What the pass had to say.
    pub notes: Vec<String>,
}

/// What a pipeline did.
#[derive(Clone, Debug, Default)]
pub struct PipelineReport {
    pub executions: Vec<Execution>,
    /// Whether the bisect limit kept passes from running.
    pub limited: bool,
}

impl PipelineReport {
    /// How much was changed in all.
    pub fn change(&self) -> Change {
        Change(self.executions.iter().map(|e| e.change.0).sum())
    }

    /// Time and number of runs of each pass, longest first.
    pub fn times(&self) -> Vec<(&'static str, Duration, usize)> {
        let mut times: Vec<(&'static str, Duration, usize)> = vec![];
        for e in &self.executions {
            match times.iter_mut().find(|t| t.0 == e.pass) {
                Some(t) => *t = (t.0, t.1 + e.time, t.2 + 1),
                None => times.push((e.pass, e.time, 1)),
            }
        }
        times.sort_by_key(|t| std::cmp::Reverse(t.1));
        times
    }
}

/// Is called after each run of a pass, to print the model or to check it; an error stops the pipeline.
pub type Hook<'a> = &'a mut dyn FnMut(&Execution, &Model) -> Result<(), String>;

/// How a pipeline runs.
#[derive(Default)]
pub struct Settings<'a> {
    /// What computes constants. Without it only what inference knows is folded.
    pub evaluator: Option<&'a dyn Evaluate>,
    /// Only this many runs of passes happen, for finding the one that breaks a model.
    pub bisect_limit: Option<usize>,
    pub after_each: Option<Hook<'a>>,
}

/// Why a pipeline stopped.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say what each is.
pub enum PipelineError {
    #[error("pass {number}, {pass}: {cause}")]
    Pass { number: usize, pass: &'static str, cause: PassError },
    #[error("pass {number}, {pass}, broke the model in {count} places; the first: {first}")]
    Broken { number: usize, pass: &'static str, first: Violation, count: usize },
    #[error("after pass {number}, {pass}: {what}")]
    Check { number: usize, pass: &'static str, what: String },
}

impl FromStr for Pipeline {
    type Err = SyntaxError;

    /// Reads a pipeline of exact passes; a [`Registry`] may know others too.
    fn from_str(source: &str) -> Result<Pipeline, SyntaxError> {
        Registry::default().parse(source)
    }
}

impl Registry {
    /// Reads a pipeline's text.
    pub fn parse(&self, source: &str) -> Result<Pipeline, SyntaxError> {
        let words = text::parse(source)?;
        let steps = words.iter().map(|w| build(self, source, w)).collect::<Result<_, _>>()?;
        Ok(Pipeline { words, steps })
    }
}

fn build(registry: &Registry, source: &str, words: &Words) -> Result<Step, SyntaxError> {
    let (name, settings, at) = match words {
        Words::Fix(inner) => {
            return Ok(Step::Fix(inner.iter().map(|w| build(registry, source, w)).collect::<Result<_, _>>()?));
        }
        Words::Pass { name, settings, at } => (name, settings, *at),
    };
    let Some(entry) = registry.entry(name) else {
        let hint = nearest(name, registry.entries().map(|e| e.name).chain(["fix"]));
        let hint = hint.map_or(String::new(), |h| format!("; did you mean {h:?}?"));
        return Err(SyntaxError::new(source, at, format!("there is no pass {name:?}{hint}")));
    };
    let mut options = Options::new(settings.clone());
    let pass = (entry.make)(&mut options).and_then(|pass| options.finish(name).map(|()| pass));
    pass.map(Step::Pass).map_err(|e| SyntaxError::new(source, e.at, e.what))
}

impl fmt::Display for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        text::print(&self.words, f)
    }
}

impl Pipeline {
    /// Whether there is nothing to run.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Runs all passes. In debug builds the invariants of the IR are checked after each.
    pub fn run(&self, model: &mut Model, settings: Settings) -> Result<PipelineReport, PipelineError> {
        let broken = if cfg!(debug_assertions) { verify(model) } else { vec![] };
        let mut run = Run { cx: Context::new(settings.evaluator), settings, report: PipelineReport::default(), broken };
        run.steps(&self.steps, model)?;
        Ok(run.report)
    }
}

struct Run<'a> {
    cx: Context<'a>,
    settings: Settings<'a>,
    report: PipelineReport,
    /// What was wrong with the model from the beginning: no pass is to blame for it.
    broken: Vec<Violation>,
}

impl Run<'_> {
    fn steps(&mut self, steps: &[Step], model: &mut Model) -> Result<Change, PipelineError> {
        let mut total = Change::default();
        for step in steps {
            total.0 += match step {
                Step::Pass(pass) => self.pass(pass.as_ref(), model)?.0,
                Step::Fix(inner) => self.fix(inner, model)?.0,
            };
        }
        Ok(total)
    }

    /// Runs the steps until nothing changes.
    ///
    /// That it ends is by construction, whatever the passes are: it goes on only while [`graph_cost`], a pair of
    /// natural numbers, falls below the lowest seen so far, and patience for one round without that is all it has
    /// (a round may add nodes that the next one makes superfluous). Passes that undo each other so stop at once.
    fn fix(&mut self, steps: &[Step], model: &mut Model) -> Result<Change, PipelineError> {
        let mut total = Change::default();
        let mut lowest = graph_cost(&model.graph);
        let mut patience = true;
        loop {
            let change = self.steps(steps, model)?;
            total.0 += change.0;
            let now = graph_cost(&model.graph);
            let fell = now < lowest;
            if !change.happened() || !(fell || patience) {
                return Ok(total);
            }
            patience = fell;
            lowest = lowest.min(now);
        }
    }

    fn pass(&mut self, pass: &dyn Pass, model: &mut Model) -> Result<Change, PipelineError> {
        let number = self.report.executions.len() + 1;
        if self.settings.bisect_limit.is_some_and(|limit| number > limit) {
            self.report.limited = true;
            return Ok(Change::default());
        }
        let name = pass.name();
        let start = Instant::now();
        let change =
            pass.run(model, &mut self.cx).map_err(|cause| PipelineError::Pass { number, pass: name, cause })?;
        let (time, notes) = (start.elapsed(), self.cx.take_notes());
        tracing::debug!(pass = name, number, changes = change.0, seconds = time.as_secs_f64(), "ran");
        notes.iter().for_each(|note| tracing::debug!(pass = name, "{note}"));
        if change.happened() {
            self.cx.changed();
        }
        let execution = Execution { number, pass: name, effect: pass.effect(), change, time, notes };
        self.check(&execution, model)?;
        if let Some(hook) = &mut self.settings.after_each {
            hook(&execution, model).map_err(|what| PipelineError::Check { number, pass: name, what })?;
        }
        self.report.executions.push(execution);
        Ok(change)
    }

    fn check(&self, execution: &Execution, model: &Model) -> Result<(), PipelineError> {
        if !cfg!(debug_assertions) {
            return Ok(());
        }
        let mut new = verify(model).into_iter().filter(|v| !self.broken.contains(v));
        let Some(first) = new.next() else { return Ok(()) };
        let (number, pass) = (execution.number, execution.pass);
        Err(PipelineError::Broken { number, pass, first, count: 1 + new.count() })
    }
}

/// What `fix` wants less of: operands that are computed at run time, then nodes.
fn graph_cost(graph: &Graph) -> (usize, usize) {
    let computed = |n| graph.operands(n).into_iter().flatten().filter(|v| graph.constant(v.node).is_none()).count();
    let calls = graph.calls();
    (calls.into_iter().map(computed).sum(), graph.len())
}
