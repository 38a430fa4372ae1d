//! Reductions: sums, means, norms and extrema over axes.
//!
//! A plain sum over an axis is a contraction: what is zero adds nothing, so removing it is exact. A mean, product or
//! extremum changes when units go, even silent ones: its axes are `c!`.

use super::shared::content::{self, carry, flat, indices, rounded, small};
use super::{AxisRule, Open, Rule, Site, ValueLaws, ZeroLaws, lower, normalize_axis, zero};
use crate::facts::{Element, Fact};
use crate::ir::{DType, Dim};
use crate::program::{Args, Term};

/// A reduction: how its label is marked, its law of zeros, and what it is made of.
macro_rules! reduction {
    ($mark:literal, $zero:expr, $over:expr) => {
        Rule {
            infer: |site| infer(site, |_, _| None),
            axes: |site| axes(site, $mark),
            zeros: ZeroLaws { results: $zero, ..ZeroLaws::SUM },
            lower: |site, at| over(site, at, $over),
            ..Rule::OPAQUE
        }
    };
}

/// A reduction that gives a single element back as it is, and how two of them combine.
macro_rules! idempotent {
    ($mark:literal, $eval:expr, $over:expr) => {
        Rule {
            infer: |site| infer(site, |site, axes| combined(site, axes, $eval)),
            values: ValueLaws { identity: keeps_all, ..ValueLaws::OPAQUE },
            ..reduction!($mark, zero::first, $over)
        }
    };
}

pub(super) const RULES: &[(&str, Rule)] = &[
    ("ReduceSum", idempotent!("", content::add, |x, axes| x.sum(axes))),
    ("ReduceMean", idempotent!("!", |_, _| Element::Unknown, lower::reduce::mean)),
    ("ReduceMax", idempotent!("!", content::max, |x, axes| x.largest(axes))),
    ("ReduceMin", idempotent!("!", content::min, lower::reduce::smallest)),
    ("ReduceProd", idempotent!("!", content::mul, |x, axes| x.product(axes))),
    ("ReduceL1", reduction!("", zero::first, lower::reduce::l1)),
    ("ReduceL2", reduction!("", zero::first, lower::reduce::l2)),
    ("ReduceSumSquare", reduction!("", zero::first, |x, axes| x.square().sum(axes))),
    (
        "ReduceLogSum",
        Rule {
            zeros: ZeroLaws { absorbing: zero::any, pole: zero::first, ..ZeroLaws::OPAQUE },
            ..reduction!("!", zero::never, |x, axes| x.sum(axes).ln())
        },
    ),
    ("ReduceLogSumExp", reduction!("!", zero::never, lower::reduce::log_sum_exp)),
    ("ArgMax", Rule { lower: |site, at| lower::reduce::place(site, at, false), ..ARG }),
    ("ArgMin", Rule { lower: |site, at| lower::reduce::place(site, at, true), ..ARG }),
];

/// A reduction over axes, which stay with size 1.
type Over = for<'b> fn(Term<'b>, &[usize]) -> Term<'b>;

/// The reduction in the shape that is asked for.
fn over<'b>(site: &Site, at: &Args<'b>, over: Over) -> Result<Vec<Term<'b>>, String> {
    let axes = reduced(site).ok_or("the axes to reduce are computed at run time")?;
    Ok(vec![over(at.at(0)?, &axes).reshape(&lower::result_shape(site, 0)?)])
}

/// ArgMax, ArgMin: the position of the extremum along `axis`. Positions are counted, so no unit may go.
const ARG: Rule = Rule {
    infer: |site| {
        let Some(shape) = site.shape(0) else { return Ok(vec![Fact::maybe(Some(DType::I64), None)]) };
        let axis = site.axis("axis", 0, shape.len())?;
        Ok(vec![Fact::new(DType::I64, remaining(shape, &[axis], keepdims(site)))])
    },
    axes: |site| {
        let rank = site.rank(0)?;
        let axis = site.axis("axis", 0, rank).ok()?;
        let (from, to) = rows(rank, &[axis], "_", keepdims(site));
        Some(AxisRule::new(format!("{from} -> {to}")).why("it counts positions along this axis"))
    },
    ..Rule::OPAQUE
};

fn keepdims(site: &Site) -> bool {
    site.call.int("keepdims", 1) != 0
}

/// The axes that are reduced, ascending: an attribute, or since opset 18 (ReduceSum: 13) an operand. None means all
/// of them, unless `noop_with_empty_axes` says none.
fn reduced(site: &Site) -> Option<Vec<usize>> {
    let rank = site.rank(0)?;
    resolve(site, rank).ok()?.ok()
}

fn resolve(site: &Site, rank: usize) -> Result<Result<Vec<usize>, Open>, String> {
    let given = match site.ints_from("axes", 1) {
        Ok(given) => given.unwrap_or_default(),
        Err(Open) => return Ok(Err(Open)),
    };
    if given.is_empty() {
        let none = site.call.int("noop_with_empty_axes", 0) != 0;
        return Ok(Ok(if none { vec![] } else { (0..rank).collect() }));
    }
    let mut axes = given.into_iter().map(|a| normalize_axis(a, rank)).collect::<Result<Vec<_>, _>>()?;
    axes.sort_unstable();
    axes.dedup();
    axes.retain(|&axis| axis < rank);
    Ok(Ok(axes))
}

fn remaining(shape: &[Dim], axes: &[usize], keep: bool) -> Vec<Dim> {
    let dims = shape.iter().enumerate().map(|(i, d)| match axes.contains(&i) {
        false => Some(d.clone()),
        true => keep.then_some(Dim::Fixed(1)),
    });
    dims.flatten().collect()
}

/// The elements of the result over these axes.
pub(super) type Eval = fn(&Site, &[usize]) -> Option<Vec<Element>>;

/// The fact of a reduction's result.
pub(super) fn infer(site: &Site, eval: Eval) -> Result<Vec<Fact>, String> {
    let Some(shape) = site.shape(0) else { return Ok(vec![Fact::maybe(site.dtype(0), None)]) };
    let Ok(axes) = resolve(site, shape.len())? else {
        let dims = keepdims(site).then(|| shape.iter().map(|_| site.unknown()).collect());
        return Ok(vec![Fact::maybe(site.dtype(0), dims)]);
    };
    let fact = Fact::maybe(site.dtype(0), Some(remaining(shape, &axes, keepdims(site))));
    Ok(vec![match eval(site, &axes) {
        Some(elements) => carry(fact, elements),
        None => fact,
    }])
}

/// The elements of the result, where those of the operand are known.
fn combined(site: &Site, axes: &[usize], eval: content::BinaryFn) -> Option<Vec<Element>> {
    let known = site.fact(0).content.as_ref()?;
    let from = small(site.shape(0)?)?;
    let to: Vec<usize> = from.iter().enumerate().map(|(i, &n)| if axes.contains(&i) { 1 } else { n }).collect();
    let mut out: Vec<Option<Element>> = vec![None; to.iter().product()];
    for (index, e) in indices(&from).zip(&known.0) {
        let at: Vec<usize> = index.iter().zip(&to).map(|(&i, &n)| if n == 1 { 0 } else { i }).collect();
        let sum = out.get_mut(flat(&at, &to))?;
        *sum = Some(match sum.take() {
            None => e.clone(),
            Some(before) => rounded(eval(&before, e), site.dtype(0)),
        });
    }
    out.into_iter().collect()
}

/// The axes of a reduction, the reduced ones marked.
pub(super) fn axes(site: &Site, mark: &str) -> Option<AxisRule> {
    let rank = site.rank(0)?;
    let Some(axes) = reduced(site) else {
        return keepdims(site)
            .then(|| AxisRule::new("_*, _* -> _*").why("the axes to reduce are computed at run time"));
    };
    let (from, _) = rows(rank, &axes, "", true);
    let labels = from.split(' ').enumerate().map(|(i, l)| match axes.contains(&i) {
        true => format!("r{i}{mark}"),
        false => l.to_owned(),
    });
    let from = if rank == 0 { String::new() } else { labels.collect::<Vec<_>>().join(" ") };
    let (_, to) = rows(rank, &axes, "", keepdims(site));
    Some(AxisRule::new(format!("{from}, _* -> {to}")))
}

/// Axes as text before and after a reduction.
fn rows(rank: usize, axes: &[usize], over: &str, keep: bool) -> (String, String) {
    let label = |i: usize, with: &str| if axes.contains(&i) { with.to_owned() } else { format!("x{i}") };
    let from: Vec<String> = (0..rank).map(|i| label(i, over)).collect();
    let to: Vec<String> = (0..rank).filter(|i| keep || !axes.contains(i)).map(|i| label(i, "1")).collect();
    (from.join(" "), to.join(" "))
}

/// Whether only axes of length 1 are reduced, and kept.
fn keeps_all(site: &Site) -> bool {
    let Some(axes) = reduced(site) else { return false };
    let single = |axis: &usize| site.dim(0, *axis) == Some(&Dim::Fixed(1));
    axes.is_empty() || (keepdims(site) && axes.iter().all(single))
}

#[cfg(test)]
mod tests {
    use crate::ops::testing::nets::{Net, int, ints};

    #[test]
    fn a_sum_contracts_and_a_mean_is_not_exact() {
        let mut net = Net::new(11);
        let (w, v) = (net.weight(&[8, 4, 3]), net.weight(&[8, 4, 3]));
        let sum = net.call("ReduceSum", &[w], &[("axes", ints(&[1]))]);
        let mean = net.call("ReduceMean", &[v], &[("axes", ints(&[-2])), ("keepdims", int(0))]);
        assert_eq!(net.show(sum), "f32[8, 1, 3]");
        assert_eq!(net.show(mean), "f32[8, 3]");
        assert_eq!(net.show_axes(&[w, sum]), "[c0:8, c1:4, c2:3] [c0:8, 1, c2:3]");
        assert_eq!(net.show_axes(&[v, mean]), "[c3:8, c4!:4, c5:3] [c3:8, c5:3]");
    }

    #[test]
    fn axes_are_an_operand_since_opset_13() {
        let mut net = Net::new(18);
        let x = net.input("f32 n 4 h");
        let (axes, none, open) = (net.ints(&[2]), net.ints(&[]), net.input("i64 1"));
        let over = net.call("ReduceMax", &[x, axes], &[]);
        let all = net.call("ReduceMax", &[x], &[("keepdims", int(0))]);
        let nothing = net.call("ReduceMax", &[x, none], &[("noop_with_empty_axes", int(1))]);
        let unclear = net.call("ReduceMax", &[x, open], &[]);
        let shown = [over, all, nothing, unclear].map(|v| net.show(v));
        assert_eq!(shown, ["f32[n, 4, 1]", "f32[]", "f32[n, 4, h]", "f32[?0, ?1, ?2]"]);
        assert!(net.is_identity(nothing) && !net.is_identity(over));
        assert_eq!(net.axes().of(all).map(<[_]>::len), Some(0));
    }

    #[test]
    fn products_of_shapes_are_computed() {
        let mut net = Net::new(17);
        let x = net.input("f32 n 4 h");
        let shape = net.call("Shape", &[x], &[]);
        let product = net.call("ReduceProd", &[shape], &[("keepdims", int(0))]);
        assert_eq!(net.show(product), "i64[] = {4*h*n}");
        let arg = net.call("ArgMax", &[x], &[("axis", int(-1)), ("keepdims", int(0))]);
        assert_eq!(net.show(arg), "i64[n, 4]");
        let norm = net.call("ReduceL1", &[product], &[]);
        assert_eq!(net.show(norm), "i64[]");
        assert!(!net.is_identity(norm));
    }

    #[test]
    fn odd_axes_contradict() {
        let mut net = Net::new(11);
        let x = net.input("f32 n 4");
        net.call("ReduceSum", &[x], &[("axes", ints(&[5]))]);
        net.call("ArgMin", &[x], &[("axis", int(i64::MIN))]);
        assert_eq!(net.contradictions().len(), 2);
    }
}
