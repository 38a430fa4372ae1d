//! `lamp`: how much of what still reads a group a unit is, by the weights that read it.
//!
//! A contraction that reads a unit multiplies it with some of its weights; the squared norm of these, as a share of those of
//! all units that stay, says what part of its sum would go, if units are alike in size. Units go in the order of these
//! shares, summed over all contractions that read the group, and each share is of what is left then: the last units of a group
//! are dear, however small their weights are. So scores compare between groups, and a budget divides them by what a unit
//! costs. The weights that make a unit say little of it: a normalization that was folded into them divided by the unit's spread.

use super::{Context, Criterion, ScoreError, over_slices};
use crate::axes::Group;
use crate::contraction::{self, Contraction};

/// The share of what is left that reads the unit.
pub(super) const LAMP: Criterion = Criterion {
    name: "lamp",
    aliases: &["layer-adaptive-magnitude"],
    about: "squared norm of the weights that read a unit, as a share of what still reads the group",
    source: "Lee et al., Layer-adaptive Sparsity for the Magnitude-based Pruning, 2021 (arXiv 2010.07611), of whole units",
    needs_data: false,
    comparable: true,
    gradient: None,
    score,
};

fn score(context: &Context, group: &Group) -> Result<Vec<f64>, ScoreError> {
    let mut readers = vec![];
    for contraction in context.contractions().iter() {
        readers.extend(squares(context, contraction, group)?);
    }
    if readers.is_empty() {
        // Nothing with weights sums over the group: all slices that go with a unit stand for what reads it.
        readers.push(over_slices(context, group, |x| x * x)?);
    }
    Ok(shares(&readers, group.size))
}

/// For each unit the squared norm of the weights that a contraction multiplies it with, if it reads the group.
fn squares(context: &Context, c: &Contraction, group: &Group) -> Result<Option<Vec<f64>>, ScoreError> {
    let axes = context.axes();
    if !axes.solver().leaves(c.view.var).contains(&group.leaf) {
        return Ok(None);
    }
    let Some(weight) = context.analysis.weight(c.weight) else { return Ok(None) };
    let name = || context.graph().value_name(c.weight).to_owned();
    let sums = match c.groups {
        1 => weight.slice_sums(c.weight_axis, |x| x * x),
        _ => contraction::column_sums(c, &weight, |x| x * x),
    };
    let sums = sums.map_err(|error| ScoreError::Tensor { name: name(), error })?;
    let mut squares = vec![0.0; group.size];
    for (sum, unit) in sums.into_iter().zip(axes.units_of(c.view.var, group.leaf)) {
        if let Some(unit) = unit {
            squares[unit as usize] += sum;
        }
    }
    Ok(Some(squares))
}

/// The score of each unit, from its squared norm in each of the readers.
fn shares(readers: &[Vec<f64>], size: usize) -> Vec<f64> {
    let of_all = |squares: &Vec<f64>| squares.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    let totals: Vec<f64> = readers.iter().map(of_all).collect();
    let share = |unit: usize| readers.iter().zip(&totals).map(|(squares, total)| squares[unit] / total).sum::<f64>();
    let mut order: Vec<(f64, usize)> = (0..size).map(|unit| (share(unit), unit)).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    // From the last unit to the first: what is left is summed up on the way.
    let mut scores = vec![0.0; size];
    let mut left = vec![0.0; readers.len()];
    for &(_, unit) in order.iter().rev() {
        for (squares, left) in readers.iter().zip(&mut left) {
            *left += squares[unit];
            scores[unit] += squares[unit] / left.max(f64::MIN_POSITIVE);
        }
    }
    // What goes later costs no less, or the order would not be one.
    let mut dearest: f64 = 0.0;
    for &(_, unit) in &order {
        dearest = dearest.max(scores[unit]);
        scores[unit] = dearest;
    }
    scores
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shares_are_of_what_is_left() {
        assert_eq!(shares(&[vec![1.0, 4.0, 2.0, 1.0]], 4), [1.0 / 8.0, 1.0, 2.0 / 6.0, 1.0 / 7.0]);
        // Two readers count twice, whatever the size of their weights.
        let twice = shares(&[vec![1.0, 3.0], vec![100.0, 300.0]], 2);
        assert_eq!(twice, [0.5, 2.0]);
        assert_eq!(shares(&[vec![0.0; 3]], 3), [0.0; 3]);
    }

    proptest! {
        #[test]
        fn smaller_weights_never_cost_more(squares in proptest::collection::vec(0.0f64..1e6, 1..20), scale in 1e-3f64..1e3) {
            let scores = shares(std::slice::from_ref(&squares), squares.len());
            for (a, x) in squares.iter().enumerate() {
                for (b, y) in squares.iter().enumerate() {
                    prop_assert!(x >= y || scores[a] <= scores[b]);
                }
            }
            // The size of all weights together says nothing.
            let scaled = shares(&[squares.iter().map(|s| s * scale).collect()], squares.len());
            for (a, b) in scores.iter().zip(scaled) {
                prop_assert!((a - b).abs() <= 1e-9 * a.abs().max(1.0));
            }
        }
    }
}
