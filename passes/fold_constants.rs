//! `fold-constants` computes calls whose operands are all constant.
//!
//! ```text
//! f32[4,8] w #…                        f32[8,4] t_0 #…
//! t = Transpose(w)          →          y = MatMul(x, t_0)
//! y = MatMul(x, t)
//! ```
//!
//! The pipeline's evaluator computes them: all of a model in one run, or in halves where that fails. Where it can't, or where
//! there is none, what inference knows of small tensors is used. Exact, because the same operators are applied to the
//! same numbers.
//!
//! A call is left alone if its operator is unknown, has subgraphs or is not the same each time, and if it feeds a graph
//! output or a subgraph. So are calls that would make the model larger ([`super::foldable`]); the option `max-bytes`
//! says up to how many bytes a result is welcome all the same.

use super::edit::{is_listed, new_constant};
use super::fold_shapes::number;
use super::foldable;
use super::foldable::SMALL;
use super::{Change, Context, OptionError, Options, Pass, PassError, dce};
use crate::facts::{Fact, Facts};
use crate::ir::{AxisTrace, Extra, Graph, Model, Node, NodeId, Origin, Tensor, Type, ValueId, ValueInfo};
use std::collections::HashSet;

/// Computes calls whose operands are all constant.
pub(super) struct FoldConstants {
    /// Results of at most so many bytes are computed, whatever they are made of.
    max_bytes: usize,
}

impl FoldConstants {
    /// Options: `max-bytes`.
    pub(super) fn new(options: &mut Options) -> Result<FoldConstants, OptionError> {
        Ok(FoldConstants { max_bytes: options.take_or("max-bytes", SMALL)? })
    }
}

impl Pass for FoldConstants {
    fn name(&self) -> &'static str {
        "fold-constants"
    }

    fn run(&self, model: &mut Model, cx: &mut Context) -> Result<Change, PassError> {
        let facts = cx.facts(model);
        let computable = foldable::computable(model, &facts);
        let chosen = foldable::without_growth(&model.graph, &facts, &computable, self.max_bytes);
        let values = frontier(&model.graph, &chosen);
        let tensors = evaluate(model, &facts, &values, cx);
        let mut taken = if tensors.is_empty() { HashSet::new() } else { model.graph.all_names() };
        let changed = tensors.len();
        for (value, tensor) in tensors {
            replace(model, value, tensor, vec![], &mut taken);
        }
        Ok(Change(changed))
    }
}

/// The calls that can be computed; if `smaller`, those whose results make the model no larger.
pub(super) fn foldable(model: &Model, facts: &Facts, smaller: bool) -> HashSet<NodeId> {
    let computable = foldable::computable(model, facts);
    match smaller {
        true => foldable::without_growth(&model.graph, facts, &computable, SMALL),
        false => computable.into_iter().collect(),
    }
}

/// Runs that fail are done again in halves, until so many nodes have been prepared.
const MOST_PREPARED: usize = 1 << 20;

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
    let oracle = |values: &[ValueId], cx: &Context| {
        let tensors = run(model, facts, values, cx)?;
        let fits = |(v, t): &(ValueId, Tensor)| agrees(facts.get(*v), t);
        Ok::<_, String>(values.iter().copied().zip(tensors).filter(fits).collect::<Vec<_>>())
    };
    let mut prepared = 0;
    let mut waiting = vec![&hard[..]];
    while let Some(values) = waiting.pop() {
        prepared += model.graph.len();
        match oracle(values, cx) {
            Ok(all) => found.extend(all),
            Err(_) if values.len() > 1 && prepared <= MOST_PREPARED => {
                let (front, back) = values.split_at(values.len() / 2);
                waiting.extend([back, front]);
            }
            Err(why) => values.iter().for_each(|&v| cx.note(format!("left {}: {why}", model.graph.value_name(v)))),
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
fn run(model: &Model, facts: &Facts, values: &[ValueId], cx: &Context) -> Result<Vec<Tensor>, String> {
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
    let results = cx.evaluate(&part)?;
    if results.len() != values.len() {
        return Err(format!("the oracle returned {} values of {}", results.len(), values.len()));
    }
    Ok(results)
}

/// Puts a computed constant in the place of a value; the traces tell what it has of the input file's constants.
pub(super) fn replace(
    model: &mut Model,
    value: ValueId,
    tensor: Tensor,
    traces: Vec<AxisTrace>,
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

    /// 36 numbers: more than what is small.
    const WEIGHT: &str =
        "f32[12,3] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24,
        25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36}";

    /// The operators that are left when constants are folded.
    #[cfg(feature = "tract")]
    fn left(pipeline: &str, text: &str) -> Vec<String> {
        let text = after(&format!("{pipeline},dce"), text);
        text.lines().filter_map(|l| l.split_once(" = ")?.1.split_once(['(', '<'])).map(|l| l.0.to_owned()).collect()
    }

    #[test]
    #[cfg(feature = "tract")]
    fn the_oracle_computes_the_rest() {
        let text = format!(
            "g (f32[2,3] x) => (f32[2,12] y, f32[2,12] z) {{
                {WEIGHT}
                t = Transpose<perm=[1,0]>(w)
                y = MatMul(x, t)
                n = Neg(t)
                z = MatMul(x, n)
            }}"
        );
        // Both would take twice the bytes of the file's constant; one takes as many.
        assert_eq!(left("fold-constants", &text), ["MatMul", "Neg", "MatMul"]);
        assert_eq!(left("fold-constants{max_bytes=144}", &text), ["MatMul", "MatMul"]);
    }

    #[test]
    #[cfg(feature = "tract")]
    fn what_gets_larger_on_the_way_may_be_small_in_the_end() {
        let text = format!(
            "g (f32[2,3] x) => (f32[2,3] y) {{
                {WEIGHT}
                i64[3] n = {{4, 12, 3}}
                big = Expand(w, n)
                s = ReduceSum<keepdims=0>(big)
                y = Mul(x, s)
            }}"
        );
        assert_eq!(left("fold-constants", &text), ["Mul"]);
    }

    #[test]
    fn a_constant_that_is_read_twice_is_not_stored_twice() {
        nothing_to_do(
            "fold-constants",
            &format!(
                "g (f32[2,3] x, f32[2,12] v) => (f32[2,12] y, f32[2,3] z) {{
                    {WEIGHT}
                    t = Transpose<perm=[1,0]>(w)
                    y = MatMul(x, t)
                    z = MatMul(v, w)
                }}"
            ),
        );
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
