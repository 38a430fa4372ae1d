//! Arguments that say what is cut, shared by `plan` and `prune`.

use super::Failure;
use super::calibration::{Calibrated, Calibration, batches};
use super::device::On;
use super::driving::{Drive, Driving};
use super::machine::{self, Tables};
use super::progress::Progress;
use super::show;
use super::source::Dims;
use super::training;
use crate::analysis::Analysis;
use crate::autograd::{Device, EngineError};
use crate::axes::Granularity;
use crate::cost::{self, OpenDims};
use crate::drive::{Driven, Promise};
use crate::gradients::{GradientError, Gradients, Want};
use crate::ir::Model;
use crate::layers::{self, LayerError};
use crate::lossless::{RangeError, Ranges};
use crate::machine::{EnergyModel, Settings, TableError};
use crate::plan::{Budget, ChooseError, GroupRule, Options, Plan, Round, Share};
use crate::prune::{self, Shortened};
use crate::report::MachineReport;
use crate::score::Formula;
use crate::stats::Samples;
use clap::Args;
use std::sync::Arc;

/// What is cut, and how much.
#[derive(Args)]
pub struct Choice {
    #[command(flatten)]
    budget: BudgetArgs,
    /// Remove this many layers (residual branches), those that change the outputs least; channels go only under a budget
    /// of theirs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    #[arg(conflicts_with_all = ["max_drift", "max_drop"])]
    layers: Option<u32>,
    /// With --ratio, cut even where that saves less than 1 % of the model and changes its outputs more than that
    #[arg(long)]
    allow_tiny: bool,
    #[command(flatten)]
    pub how: How,
    #[command(flatten)]
    tables: Tables,
    #[command(flatten)]
    pub driving: Driving,
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
    pub seed: u64,
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
    pub inexact: bool,
    /// Treat units that can go without loss like all others, instead of removing them first and merging their
    /// contribution into others
    #[arg(long)]
    no_merge: bool,
    /// The range of the inputs, which proves more units dead or constant: `0..1`, or `NAME=0..1` for one input;
    /// may be repeated
    #[arg(long, value_name = "[NAME=]LO..HI", conflicts_with = "no_merge", allow_hyphen_values = true)]
    input_range: Vec<String>,
    #[command(flatten)]
    pub on: On,
    #[command(flatten)]
    pub calibration: Calibration,
    #[command(flatten)]
    pub dims: Dims,
}

/// Why no plan was made: a pattern that can't be read is a wrong use of the command line.
pub fn failure(error: ChooseError) -> Failure {
    match error {
        ChooseError::Pattern { .. } | ChooseError::NoMatch(_) => Failure::usage(error),
        ChooseError::Table(TableError::Missing { .. }) => {
            Failure::new(error).hint("`secateur profile` makes the table of a model; give it the same --dim")
        }
        _ => Failure::new(error),
    }
}

/// The formula of a criterion's name, if this build can work it out.
pub fn formula(name: &str) -> Result<Formula, Failure> {
    let formula: Formula = name.parse().map_err(Failure::usage)?;
    if !formula.wants().is_empty() {
        training::check(&format!("--criterion {name}"))?;
    }
    Ok(formula)
}

/// What a formula looks at of gradients, told of on the way.
pub fn gradients(
    formula: &Formula,
    analysis: &Analysis,
    samples: Option<&dyn Samples>,
    seed: u64,
    device: Device,
) -> Result<Option<Arc<Gradients>>, Failure> {
    let progress = Progress::open("differentiating");
    let done = || progress.step(1);
    let found = Gradients::wanted(formula, analysis, samples, seed, device, &done).map_err(|e| match e {
        GradientError::Lower(e) => Failure::new(e).hint("choose by a criterion that needs no gradients"),
        GradientError::Engine(e @ EngineError::NoDouble(_)) => {
            Failure::new(e).hint("choose by another criterion, or leave out --device")
        }
        e => Failure::new(e),
    })?;
    drop(progress);
    found.iter().flat_map(|g| &g.notes).for_each(|note| show::say(&format!("note: {note}")));
    Ok(found)
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
    /// The share of the activations' peak memory to keep
    #[arg(long, value_name = "SHARE")]
    peak_memory: Option<Share>,
    /// The share of the time of a run to keep, measured on this machine, or by --latency-table
    #[arg(long, value_name = "SHARE")]
    latency: Option<Share>,
    /// The share of the energy of a run to keep, by --energy-table, else as the processor reports it or an energy model
    /// estimates it
    #[arg(long, value_name = "SHARE")]
    energy: Option<Share>,
    /// Remove only units without which the model computes the same: dead, constant, unread ones, and multiples of others
    #[arg(long, conflicts_with = "no_merge")]
    lossless: bool,
    /// Instead of a budget: the smallest model whose outputs drift no further from the original's on held-out samples
    /// (relative L2, such as 0.02)
    #[arg(long, value_name = "X", value_parser = drift)]
    max_drift: Option<f64>,
    /// Instead of a budget: the smallest model that loses no more accuracy on held-out samples (1% is a point of
    /// accuracy, or an error that is 1 % larger); needs --labels
    #[arg(long, value_name = "SHARE")]
    max_drop: Option<Share>,
}

fn drift(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok();
    number.filter(|x| x.is_finite() && *x > 0.0).ok_or_else(|| format!("`{text}` is not a number above 0"))
}

impl BudgetArgs {
    fn promise(&self) -> Option<Promise> {
        self.max_drift.map(Promise::Drift).or(self.max_drop.map(|s| Promise::Drop(s.0)))
    }

    fn budget(&self) -> Budget {
        let of = |share: Option<Share>, budget: fn(f64) -> Budget| share.map(|s| budget(s.0));
        let ratio = Budget::Ratio(self.ratio.map_or(0.5, |s| s.0));
        let shares = of(self.macs, Budget::Macs).or(of(self.params, Budget::Params));
        if self.lossless {
            return Budget::Lossless;
        }
        let shares = shares.or(of(self.size, Budget::Size)).or(of(self.peak_memory, Budget::PeakMemory));
        shares.or(of(self.latency, Budget::Latency)).or(of(self.energy, Budget::Energy)).unwrap_or(ratio)
    }

    fn is_given(&self) -> bool {
        let shares =
            [&self.ratio, &self.macs, &self.params, &self.size, &self.peak_memory, &self.latency, &self.energy];
        self.lossless || shares.into_iter().any(Option::is_some) || self.promise().is_some()
    }
}

/// What goes, from which model, and what was measured of it.
pub struct Chosen {
    pub shortened: Shortened,
    pub plan: Plan,
    pub calibrated: Option<Calibrated>,
    /// What was tried on the way.
    pub driven: Option<Driven>,
    /// The prepared model without what goes, where it was trained.
    pub trained: Option<Model>,
    /// What the machine takes, where a budget or a table asks.
    pub machine: Option<MachineReport>,
    /// What the units were chosen by, where that was no search: they can be chosen again.
    pub replan: Option<Options>,
}

impl Choice {
    /// Chooses the layers that go and removes them, measures what is left, and chooses the units that go from it.
    pub fn plan(
        &self,
        model: &Model,
        analysis: Analysis,
        open: OpenDims,
        settings: &Settings,
    ) -> Result<Chosen, Failure> {
        let open = open.at(&analysis.model, &analysis.facts);
        let Some(count) = self.layers else {
            let shortened = prune::shorten(analysis, &[], &open)?;
            return self.units(model, shortened, open, None, vec![], settings);
        };
        let samples = self.how.calibration.source();
        let (include, exclude) = (self.how.include.clone(), self.how.exclude.clone());
        let options = layers::Options { count: count as usize, include, exclude };
        let progress = Progress::waiting("scoring layers");
        let chosen = layers::select(&analysis, &options, samples).map_err(|e| match e {
            LayerError::Pattern(e) => failure(e),
            e => Failure::new(e),
        })?;
        drop(progress);
        // A share is one of the whole model, layers included.
        let whole = Some(cost::cost(&analysis.model, &analysis.facts, &open));
        let shortened = prune::shorten(analysis, &chosen, &open)?;
        let layers = chosen.into_iter().map(|(_, cut)| cut).collect();
        if !self.budget.is_given() {
            let plan = Plan::of_layers(&shortened.analysis, layers, layers::score::name(samples));
            return Ok(Chosen {
                shortened,
                plan,
                calibrated: None,
                driven: None,
                trained: None,
                machine: None,
                replan: None,
            });
        }
        self.units(model, shortened, open, whole, layers, settings)
    }

    /// Whether units or layers are to go.
    pub fn is_given(&self) -> bool {
        self.budget.is_given() || self.layers.is_some() || self.driving.is_given()
    }

    /// Whether the cut is made only if it is worth what it changes: a share of the whole model was not asked for.
    pub fn weighs(&self) -> bool {
        let ratio = matches!(self.budget.budget(), Budget::Ratio(_)) && self.budget.promise().is_none();
        ratio && !self.allow_tiny && self.layers.is_none()
    }

    /// Whether labels can be of use before a model is made: to judge what is tried, or for the loss that chooses.
    pub fn judges(&self) -> bool {
        self.how.learns() || self.driving.judges(self.budget.promise()) || self.driving.is_given()
    }

    /// Chooses nothing.
    pub fn nothing(&self, analysis: Analysis, open: &OpenDims) -> Result<Chosen, Failure> {
        let shortened = prune::shorten(analysis, &[], open)?;
        let plan = Plan::of_layers(&shortened.analysis, vec![], "none");
        Ok(Chosen { shortened, plan, calibrated: None, driven: None, trained: None, machine: None, replan: None })
    }

    fn units(
        &self,
        model: &Model,
        shortened: Shortened,
        open: OpenDims,
        whole: Option<cost::Cost>,
        layers: Vec<layers::LayerCut>,
        settings: &Settings,
    ) -> Result<Chosen, Failure> {
        let (calibration, promise) = (&self.how.calibration, self.budget.promise());
        let (samples, held_out) = match self.driving.judges(promise) {
            true => self.driving.court.samples(calibration, model).map(|(rest, held_out)| (rest, Some(held_out)))?,
            false => {
                let labels = self.driving.court.calib_labels().filter(|_| self.how.learns());
                (calibration.labelled(model, labels)?.map(batches), None)
            }
        };
        let calibrated = samples.map(|s| calibration.measured(s, &shortened.analysis)).transpose()?;
        let (calibrated, options) = self.how.options(self.budget.budget(), open, &shortened.analysis, calibrated)?;
        let options = Options { whole, ..options };
        let analysis = &shortened.analysis;
        let open = options.open.at(&analysis.model, &analysis.facts);
        let options = Options { open, ..options };
        let searched = promise.is_some() || self.driving.is_given();
        let measured = matches!(options.budget, Budget::Latency(_) | Budget::Energy(_)) || self.tables.are_given();
        let replan = (!searched && !measured).then(|| options.clone());
        let (plan, driven, trained, machine) = if searched {
            let (options, source) = self.tables.costed(analysis, options, settings)?;
            let drive = Drive {
                driving: &self.driving,
                calibration,
                model,
                analysis,
                calibrated: calibrated.as_ref(),
                held_out: held_out.as_ref(),
                options: &options,
                promise,
            };
            let (plan, driven, trained) = drive.run()?;
            let machine = source.map(|source| machine::report(analysis, &options, source, &plan)).transpose()?;
            (plan, Some(driven), trained, machine)
        } else {
            let (plan, machine) = self.tables.plan(model, analysis, options, settings)?;
            (plan, None, None, machine)
        };
        Ok(Chosen { shortened, plan: Plan { layers, ..plan }, calibrated, driven, trained, machine, replan })
    }

    /// Fails for what does not go together.
    pub fn check(&self) -> Result<(), Failure> {
        if self.layers.is_some() && self.driving.holds_out_of_calib() {
            let what = "--layers are scored on all of --calib, so that none of it is held out to evaluate on";
            return Err(
                Failure::usage(what).hint("give held-out samples with --judge, or leave out --layers (or --folds)")
            );
        }
        self.driving.check(self.budget.budget(), self.budget.promise())?;
        self.how.check()
    }
}

impl How {
    /// Lets samples that are made up be of the sizes that are given.
    pub fn size(&mut self) {
        self.calibration = self.calibration.clone().sized(&self.dims);
    }

    /// What a plan is made by. `calibrated` has what was measured; without samples it becomes what the weights imply,
    /// where the criterion asks for that.
    pub fn options(
        &self,
        budget: Budget,
        open: OpenDims,
        analysis: &Analysis,
        mut calibrated: Option<Calibrated>,
    ) -> Result<(Option<Calibrated>, Options), Failure> {
        let mut criterion = self.formula()?;
        if calibrated.is_none() && budget != Budget::Lossless && criterion.implies() {
            let (implied, grounded) = self.calibration.imply(analysis);
            match grounded || self.criterion.is_some() {
                true => calibrated = Some(implied),
                // Guesses that nothing is known against do harm to some models.
                false => criterion = Formula::default(),
            }
        }
        self.check_granularity()?;
        let samples = calibrated.as_ref().filter(|_| self.calibration.is_given()).map(Calibrated::samples);
        let gradients = match budget {
            Budget::Lossless => None,
            _ => gradients(&criterion, analysis, samples, self.seed, self.on.device)?,
        };
        let measured = calibrated.as_ref().map(|c| c.measured.clone());
        let options = Options {
            budget,
            criterion,
            seed: self.seed,
            round: Round { multiple: usize::from(self.round_to), min_keep: self.min_keep as usize },
            max_ratio: self.max_ratio.0,
            rules: self.rule.clone(),
            include: self.include.clone(),
            exclude: self.exclude.clone(),
            leave: vec![],
            granularity: self.granularity.clone(),
            inexact: self.inexact,
            whole: None,
            open,
            lossless: self.ranges().map_err(Failure::usage)?,
            measured,
            gradients,
            device: self.on.device,
            table: None,
            energy: EnergyModel::default(),
        };
        Ok((calibrated, options))
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

    /// Whether units are told apart by a loss, which labels say more of.
    pub fn learns(&self) -> bool {
        self.formula().is_ok_and(|f| f.wants().into_iter().any(Want::by_loss))
    }

    /// What is known of the inputs, if units that go without loss go first.
    fn ranges(&self) -> Result<Option<Ranges>, RangeError> {
        let ranges = Ranges::new(&self.input_range)?;
        Ok((!self.no_merge).then_some(ranges))
    }

    /// Fails for ranges that can't be read, for a device that is not there, and for a criterion that can't be asked without samples.
    pub fn check(&self) -> Result<(), Failure> {
        self.ranges().map_err(Failure::usage)?;
        self.on.check()?;
        let Some(name) = &self.criterion else { return Ok(()) };
        let criterion = formula(name)?;
        if criterion.needs_data() && !self.calibration.is_given() {
            let what = format!("--criterion {name} needs samples");
            return Err(Failure::usage(what).hint("give some with --calib"));
        }
        Ok(())
    }

    /// Fails for a sort that can't be cut with these options.
    fn check_granularity(&self) -> Result<(), Failure> {
        if self.granularity.contains(&Granularity::Width) && !self.inexact {
            let what = "--granularity width: removing units of a residual width changes the others";
            return Err(Failure::usage(what).hint("allow that with --inexact"));
        }
        Ok(())
    }
}
