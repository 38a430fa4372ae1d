//! ONNX Runtime's fusions of a product with what follows it.

use super::conv::{Texts, conv_cost, conv_shape, refit_group};
use super::matmul::{gemm_axes, gemm_cost, gemm_shape, matmul_shape, product_shape};
use super::shared::dims::elements;
use super::{AxisRule, Rule, Site, ZeroLaws, lower, zero};
use crate::facts::Fact;
use crate::ir::{Attribute, Dim};

pub(super) const RULES: &[(&str, Rule)] = &[
    ("com.microsoft.FusedConv", FUSED_CONV),
    ("com.microsoft.FusedGemm", FUSED_GEMM),
    ("com.microsoft.FusedMatMul", FUSED_MATMUL),
    ("com.microsoft.TransposeMatMul", FUSED_MATMUL),
];

/// `y = activation(conv(x, w) + b + z)`
const FUSED_CONV: Rule = Rule {
    infer: |site| Ok(vec![Fact::maybe(site.dtype(0), conv_shape(site, 0, 1, Some(2))?)]),
    axes: |site| {
        let t = Texts::of(site, 0, 1, 0)?;
        // The sum with z may not broadcast.
        let fits = !site.has(3) || site.shape(3)?.len() == site.rank(0)?;
        fits.then(|| t.rule(format!("{}, {}, {}, {} -> {}", t.x, t.w, t.channel, t.y, t.y)))
    },
    zeros: ZeroLaws {
        results: |site, at| zero::affine(site, at) && (at.get(3) == Some(&true) || !site.has(3)) && keeps_zero(site),
        ..ZeroLaws::PRODUCT
    },
    refit: refit_group,
    cost: |site| conv_cost(site, 1),
    lower: lower::fused::conv,
    ..Rule::OPAQUE
};

/// `y = activation(alpha · a · b + beta · c)`
const FUSED_GEMM: Rule = Rule {
    infer: |site| Ok(vec![Fact::maybe(site.dtype(0), gemm_shape(site, [0, 1, 2])?)]),
    axes: gemm_axes,
    zeros: ZeroLaws { results: |site, at| zero::affine(site, at) && keeps_zero(site), ..ZeroLaws::PRODUCT },
    cost: gemm_cost,
    lower: lower::fused::gemm,
    ..Rule::OPAQUE
};

/// `y = alpha · aᵀ · bᵀ`, each transposed where asked for.
const FUSED_MATMUL: Rule = Rule {
    infer: |site| Ok(vec![Fact::maybe(site.dtype(0), transposed_shape(site)?)]),
    axes: |site| {
        let (a, b) = (site.rank(0)?, site.rank(1)?);
        if moves_batch(site) || a < 2 || b < 2 {
            return None;
        }
        let a = if flag(site, "transA") { "... k m" } else { "... m k" };
        let b = if flag(site, "transB") { "... n k" } else { "... k n" };
        Some(AxisRule::new(format!("{a}, {b} -> ... m n")))
    },
    zeros: ZeroLaws::PRODUCT,
    cost: |site| match (site.result_shape(0), site.shape(0)) {
        (Some(y), Some([.., m, k])) => elements(y) * if flag(site, "transA") { m.clone() } else { k.clone() },
        _ => site.unknown(),
    },
    lower: lower::fused::matmul,
    ..Rule::OPAQUE
};

fn flag(site: &Site, name: &str) -> bool {
    site.call.int(name, 0) != 0
}

/// Whether the batch axes are transposed too.
fn moves_batch(site: &Site) -> bool {
    flag(site, "transBatchA") || flag(site, "transBatchB")
}

fn transposed_shape(site: &Site) -> Result<Option<Vec<Dim>>, String> {
    let (Some(a), Some(b)) = (site.shape(0), site.shape(1)) else { return Ok(None) };
    if moves_batch(site) {
        return Ok(None);
    }
    if a.len() < 2 || b.len() < 2 {
        return matmul_shape(site, 0, 1);
    }
    let turned = |m: &[Dim], turn: bool| {
        let mut m = m.to_vec();
        let n = m.len();
        if turn {
            m.swap(n - 2, n - 1);
        }
        m
    };
    product_shape(site, &turned(a, flag(site, "transA")), &turned(b, flag(site, "transB"))).map(Some)
}

/// Whether the activation is zero at zero.
fn keeps_zero(site: &Site) -> bool {
    let parameters = match site.call.attributes.get("activation_params") {
        Some(Attribute::Floats(v)) => v.as_slice(),
        _ => &[],
    };
    match site.call.string("activation", "") {
        "" | "Relu" | "LeakyRelu" | "Tanh" => true,
        "Clip" => matches!(parameters, [min, max, ..] if *min <= 0.0 && *max >= 0.0),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::ops::testing::{Case, show};
    use insta::assert_snapshot;

    #[test]
    fn convolution_with_a_residual() {
        let operands = ["=2 8 9 9", "=16 8 3 3", "=16", "=2 16 7 7"];
        let case = |attributes: &str| Case::new("com.microsoft.FusedConv", 1, attributes, &operands, 1);
        assert_snapshot!(
            case("").show(),
            @"[c0:2, c1:8, 9, 9], [c4:16, c1:8, 3, 3], [c4:16], [c0:2, c4:16, 7, 7] -> f32[c0:2, c4:16, 7, 7]"
        );
        let at = [false, true, true, true];
        assert!(case("activation=Relu").zero(&at));
        assert!(!case("activation=Relu").zero(&[false, true, true, false]));
        assert!(!case("activation=Sigmoid").zero(&at));
        assert!(case("activation=Clip activation_params=[-1.0,6.0]").zero(&at));
        assert!(!case("activation=Clip activation_params=[1.5,6.0]").zero(&at));
        assert!(!case("activation=Clip").zero(&at));
    }

    #[test]
    fn products() {
        let matmul = |attributes: &str, a: &str, b: &str| show("com.microsoft.FusedMatMul", 1, attributes, &[a, b]);
        assert_snapshot!(
            matmul("transB=1", "=2 4 8", "=2 16 8"),
            @"[c0:2, c1:4, c2:8], [c0:2, c3:16, c2:8] -> f32[c0:2, c1:4, c3:16]"
        );
        assert_snapshot!(matmul("transA=1", "=8 4", "=8 16"), @"[c0:8, c1:4], [c0:8, c2:16] -> f32[c1:4, c2:16]");
        assert_snapshot!(matmul("transA=1 transBatchA=1", "=8 2 4", "=2 8 16"), @"[8, 2, 4], [2, 8, 16] -> f32[..]");
        assert_snapshot!(matmul("transB=1", "=8", "=8 16"), @"[8], [8, 16] -> f32[16]");
        assert_snapshot!(
            matmul("", "=2 4 8", "=2 16 8"),
            @"error: the right matrix has 16 rows but the left one has 8 columns"
        );
        assert_snapshot!(
            show("com.microsoft.FusedGemm", 1, "transB=1 activation=Relu", &["=4 8", "=16 8", "=16"]),
            @"[c0:4, c1:8], [c2:16, c1:8], [c2:16] -> f32[c0:4, c2:16]"
        );
    }
}
