//! Weights that the graph computes from constants: what is summed over on the way to them stays.
//!
//! A norm over a weight, a product of two factors, a sum of tables: such calls read constants alone, and what they make
//! is read by units that stay. If a unit were dropped that they sum over, the weights of all others would change. The
//! masked model would change alike, so no proof could tell; hence the label is pinned. `fold-weights` computes
//! such weights beforehand where that frees an axis, and then they can be cut like any other.

use super::{Axes, Mark, PinKind, Var};
use crate::ir::{Model, Node, NodeId};
use crate::ops;
use std::collections::HashSet;

const WHY: &str = "a weight is computed by summing over it, so that what stays would change";

/// Pins the labels that calls on constants sum over, or are not exact along, where data meets what they make.
pub(super) fn pin_sums(model: &Model, axes: &mut Axes) {
    for node in weight_makers(model) {
        let vars: Vec<Var> = axes.summed(node).collect();
        if vars.is_empty() {
            continue;
        }
        let why = axes.intern(PinKind::Inexact, node, WHY);
        vars.iter().for_each(|&v| axes.solver.mark(v, Mark::Pin(why)));
        axes.inexact_at.entry(node).or_default().extend(vars);
    }
}

impl Axes {
    /// The labels of a call that it sums over, or is not exact along: what is left depends on all of their units.
    pub fn summed(&self, node: NodeId) -> impl Iterator<Item = Var> {
        let read = self.bindings(node).iter().filter(|b| !b.unread && !b.operands.is_empty());
        let summed = read.filter(|b| !b.in_result || b.missed || !b.repeated.is_empty()).map(|b| b.var);
        summed.chain(self.inexact_at(node).iter().copied())
    }
}

/// The calls that depend on constants alone, and whose results a call reads in the end that does not.
fn weight_makers(model: &Model) -> Vec<NodeId> {
    let graph = &model.graph;
    let order = graph.topological();
    let mut fixed = HashSet::new();
    for &node in &order {
        let is_fixed = match graph.node(node) {
            Node::Constant(_) => true,
            // What an iteration gets is no constant, even if it begins with one, and no random number is.
            Node::Call(call) if ops::is_function(model, call) => {
                let mut operands = graph.operands(node).into_iter().flatten().peekable();
                operands.peek().is_some() && operands.all(|v| fixed.contains(&v.node))
            }
            Node::Call(_) | Node::Input(_) | Node::Output(_) => false,
        };
        if is_fixed {
            fixed.insert(node);
        }
    }
    let mut makers = HashSet::new();
    for &node in order.iter().rev().filter(|&n| fixed.contains(n) && graph.call(*n).is_some()) {
        let mut users = graph.results(node).flat_map(|v| graph.uses(v)).map(|u| u.node);
        let meets_data = |n: NodeId| makers.contains(&n) || (!fixed.contains(&n) && graph.call(n).is_some());
        if users.any(meets_data) {
            makers.insert(node);
        }
    }
    order.into_iter().filter(|n| makers.contains(n)).collect()
}

#[cfg(test)]
mod tests {
    use crate::analysis::Analysis;
    use crate::ir;

    /// The groups that may be cut, by the axes that they reach.
    fn free(text: &str) -> Vec<String> {
        let analysis = Analysis::new(ir::parse(text, &|_| None).unwrap());
        let graph = &analysis.model.graph;
        let place = |m: &crate::axes::Member| format!("{}[{}]", graph.value_name(m.constant), m.axis);
        let groups = analysis.groups.free().filter(|g| g.is_exact());
        groups.map(|g| g.members.iter().map(place).collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn the_rank_of_a_product_of_weights_stays() {
        let text = |from: &str| {
            format!(
                "g (f32[2,2] x) => (f32[2,2] y) {{
                    f32[2,3] a = {{1, 2, 3, 4, 5, 6}}
                    f32[3,4] b = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}}
                    f32[4,2] c = {{1, 2, 3, 4, 5, 6, 7, 8}}
                    {from}
                    y = MatMul(h, c)
                }}"
            )
        };
        assert_eq!(free(&text("w = MatMul(a, b)\n h = MatMul(x, w)")), ["b[1] c[0]"]);
        // In data the same axis is a layer's width.
        assert_eq!(free(&text("r = MatMul(x, a)\n h = MatMul(r, b)")), ["a[1] b[0]", "b[1] c[0]"]);
    }

    #[test]
    fn a_divisor_that_becomes_zero_is_not_exact() {
        let text = |divisor: &str| {
            format!(
                "g (f32[2,2] x) => (f32[2,2] y) {{
                    f32[2,3] w = {{1, 2, 3, 4, 5, 6}}
                    f32[3,2] v = {{1, 2, 3, 4, 5, 6}}
                    h = MatMul(x, w)
                    a = Abs(h)
                    f32[] e = {{0.1}}
                    s = Add(a, e)
                    u = Div(h, {divisor})
                    y = MatMul(u, v)
                }}"
            )
        };
        assert_eq!(free(&text("s")), ["w[1] v[0]"]);
        assert_eq!(free(&text("a")), Vec::<String>::new());
    }
}
