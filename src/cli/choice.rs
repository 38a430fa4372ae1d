//! Arguments that say what is cut, shared by `plan` and `prune`.

use super::Failure;
use super::calibration::{Calibrated, Calibration};
use super::source::Dims;
use crate::analysis::Analysis;
use crate::axes::Granularity;
use crate::cost::{self, OpenDims};
use crate::ir::Model;
use crate::layers::{self, LayerError};
use crate::lossless::{RangeError, Ranges};
use crate::plan::{self, Budget, ChooseError, Options, Plan, Round, Share};
use crate::prune::{self, Shortened};
use crate::score::Formula;
use clap::Args;

/// What is cut, and how much.
#[derive(Args)]
pub struct Choice {
    #[command(flatten)]
    budget: BudgetArgs,
    /// Remove this many layers (residual branches), those that change least; channels only under a budget of theirs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    layers: Option<u32>,
    /// What tells units that matter from those that don't; `secateur criteria` lists them. `a*b` is the geometric mean
    /// of two, `a+b` the arithmetic [default: obs with --calib (wanda with
    /// --no-compensate); without, fold where BatchNormalization tells enough, else l2]
    #[arg(long, value_name = "NAME")]
    criterion: Option<String>,
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
    /// Cut only units of these sorts: channel, neuron, head, head-dim, width (needs --inexact), expert; may be a list
    #[arg(long, value_name = "SORT", value_delimiter = ',')]
    granularity: Vec<Granularity>,
    /// Also cut where that changes what survives (units under a softmax, a norm or a mean)
    #[arg(long)]
    pub inexact: bool,
    /// Cut units that go without loss like all others, instead of first and with what they add merged into others
    #[arg(long, conflicts_with = "lossless")]
    no_merge: bool,
    /// Between which numbers inputs lie, which proves more units dead or constant: `0..1`, or `NAME=0..1` for one input;
    /// may be repeated
    #[arg(long, value_name = "[NAME=]LO..HI", conflicts_with = "no_merge", allow_hyphen_values = true)]
    input_range: Vec<String>,
    #[command(flatten)]
    pub calibration: Calibration,
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
    /// Remove only units without which the model computes the same: dead, constant, unread ones, and multiples of others
    #[arg(long)]
    lossless: bool,
}

impl BudgetArgs {
    fn is_given(&self) -> bool {
        self.lossless || [&self.ratio, &self.macs, &self.params, &self.size].into_iter().any(Option::is_some)
    }
}

/// What goes, from which model, and what was measured of it.
pub struct Chosen {
    pub shortened: Shortened,
    pub plan: Plan,
    pub calibrated: Option<Calibrated>,
}

impl Choice {
    /// Chooses the layers that go and removes them, measures what is left, and chooses the units that go from it.
    pub fn plan(&self, model: &Model, analysis: Analysis, open: OpenDims) -> Result<Chosen, Failure> {
        let Some(count) = self.layers else {
            let shortened = prune::shorten(analysis, &[], &open)?;
            return self.units(model, shortened, open, None, vec![]);
        };
        let samples = self.calibration.source();
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
            return Ok(Chosen { shortened, plan, calibrated: None });
        }
        self.units(model, shortened, open, whole, layers)
    }

    /// Whether units or layers are to go.
    pub fn is_given(&self) -> bool {
        self.budget.is_given() || self.layers.is_some()
    }

    /// Chooses nothing.
    pub fn nothing(&self, analysis: Analysis, open: &OpenDims) -> Result<Chosen, Failure> {
        let shortened = prune::shorten(analysis, &[], open)?;
        let plan = Plan::of_layers(&shortened.analysis, vec![], "none");
        Ok(Chosen { shortened, plan, calibrated: None })
    }

    fn units(
        &self,
        model: &Model,
        shortened: Shortened,
        open: OpenDims,
        whole: Option<cost::Cost>,
        layers: Vec<layers::LayerCut>,
    ) -> Result<Chosen, Failure> {
        let mut calibrated = self.calibration.measure(model, &shortened.analysis)?;
        let mut criterion = self.formula()?;
        if calibrated.is_none() && !self.budget.lossless && criterion.implies() {
            let (implied, grounded) = self.calibration.imply(&shortened.analysis);
            match grounded || self.criterion.is_some() {
                true => calibrated = Some(implied),
                // Guesses that nothing is known against do harm to some models.
                false => criterion = Formula::default(),
            }
        }
        let options = Options { whole, ..self.options(open, criterion, calibrated.as_ref())? };
        let plan = plan::choose(&shortened.analysis, &options).map_err(failure)?;
        Ok(Chosen { shortened, plan: Plan { layers, ..plan }, calibrated })
    }

    /// What the plan is made by; `calibrated` has what was measured.
    fn options(&self, open: OpenDims, criterion: Formula, calibrated: Option<&Calibrated>) -> Result<Options, Failure> {
        let b = &self.budget;
        let budget = match (b.macs, b.params, b.size) {
            (Some(x), _, _) => Budget::Macs(x.0),
            (_, Some(x), _) => Budget::Params(x.0),
            (_, _, Some(x)) => Budget::Size(x.0),
            _ if b.lossless => Budget::Lossless,
            _ => Budget::Ratio(b.ratio.map_or(0.5, |s| s.0)),
        };
        self.check_granularity()?;
        Ok(Options {
            budget,
            criterion,
            seed: self.seed,
            round: Round { multiple: usize::from(self.round_to), min_keep: self.min_keep as usize },
            max_ratio: self.max_ratio.0,
            include: self.include.clone(),
            exclude: self.exclude.clone(),
            granularity: self.granularity.clone(),
            inexact: self.inexact,
            whole: None,
            open,
            lossless: self.ranges().map_err(Failure::usage)?,
            measured: calibrated.map(|c| c.measured.clone()),
        })
    }

    /// What tells units apart.
    fn formula(&self) -> Result<Formula, Failure> {
        // `obs` and `fold` count on a refit of what stays.
        let default = match (self.calibration.is_given(), self.calibration.refits()) {
            (true, true) => "obs",
            (true, false) => "wanda",
            (false, true) => "fold",
            (false, false) => "l2",
        };
        self.criterion.as_deref().unwrap_or(default).parse().map_err(Failure::usage)
    }

    /// What is known of the inputs, if units that go without loss go first.
    fn ranges(&self) -> Result<Option<Ranges>, RangeError> {
        let ranges = Ranges::new(&self.input_range)?;
        Ok((!self.no_merge).then_some(ranges))
    }

    /// Fails for ranges that can't be read, and for a criterion that can't be asked without samples.
    pub fn check(&self) -> Result<(), Failure> {
        self.ranges().map_err(Failure::usage)?;
        let Some(name) = &self.criterion else { return Ok(()) };
        let criterion: Formula = name.parse().map_err(Failure::usage)?;
        if criterion.needs_data() && !self.calibration.is_given() {
            let what = format!("--criterion {name}: it looks at what the model computes on samples");
            return Err(Failure::usage(what).hint("give some with --calib"));
        }
        Ok(())
    }

    /// Fails for a sort that can't be cut with these options.
    fn check_granularity(&self) -> Result<(), Failure> {
        if self.granularity.contains(&Granularity::Width) && !self.inexact {
            let what = "--granularity width: removing units of a residual width changes what survives";
            return Err(Failure::usage(what).hint("allow that with --inexact"));
        }
        Ok(())
    }
}
