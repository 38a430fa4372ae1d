//! Profiling: the table of a model on this machine.
//!
//! Each distinct shape is run as a model of its own at the grid of its widths. The widths of a shape are run in turns,
//! so that a slow moment of the machine hits all of them, and the median of the turns counts. What it takes to run a
//! model without nodes is taken off: in the whole model it comes once.

use super::fused::{FusedSubgraph, fused_subgraphs};
use super::microbenchmark::{Microbenchmark, idle, microbenchmark};
use super::table::{Along, Quantity, Skipped, Table, TableEntry, VERSION};
use super::{EnergyModel, Host, Rapl, grid};
use crate::analysis::Analysis;
use crate::axes::{KeepSets, Shape, Var};
use crate::cost::{self, OpenDims};
use crate::oracle::{Runner, Setup};
use crate::{infer, passes, save};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How to run and to time.
#[derive(Clone, Debug)]
pub struct ProfileSettings {
    pub setup: Setup,
    /// Turns that do not count.
    pub warmup: usize,
    /// Turns that count.
    pub repeats: usize,
}

impl Default for ProfileSettings {
    /// tract on one thread, ten turns.
    fn default() -> ProfileSettings {
        ProfileSettings { setup: Setup::default(), warmup: 2, repeats: 10 }
    }
}

/// What is measured of a run.
pub(crate) enum Meter {
    /// How long it takes.
    Clock,
    /// The energy that the processor says it took.
    Rapl(Rapl),
    /// The energy that a model says it takes; nothing is run.
    Model(EnergyModel),
}

/// Counters of energy move about a thousand times a second: runs are counted together for this long.
const COUNTED: Duration = Duration::from_millis(50);

/// With more axes than this, combinations of widths are not measured one by one.
const AXES: usize = 2;

/// So many models are held at a time.
const AT_A_TIME: usize = 16;

/// Measures the fused subgraphs of a model. `done` is told of each shape, with how many there are.
pub(crate) fn profile(
    analysis: &Analysis,
    open: &OpenDims,
    settings: &ProfileSettings,
    meter: &Meter,
    done: &dyn Fn(usize),
) -> Table {
    let mut shapes: BTreeMap<String, FusedSubgraph> = BTreeMap::new();
    for piece in fused_subgraphs(analysis, open) {
        shapes.entry(piece.shape.clone()).or_insert(piece);
    }
    let (mut entries, mut skipped) = (vec![], vec![]);
    for piece in shapes.values() {
        let points = points(analysis, piece);
        let run = Run { analysis, open, settings, meter, piece };
        let whole = Points { widths: vec![], along: Along::Grid, keeps: vec![KeepSets::default()] };
        // A fused subgraph that does not run narrower counts as one that can't get narrower.
        match run.entry(points).or_else(|_| run.entry(whole)) {
            Ok(entry) => entries.push(entry),
            Err(why) => skipped.push(Skipped { shape: piece.shape.clone(), why }),
        }
        done(shapes.len());
    }
    let host = Host::here(&settings.setup);
    Table { version: VERSION, quantity: meter.quantity(), host, pieces: entries, skipped }
}

impl Meter {
    /// What it tells.
    pub(crate) fn quantity(&self) -> Quantity {
        if matches!(self, Meter::Clock) { Quantity::Latency } else { Quantity::Energy }
    }
}

/// What is measured of a fused subgraph.
pub(super) struct Points {
    pub widths: Vec<Vec<usize>>,
    pub along: Along,
    /// The choice of widths for each cost.
    pub keeps: Vec<KeepSets>,
}

/// The points of a fused subgraph: all combinations of the widths of two axes, or the common steps of more.
pub(super) fn points(analysis: &Analysis, piece: &FusedSubgraph) -> Points {
    let mut leaves: Vec<Var> = piece.widths.iter().flat_map(|&w| free_leaves(analysis, &[w])).collect();
    let all = leaves.len();
    leaves.sort_unstable();
    leaves.dedup();
    if piece.widths.len() > AXES || leaves.len() < all {
        let steps = eighths(analysis, &piece.widths);
        let widths = (0..piece.widths.len()).map(|i| steps.iter().map(|(lengths, _)| lengths[i]).collect()).collect();
        return Points { widths, along: Along::Diagonal, keeps: steps.into_iter().map(|(_, keep)| keep).collect() };
    }
    let axes: Vec<Vec<(usize, KeepSets)>> = piece.widths.iter().map(|&w| steps(analysis, w)).collect();
    let mut keeps = vec![KeepSets::default()];
    for axis in &axes {
        let with = |keep: &KeepSets| axis.iter().map(|(_, k)| keep.and(k)).collect::<Vec<_>>();
        keeps = keeps.iter().flat_map(with).collect();
    }
    let widths = axes.iter().map(|axis| axis.iter().map(|(n, _)| *n).collect()).collect();
    Points { widths, along: Along::Grid, keeps }
}

/// The leaves of some axes that may be cut, each once.
fn free_leaves(analysis: &Analysis, vars: &[Var]) -> Vec<Var> {
    let mut leaves: Vec<Var> = vars.iter().flat_map(|&v| analysis.axes.solver().leaves(v)).collect();
    leaves.retain(|&leaf| analysis.groups.of_leaf(leaf).is_some_and(|g| g.is_free()));
    leaves.sort_unstable();
    leaves.dedup();
    leaves
}

/// The widths of one axis, with a choice that comes to each.
fn steps(analysis: &Analysis, var: Var) -> Vec<(usize, KeepSets)> {
    let solver = analysis.axes.solver();
    if !matches!(solver.shape(var), Shape::Leaf) {
        return eighths(analysis, &[var]).into_iter().map(|(lengths, keep)| (lengths[0], keep)).collect();
    }
    let choice = |n: usize| {
        let mut keep = KeepSets::default();
        keep.keep(solver.find(var), (0..n).collect());
        (n, keep)
    };
    grid(solver.size(var).size().unwrap_or(1)).into_iter().map(choice).collect()
}

/// The lengths of axes when all their leaves keep so many eighths, with the choice that comes to them. Each length is
/// above those before; the last are whole.
fn eighths(analysis: &Analysis, vars: &[Var]) -> Vec<(Vec<usize>, KeepSets)> {
    let solver = analysis.axes.solver();
    let size = |leaf: Var| solver.size(leaf).size().unwrap_or(1);
    let mut steps: Vec<(Vec<usize>, KeepSets)> = vec![];
    for eighth in (1..=8).rev() {
        let mut keep = KeepSets::default();
        for leaf in free_leaves(analysis, vars) {
            keep.keep(leaf, (0..(size(leaf) * eighth).div_ceil(8)).collect());
        }
        let length = |&v: &Var| keep.size(&analysis.axes, v).size().unwrap_or(1);
        let lengths: Vec<usize> = vars.iter().map(length).collect();
        if steps.last().is_none_or(|(last, _)| lengths.iter().zip(last).all(|(a, b)| a < b)) {
            steps.push((lengths, keep));
        }
    }
    steps.reverse();
    steps
}

struct Run<'a> {
    analysis: &'a Analysis,
    open: &'a OpenDims,
    settings: &'a ProfileSettings,
    meter: &'a Meter,
    piece: &'a FusedSubgraph,
}

impl Run<'_> {
    fn entry(&self, points: Points) -> Result<TableEntry, String> {
        let mut costs = vec![];
        for keeps in points.keeps.chunks(AT_A_TIME) {
            costs.extend(match self.meter {
                Meter::Clock => self.times(keeps)?,
                Meter::Rapl(rapl) => self.energies(keeps, rapl)?,
                Meter::Model(model) => keeps.iter().map(|k| self.modelled(k, model)).collect::<Result<_, _>>()?,
            });
        }
        let Points { widths, along, .. } = points;
        // To the millionth, so that what is written reads back as the same numbers, and has the same hash.
        costs.iter_mut().for_each(|cost: &mut f64| *cost = (*cost * 1e6).round() / 1e6);
        Ok(TableEntry { shape: self.piece.shape.clone(), widths, along, costs })
    }

    /// The median time of each choice, in microseconds.
    fn times(&self, keeps: &[KeepSets]) -> Result<Vec<f64>, String> {
        let mut prepared = keeps.iter().map(|keep| self.prepare(keep)).collect::<Result<Vec<_>, _>>()?;
        prepared.push(self.runner(idle())?);
        let mut times: Vec<Vec<Duration>> = vec![vec![]; prepared.len()];
        for turn in 0..self.settings.warmup + self.settings.repeats.max(1) {
            for ((runner, part), times) in prepared.iter().zip(&mut times) {
                let time = runner.time(&part.feed).map_err(|e| e.to_string())?;
                if turn >= self.settings.warmup {
                    times.push(time);
                }
            }
        }
        let median = |mut t: Vec<Duration>| {
            t.sort_unstable();
            t[t.len() / 2].as_nanos() as f64 / 1e3
        };
        let mut times: Vec<f64> = times.into_iter().map(median).collect();
        let idle = times.pop().unwrap_or(0.0);
        Ok(times.into_iter().map(|t| (t - idle).max(0.0)).collect())
    }

    /// The energy of a run of each choice, in microjoules.
    fn energies(&self, keeps: &[KeepSets], rapl: &Rapl) -> Result<Vec<f64>, String> {
        let energy = |keep: &KeepSets| {
            let (runner, part) = self.prepare(keep)?;
            let (before, start, mut runs) = (rapl.read(), Instant::now(), 0);
            while start.elapsed() < COUNTED || runs < self.settings.repeats {
                runner.time(&part.feed).map_err(|e| e.to_string())?;
                runs += 1;
            }
            Ok(rapl.between(&before, &rapl.read()) as f64 / runs as f64)
        };
        keeps.iter().map(energy).collect()
    }

    /// The energy of a run as a model has it, in microjoules.
    fn modelled(&self, keep: &KeepSets, energy: &EnergyModel) -> Result<f64, String> {
        let Microbenchmark { model, .. } = microbenchmark(self.analysis, self.piece, keep, self.open)?;
        let (facts, open) = (infer::infer(&model), OpenDims::default());
        let costs = cost::per_node(&model, &facts, &open);
        let picojoules: f64 = costs.iter().map(|(node, c)| energy.of(&model.graph, &facts, &open, *node, c)).sum();
        Ok(picojoules / 1e6)
    }

    fn prepare(&self, keep: &KeepSets) -> Result<(Runner, Microbenchmark), String> {
        self.runner(microbenchmark(self.analysis, self.piece, keep, self.open)?)
    }

    fn runner(&self, part: Microbenchmark) -> Result<(Runner, Microbenchmark), String> {
        let bytes = save::to_bytes(&passes::inlined(&part.model)).map_err(|e| e.to_string())?;
        let runner = Runner::timed(&self.settings.setup, &bytes, None, &part.feed.signature());
        Ok((runner.map_err(|e| e.to_string())?, part))
    }
}
