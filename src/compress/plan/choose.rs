//! The choice: scores and a budget become a plan.
//!
//! A ratio cuts every group by itself; where several labels share an axis (heads and their columns, say), the axis as a
//! whole loses the ratio, not each label of it. The other budgets are shares of the whole model to keep
//! ([`super::fill`]).

use super::fill::{self, Estimate};
use super::growth::Shared;
use super::rules::Rules;
use super::{Budget, GroupCut, GroupRule, Patterns, Plan, PlanError, VERSION, architecture};
use crate::analysis::Analysis;
use crate::autograd::Device;
use crate::axes::{Group, GroupId, Shape, Var, places};
use crate::cost::{Cost, OpenDims};
use crate::gradients::{GradientError, Gradients};
use crate::lossless::{self, Ranges};
use crate::machine::{EnergyModel, Prices, Table, TableError, grid};
use crate::ops::Granularity;
use crate::oracle::Setup;
use crate::parallel;
use crate::score::{Context, Formula, ScoreError};
use crate::stats::{Implied, Measured};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// Rounding of the axes that are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rounding {
    /// Axes keep a multiple of this length, where they had one (rounded up).
    pub multiple: usize,
    /// Groups keep at least this many units.
    pub min_keep: usize,
}

/// How units are chosen.
#[derive(Clone)]
pub struct Options {
    /// How much goes, or how much may stay.
    pub budget: Budget,
    /// What tells units that matter from those that don't.
    pub criterion: Formula,
    /// Seed of whatever the criterion draws at random.
    pub seed: u64,
    /// What the lengths of the cut axes are rounded to.
    pub round: Rounding,
    /// The largest share of its units that a group may lose under a budget over the whole model.
    pub max_ratio: f64,
    /// What holds for some groups alone.
    pub rules: Vec<GroupRule>,
    /// Only groups that reach a constant or node whose name fits one of these; all where there is none.
    pub include: Vec<String>,
    /// No group that reaches a constant or node whose name fits one of these.
    pub exclude: Vec<String>,
    /// No group of these.
    pub leave: Vec<GroupId>,
    /// Only groups of these sorts; all where there is none.
    pub granularity: Vec<Granularity>,
    /// Whether groups may be cut although what survives changes.
    pub inexact: bool,
    /// What shares are shares of; the model's own cost if not given.
    pub whole: Option<Cost>,
    /// Numbers for dimensions that the model leaves open, for counting costs.
    pub open: OpenDims,
    /// Whether units that go without loss go first, and between which numbers inputs lie then.
    pub lossless: Option<Ranges>,
    /// What was measured on samples, for criteria that ask for it.
    pub measured: Option<Arc<Measured>>,
    /// What was measured of gradients, for criteria that ask for it; those that need no samples measure it themselves.
    pub gradients: Option<Arc<Gradients>>,
    /// Where gradients are computed.
    pub device: Device,
    /// What pieces of the model cost on a machine, by width. Groups then keep no number of units at which the model
    /// costs as much as with more, whatever the budget counts.
    pub table: Option<Arc<Table>>,
    /// What a budget of energy counts by where the table has none.
    pub energy: EnergyModel,
    /// What runs the model, for criteria that try.
    pub setup: Setup,
}

impl Options {
    /// A budget and a criterion; everything else as on the command line.
    pub fn new(budget: Budget, criterion: impl Into<Formula>) -> Options {
        Options {
            budget,
            criterion: criterion.into(),
            seed: 0,
            round: Rounding { multiple: 1, min_keep: 1 },
            max_ratio: 0.9,
            rules: vec![],
            include: vec![],
            exclude: vec![],
            leave: vec![],
            granularity: vec![],
            inexact: false,
            whole: None,
            open: OpenDims::default(),
            lossless: Some(Ranges::default()),
            measured: None,
            gradients: None,
            device: Device::Cpu,
            table: None,
            energy: EnergyModel::default(),
            setup: Setup::default(),
        }
    }
}

/// Why no plan could be made.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say what each is.
pub enum ChooseError {
    #[error("scoring {group}: {error}")]
    Score { group: GroupId, error: Box<ScoreError> },
    #[error("the pattern `{pattern}` is not a glob: {error}")]
    Pattern { pattern: String, error: globset::Error },
    #[error("the pattern `{0}` fits no constant and no node; `secateur groups` lists what there is")]
    NoMatch(String),
    #[error(
        "a budget of {asked} can't be met: with every group cut as far as it may be, {floor:.1}% would be left; \
         allow more (`--max-ratio`, `--min-keep`, `--inexact`) or ask for less"
    )]
    Unreachable { asked: Budget, floor: f64 },
    #[error(
        "a budget of {asked} can't be met: with every group cut as far as it may be, {floor:.1}% would be left, most of \
         it in {nodes}; allow more (`--max-ratio`, `--min-keep`, `--inexact`) or ask for less"
    )]
    Floor { asked: Budget, floor: f64, nodes: String },
    #[error("a budget of {0} needs a table of what the model's nodes take")]
    NoTable(Budget),
    #[error(transparent)]
    Table(#[from] TableError),
    #[error("gradients: {0}")]
    Gradients(Box<GradientError>),
}

impl From<GradientError> for ChooseError {
    fn from(error: GradientError) -> ChooseError {
        ChooseError::Gradients(Box::new(error))
    }
}

/// Chooses the units that go.
pub fn choose(analysis: &Analysis, options: &Options) -> Result<Plan, ChooseError> {
    let ranking = Ranking::new(analysis, options)?;
    ranking.plan(options.budget, &ranking.level())
}

/// All units that may go, scored: what plans for several budgets are made from.
pub struct Ranking<'a> {
    analysis: &'a Analysis,
    options: &'a Options,
    ranked: Vec<Ranked<'a>>,
    shared: Shared<'a>,
    /// By the table of the options.
    prices: Option<Prices<'a>>,
}

impl<'a> Ranking<'a> {
    /// Scores the units of all groups that the options let in.
    pub fn new(analysis: &'a Analysis, options: &'a Options) -> Result<Ranking<'a>, ChooseError> {
        let implied = match &options.measured {
            None if options.criterion.implies() => Some(Implied::new(analysis).measured),
            _ => None,
        };
        let measured = options.measured.as_deref().or(implied.as_ref());
        let weighed = match &options.gradients {
            None => Gradients::wanted(options.criterion.wants(), analysis, None, options.seed, options.device, &|| ())?,
            known => known.clone(),
        };
        let context = Context {
            seed: options.seed,
            measured,
            gradients: weighed.as_deref(),
            ..Context::new(analysis, &options.setup)
        };
        let lossless = options.lossless.as_ref().map(|ranges| lossless::find(analysis, ranges));
        // What needs no samples looks at weights alone, and groups do not depend on one another. What is implied takes much
        // memory for each.
        let threads = if options.criterion.needs_data() || measured.is_some() { 1 } else { parallel::cores() };
        Ranking::by(analysis, options, threads, |group| {
            let scores = match options.budget.is_lossless() {
                true => Ok(vec![1.0; group.size]),
                false => options.criterion.score(&context, group),
            };
            let mut scores = scores.map_err(|error| ChooseError::Score { group: group.id, error: Box::new(error) })?;
            let free = lossless.as_ref().map(|l| l.redundant(group)).unwrap_or_default();
            // Lower than any score, so that no others go before them.
            free.iter().for_each(|&unit| scores[unit] = f64::NEG_INFINITY);
            Ok((scores, free.len()))
        })
    }

    /// `score` tells the scores of a group's units, and how many of them go without loss.
    fn by(
        analysis: &'a Analysis,
        options: &'a Options,
        threads: usize,
        score: impl Fn(&Group) -> Result<(Vec<f64>, usize), ChooseError> + Sync,
    ) -> Result<Ranking<'a>, ChooseError> {
        let table = options.table.as_deref();
        let prices = table.map(|t| Prices::new(analysis, &options.open, t)).transpose()?;
        let mut ranked: Vec<Ranked> = vec![];
        let candidates = candidates(analysis, options)?;
        let scored = parallel::side_by_side_on(threads, &candidates, |(group, _)| score(group));
        for ((group, rule), scored) in candidates.into_iter().zip(scored) {
            let (scores, free) = scored?;
            let mut group = Ranked::new(analysis, options, (group, &rule), scores, free);
            group.steps = prices.as_ref().map_or_else(Vec::new, |p| group.steps_of(p));
            ranked.push(group);
        }
        Ok(Ranking { analysis, options, ranked, shared: Shared::new(analysis), prices })
    }

    /// The groups that may lose units.
    pub fn groups(&self) -> impl Iterator<Item = &'a Group> {
        self.ranked.iter().map(|r| r.group)
    }

    /// Factors that change no score, one for each group.
    pub fn level(&self) -> Vec<f64> {
        vec![1.0; self.ranked.len()]
    }

    /// The plan for a budget, with the scores of each group times a factor: above 1, it loses less than its scores say.
    ///
    /// No cut makes the model larger, unless the budget can't be met without it.
    pub fn plan(&self, budget: Budget, tilt: &[f64]) -> Result<Plan, ChooseError> {
        let (analysis, mut tilt) = (self.analysis, tilt.to_vec());
        let mut ranked = Cow::Borrowed(&self.ranked[..]);
        let mut counts = self.counts(&ranked, budget, &tilt)?;
        loop {
            let cuts: Vec<(Var, Vec<usize>)> = ranked.iter().zip(&counts).map(|(r, &n)| r.kept(n)).collect();
            let growing = self.shared.growing(&cuts);
            if growing.is_empty() {
                break;
            }
            let others = (0..ranked.len()).filter(|at| !growing.contains(at));
            let (fewer, factors): (Vec<Ranked>, Vec<f64>) = others.map(|at| (ranked[at].clone(), tilt[at])).unzip();
            let Ok(again) = self.counts(&fewer, budget, &factors) else { break };
            (ranked, tilt, counts) = (Cow::Owned(fewer), factors, again);
        }
        let cut = |(group, &keep): (&Ranked, &usize)| (keep < group.group.size).then(|| group.cut(analysis, keep));
        Ok(Plan {
            version: VERSION,
            architecture: architecture(analysis),
            criterion: self.options.criterion.to_string(),
            budget: budget.to_string(),
            options: String::new(),
            layers: vec![],
            cuts: ranked.iter().zip(&counts).filter_map(cut).collect(),
            lossless: self.options.lossless.clone(),
        })
    }

    /// How many units of each of these groups stay.
    fn counts(&self, ranked: &[Ranked], budget: Budget, tilt: &[f64]) -> Result<Vec<usize>, ChooseError> {
        let mut counts = match budget.ratio_of_groups() {
            Some(ratio) => by_ratio(self.analysis, ranked, ratio),
            None => fill::fill(self.analysis, self.options, ranked, self.prices.as_ref(), budget, tilt)?,
        };
        // What is to lose nothing is left as it is.
        let cuts = budget.is_lossless() || counts.iter().zip(ranked).any(|(&n, r)| n < r.group.size);
        for (count, group) in counts.iter_mut().zip(ranked).filter(|(_, r)| cuts && r.free > 0) {
            *count = group.allowed(group.group.size - group.free).min(*count);
        }
        Ok(counts)
    }
}

/// What a plan comes to, in what the options' budget counts; a ratio counts multiply-accumulates.
pub fn estimate(analysis: &Analysis, options: &Options, plan: &Plan) -> Result<Estimate, EstimateError> {
    let ranking = Ranking::by(analysis, options, 1, |group| Ok((vec![0.0; group.size], 0)))?;
    Ok(fill::estimate(analysis, options, &ranking.ranked, ranking.prices.as_ref(), &plan.keep_sets(analysis)?)?)
}

/// Why it can't be said what a plan comes to.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say what each is.
pub enum EstimateError {
    #[error(transparent)]
    Choose(#[from] ChooseError),
    #[error(transparent)]
    Plan(#[from] PlanError),
}

/// The groups that the options let in.
fn candidates<'a>(analysis: &'a Analysis, options: &Options) -> Result<Vec<(&'a Group, GroupRule)>, ChooseError> {
    let mut patterns = Patterns::new(&options.include, &options.exclude)?;
    let mut rules = Rules::new(&options.rules)?;
    let mut chosen = vec![];
    for group in &analysis.groups.all {
        let names = names(analysis, group);
        let (wanted, rule) = (patterns.let_in(&names), rules.of(&names));
        let sort = options.granularity.is_empty() || options.granularity.contains(&group.kind);
        let left = options.leave.contains(&group.id);
        if wanted && sort && !left && group.is_free() && (group.inexact.is_empty() || options.inexact) {
            chosen.push((group, rule));
        }
    }
    patterns.finish()?;
    rules.finish()?;
    Ok(chosen)
}

/// The names of the constants that a group reaches and of the nodes that read them.
fn names(analysis: &Analysis, group: &Group) -> Vec<String> {
    let graph = &analysis.model.graph;
    let mut names = vec![];
    for member in &group.members {
        if let Some(c) = graph.constant(member.constant.node) {
            names.push(c.source().unwrap_or(&c.name).to_owned());
        }
        names.extend(graph.uses(member.constant).into_iter().map(|u| graph.label(u.node).to_owned()));
    }
    names
}

/// A group with its units in order of score.
#[derive(Clone)]
pub(super) struct Ranked<'a> {
    pub group: &'a Group,
    pub scores: Vec<f64>,
    /// Units, lowest score first; ties by index.
    pub order: Vec<usize>,
    /// The fewest units that may stay, and what the number that stays is a multiple of.
    floor: usize,
    step: usize,
    /// The only numbers of units that may stay, ascending; any where there is none.
    pub steps: Vec<usize>,
    /// The share of its units that the group loses whatever the budget, and the most that it may lose under one.
    pub ratio: Option<f64>,
    pub max_ratio: f64,
    /// How many numbers the group reaches.
    reach: usize,
    /// How many units go without loss.
    free: usize,
}

impl<'a> Ranked<'a> {
    fn new(
        analysis: &Analysis,
        options: &Options,
        (group, rule): (&'a Group, &GroupRule),
        scores: Vec<f64>,
        free: usize,
    ) -> Ranked<'a> {
        let mut order: Vec<usize> = (0..group.size).collect();
        order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(a.cmp(&b)));
        let constants = group.members.iter().filter_map(|m| analysis.model.graph.tensor(m.constant));
        let reach = constants.map(crate::ir::Tensor::count).sum();
        let step = step(analysis, group, rule.round_to.unwrap_or(options.round.multiple));
        // A rule's bounds hold under any budget.
        let kept = |lost: f64| (group.size as f64 * (1.0 - lost) - 1e-9).ceil() as usize;
        let spared = if rule.ratio == Some(0.0) { group.size } else { rule.max_ratio.map_or(0, kept) };
        let floor = rule.min_keep.unwrap_or(options.round.min_keep).max(group.floor).max(spared);
        let max_ratio = rule.max_ratio.unwrap_or(options.max_ratio);
        Ranked { group, scores, order, floor, step, steps: vec![], ratio: rule.ratio, max_ratio, reach, free }
    }

    /// The numbers of units worth keeping: those of the grid that are allowed, and cost less than all wider ones.
    fn steps_of(&self, prices: &Prices) -> Vec<usize> {
        let mut widths: Vec<usize> = grid(self.group.size).into_iter().map(|n| self.allowed(n)).collect();
        widths.dedup();
        prices.steps(self.group.leaf, &widths)
    }

    /// The number of units to keep that is nearest above `wanted` and allowed.
    pub(super) fn allowed(&self, wanted: usize) -> usize {
        let rounded = wanted.max(1).next_multiple_of(self.step);
        let allowed = rounded.max(self.floor).min(self.group.size);
        match &self.steps[..] {
            [] => allowed,
            steps => steps.iter().copied().find(|&n| n >= allowed).unwrap_or(self.group.size),
        }
    }

    /// The leaf, and its units that stay where so many do.
    fn kept(&self, keep: usize) -> (Var, Vec<usize>) {
        let mut units = self.order[self.group.size - keep..].to_vec();
        units.sort_unstable();
        (self.group.leaf, units)
    }

    fn cut(&self, analysis: &Analysis, keep: usize) -> GroupCut {
        let mut remove = self.order[..self.group.size - keep].to_vec();
        remove.sort_unstable();
        let places = places(&analysis.model, self.group);
        GroupCut { group: self.group.id.to_string(), units: self.group.size, remove, places }
    }
}

/// The factors beside a leaf on one of its axes: what the leaf's units are multiplied with.
fn cofactors(analysis: &Analysis, var: Var, leaf: Var) -> Option<Vec<Var>> {
    let solver = analysis.axes.solver();
    match solver.shape(var) {
        Shape::Leaf => (solver.find(var) == leaf).then(Vec::new),
        Shape::Sum(parts) => parts.into_iter().find_map(|p| cofactors(analysis, p, leaf)),
        Shape::Product(parts) => {
            let at = parts.iter().position(|&p| solver.leaves(p).contains(&leaf))?;
            let mut inside = cofactors(analysis, parts[at], leaf)?;
            inside.extend(parts.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, &p)| p));
            Some(inside)
        }
    }
}

fn member_vars<'a>(analysis: &'a Analysis, group: &'a Group) -> impl Iterator<Item = Var> + 'a {
    group.members.iter().filter_map(|m| analysis.axes.of(m.constant)?.get(m.axis).copied())
}

/// What the number of kept units must be a multiple of, so that every axis keeps a multiple of `multiple`.
fn step(analysis: &Analysis, group: &Group, multiple: usize) -> usize {
    let mut step = 1;
    for var in member_vars(analysis, group) {
        let Some(others) = cofactors(analysis, var, group.leaf) else { continue };
        let stride: usize = others.iter().filter_map(|&v| analysis.axes.solver().size(v).size()).product();
        let needed = multiple.max(1) / gcd(multiple.max(1), stride.max(1));
        step = step / gcd(step, needed) * needed;
    }
    step
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Units to keep, group by group: every axis loses the ratio. Groups that reach most go first; what shares an axis
/// with them loses only what is missing there.
fn by_ratio(analysis: &Analysis, ranked: &[Ranked], ratio: f64) -> Vec<usize> {
    let mut counts: Vec<usize> = ranked.iter().map(|r| r.group.size).collect();
    let mut left: HashMap<Var, f64> = HashMap::new();
    let mut order: Vec<usize> = (0..ranked.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(ranked[i].reach), i));
    for i in order {
        let group = ranked[i].group;
        let ratio = ranked[i].ratio.unwrap_or(ratio);
        let mut target: f64 = 1.0 - ratio;
        for var in member_vars(analysis, group) {
            let Some(others) = cofactors(analysis, var, group.leaf) else { continue };
            let rest: f64 = others.iter().map(|&v| share_left(analysis, v, &left)).product();
            target = target.max((1.0 - ratio) / rest);
        }
        let wanted = (group.size as f64 * target.min(1.0) - 1e-9).ceil() as usize;
        counts[i] = ranked[i].allowed(wanted);
        left.insert(group.leaf, counts[i] as f64 / group.size as f64);
    }
    counts
}

/// The share of an axis that is left so far.
fn share_left(analysis: &Analysis, var: Var, left: &HashMap<Var, f64>) -> f64 {
    let solver = analysis.axes.solver();
    match solver.shape(var) {
        Shape::Leaf => left.get(&solver.find(var)).copied().unwrap_or(1.0),
        Shape::Product(parts) => parts.into_iter().map(|p| share_left(analysis, p, left)).product(),
        Shape::Sum(parts) => {
            let size = |v: Var| solver.size(v).size().unwrap_or(1) as f64;
            let whole: f64 = parts.iter().map(|&p| size(p)).sum();
            parts.iter().map(|&p| size(p) * share_left(analysis, p, left)).sum::<f64>() / whole.max(1.0)
        }
    }
}
