//! Matrix products.

use super::shared::dims::{agree, broadcast, elements};
use super::{AxisRule, Bias, Operands, Rule, Site, Sum, ZeroLaws, lower};
use crate::facts::Fact;
use crate::ir::Dim;

pub(super) const RULES: &[(&str, Rule)] = &[("MatMul", MATMUL), ("Gemm", GEMM)];

/// `y[…, m, n] = Σ a[…, m, k] · b[…, k, n]` over k, as numpy's `matmul`: a 1-D operand is a vector.
const MATMUL: Rule = Rule {
    infer: |site| Ok(vec![Fact::maybe(site.dtype(0), matmul_shape(site, 0, 1)?)]),
    axes: |site| {
        let t = matmul_text(site.rank(0)?, site.rank(1)?);
        Some(AxisRule::new(format!("{}, {} -> {}", t.0, t.1, t.2)))
    },
    zeros: ZeroLaws::PRODUCT,
    cost: |site| matmul_cost(site, 0),
    operands: Operands { bias: |_| Some(Bias::Behind), sum: |_| Some(Sum::PLAIN), ..Operands::OPAQUE },
    lower: lower::matmul::matmul,
    ..Rule::OPAQUE
};

/// `y[m, n] = alpha · Σ a[m, k] · b[k, n] + beta · c`, with `a` or `b` transposed where asked for; c broadcasts.
const GEMM: Rule = Rule {
    infer: |site| Ok(vec![Fact::maybe(site.dtype(0), gemm_shape(site, [0, 1, 2])?)]),
    axes: gemm_axes,
    zeros: ZeroLaws::AFFINE,
    cost: gemm_cost,
    operands: Operands {
        bias: gemm_bias,
        sum: |site| {
            let (alpha, beta) = (site.call.float("alpha", 1.0), site.call.float("beta", 1.0));
            Some(Sum { factor: alpha.into(), addend: Some((2, beta.into())), full: true })
        },
        ..Operands::OPAQUE
    },
    lower: lower::matmul::gemm,
    ..Rule::OPAQUE
};

/// The result's shape of a product of the operands at these slots.
pub(super) fn matmul_shape(site: &Site, a: usize, b: usize) -> Result<Option<Vec<Dim>>, String> {
    match (site.shape(a), site.shape(b)) {
        (Some(a), Some(b)) => product_shape(site, a, b).map(Some),
        _ => Ok(None),
    }
}

/// The shape of the product of two matrices, or stacks of them.
pub(super) fn product_shape(site: &Site, a: &[Dim], b: &[Dim]) -> Result<Vec<Dim>, String> {
    let ([.., k], [.., last]) = (a, b) else { return Err("a scalar is no matrix".into()) };
    let rows = if b.len() == 1 { last } else { &b[b.len() - 2] };
    agree(rows, k, |b, a| format!("the right matrix has {b} rows but the left one has {a} columns"))?;
    let batch = |m: &[Dim]| m[..m.len().saturating_sub(2)].to_vec();
    let mut shape = broadcast(site, &batch(a), &batch(b))?;
    if let [.., m, _] = a {
        shape.push(m.clone());
    }
    if b.len() > 1 {
        shape.push(last.clone());
    }
    Ok(shape)
}

/// The axes of both operands and the result, for operands of these ranks.
pub(super) fn matmul_text(a: usize, b: usize) -> (&'static str, &'static str, &'static str) {
    match (a, b) {
        (1, 1) => ("k", "k", ""),
        (1, _) => ("k", "... k n", "... n"),
        (_, 1) => ("... m k", "k", "... m"),
        _ => ("... m k", "... k n", "... m n"),
    }
}

/// Each element of the result takes one product for each column of the left operand.
pub(super) fn matmul_cost(site: &Site, a: usize) -> Dim {
    match (site.result_shape(0), site.shape(a)) {
        (Some(y), Some([.., k])) => elements(y) * k.clone(),
        _ => site.unknown(),
    }
}

/// The result's shape of a Gemm with a, b and c at these slots.
pub(super) fn gemm_shape(site: &Site, [a, b, c]: [usize; 3]) -> Result<Option<Vec<Dim>>, String> {
    let (Some(a), Some(b)) = (site.shape(a), site.shape(b)) else { return Ok(None) };
    let ([a0, a1], [b0, b1]) = (a, b) else { return Err("the operands of a Gemm are matrices".into()) };
    let (m, k) = if site.call.int("transA", 0) != 0 { (a1, a0) } else { (a0, a1) };
    let (rows, n) = if site.call.int("transB", 0) != 0 { (b1, b0) } else { (b0, b1) };
    agree(rows, k, |w, x| format!("the weights expect {w} features but the input has {x}"))?;
    let shape = vec![m.clone(), n.clone()];
    let c = site.shape(c).unwrap_or(&[]);
    let stretched = broadcast(site, &shape, c).map_err(|e| format!("the bias does not fit: {e}"))?;
    let fits =
        stretched.len() == 2 && stretched.iter().zip(&shape).all(|(s, d)| agree(s, d, |_, _| String::new()).is_ok());
    if !fits {
        return Err(format!("the bias is larger than the result {m} by {n}"));
    }
    Ok(Some(shape))
}

/// Each element of the result takes one product for each column of the left operand.
pub(super) fn gemm_cost(site: &Site) -> Dim {
    let k = usize::from(site.call.int("transA", 0) == 0);
    match (site.result_shape(0), site.dim(0, k)) {
        (Some(y), Some(k)) => elements(y) * k.clone(),
        _ => site.unknown(),
    }
}

/// A Gemm adds its third operand, times `beta`; a vector of one number a column is a bias.
fn gemm_bias(site: &Site) -> Option<Bias> {
    let columns = site.result_shape(0)?.last();
    let vector = |shape: &[Dim]| shape.len() == 1 && shape.last() == columns;
    let fits = !site.has(2) || site.tensor(2).is_some() && site.shape(2).is_some_and(vector);
    Some(if fits && site.call.float("beta", 1.0) == 1.0 { Bias::Operand(2) } else { Bias::Behind })
}

/// The axes of a Gemm.
pub(super) fn gemm_axes(site: &Site) -> Option<AxisRule> {
    let [a, b, c] = gemm_text(site, 2)?;
    Some(AxisRule::new(format!("{a}, {b}, {c} -> m n")))
}

/// The axes of a Gemm's operands, with c at this slot.
pub(super) fn gemm_text(site: &Site, c: usize) -> Option<[&'static str; 3]> {
    let a = if site.call.int("transA", 0) != 0 { "k m" } else { "m k" };
    let b = if site.call.int("transB", 0) != 0 { "n k" } else { "k n" };
    let c = match (site.has(c), site.rank(c)) {
        (false, _) | (_, Some(0)) => "",
        (_, Some(1)) => "n",
        (_, Some(2)) => "m n",
        _ => return None,
    };
    Some([a, b, c])
}

#[cfg(test)]
mod tests {
    use crate::ops::testing::{Case, show};
    use insta::assert_snapshot;

    #[test]
    fn matrices_and_vectors() {
        let matmul = |a: &str, b: &str| show("MatMul", 13, "", &[a, b]);
        assert_snapshot!(matmul("=4 8", "=8 16"), @"[c0:4, c1:8], [c1:8, c2:16] -> f32[c0:4, c2:16]");
        assert_snapshot!(
            matmul("=2 3 4 8", "=8 16"),
            @"[c0:2, c1:3, c2:4, c3:8], [c3:8, c4:16] -> f32[c0:2, c1:3, c2:4, c4:16]"
        );
        assert_snapshot!(
            matmul("=4 8", "=2 3 8 16"),
            @"[c0:4, c1:8], [c2:2, c3:3, c1:8, c4:16] -> f32[c2:2, c3:3, c0:4, c4:16]"
        );
        assert_snapshot!(
            matmul("=1 3 4 8", "=2 1 8 16"),
            @"[1, c0:3, c1:4, c2:8], [c3:2, 1, c2:8, c4:16] -> f32[c3:2, c0:3, c1:4, c4:16]"
        );
        assert_snapshot!(matmul("=8", "=2 8 16"), @"[c0:8], [c1:2, c0:8, c2:16] -> f32[c1:2, c2:16]");
        assert_snapshot!(matmul("=2 4 8", "=8"), @"[c0:2, c1:4, c2:8], [c2:8] -> f32[c0:2, c1:4]");
        assert_snapshot!(matmul("=8", "=8"), @"[c0:8], [c0:8] -> f32[]");
        assert_snapshot!(matmul("=4 1", "=1 16"), @"[c0:4, 1], [1, c1:16] -> f32[c0:4, c1:16]");
        assert_snapshot!(matmul("B S 8", "=8 16"), @"[B, S, 8], [8, c1:16] -> f32[B, S, c1:16]");
        assert_snapshot!(matmul("A S 8", "B 8 S"), @"[A, S, 8], [A, 8, S] -> f32[A, S, S]");
        assert_snapshot!(matmul("?", "=8 16"), @"[..], [8, 16] -> f32[..]");
    }

    #[test]
    fn matrices_that_do_not_fit() {
        let matmul = |a: &str, b: &str| show("MatMul", 13, "", &[a, b]);
        assert_snapshot!(matmul("=4 8", "=9 16"), @"error: the right matrix has 9 rows but the left one has 8 columns");
        assert_snapshot!(matmul("=2 4 8", "=3 8 16"), @"error: axes of length 2 and 3 do not broadcast");
        assert_snapshot!(matmul("=8", "="), @"error: a scalar is no matrix");
        assert_snapshot!(matmul("=8", ""), @"[8], - -> f32[..]");
    }

    #[test]
    fn gemm() {
        let gemm = |attributes: &str, operands: &[&str]| show("Gemm", 13, attributes, operands);
        assert_snapshot!(
            gemm("", &["=4 8", "=8 16", "=16"]),
            @"[c0:4, c1:8], [c1:8, c2:16], [c2:16] -> f32[c0:4, c2:16]"
        );
        assert_snapshot!(
            gemm("transB=1", &["=4 8", "=16 8", "=1 16"]),
            @"[c0:4, c1:8], [c2:16, c1:8], [1, c2:16] -> f32[c0:4, c2:16]"
        );
        assert_snapshot!(
            gemm("transA=1", &["=8 4", "=8 16", "=4 16"]),
            @"[c0:8, c1:4], [c0:8, c2:16], [c1:4, c2:16] -> f32[c1:4, c2:16]"
        );
        assert_snapshot!(
            gemm("", &["=4 8", "=8 16", "=4 1"]),
            @"[c0:4, c1:8], [c1:8, c2:16], [c0:4, 1] -> f32[c0:4, c2:16]"
        );
        assert_snapshot!(gemm("", &["=4 8", "=8 16", "="]), @"[c0:4, c1:8], [c1:8, c2:16], [] -> f32[c0:4, c2:16]");
        assert_snapshot!(gemm("", &["N 8", "=8 16"]), @"[N, 8], [8, c1:16] -> f32[N, c1:16]");
        assert_snapshot!(gemm("", &["N K", "=8 16", "?"]), @"[N, K], [8, 16], [..] -> f32[N, 16]");
        assert_snapshot!(
            gemm("", &["=4 8", "=8 16", "=5"]),
            @"error: the bias does not fit: axes of length 16 and 5 do not broadcast"
        );
        assert_snapshot!(gemm("", &["=1 8", "=8 16", "=4 16"]), @"error: the bias is larger than the result 1 by 16");
        assert_snapshot!(gemm("", &["=4 8", "=8 16", "=1 1 16"]), @"error: the bias is larger than the result 4 by 16");
        assert_snapshot!(gemm("", &["=4 8", "=16 8"]), @"error: the weights expect 16 features but the input has 8");
        assert_snapshot!(gemm("", &["=2 4 8", "=8 16"]), @"error: the operands of a Gemm are matrices");
    }

    #[test]
    fn cost_counts_products() {
        assert_snapshot!(Case::new("MatMul", 13, "", &["B S 8", "=8 16"], 1).cost(), @"128*B*S");
        assert_snapshot!(Case::new("Gemm", 13, "transA=1", &["8 N", "=8 16"], 1).cost(), @"128*N");
    }

    #[test]
    fn zeros() {
        let gemm = Case::new("Gemm", 13, "", &["=4 8", "=8 16", "=16"], 1);
        assert!(gemm.zero(&[false, true, true]));
        assert!(!gemm.zero(&[true, true, false]));
        assert!(Case::new("MatMul", 13, "", &["=4 8", "=8 16"], 1).zero(&[false, true]));
    }
}
