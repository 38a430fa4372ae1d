//! Which contractions are refitted together: neighbours in topological order, none of which sees what another one does.

use super::Task;
use crate::analysis::Analysis;
use crate::ir::{NodeId, ValueId};
use std::collections::HashSet;

/// How many numbers the moments of patches may be at a time.
const PATCH_NUMBERS: usize = 1 << 27;

/// How many contractions make up each stage.
pub(super) fn lengths(analysis: &Analysis, tasks: &[Task]) -> Vec<usize> {
    let mut lengths = vec![];
    let mut start = 0;
    while start < tasks.len() {
        let mut stage = Stage::new(analysis);
        let length = tasks[start..].iter().take_while(|t| stage.take(t)).count().max(1);
        lengths.push(length);
        start += length;
    }
    lengths
}

/// A stage that grows.
struct Stage<'a> {
    analysis: &'a Analysis,
    /// What is computed from results of its contractions.
    behind: HashSet<NodeId>,
    /// What the sums that its contractions end in read beside these.
    beside: Vec<ValueId>,
    numbers: usize,
    length: usize,
}

impl<'a> Stage<'a> {
    fn new(analysis: &'a Analysis) -> Stage<'a> {
        Stage { analysis, behind: HashSet::new(), beside: vec![], numbers: 0, length: 0 }
    }

    /// Takes a contraction in, unless it has to wait for the others; the first has not to.
    fn take(&mut self, task: &Task) -> bool {
        let graph = &self.analysis.model.graph;
        let node = task.contraction.node;
        let beside = task.merge.and_then(|m| m.beside(graph));
        let numbers = self.numbers + 2 * task.moments();
        let waits = self.behind.contains(&node) || beside.is_some_and(|v| self.behind.contains(&v.node));
        if self.length > 0 && (waits || numbers > PATCH_NUMBERS) {
            return false;
        }
        let mut behind = self.behind.clone();
        behind.insert(node);
        super::spread(graph, node, &mut behind);
        // A sum is made up for what its other operand lacks, which must not change meanwhile.
        if self.length > 0 && self.beside.iter().any(|v| behind.contains(&v.node)) {
            return false;
        }
        self.behind = behind;
        self.beside.extend(beside);
        self.numbers = numbers;
        self.length += 1;
        true
    }
}
