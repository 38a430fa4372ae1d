//! Options by name, for those who have texts: what a build file may say, and how it is read.
//!
//! The names are those of the flags of `secateur prune`, and a test keeps both alike.

use super::options::Options;
use super::search::Promise;
use crate::judge::Task;
use crate::lossless::Ranges;
use crate::plan::{Budget, Share};
use crate::save::ExternalData;
use crate::sparsity::{Pattern, Scope};
use crate::{content, prune, pruning};
use std::fmt::Display;
use std::num::NonZeroUsize;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

/// An option that may be given as text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// Its name, words joined by `-`.
    pub name: &'static str,
    /// What stands for its value, such as `SHARE`; nothing for a switch.
    pub value: &'static str,
    pub takes: Takes,
    pub part: Part,
    /// What may be given, if that is a list.
    pub choices: &'static [&'static str],
    /// Those that may not be given beside it.
    rivals: &'static [&'static str],
    /// Those that must be given beside it.
    needs: &'static [&'static str],
    set: Set,
}

type Set = fn(&mut Options, &str) -> Result<(), String>;

/// What an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// Nothing: it is there or not.
    Nothing,
    One,
    /// One that names a file or folder.
    Path,
    Many,
    /// Many, which may be one text with commas in between.
    List,
}

/// What an option is recorded with: what led to the plan, what the result depends on beside the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Choice,
    Result,
    Both,
    Neither,
}

impl Part {
    pub fn is_of_choice(self) -> bool {
        matches!(self, Part::Choice | Part::Both)
    }

    pub fn is_of_result(self) -> bool {
        matches!(self, Part::Result | Part::Both)
    }
}

/// Options of which one may be given.
const BUDGETS: [&str; 10] =
    ["energy", "latency", "lossless", "macs", "max-drift", "max-drop", "params", "peak-memory", "ratio", "size"];

const TASKS: &[&str] = &["classification", "regression", "perplexity"];
const PROMISES: &[&str] = &["max-drift", "max-drop"];

const fn key(part: Part, takes: Takes, name: &'static str, value: &'static str, set: Set) -> Key {
    Key { name, value, takes, part, choices: &[], rivals: &[], needs: &[], set }
}

const fn one(part: Part, name: &'static str, value: &'static str, set: Set) -> Key {
    key(part, Takes::One, name, value, set)
}

const fn many(part: Part, name: &'static str, value: &'static str, set: Set) -> Key {
    key(part, Takes::Many, name, value, set)
}

const fn path(part: Part, name: &'static str, value: &'static str, set: Set) -> Key {
    key(part, Takes::Path, name, value, set)
}

const fn switch(part: Part, name: &'static str, set: Set) -> Key {
    key(part, Takes::Nothing, name, "", set)
}

impl Key {
    const fn rivals(self, rivals: &'static [&'static str]) -> Key {
        Key { rivals, ..self }
    }

    const fn needs(self, needs: &'static [&'static str]) -> Key {
        Key { needs, ..self }
    }

    const fn choices(self, choices: &'static [&'static str]) -> Key {
        Key { choices, ..self }
    }

    /// The option of a name, if there is one; `_` and `-` are alike.
    pub fn named(name: &str) -> Option<&'static Key> {
        let name = name.replace('_', "-");
        let name = if name == "calib-samples" { "samples" } else { &name };
        KEYS.iter().find(|key| key.name == name)
    }

    /// All that must be given beside it, and beside these; what others need comes first.
    pub fn all_needs(&self) -> Vec<&'static Key> {
        let needs = self.needs.iter().filter_map(|name| Key::named(name));
        needs.flat_map(|key| [key.all_needs(), vec![key]].concat()).collect()
    }

    /// Whether this option and another one may not be given together.
    pub fn excludes(&self, other: &Key) -> bool {
        let budgets = self.name != other.name && [self, other].iter().all(|key| BUDGETS.contains(&key.name));
        budgets || self.rivals.contains(&other.name) || other.rivals.contains(&self.name)
    }

    /// Sets it to a value; a switch has none.
    pub fn set(&self, options: &mut Options, value: &str) -> Result<(), String> {
        if !self.choices.is_empty() && !self.choices.contains(&value) {
            let choices = self.choices.join(", ");
            return Err(format!("invalid value '{value}' for '{self}' [possible values: {choices}]"));
        }
        (self.set)(options, value).map_err(|why| format!("invalid value '{value}' for '{self}': {why}"))
    }

    /// What is recorded of a value: files by their hashes.
    pub fn recorded(&self, value: &str) -> String {
        recorded(self.name, self.takes == Takes::Nothing, self.takes == Takes::Path, value)
    }
}

impl Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self.takes {
            Takes::Nothing => write!(f, "--{}", self.name),
            _ => write!(f, "--{} <{}>", self.name, self.value),
        }
    }
}

/// An option as text: `--exclude=head.*`, files by their hashes.
pub(crate) fn recorded(name: &str, is_switch: bool, is_path: bool, value: &str) -> String {
    let hash = || content::hash(Path::new(value)).ok().map(|h| format!("xxh3:{h}"));
    let value = is_path.then(hash).flatten().unwrap_or_else(|| value.to_owned());
    match is_switch {
        true => format!("--{name}"),
        false if value.contains(char::is_whitespace) => format!("--{name}='{value}'"),
        false => format!("--{name}={value}"),
    }
}

/// All options of a `prune` that can be given as text, in alphabetical order.
pub(crate) const KEYS: &[Key] = &[
    switch(Part::Choice, "allow-tiny", |o, _| set(&mut o.choice.allow_tiny, true)),
    many(Part::Choice, "batch-axis", "INPUT=AXIS", |o, v| {
        let (input, axis) = batch_axis(v)?;
        let sizes = &mut o.choice.selection.sizes;
        set(sizes, sizes.clone().with_batch(&input, axis))
    }),
    path(Part::Both, "calib", "SAMPLES", |o, v| some(&mut o.choice.selection.calibration.source, v)),
    one(Part::Both, "calib-preprocess", "SPEC", |o, v| some(&mut o.choice.selection.calibration.preprocess, v)),
    one(Part::Choice, "criterion", "NAME", |o, v| some(&mut o.choice.selection.criterion, v)),
    one(Part::Both, "device", "DEVICE", |o, v| parsed(&mut o.choice.selection.device, v)),
    many(Part::Choice, "dim", "NAME=SIZE", |o, v| {
        let (name, size) = dim(v)?;
        let sizes = &mut o.choice.selection.sizes;
        set(sizes, sizes.clone().with(&name, size))
    }),
    one(Part::Choice, "energy", "SHARE", |o, v| budget(o, v, Budget::Energy)),
    path(Part::Choice, "energy-table", "FILE", |o, v| some(&mut o.choice.tables.energy, v)).rivals(&["latency"]),
    many(Part::Choice, "exclude", "GLOB", |o, v| push(&mut o.choice.selection.exclude, v)),
    one(Part::Neither, "external-data", "WHEN", |o, v| {
        let Some(output) = &mut o.output else { return Ok(()) };
        set(&mut output.external, external(v))
    })
    .choices(&["auto", "never", "always"]),
    one(Part::Choice, "folds", "N", |o, v| count(&mut o.choice.search.folds, v, 2)).needs(&["calib"]),
    key(Part::Choice, Takes::List, "granularity", "KIND", |o, v| push(&mut o.choice.selection.granularity, v)),
    many(Part::Choice, "include", "GLOB", |o, v| push(&mut o.choice.selection.include, v)),
    switch(Part::Choice, "inexact", |o, _| set(&mut o.choice.selection.inexact, true)),
    many(Part::Choice, "input-range", "[NAME=]LO..HI", input_range).rivals(&["no-merge"]),
    path(Part::Neither, "inputs", "SOURCE", |o, v| some(&mut o.verification.inputs, v)),
    one(Part::Choice, "iterative", "N", |o, v| count(&mut o.choice.search.rounds, v, 1)),
    path(Part::Choice, "judge", "SAMPLES", |o, v| some(&mut o.choice.search.held_out.source, v)),
    path(Part::Choice, "judge-labels", "FILE", |o, v| some(&mut o.choice.search.held_out.labels, v)),
    one(Part::Choice, "judge-task", "TASK", |o, v| set(&mut o.choice.search.held_out.task, task(v))).choices(TASKS),
    switch(Part::Result, "keep-bn", |o, _| parsed(&mut o.simplify, prune::SIMPLIFY_KEEP_BN)).rivals(&["passes"]),
    path(Part::Neither, "labels", "FILE", |o, v| some(&mut o.verification.judging.labels, v)),
    one(Part::Choice, "latency", "SHARE", |o, v| budget(o, v, Budget::Latency)),
    path(Part::Choice, "latency-table", "FILE", |o, v| some(&mut o.choice.tables.latency, v))
        .rivals(&["energy-table", "energy"]),
    one(Part::Choice, "layers", "N", |o, v| count(&mut o.choice.layers, v, 1)).rivals(PROMISES),
    switch(Part::Choice, "lossless", |o, _| set(&mut o.choice.budget, Some(Budget::Lossless))).rivals(&["no-merge"]),
    one(Part::Choice, "macs", "SHARE", |o, v| budget(o, v, Budget::Macs)),
    one(Part::Choice, "max-drift", "X", |o, v| set(&mut o.choice.promise, Some(Promise::Drift(above_zero(v)?)))),
    one(Part::Choice, "max-drop", "SHARE", |o, v| set(&mut o.choice.promise, Some(Promise::Drop(share(v)?)))),
    one(Part::Choice, "max-ratio", "SHARE", |o, v| set(&mut o.choice.selection.max_ratio, share(v)?)),
    one(Part::Choice, "min-keep", "N", |o, v| {
        set(&mut o.choice.selection.round.min_keep, whole(v, 1, u32::MAX.into())?)
    }),
    one(Part::Result, "nm", "N:M", |o, v| {
        set(&mut o.zeros.pattern, Some(Pattern::parse_ratio(v).map_err(|e| e.to_string())?))
    })
    .rivals(PROMISES),
    switch(Part::Choice, "no-cache", |o, _| set(&mut o.choice.tables.no_cache, true)),
    switch(Part::Both, "no-compensate", |o, _| set(&mut o.choice.selection.calibration.repair, false)),
    switch(Part::Choice, "no-merge", |o, _| set(&mut o.choice.selection.lossless, None)),
    switch(Part::Neither, "no-verify", |o, _| set(&mut o.proof, false)),
    one(Part::Choice, "params", "SHARE", |o, v| budget(o, v, Budget::Params)),
    one(Part::Result, "passes", "PIPELINE", |o, v| set(&mut o.simplify, pipeline(v)?)),
    one(Part::Choice, "peak-memory", "SHARE", |o, v| budget(o, v, Budget::PeakMemory)),
    one(Part::Neither, "preprocess", "TEXT", |o, v| some(&mut o.verification.preprocess, v)).needs(&["inputs"]),
    one(Part::Choice, "ratio", "SHARE", |o, v| budget(o, v, Budget::Ratio)),
    one(Part::Neither, "repeats", "N", |o, v| parsed(&mut o.verification.repeats, v)),
    one(Part::Choice, "round-to", "N", |o, v| {
        set(&mut o.choice.selection.round.multiple, whole(v, 1, u16::MAX.into())?)
    }),
    many(Part::Choice, "rule", "GLOB: KEY=VALUE", |o, v| push(&mut o.choice.selection.rules, v)),
    one(Part::Neither, "runtime", "NAME", |o, v| parsed(&mut o.verification.setup.runtime, v)),
    one(Part::Both, "samples", "N", |o, v| {
        set(&mut o.choice.selection.calibration.samples, whole(v, 1, u32::MAX.into())?)
    }),
    one(Part::Choice, "search", "N", |o, v| count(&mut o.choice.search.trials, v, 1)).rivals(&["iterative"]),
    one(Part::Choice, "seed", "N", |o, v| parsed(&mut o.choice.selection.seed, v)),
    many(Part::Choice, "shape", "INPUT=SIZES", |o, v| {
        let (input, sizes) = shape(v)?;
        let all = &mut o.choice.selection.sizes;
        set(all, all.clone().with_shape(&input, sizes))
    }),
    one(Part::Choice, "size", "SHARE", |o, v| budget(o, v, Budget::Size)),
    one(Part::Result, "sparsity", "SHARE", |o, v| {
        set(&mut o.zeros.pattern, Some(Pattern::Share(share(v)?, Scope::Layer)))
    })
    .rivals(&["nm", "max-drift", "max-drop"]),
    one(Part::Result, "sparsity-method", "METHOD", |o, v| some(&mut o.zeros.method, v)),
    // It comes after the share, in alphabetical order.
    one(Part::Result, "sparsity-scope", "SCOPE", |o, v| {
        let mut unused = Scope::Layer;
        let scope = match &mut o.zeros.pattern {
            Some(Pattern::Share(_, scope)) => scope,
            _ => &mut unused,
        };
        parsed(scope, v)
    }),
    switch(Part::Neither, "sparse-initializers", |o, _| {
        let Some(output) = &mut o.output else { return Ok(()) };
        set(&mut output.sparse, true)
    }),
    one(Part::Neither, "task", "TASK", |o, v| set(&mut o.verification.judging.task, task(v))).choices(TASKS),
    one(Part::Neither, "threads", "N", |o, v| {
        set(&mut o.verification.setup.threads, NonZeroUsize::new(whole(v, 1, u16::MAX.into())?))
    }),
    one(Part::Neither, "time-budget", "SECONDS", |o, v| set(&mut o.verification.time_budget, seconds(v)?)),
    one(Part::Neither, "tolerance", "X", |o, v| set(&mut o.verification.tolerance, Some(from_zero(v)?))),
    one(Part::Both, "tune-batch", "N", |o, v| count(&mut o.choice.search.training.batch, v, 1)).needs(&["tune-steps"]),
    one(Part::Both, "tune-lr", "RATE", |o, v| set(&mut o.choice.search.training.rate, Some(positive(v)?)))
        .needs(&["tune-steps"]),
    one(Part::Both, "tune-steps", "K", |o, v| count(&mut o.choice.search.training.steps, v, 1))
        .rivals(&["search", "folds", "lossless", "max-drift", "max-drop"])
        .needs(&["iterative", "calib"]),
    one(Part::Neither, "verify-samples", "N", |o, v| set(&mut o.verification.samples, whole(v, 1, u32::MAX.into())?)),
    one(Part::Neither, "warmup", "N", |o, v| parsed(&mut o.verification.warmup, v)),
];

fn set<T>(place: &mut T, value: T) -> Result<(), String> {
    *place = value;
    Ok(())
}

fn parsed<T: FromStr<Err: Display>>(place: &mut T, text: &str) -> Result<(), String> {
    set(place, text.parse().map_err(|e: T::Err| e.to_string())?)
}

fn some<T: FromStr<Err: Display>>(place: &mut Option<T>, text: &str) -> Result<(), String> {
    set(place, Some(text.parse().map_err(|e: T::Err| e.to_string())?))
}

fn push<T: FromStr<Err: Display>>(list: &mut Vec<T>, text: &str) -> Result<(), String> {
    list.push(text.parse().map_err(|e: T::Err| e.to_string())?);
    Ok(())
}

/// A whole number from `least` to `most`.
fn whole(text: &str, least: i64, most: i64) -> Result<usize, String> {
    let number: i64 = text.parse().map_err(|e: std::num::ParseIntError| e.to_string())?;
    match (least..=most).contains(&number) {
        true => Ok(number as usize),
        false => Err(format!("{number} is not in {least}..={most}")),
    }
}

fn count(place: &mut Option<usize>, text: &str, least: i64) -> Result<(), String> {
    set(place, Some(whole(text, least, u32::MAX.into())?))
}

fn share(text: &str) -> Result<f64, String> {
    text.parse::<Share>().map(|s| s.0).map_err(|e| e.to_string())
}

fn budget(options: &mut Options, text: &str, budget: fn(f64) -> Budget) -> Result<(), String> {
    set(&mut options.choice.budget, Some(budget(share(text)?)))
}

fn input_range(options: &mut Options, text: &str) -> Result<(), String> {
    let lossless = &mut options.choice.selection.lossless;
    let mut texts: Vec<String> = lossless.take().unwrap_or_default().into();
    texts.push(text.to_owned());
    set(lossless, Some(Ranges::new(&texts).map_err(|e| e.to_string())?))
}

fn task(name: &str) -> Option<Task> {
    Some(match name {
        "regression" => Task::Regression,
        "perplexity" => Task::Perplexity,
        _ => Task::Classification,
    })
}

fn external(name: &str) -> ExternalData {
    match name {
        "never" => ExternalData::Never,
        "always" => ExternalData::Always,
        _ => ExternalData::Auto,
    }
}

/// The text of a pipeline, as it is stored.
pub(crate) fn pipeline(text: &str) -> Result<String, String> {
    pruning::registry().parse(text).map(|p| p.to_string()).map_err(|e| e.to_string())
}

/// A dimension's name and its size, as in `batch=8`.
pub(crate) fn dim(text: &str) -> Result<(String, i64), String> {
    let (name, size) = text.rsplit_once('=').ok_or("give NAME=SIZE")?;
    Ok((name.to_owned(), size_of(size)?))
}

/// An input's name and its shape.
pub(crate) fn shape(text: &str) -> Result<(String, Vec<i64>), String> {
    let (name, sizes) = text.rsplit_once('=').ok_or("give INPUT=SIZES, such as x=1,3,640,640")?;
    let between = if sizes.contains(',') { ',' } else { 'x' };
    let sizes = sizes.split(between).map(size_of).collect::<Result<_, _>>()?;
    Ok((name.to_owned(), sizes))
}

/// An input's name and the axis that counts samples.
pub(crate) fn batch_axis(text: &str) -> Result<(String, usize), String> {
    let (name, axis) = text.rsplit_once('=').ok_or("give INPUT=AXIS")?;
    let axis = axis.parse().map_err(|_| format!("`{axis}` is not the number of an axis"))?;
    Ok((name.to_owned(), axis))
}

fn size_of(text: &str) -> Result<i64, String> {
    match text.trim().parse() {
        Ok(size) if size > 0 => Ok(size),
        _ => Err(format!("`{text}` is not a positive number")),
    }
}

/// A time in seconds.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.strip_suffix('s').unwrap_or(text).parse().ok();
    let time = seconds.filter(|s| *s >= 0.0).and_then(|s| Duration::try_from_secs_f64(s).ok());
    time.ok_or_else(|| format!("`{text}` is not a number of seconds"))
}

/// A bound of a drift.
pub(crate) fn above_zero(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok();
    number.filter(|x| x.is_finite() && *x > 0.0).ok_or_else(|| format!("`{text}` is not a number above 0"))
}

/// A tolerance.
pub(crate) fn from_zero(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok();
    number.filter(|x| x.is_finite() && *x >= 0.0).ok_or_else(|| format!("`{text}` is not a number from 0 up"))
}

/// A number.
pub(crate) fn number(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|x: &f64| x.is_finite()).ok_or_else(|| format!("`{text}` is not a number"))
}

/// A rate.
pub(crate) fn positive(text: &str) -> Result<f64, String> {
    number(text).and_then(|x| if x > 0.0 { Ok(x) } else { Err("it has to be above 0".into()) })
}
