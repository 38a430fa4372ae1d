//! What the contractions that read a group were measured to read of it.

use super::{Context, ScoreError, l2, normalize};
use crate::axes::Group;
use crate::contraction::{self, Contraction};
use crate::stats::{Moments, Stats};

/// A contraction that reads the group's units, and what was measured there.
pub(super) struct Reading<'a> {
    context: &'a Context<'a>,
    pub stats: &'a Stats,
    pub contraction: &'a Contraction,
    pub moments: Moments,
    /// The unit of each element that is read.
    units: Vec<Option<u32>>,
}

/// Sums over the contractions that read the group what `f` says of each element that they read. Each contraction's
/// numbers are scaled to mean 1, so that none drowns the others. Where nothing was measured, norms of weights.
pub(super) fn over_readings(
    context: &Context,
    group: &Group,
    f: impl Fn(&Reading) -> Result<Vec<f64>, ScoreError>,
) -> Result<Vec<f64>, ScoreError> {
    let readings = readings(context, group);
    if readings.is_empty() {
        return (l2::L2.score)(context, group);
    }
    let mut total = vec![0.0; group.size];
    for reading in &readings {
        let mut mine = vec![0.0; group.size];
        for (value, unit) in f(reading)?.into_iter().zip(&reading.units) {
            if let Some(u) = unit {
                mine[*u as usize] += value;
            }
        }
        normalize(&mut mine);
        total.iter_mut().zip(&mine).for_each(|(t, m)| *t += m);
    }
    Ok(total)
}

fn readings<'a>(context: &'a Context, group: &Group) -> Vec<Reading<'a>> {
    let Some(measured) = context.measured else { return vec![] };
    let stats = &measured.stats;
    let reading = |contraction: &'a Contraction| {
        let axes = context.axes();
        if !axes.solver().leaves(contraction.view.var).contains(&group.leaf) {
            return None;
        }
        let units = axes.units_of(contraction.view.var, group.leaf);
        Some(Reading { context, stats, contraction, moments: stats.moments(contraction)?, units })
    };
    measured.contractions.iter().filter_map(reading).collect()
}

impl Reading<'_> {
    /// `E[x²]` of each element.
    pub(super) fn energy(&self) -> Vec<f64> {
        let Moments { count, product, .. } = &self.moments;
        (0..product.nrows()).map(|i| product[(i, i)] / count.max(1.0)).collect()
    }

    /// The variance of each element.
    pub(super) fn variance(&self) -> Vec<f64> {
        let means = self.moments.means().0;
        self.energy().into_iter().zip(means).map(|(e, m)| (e - m * m).max(0.0)).collect()
    }

    /// The sum of `f` over the weights that each element is multiplied with.
    pub(super) fn weights(&self, f: impl Fn(f64) -> f64) -> Result<Vec<f64>, ScoreError> {
        let none = || vec![0.0; self.contraction.view.length];
        let weight = self.contraction.weight;
        let Some(tensor) = self.context.analysis.weight(weight) else { return Ok(none()) };
        let sums = contraction::column_sums(self.contraction, &tensor, f);
        sums.map_err(|error| ScoreError::Tensor { name: self.context.graph().value_name(weight).to_owned(), error })
    }
}
