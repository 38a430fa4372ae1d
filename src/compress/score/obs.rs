//! `obs`: structured Optimal Brain Surgeon on what the consumers compute.
//!
//! With `H` the covariance of what a contraction reads (damped) and `W` its weights, removing the elements `S` costs
//! `tr(W_S (H⁻¹[S,S])⁻¹ W_Sᵀ)` if those that stay are refitted as well as they can be, which is what repair does
//! afterwards. Units are taken out one after the other, the cheapest first, and `W` and `H⁻¹` are updated: so two units
//! that tell the same are not both thought dispensable. A unit's score is what its removal adds to the error, summed
//! over all contractions that read it, each as a share of what it computes.
//! So scores are errors, and they compare between groups: a budget (`src/compress/plan/budget.rs`) divides them by what a unit
//! costs at the widths that the last round came to.

use super::{Context, Criterion, ScoreError};
use crate::axes::Group;
use crate::contraction::{self, Contraction};
use faer::linalg::matmul::matmul;
use faer::linalg::solvers::{DenseSolveCore, Solve};
use faer::{Accum, Mat, Par, Side};

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

pub(super) fn score(context: &Context, group: &Group) -> Result<Vec<f64>, ScoreError> {
    let mut readers = vec![];
    for contraction in context.measured.map_or(&[][..], |m| &m.contractions) {
        readers.extend(Reader::new(context, contraction, group)?);
    }
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
        readers.iter_mut().for_each(|r| r.remove(&units));
        left.retain(|u| !units.contains(u));
    }
    left.into_iter().for_each(|last| scores[last] = dearest * 2.0 + f64::MIN_POSITIVE);
    Ok(scores)
}

/// A contraction that reads the group's units.
struct Reader {
    /// The elements of each unit.
    elements: Vec<Vec<usize>>,
    /// `H⁻¹` and `WᵀW`, both over all elements; those of removed ones are zero.
    inverse: Mat<f64>,
    importance: Mat<f64>,
}

impl Reader {
    /// `None` if the contraction does not read the group, or nothing was measured of it.
    fn new(context: &Context, c: &Contraction, group: &Group) -> Result<Option<Reader>, ScoreError> {
        let Some(moments) = context.measured.and_then(|m| m.stats.moments(c)) else { return Ok(None) };
        if !context.axes().solver().leaves(c.view.var).contains(&group.leaf) {
            return Ok(None);
        }
        let mut elements = vec![vec![]; group.size];
        for (element, unit) in context.axes().units_of(c.view.var, group.leaf).into_iter().enumerate() {
            if let Some(unit) = unit {
                elements[unit as usize].push(element);
            }
        }
        let Some(weight) = context.analysis.weight(c.weight) else { return Ok(None) };
        let name = || context.graph().value_name(c.weight).to_owned();
        let importance = contraction::importance(c, &weight);
        let importance = importance.map_err(|error| ScoreError::Tensor { name: name(), error })?;
        let (covariance, depth) = (moments.covariance(), c.depth());
        let n = covariance.nrows();
        let energy: f64 = (0..n).map(|i| (0..n).map(|j| importance[(i, j)] * covariance[(j, i)]).sum::<f64>()).sum();
        let mean = (0..n).map(|i| covariance[(i, i)]).sum::<f64>() / n.max(1) as f64;
        if energy <= 0.0 || mean <= 0.0 {
            return Ok(None);
        }
        let damped = Mat::from_fn(n, n, |i, j| match i / depth == j / depth {
            true => covariance[(i, j)] + if i == j { DAMPING * mean } else { 0.0 },
            // A group's outputs see nothing of another group's data.
            false => 0.0,
        });
        let Ok(llt) = damped.llt(Side::Lower) else { return Ok(None) };
        let importance = Mat::from_fn(n, n, |i, j| importance[(i, j)] / energy);
        Ok(Some(Reader { elements, inverse: llt.inverse(), importance }))
    }

    /// What the contraction gets wrong more once the unit is gone too.
    fn cost(&self, unit: usize) -> f64 {
        match self.elements[unit][..] {
            [one] => self.importance[(one, one)] / self.inverse[(one, one)].max(f64::MIN_POSITIVE),
            ref some => {
                let inner = |m: &Mat<f64>| Mat::from_fn(some.len(), some.len(), |i, j| m[(some[i], some[j])]);
                let (inverse, importance) = (inner(&self.inverse), inner(&self.importance));
                match inverse.llt(Side::Lower) {
                    Ok(llt) => {
                        let solved = llt.solve(&importance);
                        (0..some.len()).map(|i| solved[(i, i)]).sum()
                    }
                    Err(_) => 0.0,
                }
            }
        }
    }

    /// Takes units out: the others take over what they can.
    fn remove(&mut self, units: &[usize]) {
        let gone: Vec<usize> = units.iter().flat_map(|&u| self.elements[u].iter().copied()).collect();
        let (n, m) = (self.inverse.nrows(), gone.len());
        let inner = Mat::from_fn(m, m, |i, j| self.inverse[(gone[i], gone[j])]);
        let rows = Mat::from_fn(m, n, |i, j| self.inverse[(gone[i], j)]);
        let Ok(llt) = inner.llt(Side::Lower) else { return };
        let taken: Mat<f64> = llt.solve(&rows);
        // W' = W - W[:, gone] T, so WᵀW' = WᵀW - Q T - Tᵀ Qᵀ + Tᵀ Q[gone] T with Q = WᵀW[:, gone].
        let columns = Mat::from_fn(n, m, |i, j| self.importance[(i, gone[j])]);
        let core = Mat::from_fn(m, m, |i, j| self.importance[(gone[i], gone[j])]);
        let half =
            &columns - Mat::from_fn(n, m, |i, j| 0.5 * (0..m).map(|k| taken[(k, i)] * core[(k, j)]).sum::<f64>());
        let (q, h) = (self.importance.as_mut(), self.inverse.as_mut());
        matmul(h, Accum::Add, rows.transpose(), taken.as_ref(), -1.0, Par::Seq);
        let mut change = Mat::zeros(n, n);
        matmul(change.as_mut(), Accum::Replace, half.as_ref(), taken.as_ref(), 1.0, Par::Seq);
        let mut q = q;
        for j in 0..n {
            for i in 0..n {
                q[(i, j)] -= change[(i, j)] + change[(j, i)];
            }
        }
        for &g in &gone {
            for i in 0..n {
                (q[(g, i)], q[(i, g)]) = (0.0, 0.0);
            }
        }
    }
}
