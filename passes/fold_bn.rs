//! `fold-bn` folds BatchNormalization into the weights before it.
//!
//! ```text
//! a = Conv(x, w, b)
//! y = BatchNormalization(a, γ, β, μ, σ²)        →        y = Conv(x, w', b')
//! ```
//!
//! In inference a BatchNormalization is `y = s a + t` for each channel, with `s = γ / √(σ² + ε)` and `t = β - μ s`. The
//! call before it is linear in its weights, so `s` can go into them: `w' = s w` and `b' = s b + t` ([`super::absorb`]);
//! behind a product without a bias, `t` stays as an Add. Products and sums with constants in between go along. Exact but
//! for rounding.
//!
//! No operator before the BatchNormalization is asked for by name.

use super::absorb::{Affine, absorb};
use super::fold_affine::affine;
use super::{Change, Context, Pass, PassError};
use crate::ir::{Call, Model};
use crate::ops::Site;

pub(super) struct FoldBn;

impl Pass for FoldBn {
    fn name(&self) -> &'static str {
        "fold-bn"
    }

    fn run(&self, model: &mut Model, cx: &mut Context) -> Result<Change, PassError> {
        Ok(absorb(model, cx, |site| normalization(site).or_else(|| affine(site)), is_normalization))
    }
}

fn is_normalization(call: &Call) -> bool {
    call.qualified() == "BatchNormalization"
}

/// What a BatchNormalization does in inference, if the call is one whose parameters are constant.
fn normalization(site: &Site) -> Option<Affine> {
    let call = site.call;
    let inference = call.int("training_mode", 0) == 0 && call.results.iter().skip(1).all(String::is_empty);
    // Before operator set 7 an attribute said whether it trains; before 9 statistics could be had for each position.
    let usual = site.opset >= 7 && call.int("spatial", 1) == 1;
    if !is_normalization(call) || !inference || !usual {
        return None;
    }
    let operand = |slot| site.tensor(slot)?.to_f64().ok();
    let (gamma, beta, mean, variance) = (operand(1)?, operand(2)?, operand(3)?, operand(4)?);
    let channels = gamma.len();
    if [&beta, &mean, &variance].iter().any(|v| v.len() != channels) {
        return None;
    }
    let epsilon = f64::from(call.float("epsilon", 1e-5));
    let scale: Vec<f64> = gamma.iter().zip(&variance).map(|(g, v)| g / (v + epsilon).sqrt()).collect();
    let shift = (0..channels).map(|c| beta[c] - mean[c] * scale[c]).collect();
    Some(Affine { data: 0, axis: Some(1), scale, shift })
}

#[cfg(test)]
mod tests {
    use crate::passes::tests::{after, nothing_to_do};

    const NORM: &str = "
        f32[2] scale = {2.0, 3.0}
        f32[2] beta = {1.0, -1.0}
        f32[2] mean = {0.5, 0.25}
        f32[2] var = {0.25, 1.0}
        y = BatchNormalization<epsilon=0.0>(a, scale, beta, mean, var)
    }";

    #[test]
    fn a_convolution_takes_it_in() {
        let text = "g (f32[1,1,4,4] x) => (f32[1,2,4,4] y) {
            f32[2,1,1,1] w = {1.0, 2.0}
            a = Conv(x, w)";
        insta::assert_snapshot!(after("fold-bn,dce", &format!("{text}{NORM}")), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[1,1,4,4] x) => (f32[1,2,4,4] y) {
          f32[2,1,1,1] w = {4.0, 6.0}
          f32[2] w_bias_0 = {-1.0, -1.75}
          y = Conv(x, w, w_bias_0)
        }
        "#);
    }

    #[test]
    fn groups_of_a_transposed_convolution_are_told_apart() {
        let text = "g (f32[1,4,4,4] x) => (f32[1,2,4,4] y) {
            f32[4,1,1,1] w = {1.0, 2.0, 3.0, 4.0}
            f32[2] b = {1.0, 2.0}
            a = ConvTranspose<group=2>(x, w, b)";
        insta::assert_snapshot!(after("fold-bn,dce", &format!("{text}{NORM}")), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[1,4,4,4] x) => (f32[1,2,4,4] y) {
          f32[4,1,1,1] w = {4.0, 8.0, 9.0, 12.0}
          f32[2] b = {3.0, 4.25}
          y = ConvTranspose<group=2>(x, w, b)
        }
        "#);
    }

    #[test]
    fn shared_weights_are_copied() {
        let text = "g (f32[1,2] x) => (f32[1,2] y, f32[1,2] z) {
            f32[2,2] w = {1.0, 2.0, 3.0, 4.0}
            f32[2] b = {1.0, 2.0}
            a = Gemm<beta=0.5>(x, w, b)
            z = Gemm(x, w)";
        insta::assert_snapshot!(after("fold-bn,dce", &format!("{text}{NORM}")), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[1,2] x) => (f32[1,2] y, f32[1,2] z) {
          f32[2,2] w = {1.0, 2.0, 3.0, 4.0}
          f32[2] b = {2.0, 2.5}
          f32[2,2] w_0 = {4.0, 6.0, 12.0, 12.0}
          y = Gemm<beta=0.5>(x, w_0, b)
          z = Gemm(x, w)
        }
        "#);
    }

    #[test]
    fn behind_a_product_without_a_bias_a_sum_stays() {
        let text = "g (f32[1,3] x) => (f32[1,2] y) {
            f32[3,2] w = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0}
            f32[2] b = {1.0, 2.0}
            m = MatMul(x, w)
            a = Add(m, b)";
        insta::assert_snapshot!(after("fold-bn,dce", &format!("{text}{NORM}")), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[1,3] x) => (f32[1,2] y) {
          f32[3,2] w = {4.0, 6.0, 12.0, 12.0, 20.0, 18.0}
          m = MatMul(x, w)
          f32[2] w_bias_0 = {3.0, 4.25}
          y = Add(m, w_bias_0)
        }
        "#);
    }

    #[test]
    fn a_gemm_gets_a_bias() {
        let text = "g (f32[1,3] x) => (f32[1,2] y) {
            f32[2,3] w = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0}
            a = Gemm<transB=1>(x, w)";
        insta::assert_snapshot!(after("fold-bn,dce", &format!("{text}{NORM}")), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[1,3] x) => (f32[1,2] y) {
          f32[2,3] w = {4.0, 8.0, 12.0, 12.0, 15.0, 18.0}
          f32[2] w_bias_0 = {-1.0, -1.75}
          y = Gemm<transB=1>(x, w, w_bias_0)
        }
        "#);
    }

    #[test]
    fn what_others_see_stays() {
        let text = "g (f32[1,1,4,4] x) => (f32[1,2,4,4] y, f32[1,2,4,4] a) {
            f32[2,1,1,1] w = {1.0, 2.0}
            a = Conv(x, w)";
        nothing_to_do("fold-bn", &format!("{text}{NORM}"));
    }

    #[test]
    fn a_call_that_is_not_linear_stays() {
        let text = "g (f32[1,2,4,4] x) => (f32[1,2,4,4] y) {
            f32[2,1,1] w = {1.0, 2.0}
            a = PRelu(x, w)";
        nothing_to_do("fold-bn", &format!("{text}{NORM}"));
    }
}
