//! What a machine takes for a model: tables, and budgets that are measured.

use super::Error;
use super::choose::Chooser;
use super::monitor::{Monitor, Steps};
use super::options::Tables;
use super::report::MachineReport;
use super::selection::failure;
use crate::analysis::Analysis;
use crate::cost::OpenDims;
use crate::machine::{
    Cache, Corrected, EnergyModel, Host, Meter, Prices, ProfileSettings, Quantity, Rapl, Table, corrected,
    fused_subgraphs, profile,
};
use crate::plan::{self, Budget, ChooseError, Options, Plan};
use crate::prune::trial::TimedTrial;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// Turns of a trial at least, whatever verification does with.
const TURNS: usize = 10;

impl Tables {
    /// Whether costs come from a file.
    pub(super) fn are_given(&self) -> bool {
        self.latency.is_some() || self.energy.is_some()
    }
}

/// Chooses the units that go; under a budget of latency, of those plans the one that is measured to meet it.
pub(super) fn plan(
    chooser: &Chooser,
    analysis: &Analysis,
    options: Options,
) -> Result<(Plan, Option<MachineReport>), Error> {
    let settings = ProfileSettings { repeats: chooser.settings.repeats.max(TURNS), ..chooser.settings.clone() };
    let (options, source) = costed(&chooser.choice.tables, analysis, options, &settings, chooser.monitor)?;
    let choose = |options: &Options| {
        let _work = chooser.monitor.begin("planning", Steps::None)?;
        plan::choose(analysis, options).map_err(failure)
    };
    let Some(source) = source else { return Ok((choose(&options)?, None)) };
    let here = options.table.as_ref().is_some_and(|t| t.host == Host::here(&settings.setup));
    let found = match (options.budget.quantity(), options.budget.share()) {
        (Some(Quantity::Latency), Some(asked)) if here => Some(correct(chooser, analysis, &options, &settings, asked)?),
        _ => None,
    };
    let Some(Corrected { plan, measured, met, rounds }) = found else {
        let plan = choose(&options)?;
        let report = report(analysis, &options, source, &plan)?;
        return Ok((plan, Some(report)));
    };
    let report = report(analysis, &options, source, &plan)?;
    Ok((plan, Some(MachineReport { measured: Some(measured), rounds, met: Some(met), ..report })))
}

fn correct(
    chooser: &Chooser,
    analysis: &Analysis,
    options: &Options,
    settings: &ProfileSettings,
    asked: f64,
) -> Result<Corrected<Plan>, Error> {
    let monitor = chooser.monitor;
    let trial = TimedTrial::new(chooser.model, analysis, &options.open, settings.clone())?;
    let choose = |share: f64| {
        monitor.check()?;
        let planned =
            |share| plan::choose(analysis, &Options { budget: options.budget.with_share(share), ..options.clone() });
        let plan = match planned(share) {
            // What the table says of the floor is no measurement. The least that can be had is tried.
            Err(ChooseError::Floor { floor, .. }) => planned(floor / 100.0 * (1.0 + 1e-9)),
            other => other,
        };
        let plan = plan.map_err(failure)?;
        // The file says what was asked for.
        Ok(Plan { budget: options.budget.to_string(), ..plan })
    };
    let work = monitor.begin("planning and timing", Steps::Open)?;
    corrected(asked, choose, |plan| {
        let measured = trial.measure(plan).map_err(Error::new);
        work.step(1);
        measured
    })
}

/// The options with what they need to count costs, and where that is from.
pub(super) fn costed(
    tables: &Tables,
    analysis: &Analysis,
    options: Options,
    settings: &ProfileSettings,
    monitor: &Monitor,
) -> Result<(Options, Option<String>), Error> {
    if let Some(path) = &tables.latency {
        return Ok((with_table(options, Table::read(path)?), Some(path.display().to_string())));
    }
    if let Some(path) = &tables.energy {
        let source = Some(path.display().to_string());
        return Ok(match is_table(path) {
            true => (with_table(options, Table::read(path)?), source),
            false => (Options { energy: EnergyModel::read(path)?, ..options }, source),
        });
    }
    let meter = match options.budget.quantity() {
        Some(Quantity::Latency) => Meter::Clock,
        Some(Quantity::Energy) => match Rapl::here() {
            Some(rapl) => Meter::Rapl(rapl),
            None => return Ok((options, Some("a model of energies".to_owned()))),
        },
        None => return Ok((options, None)),
    };
    let (table, cached) = measured(analysis, &options.open, (settings, &meter), tables.no_cache, monitor)?;
    let source = if cached { "this machine, measured before" } else { "this machine" };
    Ok((with_table(options, table), Some(source.to_owned())))
}

fn with_table(options: Options, table: Table) -> Options {
    Options { table: Some(Arc::new(table)), ..options }
}

/// Whether a file has the form of a table, and not that of a model of energies.
fn is_table(path: &Path) -> bool {
    let text = std::fs::read(path).unwrap_or_default();
    serde_json::from_slice::<serde_json::Value>(&text).is_ok_and(|v| v.get("pieces").is_some())
}

/// The table of a model on this machine, from the cache where it is there; and whether it was.
pub(crate) fn measured(
    analysis: &Analysis,
    open: &OpenDims,
    (settings, meter): (&ProfileSettings, &Meter),
    no_cache: bool,
    monitor: &Monitor,
) -> Result<(Table, bool), Error> {
    let (host, pieces) = (Host::here(&settings.setup), fused_subgraphs(analysis, open));
    let cache = Cache::of(&host, meter.quantity(), pieces.iter().map(|p| p.shape.as_str())).filter(|_| !no_cache);
    let fits = |t: &Table| t.host == host && Prices::new(analysis, open, t).is_ok();
    if let Some(table) = cache.as_ref().and_then(Cache::read).filter(fits) {
        return Ok((table, true));
    }
    let shapes: BTreeSet<&str> = pieces.iter().map(|p| p.shape.as_str()).collect();
    let work = monitor.begin("profiling", Steps::Of(shapes.len()))?;
    let table = profile(analysis, open, settings, meter, &|_| work.step(1));
    if let Some(Err(e)) = cache.as_ref().map(|c| c.write(&table).map_err(|e| (c.path(), e))) {
        monitor.note(&format!("warning: the table could not be cached: {}: {}", e.0.display(), e.1));
    }
    Ok((table, false))
}

/// What is told of a plan whose costs were counted by what `source` names.
pub(super) fn report(
    analysis: &Analysis,
    options: &Options,
    source: String,
    plan: &Plan,
) -> Result<MachineReport, Error> {
    let (quantity, asked) = match (options.budget.quantity(), &options.table) {
        (Some(quantity), _) => (quantity, options.budget.share()),
        (None, table) => (table.as_ref().map_or(Quantity::Energy, |t| t.quantity), None),
    };
    let budget = Budget::machine(quantity, 1.0);
    let predicted = plan::estimate(analysis, &Options { budget, ..options.clone() }, plan).map_err(Error::new)?;
    Ok(MachineReport {
        quantity,
        source,
        host: options.table.as_ref().map(|t| t.host.clone()),
        table: options.table.as_ref().map(|t| t.hash()),
        asked,
        met: asked.map(|asked| predicted.after <= asked * predicted.before * (1.0 + 1e-9)),
        predicted,
        measured: None,
        rounds: vec![],
        skipped: options.table.as_ref().map_or_else(Vec::new, |t| t.skipped.clone()),
    })
}

impl MachineReport {
    /// What is wrong where a budget that was measured is not met.
    pub fn missed(&self) -> Option<String> {
        let (asked, share) = (self.asked?, self.measured.map(|m| m.share)?);
        let floor = 100.0 * self.predicted.floor / self.predicted.before.max(f64::MIN_POSITIVE);
        (self.met == Some(false)).then(|| {
            format!(
                "the budget of {} {:.1} % is not met: {:.1} % was measured. By the table {floor:.1} % is left where every \
                 group is cut as far as it may be",
                self.quantity,
                100.0 * asked,
                100.0 * share
            )
        })
    }
}
