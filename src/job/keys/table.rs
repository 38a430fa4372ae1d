//! All options of `prune` but the budgets and quality constraints, which have tables of their own: a new one is a row,
//! and the field that it sets.

use super::Recorded::{Both, Choice, Neither, Result as OfResult};
use super::parse::{batch_axis, dim, from_zero, memory, pipeline, positive, seconds, shape};
use super::{Key, Recorded, Set, Setter, Takes, Topic};
use crate::job::options::Options;
use crate::judge::Task;
use crate::lossless::Ranges;
use crate::plan::Share;
use crate::prune;
use crate::save::ExternalData;
use crate::sparsity::{Pattern, Scope};
use std::fmt::Display;
use std::num::NonZeroUsize;
use std::str::FromStr;

const TASKS: &[&str] = &["classification", "regression", "perplexity"];

/// All rows, by topic, in the order in which help lists them.
pub(super) const TABLE: &[(Topic, &[Key])] = &[
    (Topic::Amount, AMOUNT),
    (Topic::Selection, SELECTION),
    (Topic::Device, DEVICE),
    (Topic::Calibration, CALIBRATION),
    (Topic::Sizes, SIZES),
    (Topic::Tables, TABLES),
    (Topic::Search, SEARCH),
    (Topic::Training, TRAINING),
    (Topic::HeldOut, HELD_OUT),
    (Topic::Sparsity, SPARSITY),
    (Topic::Output, OUTPUT),
    (Topic::Simplify, SIMPLIFY),
    (Topic::Proof, PROOF),
    (Topic::Inputs, INPUTS),
    (Topic::Judging, JUDGING),
    (Topic::Comparison, COMPARISON),
    (Topic::Runtime, RUNTIME),
    (Topic::Timing, TIMING),
];

/// How much goes, beside a budget.
const AMOUNT: &[Key] = &[
    one(Choice, "layers", "N", |o, v| count(&mut o.choice.layers, v, 1)).conflicts_with_constraints().about(
        "Remove this many layers (residual branches), those that change the outputs least; channels go only \
     under a budget of theirs",
    ),
    switch(Choice, "allow-tiny", |o, _| set(&mut o.choice.allow_tiny, true)).about(
        "With --ratio, cut even where that saves less than 1 % of the model and changes its outputs more than \
     that",
    ),
];

/// How units are chosen, whatever the budget.
const SELECTION: &[Key] = &[
    one(Choice, "criterion", "NAME", |o, v| some(&mut o.choice.selection.criterion, v)).about(
        "How units are ranked; `secateur criteria` lists the criteria. `a*b` is the geometric mean of two, \
     `a+b` the arithmetic [default: obs with --calib (wanda with --no-compensate); without samples, fold \
     where BatchNormalization implies enough statistics, else lamp]",
    ),
    one(Choice, "seed", "N", |o, v| parsed(&mut o.choice.selection.seed, v))
        .default("0")
        .about("Seed of all random choices"),
    one(Choice, "round-to", "N", |o, v| set(&mut o.choice.selection.round.multiple, whole(v, 1, u16::MAX.into())?))
        .default("1")
        .about("Round axis lengths up to a multiple of N, for axes whose length is one"),
    one(Choice, "min-keep", "N", |o, v| set(&mut o.choice.selection.round.min_keep, whole(v, 1, u32::MAX.into())?))
        .default("1")
        .about("Keep at least this many units of every group"),
    one(Choice, "max-ratio", "SHARE", |o, v| set(&mut o.choice.selection.max_ratio, share(v)?))
        .default("90%")
        .about("Under a budget over the whole model, the largest share of its units that a group may lose"),
    many(Choice, "include", "GLOB", |o, v| push(&mut o.choice.selection.include, v)).about(
        "Cut only groups that reach a constant or node with such a name (a glob), and remove only layers that \
     hold one; may be repeated",
    ),
    many(Choice, "exclude", "GLOB", |o, v| push(&mut o.choice.selection.exclude, v)).about(
        "Leave alone groups that reach a constant or node with such a name (a glob), and layers that hold \
     one; may be repeated",
    ),
    many(Choice, "rule", "GLOB: KEY=VALUE", |o, v| push(&mut o.choice.selection.rules, v)).about(
        "Settings for groups that reach a constant or node with such a name: `ratio` (the share that they \
     lose, whatever the budget), `max-ratio`, `min-keep`, `round-to`; may be repeated; the last one that \
     matches counts",
    ),
    list(Choice, "granularity", "KIND", |o, v| push(&mut o.choice.selection.granularity, v)).about(
        "Cut only units of these kinds: channel, neuron, head, head-dim, width (needs --inexact), expert; may \
     be a list",
    ),
    switch(Choice, "inexact", |o, _| set(&mut o.choice.selection.inexact, true)).about(
        "Also cut groups that are not exact: removing their units changes the others (under a softmax, a norm \
     or a mean)",
    ),
    switch(Choice, "no-merge", |o, _| set(&mut o.choice.selection.lossless, None)).about(
        "Treat units that can go without loss like all others, instead of removing them first and merging \
     their contribution",
    ),
    many(Choice, "input-range", "[NAME=]LO..HI", input_range).conflicts(&["no-merge"]).may_be_negative().about(
        "The range of the inputs, which proves more units dead or constant: `0..1`, or `NAME=0..1` for one \
     input; may be repeated",
    ),
];

/// Where gradients are computed.
const DEVICE: &[Key] =
    &[one(Both, "device", "DEVICE", |o, v| parsed(&mut o.choice.selection.device, v)).default("cpu").about(
        "Where gradients are computed, for criteria and training: cpu, cuda, or cuda:N (a GPU by NVIDIA, \
     counted from 0). A GPU computes less exactly, and not always the same bits",
    )];

/// Samples to measure on, and whether there is a repair.
const CALIBRATION: &[Key] = &[
    path(Both, "calib", "SAMPLES", |o, v| some(&mut o.choice.selection.calibration.source, v)).about(
        "Unlabeled samples to choose layers and units and to repair by: an `.npz` or `.npy` file, a folder of \
     images or of encoded tensors, or `random:N`",
    ),
    one(Both, "calib-preprocess", "SPEC", |o, v| some(&mut o.choice.selection.calibration.preprocess, v))
        .about("How images among them become tensors; see --preprocess"),
    one(Neither, "memory", "BYTES", |o, v| set(&mut o.choice.selection.calibration.memory, memory(v)?))
        .default("2GB")
        .about("How much memory activations may take while samples are run; what is more goes into a temporary file"),
    one(Both, "samples", "N", |o, v| set(&mut o.choice.selection.calibration.samples, whole(v, 1, u32::MAX.into())?))
        .default("256")
        .alias("calib-samples")
        .about("How many of these samples are used"),
    switch(Both, "no-compensate", |o, _| set(&mut o.choice.selection.calibration.repair, false))
        .about("Do not repair: leave the weights that stay as they are"),
];

/// Sizes of dimensions that the model leaves open.
const SIZES: &[Key] = &[
    many(Choice, "dim", "NAME=SIZE", |o, v| {
        let (name, size) = dim(v)?;
        let sizes = &mut o.choice.selection.sizes;
        set(sizes, sizes.clone().with(&name, size))
    })
    .about(
        "Size of an open dimension, for costs and for runs, by its name or by an input's axis (`--dim \
     batch=8`, `--dim x[1]=16000`); may be repeated. Without it costs are counted for a batch of 1 and \
     runs take 2, and other open dimensions count as 64 and run with 16, or with as many as the model \
     asks for",
    ),
    many(Choice, "shape", "INPUT=SIZES", |o, v| {
        let (input, sizes) = shape(v)?;
        let all = &mut o.choice.selection.sizes;
        set(all, all.clone().with_shape(&input, sizes))
    })
    .about("Shape of an input, in place of a --dim for each axis (`--shape x=1,3,640,640`); may be repeated"),
    many(Choice, "batch-axis", "INPUT=AXIS", |o, v| {
        let (input, axis) = batch_axis(v)?;
        let sizes = &mut o.choice.selection.sizes;
        set(sizes, sizes.clone().with_batch(&input, axis))
    })
    .about(
        "Which axis of an input counts samples, from 0 (`--batch-axis state=1`), where the dimension's name \
     does not say so; may be repeated",
    ),
];

/// Where costs of nodes come from.
const TABLES: &[Key] = &[
    path(Choice, "latency-table", "FILE", |o, v| some(&mut o.choice.tables.latency, v))
        .conflicts(&["energy-table"])
        .about(
            "What the model's nodes take by width, as `secateur profile` wrote it on the machine that counts; \
     with another budget than --latency it tells which widths are worth keeping",
        ),
    path(Choice, "energy-table", "FILE", |o, v| some(&mut o.choice.tables.energy, v)).about(
        "Energies: a table that `secateur profile --energy` wrote, or a model of them (JSON or TOML with \
     `mac_pj`, `weight_byte_pj` and `activation_byte_pj`, in picojoules)",
    ),
    switch(Choice, "no-cache", |o, _| set(&mut o.choice.tables.no_cache, true))
        .about("Measure this machine again, instead of using what was measured before"),
];

/// What is tried before a model is made.
const SEARCH: &[Key] = &[
    one(Choice, "search", "N", |o, v| count(&mut o.choice.search.trials, v, 1)).conflicts(&["iterative"]).about(
        "Try N more ways to spread the budget over the groups, and take the one whose result is best on \
     held-out samples",
    ),
    one(Choice, "iterative", "N", |o, v| count(&mut o.choice.search.rounds, v, 1))
        .about("Reach the budget in N rounds, measuring again in each"),
    one(Choice, "folds", "N", |o, v| count(&mut o.choice.search.folds, v, 2)).needs(&["calib"]).about(
        "Cross-validate: choose and evaluate N more times, each time without another part of the samples, and \
     report how much figures and units differ",
    ),
];

/// What is learned after each round.
const TRAINING: &[Key] = &[
    one(Both, "tune-steps", "K", |o, v| count(&mut o.choice.search.training.steps, v, 1))
        .conflicts(&["search", "folds"])
        .conflicts_with_constraints()
        .needs(&["iterative", "calib"])
        .about(
            "After each round of --iterative train for K steps, on what the original says of --calib and on its \
     labels where there are some; rounds then cut less and less (a cubic schedule)",
        ),
    one(Both, "tune-lr", "RATE", |o, v| set(&mut o.choice.search.training.rate, Some(positive(v)?)))
        .needs(&["tune-steps"])
        .about("The highest learning rate of --tune-steps [default: 0.001]"),
    one(Both, "tune-batch", "N", |o, v| count(&mut o.choice.search.training.batch, v, 1))
        .needs(&["tune-steps"])
        .about("Samples for one of --tune-steps [default: 32]"),
];

/// Samples to evaluate trials on.
const HELD_OUT: &[Key] = &[
    path(Choice, "judge", "SAMPLES", |o, v| some(&mut o.choice.search.held_out.source, v)).about(
        "Held-out samples to evaluate trials on, in any form that --calib takes; else every fourth sample of \
     --calib is held out",
    ),
    path(Choice, "judge-labels", "FILE", |o, v| some(&mut o.choice.search.held_out.labels, v))
        .about("Labels of --judge, or else of --calib"),
    one(Choice, "judge-task", "TASK", |o, v| set(&mut o.choice.search.held_out.task, task(v)))
        .choices(TASKS)
        .about("The model's task, to evaluate trials by [default: classification]"),
];

/// Zeros among the weights. Alone, no units are cut.
const SPARSITY: &[Key] = &[
    one(OfResult, "sparsity", "SHARE", |o, v| set(&mut o.zeros.pattern, Some(Pattern::Share(share(v)?, Scope::Layer))))
        .conflicts(&["nm"])
        .conflicts_with_constraints()
        .about(
            "Set this share of the weights to zero, after any cut; tensors keep their shapes. Without a budget, \
     nothing is cut",
        ),
    one(OfResult, "nm", "N:M", |o, v| {
        set(&mut o.zeros.pattern, Some(Pattern::parse_ratio(v).map_err(|e| e.to_string())?))
    })
    .conflicts_with_constraints()
    .about("Leave N of every M weights along each sum (`2:4`), after any cut. Without a budget, nothing is cut"),
    one(OfResult, "sparsity-scope", "SCOPE", sparsity_scope)
        .default("layer")
        .about("Among which weights --sparsity finds the smallest: row (of one sum), layer, global"),
    one(OfResult, "sparsity-method", "METHOD", |o, v| some(&mut o.zeros.method, v)).about(
        "How weights are ranked: magnitude, wanda, sparsegpt (which also refits those that stay) [default: \
     sparsegpt with --calib, wanda with --no-compensate, magnitude without samples]",
    ),
];

/// How a model is written.
const OUTPUT: &[Key] = &[
    one(Neither, "external-data", "WHEN", |o, v| {
        let Some(output) = &mut o.output else { return Ok(()) };
        set(&mut output.external, external(v))
    })
    .default("auto")
    .choices(&["auto", "never", "always"])
    .about(
        "Whether weights go into a file beside the model: as in the input or where it would pass 2 GB, never, \
     always",
    ),
    switch(Neither, "sparse-initializers", |o, _| {
        let Some(output) = &mut o.output else { return Ok(()) };
        set(&mut output.sparse, true)
    })
    .about("Write weights that are 70 % zeros or more as sparse initializers, where that is shorter"),
];

/// How the result is simplified.
const SIMPLIFY: &[Key] = &[
    switch(OfResult, "keep-bn", |o, _| parsed(&mut o.simplify, prune::SIMPLIFY_KEEP_BN))
        .conflicts(&["passes"])
        .about("Keep BatchNormalization nodes instead of folding them into what they follow"),
    one(OfResult, "passes", "PIPELINE", |o, v| set(&mut o.simplify, pipeline(v)?))
        .about("Passes that simplify the result, instead of the usual ones (`secateur opt --list`)"),
];

/// Whether the result is proved.
const PROOF: &[Key] = &[switch(Neither, "no-verify", |o, _| set(&mut o.proof, false)).about("Do not run the models")];

/// Inputs to run; without any, random ones.
const INPUTS: &[Key] = &[
    path(Neither, "inputs", "SOURCE", |o, v| some(&mut o.verification.inputs, v)).about(
        "Inputs to run: a `.npz` file with an array per model input, a `.npy` file, a folder of PNG and JPEG \
     images or of encoded tensors (`.pb`), or `random:N`; else seeded random numbers",
    ),
    one(Neither, "preprocess", "TEXT", |o, v| some(&mut o.verification.preprocess, v)).needs(&["inputs"]).about(
        "How images become inputs, such as `size=224 resize=256 mean=0.485,0.456,0.406 std=0.229,0.224,0.225 \
     layout=nchw scale=255 channels=rgb`; what is left out follows from the input's shape",
    ),
];

/// What outputs are judged by.
const JUDGING: &[Key] = &[
    path(Neither, "labels", "FILE", |o, v| some(&mut o.verification.judging.labels, v)).about(
        "Labels of the inputs: a `.npy` file, the array `labels` of a `.npz` file (`targets` for regression), \
     or a `.csv` file of an integer a line, or of `file,label` for images. Without it, sub-folders of \
     images are the classes, and the next tokens of the input count for perplexity",
    ),
    one(Neither, "task", "TASK", |o, v| set(&mut o.verification.judging.task, task(v)))
        .choices(TASKS)
        .about("The model's task [default: classification]"),
];

/// How outputs are compared.
const COMPARISON: &[Key] = &[
    one(Neither, "verify-samples", "N", |o, v| set(&mut o.verification.samples, whole(v, 1, u32::MAX.into())?))
        .default("3")
        .about("How many different inputs the verification runs"),
    one(Neither, "tolerance", "X", |o, v| set(&mut o.verification.tolerance, Some(from_zero(v)?)))
        .about("The largest relative difference that counts as equal [default: 1e-3; 3e-2 for 16- and 8-bit models]"),
];

/// What runs models.
const RUNTIME: &[Key] = &[
    one(Neither, "runtime", "NAME", |o, v| parsed(&mut o.verification.setup.runtime, v)).about(
        "What runs models: auto (ONNX Runtime where its library is found, else tract), tract or ort (ONNX Runtime) \
     [default: SECATEUR_RUNTIME, else auto]",
    ),
    one(Neither, "threads", "N", |o, v| {
        set(&mut o.verification.setup.threads, NonZeroUsize::new(whole(v, 1, u16::MAX.into())?))
    })
    .about("Threads [default: all cores where many samples are run, and one where a model is timed]"),
];

/// How models are timed.
const TIMING: &[Key] = &[
    one(Neither, "warmup", "N", |o, v| parsed(&mut o.verification.warmup, v))
        .default("2")
        .about("Runs of each model before the first that is timed"),
    one(Neither, "repeats", "N", |o, v| parsed(&mut o.verification.repeats, v))
        .default("10")
        .about("Timed runs of each model; 0 to skip timing"),
    one(Neither, "time-budget", "SECONDS", |o, v| set(&mut o.verification.time_budget, seconds(v)?))
        .default("10")
        .about("Most seconds that timing may take; slow models get fewer runs"),
];

const fn key(recorded: Recorded, takes: Takes, name: &'static str, value: &'static str, set: Setter) -> Key {
    Key::new(recorded, takes, name, value, Set::By(set))
}

const fn one(recorded: Recorded, name: &'static str, value: &'static str, set: Setter) -> Key {
    key(recorded, Takes::One, name, value, set)
}

const fn many(recorded: Recorded, name: &'static str, value: &'static str, set: Setter) -> Key {
    key(recorded, Takes::Many, name, value, set)
}

const fn list(recorded: Recorded, name: &'static str, value: &'static str, set: Setter) -> Key {
    key(recorded, Takes::List, name, value, set)
}

const fn path(recorded: Recorded, name: &'static str, value: &'static str, set: Setter) -> Key {
    key(recorded, Takes::Path, name, value, set)
}

const fn switch(recorded: Recorded, name: &'static str, set: Setter) -> Key {
    key(recorded, Takes::Nothing, name, "", set)
}

impl Key {
    const fn about(self, about: &'static str) -> Key {
        Key { about, ..self }
    }

    const fn alias(self, alias: &'static str) -> Key {
        Key { alias: Some(alias), ..self }
    }

    const fn default(self, default: &'static str) -> Key {
        Key { default: Some(default), ..self }
    }

    const fn choices(self, choices: &'static [&'static str]) -> Key {
        Key { choices, ..self }
    }

    const fn may_be_negative(self) -> Key {
        Key { may_be_negative: true, ..self }
    }

    const fn needs(self, needs: &'static [&'static str]) -> Key {
        Key { needs, ..self }
    }

    const fn conflicts(self, conflicts: &'static [&'static str]) -> Key {
        Key { conflicts, ..self }
    }

    const fn conflicts_with_constraints(self) -> Key {
        Key { conflicts_with_constraints: true, ..self }
    }
}

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

/// Counts once a share is given.
fn sparsity_scope(options: &mut Options, text: &str) -> Result<(), String> {
    let mut unused = Scope::Layer;
    let scope = match &mut options.zeros.pattern {
        Some(Pattern::Share(_, scope)) => scope,
        _ => &mut unused,
    };
    parsed(scope, text)
}
