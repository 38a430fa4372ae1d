//! Keep-sets: which units of each leaf stay, and what that means for an axis.

use super::{Axes, Shape, Var};
use crate::ir::Dim;
use std::collections::BTreeMap;

/// The kept units of the leaves that lose some. All other leaves stay whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeepSets {
    kept: BTreeMap<Var, Vec<usize>>,
}

/// The indices of an axis that stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// All of them.
    All,
    /// These, ascending.
    Some(Vec<usize>),
    /// Some are gone, but the axis is made of parts of open length, so that its indices are known at run time only.
    Open,
}

impl KeepSets {
    /// Keeps only these units (ascending) of a leaf.
    pub fn keep(&mut self, leaf: Var, units: Vec<usize>) {
        debug_assert!(units.is_sorted(), "kept units are ascending");
        self.kept.insert(leaf, units);
    }

    /// What both keep-sets say; of a leaf that is in both, what the other one says.
    pub fn and(&self, other: &KeepSets) -> KeepSets {
        let mut both = self.clone();
        both.kept.extend(other.kept.iter().map(|(&leaf, units)| (leaf, units.clone())));
        both
    }

    /// Whether every leaf stays whole.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The length that an axis has left.
    pub fn size(&self, axes: &Axes, var: Var) -> Dim {
        match axes.solver.shape(var) {
            Shape::Product(p) => p.into_iter().map(|v| self.size(axes, v)).product(),
            Shape::Sum(p) => p.into_iter().map(|v| self.size(axes, v)).sum(),
            Shape::Leaf => match self.kept.get(&axes.solver.find(var)) {
                Some(units) => Dim::from(units.len()),
                None => axes.solver.size(var).clone(),
            },
        }
    }

    /// The indices of an axis that stay: offsets for a sum, row-major for a product.
    pub fn of(&self, axes: &Axes, var: Var) -> Kept {
        if self.kept.is_empty() || !axes.solver.leaves(var).iter().any(|l| self.kept.contains_key(l)) {
            return Kept::All;
        }
        let mut kept = vec![];
        self.append(axes, var, 0, &mut kept).map_or(Kept::Open, |_| Kept::Some(kept))
    }

    /// Appends the indices of an axis that stay, each moved by an offset. `None` where a length is open.
    fn append(&self, axes: &Axes, var: Var, offset: usize, out: &mut Vec<usize>) -> Option<()> {
        let length = |v: Var| axes.solver.size(v).size();
        match axes.solver.shape(var) {
            Shape::Leaf => match self.kept.get(&axes.solver.find(var)) {
                Some(units) => out.extend(units.iter().map(|i| i + offset)),
                None => out.extend(offset..offset + length(var)?),
            },
            Shape::Sum(parts) => {
                let mut offset = offset;
                for part in parts {
                    self.append(axes, part, offset, out)?;
                    offset += length(part)?;
                }
            }
            Shape::Product(parts) => {
                let mut indices = vec![0];
                for part in parts {
                    let (mut inner, size) = (vec![], length(part)?);
                    self.append(axes, part, 0, &mut inner)?;
                    indices = indices.iter().flat_map(|&o| inner.iter().map(move |&i| o * size + i)).collect();
                }
                out.extend(indices.into_iter().map(|i| i + offset));
            }
        }
        Some(())
    }
}

impl Axes {
    /// For each index of an axis the unit of this leaf that it belongs to; `None` where it belongs to none.
    pub fn units_of(&self, var: Var, leaf: Var) -> Vec<Option<u32>> {
        let mut units = vec![];
        self.append_units(var, leaf, &mut units);
        units
    }

    /// Sums nest deeply (a concatenation of concatenations), so each writes at the end of one list.
    fn append_units(&self, var: Var, leaf: Var, units: &mut Vec<Option<u32>>) {
        match self.solver.shape(var) {
            Shape::Leaf => {
                let n = self.solver.size(var).size().unwrap_or(0) as u32;
                let mine = self.solver.find(var) == leaf;
                units.extend((0..n).map(|i| mine.then_some(i)));
            }
            Shape::Sum(parts) => parts.into_iter().for_each(|p| self.append_units(p, leaf, units)),
            Shape::Product(parts) => {
                let mut out: Vec<Option<u32>> = vec![None];
                for part in parts {
                    let inner = self.units_of(part, leaf);
                    out = out.iter().flat_map(|&o| inner.iter().map(move |&i| o.or(i))).collect();
                }
                units.extend(out);
            }
        }
    }
}
