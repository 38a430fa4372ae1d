//! What a choice of widths costs, by a table.

use super::fused::{FusedSubgraph, fused_subgraphs};
use super::table::{Quantity, Table, TableEntry, TableError};
use crate::analysis::Analysis;
use crate::axes::{KeepSets, Var};
use crate::cost::OpenDims;
use std::collections::{BTreeSet, HashMap, HashSet};

/// A model's fused subgraphs with their entries in a table.
pub(crate) struct Prices<'a> {
    analysis: &'a Analysis,
    quantity: Quantity,
    pieces: Vec<(FusedSubgraph, &'a TableEntry)>,
    /// The fused subgraphs that a leaf makes wider.
    by_leaf: HashMap<Var, Vec<usize>>,
}

impl<'a> Prices<'a> {
    /// Fails where the table lacks shapes that the model has.
    pub(crate) fn new(analysis: &'a Analysis, open: &OpenDims, table: &'a Table) -> Result<Prices<'a>, TableError> {
        let (entries, skipped) = (table.by_shape(), table.skipped.iter().map(|s| s.shape.as_str()));
        let skipped: HashSet<&str> = skipped.collect();
        let (mut found, mut missing, mut shapes) = (vec![], BTreeSet::new(), HashSet::new());
        for piece in fused_subgraphs(analysis, open) {
            shapes.insert(piece.shape.clone());
            match entries.get(piece.shape.as_str()) {
                Some(entry) if entry.widths.len() == piece.widths.len() => found.push((piece, *entry)),
                // One that could be measured as a whole only: it does not shrink.
                Some(entry) if entry.widths.is_empty() => {
                    found.push((FusedSubgraph { widths: vec![], ..piece }, *entry))
                }
                None if skipped.contains(piece.shape.as_str()) => {}
                _ => _ = missing.insert(piece.shape),
            }
        }
        if !missing.is_empty() {
            return Err(TableError::Missing { missing: missing.into_iter().collect(), of: shapes.len() });
        }
        let mut by_leaf: HashMap<Var, Vec<usize>> = HashMap::new();
        for (i, (piece, _)) in found.iter().enumerate() {
            let leaves = piece.widths.iter().flat_map(|&w| analysis.axes.solver().leaves(w));
            leaves.collect::<BTreeSet<_>>().into_iter().for_each(|leaf| by_leaf.entry(leaf).or_default().push(i));
        }
        Ok(Prices { analysis, quantity: table.quantity, pieces: found, by_leaf })
    }

    /// What is counted.
    pub(crate) fn quantity(&self) -> Quantity {
        self.quantity
    }

    /// The cost of all fused subgraphs.
    pub(crate) fn total(&self, keep: &KeepSets) -> f64 {
        self.pieces.iter().map(|p| self.cost(p, keep)).sum()
    }

    /// The cost of the fused subgraphs that a leaf makes wider.
    pub(crate) fn around(&self, leaf: Var, keep: &KeepSets) -> f64 {
        let pieces = self.by_leaf.get(&leaf).into_iter().flatten();
        pieces.map(|&i| self.cost(&self.pieces[i], keep)).sum()
    }

    /// The cost of each fused subgraph, named by its first call, in the order of the model.
    pub(crate) fn by_piece(&self, keep: &KeepSets) -> Vec<(String, f64)> {
        let name = |piece: &FusedSubgraph| self.analysis.model.graph.label(piece.calls[0]).to_owned();
        self.pieces.iter().map(|p| (name(&p.0), self.cost(p, keep))).collect()
    }

    /// Those of the widths (ascending) of a leaf at which the model costs less than at every wider one: the steps of
    /// the monotone lower hull of the costs, all other leaves being whole. A leaf that costs nothing has no steps.
    pub(crate) fn steps(&self, leaf: Var, widths: &[usize]) -> Vec<usize> {
        let mut steps = vec![];
        let mut least = f64::INFINITY;
        for &width in widths.iter().rev() {
            let mut keep = KeepSets::default();
            keep.keep(leaf, (0..width).collect());
            let cost = self.around(leaf, &keep);
            if cost < least {
                least = cost;
                steps.push(width);
            }
        }
        steps.reverse();
        steps
    }

    fn cost(&self, (piece, entry): &(FusedSubgraph, &TableEntry), keep: &KeepSets) -> f64 {
        let length = |&w: &Var| keep.size(&self.analysis.axes, w).size().unwrap_or(0);
        entry.at(&piece.widths.iter().map(length).collect::<Vec<_>>())
    }
}
