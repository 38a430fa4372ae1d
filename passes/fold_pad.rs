//! `fold-pad` folds padding into the window that reads it.
//!
//! ```text
//! a = Pad(x, {0, 0, 1, 1, 0, 0, 1, 1})
//! y = Conv(a, w)                       →        y = Conv<pads=[1,1,1,1]>(x, w)
//! ```
//!
//! Exact where the window treats what is outside as the margin was filled. A convolution counts it as zero (the law
//! `windows` says so). A mean over a window counts zeros if it is told to include padding, and a maximum sees nothing
//! there: that is a margin of -∞, or of zeros around what is never negative, as the law `bounds` of the call before says.
//! Batch and channels have no margin, nothing is cut off, and the value in between has no other use.

use super::edit::{ask, is_listed};
use super::{Change, Context, Pass, PassError};
use crate::facts::Facts;
use crate::ir::{Attribute, Call, Model, NodeId, Use, ValueId};
use crate::ops::{self, Interval, Site};

pub(super) struct FoldPad;

/// A margin, and the call that takes it in.
struct Fold {
    pad: NodeId,
    window: NodeId,
    /// Before each axis, then behind each.
    pads: Vec<i64>,
    /// Whether a mean counts its padding now.
    counts: bool,
}

impl Pass for FoldPad {
    fn name(&self) -> &'static str {
        "fold-pad"
    }

    fn run(&self, model: &mut Model, cx: &mut Context) -> Result<Change, PassError> {
        let facts = cx.facts(model);
        let folds: Vec<Fold> = model.graph.topological().into_iter().filter_map(|n| fold(model, &facts, n)).collect();
        for Fold { pad, window, pads, counts } in &folds {
            let graph = &mut model.graph;
            if let Some(call) = graph.call_mut(*window) {
                call.attributes.shift_remove("auto_pad");
                call.attributes.insert("pads".into(), Attribute::Ints(pads.clone()));
                if *counts {
                    call.attributes.insert("count_include_pad".into(), Attribute::Int(1));
                }
            }
            if let Some(value) = graph.operand(*pad, 0) {
                graph.connect(value, Use { node: *window, slot: 0 });
            }
            graph.remove(*pad);
        }
        Ok(Change(folds.len()))
    }
}

fn fold(model: &Model, facts: &Facts, pad: NodeId) -> Option<Fold> {
    let graph = &model.graph;
    let (margins, value) = ask(model, facts, pad, ops::known_margins)??;
    let (outer, space) = margins.split_at_checked(2)?;
    let plain = outer.iter().all(|m| *m == (0, 0)) && space.iter().all(|m| m.0 >= 0 && m.1 >= 0);
    let [at] = graph.uses(ValueId { node: pad, port: 0 })[..] else { return None };
    // A window that is another one's neighbour waits for the next run.
    if !plain || at.slot != 0 || !is_listed(graph, at) || graph.region(at.node) != graph.region(pad) {
        return None;
    }
    let call = graph.call(at.node)?;
    let float = facts.get(ValueId { node: pad, port: 0 }).dtype?.is_float();
    if !float || !matches!(call.string("auto_pad", "NOTSET"), "NOTSET" | "VALID" | "") {
        return None;
    }
    let old = match call.ints("pads").filter(|_| call.string("auto_pad", "NOTSET") != "VALID") {
        Some(pads) if pads.len() == 2 * space.len() => pads.to_vec(),
        Some(_) => return None,
        None => vec![0; 2 * space.len()],
    };
    let never_negative = || graph.operand(pad, 0).is_some_and(|v| is_never_negative(model, facts, v));
    let counts = is_taken(model, facts, at.node, value, old.iter().any(|&n| n != 0), &never_negative)?;
    let all: Vec<i64> = space.iter().map(|m| m.0).chain(space.iter().map(|m| m.1)).collect();
    let pads: Vec<i64> = old.iter().zip(&all).map(|(a, b)| a.saturating_add(*b)).collect();
    (!is_pool(call) || is_inside(call, &pads)).then_some(Fold { pad, window: at.node, pads, counts })
}

/// Whether a call's padding is as a margin of this value; then whether it has to count its padding for that.
fn is_taken(
    model: &Model,
    facts: &Facts,
    node: NodeId,
    value: f64,
    is_padded: bool,
    never_negative: &dyn Fn() -> bool,
) -> Option<bool> {
    let call = model.graph.call(node)?;
    let windows = |site: &Site| !(ops::rule_of(model, site.call).operands.windows)(site).is_empty();
    if value == 0.0 && ask(model, facts, node, windows)? {
        return Some(false);
    }
    if call.int("ceil_mode", 0) != 0 || call.results.iter().skip(1).any(|r| !r.is_empty()) {
        return None;
    }
    match call.qualified().as_str() {
        "AveragePool" if value == 0.0 && call.int("count_include_pad", 0) != 0 => Some(true),
        // Padding that is there does not count, and the margin does.
        "AveragePool" if value == 0.0 && !is_padded && model.opset("") >= 7 => Some(true),
        "MaxPool" if value == f64::NEG_INFINITY => Some(false),
        "MaxPool" if value == 0.0 && is_dense(call) && never_negative() => Some(false),
        _ => None,
    }
}

/// Whether the elements of a window are neighbours, so that one that is not in the padding alone has some inside.
fn is_dense(call: &Call) -> bool {
    call.ints("dilations").is_none_or(|d| d.iter().all(|&n| n == 1))
}

fn is_pool(call: &Call) -> bool {
    matches!(call.qualified().as_str(), "AveragePool" | "MaxPool")
}

/// Whether no window of a pool lies in its padding alone, as runtimes ask for.
fn is_inside(call: &Call, pads: &[i64]) -> bool {
    let Some(kernel) = call.ints("kernel_shape") else { return false };
    2 * kernel.len() == pads.len() && pads.iter().zip(kernel.iter().cycle()).all(|(pad, k)| pad < k)
}

/// Whether a call makes no negative numbers, whatever it is given.
fn is_never_negative(model: &Model, facts: &Facts, value: ValueId) -> bool {
    let least = |site: &Site| {
        let any = vec![Interval::ANY; site.arity()];
        (ops::rule_of(model, site.call).values.bounds)(site, &any).map(|b| b.lo)
    };
    ask(model, facts, value.node, least).flatten().is_some_and(|lo| value.port == 0 && lo >= 0.0)
}

#[cfg(test)]
mod tests {
    use crate::passes::tests::{after, nothing_to_do};

    #[test]
    fn a_convolution_takes_it_in() {
        let text = "g (f32[1,1,4,4] x) => (f32[1,1,6,5] y) {
            f32[1,1,1,1] w = {2.0}
            i64[8] m = {0, 0, 1, 0, 0, 0, 0, 1}
            a = Pad(x, m)
            y = Conv<pads=[0,0,1,0]>(a, w)
        }";
        insta::assert_snapshot!(after("fold-pad,dce", text), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[1,1,4,4] x) => (f32[1,1,6,5] y) {
          f32[1,1,1,1] w = {2.0}
          y = Conv<pads=[1,0,1,1]>(x, w)
        }
        "#);
    }

    #[test]
    fn pools_take_what_they_would_see() {
        let text = "g (f32[1,1,4,4] x) => (f32[1,1,2,2] y, f32[1,1,2,2] z) {
            i64[8] m = {0, 0, 1, 1, 0, 0, 0, 0}
            r = Relu(x)
            a = Pad(r, m)
            y = MaxPool<kernel_shape=[3,3], strides=[2,2]>(a)
            b = Pad(x, m)
            z = AveragePool<kernel_shape=[3,3], strides=[2,2]>(b)
        }";
        insta::assert_snapshot!(after("fold-pad,dce", text), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[1,1,4,4] x) => (f32[1,1,2,2] y, f32[1,1,2,2] z) {
          r = Relu(x)
          y = MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,0,0]>(r)
          z = AveragePool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,0,0], count_include_pad=1>(x)
        }
        "#);
    }

    #[test]
    fn other_margins_stay() {
        nothing_to_do(
            "fold-pad",
            "g (f32[1,1,4,4] x) => (f32[1,1,6,6] y, f32[1,1,6,6] z, f32[1,3,4,4] v, f32[1,1,3,3] p, f32[1,1,3,3] q) {
                f32[1,1,1,1] w = {2.0}
                f32[3,3,1,1] u = {1, 2, 3, 4, 5, 6, 7, 8, 9}
                i64[8] m = {0, 0, 1, 1, 0, 0, 1, 1}
                i64[8] k = {0, 1, 0, 0, 0, 1, 0, 0}
                i64[8] n = {0, 0, -1, 0, 0, 0, 0, 0}
                f32 one = {1.0}
                a = Pad(x, m, one)
                y = Conv(a, w)
                b = Pad<mode=\"reflect\">(x, m)
                z = Conv(b, w)
                c = Pad(x, k)
                v = Conv(c, u)
                d = Pad(x, n)
                p = MaxPool<kernel_shape=[1,2]>(d)
                e = Pad(x, m)
                q = MaxPool<kernel_shape=[2,2], strides=[2,2]>(e)
            }",
        );
    }
}
