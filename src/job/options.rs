//! What a job is asked for, as plain data. Every default is that of the command line.

use super::gates::Gate;
use super::monitor::Monitor;
use super::search::Constraint;
use crate::autograd::Device;
use crate::judge::Task;
use crate::lossless::Ranges;
use crate::ops::Granularity;
use crate::oracle::Setup;
use crate::plan::{Budget, GroupRule, RoundTo, Target};
use crate::prune;
use crate::save::ExternalData;
use crate::score::Formula;
use crate::sizes::Given;
use crate::sparsity::{Method, Pattern};
use crate::stats;
use crate::verify;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// All that a job is asked for. The default removes half of every group that can be cut exactly, and proves it.
#[derive(Clone, Debug)]
pub struct Options {
    /// The file that the model was read from, if any: the report names it, its hash goes into the result, and it is not
    /// overwritten.
    pub input: Option<PathBuf>,
    /// What goes.
    pub choice: Choice,
    /// Single weights that become zero.
    pub zeros: Zeros,
    /// The passes that simplify the result.
    pub simplify: String,
    /// Whether the result is proved by running it.
    pub proof: bool,
    /// How the proof and the timing run the models.
    pub verification: VerifyOptions,
    /// What the result must keep, or it is refused.
    pub gates: Vec<Gate>,
    /// Where the model goes that the pruned one must equal: the original with zeros where units are gone.
    pub reference: Option<PathBuf>,
    /// Where the result goes, unless it is refused.
    pub output: Option<Output>,
    /// The options in words, for the files that are written.
    pub record: Record,
    /// What is told of the job's progress, and can stop it.
    pub monitor: Monitor,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            input: None,
            choice: Choice::default(),
            zeros: Zeros::default(),
            simplify: prune::SIMPLIFY.to_owned(),
            proof: true,
            verification: VerifyOptions::default(),
            gates: vec![],
            reference: None,
            output: None,
            record: Record::default(),
            monitor: Monitor::default(),
        }
    }
}

impl Options {
    /// The default under another budget.
    pub fn under(budget: Budget) -> Options {
        let choice = Choice { budget: Some(budget), ..Choice::default() };
        Options { choice, ..Options::default() }
    }
}

/// What goes, and how much.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// How much; where absent, half of every group, or nothing but the layers where some go.
    pub budget: Option<Budget>,
    /// Instead of a budget: the smallest model that keeps this.
    pub constraint: Option<Constraint>,
    /// How many layers (residual branches) go first.
    pub layers: Option<usize>,
    /// Under a ratio, cut even where that saves next to nothing and changes the outputs much.
    pub allow_tiny: bool,
    /// How units are chosen.
    pub selection: Selection,
    /// Where costs of nodes come from.
    pub tables: Tables,
    /// What is tried before a model is made.
    pub search: Search,
}

/// How units are chosen, whatever the budget.
#[derive(Clone, Debug)]
pub struct Selection {
    /// What tells units that matter from those that don't. Where absent, the best that the samples allow for.
    pub criterion: Option<Formula>,
    /// Seed of whatever is drawn at random in the choice.
    pub seed: u64,
    /// What the lengths of the cut axes are rounded to.
    pub round_to: RoundTo,
    /// What widths are worth keeping for, where nobody says what they are rounded to; this machine where absent.
    pub target: Option<Target>,
    /// Groups keep at least this many units.
    pub min_keep: usize,
    /// The largest share of its units that a group may lose under a budget over the whole model.
    pub max_ratio: f64,
    /// Only groups that reach a constant or node with such a name (a glob).
    pub include: Vec<String>,
    /// No group that reaches one with such a name.
    pub exclude: Vec<String>,
    /// What holds for some groups alone.
    pub rules: Vec<GroupRule>,
    /// Only units of these kinds; all where there is none.
    pub granularity: Vec<Granularity>,
    /// Also cut where that changes what survives.
    pub inexact: bool,
    /// Between which numbers inputs lie, where units that go without loss go first; `None` cuts these like all others.
    pub lossless: Option<Ranges>,
    /// Where gradients are computed.
    pub device: Device,
    /// Samples to choose and to repair by.
    pub calibration: Calibration,
    /// Sizes of dimensions that the model leaves open.
    pub sizes: Given,
}

impl Default for Selection {
    fn default() -> Selection {
        Selection {
            criterion: None,
            seed: 0,
            round_to: RoundTo::Auto,
            target: None,
            min_keep: 1,
            max_ratio: 0.9,
            include: vec![],
            exclude: vec![],
            rules: vec![],
            granularity: vec![],
            inexact: false,
            lossless: Some(Ranges::default()),
            device: Device::default(),
            calibration: Calibration::default(),
            sizes: Given::default(),
        }
    }
}

/// What samples are made up, where there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MakeUp {
    /// What the inputs look like, where the choice can use it.
    #[default]
    Auto,
    /// Pictures.
    Images,
    /// Sound.
    Audio,
    /// Texts: tokens.
    Text,
    /// Random numbers.
    Noise,
    /// None: nothing is run, and weights alone choose.
    None,
}

impl MakeUp {
    /// All of them, by name.
    pub(crate) const NAMES: &'static [(&'static str, MakeUp)] = &[
        ("auto", MakeUp::Auto),
        ("images", MakeUp::Images),
        ("audio", MakeUp::Audio),
        ("text", MakeUp::Text),
        ("noise", MakeUp::Noise),
        ("none", MakeUp::None),
    ];
}

impl fmt::Display for MakeUp {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let name = MakeUp::NAMES.iter().find(|(_, made)| made == self).map_or("auto", |(name, _)| name);
        f.write_str(name)
    }
}

/// Samples to choose and to repair by.
#[derive(Clone, Debug)]
pub struct Calibration {
    /// A file, a folder, or `random:N`: see [`Samples::open`](crate::feed::Samples::open).
    pub source: Option<String>,
    /// What is made up where there is no source.
    pub made_up: MakeUp,
    /// How images among them become tensors.
    pub preprocess: Option<String>,
    /// How many of them are used.
    pub samples: usize,
    /// Whether what is left of the model is refitted.
    pub repair: bool,
    /// How many bytes of what the models compute are kept in memory; what is more goes into a temporary file.
    pub memory: u64,
}

impl Default for Calibration {
    fn default() -> Calibration {
        let made_up = MakeUp::default();
        Calibration { source: None, made_up, preprocess: None, samples: 256, repair: true, memory: stats::MEMORY }
    }
}

/// Where costs of nodes come from.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// What nodes take by width, as `machine::Table` writes it.
    pub latency: Option<PathBuf>,
    /// The same of energies, or a model of them.
    pub energy: Option<PathBuf>,
    /// Measure this machine again, instead of using what was measured before.
    pub no_cache: bool,
}

/// What is tried before a model is made.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// So many more ways to spread the budget over the groups are tried.
    pub trials: Option<usize>,
    /// The budget is come down to in so many rounds.
    pub rounds: Option<usize>,
    /// So many parts of the samples are left out in turn, to tell how much of it all is chance.
    pub folds: Option<usize>,
    /// What is learned after each round.
    pub training: Training,
    /// Samples to judge trials by.
    pub held_out: HeldOut,
}

/// What is learned after each round.
#[derive(Clone, Debug, Default)]
pub struct Training {
    /// Steps after each round; none where absent.
    pub steps: Option<usize>,
    /// The highest learning rate.
    pub rate: Option<f64>,
    /// Samples for a step.
    pub batch: Option<usize>,
}

/// Samples to judge by what is tried.
#[derive(Clone, Debug, Default)]
pub struct HeldOut {
    /// Where they are; else every fourth of those to choose by, which then has no part in the choice.
    pub source: Option<String>,
    /// Their labels, or else those of the samples to choose by.
    pub labels: Option<PathBuf>,
    /// What the model is for; classification where absent.
    pub task: Option<Task>,
}

/// Zeros among the weights. Alone, no units are cut.
#[derive(Clone, Debug, Default)]
pub struct Zeros {
    /// Which weights become zero; none where absent.
    pub pattern: Option<Pattern>,
    /// What tells weights apart; where absent, the best that the samples allow for.
    pub method: Option<Method>,
}

/// How models are run and compared.
#[derive(Clone, Debug)]
pub struct VerifyOptions {
    /// Inputs to run, instead of random ones.
    pub inputs: Option<String>,
    /// How images among them become tensors.
    pub preprocess: Option<String>,
    /// What outputs are judged by, where there are labels.
    pub judging: Judging,
    /// How many different inputs are run.
    pub samples: usize,
    /// The largest relative difference that counts as equal.
    pub tolerance: Option<f64>,
    /// What runs the models.
    pub setup: Setup,
    /// Runs of each model before the first that is timed.
    pub warmup: usize,
    /// Timed runs of each model; 0 to skip timing.
    pub repeats: usize,
    /// How long timing takes at most.
    pub time_budget: Duration,
}

impl Default for VerifyOptions {
    fn default() -> VerifyOptions {
        let usual = verify::Options::default();
        VerifyOptions {
            inputs: None,
            preprocess: None,
            judging: Judging::default(),
            samples: usual.samples,
            tolerance: usual.tolerance,
            setup: usual.setup,
            warmup: usual.warmup,
            repeats: usual.repeats,
            time_budget: usual.time_budget,
        }
    }
}

/// What outputs are judged by.
#[derive(Clone, Debug, Default)]
pub struct Judging {
    /// The file of labels, one for each sample.
    pub labels: Option<PathBuf>,
    /// What the model is for; classification where absent.
    pub task: Option<Task>,
}

/// Where a model is written.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// The ONNX file to write.
    pub path: PathBuf,
    /// Whether weights go into a file beside it.
    pub external: ExternalData,
    /// Write weights that are mostly zeros as sparse initializers.
    pub sparse: bool,
    /// Allow it to replace the input.
    pub overwrite: bool,
}

/// The options in words, for those who read the results: nothing follows from them.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Those that led to the plan, which records them.
    pub choice: String,
    /// Those that the result depends on beside model and plan; its metadata records them.
    pub result: String,
}
