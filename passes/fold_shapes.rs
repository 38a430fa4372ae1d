//! `fold-shapes` replaces run-time shape arithmetic by its result.
//!
//! ```text
//! s = Shape(x)                               # x: f32[batch, 64, 7, 7]
//! b = Gather(s, i)
//! n = Unsqueeze(b)
//! t = Concat<axis=0>(n, m)                   i64[2] t_0 = {0, -1}
//! y = Reshape(x, t)                 →        y = Reshape(x, t_0)
//! ```
//!
//! Inference knows what such values hold, symbols included. An operand that holds nothing but numbers becomes a
//! constant. Of others the call's rule may know how it has to look for the shapes that it has (`refit`: `0` and `-1`
//! where a dimension is open, which is better than arithmetic); else they are computed anew from the model's inputs.
//! Either way nothing reads an inner tensor's shape any more, so pruning that tensor can't go unnoticed by a target
//! that was computed elsewhere.
//!
//! With `shorter` open targets are only changed where fewer calls are left: the shape of a tensor that is there anyway is
//! one `Shape` of it, which a target computed from the inputs' sizes may be too long for. This is for models that are not
//! cut any more.
//!
//! Exact, because for every input that the declared types allow the operands hold the same, or make the call do the
//! same. The arithmetic that nobody needs then is left to `dce`. What depends on nothing but the inputs' shapes already
//! stays as it is, and so do values that graph outputs or subgraphs look at.

use super::edit::{ask, is_listed, new_constant};
use super::foldable::SMALL;
use super::shorter::Shorter;
use super::{Change, Context, Materializer, OptionError, Options, Pass, PassError};
use crate::axes::Axes;
use crate::facts::{Element, Fact, Facts, count};
use crate::ir::{DType, Dim, Graph, Model, Node, NodeId, Tensor, Use, ValueId};
use crate::ops::{self, CutSizes};
use std::collections::{HashMap, HashSet};

/// Replaces run-time shape arithmetic.
pub(super) struct FoldShapes {
    /// Whether open targets are only changed where fewer calls are left.
    shorter: bool,
}

impl FoldShapes {
    /// Options: `shorter`.
    pub(super) fn new(options: &mut Options) -> Result<FoldShapes, OptionError> {
        Ok(FoldShapes { shorter: options.take_or("shorter", false)? })
    }
}

/// Numbers of so many bytes are welcome, whatever they are made of, in a model that is about to be cut.
const LARGE: usize = 1024;

/// What an operand has to be instead.
pub(super) enum Target {
    Constant(Tensor),
    /// Dimensions, some of them open: one axis of them or, where `scalar`, a single one in none. `told` is whether the
    /// call's rule says that these are what its operand has to be for its shapes.
    Computed {
        dims: Vec<Dim>,
        scalar: bool,
        told: bool,
    },
    /// The shape of a value.
    ShapeOf(ValueId),
}

impl Pass for FoldShapes {
    fn name(&self) -> &'static str {
        "fold-shapes"
    }

    fn run(&self, model: &mut Model, cx: &mut Context) -> Result<Change, PassError> {
        let facts = cx.facts(model);
        let uses = computed(model, &facts, self.shorter);
        let axes = if uses.iter().any(|u| number(facts.get(u.1)).is_none()) { Some(cx.axes(model)) } else { None };
        let mut targets = vec![];
        for (at, value) in uses {
            let target = match (number(facts.get(value)), &axes) {
                (Some(tensor), _) => Some(Target::Constant(tensor)),
                (None, Some(axes)) => open(model, &facts, axes, at, value),
                (None, None) => None,
            };
            targets.extend(target.map(|t| (at, value, t)));
        }
        if self.shorter {
            Shorter::new(model, &facts).choose(&mut targets);
        }
        Ok(Change(apply(model, targets)))
    }
}

/// Listed operands that are computed at run time, and of which something may be known. What feeds only other values
/// that are known in numbers is left out: nobody will need it. What is `steady` already is left out unless asked for.
fn computed(model: &Model, facts: &Facts, steady_too: bool) -> Vec<(Use, ValueId)> {
    let graph = &model.graph;
    let mut steady = HashMap::new();
    let constant = made_of_constants(graph);
    let is_weight = |v: ValueId| constant.contains(&v.node) && is_several_floats(facts.get(v));
    let is_known = |v: ValueId| number(facts.get(v)).is_some() && !is_weight(v);
    let is_number = |v: ValueId| is_known(v) || graph.uses(v).is_empty();
    // What holds many numbers is left to the passes that weigh what is worth it, unless a cut could change it.
    let most = if steady_too { SMALL } else { LARGE };
    let is_large = |v: ValueId| number(facts.get(v)).is_some_and(|t| t.byte_len() > most);
    let mut found = vec![];
    for node in graph.topological() {
        let inner = graph.results(node).all(is_number);
        for (slot, value) in graph.operands(node).into_iter().enumerate() {
            let at = Use { node, slot: slot as u16 };
            let Some(value) = value.filter(|v| graph.call(v.node).is_some() && is_listed(graph, at)) else { continue };
            let fact = facts.get(value);
            let small = fact.dtype == Some(DType::I64) && fact.rank().is_some_and(|r| r < 2);
            let open = small && (steady_too || !is_steady(graph, value, &mut steady));
            let wanted = match is_known(value) {
                true => !is_large(value) || !is_steady(graph, value, &mut steady),
                false => open,
            };
            if wanted && !(inner && graph.is_used(node)) {
                found.push((at, value));
            }
        }
    }
    found
}

/// Constants, and calls that are made of nothing else. A few floats of these, such as a reshaped bias, are no shape but
/// something to cut.
fn made_of_constants(graph: &Graph) -> HashSet<NodeId> {
    let mut found = HashSet::new();
    for node in graph.topological() {
        let mut operands = graph.operands(node).into_iter().flatten().peekable();
        let made = operands.peek().is_some() && operands.all(|v| found.contains(&v.node));
        if graph.constant(node).is_some() || made {
            found.insert(node);
        }
    }
    found
}

fn is_several_floats(fact: &Fact) -> bool {
    fact.dtype.is_some_and(DType::is_float) && fact.shape.as_deref().and_then(count).is_some_and(|n| n >= 2)
}

/// Whether a value depends on nothing but constants and the shapes of inputs.
fn is_steady(graph: &Graph, value: ValueId, known: &mut HashMap<NodeId, bool>) -> bool {
    let is_input = |v: ValueId| matches!(graph.node(v.node), Node::Input(_));
    let mut waiting = vec![value.node];
    while let Some(&node) = waiting.last() {
        let operands: Vec<ValueId> = graph.operands(node).into_iter().flatten().collect();
        let own = match graph.node(node) {
            Node::Constant(_) => Some(true),
            Node::Call(c) if c.op == "Shape" && c.domain.is_empty() && operands.iter().all(|&v| is_input(v)) => {
                Some(true)
            }
            Node::Call(c) if c.graphs().next().is_none() && !operands.is_empty() => None,
            _ => Some(false),
        };
        let missing: Vec<NodeId> = operands.iter().map(|v| v.node).filter(|n| !known.contains_key(n)).collect();
        if own.is_none() && !missing.is_empty() {
            waiting.extend(missing);
            continue;
        }
        let steady = own.unwrap_or_else(|| operands.iter().all(|v| known[&v.node]));
        known.insert(node, steady);
        waiting.pop();
    }
    known.get(&value.node) == Some(&true)
}

/// The tensor that a value is, where every element is known in numbers.
pub(super) fn number(fact: &Fact) -> Option<Tensor> {
    let (dtype, elements) = (fact.dtype?, &fact.content.as_ref()?.0);
    let shape: Vec<usize> = fact.shape.as_ref()?.iter().map(Dim::size).collect::<Option<_>>()?;
    if dtype == DType::I64 {
        return Some(Tensor::from_i64(shape, &fact.ints()?));
    }
    // Whole numbers beyond this are not all doubles.
    const EXACT: u64 = 1 << 53;
    let plain = |e: &Element| match e {
        Element::Int(d) => d.fixed().filter(|n| n.unsigned_abs() <= EXACT).map(|n| n as f64),
        Element::Float(x) => Some(*x),
        Element::Bool(b) => Some(f64::from(u8::from(*b))),
        Element::Unknown => None,
    };
    let values: Vec<f64> = elements.iter().map(plain).collect::<Option<_>>()?;
    Tensor::from_f64(dtype, shape, &values)
}

/// What an operand whose elements are not all numbers has to be.
fn open(model: &Model, facts: &Facts, axes: &Axes, at: Use, value: ValueId) -> Option<Target> {
    let scalar = facts.get(value).rank() == Some(0);
    let rule = ops::rule_of(model, model.graph.call(at.node)?);
    let shape = |v: Option<ValueId>| v.and_then(|v| facts.shape(v)).map(<[Dim]>::to_vec);
    let size = |label: &str| {
        let binding = axes.bindings(at.node).iter().find(|b| b.name == label)?;
        Some((axes.solver().size(binding.var).clone(), None))
    };
    let cut = CutSizes {
        operands: model.graph.operands(at.node).into_iter().map(shape).collect(),
        results: model.graph.results(at.node).map(|v| shape(Some(v))).collect(),
        labels: &size,
    };
    let refit = ask(model, facts, at.node, |site| (rule.refit)(site, &cut).ok()).flatten();
    let told = refit.into_iter().flat_map(|r| r.operands).find(|o| o.0 == usize::from(at.slot) && o.2 == scalar);
    let is_told = told.is_some();
    let dims = told.map(|o| o.1).or_else(|| facts.get(value).dims())?;
    Some(Target::Computed { dims, scalar, told: is_told })
}

/// Puts the targets in place; how many of them could be said.
fn apply(model: &mut Model, targets: Vec<(Use, ValueId, Target)>) -> usize {
    let mut materializer = Materializer::new(&model.graph, model.ir_version);
    let mut constants: HashMap<ValueId, ValueId> = HashMap::new();
    let mut changed = 0;
    for (at, old, target) in targets {
        let graph = &mut model.graph;
        let new = match target {
            Target::Computed { dims, scalar, .. } => materializer.value(graph, &dims, scalar, at.node),
            Target::ShapeOf(value) => Some(materializer.shape_of(graph, value, at.node)),
            Target::Constant(_) if constants.contains_key(&old) => constants.get(&old).copied(),
            Target::Constant(tensor) => {
                let name = materializer.fresh_name(graph, old);
                let node = graph.add_before(at.node, new_constant(model.ir_version, name, tensor));
                constants.insert(old, ValueId { node, port: 0 });
                Some(ValueId { node, port: 0 })
            }
        };
        if let Some(new) = new {
            graph.connect(new, at);
            changed += 1;
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use crate::passes::tests::{after, nothing_to_do};

    #[test]
    fn numbers_become_constants() {
        let text = "g (f32[2,3,4] x) => (f32[6,4] y) {
            i64[1] i = {2}
            i64[1] m = {-1}
            s = Shape(x)
            b = Gather(s, i)
            t = Concat<axis=0>(m, b)
            y = Reshape(x, t)
        }";
        insta::assert_snapshot!(after("fold-shapes,dce", text), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[2,3,4] x) => (f32[6,4] y) {
          i64[2] t_0 = {-1, 4}
          y = Reshape(x, t_0)
        }
        "#);
    }

    #[test]
    fn a_bias_in_another_shape_is_no_shape() {
        nothing_to_do(
            "fold-shapes",
            "g (f32[2,3] x) => (f32[2,3] y) {
                f32[3] b = {1.0, 2.0, 3.0}
                i64[2] t = {1, 3}
                r = Reshape(b, t)
                y = Add(x, r)
            }",
        );
    }

    #[test]
    fn an_open_target_asks_the_rule() {
        let text = "g (f32[batch,3,4] x) => (f32[batch,12] y) {
            i64 i = {0}
            i64[1] zero = {0}
            i64[1] m = {-1}
            r = Relu(x)
            s = Shape(r)
            b = Gather(s, i)
            u = Unsqueeze(b, zero)
            t = Concat<axis=0>(u, m)
            y = Reshape(r, t)
        }";
        insta::assert_snapshot!(after("fold-shapes,dce", text), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[batch,3,4] x) => (f32[batch,12] y) {
          r = Relu(x)
          i64[2] dims_14 = {0, -1}
          y = Reshape(r, dims_14)
        }
        "#);
    }

    #[test]
    fn others_are_computed_from_the_inputs() {
        let text = "g (f32[batch,3] x) => (f32[..] y) {
            f32[1,3] w = {1.0, 2.0, 3.0}
            r = Relu(x)
            s = Shape(r)
            y = Expand(w, s)
        }";
        insta::assert_snapshot!(after("fold-shapes,dce", text), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[batch,3] x) => (f32[..] y) {
          f32[1,3] w = {1.0, 2.0, 3.0}
          dims_0 = Shape(x)
          i64[1] dims_2 = {0}
          dims_4 = Gather(dims_0, dims_2)
          i64[1] dims_6 = {1}
          dims_8 = Concat<axis=0>(dims_4, dims_6)
          y = Expand(w, dims_8)
        }
        "#);
    }

    #[test]
    fn what_the_inputs_say_stays() {
        nothing_to_do(
            "fold-shapes",
            "g (f32[batch,3] x, i64[2] t) => (f32[..] y, f32[..] z) {
                f32[1,3] w = {1.0, 2.0, 3.0}
                s = Shape(x)
                y = Expand(w, s)
                z = Expand(w, t)
            }",
        );
    }
}
