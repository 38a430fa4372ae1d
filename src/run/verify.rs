//! Verification: both models are run, compared and timed.
//!
//! The *masked equivalence* is the proof of a cut: the original model with the removed slices set to zero must compute
//! what the pruned model computes. The *drift* says how far the pruned model is from the original as it was; that is
//! the price of the cut, not an error. Equality of outputs that do not depend on the input proves nothing, so the
//! *sensitivity* (how much another input changes the outputs) is measured too and must lie well above the tolerance.
//!
//! Models of 16-bit floats are compared in 32 bits; what their own type makes of the outputs is told apart. Outputs that
//! differ by more than the tolerance are computed once more in double precision, which decides whether the difference is
//! rounding. All of that is settled before anything is timed. Times say how fast, and nothing else: a run that fails while
//! it is timed leaves the verdict as it is.

mod compared;
mod decided;
mod double;
mod halves;
mod rounding;
mod runtimes;
mod series;

pub use runtimes::{Runtimes, runtimes};
pub use series::Series;

pub use crate::compare::{CompareError, Comparison, Difference, OutputDifference};
pub use crate::sizes::Given;

use crate::feed::{self, Feed, FeedError, InputSpec, Length, Samples};
use crate::ir::{Dim, Model};
use crate::latency::{self, Effort, Latency, latency_in_ms};
use crate::oracle::{OracleError, Plan, Ran, Runner, Setup};
use crate::passes;
use crate::save::{self, SaveError};
use crate::sizes::{self, SizeError, Start};
use crate::widen::{widened, widened_feed};
use compared::{Compared, Each};
use decided::Decided;
use halves::Halves;
use serde::{Serialize, Serializer};
use std::cell::Cell;
use std::fmt;
use std::time::Duration;

/// How to verify.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where inputs come from, instead of random ones: see [`Samples::open`].
    pub inputs: Option<(String, feed::Options)>,
    /// How many different inputs are run.
    pub samples: usize,
    /// Seed of the first random input; the next one has the next number.
    pub seed: u64,
    /// Sizes of open dimensions.
    pub sizes: Given,
    /// The largest relative difference that counts as equal; chosen by the element type where absent.
    pub tolerance: Option<f64>,
    /// What runs the models.
    pub setup: Setup,
    /// Runs of each model before the first that is timed.
    pub warmup: usize,
    /// Timed runs of each model; 0 measures no latency.
    pub repeats: usize,
    /// How long timing takes at most: fewer runs are timed where they take longer.
    pub time_budget: Duration,
}

/// How long timing takes at most, unless something else is asked for.
pub const TIME_BUDGET: Duration = Duration::from_secs(10);

impl Default for Options {
    /// Three random inputs, and ten timed runs.
    fn default() -> Options {
        Options {
            inputs: None,
            samples: 3,
            seed: 0,
            sizes: Given::default(),
            tolerance: None,
            setup: Setup::default(),
            warmup: 2,
            repeats: 10,
            time_budget: TIME_BUDGET,
        }
    }
}

impl Options {
    /// The tolerance for what is made of this model.
    fn tolerance_of(&self, original: &Model) -> f64 {
        self.tolerance.unwrap_or_else(|| tolerance(original))
    }
}

/// What verification found.
#[derive(Clone, Debug, Serialize)]
pub struct Verification {
    /// Pruned against masked original.
    pub equivalence: Difference,
    /// Pruned against original.
    pub drift: Difference,
    /// The largest relative change of the original's outputs from one input to another.
    pub sensitivity: f64,
    /// The largest relative difference that counted as equal.
    pub tolerance: f64,
    /// Where the models compute in 16 bits, the largest relative difference that this makes of the pruned one's outputs. All
    /// other figures are of the same models in 32 bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rounding: Option<f64>,
    /// The equivalence in double precision, where single precision finds more than the tolerance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub double: Option<Doubled>,
    /// Whether the equivalence holds, in double precision where it was computed in that.
    pub equal: bool,
    /// Whether the outputs depend on the input enough for the equivalence to mean something.
    pub meaningful: bool,
    /// How many inputs were run.
    pub samples: usize,
    /// The times of the original and of the pruned model; `None` where nothing was timed.
    #[serde(serialize_with = "latency_in_ms")]
    pub latency: Option<Latency>,
    /// Why no latency was measured, where one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub untimed: Option<String>,
    /// Inputs that were constants while the models ran, since they decide which branches are taken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub constants: Vec<String>,
    /// What ran the models, unless they were run as programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Ran>,
    /// How the oracle ran the models.
    #[serde(serialize_with = "as_text")]
    pub plan: Plan,
}

/// What a comparison in double precision found.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Doubled {
    /// How far the outputs are apart there.
    Apart(Difference),
    /// Why the models were not run in double precision.
    Unable(String),
}

/// Which model something is said of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The model that was pruned.
    Original,
    /// The original with zeros where units are gone: what the pruned model must equal.
    Reference,
    /// The pruned model, repaired or not.
    Pruned,
    /// One of two models that are compared or timed.
    First,
    /// The other one of the two.
    Second,
    /// A model that is looked at by itself.
    Alone,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Role::Original => "original",
            Role::Reference => "masked",
            Role::Pruned => "pruned",
            Role::First => "first",
            Role::Second => "second",
            Role::Alone => "given",
        })
    }
}

/// Why a model was not verified.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say what each is.
pub enum VerifyError {
    #[error("the {which} model: {error}")]
    Oracle { which: Role, error: OracleError },
    #[error("the {which} model: {error}; {sizes}")]
    Sizes { which: Role, error: OracleError, sizes: String },
    #[error("encoding the {which} model: {error}")]
    Save { which: Role, error: SaveError },
    #[error(transparent)]
    Feed(#[from] FeedError),
    #[error("comparing outputs: {0}")]
    Compare(#[from] CompareError),
    #[error("the model has inputs that are no tensors, or of unknown rank: `{0}`")]
    Input(String),
    #[error(transparent)]
    Size(#[from] SizeError),
    #[error("there is no input to run")]
    NoFeed,
    #[error(transparent)]
    Runtime(#[from] OracleError),
}

impl VerifyError {
    /// Which of the models is to blame, if one is.
    pub fn which(&self) -> Option<Role> {
        match self {
            VerifyError::Oracle { which, .. } | VerifyError::Sizes { which, .. } | VerifyError::Save { which, .. } => {
                Some(*which)
            }
            _ => None,
        }
    }

    /// The same in words, with a file's name for the model.
    pub fn of_file(&self, path: &std::path::Path) -> String {
        match self {
            VerifyError::Oracle { error, .. } => format!("{}: {error}", path.display()),
            VerifyError::Sizes { error, sizes, .. } => format!("{}: {error}; {sizes}", path.display()),
            VerifyError::Save { error, .. } => format!("{}: {error}", path.display()),
            other => other.to_string(),
        }
    }

    /// Whether it says something of the oracle's reach or of what can be made up as input, and nothing of the models:
    /// they can't be run here. That the pruned model alone can't be run, or makes other outputs, is no such case.
    pub fn is_inability(&self) -> bool {
        match self {
            VerifyError::Oracle { which, error } | VerifyError::Sizes { which, error, .. } => {
                *which != Role::Pruned || error.is_about_the_runtime()
            }
            VerifyError::Feed(e) => {
                matches!(e, FeedError::ElementType(..) | FeedError::Size { .. } | FeedError::Large { .. })
            }
            VerifyError::Input(_) | VerifyError::NoFeed | VerifyError::Runtime(_) => true,
            // Too large for one message, which is how the oracle takes a model; the original is no smaller.
            VerifyError::Save { error: SaveError::TooLarge { .. }, .. } => true,
            VerifyError::Save { .. } | VerifyError::Compare(_) | VerifyError::Size(_) => false,
        }
    }

    /// Whether it says that a pruned model is broken: it can't be encoded or run, or its outputs have other types.
    pub fn is_of_the_result(&self) -> bool {
        self.which() == Some(Role::Pruned) || matches!(self, VerifyError::Compare(_))
    }

    /// The same, with the sizes that the inputs were made up with.
    fn with_sizes(self, sizes: Option<String>) -> VerifyError {
        match (self, sizes) {
            (VerifyError::Oracle { which: which @ Role::Original, error }, Some(sizes)) => {
                VerifyError::Sizes { which, error, sizes }
            }
            (other, _) => other,
        }
    }
}

/// The inputs that a run needs.
pub fn input_specs(model: &Model) -> Result<Vec<InputSpec>, VerifyError> {
    sized_specs(model, &Given::default())
}

/// The inputs that a run needs, with what is made up for them where these sizes are given.
pub fn sized_specs(model: &Model, given: &Given) -> Result<Vec<InputSpec>, VerifyError> {
    specs_from(model, given, Start::RUN)
}

/// The same, with these lengths of open axes to begin with.
pub(crate) fn specs_from(model: &Model, given: &Given, start: Start) -> Result<Vec<InputSpec>, VerifyError> {
    let whole = passes::opened(model);
    let inputs = sizes::inputs(&whole.graph).into_iter().collect::<Result<Vec<_>, _>>().map_err(VerifyError::Input)?;
    let mut lengths = sizes::fit(&whole, given, start)?;
    let facts = lengths.facts(&whole);
    let values = sizes::values(&whole, &facts, &inputs);
    // A branch that is not taken need not fit.
    if lengths.trouble.is_some()
        && let Some(decided) = decided::decided(model, &inputs, &values)
        && let Ok(fitting) = sizes::fit(&passes::opened(&decided), given, start)
    {
        lengths = fitting;
    }
    let states = sizes::states(&whole, &facts, &inputs);
    let batches = sizes::batch_axes(&whole, &inputs, given, &lengths);
    let known = sizes::Known { lengths: &lengths, values: &values, states: &states, batches: &batches };
    let kinds = sizes::kinds(&whole, &facts, &inputs, &known);
    let spec = |input: &sizes::FedInput| {
        let length = |d: &Dim| Length { size: lengths.of(d).unwrap_or(start.other), given: lengths.is_given(d) };
        InputSpec {
            name: input.name.clone(),
            dtype: input.dtype,
            lengths: input.shape.iter().map(length).collect(),
            shape: input.shape.clone(),
            values: values[&input.name],
            kind: kinds[&input.name],
            batch: batches[&input.name],
            state: states.contains(&input.name),
        }
    };
    Ok(inputs.iter().map(spec).collect())
}

/// How many given samples go into one input, where the model leaves that open.
const BATCH: usize = 8;

/// The inputs to run: given samples, or random ones.
pub fn feeds(model: &Model, options: &Options) -> Result<Vec<Feed>, VerifyError> {
    let specs = sized_specs(model, &options.sizes)?;
    let feeds = match &options.inputs {
        Some((spec, how)) => {
            let samples = Samples::open(spec, &specs, how)?;
            let mut feeds: Vec<Feed> =
                samples.full_feeds(BATCH).take(options.samples.max(1)).collect::<Result<_, _>>()?;
            // Models are prepared for one length.
            let signature = feeds.first().map(Feed::signature);
            feeds.retain(|feed| Some(feed.signature()) == signature);
            feeds
        }
        None => {
            let seeds = (0..options.samples.max(2) as u64).map(|i| options.seed.wrapping_add(i));
            seeds.map(|seed| Feed::random(&specs, seed)).collect::<Result<Vec<_>, _>>()?
        }
    };
    if feeds.is_empty() { Err(VerifyError::NoFeed) } else { Ok(feeds) }
}

/// The open axes of inputs that were made up, with their sizes and how to say others.
fn assumed(model: &Model, feed: &Feed) -> Option<String> {
    const NAMED: usize = 4;
    let specs = input_specs(model).ok()?;
    let open = specs.iter().filter_map(|s| Some((s, &feed.get(&s.name)?.shape))).flat_map(|(spec, shape)| {
        let axes = spec.shape.iter().zip(shape).enumerate().filter(|(_, (dim, _))| dim.fixed().is_none());
        axes.map(|(axis, (dim, size))| {
            let place = format!("{}[{axis}]", spec.name);
            // A name that needs quotes says little.
            let plain = dim.as_symbol().filter(|name| name.chars().all(|c| c.is_alphanumeric() || c == '_'));
            let name = plain.map_or_else(|| place.clone(), str::to_owned);
            (axis, name, format!("{place} = {size}"))
        })
    });
    let open: Vec<(usize, String, String)> = open.collect();
    // A batch of any size will do, mostly.
    let (_, first, _) = open.iter().find(|(axis, ..)| *axis > 0).or(open.first())?;
    let told: Vec<&str> = open.iter().take(NAMED).map(|(.., told)| told.as_str()).collect();
    let more = if open.len() > NAMED { ", …" } else { "" };
    let whole = passes::opened(model);
    let trouble = sizes::fit(&whole, &Given::default(), Start::RUN).ok()?.trouble;
    let trouble = trouble.map(|(node, what)| format!(", which `{}` contradicts ({what})", whole.graph.label(node)));
    let (told, why) = (told.join(", "), trouble.unwrap_or_default());
    Some(format!("its open axes were set to {told}{more}{why}; set other sizes with `--dim {first}=SIZE`"))
}

/// A runner for a model in memory.
pub fn runner(model: &Model, which: Role, feed: &Feed) -> Result<Runner, VerifyError> {
    runner_on(&Setup::default(), model, which, feed)
}

/// The same for what a setup says.
pub fn runner_on(setup: &Setup, model: &Model, which: Role, feed: &Feed) -> Result<Runner, VerifyError> {
    let bytes = encoded(model, which)?;
    Runner::on(setup, &bytes, None, &feed.signature()).map_err(|error| VerifyError::Oracle { which, error })
}

/// The same for runs that are timed.
pub fn timed_runner(setup: &Setup, model: &Model, which: Role, feed: &Feed) -> Result<Runner, VerifyError> {
    let bytes = encoded(model, which)?;
    Runner::timed(setup, &bytes, None, &feed.signature()).map_err(|error| VerifyError::Oracle { which, error })
}

/// A model as runtimes take it.
fn encoded(model: &Model, which: Role) -> Result<Vec<u8>, VerifyError> {
    // tract has no local functions.
    save::to_bytes(&passes::inlined(model)).map_err(|error| VerifyError::Save { which, error })
}

/// The models that verification runs.
pub struct Subjects<'a> {
    /// The model that was pruned.
    pub original: &'a Model,
    /// What the cut model must equal; the original itself where absent.
    pub reference: Option<&'a Model>,
    /// The pruned model before it was repaired; as it is where absent.
    pub cut: Option<&'a Model>,
    /// The pruned model as it is written, repaired or not.
    pub pruned: &'a Model,
}

/// The largest relative difference that rounding can make of a model's outputs, as it is run here.
pub fn tolerance(model: &Model) -> f64 {
    rounding::tolerance(&widened(model))
}

/// Verifies a pruned model: the cut against its reference, and the result against the original. `told` hears how many
/// steps are done, and of how many.
///
/// Where there is a reference, only a result that equals it is timed.
pub fn verify(
    subjects: &Subjects,
    options: &Options,
    told: &dyn Fn(usize, usize),
) -> Result<Verification, VerifyError> {
    let feeds = feeds(subjects.original, options)?;
    // All models are run by one runtime, the best one that can.
    let attempt = |work: &dyn Fn(&Options) -> Result<Verification, VerifyError>| {
        let on = |setup: &Setup| work(&Options { setup: setup.clone(), ..options.clone() });
        options.setup.attempt(on, VerifyError::is_inability)
    };
    match attempt(&|options| run(subjects, &feeds, options, told)) {
        Err(error) if error.is_inability() => {
            let decided = Decided::new(subjects, &feeds);
            let decided = decided.and_then(|d| attempt(&|options| d.verify(options, told)).ok());
            let found = decided.or_else(|| in_programs(subjects, &feeds, options, &error));
            found.ok_or(error)
        }
        found => found,
    }
}

/// The same for models that the runtime can't run, as programs in double precision; `None` where they can't be run like
/// that either, or take too long.
fn in_programs(subjects: &Subjects, own: &[Feed], options: &Options, error: &VerifyError) -> Option<Verification> {
    let feeds: Vec<Feed> = own.iter().map(|f| widened_feed(f).into_owned()).collect();
    let programs = double::compiled(subjects, &feeds).ok()?;
    let compared = Compared::of(&programs, &feeds, options.setup.side_by_side(), &|| ()).ok()?;
    let untimed = (options.repeats > 0).then(|| error.to_string());
    let found = compared.judged(options.tolerance_of(subjects.original), feeds.len(), Plan::Program);
    Some(Verification { untimed, ..found })
}

fn run(
    subjects: &Subjects,
    own: &[Feed],
    options: &Options,
    told: &dyn Fn(usize, usize),
) -> Result<Verification, VerifyError> {
    let feeds: Vec<Feed> = own.iter().map(|f| widened_feed(f).into_owned()).collect();
    let turns = if options.repeats > 0 { options.warmup + options.repeats } else { 0 };
    let steps = Cell::new(0);
    let done = || {
        steps.set(steps.get() + 1);
        told(steps.get(), feeds.len() + turns);
    };
    let sizes = || options.inputs.is_none().then(|| assumed(subjects.original, &feeds[0])).flatten();
    let runner = |model: &Model, which| runner_on(&options.setup, &widened(&passes::inlined(model)), which, &feeds[0]);
    let runners = Each::of(subjects, runner).map_err(|e| e.with_sizes(sizes()))?;
    let compared =
        Compared::of(&runners, &feeds, options.setup.side_by_side(), &done).map_err(|e| e.with_sizes(sizes()))?;
    let found = compared.judged(options.tolerance_of(subjects.original), feeds.len(), runners.original.plan());
    let (equal, double) = match found.equal {
        true => (true, None),
        false => double::compare(subjects, &feeds, found.tolerance),
    };
    let timed = turns > 0 && (equal || subjects.reference.is_none());
    let halves = Halves::new(subjects, options, (&own[0], &feeds[0]), &runners.pruned);
    let rounding = halves.as_ref().and_then(|h| h.as_ref().ok()?.rounding);
    let on_more = timed && options.setup.timed_threads() > 1;
    let timed = timed.then(|| match &halves {
        Some(Err(why)) => Err(why.clone()),
        _ if on_more => time_on_more_threads(subjects, &own[0], options, &done),
        Some(Ok(halves)) => time((&halves.original, &halves.pruned), &own[0], options, &done),
        None => time((&runners.original, &runners.pruned), &feeds[0], options, &done),
    });
    let (latency, untimed) = match timed {
        Some(Ok(latency)) => (Some(latency), None),
        Some(Err(why)) => (None, Some(why)),
        None => (None, None),
    };
    let runtime = Some(runners.original.ran());
    Ok(Verification { equal, double, rounding, latency, untimed, runtime, ..found })
}

/// Times both models as they are, on as many threads as the setup says.
fn time_on_more_threads(
    subjects: &Subjects,
    feed: &Feed,
    options: &Options,
    done: &dyn Fn(),
) -> Result<Latency, String> {
    let runner = |model, which| timed_runner(&options.setup, model, which, feed).map_err(|e| e.to_string());
    let (original, pruned) = (runner(subjects.original, Role::Original)?, runner(subjects.pruned, Role::Pruned)?);
    time((&original, &pruned), feed, options, done)
}

fn time(
    (original, pruned): (&Runner, &Runner),
    feed: &Feed,
    options: &Options,
    done: &dyn Fn(),
) -> Result<Latency, String> {
    let Options { warmup, repeats, time_budget, .. } = *options;
    let effort = Effort { warm_up: warmup, repeats, budget: time_budget };
    latency::measure(original, Some(pruned), feed, effort, done).map_err(|e| e.to_string())
}

fn as_text<S: Serializer>(plan: &Plan, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(plan)
}

#[cfg(test)]
mod tests;
