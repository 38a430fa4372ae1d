//! `fold-affine` folds products and sums with constants into the weights before them.
//!
//! ```text
//! a = Conv(x, w, b)
//! c = Mul(a, s)                        →          y = Conv(x, w', b')
//! y = Add(c, t)
//! ```
//!
//! With one number for each unit of an axis, or one for all: `s (w x + b) + t = (s w) x + (s b + t)`. Exact but for
//! rounding; see [`super::absorb`].
//!
//! Operators are known by their laws. What multiplies by constants is homogeneous in its data alone (`homogeneity`, by any
//! factor), and what adds a constant hands its data on where that is zero (`bypass`) and is homogeneous in both. The
//! numbers are what the law `bounds` says of points.

use super::absorb::{Affine, absorb};
use super::{Change, Context, Pass, PassError};
use crate::axes::{Expr, RuleText};
use crate::ir::{Model, Tensor};
use crate::ops::{self, Homogeneity, Interval, Rule, Site};

pub(super) struct FoldAffine;

impl Pass for FoldAffine {
    fn name(&self) -> &'static str {
        "fold-affine"
    }

    fn run(&self, model: &mut Model, cx: &mut Context) -> Result<Change, PassError> {
        Ok(absorb(model, cx, affine, |_| true))
    }
}

/// What a call does to its only computed operand, if that is a product or a sum with constants.
pub(super) fn affine(site: &Site) -> Option<Affine> {
    let rule = ops::rule(&site.call.domain, &site.call.op)?;
    let mut computed = (0..site.arity()).filter(|&slot| site.has(slot) && site.tensor(slot).is_none());
    let data = computed.next()?;
    if computed.next().is_some() || site.call.results.len() != 1 {
        return None;
    }
    let rank = site.rank(data)?;
    let slots: Vec<usize> = (0..site.arity()).filter(|&slot| site.tensor(slot).is_some()).collect();
    let numbers: Vec<Numbers> =
        slots.iter().map(|&slot| Numbers::of(site.tensor(slot)?, rank)).collect::<Option<_>>()?;
    let (axis, count) = numbers.iter().find(|n| n.axis.is_some()).map_or((None, 1), |n| (n.axis, n.values.len()));
    let alike = numbers.iter().all(|n| n.axis.is_none() || n.axis == axis && n.values.len() == count);
    if !alike || !is_elementwise(rule, site, data, axis) {
        return None;
    }
    let sums = is_sum(rule, site, data);
    if !sums && (rule.values.homogeneity)(site, &only(site, data)) != Homogeneity::Any {
        return None;
    }
    let at = |unit: usize, x: f64| {
        let mut operands = vec![Interval::point(x); site.arity()];
        slots.iter().zip(&numbers).for_each(|(&slot, n)| operands[slot] = Interval::point(n.at(unit)));
        (rule.values.bounds)(site, &operands)?.single()
    };
    let values: Vec<f64> = (0..count).map(|unit| at(unit, if sums { 0.0 } else { 1.0 })).collect::<Option<_>>()?;
    let (scale, shift) = if sums { (vec![1.0; count], values) } else { (values, vec![0.0; count]) };
    Some(Affine { data: data as u16, axis, scale, shift })
}

/// Whether the result is the data where the constant is zero, and the sum of both else.
fn is_sum(rule: &Rule, site: &Site, data: usize) -> bool {
    let all = vec![true; site.arity()];
    site.arity() == 2
        && (rule.values.bypass)(site, 1 - data) == Some(data)
        && (rule.values.homogeneity)(site, &all) == Homogeneity::Any
}

fn only(site: &Site, data: usize) -> Vec<bool> {
    (0..site.arity()).map(|slot| slot == data).collect()
}

/// Whether each element of the result is made of the same element of the data, and of the constants' at its place along
/// an axis. What divides pins that axis, and it alone.
fn is_elementwise(rule: &Rule, site: &Site, data: usize, axis: Option<usize>) -> bool {
    let known = || {
        let text = RuleText::parse(&(rule.axes)(site)?.text).ok()?;
        let rank = site.rank(data)?;
        let row = text.operands.get(data)?.for_rank(rank)?;
        let through = |(i, e): (usize, &Expr)| match e {
            Expr::Label(l) => !l.inexact && !l.unread,
            Expr::Pinned => axis == Some(i),
            _ => false,
        };
        let aligned = |slot: usize| {
            let Some(shape) = site.tensor(slot).map(|t| &t.shape) else { return true };
            let own = text.operands.get(slot).and_then(|t| t.for_rank(shape.len()));
            let at = |i: usize| own.as_ref().map(|own| &own[i]);
            (0..shape.len()).all(|i| shape[i] == 1 || at(i) == row.get(i + rank - shape.len()))
        };
        let same = site.shape(data) == site.result_shape(0) && site.dtype(data) == site.result(0).dtype;
        let whole = row.iter().enumerate().all(through) && text.results.first()?.for_rank(rank)? == row;
        Some(same && whole && site.dtype(data)?.is_float() && (0..site.arity()).all(aligned))
    };
    known() == Some(true)
}

/// A constant with one number for each unit of an axis, or one for all.
struct Numbers {
    axis: Option<usize>,
    values: Vec<f64>,
}

impl Numbers {
    /// `rank` is the data's; axes are aligned from its last one on.
    fn of(t: &Tensor, rank: usize) -> Option<Numbers> {
        let lead = rank.checked_sub(t.shape.len())?;
        let mut long = (0..t.shape.len()).filter(|&i| t.shape[i] != 1);
        let axis = long.next().map(|i| i + lead);
        let values = t.to_f64().ok().filter(|v| !v.is_empty() && t.dtype.is_float())?;
        long.next().is_none().then_some(Numbers { axis, values })
    }

    fn at(&self, unit: usize) -> f64 {
        if self.axis.is_some() { self.values[unit] } else { self.values[0] }
    }
}

#[cfg(test)]
mod tests {
    use crate::passes::tests::{after, nothing_to_do};

    #[test]
    fn factors_and_summands_of_a_convolution() {
        let text = "g (f32[1,1,4,4] x) => (f32[1,2,4,4] y) {
            f32[2,1,1,1] w = {1.0, 2.0}
            f32[2,1,1] s = {2.0, 3.0}
            f32[1,2,1,1] t = {1.0, -1.0}
            f32[2,1,1] h = {0.5, 4.0}
            a = Conv(x, w)
            b = Mul(a, s)
            c = Add(t, b)
            y = Div(c, h)
        }";
        insta::assert_snapshot!(after("fold-affine,dce", text), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[1,1,4,4] x) => (f32[1,2,4,4] y) {
          f32[2,1,1,1] w = {4.0, 1.5}
          f32[2] w_bias_0 = {2.0, -0.25}
          y = Conv(x, w, w_bias_0)
        }
        "#);
    }

    #[test]
    fn a_product_of_matrices_keeps_its_sum_behind() {
        let text = "g (f32[1,5,3] x) => (f32[1,5,2] y) {
            f32[3,2] w = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0}
            f32[2] b = {1.0, 2.0}
            f32[2] s = {2.0, 0.5}
            a = MatMul(x, w)
            c = Add(a, b)
            d = Mul(s, c)
            y = Neg(d)
        }";
        insta::assert_snapshot!(after("fold-affine,dce", text), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[1,5,3] x) => (f32[1,5,2] y) {
          f32[3,2] w = {-2.0, -1.0, -6.0, -2.0, -10.0, -3.0}
          a = MatMul(x, w)
          f32[2] w_bias_0 = {-2.0, -1.0}
          y = Add(a, w_bias_0)
        }
        "#);
    }

    #[test]
    fn what_is_no_number_for_each_unit_stays() {
        nothing_to_do(
            "fold-affine",
            "g (f32[1,2,2,2] x, f32[1,2,1,1] v) => (f32[1,2,2,2] y, f32[1,2,2,2] z) {
                f32[2,2,1,1] w = {1.0, 2.0, 3.0, 4.0}
                f32[2,2] p = {1.0, 2.0, 3.0, 4.0}
                f32[2,1] q = {1.0, 2.0}
                f32[2,1,1] s = {1.0, 2.0}
                a = Conv(x, w)
                b = Mul(a, p)
                c = Conv(b, w)
                d = Mul(c, q)
                e = Conv(d, w)
                f = Mul(e, v)
                h = Conv(f, w)
                y = Sub(s, h)
                i = Conv(y, w)
                j = Relu(i)
                k = Conv(j, w)
                z = Max(k, s)
            }",
        );
    }

    #[test]
    fn a_large_weight_that_others_use_is_not_copied() {
        nothing_to_do(
            "fold-affine",
            "g (f32[1,6] x) => (f32[1,7] y, f32[1,7] z) {
                f32[6,7] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26,
                    27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42}
                f32 s = {0.5}
                a = MatMul(x, w)
                y = Mul(a, s)
                z = MatMul(x, w)
            }",
        );
    }
}
