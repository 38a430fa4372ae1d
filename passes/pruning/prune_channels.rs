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
use crate::plan::{self, BUDGETS, Budget, BudgetKind, GroupRule, GroupRuleError, Rounding, Share, Target};
use crate::score::Formula;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

/// Cuts units until a budget is met.
pub(super) struct PruneChannels {
    budget: Budget,
    /// The file that tells what nodes take on a machine.
    table: Option<PathBuf>,
    criterion: Formula,
    seed: u64,
    round: Rounding,
    target: Option<Target>,
    max_ratio: f64,
    rules: Vec<GroupRule>,
    granularity: Vec<Granularity>,
    inexact: bool,
}

impl PruneChannels {
    /// Options: the name of a budget that takes a share (`ratio`, `macs`, …), `table` (a file of `secateur profile`), `score` (a criterion, or several combined), `seed`, `round-to`, `target` (what widths are worth keeping for), `min-keep`, `max-ratio`,
    /// `rule` (rules of some groups, with `;` between), `granularity` (sorts, joined by `+`), `inexact`.
    pub(super) fn new(options: &mut Options) -> Result<PruneChannels, OptionError> {
        Ok(PruneChannels {
            budget: budget(options)?,
            table: options.take("table")?,
            criterion: options.take_or("score", Formula::default())?,
            seed: options.take_or("seed", 0)?,
            round: Rounding { multiple: options.take_or("round-to", 1)?, min_keep: options.take_or("min-keep", 1)? },
            target: options.take("target")?,
            max_ratio: options.take_or("max-ratio", Share(0.9))?.0,
            rules: options.take_or("rule", Rules(vec![]))?.0,
            granularity: options.take_or("granularity", Sorts(vec![]))?.0,
            inexact: options.take_or("inexact", false)?,
        })
    }
}

/// What the pass does and which options it takes, those of budgets from their table.
pub(super) static DOC: LazyLock<String> = LazyLock::new(|| {
    let usual = Budget::default();
    let option = |kind: &BudgetKind| match kind.name == usual.kind().name {
        true => usual.to_string().replace(' ', "="),
        false => kind.name.to_owned(),
    };
    let budgets: Vec<String> = BUDGETS.iter().filter(|kind| kind.takes_share()).map(option).collect();
    let others = "table score=l2 seed round-to target min-keep max-ratio rule granularity inexact";
    format!("cuts units until a budget is met {{{} {others}}}", budgets.join(" "))
});

/// The budget that is given; of several, one over the whole model.
fn budget(options: &mut Options) -> Result<Budget, OptionError> {
    let mut given = vec![];
    for kind in BUDGETS.iter().filter(|kind| kind.takes_share()) {
        let share = options.take::<Share>(kind.name)?;
        given.extend(share.and_then(|share| Budget::new(kind.name, share.0)));
    }
    let first = given.iter().find(|budget| budget.share().is_some()).or(given.first());
    Ok(first.copied().unwrap_or_default())
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
            target: self.target,
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
