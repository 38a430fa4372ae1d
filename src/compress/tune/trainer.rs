//! The training loop.

use super::data::{check, labels, order, strange};
use super::lesson::lesson;
use super::regularize::Regularizer;
use super::state::{Progress, floats};
use super::student::{Graded, Lesson, first_output, given, target};
use super::teacher::Kept;
use super::variables::{Variable, place, variables};
use super::{Options, PREPARE, Running, Schedule, State, Teacher, TuneError};
use crate::autograd::{Bindings, Derived, Device, Engine};
use crate::feed::{Feed, Samples};
use crate::infer::infer;
use crate::ir::{Model, NodeId, Tensor};
use crate::judge::{Figure, Judge, Task};
use crate::parallel::{cores, side_by_side};
use crate::pipelines;
use crate::program::Id;
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A model after its training.
pub(crate) struct Tuned {
    pub model: Model,
    pub curve: super::Curve,
    /// Steps that were made, of how many there could have been.
    pub steps: usize,
    pub of: usize,
    /// How many weights were trained, in so many tensors.
    pub weights: usize,
    pub tensors: usize,
    /// How long one epoch took on average, its judging included.
    pub epoch: Duration,
}

/// What is told of a training while it runs.
#[derive(Clone, Copy, Debug)]
pub struct Tick {
    pub step: usize,
    pub of: usize,
    /// The loss of this step's batch.
    pub loss: f64,
    /// The last held-out loss, and the figure that goes with it.
    pub held_out: Option<f64>,
    pub metric: Option<f64>,
}

/// Where states are written, and where one is taken up again.
#[derive(Clone, Debug, Default)]
pub struct Keeping {
    pub state: Option<PathBuf>,
    /// Steps from one writing to the next; 0 for those of an epoch.
    pub every: usize,
    pub resume: bool,
}

/// Trains a model. With a teacher it learns what that says of the samples; with labels also these.
pub(crate) fn tune(
    model: &Model,
    teacher: Option<&Teacher>,
    samples: &Samples,
    options: &Options,
    keeping: &Keeping,
    tell: &dyn Fn(Tick),
) -> Result<Tuned, TuneError> {
    options.device.check()?;
    let mut model = model.clone();
    pipelines::run(PREPARE, &mut model).map_err(Box::new)?;
    let mut trainer = Trainer::new(&model, teacher, samples, options)?;
    let fingerprint = trainer.fingerprint()?;
    match &keeping.state {
        Some(path) if keeping.resume && path.exists() => trainer.take_up(State::read(path, &fingerprint)?),
        _ => trainer.progress.fingerprint = fingerprint,
    }
    let started = (Instant::now(), trainer.progress.step);
    trainer.train(keeping, tell)?;
    let epochs = (trainer.progress.step - started.1) as f64 / trainer.per_epoch as f64;
    let epoch = Duration::from_secs_f64(started.0.elapsed().as_secs_f64() / epochs.max(1e-9));
    let (steps, of) = (trainer.progress.step, trainer.total);
    let weights = trainer.variables.iter().map(|v| v.values.len()).sum();
    let (tensors, curve) = (trainer.variables.len(), trainer.progress.curve.clone());
    let outcome = trainer.outcome();
    place(&mut model, &outcome)?;
    Ok(Tuned { model, curve, steps, of, weights, tensors, epoch })
}

struct Trainer<'a> {
    model: &'a Model,
    teacher: Option<&'a Teacher>,
    /// What is learned from, and what is held out.
    learned: Samples,
    held_out: Samples,
    options: &'a Options,
    lesson: Lesson,
    engine: Engine,
    graded: Graded,
    variables: Vec<Variable>,
    regularizer: Regularizer,
    /// Running means and variances that batches move.
    statistics: Vec<(NodeId, Tensor)>,
    /// Portions in a step, and in a feed: fewer, where the model says how many samples it takes.
    batch: usize,
    per_feed: usize,
    /// Steps in an epoch, and at most in all.
    per_epoch: usize,
    total: usize,
    /// What the teacher said of portions; those that are held out are counted behind the others.
    kept: Kept,
    progress: Progress,
    best: Vec<Vec<f32>>,
}

impl<'a> Trainer<'a> {
    fn new(
        model: &'a Model,
        teacher: Option<&'a Teacher>,
        samples: &Samples,
        options: &'a Options,
    ) -> Result<Trainer<'a>, TuneError> {
        let (learned, held_out) = samples.fold(options.held_out.max(2) - 1, options.held_out.max(2));
        let batch = (options.batch / learned.per_portion()).clamp(1, learned.portions().max(1));
        let per_epoch = learned.portions() / batch;
        if per_epoch == 0 || held_out.is_empty() {
            return Err(TuneError::Few { samples: samples.len(), held_out: options.held_out });
        }
        let whole = batch.min(learned.per_feed(options.batch) / learned.per_portion());
        // Statistics of a batch are those of all of it, and a GPU has work for its threads in any batch.
        let is_divisible = whole == batch && options.running != Running::Update && options.device == Device::Cpu;
        let per_feed = if is_divisible { batch / parts(batch) } else { whole };
        let first: Vec<usize> = (0..per_feed).collect();
        let feed = learned.feed(&first)?;
        let given = labels(&learned, &first, &feed, options.next_tokens)?;
        // What the model itself says tells first whether it can be trained.
        let own = first_output(options.engine(), model, &feed)?;
        let own = given.is_some().then_some(own);
        let lesson = lesson(model, teacher, &feed, own, options)?;
        if let Some(axis) = lesson.outputs[0].meaning.classes() {
            check(samples, lesson.outputs[0].shape[axis])?;
        }
        let graded = Graded::new(model, &lesson, &feed.signature(), given.as_ref(), options, true)?;
        let facts = infer(model);
        let variables = variables(model, &facts, &graded.program, options)?;
        let regularizer = Regularizer::new(model, &facts, &variables, options)?;
        let constant = |node: NodeId| model.graph.constant(node).map(|c| (node, c.tensor.clone()));
        let statistics = graded.moments.iter().flat_map(|m| [m.0, m.1]).filter_map(constant).collect();
        let total = options.steps.unwrap_or(options.epochs * per_epoch);
        let engine = options.engine();
        let (progress, best) = (Progress::default(), vec![]);
        Ok(Trainer {
            model,
            teacher,
            learned,
            held_out,
            options,
            lesson,
            engine,
            graded,
            variables,
            regularizer,
            statistics,
            batch,
            per_feed,
            per_epoch,
            total,
            kept: Kept::default(),
            progress,
            best,
        })
    }

    /// What the training depends on.
    fn fingerprint(&self) -> Result<String, TuneError> {
        let weights: Vec<u64> = self.variables.iter().map(|v| v.tensor.hash()).collect();
        let feed = self.learned.feed(&[0])?;
        let samples: Vec<u64> = feed.iter().map(|(_, t)| t.hash()).collect();
        let labels = self.learned.labels().map(|l| l.hash());
        let seen = (self.learned.len(), samples, labels, self.teacher.map(Teacher::hash));
        let inner = self.teacher.map(|t| &t.inner);
        let text = format!("{:?} {inner:?} {weights:?} {seen:?} {}", self.options, self.total);
        Ok(format!("{:016x}", xxhash_rust::xxh3::xxh3_64(text.as_bytes())))
    }

    fn train(&mut self, keeping: &Keeping, tell: &dyn Fn(Tick)) -> Result<(), TuneError> {
        if self.progress.curve.held_out.is_empty() {
            self.judge()?;
        }
        while self.progress.step < self.total && !self.is_done() {
            let (epoch, at) = (self.progress.step / self.per_epoch, self.progress.step % self.per_epoch);
            let order = order(self.learned.portions(), self.options.seed, epoch);
            let loss = self.step(&order[at * self.batch..(at + 1) * self.batch])?;
            self.progress.step += 1;
            self.progress.sum += loss;
            if at + 1 == self.per_epoch || self.progress.step == self.total {
                self.progress.curve.training.push(self.progress.sum / (at + 1) as f64);
                self.progress.sum = 0.0;
                self.judge()?;
            }
            let curve = &self.progress.curve;
            let (held_out, metric) = (curve.held_out.last().copied(), curve.metric.last().copied());
            tell(Tick { step: self.progress.step, of: self.total, loss, held_out, metric });
            let every = if keeping.every > 0 { keeping.every } else { self.per_epoch };
            let due = self.progress.step.is_multiple_of(every);
            if let Some(path) = keeping.state.as_ref().filter(|_| due || self.progress.step == self.total) {
                self.state().write(path)?;
            }
        }
        Ok(())
    }

    /// Whether held-out samples say that it is enough.
    fn is_done(&self) -> bool {
        self.options.patience.is_some_and(|patience| self.progress.since >= patience)
    }

    /// One step along the gradient of a batch; its loss. Where it takes several feeds, their mean counts; they are run
    /// side by side and added up in their order, so the sum does not depend on threads.
    fn step(&mut self, portions: &[usize]) -> Result<f64, TuneError> {
        let parts: Vec<&[usize]> = portions.chunks(self.per_feed).collect();
        let (by, mut loss, mut sum) = (self.leaves(), 0.0, vec![]);
        // Gradients of many parts would take much memory.
        for some in parts.chunks(cores()) {
            let constants = self.constants();
            let runs = side_by_side(some, |part| self.slope(part, &constants, &by));
            drop(constants);
            for (part, run) in some.iter().zip(runs) {
                let (targets, derived) = run?;
                self.kept.keep(part, &targets);
                self.move_statistics(&derived.results[2..]);
                loss += number(&derived.results[0]) / parts.len() as f64;
                let gradients = derived.gradients.iter().map(floats).collect();
                sum = if sum.is_empty() { gradients } else { added(sum, &gradients) };
            }
        }
        if parts.len() > 1 {
            sum.iter_mut().flatten().for_each(|g| *g /= parts.len() as f32);
        }
        self.follow(sum);
        Ok(loss)
    }

    /// What the teacher says of these portions, and the derivative of the loss.
    fn slope(
        &self,
        portions: &[usize],
        constants: &HashMap<NodeId, &Tensor>,
        by: &[Id],
    ) -> Result<(Named, Derived), TuneError> {
        let feed = self.learned.feed(portions)?;
        // The held-out samples have portions of their own, counted behind these.
        let targets = self.targets(portions, &feed, 0)?;
        let labels = labels(&self.learned, portions, &feed, self.options.next_tokens)?;
        let constant = |node: NodeId| constants.get(&node).copied();
        let derived = {
            let given = given(&feed, &targets, labels.as_ref());
            let bindings = Bindings { input: &given, constant: &constant };
            self.engine.differentiate(&self.graded.program, bindings, by)?
        };
        self.check(number(&derived.results[0]), &feed)?;
        Ok((targets, derived))
    }

    /// The steps of the program that make the variables.
    fn leaves(&self) -> Vec<Id> {
        let leaves: HashMap<NodeId, Id> = self.graded.leaves.iter().copied().collect();
        self.variables.iter().map(|v| leaves[&v.node]).collect()
    }

    /// Fails if the loss of a feed is no number.
    fn check(&self, loss: f64, feed: &Feed) -> Result<(), TuneError> {
        match strange(feed) {
            _ if loss.is_finite() => Ok(()),
            Some(input) => Err(TuneError::Sample(input.to_owned())),
            None => Err(TuneError::Diverged(self.progress.step)),
        }
    }

    fn follow(&mut self, mut gradients: Vec<Vec<f32>>) {
        if let Some(limit) = self.options.clip {
            let squares = gradients.iter().flatten().map(|&g| f64::from(g) * f64::from(g));
            let norm = squares.sum::<f64>().sqrt();
            let factor = (limit / norm.max(1e-12)) as f32;
            if norm > limit {
                gradients.iter_mut().flatten().for_each(|g| *g *= factor);
            }
        }
        let warmup = (self.options.warmup * self.total as f64) as usize;
        let share = self.options.schedule.share(self.progress.step, self.total, warmup, self.progress.stalls);
        let (rate, decay) = ((self.options.rate * share) as f32, self.options.decay as f32);
        let step = self.progress.step as u64 + 1;
        // An average of few weights should not remember the first ones.
        let average = self.options.average.map_or(0.0, |d| d.min((1.0 + step as f64) / (10.0 + step as f64)) as f32);
        for (variable, gradient) in self.variables.iter_mut().zip(&gradients) {
            variable.update(self.options.optimizer, step, rate, decay, gradient);
        }
        self.regularizer.shrink(&mut self.variables, f64::from(rate));
        self.variables.iter_mut().for_each(|v| v.settle(average));
    }

    /// Running statistics follow those of the batch.
    fn move_statistics(&mut self, moments: &[Tensor]) {
        let kept = self.graded.moments.iter().flat_map(|m| [m.2, m.2]);
        for (((_, running), batch), momentum) in self.statistics.iter_mut().zip(moments).zip(kept) {
            let momentum = momentum as f32;
            let mixed =
                floats(running).into_iter().zip(floats(batch)).map(|(r, b)| momentum * r + (1.0 - momentum) * b);
            *running = Tensor::from_f32(running.shape.clone(), &mixed.collect::<Vec<_>>());
        }
    }

    /// All constants, as they are now.
    fn constants(&self) -> HashMap<NodeId, &Tensor> {
        let all = self.graded.program.constants().filter_map(|(n, _)| Some((n, &self.model.graph.constant(n)?.tensor)));
        let mut constants: HashMap<NodeId, &Tensor> = all.collect();
        constants.extend(self.statistics.iter().map(|(n, t)| (*n, t)));
        constants.extend(self.variables.iter().map(|v| (v.node, &v.tensor)));
        constants
    }

    /// The teacher's outputs for a feed, under the names that the program knows them by.
    fn targets(&self, portions: &[usize], feed: &Feed, offset: usize) -> Result<Named, TuneError> {
        let Some(teacher) = self.teacher else { return Ok(vec![]) };
        let known: Vec<usize> = portions.iter().map(|p| p + offset).collect();
        if let Some(targets) = self.kept.all(&known) {
            return Ok(targets);
        }
        Ok(teacher.outputs(self.engine, feed)?.into_iter().map(|(name, tensor)| (target(&name), tensor)).collect())
    }

    /// The loss on what is held out, which decides what is best.
    fn judge(&mut self) -> Result<(), TuneError> {
        let current = self.current();
        let mut constants = self.constants();
        constants.extend(current.iter().map(|(n, t)| (*n, t)));
        let all: Vec<usize> = (0..self.held_out.portions()).collect();
        let parts: Vec<&[usize]> = all.chunks(self.per_feed).collect();
        let exams = side_by_side(&parts, |part| self.exam(part, &constants));
        drop(constants);
        let (mut sum, mut judge) = (0.0, Judge::new(Task::Classification));
        for (part, exam) in parts.iter().zip(exams) {
            let exam = exam?;
            sum += exam.loss * part.len() as f64;
            self.rate(&mut judge, &exam);
            let known: Vec<usize> = part.iter().map(|p| p + self.learned.portions()).collect();
            self.kept.keep(&known, &exam.targets);
        }
        let loss = sum / all.len() as f64;
        self.progress.curve.held_out.push(loss);
        let figures: Vec<Figure> = judge.finish().figures();
        let metric = figures.first().filter(|_| judge.finish().samples() > 0).map(|f| f.value);
        self.progress.curve.metric.extend(metric);
        self.remember(loss);
        Ok(())
    }

    /// What the student says of held-out portions.
    fn exam(&self, portions: &[usize], constants: &HashMap<NodeId, &Tensor>) -> Result<Exam, TuneError> {
        let feed = self.held_out.feed(portions)?;
        let targets = self.targets(portions, &feed, self.learned.portions())?;
        let labels = labels(&self.held_out, portions, &feed, self.options.next_tokens)?;
        let graded = Graded::new(self.model, &self.lesson, &feed.signature(), labels.as_ref(), self.options, false)?;
        let constant = |node: NodeId| constants.get(&node).copied();
        let mut results = {
            let given = given(&feed, &targets, labels.as_ref());
            self.engine.run(&graded.program, Bindings { input: &given, constant: &constant })?
        };
        let loss = number(&results[0]);
        self.check(loss, &feed)?;
        Ok(Exam { loss, output: results.swap_remove(1), targets, labels })
    }

    /// Adds an output to what matters: by labels, or by the teacher's answers.
    fn rate(&self, judge: &mut Judge, exam: &Exam) {
        let first = &self.lesson.outputs[0];
        let Some(axis) = first.meaning.classes() else { return };
        let Some((scores, count)) = rows(&exam.output, axis) else { return };
        let answers = match &exam.labels {
            Some(labels) => labels.clone(),
            None => match exam.targets.iter().find(|(n, _)| *n == target(&first.teacher)) {
                Some((_, theirs)) => answers(theirs, axis),
                None => return,
            },
        };
        let answers = answers.to_i64().map(|v| Tensor::from_i64(vec![count], &v));
        // What can't be judged has no figure.
        _ = answers.map(|answers| judge.add(&scores, &answers));
    }

    /// Keeps the weights if they are the best so far, penalties counted.
    fn remember(&mut self, loss: f64) {
        let weights: Vec<Vec<f32>> = self.variables.iter().map(|v| floats(&v.outcome())).collect();
        let loss = loss + self.regularizer.cost(&weights);
        if self.progress.lowest.is_none_or(|lowest| loss < lowest) {
            self.progress.lowest = Some(loss);
            self.progress.since = 0;
            self.best = weights.into_iter().chain(self.statistics.iter().map(|(_, t)| floats(t))).collect();
            return;
        }
        self.progress.since += 1;
        self.progress.stalls += u32::from(self.options.schedule == Schedule::Plateau);
    }

    /// The tensors that the training found so far.
    fn current(&self) -> HashMap<NodeId, Tensor> {
        let weights = self.variables.iter().map(|v| (v.node, v.outcome()));
        weights.chain(self.statistics.iter().cloned()).collect()
    }

    fn state(&self) -> State {
        let variable =
            |v: &Variable| [v.values.clone(), v.memory.first.clone(), v.memory.second.clone(), v.average.clone()];
        State {
            progress: self.progress.clone(),
            variables: self.variables.iter().map(variable).collect(),
            statistics: self.statistics.iter().map(|(_, t)| floats(t)).collect(),
            best: self.best.clone(),
        }
    }

    fn take_up(&mut self, state: State) {
        self.progress = state.progress;
        self.best = state.best;
        for (variable, [values, first, second, average]) in self.variables.iter_mut().zip(state.variables) {
            (variable.values, variable.average) = (values, average);
            (variable.memory.first, variable.memory.second) = (first, second);
            variable.tensor = Tensor::from_f32(variable.tensor.shape.clone(), &variable.values);
        }
        for ((_, tensor), numbers) in self.statistics.iter_mut().zip(state.statistics) {
            *tensor = Tensor::from_f32(tensor.shape.clone(), &numbers);
        }
    }

    /// The best tensors.
    fn outcome(&self) -> HashMap<NodeId, Tensor> {
        let mut outcome = self.current();
        let nodes = self.variables.iter().map(|v| v.node).chain(self.statistics.iter().map(|s| s.0));
        for (node, best) in nodes.zip(&self.best) {
            if let Some(tensor) = outcome.get_mut(&node) {
                *tensor = Tensor::from_f32(tensor.shape.clone(), best);
            }
        }
        outcome
    }
}

/// Tensors by name.
type Named = Vec<(String, Tensor)>;

/// What came of held-out samples.
struct Exam {
    loss: f64,
    output: Tensor,
    targets: Named,
    labels: Option<Tensor>,
}

/// The only number of a tensor.
fn number(tensor: &Tensor) -> f64 {
    floats(tensor).first().copied().map_or(f64::NAN, f64::from)
}

/// Into how many feeds a batch falls that need not be one: small ones would waste more than threads gain.
fn parts(batch: usize) -> usize {
    [4, 2].into_iter().find(|parts| batch.is_multiple_of(*parts) && batch / parts >= 4).unwrap_or(1)
}

/// The sums of numbers.
fn added(mut sum: Vec<Vec<f32>>, more: &[Vec<f32>]) -> Vec<Vec<f32>> {
    sum.iter_mut().flatten().zip(more.iter().flatten()).for_each(|(s, m)| *s += m);
    sum
}

/// Scores of classes along an axis as rows, with their number.
fn rows(output: &Tensor, axis: usize) -> Option<(Tensor, usize)> {
    let elements = output.to_f64().ok()?;
    let classes = *output.shape.get(axis)?;
    let inner: usize = output.shape[axis + 1..].iter().product();
    let count = elements.len() / classes.max(1);
    let at = |row: usize, class: usize| (row / inner * classes + class) * inner + row % inner;
    let ordered = (0..count).flat_map(|row| (0..classes).map(move |class| at(row, class)));
    let scores: Vec<f32> = ordered.map(|i| elements[i] as f32).collect();
    Some((Tensor::from_f32(vec![count, classes], &scores), count))
}

/// The class with the highest score in each row.
fn answers(output: &Tensor, axis: usize) -> Tensor {
    let Some((scores, count)) = rows(output, axis) else { return Tensor::from_i64(vec![0], &[]) };
    let classes = scores.shape[1];
    let elements = floats(&scores);
    let highest = |row: &[f32]| (0..row.len()).reduce(|a, b| if row[b] > row[a] { b } else { a }).unwrap_or(0) as i64;
    let answers: Vec<i64> = elements.chunks(classes.max(1)).map(highest).collect();
    Tensor::from_i64(vec![count], &answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_along_any_axis_become_rows() {
        // Two classes at three places.
        let output = Tensor::from_f32(vec![1, 2, 3], &[1.0, 5.0, 2.0, 4.0, 0.0, 2.0]);
        let (scores, count) = rows(&output, 1).expect("scores");
        assert_eq!((floats(&scores), count), (vec![1.0, 4.0, 5.0, 0.0, 2.0, 2.0], 3));
        // The first of equal scores is the answer.
        assert_eq!(answers(&output, 1).to_i64(), Some(vec![1, 0, 0]));
    }
}
