//! `bn-scale`: the factors that a group's units are multiplied with, such as those of a batch normalization.
//!
//! A factor is a vector along the units whose zeros make the result zero, by the operator's own law of zeros. No
//! operator is asked for its name, so the scales of a layer (`x · γ`) count as well.

use super::{Context, Criterion, ScoreError, l2, normalize};
use crate::axes::{Group, Member};
use crate::ops;

/// Mean of the absolute factors of a unit.
pub(super) const BN_SCALE: Criterion = Criterion {
    name: "bn-scale",
    aliases: &["network-slimming", "slimming", "batchnorm-scale"],
    about: "factors that scale the unit, such as |γ| of a batch normalization; l2 where there are none",
    source: "Liu et al., Learning Efficient Convolutional Networks through Network Slimming, 2017 (arXiv 1708.06519)",
    needs_data: false,
    comparable: false,
    gradient: None,
    score: scales,
};

fn scales(context: &Context, group: &Group) -> Result<Vec<f64>, ScoreError> {
    let mut total = vec![0.0; group.size];
    let mut any = false;
    for member in group.members.iter().filter(|m| is_scale(context, group, m)) {
        let Some(constant) = context.graph().constant(member.constant.node) else { continue };
        let Some(&var) = context.axes().of(member.constant).and_then(|a| a.get(member.axis)) else { continue };
        let numbers = constant.tensor.to_f64();
        let numbers = numbers.map_err(|error| ScoreError::Tensor { name: constant.name.clone(), error })?;
        let mut mine = vec![0.0; group.size];
        for (number, unit) in numbers.into_iter().zip(context.axes().units_of(var, group.leaf)) {
            if let Some(u) = unit {
                mine[u as usize] += number.abs();
            }
        }
        normalize(&mut mine);
        total.iter_mut().zip(mine).for_each(|(t, m)| *t += m);
        any = true;
    }
    if any { Ok(total) } else { (l2::L2.score)(context, group) }
}

/// Whether a member is a vector that some call multiplies the units with.
fn is_scale(context: &Context, group: &Group, member: &Member) -> bool {
    let Some(tensor) = context.graph().tensor(member.constant) else { return false };
    if !tensor.dtype.is_float() || tensor.count() != tensor.shape[member.axis] {
        return false;
    }
    context.graph().uses(member.constant).into_iter().any(|at| {
        let carried = context.axes().bindings(at.node).iter().any(|b| {
            b.in_result && b.operands.contains(&at.slot) && context.axes().solver().leaves(b.var).contains(&group.leaf)
        });
        carried && ops::factors(&context.analysis.model, &context.analysis.facts, at.node).contains(&at.slot)
    })
}
