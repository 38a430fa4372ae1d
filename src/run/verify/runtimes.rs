//! One model in both runtimes: where they do not agree, a difference between models says nothing that small.

use super::{Options, Role, VerifyError, feeds, runner_on};
use crate::compare::{Comparison, Difference};
use crate::feed::Feed;
use crate::ir::{Model, NodeId, ValueId};
use crate::oracle::{Outputs, Ran, Runner, Runtime, Setup};
use crate::passes;
use crate::widen::{widened, widened_feed};
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};

/// So many inner values are looked at in one run.
const PROBES: usize = 32;

/// What two runtimes make of one model.
#[derive(Clone, Debug, Serialize)]
pub struct Runtimes {
    pub between: [Ran; 2],
    /// The largest relative difference of any output.
    pub difference: f64,
    /// Whether that is within the tolerance.
    pub equal: bool,
    /// The call where it begins: what goes into it is the same, and what comes out is not. `None` where it is equal, or
    /// the runtimes can't be asked for inner values.
    pub node: Option<String>,
}

/// Runs a model in both runtimes on the same inputs, and finds where they part. Fails where one of them is not there, or
/// can't run the model.
pub fn runtimes(model: &Model, options: &Options) -> Result<Runtimes, VerifyError> {
    let whole = widened(&passes::inlined(model)).into_owned();
    let own = feeds(model, options)?;
    let feeds: Vec<Feed> = own.iter().map(|feed| widened_feed(feed).into_owned()).collect();
    let setups = [Runtime::Ort, Runtime::Tract].map(|runtime| Setup { runtime, ..options.setup.clone() });
    let pair = Pair { setups, tolerance: options.tolerance_of(model) };
    let runners = pair.runners(&whole, &feeds[0])?;
    let between = [runners[0].ran(), runners[1].ran()];
    let mut comparison = Comparison::default();
    let mut outputs = runners.iter().map(|r| r.run_all(&feeds).map_err(failed)).collect::<Result<Vec<_>, _>>()?;
    let (second, first) = (outputs.pop().unwrap_or_default(), outputs.pop().unwrap_or_default());
    let mut parted: Option<(usize, String)> = None;
    for (at, (first, second)) in first.iter().zip(&second).enumerate() {
        comparison.add(first, second)?;
        let differs = || pair.differing(first, second).into_iter().next();
        parted = parted.or_else(|| differs().map(|name| (at, name)));
    }
    let difference = comparison.finish().worst();
    let node = parted.and_then(|(at, name)| pair.begins(&whole, &feeds[at], &name));
    Ok(Runtimes { between, difference, equal: difference <= pair.tolerance, node })
}

/// Both runtimes, and how far apart they may be.
struct Pair {
    setups: [Setup; 2],
    tolerance: f64,
}

impl Pair {
    fn runners(&self, model: &Model, feed: &Feed) -> Result<[Runner; 2], VerifyError> {
        let [first, second] = &self.setups;
        let runner = |setup| runner_on(setup, model, Role::Alone, feed);
        Ok([runner(first)?, runner(second)?])
    }

    /// The values of these that differ, by name.
    fn differing(&self, first: &Outputs, second: &Outputs) -> Vec<String> {
        let mut comparison = Comparison::default();
        if comparison.add(first, second).is_err() {
            return vec![];
        }
        let differs =
            |d: &crate::compare::OutputDifference| Difference { outputs: vec![d.clone()] }.worst() > self.tolerance;
        comparison.finish().outputs.iter().filter(|d| differs(d)).map(|d| d.name.clone()).collect()
    }

    /// The call where the difference of a value begins. From what differs it goes to the earliest call before it that
    /// differs too, as far as some are looked at; the operands always are.
    fn begins(&self, model: &Model, feed: &Feed, name: &str) -> Option<String> {
        let graph = &model.graph;
        let order: HashMap<NodeId, usize> = graph.topological().into_iter().enumerate().map(|(i, n)| (n, i)).collect();
        let mut at = graph.values_by_name().get(name)?.node;
        loop {
            let mut before: Vec<NodeId> = ancestors(model, at).into_iter().collect();
            before.sort_unstable_by_key(|n| order.get(n));
            let every = before.len().div_ceil(PROBES).max(1);
            let operands = graph.operands(at).into_iter().flatten().map(|v| v.node);
            let mut probes: BTreeSet<NodeId> = before.iter().copied().step_by(every).collect();
            probes.extend(operands.filter(|n| before.contains(n)));
            let differing = self.differing_calls(model, feed, &probes)?;
            match differing.into_iter().min_by_key(|n| order.get(n)) {
                Some(earlier) => at = earlier,
                None => return Some(format!("{} `{}`", graph.call(at)?.qualified(), graph.label(at))),
            }
        }
    }

    /// The calls of these whose results differ.
    fn differing_calls(&self, model: &Model, feed: &Feed, calls: &BTreeSet<NodeId>) -> Option<Vec<NodeId>> {
        let values: Vec<ValueId> = calls.iter().flat_map(|&n| model.graph.results(n)).collect();
        let values: Vec<ValueId> = values.into_iter().filter(|v| !model.graph.value_name(*v).is_empty()).collect();
        let mut probed = model.clone();
        probed.graph.also_return(values.iter().copied());
        let [first, second] = self.runners(&probed, feed).ok()?;
        let differing = self.differing(&first.run(feed).ok()?, &second.run(feed).ok()?);
        let is_among = |v: &&ValueId| differing.iter().any(|name| name == model.graph.value_name(**v));
        Some(values.iter().filter(is_among).map(|v| v.node).collect())
    }
}

/// The calls outside of bodies that a call depends on.
fn ancestors(model: &Model, node: NodeId) -> BTreeSet<NodeId> {
    let graph = &model.graph;
    let (mut found, mut waiting) = (BTreeSet::new(), vec![node]);
    while let Some(node) = waiting.pop() {
        let makers = graph.operands(node).into_iter().flatten().map(|v| v.node);
        let calls = makers.filter(|&n| graph.call(n).is_some() && graph.region(n) == 0);
        waiting.extend(calls.filter(|&n| found.insert(n)));
    }
    found
}

fn failed(error: crate::oracle::OracleError) -> VerifyError {
    VerifyError::Oracle { which: Role::Alone, error }
}
