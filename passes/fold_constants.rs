//! `fold-constants` computes calls whose operands are all constant.
//!
//! ```text
//! f32[4,8] w #…                        f32[8,4] t_0 #…
//! t = Transpose(w)          →          y = MatMul(x, t_0)
//! y = MatMul(x, t)
//! ```
//!
//! The oracle computes them: all of a model in one run, or one by one where that fails. Where it can't, or in a build
//! without one, what inference knows of small tensors is used. Exact, because the same operators are applied to the
//! same numbers.
//!
//! A call is left alone if its result may take more bytes than the constants that go away with it, if its operator is
//! unknown, has subgraphs or is not the same each time, and if it feeds a graph output or a subgraph.

use super::edit::{dense, is_listed, new_constant};
use super::fold_shapes::number;
use super::{Change, Context, Pass, PassError, dce};
use crate::feed::Feed;
use crate::infer::{Fact, Facts, count};
use crate::ir::{Call, Extra, Graph, Model, Node, NodeId, Origin, Tensor, Trace, Type, ValueId, ValueInfo};
use crate::ops;
use crate::oracle::Runner;
use crate::save;
use std::collections::{HashMap, HashSet};

pub struct FoldConstants;

impl Pass for FoldConstants {
    fn name(&self) -> &'static str {
        "fold-constants"
    }

    fn run(&self, model: &mut Model, cx: &mut Context) -> Result<Change, PassError> {
        let facts = cx.facts(model);
        let values = frontier(&model.graph, &foldable(model, &facts, true));
        let tensors = evaluate(model, &facts, &values, cx);
        let mut taken = if tensors.is_empty() { HashSet::new() } else { model.graph.all_names() };
        let changed = tensors.len();
        for (value, tensor) in tensors {
            replace(model, value, tensor, vec![], &mut taken);
        }
        Ok(Change(changed))
    }
}

/// Operators that give something else each time, and the one by which runtimes know weights that they keep in few
/// bits.
const LEFT_ALONE: &[&str] = &[
    "Bernoulli",
    "DequantizeLinear",
    "Dropout",
    "Multinomial",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
];

/// Results of at most so many bytes are welcome, whatever they are made of.
pub(super) const SMALL: usize = 1024;

/// The calls that can be computed; if `smaller`, those whose results take no more bytes than what goes with them.
pub(super) fn foldable(model: &Model, facts: &Facts, smaller: bool) -> HashSet<NodeId> {
    let graph = &model.graph;
    // What each of them is made of: constants and calls.
    let mut made_of: HashMap<NodeId, HashSet<NodeId>> = HashMap::new();
    for node in graph.topological() {
        let Some(call) = graph.call(node) else { continue };
        let operands: Vec<ValueId> = graph.operands(node).into_iter().flatten().collect();
        let is_constant =
            |v: &ValueId| made_of.contains_key(&v.node) || dense(graph, *v).is_some_and(|c| c.tensor.raw().is_ok());
        if operands.is_empty() || !is_computable(model, call) || !operands.iter().all(is_constant) {
            continue;
        }
        let mut cone: HashSet<NodeId> = HashSet::from([node]);
        for v in operands {
            cone.insert(v.node);
            cone.extend(made_of.get(&v.node).into_iter().flatten());
        }
        let bytes = |v| Some(facts.get(v).dtype?.bytes(count(facts.shape(v)?)?));
        let used = graph.results(node).filter(|&v| !graph.uses(v).is_empty());
        let size = used.map(bytes).sum::<Option<usize>>();
        if !smaller || size.is_some_and(|size| size <= SMALL.max(freed(graph, &cone))) {
            made_of.insert(node, cone);
        }
    }
    made_of.into_keys().collect()
}

fn is_computable(model: &Model, call: &Call) -> bool {
    let known = ops::rule(&call.domain, &call.op).is_some() && !model.is_local(call);
    // What an iteration gets is no constant, even if it begins with one.
    known
        && call.domain != ops::body::DOMAIN
        && call.graphs().next().is_none()
        && !LEFT_ALONE.contains(&call.op.as_str())
}

/// Bytes of the constants that nothing outside a set of nodes uses.
pub(super) fn freed(graph: &Graph, cone: &HashSet<NodeId>) -> usize {
    let inside = |v: ValueId| graph.uses(v).iter().all(|u| cone.contains(&u.node));
    let values = cone.iter().map(|&node| ValueId { node, port: 0 }).filter(|&v| graph.constant(v.node).is_some());
    values.filter(|&v| inside(v)).filter_map(|v| graph.tensor(v)).map(Tensor::byte_len).sum()
}

/// Results of foldable calls that others use, in the order of the data.
pub(super) fn frontier(graph: &Graph, foldable: &HashSet<NodeId>) -> Vec<ValueId> {
    let wanted = |v: &ValueId| graph.uses(*v).iter().any(|u| is_listed(graph, *u) && !foldable.contains(&u.node));
    let calls = graph.topological().into_iter().filter(|n| foldable.contains(n));
    calls.flat_map(|n| graph.results(n)).filter(wanted).collect()
}

/// What the values are. Those that nobody can compute are left out.
pub(super) fn evaluate(model: &Model, facts: &Facts, values: &[ValueId], cx: &mut Context) -> Vec<(ValueId, Tensor)> {
    let known = |v: ValueId| number(facts.get(v)).map(|t| (v, t));
    // What inference knows needs no oracle.
    let (easy, hard): (Vec<ValueId>, Vec<ValueId>) = values.iter().partition(|&&v| known(v).is_some());
    let mut found: Vec<(ValueId, Tensor)> = easy.into_iter().filter_map(known).collect();
    if hard.is_empty() {
        return found;
    }
    let oracle = |values: &[ValueId]| {
        let tensors = run(model, facts, values)?;
        let fits = |(v, t): &(ValueId, Tensor)| agrees(facts.get(*v), t);
        Ok::<_, String>(values.iter().copied().zip(tensors).filter(fits).collect::<Vec<_>>())
    };
    match oracle(&hard) {
        Ok(all) => found.extend(all),
        Err(why) if hard.len() == 1 => cx.note(format!("left {}: {why}", model.graph.value_name(hard[0]))),
        Err(_) => {
            for &value in &hard {
                match oracle(&[value]) {
                    Ok(one) => found.extend(one),
                    Err(why) => cx.note(format!("left {}: {why}", model.graph.value_name(value))),
                }
            }
        }
    }
    found
}

/// Whether a computed tensor is what inference expects.
fn agrees(fact: &Fact, t: &Tensor) -> bool {
    let dims = t.shape.iter().map(|&d| d.into()).collect::<Vec<_>>();
    fact.dtype == Some(t.dtype) && fact.shape.as_ref() == Some(&dims)
}

/// Has the oracle compute values of a model that depend on no input.
fn run(model: &Model, facts: &Facts, values: &[ValueId]) -> Result<Vec<Tensor>, String> {
    let mut part = Model { metadata: vec![], functions: vec![], extra: Extra::new(), ..model.clone() };
    let graph = &mut part.graph;
    graph.outputs().into_iter().for_each(|n| _ = graph.remove(n));
    for &value in values {
        let ty = facts.get(value).ty().map_or(Type::Other, Type::Tensor);
        graph.add_output(value, ValueInfo::new(graph.value_name(value).to_owned(), ty));
    }
    dce::dead(graph).into_iter().for_each(|n| _ = graph.remove(n));
    graph.inputs().into_iter().for_each(|n| _ = graph.remove(n));
    (graph.value_info, graph.extra) = (vec![], Extra::new());
    let bytes = save::to_bytes(&part).map_err(|e| e.to_string())?;
    let runner = Runner::new(&bytes, None, &[]).map_err(|e| e.to_string())?;
    let results = runner.run(&Feed::default()).map_err(|e| e.to_string())?;
    if results.len() != values.len() {
        return Err(format!("the oracle returned {} values of {}", results.len(), values.len()));
    }
    Ok(results.into_iter().map(|(_, tensor)| tensor).collect())
}

/// Puts a computed constant in the place of a value; the traces tell what it has of the input file's constants.
pub(super) fn replace(
    model: &mut Model,
    value: ValueId,
    tensor: Tensor,
    traces: Vec<Trace>,
    taken: &mut HashSet<String>,
) {
    let graph = &mut model.graph;
    let uses = graph.uses(value).into_iter().filter(|&u| is_listed(graph, u)).collect::<Vec<_>>();
    let base = graph.value_name(value).to_owned();
    let name = graph.fresh_name(&base, taken);
    let Node::Constant(mut constant) = new_constant(model.ir_version, name, tensor) else { return };
    constant.origin = Origin::Computed(traces);
    let node = graph.add_before(value.node, Node::Constant(constant));
    uses.into_iter().for_each(|u| graph.connect(ValueId { node, port: 0 }, u));
}

#[cfg(test)]
mod tests {
    use crate::passes::tests::{after, nothing_to_do};

    #[test]
    fn small_numbers_need_no_oracle() {
        let text = "g (f32[2,3] x) => (f32[6] y) {
            i64[1] a = {2}
            i64[1] b = {3}
            t = Mul(a, b)
            y = Reshape(x, t)
        }";
        insta::assert_snapshot!(after("fold-constants,dce", text), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[2,3] x) => (f32[6] y) {
          i64[1] t_0 = {6}
          y = Reshape(x, t_0)
        }
        "#);
    }

    #[test]
    #[cfg(feature = "tract")]
    fn the_oracle_computes_the_rest() {
        let text = "g (f32[2,3] x) => (f32[2,9] y, f32[2,9] z) {
            f32[9,3] w = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.0,
                18.0, 19.0, 20.0, 21.0, 22.0, 23.0, 24.0, 25.0, 26.0, 27.0}
            t = Transpose<perm=[1,0]>(w)
            n = Neg(t)
            y = MatMul(x, t)
            z = MatMul(x, n)
        }";
        let text = after("fold-constants,dce", text);
        assert!(!text.contains("Transpose") && !text.contains("Neg"), "{text}");
    }

    #[test]
    fn what_is_bigger_or_random_stays() {
        nothing_to_do(
            "fold-constants",
            "g (f32[4096] x) => (f32[4096] y) {
                i64[1] n = {4096}
                f32 w = {0.5}
                big = Expand(w, n)
                r = RandomNormalLike(w)
                a = Mul(x, big)
                y = Mul(a, r)
            }",
        );
    }
}
