//! `obs`: structured Optimal Brain Surgeon on what the consumers compute.
//!
//! With `H` the covariance of what a contraction reads (damped) and `W` its weights, removing the elements `S` costs
//! `tr(W_S (H⁻¹[S,S])⁻¹ W_Sᵀ)` if those that stay are refitted as well as they can be, which is what repair does
//! afterwards. Units are taken out one after the other, the cheapest first, and `W` and `H⁻¹` are updated: so two units
//! that tell the same are not both thought dispensable. A unit's score is what its removal adds to the error, summed
//! over all contractions that read it, each as a share of what it computes.
//! So scores are errors, and they compare between groups: a budget (`src/compress/plan/budget.rs`) divides them by what a unit
//! costs at the widths that the last round came to.

use super::elimination::{Block, energy, square};
use super::{Context, Criterion, ScoreError};
use crate::axes::Group;
use crate::contraction::{self, Contraction};
use crate::parallel;
use faer::Mat;

/// The error that remains after the best linear repair.
pub(super) const OBS: Criterion = Criterion {
    name: "obs",
    aliases: &["optimal-brain-surgeon"],
    about: "error of the consumers after the best refit, units taken out greedily",
    source: "Hassibi and Stork, Second Order Derivatives for Network Pruning: Optimal Brain Surgeon, 1993; \
             Kurtic et al., ZipLM, 2023 (arXiv 2302.04089)",
    needs_data: true,
    comparable: true,
    gradient: None,
    score,
};

/// Damping, as a share of the mean variance.
const DAMPING: f64 = 1e-2;

/// Units that go at once: a share of those that are left, so that long groups take no longer than they must.
const AT_ONCE: usize = 48;

/// Groups of so many units are worth a thread for each of their readers.
const MANY: usize = 512;

pub(super) fn score(context: &Context, group: &Group) -> Result<Vec<f64>, ScoreError> {
    let reads = |c: &&Contraction| context.axes().solver().leaves(c.view.var).contains(&group.leaf);
    let contractions: Vec<&Contraction> = context.measured.iter().flat_map(|m| &m.contractions).filter(reads).collect();
    let made = parallel::side_by_side(&contractions, |c| Reader::new(context, c, group));
    let mut readers: Vec<Reader> = made.into_iter().filter_map(Result::transpose).collect::<Result<_, _>>()?;
    if readers.is_empty() {
        return super::l2::unmeasured(context, group);
    }
    let mut left: Vec<usize> = (0..group.size).collect();
    let mut scores = vec![0.0; group.size];
    let mut dearest: f64 = 0.0;
    while left.len() > 1 {
        let cost = |unit: usize| readers.iter().map(|r| r.cost(unit)).sum::<f64>();
        let mut costs: Vec<(f64, usize)> = left.iter().map(|&u| (cost(u), u)).collect();
        costs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let going: Vec<(f64, usize)> = costs.into_iter().take((left.len() / AT_ONCE).max(1)).collect();
        for &(cost, unit) in &going {
            // What is taken out later costs no less, or the order would not be one.
            dearest = dearest.max(cost);
            scores[unit] = dearest;
        }
        let units: Vec<usize> = going.iter().map(|g| g.1).collect();
        match left.len() >= MANY {
            true => parallel::each_side_by_side(&mut readers, |r| r.remove(&units)),
            false => readers.iter_mut().for_each(|r| r.remove(&units)),
        }
        left.retain(|u| !units.contains(u));
    }
    left.into_iter().for_each(|last| scores[last] = dearest * 2.0 + f64::MIN_POSITIVE);
    Ok(scores)
}

/// A contraction that reads the group's units.
struct Reader {
    /// For each of the contraction's groups its share of the elements.
    blocks: Vec<Block>,
    /// The elements of each unit, as block and place in it.
    elements: Vec<Vec<(usize, usize)>>,
}

impl Reader {
    /// `None` if nothing was measured of the contraction, which reads the group.
    fn new(context: &Context, c: &Contraction, group: &Group) -> Result<Option<Reader>, ScoreError> {
        let Some(mut covariance) = context.measured.and_then(|m| m.stats.covariance(c)) else { return Ok(None) };
        let Some(weight) = context.analysis.weight(c.weight) else { return Ok(None) };
        let name = || context.graph().value_name(c.weight).to_owned();
        let weights = contraction::weights(c, &weight);
        let weights = weights.map_err(|error| ScoreError::Tensor { name: name(), error })?;
        let (n, depth) = (covariance.nrows(), c.depth());
        let mean = (0..n).map(|i| covariance[(i, i)]).sum::<f64>() / n.max(1) as f64;
        let products: Vec<Mat<f64>> = weights.iter().map(square).collect();
        let energy_of = |(g, product): (usize, &Mat<f64>)| energy(product, &covariance, g * depth);
        let energy: f64 = products.iter().enumerate().map(energy_of).sum();
        if energy <= 0.0 || mean <= 0.0 {
            return Ok(None);
        }
        let mut blocks = vec![];
        (0..n).for_each(|i| covariance[(i, i)] += DAMPING * mean);
        for (g, (weights, product)) in weights.into_iter().zip(products).enumerate() {
            // A group's outputs see nothing of another group's data.
            let damped = match c.groups {
                1 => std::mem::replace(&mut covariance, Mat::new()),
                _ => covariance.as_ref().submatrix(g * depth, g * depth, depth, depth).to_owned(),
            };
            let Some(block) = Block::new(damped, weights, product, energy) else { return Ok(None) };
            blocks.push(block);
        }
        let mut elements = vec![vec![]; group.size];
        for (element, unit) in context.axes().units_of(c.view.var, group.leaf).into_iter().enumerate() {
            if let Some(unit) = unit {
                elements[unit as usize].push((element / depth, element % depth));
            }
        }
        Ok(Some(Reader { blocks, elements }))
    }

    /// What the contraction gets wrong more once the unit is gone too.
    fn cost(&self, unit: usize) -> f64 {
        let parts = self.elements[unit].chunk_by(|a, b| a.0 == b.0);
        parts.map(|part| self.blocks[part[0].0].cost(part)).sum()
    }

    /// Takes units out: the others take over what they can.
    fn remove(&mut self, units: &[usize]) {
        let mut gone: Vec<(usize, usize)> = units.iter().flat_map(|&u| self.elements[u].iter().copied()).collect();
        gone.sort_unstable();
        gone.chunk_by(|a, b| a.0 == b.0).for_each(|part| self.blocks[part[0].0].remove(part));
    }
}
