//! Arguments about what a machine takes for a model: tables, budgets that are measured, and what is told of them.

use super::choice::failure;
use super::progress::Progress;
use super::{Failure, show};
use crate::analysis::Analysis;
use crate::cost::OpenDims;
use crate::ir::Model;
use crate::machine::{
    Cache, Corrected, EnergyModel, Host, Meter, Prices, Quantity, Rapl, Settings, Table, Trial, corrected, pieces,
    profile,
};
use crate::plan::{self, Budget, ChooseError, Options, Plan};
use crate::report::MachineReport;
use clap::Args;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where costs of nodes come from.
#[derive(Args)]
pub struct Tables {
    /// What the model's nodes take by width, as `secateur profile` wrote it on the machine that counts; with another
    /// budget than --latency it tells which widths are worth keeping
    #[arg(long, value_name = "FILE", conflicts_with_all = ["energy_table", "energy"])]
    latency_table: Option<PathBuf>,
    /// Energies: a table that `secateur profile --energy` wrote, or a model of them (JSON or TOML with `mac_pj`,
    /// `weight_byte_pj` and `activation_byte_pj`, in picojoules)
    #[arg(long, value_name = "FILE", conflicts_with = "latency")]
    energy_table: Option<PathBuf>,
    /// Measure this machine again, instead of using what was measured before
    #[arg(long)]
    no_cache: bool,
}

/// Turns of a trial at least, whatever verification does with.
const TURNS: usize = 10;

impl Tables {
    /// Whether costs come from a file.
    pub fn are_given(&self) -> bool {
        self.latency_table.is_some() || self.energy_table.is_some()
    }

    /// Chooses the units that go; under a budget of latency, of those plans the one that is measured to meet it.
    pub fn plan(
        &self,
        model: &Model,
        analysis: &Analysis,
        options: Options,
        settings: &Settings,
    ) -> Result<(Plan, Option<MachineReport>), Failure> {
        let settings = Settings { repeats: settings.repeats.max(TURNS), ..*settings };
        let (options, source) = self.costed(analysis, options, &settings)?;
        let choose = |options: &Options| {
            let _progress = Progress::waiting("planning");
            plan::choose(analysis, options).map_err(failure)
        };
        let Some(source) = source else { return Ok((choose(&options)?, None)) };
        let here = options.table.as_ref().is_some_and(|t| t.host == Host::here(&settings.setup));
        let found = match options.budget {
            Budget::Latency(asked) if here => Some(self.correct(model, analysis, &options, &settings, asked)?),
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
        &self,
        model: &Model,
        analysis: &Analysis,
        options: &Options,
        settings: &Settings,
        asked: f64,
    ) -> Result<Corrected<Plan>, Failure> {
        let trial = Trial::new(model, analysis, &options.open, *settings).map_err(Failure::new)?;
        let choose = |share: f64| {
            let planned =
                |share| plan::choose(analysis, &Options { budget: Budget::Latency(share), ..options.clone() });
            let plan = match planned(share) {
                // What the table says of the floor is no measurement. The least that can be had is tried.
                Err(ChooseError::Floor { floor, .. }) => planned(floor / 100.0 * (1.0 + 1e-9)),
                other => other,
            };
            let plan = plan.map_err(failure)?;
            // The file says what was asked for.
            Ok(Plan { budget: Budget::Latency(asked).to_string(), ..plan })
        };
        let progress = Progress::open("planning and timing");
        corrected(asked, choose, |plan| {
            let measured = trial.measure(plan).map_err(Failure::new);
            progress.step(1);
            measured
        })
    }

    /// The options with what they need to count costs, and where that is from.
    pub fn costed(
        &self,
        analysis: &Analysis,
        options: Options,
        settings: &Settings,
    ) -> Result<(Options, Option<String>), Failure> {
        if let Some(path) = &self.latency_table {
            return Ok((with_table(options, Table::read(path)?), Some(path.display().to_string())));
        }
        if let Some(path) = &self.energy_table {
            let source = Some(path.display().to_string());
            return Ok(match is_table(path) {
                true => (with_table(options, Table::read(path)?), source),
                false => (Options { energy: EnergyModel::read(path)?, ..options }, source),
            });
        }
        let meter = match options.budget {
            Budget::Latency(_) => Meter::Clock,
            Budget::Energy(_) => match Rapl::here() {
                Some(rapl) => Meter::Rapl(rapl),
                None => return Ok((options, Some("a model of energies".to_owned()))),
            },
            _ => return Ok((options, None)),
        };
        let (table, cached) = measured(analysis, &options.open, settings, &meter, self.no_cache)?;
        let source = if cached { "this machine, measured before" } else { "this machine" };
        Ok((with_table(options, table), Some(source.to_owned())))
    }
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
pub fn measured(
    analysis: &Analysis,
    open: &OpenDims,
    settings: &Settings,
    meter: &Meter,
    no_cache: bool,
) -> Result<(Table, bool), Failure> {
    let (host, pieces) = (Host::here(&settings.setup), pieces(analysis, open));
    let cache = Cache::of(&host, meter.quantity(), pieces.iter().map(|p| p.shape.as_str())).filter(|_| !no_cache);
    let fits = |t: &Table| t.host == host && Prices::new(analysis, open, t).is_ok();
    if let Some(table) = cache.as_ref().and_then(Cache::read).filter(fits) {
        return Ok((table, true));
    }
    let shapes: std::collections::BTreeSet<&str> = pieces.iter().map(|p| p.shape.as_str()).collect();
    let progress = Progress::new("profiling", shapes.len());
    let table = profile(analysis, open, settings, meter, &|_| progress.step(1));
    if let Some(Err(e)) = cache.as_ref().map(|c| c.write(&table).map_err(|e| (c.path(), e))) {
        show::say(&format!("warning: the table could not be cached: {}: {}", e.0.display(), e.1));
    }
    Ok((table, false))
}

/// What is told of a plan whose costs were counted by what `source` names.
pub fn report(analysis: &Analysis, options: &Options, source: String, plan: &Plan) -> Result<MachineReport, Failure> {
    let (quantity, asked) = match (options.budget, &options.table) {
        (Budget::Latency(asked), _) => (Quantity::Latency, Some(asked)),
        (Budget::Energy(asked), _) => (Quantity::Energy, Some(asked)),
        (_, table) => (table.as_ref().map_or(Quantity::Energy, |t| t.quantity), None),
    };
    let budget = match quantity {
        Quantity::Latency => Budget::Latency(1.0),
        Quantity::Energy => Budget::Energy(1.0),
    };
    let predicted = plan::estimate(analysis, &Options { budget, ..options.clone() }, plan).map_err(Failure::new)?;
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

/// What is wrong where a budget is not met.
pub fn missed(report: &MachineReport) -> Option<String> {
    let (asked, share) = (report.asked?, report.measured.map(|m| m.share)?);
    let floor = 100.0 * report.predicted.floor / report.predicted.before.max(f64::MIN_POSITIVE);
    (report.met == Some(false)).then(|| {
        format!(
            "the budget of {} {:.1} % is not met: {:.1} % was measured. By the table {floor:.1} % is left where every \
             group is cut as far as it may be",
            report.quantity,
            100.0 * asked,
            100.0 * share
        )
    })
}

/// What the summary says.
pub fn summary(report: &MachineReport) -> String {
    let predicted = &report.predicted;
    let share = |x: f64| format!("{:.1} %", 100.0 * x / predicted.before.max(f64::MIN_POSITIVE));
    let mut out = format!("\n{} ({})\n", report.quantity, report.source);
    let asked = report.asked.map_or_else(String::new, |a| format!(" ({:.1} % asked for)", 100.0 * a));
    let hash = report.table.as_ref().map_or_else(String::new, |h| format!(" by table {h}"));
    let (before, after) = (amount(report, predicted.before), amount(report, predicted.after));
    _ = writeln!(out, "  predicted{hash}: {before} → {after}, {} left{asked}", share(predicted.after));
    if let Some(m) = report.measured {
        let ((low, high), plans) = (m.interval, report.rounds.len());
        let plans = if plans == 1 { "first plan".to_owned() } else { format!("{plans} plans tried") };
        let [s, low, high] = [m.share, low, high].map(|x| 100.0 * x);
        _ = writeln!(out, "  measured: {s:.1} % left ({low:.1} – {high:.1}), {plans}");
    }
    let nodes = predicted.floor_nodes.iter().map(|(name, cost)| format!("`{name}` {}", share(*cost)));
    let nodes = nodes.collect::<Vec<_>>().join(", ");
    let most = if nodes.is_empty() { String::new() } else { format!(", most of it {nodes}") };
    out += &show::wrap(&format!("  at least {} is left, whatever is cut{most}", share(predicted.floor)), 6);
    if !report.skipped.is_empty() {
        _ = writeln!(out, "  {} shapes of nodes could not be measured and count as nothing", report.skipped.len());
    }
    out
}

/// A time or an energy. The table's are in millionths, those of a model of energies in picojoules.
fn amount(report: &MachineReport, x: f64) -> String {
    match (report.quantity, &report.table) {
        (Quantity::Latency, _) => show::duration(std::time::Duration::from_secs_f64(x.max(0.0) / 1e6)),
        (Quantity::Energy, Some(_)) => format!("{x:.2} µJ"),
        (Quantity::Energy, None) => format!("{:.2} µJ", x / 1e6),
    }
}
