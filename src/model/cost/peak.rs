//! Peak memory: how many bytes of activations are alive at once.
//!
//! Calls run one after the other in topological order, as the file has them where it leaves a choice. A tensor is alive
//! from the call that makes it (an input: from the start) to the last one that reads it (an output: to the end). While a
//! call runs, its operands and its results are all there. Constants are told apart (`bytes`), and so is what is computed of
//! constants alone. Nothing is said of what a runtime does beside: scratch space, tensors that share memory, results
//! written over operands.

use super::OpenDims;
use crate::facts::Facts;
use crate::ir::{Graph, Node, NodeId, ValueId};
use std::collections::{HashMap, HashSet};

/// A tensor of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    pub value: ValueId,
    pub bytes: u64,
    /// The first and the last step at which it is alive.
    pub born: usize,
    pub dies: usize,
}

/// A run of a model, step by step.
pub struct Walk {
    /// The calls in the order in which they run.
    pub steps: Vec<NodeId>,
    pub lives: Vec<Life>,
}

impl Walk {
    /// The run of a graph whose values have these facts.
    pub fn new(graph: &Graph, facts: &Facts, open: &OpenDims) -> Walk {
        let order = graph.topological();
        let steps: Vec<NodeId> = order.iter().copied().filter(|&n| graph.call(n).is_some()).collect();
        let at: HashMap<NodeId, usize> = steps.iter().enumerate().map(|(i, &n)| (n, i)).collect();
        let end = steps.len().saturating_sub(1);
        let mut fixed: HashSet<NodeId> = graph.constants().into_iter().collect();
        let mut lives = vec![];
        for node in order.into_iter().filter(|&n| !matches!(graph.node(n), Node::Constant(_) | Node::Output(_))) {
            let mut operands = graph.operands(node).into_iter().flatten().peekable();
            if operands.peek().is_some() && operands.all(|v| fixed.contains(&v.node)) {
                fixed.insert(node);
                continue;
            }
            let born = at.get(&node).copied().unwrap_or(0);
            for value in graph.results(node) {
                let last = graph.uses(value).into_iter().map(|u| at.get(&u.node).copied().unwrap_or(end)).max();
                let fact = facts.get(value);
                let known = fact.dtype.zip(fact.shape.as_deref());
                let bytes = known.map_or(0, |(dtype, shape)| dtype.bytes(open.count(shape) as usize) as u64);
                lives.push(Life { value, bytes, born, dies: last.unwrap_or(born).max(born) });
            }
        }
        Walk { steps, lives }
    }

    /// Bytes alive at each step.
    pub fn bytes(&self) -> Vec<u64> {
        let mut change = vec![0i128; self.steps.len().max(1) + 1];
        for life in &self.lives {
            change[life.born] += i128::from(life.bytes);
            change[life.dies + 1] -= i128::from(life.bytes);
        }
        change.pop();
        let mut now = 0;
        change
            .into_iter()
            .map(|c| {
                now += c;
                u64::try_from(now).unwrap_or(u64::MAX)
            })
            .collect()
    }

    /// The most bytes alive at once.
    pub fn peak(&self) -> u64 {
        self.bytes().into_iter().max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer;
    use crate::ir::parse;

    fn peaks(body: &str) -> (Vec<u64>, u64) {
        let text = format!("<\n  ir_version: 8,\n  opset_import: [\"\" : 17]\n>\n{body}");
        let model = parse(&text, &|_| None).unwrap_or_else(|e| panic!("{e}"));
        let walk = Walk::new(&model.graph, &infer::infer(&model), &OpenDims::of(&model, HashMap::new()));
        (walk.bytes(), walk.peak())
    }

    #[test]
    fn a_tensor_lives_until_it_is_read_last() {
        // 4 numbers of 4 bytes each; an open batch counts as 1.
        let chain = "net (f32[n,4] x) => (f32[n,4] y)\n{\n  a = Relu(x)\n  b = Relu(a)\n  y = Relu(b)\n}\n";
        assert_eq!(peaks(chain), (vec![32, 32, 32], 32));
        let around = "net (f32[n,4] x) => (f32[n,4] y)\n{\n  a = Relu(x)\n  b = Relu(a)\n  y = Add(b, x)\n}\n";
        assert_eq!(peaks(around), (vec![32, 48, 48], 48));
        let kept = "net (f32[n,4] x) => (f32[n,4] a, f32[n,8] y)\n{\n  a = Relu(x)\n  b = Relu(a)\n  \
                    y = Concat<axis=1>(b, b)\n}\n";
        assert_eq!(peaks(kept), (vec![32, 32, 64], 64));
    }

    #[test]
    fn what_is_made_of_constants_is_no_activation() {
        let made = "net (f32[n,4] x) => (f32[n,4] y)\n{\n  f32[4] w = {1.0, 2.0, 3.0, 4.0}\n  v = Neg(w)\n  y = Add(x, v)\n}\n";
        assert_eq!(peaks(made), (vec![16, 32], 32));
    }

    #[test]
    fn a_model_without_calls_holds_its_inputs() {
        assert_eq!(peaks("net (f32[n,4] x) => (f32[n,4] x)\n{\n}\n").1, 16);
    }
}
