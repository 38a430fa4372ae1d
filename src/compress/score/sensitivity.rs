//! `sensitivity`: what the model's outputs say when units go.
//!
//! A unit's score is the relative error of the outputs once it is gone, and with it all units of its group that rank
//! below it. So under a budget over the whole model every group is cut until it costs the outputs as much as the
//! others. The model is run, and that is dear; so units are tried one by one only in groups of up to [`ONE_BY_ONE`].
//! Longer ones are ranked by what `wanda` says, cut at a few ratios, and between these the error is interpolated:
//! a group takes [`RATIOS`] runs, or two for each of its units, on the first few samples.

use super::{Context, Criterion, ScoreError, l2, wanda};
use crate::axes::Group;
use crate::sensitivity::{Ablation, RATIOS};

/// Relative error of the outputs.
pub(super) const SENSITIVITY: Criterion = Criterion {
    name: "sensitivity",
    aliases: &[],
    about: "error of the model's outputs once the unit and all below it are gone; slow, a few runs for each group",
    source: "Li et al., Pruning Filters for Efficient ConvNets, 2017 (arXiv 1608.08710), section 3.2",
    needs_data: true,
    comparable: true,
    gradient: None,
    score,
};

/// Groups of up to so many units are ranked by trying each.
const ONE_BY_ONE: usize = 16;

fn score(context: &Context, group: &Group) -> Result<Vec<f64>, ScoreError> {
    let Some(measured) = context.measured.filter(|m| !m.few.is_empty()) else {
        return l2::unmeasured(context, group);
    };
    let ablation = Ablation::new(context.analysis, &measured.few, context.setup)?;
    let most = group.size - group.floor.clamp(1, group.size);
    let (ranks, counts): (Vec<f64>, Vec<usize>) = if group.size <= ONE_BY_ONE {
        let alone: Result<Vec<f64>, _> = (0..group.size).map(|unit| ablation.without(group, &[unit])).collect();
        (alone?, (1..=most).collect())
    } else {
        let counts = RATIOS.map(|ratio| (ratio * group.size as f64).round() as usize);
        (wanda::WANDA.score(context, group)?, counts.into_iter().filter(|n| (1..=most).contains(n)).collect())
    };
    let order = crate::sensitivity::ascending(&ranks);
    let mut levels = vec![(0, 0.0)];
    for count in counts {
        let error = ablation.without(group, &order[..count])?;
        // What goes later costs a little more, or the order would not be one.
        let last = levels.last().map_or(0.0, |l: &(usize, f64)| l.1);
        levels.push((count, error.max(last * (1.0 + 1e-6))));
    }
    let mut scores = vec![0.0; group.size];
    order.into_iter().enumerate().for_each(|(rank, unit)| scores[unit] = interpolated(&levels, rank + 1));
    Ok(scores)
}

/// The error with `count` units gone, from those that were tried. Beyond the last it grows on.
fn interpolated(levels: &[(usize, f64)], count: usize) -> f64 {
    let above = levels.iter().position(|l| l.0 >= count).unwrap_or(levels.len() - 1).max(1);
    let &[.., (a, x), (b, y)] = &levels[..=above.min(levels.len() - 1)] else { return count as f64 };
    x + (y - x).max(f64::MIN_POSITIVE) * (count - a) as f64 / (b - a) as f64
}

#[cfg(test)]
mod tests {
    use super::interpolated;

    #[test]
    fn between_two_trials_the_error_is_interpolated() {
        let levels = [(0, 0.0), (2, 0.5), (4, 1.5)];
        let errors: Vec<f64> = (1..=5).map(|n| interpolated(&levels, n)).collect();
        assert_eq!(errors, [0.25, 0.5, 1.0, 1.5, 2.0]);
        assert_eq!(interpolated(&[(0, 0.0)], 3), 3.0);
    }
}
