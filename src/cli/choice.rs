//! Arguments that say what is cut, shared by `plan` and `prune`.

use super::Failure;
use super::budget::{self, BudgetArgs};
use super::calibration::Calibration;
use super::device::On;
use super::machine::TableArgs;
use super::search::SearchArgs;
use super::source::Dims;
use crate::job;
use crate::lossless::Ranges;
use crate::ops::Granularity;
use crate::plan::{GroupRule, Round, Share};
use clap::Args;

/// What is cut, and how much.
#[derive(Args)]
pub struct Choice {
    #[command(flatten)]
    budget: BudgetArgs,
    /// Remove this many layers (residual branches), those that change the outputs least; channels go only under a budget
    /// of theirs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    #[arg(conflicts_with_all = budget::constraints())]
    layers: Option<u32>,
    /// With --ratio, cut even where that saves less than 1 % of the model and changes its outputs more than that
    #[arg(long)]
    allow_tiny: bool,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    tables: TableArgs,
    #[command(flatten)]
    search: SearchArgs,
}

/// How units are chosen, whatever the budget.
#[derive(Args)]
pub struct How {
    /// How units are ranked; `secateur criteria` lists the criteria. `a*b` is the geometric mean of two, `a+b` the
    /// arithmetic [default: obs with --calib (wanda with --no-compensate); without samples, fold where
    /// BatchNormalization implies enough statistics, else l2]
    #[arg(long, value_name = "NAME")]
    criterion: Option<String>,
    /// Seed of all random choices
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    /// Round axis lengths up to a multiple of N, for axes whose length is one
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    round_to: u16,
    /// Keep at least this many units of every group
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    min_keep: u32,
    /// Under a budget over the whole model, the largest share of its units that a group may lose
    #[arg(long, default_value = "90%", value_name = "SHARE")]
    max_ratio: Share,
    /// Cut only groups that reach a constant or node with such a name (a glob), and remove only layers that hold one;
    /// may be repeated
    #[arg(long, value_name = "GLOB")]
    include: Vec<String>,
    /// Leave alone groups that reach a constant or node with such a name (a glob), and layers that hold one; may be
    /// repeated
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Settings for groups that reach a constant or node with such a name: `ratio` (the share that they lose, whatever
    /// the budget), `max-ratio`, `min-keep`, `round-to`; may be repeated; the last one that matches counts
    #[arg(long, value_name = "GLOB: KEY=VALUE")]
    rule: Vec<GroupRule>,
    /// Cut only units of these kinds: channel, neuron, head, head-dim, width (needs --inexact), expert; may be a list
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    granularity: Vec<Granularity>,
    /// Also cut groups that are not exact: removing their units changes the others (under a softmax, a norm or a mean)
    #[arg(long)]
    inexact: bool,
    /// Treat units that can go without loss like all others, instead of removing them first and merging their contribution
    #[arg(id = "no-merge", long)]
    no_merge: bool,
    /// The range of the inputs, which proves more units dead or constant: `0..1`, or `NAME=0..1` for one input;
    /// may be repeated
    #[arg(long, value_name = "[NAME=]LO..HI", conflicts_with = "no-merge", allow_hyphen_values = true)]
    input_range: Vec<String>,
    #[command(flatten)]
    on: On,
    #[command(flatten)]
    calibration: Calibration,
    #[command(flatten)]
    dims: Dims,
}

impl Choice {
    pub fn options(&self) -> Result<job::Choice, Failure> {
        Ok(job::Choice {
            budget: self.budget.budget,
            constraint: self.budget.constraint,
            layers: self.layers.map(|n| n as usize),
            allow_tiny: self.allow_tiny,
            selection: self.how.options()?,
            tables: (&self.tables).into(),
            search: (&self.search).into(),
        })
    }
}

impl How {
    pub fn options(&self) -> Result<job::Selection, Failure> {
        let ranges = Ranges::new(&self.input_range).map_err(Failure::usage)?;
        Ok(job::Selection {
            criterion: self.criterion.as_deref().map(str::parse).transpose().map_err(Failure::usage)?,
            seed: self.seed,
            round: Round { multiple: usize::from(self.round_to), min_keep: self.min_keep as usize },
            max_ratio: self.max_ratio.0,
            include: self.include.clone(),
            exclude: self.exclude.clone(),
            rules: self.rule.clone(),
            granularity: self.granularity.clone(),
            inexact: self.inexact,
            lossless: (!self.no_merge).then_some(ranges),
            device: self.on.device,
            calibration: (&self.calibration).into(),
            sizes: self.dims.given(),
        })
    }
}
