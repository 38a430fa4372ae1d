//! `secateur profile`: what do the nodes of a model take on this machine, by width?

use super::running::Running;
use super::source::{self, DimArgs};
use super::{Exit, progress, show};
use crate::axes::KeepSets;
use crate::job::machine;
use crate::machine::{EnergyModel, Meter, Prices, ProfileSettings, Quantity, Rapl, Table};
use std::path::PathBuf;

/// Measure what the nodes of a model take on this machine, at a grid of widths; the table serves `--latency-table` and
/// `--energy-table` elsewhere
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  secateur profile model.onnx -o phone.json
  secateur prune model.onnx -o small.onnx --latency 60% --latency-table phone.json")]
pub(super) struct Args {
    /// The model
    model: PathBuf,
    /// Where the table is written
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Measure energy instead of time: by the processor's counters (RAPL), else by an energy model
    #[arg(long)]
    energy: bool,
    /// The energy model (JSON or TOML), even where the processor has counters
    #[arg(long, value_name = "FILE", requires = "energy")]
    energy_table: Option<PathBuf>,
    #[command(flatten)]
    running: Running,
    /// Turns of each width before the first that is timed
    #[arg(long, default_value_t = 2, value_name = "N")]
    warmup: usize,
    /// Timed turns of each width
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
    /// Measure again, and do not store the table in the user's cache folder
    #[arg(long)]
    no_cache: bool,
    #[command(flatten)]
    dims: DimArgs,
    /// Print the table as JSON
    #[arg(long)]
    json: bool,
}

/// How many nodes are shown.
const LINES: usize = 20;

pub(super) fn run(args: Args) -> super::Outcome {
    let settings =
        ProfileSettings { setup: args.running.timed()?, warmup: args.warmup, repeats: args.repeats as usize };
    let model = source::load(&args.model)?;
    let analysis = source::prepare(&model)?;
    let open = args.dims.open(&model)?.at(&analysis.model, &analysis.facts);
    let meter = match (args.energy, &args.energy_table) {
        (false, _) => Meter::Clock,
        (true, Some(path)) => Meter::Model(EnergyModel::read(path)?),
        (true, None) => Rapl::here().map_or_else(|| Meter::Model(EnergyModel::default()), Meter::Rapl),
    };
    // What a model says costs nothing to say again.
    let no_cache = args.no_cache || matches!(meter, Meter::Model(_));
    let (table, cached) = machine::measured(&analysis, &open, (&settings, &meter), no_cache, &progress::monitor())?;
    if let Some(path) = &args.output {
        show::write_json(path, &table)?;
    }
    if args.json {
        show::print_json(&table)?;
    } else {
        let prices = Prices::new(&analysis, &open, &table)?;
        show::print(&summary(&table, &prices, cached))?;
    }
    Ok(Exit::Done)
}

/// The nodes that take most, and what they add up to.
fn summary(table: &Table, prices: &Prices, cached: bool) -> String {
    let (mut nodes, total) = (prices.by_piece(&KeepSets::default()), prices.total(&KeepSets::default()));
    nodes.sort_by(|a, b| b.1.total_cmp(&a.1));
    let unit = if table.quantity == Quantity::Latency { "µs" } else { "µJ" };
    let row = |(name, cost): &(String, f64)| {
        vec![name.clone(), format!("{cost:.2}"), format!("{:.1} %", 100.0 * cost / total.max(f64::MIN_POSITIVE))]
    };
    let mut out = show::table(&["node", unit, "share"], 1, nodes.iter().take(LINES).map(row));
    if nodes.len() > LINES {
        out += &format!("  … {} more\n", nodes.len() - LINES);
    }
    let (points, before) =
        (table.pieces.iter().map(|e| e.costs.len()).sum::<usize>(), if cached { ", measured before" } else { "" });
    out +=
        &format!("\n  {total:.2} {unit} in all; {} shapes of nodes at {points} widths{before}\n", table.pieces.len());
    for skipped in &table.skipped {
        out += &show::wrap(&format!("  not measured: {}: {}", skipped.shape, skipped.why), 6);
    }
    out + &format!("  table {} of {}\n", table.hash(), table.host)
}
