//! `prune-channels`: cuts units of every group, as `secateur prune` does.
//!
//! ```text
//! y = Conv(x, w #a1.. [64, 3, 3, 3])      →      y = Conv(x, w #b2.. [32, 3, 3, 3])
//! z = Conv(y, v #c3.. [10, 64, 1, 1])            z = Conv(y, v #d4.. [10, 32, 1, 1])
//! ```
//!
//! Lossy: what the removed units computed is gone. The verb proves the cut against the masked original; a pass in a
//! pipeline can't, for it sees the model as the passes before it left it.

use crate::analysis::Analysis;
use crate::apply;
use crate::cost::OpenDims;
use crate::ir::{Model, Origin};
use crate::machine::Table;
use crate::ops::{Granularity, GranularityError};
use crate::passes::{Change, Context, Effect, OptionError, Options, Pass, PassError};
use crate::passes::{MergeConstants, SplitConstants};
use crate::plan::{self, Budget, GroupRule, GroupRuleError, Round, Share};
use crate::score::Formula;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Cuts units until a budget is met.
pub struct PruneChannels {
    budget: Budget,
    /// The file that tells what nodes take on a machine.
    table: Option<PathBuf>,
    criterion: Formula,
    seed: u64,
    round: Round,
    max_ratio: f64,
    rules: Vec<GroupRule>,
    granularity: Vec<Granularity>,
    inexact: bool,
}

impl PruneChannels {
    /// Options: `ratio`, `macs`, `params`, `size`, `peak-memory`, `latency` or `energy` (a share), `table` (a file of
    /// `secateur profile`), `score` (a criterion, or several combined), `seed`, `round-to`, `min-keep`, `max-ratio`,
    /// `rule` (rules of some groups, with `;` between), `granularity` (sorts, joined by `+`), `inexact`.
    pub fn new(options: &mut Options) -> Result<PruneChannels, OptionError> {
        let share = |options: &mut Options, key| options.take::<Share>(key);
        let ratio = share(options, "ratio")?.map_or(0.5, |s| s.0);
        let macs = share(options, "macs")?.map(|s| Budget::Macs(s.0));
        let params = share(options, "params")?.map(|s| Budget::Params(s.0));
        let size = share(options, "size")?.map(|s| Budget::Size(s.0));
        let peak = share(options, "peak-memory")?.map(|s| Budget::PeakMemory(s.0));
        let latency = share(options, "latency")?.map(|s| Budget::Latency(s.0));
        let energy = share(options, "energy")?.map(|s| Budget::Energy(s.0));
        let budget = macs.or(params).or(size).or(peak).or(latency).or(energy);
        Ok(PruneChannels {
            budget: budget.unwrap_or(Budget::Ratio(ratio)),
            table: options.take("table")?,
            criterion: options.take_or("score", Formula::default())?,
            seed: options.take_or("seed", 0)?,
            round: Round { multiple: options.take_or("round-to", 1)?, min_keep: options.take_or("min-keep", 1)? },
            max_ratio: options.take_or("max-ratio", Share(0.9))?.0,
            rules: options.take_or("rule", Rules(vec![]))?.0,
            granularity: options.take_or("granularity", Sorts(vec![]))?.0,
            inexact: options.take_or("inexact", false)?,
        })
    }
}

/// Rules of some groups: `encoder.*: ratio=0.3; head: ratio=0`.
struct Rules(Vec<GroupRule>);

impl std::str::FromStr for Rules {
    type Err = GroupRuleError;

    fn from_str(text: &str) -> Result<Rules, Self::Err> {
        text.split(';').map(|rule| rule.trim().parse()).collect::<Result<_, _>>().map(Rules)
    }
}

/// Sorts of units: `head+neuron`.
struct Sorts(Vec<Granularity>);

impl std::str::FromStr for Sorts {
    type Err = GranularityError;

    fn from_str(text: &str) -> Result<Sorts, Self::Err> {
        text.split('+').map(str::parse).collect::<Result<_, _>>().map(Sorts)
    }
}

impl Pass for PruneChannels {
    fn name(&self) -> &'static str {
        "prune-channels"
    }

    fn effect(&self) -> Effect {
        Effect::Lossy
    }

    fn run(&self, model: &mut Model, cx: &mut Context) -> Result<Change, PassError> {
        let mut copy = model.clone();
        // What a pipeline gave us is the original here, whatever computed it.
        for node in copy.graph.constants() {
            if let Some(constant) = copy.graph.constant_mut(node) {
                constant.origin = Origin::File(constant.name.clone());
            }
        }
        SplitConstants.run(&mut copy, cx)?;
        cx.changed();
        let analysis = Analysis::new(copy);
        let table = self.table.as_deref().map(Table::read).transpose().map_err(PassError::new)?;
        let options = plan::Options {
            table: table.map(Arc::new),
            seed: self.seed,
            round: self.round,
            max_ratio: self.max_ratio,
            rules: self.rules.clone(),
            granularity: self.granularity.clone(),
            inexact: self.inexact,
            open: OpenDims::of(model, HashMap::new()).at(&analysis.model, &analysis.facts),
            lossless: None,
            ..plan::Options::new(self.budget, self.criterion.clone())
        };
        let plan = plan::choose(&analysis, &options).map_err(PassError::new)?;
        if plan.cuts.is_empty() {
            return Ok(Change(0));
        }
        let keep = plan.keep_sets(&analysis).map_err(PassError::new)?;
        *model = apply::apply(&analysis, &keep).map_err(PassError::new)?.model;
        MergeConstants.run(model, cx)?;
        Ok(Change(plan.cuts.len()))
    }
}
