//! Search: the allocation of a budget, refined on the real, pruned and repaired model.
//!
//! The choice is by errors of single contractions, which say nothing of what the outputs make of them. Here budget
//! moves between groups: the scores of a few groups, of the best allocation so far or of one of the next best, are
//! multiplied by random factors (an evolution without crossing), and the choice fills the budget again. Of many
//! such offspring the one is tried of which a [`Surrogate`] expects most. The first trial is the choice itself, and it
//! stays if nothing is better.

use super::surrogate::Surrogate;
use super::{SearchError, Trial};
use crate::feed;
use crate::plan::{Budget, Plan, Ranking};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::Serialize;
use std::collections::HashSet;

/// What a search came to.
#[derive(Clone, Debug, Serialize)]
pub struct AllocationSearch {
    /// The first is the choice as it was.
    pub trials: Vec<Trial>,
    /// The one with the least loss.
    pub best: usize,
    /// The loss before and after.
    pub from: f64,
    /// The loss of the best trial.
    pub to: f64,
}

/// How many offspring the surrogate picks from.
const OFFSPRING: usize = 32;

/// How many of the best allocations have offspring.
const PARENTS: usize = 3;

/// About how many groups change at once, and by how much: the deviation of their factors' logarithms.
const GROUPS: usize = 3;
const STRENGTH: f64 = 1.0;

/// An allocation that was tried.
struct Member {
    /// Logarithms of the factors of each group's scores.
    tilt: Vec<f64>,
    /// Logarithms of the share that each group keeps.
    kept: Vec<f64>,
    loss: f64,
}

/// Makes `count` trials of allocations of a budget, beside the choice itself.
pub fn search_allocation(
    ranking: &Ranking,
    budget: Budget,
    (count, seed): (usize, u64),
    tried: &dyn Fn(Budget, Plan) -> Result<Trial, SearchError>,
    done: &dyn Fn(),
) -> Result<AllocationSearch, SearchError> {
    let mut rng = RandomSteps(ChaCha8Rng::seed_from_u64(seed));
    let plan = ranking.plan(budget, &ranking.level())?;
    let mut seen = HashSet::from([kept(ranking, &plan).map(f64::to_bits).collect::<Vec<u64>>()]);
    let start = Member { tilt: vec![0.0; ranking.level().len()], kept: kept(ranking, &plan).collect(), loss: 0.0 };
    let first = tried(budget, plan)?;
    let mut members = vec![Member { loss: first.score.loss(), ..start }];
    let mut trials = vec![first];
    done();
    for _ in 0..count {
        if let Some((plan, member)) = offspring(ranking, budget, &members, &seen, &mut rng)? {
            seen.insert(member.kept.iter().copied().map(f64::to_bits).collect());
            let trial = tried(budget, plan)?;
            members.push(Member { loss: trial.score.loss(), ..member });
            trials.push(trial);
        }
        done();
    }
    let best = ranks(&members)[0];
    Ok(AllocationSearch { trials, best, from: members[0].loss, to: members[best].loss })
}

/// The most promising of many allocations that were not tried; `None` where all were.
fn offspring(
    ranking: &Ranking,
    budget: Budget,
    members: &[Member],
    seen: &HashSet<Vec<u64>>,
    rng: &mut RandomSteps,
) -> Result<Option<(Plan, Member)>, SearchError> {
    let points: Vec<Vec<f64>> = members.iter().map(|m| m.kept.clone()).collect();
    // A model that is broken says no more than that it is bad.
    let worst = members.iter().map(|m| m.loss).filter(|l| l.is_finite()).fold(0.0, f64::max);
    let values: Vec<f64> = members.iter().map(|m| if m.loss.is_finite() { m.loss } else { worst }).collect();
    let surrogate = Surrogate::new(&points, &values);
    let parents = ranks(members);
    let mut best: Option<(f64, Plan, Member)> = None;
    for turn in 0..OFFSPRING {
        let parent = &members[parents[turn % parents.len().min(PARENTS)]];
        let tilt = rng.changed(&parent.tilt);
        let factors: Vec<f64> = tilt.iter().map(|t| t.exp()).collect();
        let plan = ranking.plan(budget, &factors)?;
        let kept: Vec<f64> = kept(ranking, &plan).collect();
        if seen.contains(&kept.iter().copied().map(f64::to_bits).collect::<Vec<u64>>()) {
            continue;
        }
        let hope = surrogate.as_ref().map_or(0.0, |s| s.improvement(&kept));
        if best.as_ref().is_none_or(|b| hope > b.0) {
            best = Some((hope, plan, Member { tilt, kept, loss: f64::INFINITY }));
        }
    }
    Ok(best.map(|(_, plan, member)| (plan, member)))
}

/// The logarithm of the share of its units that each group keeps.
fn kept<'a>(ranking: &'a Ranking, plan: &'a Plan) -> impl Iterator<Item = f64> + 'a {
    ranking.groups().map(|group| {
        let label = group.id.to_string();
        let gone = plan.cuts.iter().find(|c| c.group == label).map_or(0, |c| c.remove.len());
        ((group.size - gone) as f64 / group.size as f64).ln()
    })
}

/// The places of the members, the best first.
fn ranks(members: &[Member]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by(|&a, &b| members[a].loss.total_cmp(&members[b].loss).then(a.cmp(&b)));
    order
}

/// Random changes of an allocation.
struct RandomSteps(ChaCha8Rng);

impl RandomSteps {
    /// A number from 0 to 1.
    fn uniform(&mut self) -> f64 {
        feed::uniform(&mut self.0)
    }

    /// A number from the standard normal distribution, nearly: the sum of twelve uniform ones.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }

    /// The same with a few numbers changed, one at least.
    fn changed(&mut self, numbers: &[f64]) -> Vec<f64> {
        let n = numbers.len().max(1);
        let sure = (self.uniform() * n as f64) as usize;
        let share = GROUPS as f64 / n as f64;
        let change = |(i, &x): (usize, &f64)| {
            let step = STRENGTH * self.normal();
            if i == sure || self.uniform() < share { x + step } else { x }
        };
        numbers.iter().enumerate().map(change).collect()
    }
}
