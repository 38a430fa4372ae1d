//! What kind of units a group has: channels, neurons, heads, …
//!
//! Kinds are for people, who say what may be cut and read what was. Nothing else depends on them. They are derived
//! from how calls use a label, whatever the operator:
//!
//! | kind | sign |
//! |---|---|
//! | expert | one matrix of a stack: looked up by number, or multiplied with a matrix of its own |
//! | head | in both operands and the result of a product of computed tensors |
//! | head-dim | summed over in such a product, or carried through it by one operand |
//! | width | not exact, and none of these: the residual stream under norms, mostly |
//! | channel | an axis of a kernel, or of what goes with one |
//! | neuron | all others |

use super::{Axes, Binding, PinKind, Shape, Var};
use crate::ir::{Graph, Node, NodeId, ValueId};
use crate::ops::Granularity;
use std::collections::{HashMap, HashSet};

/// The kinds of leaves that calls tell: experts, heads and their dimensions.
pub(super) fn told_by_calls(graph: &Graph, axes: &Axes) -> HashMap<Var, Granularity> {
    let mut kinds = HashMap::new();
    let mut tell = |var: Var, kind: Granularity| {
        for leaf in axes.solver.leaves(var) {
            let known = kinds.entry(leaf).or_insert(kind);
            *known = rank(*known).max(rank(kind)).1;
        }
    };
    axes.numbers.values().for_each(|&var| tell(var, Granularity::Expert));
    axes.roles.iter().for_each(|&(var, kind)| tell(var, kind));
    let computed = computed(graph, axes);
    for node in graph.calls() {
        let call = Product::new(graph, axes, node, &computed);
        for binding in axes.bindings(node) {
            if let Some(kind) = call.kind(binding) {
                tell(binding.var, kind);
            }
        }
    }
    kinds
}

/// The kind that wins where several calls tell different ones.
fn rank(kind: Granularity) -> (u8, Granularity) {
    let order = match kind {
        Granularity::Head => 3,
        Granularity::HeadDim => 2,
        _ => 1,
    };
    (order, kind)
}

/// Values that depend on the model's inputs. An expert's weights do not, although which one they are of does.
fn computed(graph: &Graph, axes: &Axes) -> HashSet<ValueId> {
    let mut computed = HashSet::new();
    for node in graph.topological() {
        let mut operands = graph.operands(node).into_iter().flatten();
        let varies = match graph.node(node) {
            Node::Input(_) => true,
            Node::Call(_) => operands.any(|v| computed.contains(&v) && axes.indices_of(v).is_none()),
            Node::Constant(_) | Node::Output(_) => false,
        };
        if varies {
            computed.extend(graph.results(node));
        }
    }
    computed
}

/// A call that may be a product of two tensors.
struct Product<'a> {
    graph: &'a Graph,
    axes: &'a Axes,
    node: NodeId,
    /// Which operands are computed.
    varies: Vec<bool>,
    /// Between how many computed operands, and how many fixed ones, each label longer than one is summed over.
    sums: Vec<(usize, usize)>,
}

impl<'a> Product<'a> {
    fn new(graph: &'a Graph, axes: &'a Axes, node: NodeId, computed: &HashSet<ValueId>) -> Product<'a> {
        let operands = graph.operands(node).into_iter();
        let varies = operands.map(|v| v.is_some_and(|v| computed.contains(&v))).collect();
        let mut call = Product { graph, axes, node, varies, sums: vec![] };
        let is_summed = |b: &&Binding| !b.in_result && !b.unread && axes.solver.size(b.var).size() != Some(1);
        call.sums = axes.bindings(node).iter().filter(is_summed).map(|b| call.counts(b)).collect();
        call
    }

    fn counts(&self, label: &Binding) -> (usize, usize) {
        let varying = label.operands.iter().filter(|&&slot| self.is_computed(slot)).count();
        (varying, label.operands.len() - varying)
    }

    fn kind(&self, label: &Binding) -> Option<Granularity> {
        let (varying, fixed) = self.counts(label);
        let summed = !label.in_result && !label.unread;
        match varying {
            2.. if self.sums(2, 0) => Some(if summed { Granularity::HeadDim } else { Granularity::Head }),
            1 if fixed == 0 && label.in_result && self.sums(2, 0) => Some(Granularity::HeadDim),
            1 if fixed > 0 && !summed && self.stands_alone(label) && self.sums(1, 1) => Some(Granularity::Expert),
            _ => None,
        }
    }

    fn is_computed(&self, slot: u16) -> bool {
        self.varies.get(usize::from(slot)) == Some(&true)
    }

    /// Whether some label longer than one is summed over between so many computed and so many fixed operands.
    fn sums(&self, computed: usize, fixed: usize) -> bool {
        self.sums.iter().any(|&(varying, others)| varying >= computed && others >= fixed)
    }

    /// Whether the label has an axis to itself in every operand: a convolution's groups share theirs with channels.
    fn stands_alone(&self, label: &Binding) -> bool {
        let leaves = self.axes.solver.leaves(label.var);
        label.operands.iter().all(|&slot| {
            let value = self.graph.operand(self.node, usize::from(slot));
            let mut axes = value.and_then(|v| self.axes.of(v)).into_iter().flatten();
            axes.any(|&v| self.axes.solver.shape(v) == Shape::Leaf && self.axes.solver.leaves(v) == leaves)
        })
    }
}

/// Whether a constant is a kernel: two axes of channels, and behind them only taps.
pub(super) fn is_kernel(axes: &Axes, constant: ValueId) -> bool {
    let taps = axes.of(constant).and_then(|vars| vars.get(2..)).unwrap_or_default();
    let is_tap = |leaf: Var| axes.pins(leaf).any(|pin| pin.kind == PinKind::Structure);
    let is_window = |&v: &Var| axes.solver.size(v).size() == Some(1) || axes.solver.leaves(v).into_iter().all(is_tap);
    !taps.is_empty() && taps.iter().all(is_window)
}

#[cfg(test)]
mod tests {
    use crate::analysis::Analysis;
    use crate::ir;
    use crate::ops::Granularity;
    use insta::assert_snapshot;

    /// The kinds of all groups that may be cut, at whatever price.
    fn kinds(text: &str) -> String {
        let model = ir::parse(text, &|_| None).expect("it parses");
        let analysis = Analysis::new(model);
        let show = |g: &crate::axes::Group| format!("{}:{} {}", g.id, g.size, g.kind);
        analysis.groups.free().map(show).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn heads_and_their_dimensions() {
        let text = "net (f32[N,3,5] x) => (f32[N,3,4] y) {
            f32[5, 8] wq #1
            f32[5, 8] wk #2
            f32[5, 12] wv #3
            f32[12, 4] wo #4
            i64[4] qk {0, 0, 2, 4}
            i64[4] v {0, 0, 2, 6}
            i64[3] flat {0, 0, -1}
            a = MatMul(x, wq)
            b = MatMul(x, wk)
            c = MatMul(x, wv)
            a4 = Reshape(a, qk)
            b4 = Reshape(b, qk)
            c4 = Reshape(c, v)
            q = Transpose<perm=[0,2,1,3]>(a4)
            kt = Transpose<perm=[0,2,3,1]>(b4)
            vt = Transpose<perm=[0,2,1,3]>(c4)
            s = MatMul(q, kt)
            p = Softmax(s)
            z = MatMul(p, vt)
            z4 = Transpose<perm=[0,2,1,3]>(z)
            zf = Reshape(z4, flat)
            y = MatMul(zf, wo)
        }";
        assert_snapshot!(kinds(text), @"c1:2 head, c2:4 head-dim, c3:6 head-dim");
    }

    #[test]
    fn channels_neurons_and_width() {
        let text = "net (f32[N,3,8,8] x) => (f32[N,5] y) {
            f32[6, 3, 3, 3] w #1
            c = Conv(x, w)
            p = GlobalAveragePool(c)
            f = Flatten(p)
            f32[6, 7] u #2
            h = MatMul(f, u)
            r = Relu(h)
            f32[7, 4] v #3
            i = MatMul(r, v)
            f32[4] scale #4
            n = LayerNormalization(i, scale)
            f32[4, 5] o #5
            y = MatMul(n, o)
        }";
        assert_snapshot!(kinds(text), @"c0:6 channel, c4:7 neuron, c5:4 width");
    }

    #[test]
    fn stacked_matrices_are_experts_and_groups_of_channels_are_not() {
        let text = "net (f32[N,5] x, f32[N,4,6,6] i) => (f32[N,3] y, f32[N,2,6,6] z) {
            f32[4, 5, 8] up #1
            h = MatMul(x, up)
            r = Relu(h)
            f32[4, 8, 3] down #2
            d = MatMul(r, down)
            i64[1] first {0}
            y = ReduceSum<keepdims=0>(d, first)
            f32[6, 2, 1, 1] w #3
            c = Conv<group=2>(i, w)
            f32[2, 6, 1, 1] v #4
            z = Conv(c, v)
        }";
        assert_snapshot!(kinds(text), @"c0:4 expert, c2:8 neuron, c5:3 channel");
    }

    #[test]
    fn names_are_read_back() {
        for kind in Granularity::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert!("layers".parse::<Granularity>().is_err());
    }
}
