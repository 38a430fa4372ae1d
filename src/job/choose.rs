//! The choice: which layers go, which units go from what is left, and what is measured for it.

use super::Error;
use super::machine;
use super::monitor::{Monitor, Steps};
use super::options::Choice;
use super::report::{MachineReport, SampleReport};
use super::samples::{Calibrated, batches};
use super::schedule::SearchRun;
use super::search::SearchReport;
use super::selection::failure;
use crate::analysis::Analysis;
use crate::axes::Group;
use crate::cost::{self, Cost, OpenDims};
use crate::figures::plural;
use crate::ir::Model;
use crate::layers::{self, LayerError};
use crate::machine::{ProfileSettings, Quantity};
use crate::oracle::Setup;
use crate::plan::LayerCut;
use crate::plan::{Budget, Options, Plan};
use crate::prune::{self, Shortened};

/// What goes, from which model, and what was measured of it.
pub(super) struct Chosen {
    pub shortened: Shortened,
    pub plan: Plan,
    pub calibrated: Option<Calibrated>,
    /// What was tried on the way.
    pub searched: Option<SearchReport>,
    /// The prepared model without what goes, where it was trained.
    pub trained: Option<Model>,
    /// What the machine takes, where a budget or a table asks.
    pub machine: Option<MachineReport>,
    /// What the units were chosen by, where that was no search: they can be chosen again.
    pub replan: Option<Options>,
    /// What samples there were.
    pub sampled: SampleReport,
}

impl Chosen {
    /// Nothing but what the plan says.
    fn of(shortened: Shortened, plan: Plan) -> Chosen {
        let (calibrated, searched, trained, machine, replan) = (None, None, None, None, None);
        let sampled = SampleReport::default();
        Chosen { shortened, plan, calibrated, searched, trained, machine, replan, sampled }
    }

    /// Nothing at all.
    pub(super) fn nothing(analysis: Analysis, open: &OpenDims) -> Result<Chosen, Error> {
        let shortened = prune::shorten(analysis, &[], open)?;
        let plan = Plan::of_layers(&shortened.analysis, vec![], "none");
        Ok(Chosen::of(shortened, plan))
    }
}

/// A model, and who hears how its units are chosen.
#[derive(Clone, Copy)]
pub(super) struct Chooser<'a> {
    pub choice: &'a Choice,
    pub model: &'a Model,
    /// How a machine is measured for a budget.
    pub settings: &'a ProfileSettings,
    pub monitor: &'a Monitor,
}

impl Chooser<'_> {
    /// What runs models.
    pub(super) fn setup(&self) -> &Setup {
        &self.settings.setup
    }

    /// Chooses the layers that go and removes them, measures what is left, and chooses the units that go from it.
    pub(super) fn choose(&self, analysis: Analysis, open: OpenDims) -> Result<Chosen, Error> {
        let open = open.at(&analysis.model, &analysis.facts);
        let Some(count) = self.choice.layers else {
            let shortened = prune::shorten(analysis, &[], &open)?;
            return self.units(shortened, open, None, vec![]);
        };
        let selection = &self.choice.selection;
        let samples = selection.calibration.source.as_deref();
        let (include, exclude) = (selection.include.clone(), selection.exclude.clone());
        let options = layers::Options { count, include, exclude };
        let work = self.monitor.begin("scoring layers", Steps::None)?;
        let chosen = layers::select(&analysis, &options, samples, self.setup()).map_err(|e| match e {
            LayerError::Pattern(e) => failure(e),
            e => Error::new(e),
        })?;
        drop(work);
        // A share is one of the whole model, layers included.
        let whole = Some(cost::cost(&analysis.model, &analysis.facts, &open));
        let shortened = prune::shorten(analysis, &chosen, &open)?;
        let layers = chosen.into_iter().map(|(_, cut)| cut).collect();
        if !self.choice.has_budget() {
            let plan = Plan::of_layers(&shortened.analysis, layers, layers::score::name(samples));
            return Ok(Chosen::of(shortened, plan));
        }
        self.units(shortened, open, whole, layers)
    }

    fn units(
        &self,
        shortened: Shortened,
        open: OpenDims,
        whole: Option<Cost>,
        layers: Vec<LayerCut>,
    ) -> Result<Chosen, Error> {
        let Choice { selection, search, constraint, tables, .. } = self.choice;
        let reader = selection.reader(self.setup(), self.monitor);
        let (samples, held_out) = match search.judges(*constraint) {
            true => search.held_out.samples(&reader, self.model).map(|(rest, held_out)| (rest, Some(held_out)))?,
            false => {
                let labels = search.held_out.calib_labels().filter(|_| selection.learns());
                (reader.labelled(self.model, labels)?.map(batches), None)
            }
        };
        let analysis = &shortened.analysis;
        let budget = self.choice.budget_or_usual();
        let (samples, sampled) = match samples {
            Some(samples) => {
                let count = samples.samples.len();
                (Some(samples), SampleReport::Given { count })
            }
            None if budget.is_lossless() => (None, SampleReport::default()),
            None => selection.made_up(reader, self.model, analysis)?,
        };
        let calibrated = samples.map(|s| reader.measured(s, analysis)).transpose()?;
        let (calibrated, options) =
            selection.options(budget, open, analysis, calibrated, (self.setup(), self.monitor))?;
        let open = options.open.at(&analysis.model, &analysis.facts);
        let options = Options { whole, open, ..options };
        let searched = constraint.is_some() || search.is_given();
        let measured = budget.quantity().is_some() || tables.are_given();
        let replan = (!searched && !measured).then(|| options.clone());
        let (plan, searched, trained, machine) = if searched {
            let (options, source) = machine::costed(tables, analysis, options, self.settings, self.monitor)?;
            let (calibrated, held_out, options) = (calibrated.as_ref(), held_out.as_ref(), &options);
            let schedule = SearchRun { chooser: self, reader, analysis, calibrated, held_out, options };
            let (plan, searched, trained) = schedule.run()?;
            let machine = source.map(|source| machine::report(analysis, options, source, &plan)).transpose()?;
            (plan, Some(searched), trained, machine)
        } else {
            let (plan, machine) = machine::plan(self, analysis, options)?;
            (plan, None, None, machine)
        };
        Ok(Chosen { shortened, plan: Plan { layers, ..plan }, calibrated, searched, trained, machine, replan, sampled })
    }
}

impl Choice {
    /// What the budget is, where one is asked for or none.
    pub(super) fn budget_or_usual(&self) -> Budget {
        self.budget.unwrap_or_default()
    }

    /// Whether units are to go, or how many is to be found out.
    fn has_budget(&self) -> bool {
        self.budget.is_some() || self.constraint.is_some()
    }

    /// Whether units or layers are to go.
    pub(super) fn is_given(&self) -> bool {
        self.has_budget() || self.layers.is_some() || self.search.is_given()
    }

    /// Whether the cut is made only if it is worth what it changes: a share of the whole model was not asked for.
    pub(super) fn weighs(&self) -> bool {
        let ratio = self.budget_or_usual().ratio_of_groups().is_some() && self.constraint.is_none();
        ratio && !self.allow_tiny && self.layers.is_none()
    }

    /// Whether labels can be of use before a model is made: to judge what is tried, or for the loss that chooses.
    pub(super) fn judges(&self) -> bool {
        self.selection.learns() || self.search.judges(self.constraint) || self.search.is_given()
    }

    /// Fails for what does not go together.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.layers.is_some() && self.search.holds_out_of_calib() {
            let what = "--layers are scored on all of --calib, so that none of it is held out to evaluate on";
            let hint = "search with --judge, or without --layers; folds go without it";
            return Err(Error::options(what).with_hint(hint));
        }
        let budget = self.budget_or_usual();
        if let Some(target) = self.selection.target
            && (budget.quantity() == Some(Quantity::Latency) || self.tables.latency.is_some())
        {
            let what = format!("--target {target} is of no use where a table of measured times says which widths pay");
            return Err(Error::options(what).with_hint("leave out --target, or --latency and --latency-table"));
        }
        if self.search.training.is_given() && !self.selection.calibration.is_given() {
            return Err(Error::options("--tune-steps trains on samples").with_hint("give some with --calib"));
        }
        self.search.check(budget, self.constraint)?;
        self.selection.check()
    }
}

/// Why nothing is cut; `inexact` says whether inexact groups could be.
pub(super) fn nothing(analysis: &Analysis, inexact: bool) -> String {
    let count = |is: &dyn Fn(&&Group) -> bool| analysis.groups.all.iter().filter(is).count();
    let free = count(&|g| g.is_free() && (inexact || g.inexact.is_empty()));
    let more = count(&|g| g.is_free()) - free;
    match (free, more) {
        (0, 0) => "nothing to prune: no group may be cut (`secateur explain` says why)".to_owned(),
        (0, n) => format!(
            "nothing to prune exactly: cutting {} would change the units that stay; --inexact allows that",
            if n == 1 { "the one group there is".to_owned() } else { format!("any of the {n} groups") }
        ),
        (_, 0) => "nothing to prune: the options leave every group whole".to_owned(),
        (_, n) => format!(
            "nothing to prune: the options leave every group whole; {} more would be cut with --inexact",
            plural(n, "group")
        ),
    }
}
