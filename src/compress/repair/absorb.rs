//! Units that go without loss: what they added to a sum is taken over by the weights of their twins, or by a bias.

use super::fit::Affine;
use super::{RepairError, Task, tasks, write};
use crate::analysis::Analysis;
use crate::axes::{KeepSets, Var};
use crate::ir::Model;
use crate::lossless::{Merged, Stand};
use faer::Mat;

/// Lets what stays take over what goes without loss. Nothing else of the model changes.
pub(crate) fn absorb(
    analysis: &Analysis,
    keep: &KeepSets,
    merged: &Merged,
    model: &mut Model,
) -> Result<(), RepairError> {
    for mut task in tasks(analysis, keep)?.0 {
        let stand = Standing { analysis, merged, task: &task };
        if let Some(maps) = stand.maps()
            && write::write(analysis, keep, &mut task, &maps, model)?.is_err()
        {
            return Err(task.lost());
        }
    }
    Ok(())
}

/// What stands for the elements of a contraction's view that are gone.
struct Standing<'a> {
    analysis: &'a Analysis,
    merged: &'a Merged,
    task: &'a Task,
}

/// The elements of each unit of a leaf.
struct Elements {
    leaf: Var,
    unit: Vec<Option<u32>>,
    of: Vec<Vec<usize>>,
}

impl Standing<'_> {
    /// One map for each group of the contraction; `None` where nothing is taken over.
    fn maps(&self) -> Option<Vec<Affine>> {
        let c = &self.task.contraction;
        let leaves = self.leaves();
        let depth = c.depth();
        let mut any = false;
        let maps = self.task.kept.iter().enumerate().map(|(group, kept)| {
            let (mut matrix, mut shift) = (Mat::zeros(depth, kept.len()), vec![0.0; depth]);
            for (k, &element) in kept.iter().enumerate() {
                matrix[(element, k)] = 1.0;
            }
            for l in (0..depth).filter(|l| kept.binary_search(l).is_err()) {
                match self.stand(&leaves, group * depth + l) {
                    Some((None, 0.0)) => continue,
                    Some((None, number)) => shift[l] = number,
                    Some((Some(element), factor)) if element / depth == group => {
                        let Ok(k) = kept.binary_search(&(element % depth)) else { continue };
                        matrix[(l, k)] = factor;
                    }
                    _ => continue,
                }
                any = true;
            }
            Affine { matrix, shift }
        });
        let maps = maps.collect();
        any.then_some(maps)
    }

    /// The leaves of the view that lost units.
    fn leaves(&self) -> Vec<Elements> {
        let (axes, view) = (&self.analysis.axes, self.task.contraction.view);
        let mut leaves = axes.solver().leaves(view.var);
        leaves.sort_unstable();
        leaves.dedup();
        let elements = |leaf: Var| {
            let size = self.analysis.groups.of_leaf(leaf)?.size;
            let unit = axes.units_of(view.var, leaf);
            let mut of = vec![vec![]; size];
            unit.iter().enumerate().for_each(|(e, u)| u.iter().for_each(|&u| of[u as usize].push(e)));
            Some(Elements { leaf, unit, of })
        };
        leaves.into_iter().filter_map(elements).collect()
    }

    /// The element that stands for one that is gone, and its factor; or no element, and a number. `None` where the
    /// element is lost.
    fn stand(&self, leaves: &[Elements], element: usize) -> Option<(Option<usize>, f64)> {
        let (mut at, mut factor) = (element, 1.0);
        for leaf in leaves {
            let Some(unit) = leaf.unit[at].map(|u| u as usize) else { continue };
            let group = self.analysis.groups.of_leaf(leaf.leaf)?.id;
            match self.merged.at(group, unit, self.task.contraction.node) {
                None => {}
                Some(Stand::Number(number)) => return Some((None, factor * number)),
                Some(Stand::Unit(twin, times)) => {
                    let rank = leaf.of[unit].binary_search(&at).ok()?;
                    at = *leaf.of[twin].get(rank)?;
                    factor *= times;
                }
            }
        }
        Some((Some(at), factor))
    }
}
