//! Arguments that say what is cut, shared by `plan` and `prune`.

use super::Failure;
use super::source::Dims;
use crate::analysis::Analysis;
use crate::cost::{self, OpenDims};
use crate::layers::{self, LayerError};
use crate::plan::{self, Budget, ChooseError, Options, Plan, Round, Share};
use crate::prune::{self, Shortened};
use crate::score::Criterion;
use clap::Args;
use std::path::PathBuf;

/// What is cut, and how much.
#[derive(Args)]
pub struct Choice {
    #[command(flatten)]
    budget: BudgetArgs,
    #[command(flatten)]
    layers: LayerArgs,
    /// What tells units that matter from those that don't; `secateur criteria` lists them
    #[arg(long, default_value = "l2", value_name = "NAME")]
    criterion: String,
    /// Seed of all that is drawn by lot
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,
    /// Keep axes a multiple of this long, where they were (rounded up)
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
    /// Also cut where that changes what survives (units under a softmax, a norm or a mean)
    #[arg(long)]
    pub inexact: bool,
    /// Switch every repair off (there is none yet: the flag is accepted so that scripts need not change)
    #[arg(long)]
    no_compensate: bool,
    #[command(flatten)]
    pub dims: Dims,
}

/// Why no plan was made: a pattern that can't be read is a wrong use of the command line.
pub fn failure(error: ChooseError) -> Failure {
    match error {
        ChooseError::Pattern { .. } | ChooseError::NoMatch(_) => Failure::usage(error),
        _ => Failure::new(error),
    }
}

/// How much is cut: one of these.
#[derive(Args)]
#[group(multiple = false)]
struct BudgetArgs {
    /// The share of units that every group loses [default: 0.5, with --layers: none]
    #[arg(long, value_name = "SHARE")]
    ratio: Option<Share>,
    /// The share of multiply-accumulates to keep (`50%`)
    #[arg(long, value_name = "SHARE")]
    macs: Option<Share>,
    /// The share of parameters to keep
    #[arg(long, value_name = "SHARE")]
    params: Option<Share>,
    /// The share of the weights' bytes to keep
    #[arg(long, value_name = "SHARE")]
    size: Option<Share>,
}

impl BudgetArgs {
    fn is_given(&self) -> bool {
        [&self.ratio, &self.macs, &self.params, &self.size].into_iter().any(Option::is_some)
    }
}

/// Which layers go.
#[derive(Args)]
pub struct LayerArgs {
    /// Remove this many layers (residual branches), those that change least; channels only under a budget of theirs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    layers: Option<u32>,
    #[command(flatten)]
    samples: Samples,
}

/// What layers are scored on.
#[derive(Args)]
pub struct Samples {
    /// Score layers by what they change on samples: an `.npz` file with an array per model input; else by weights
    #[arg(long, value_name = "FILE")]
    pub calib: Option<PathBuf>,
}

impl Choice {
    /// Chooses the layers that go and removes them, and chooses the units that go from what is left.
    pub fn plan(&self, analysis: Analysis, open: OpenDims) -> Result<(Shortened, Plan), Failure> {
        let samples = self.layers.samples.calib.as_deref();
        let Some(count) = self.layers.layers else {
            if samples.is_some() {
                return Err(Failure::usage("--calib is for scoring layers; say with --layers how many go"));
            }
            let shortened = prune::shorten(analysis, &[], &open)?;
            let plan = plan::choose(&shortened.analysis, &self.options(open)?).map_err(failure)?;
            return Ok((shortened, plan));
        };
        let (include, exclude) = (self.include.clone(), self.exclude.clone());
        let options = layers::Options { count: count as usize, include, exclude };
        let chosen = layers::select(&analysis, &options, samples).map_err(|e| match e {
            LayerError::Pattern(e) => failure(e),
            e => Failure::new(e),
        })?;
        // A share is one of the whole model, layers included.
        let whole = Some(cost::cost(&analysis.model, &analysis.facts, &open));
        let shortened = prune::shorten(analysis, &chosen, &open)?;
        let layers = chosen.into_iter().map(|(_, cut)| cut).collect();
        if !self.budget.is_given() {
            let plan = Plan::of_layers(&shortened.analysis, layers, layers::score::name(samples));
            return Ok((shortened, plan));
        }
        let options = Options { whole, ..self.options(open)? };
        let plan = plan::choose(&shortened.analysis, &options).map_err(failure)?;
        Ok((shortened, Plan { layers, ..plan }))
    }

    fn options(&self, open: OpenDims) -> Result<Options, Failure> {
        let b = &self.budget;
        let budget = match (b.macs, b.params, b.size) {
            (Some(x), _, _) => Budget::Macs(x.0),
            (_, Some(x), _) => Budget::Params(x.0),
            (_, _, Some(x)) => Budget::Size(x.0),
            _ => Budget::Ratio(b.ratio.map_or(0.5, |s| s.0)),
        };
        Ok(Options {
            budget,
            criterion: Criterion::named(&self.criterion).map_err(Failure::usage)?,
            seed: self.seed,
            round: Round { multiple: usize::from(self.round_to), min_keep: self.min_keep as usize },
            max_ratio: self.max_ratio.0,
            include: self.include.clone(),
            exclude: self.exclude.clone(),
            inexact: self.inexact,
            whole: None,
            open,
        })
    }
}
