//! Cuts that make a model larger.
//!
//! Several calls may read one constant. Where the cut of a group shortens it for some of them alone, the file holds it
//! in both lengths afterwards.

use crate::analysis::Analysis;
use crate::axes::{KeepSets, Kept, Var};
use crate::ir::{NodeId, Tensor, ValueId};
use std::collections::BTreeMap;

/// The constants of an analysis that were one constant in the input file, by its name.
pub(super) struct Shared<'a> {
    analysis: &'a Analysis,
    constants: Vec<Vec<(NodeId, &'a Tensor)>>,
    /// How many constants were one, at most.
    most: usize,
}

impl<'a> Shared<'a> {
    pub(super) fn new(analysis: &'a Analysis) -> Shared<'a> {
        let graph = &analysis.model.graph;
        let (mut by_source, mut constants): (BTreeMap<&str, Vec<_>>, Vec<Vec<_>>) = Default::default();
        for node in graph.constants() {
            let Some(constant) = graph.constant(node) else { continue };
            match constant.source() {
                Some(name) => by_source.entry(name).or_default().push((node, &constant.tensor)),
                None => constants.push(vec![(node, &constant.tensor)]),
            }
        }
        constants.extend(by_source.into_values());
        let most = constants.iter().map(Vec::len).max().unwrap_or(0);
        Shared { analysis, constants, most }
    }

    /// The cuts to leave out, as positions, so that the constants take no more bytes than those of the input file:
    /// those that add most first. A cut is a leaf with the units of it that stay.
    pub(super) fn growing(&self, cuts: &[(Var, Vec<usize>)]) -> Vec<usize> {
        if self.most < 2 {
            return vec![];
        }
        let whole = self.bytes(&KeepSets::default());
        let without = |left: &[usize]| {
            let mut keep = KeepSets::default();
            let cuts = cuts.iter().enumerate().filter(|(at, _)| !left.contains(at));
            cuts.for_each(|(_, (leaf, units))| keep.keep(*leaf, units.clone()));
            self.bytes(&keep)
        };
        let (mut left, mut bytes) = (vec![], without(&[]));
        while bytes > whole {
            let others = (0..cuts.len()).filter(|at| !left.contains(at));
            let tried = others.map(|at| (without(&[&left[..], &[at]].concat()), at)).min();
            let Some((fewer, at)) = tried.filter(|(fewer, _)| *fewer < bytes) else { break };
            left.push(at);
            bytes = fewer;
        }
        left
    }

    /// What the constants take with these units, each length of a shared one once.
    fn bytes(&self, keep: &KeepSets) -> u64 {
        let axes = &self.analysis.axes;
        let kept = |node: NodeId| -> Vec<Kept> {
            axes.of(ValueId { node, port: 0 }).into_iter().flatten().map(|&var| keep.of(axes, var)).collect()
        };
        let mut bytes = 0;
        for same in &self.constants {
            let mut versions: Vec<Vec<Kept>> = vec![];
            for (node, tensor) in same {
                let version = kept(*node);
                if !versions.contains(&version) {
                    bytes += bytes_left(tensor, &version);
                    versions.push(version);
                }
            }
        }
        bytes
    }
}

fn bytes_left(tensor: &Tensor, kept: &[Kept]) -> u64 {
    let length = |(axis, &whole): (usize, &usize)| match kept.get(axis) {
        Some(Kept::Some(indices)) => indices.len(),
        _ => whole,
    };
    tensor.dtype.bytes(tensor.shape.iter().enumerate().map(length).product()) as u64
}

#[cfg(test)]
#[cfg(feature = "tract")]
mod tests {
    use crate::analysis::Analysis;
    use crate::ir::{Tensor, parse};
    use crate::plan::{Budget, Options, choose};
    use crate::score::Criterion;
    use crate::{load, prune, save};

    /// Two branches read one table; `w` alone can be shortened in one of them.
    fn net(share: &str) -> Analysis {
        let numbers = |n: usize| (0..n).map(|i| ((i * 37 + 5) % 23) as f32 * 0.05 - 0.5).collect::<Vec<_>>();
        let tensor = |id: u64| {
            let shape = vec![(id >> 8) as usize, (id & 255) as usize];
            Some(Tensor::from_f32(shape.clone(), &numbers(shape.iter().product())))
        };
        let text = format!(
            "g (f32[n,8] x, f32[n,32] z) => (f32[n,32] y, f32[n,32] v) {{
                f32[8,32] w #0000000000000820
                f32[32,32] t #0000000000002020
                f32[32,32] u #0000000000002020
                a = MatMul(x, w)
                r = Relu(a)
                y = MatMul(r, {share})
                v = MatMul(z, t)
            }}"
        );
        let model = parse(&text, &tensor).unwrap_or_else(|e| panic!("{e}\n{text}"));
        let model = load::from_bytes(save::to_bytes(&model).expect("it is written").into(), None).expect("it is read");
        prune::prepare(&model).expect("it is prepared")
    }

    fn cuts(analysis: &Analysis, budget: Budget) -> usize {
        let options = Options { lossless: None, ..Options::new(budget, Criterion::named("l2").expect("a criterion")) };
        choose(analysis, &options).expect("a plan").cuts.len()
    }

    #[test]
    fn what_needs_a_second_copy_stays_whole() {
        assert_eq!(cuts(&net("u"), Budget::ratio(0.5)), 1);
        assert_eq!(cuts(&net("t"), Budget::ratio(0.5)), 0);
        // The copy is small enough.
        assert_eq!(cuts(&net("t"), Budget::ratio(0.9)), 1);
        // A budget that can't be met otherwise is asked for.
        assert_eq!(cuts(&net("t"), Budget::macs(0.8)), 1);
    }
}
