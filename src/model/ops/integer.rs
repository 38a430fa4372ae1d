//! Products of quantized operands. A zero point is taken from each factor, so that a weight of 0 need not be zero.

use super::conv::{Texts, conv_cost, conv_shape, convolved, refit_group};
use super::matmul::{gemm_cost, gemm_shape, gemm_text, matmul_cost, matmul_shape, matmul_text};
use super::qlinear::{is_channels_last, reordered};
use super::shared::dims::row;
use super::{AxisRule, End, Quantization, Rule, Site, ZeroLaws};
use crate::facts::Fact;
use crate::ir::{DType, Dim};

pub(super) const RULES: &[(&str, Rule)] = &[
    ("ConvInteger", CONV_INTEGER),
    ("MatMulInteger", MATMUL_INTEGER),
    ("QLinearConv", QLINEAR_CONV),
    ("QLinearMatMul", QLINEAR_MATMUL),
    ("com.microsoft.DynamicQuantizeMatMul", DYNAMIC_QUANTIZE_MATMUL),
    ("com.microsoft.MatMulIntegerToFloat", MATMUL_INTEGER_TO_FLOAT),
    ("com.microsoft.QGemm", QGEMM),
    ("com.microsoft.QLinearConv", QLINEAR_CONV),
];

/// `y = conv(x - x_zero, w - w_zero)` in 32 bits: x, w, x_zero, w_zero.
const CONV_INTEGER: Rule = Rule {
    infer: |site| Ok(vec![Fact::maybe(Some(DType::I32), conv_shape(site, 0, 1, None)?)]),
    axes: |site| {
        let t = Texts::of(site, 0, 1, 0)?;
        let zero = per_channel(site, 3, t.channel)?;
        Some(t.rule(format!("{}, {}, _*, {zero} -> {}", t.x, t.w, t.y)))
    },
    zeros: ZeroLaws {
        results: |_, at| on(at, 0) || on(at, 1),
        absorbing: |_, at| on(at, 0) || on(at, 1),
        ..ZeroLaws::OPAQUE
    },
    quantization: Quantization { zero_point: factors_by_two, ..Quantization::NONE },
    refit: refit_group,
    cost: |site| conv_cost(site, 1),
    ..Rule::OPAQUE
};

/// The quantized convolution: x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias.
const QLINEAR_CONV: Rule = Rule {
    infer: |site| {
        let Some(w) = site.shape(3) else { return Ok(vec![Fact::maybe(site.dtype(7), None)]) };
        let shape = reordered(site, is_channels_last(site), |x| convolved(site, x, w, Some(8)))?;
        Ok(vec![Fact::maybe(site.dtype(7).or(site.dtype(0)), shape)])
    },
    axes: |site| {
        let t = Texts::of(site, 0, 3, 0)?;
        let t = if is_channels_last(site) { t.channels_last() } else { t };
        let (scale, zero) = (per_channel(site, 4, t.channel)?, per_channel(site, 5, t.channel)?);
        let text = format!("{}, _*, _*, {}, {scale}, {zero}, _*, _*, {} -> {}", t.x, t.w, t.channel, t.y);
        is_single(site, 6).then(|| t.rule(text))
    },
    zeros: ZeroLaws {
        results: |site, at| {
            // The bias is a multiple of the weights' scale.
            let bias = on(at, 8) || on(at, 4) || !site.has(8);
            (on(at, 0) || on(at, 3) || on(at, 4)) && bias
        },
        absorbing: |_, at| on(at, 0) || on(at, 3),
        ..ZeroLaws::OPAQUE
    },
    quantization: Quantization { zero_point: scaled_factors, scale: scales },
    refit: refit_group,
    cost: |site| conv_cost(site, 3),
    ..Rule::OPAQUE
};

/// `y = (a - a_zero) · (b - b_zero)` in 32 bits: a, b, a_zero (one a row), b_zero (one a column).
const MATMUL_INTEGER: Rule = Rule {
    infer: |site| Ok(vec![Fact::maybe(Some(DType::I32), matmul_shape(site, 0, 1)?)]),
    axes: |site| {
        let t = matmul_text(site.rank(0)?, site.rank(1)?);
        let (a, b) = (per_row(site, 2, 0)?, per_column(site, 3, 1)?);
        Some(AxisRule::new(format!("{}, {}, {a}, {b} -> {}", t.0, t.1, t.2)))
    },
    zeros: ZeroLaws {
        results: |_, at| on(at, 0) || on(at, 1),
        absorbing: |_, at| on(at, 0) || on(at, 1),
        ..ZeroLaws::OPAQUE
    },
    quantization: Quantization { zero_point: factors_by_two, ..Quantization::NONE },
    cost: |site| matmul_cost(site, 0),
    ..Rule::OPAQUE
};

/// The quantized Gemm: a, a_scale, a_zero, b, b_scale, b_zero, c, y_scale, y_zero. The bias c is a multiple of the
/// product of scales, and without y_scale the result is a float.
const QGEMM: Rule = Rule {
    infer: |site| {
        let dtype = if site.has(7) { site.dtype(8).or(site.dtype(0)) } else { Some(DType::F32) };
        Ok(vec![Fact::maybe(dtype, gemm_shape(site, [0, 3, 6])?)])
    },
    axes: |site| {
        let [a, b, c] = gemm_text(site, 6)?;
        let (scale, zero) = (per_channel(site, 4, "n")?, per_channel(site, 5, "n")?);
        let text = format!("{a}, _*, _*, {b}, {scale}, {zero}, {c}, _*, _* -> m n");
        is_single(site, 7).then(|| AxisRule::new(text))
    },
    zeros: ZeroLaws {
        results: |site, at| {
            let bias = on(at, 6) || on(at, 4) || !site.has(6);
            (on(at, 0) || on(at, 3) || on(at, 4)) && bias
        },
        absorbing: |_, at| on(at, 0) || on(at, 3),
        ..ZeroLaws::OPAQUE
    },
    quantization: Quantization {
        zero_point: |end| match end {
            End::Result(0) => Some(End::Operand(8)),
            _ => scaled_factors(end),
        },
        scale: scales,
    },
    cost: gemm_cost,
    ..Rule::OPAQUE
};

/// `y = q(a) · (b - b_zero) · b_scale + bias`: a, b, b_scale, b_zero, bias. The scale that a is quantized by is taken
/// from the range of all of a, and of 0; so is that of the other rows.
const DYNAMIC_QUANTIZE_MATMUL: Rule = Rule {
    infer: |site| Ok(vec![Fact::maybe(site.dtype(0), matmul_shape(site, 0, 1)?)]),
    axes: |site| {
        let (a, b) = (site.rank(0)?, site.rank(1)?);
        let rows = a.checked_sub(1).filter(|_| b == 2)?;
        let column = [2, 3, 4].map(|slot| per_column(site, slot, 1));
        let [scale, zero, bias] = [column[0]?, column[1]?, column[2]?];
        let (from, to) = (row(rows, |i| format!("m{i}!")), row(rows, |i| format!("m{i}")));
        let text = format!("{from} k, k n, {scale}, {zero}, {bias} -> {to} n");
        Some(AxisRule::new(text).why("the scale is taken from the range of all of them"))
    },
    zeros: ZeroLaws {
        results: |site, at| (on(at, 1) || on(at, 2)) && (on(at, 4) || !site.has(4)),
        absorbing: |_, at| on(at, 0),
        ..ZeroLaws::OPAQUE
    },
    quantization: Quantization {
        zero_point: |end| (end == End::Operand(1)).then_some(End::Operand(3)),
        scale: |slot| (slot == 1).then_some(2),
    },
    cost: |site| matmul_cost(site, 0),
    ..Rule::OPAQUE
};

/// The quantized product: a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero.
const QLINEAR_MATMUL: Rule = Rule {
    infer: |site| Ok(vec![Fact::maybe(site.dtype(7), matmul_shape(site, 0, 3)?)]),
    axes: |site| {
        let t = matmul_text(site.rank(0)?, site.rank(3)?);
        let a = (per_row(site, 1, 0)?, per_row(site, 2, 0)?);
        let b = (per_column(site, 4, 3)?, per_column(site, 5, 3)?);
        let text = format!("{}, {}, {}, {}, {}, {}, _*, _* -> {}", t.0, a.0, a.1, t.1, b.0, b.1, t.2);
        is_single(site, 6).then(|| AxisRule::new(text))
    },
    zeros: ZeroLaws {
        results: |_, at| [0, 1, 3, 4].iter().any(|&slot| on(at, slot)),
        absorbing: |_, at| on(at, 0) || on(at, 3),
        ..ZeroLaws::OPAQUE
    },
    quantization: Quantization { zero_point: scaled_factors, scale: scales },
    cost: |site| matmul_cost(site, 0),
    ..Rule::OPAQUE
};

/// `y = (a - a_zero) · (b - b_zero) · a_scale · b_scale + bias`: a, b, a_scale, b_scale, a_zero, b_zero, bias.
const MATMUL_INTEGER_TO_FLOAT: Rule = Rule {
    infer: |site| Ok(vec![Fact::maybe(site.dtype(2), matmul_shape(site, 0, 1)?)]),
    axes: |site| {
        let t = matmul_text(site.rank(0)?, site.rank(1)?);
        let b = (per_column(site, 3, 1)?, per_column(site, 5, 1)?);
        let bias = per_column(site, 6, 1)?;
        let text = format!("{}, {}, _*, {}, _*, {}, {bias} -> {}", t.0, t.1, b.0, b.1, t.2);
        (is_single(site, 2) && is_single(site, 4)).then(|| AxisRule::new(text))
    },
    zeros: ZeroLaws {
        results: |site, at| (on(at, 0) || on(at, 1) || on(at, 3)) && (on(at, 6) || !site.has(6)),
        absorbing: |_, at| on(at, 0) || on(at, 1),
        ..ZeroLaws::OPAQUE
    },
    quantization: Quantization {
        zero_point: |end| match end {
            End::Operand(slot @ 0..=1) => Some(End::Operand(slot + 4)),
            _ => None,
        },
        scale: |slot| (slot < 2).then_some(slot + 2),
    },
    cost: |site| matmul_cost(site, 0),
    ..Rule::OPAQUE
};

fn on(at: &[bool], slot: usize) -> bool {
    at.get(slot) == Some(&true)
}

/// Zero points of `a, b, a_zero, b_zero`.
fn factors_by_two(end: End) -> Option<End> {
    match end {
        End::Operand(slot @ 0..=1) => Some(End::Operand(slot + 2)),
        _ => None,
    }
}

/// Zero points of `a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero`.
fn scaled_factors(end: End) -> Option<End> {
    match end {
        End::Operand(slot @ (0 | 3)) => Some(End::Operand(slot + 2)),
        End::Result(0) => Some(End::Operand(7)),
        _ => None,
    }
}

/// Scales of the same operands.
fn scales(slot: usize) -> Option<usize> {
    matches!(slot, 0 | 3).then_some(slot + 1)
}

/// Whether an operand has one element, or is absent.
pub(super) fn is_single(site: &Site, slot: usize) -> bool {
    !site.has(slot) || site.shape(slot).is_some_and(|s| s.iter().all(|d| *d == Dim::Fixed(1)))
}

/// The axes of an operand with one element, or one an output channel.
fn per_channel(site: &Site, slot: usize, channel: &'static str) -> Option<&'static str> {
    match site.rank(slot) {
        _ if is_single(site, slot) => Some("_*"),
        Some(1) => Some(channel),
        _ => None,
    }
}

/// The axes of an operand with one element, or one a row of the left matrix at slot `a`.
fn per_row(site: &Site, slot: usize, a: usize) -> Option<&'static str> {
    match (site.rank(slot), site.rank(a)?) {
        _ if is_single(site, slot) => Some("_*"),
        (Some(1), 2) => Some("m"),
        (Some(r), n) if r == n && r >= 2 && site.dim(slot, r - 1) == Some(&Dim::Fixed(1)) => Some("... m 1"),
        _ => None,
    }
}

/// The axes of an operand with one element, or one a column of the right matrix at slot `b`.
fn per_column(site: &Site, slot: usize, b: usize) -> Option<&'static str> {
    match (site.rank(slot), site.rank(b)?) {
        _ if is_single(site, slot) => Some("_*"),
        (Some(1), n) if n >= 2 => Some("n"),
        (Some(r), n) if r == n && r >= 2 && site.dim(slot, r - 2) == Some(&Dim::Fixed(1)) => Some("... 1 n"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::ops::testing::{Case, show};
    use insta::assert_snapshot;

    #[test]
    fn convolutions() {
        let x = "u8:=2 8 9 9";
        assert_snapshot!(
            show("ConvInteger", 10, "", &[x, "i8:=16 8 3 3", "u8:=", "i8:=16"]),
            @"[c0:2, c1!:8, 9, 9], [c4:16, c1!:8, 3, 3], [], [c4:16] -> i32[c0:2, c4:16, 7, 7]"
        );
        let conv = |attributes: &str, w: &str, y_scale: &str| {
            let operands = [x, "=[0.5]", "=u8[3]", w, "=16", "i8:=16", y_scale, "=u8[0]", "i32:=16"];
            show("QLinearConv", 10, attributes, &operands)
        };
        assert_snapshot!(
            conv("", "i8:=16 8 3 3", "="),
            @"[c0:2, c1!:8, 9, 9], [1], [1], [c4:16, c1!:8, 3, 3], [c4:16], [c4:16], [], [1], [c4:16] -> u8[c0:2, c4:16, 7, 7]"
        );
        assert_snapshot!(
            conv("group=2", "i8:=16 4 3 3", "="),
            @"[c0:2, (c1:2 c2!:4), 9, 9], [1], [1], [(c1:2 c5:8), c2!:4, 3, 3], [(c1:2 c5:8)], [(c1:2 c5:8)], [], [1], [(c1:2 c5:8)] -> u8[c0:2, (c1:2 c5:8), 7, 7]"
        );
        assert_snapshot!(
            conv("", "i8:=16 8 3 3", "=16"),
            @"[2, 8, 9, 9], [1], [1], [16, 8, 3, 3], [16], [16], [16], [1], [16] -> u8[2, 16, 7, 7]"
        );
        assert_snapshot!(
            conv("", "i8:=16 4 3 3", "="),
            @"error: the weights expect 4 input channels but the input has 8"
        );
    }

    #[test]
    fn products() {
        assert_snapshot!(
            show("MatMulInteger", 10, "", &["u8:=4 8", "i8:=8 16", "u8:=4", "i8:=16"]),
            @"[c0:4, c1!:8], [c1!:8, c2:16], [c0:4], [c2:16] -> i32[c0:4, c2:16]"
        );
        assert_snapshot!(
            show("MatMulInteger", 10, "", &["u8:=2 4 8", "i8:=2 8 16", "u8:=2 4 1", "i8:=2 1 16"]),
            @"[c0:2, c1:4, c2!:8], [c0:2, c2!:8, c3:16], [c0:2, c1:4, 1], [c0:2, 1, c3:16] -> i32[c0:2, c1:4, c3:16]"
        );
        let q = ["u8:=4 8", "=", "u8:=", "i8:=8 16", "=16", "i8:=16", "=", "u8:="];
        assert_snapshot!(
            show("QLinearMatMul", 21, "", &q),
            @"[c0:4, c1!:8], [], [], [c1!:8, c2:16], [c2:16], [c2:16], [], [] -> u8[c0:4, c2:16]"
        );
        let f = ["u8:=4 8", "i8:=8 16", "=", "=16", "u8:=", "i8:=16", "=16"];
        assert_snapshot!(
            show("com.microsoft.MatMulIntegerToFloat", 1, "", &f),
            @"[c0:4, c1!:8], [c1!:8, c2:16], [], [c2:16], [], [c2:16], [c2:16] -> f32[c0:4, c2:16]"
        );
    }

    #[test]
    fn channels_in_the_last_axis() {
        let operands = ["u8:=2 9 9 8", "=", "u8:=", "i8:=16 8 3 3", "=16", "i8:=16", "=", "u8:=", "i32:=16"];
        assert_snapshot!(show("com.microsoft.QLinearConv", 1, "channels_last=1", &operands), @"[c0:2, 9, 9, c3!:8], [], [], [c4:16, c3!:8, 3, 3], [c4:16], [c4:16], [], [], [c4:16] -> u8[c0:2, 7, 7, c4:16]");
        let operands = ["u8:=2 9 9 8", "=", "u8:=", "i8:=8 1 3 3", "=", "i8:=", "=", "u8:="];
        let case = Case::new("com.microsoft.QLinearConv", 1, "channels_last=1 group=8", &operands, 1);
        assert_snapshot!(case.show(), @"[c0:2, 9, 9, c3:8], [], [], [c3:8, 1, 3, 3], [], [], [], [] -> u8[c0:2, 7, 7, c3:8]");
        assert_snapshot!(case.refit("g", &[0, 7]), @"group=2");
    }

    #[test]
    fn gemm() {
        let operands = ["u8:=4 8", "=", "u8:=", "i8:=16 8", "=16", "i8:=16", "i32:=16", "=", "u8:="];
        let case = |n: usize| Case::new("com.microsoft.QGemm", 1, "transB=1", &operands[..n], 1);
        assert_snapshot!(case(9).show(), @"[c0:4, c1!:8], [], [], [c2:16, c1!:8], [c2:16], [c2:16], [c2:16], [], [] -> u8[c0:4, c2:16]");
        assert_snapshot!(case(7).show(), @"[c0:4, c1!:8], [], [], [c2:16, c1!:8], [c2:16], [c2:16], [c2:16] -> f32[c0:4, c2:16]");
        assert_snapshot!(case(9).cost(), @"512");
    }

    #[test]
    fn a_dynamic_scale_depends_on_all() {
        let operands = ["=2 4 8", "i8:=8 16", "=16", "i8:=16", "=16"];
        let case = Case::new("com.microsoft.DynamicQuantizeMatMul", 1, "", &operands, 1);
        assert_snapshot!(case.show(), @"[c0!:2, c1!:4, c2:8], [c2:8, c3:16], [c3:16], [c3:16], [c3:16] -> f32[c0!:2, c1!:4, c3:16]");
        assert_snapshot!(case.reasons(), @"the scale is taken from the range of all of them");
    }

    #[test]
    fn a_zero_point_spoils_the_contraction() {
        let of = |zero: &str| show("MatMulInteger", 10, "", &["u8:=4 8", "i8:=8 16", zero, zero]);
        assert_snapshot!(of("=i8[0]"), @"[c0:4, c1:8], [c1:8, c2:16], [1], [1] -> i32[c0:4, c2:16]");
        assert_snapshot!(of("=i8[1]"), @"[c0:4, c1!:8], [c1!:8, c2:16], [1], [1] -> i32[c0:4, c2:16]");
        assert_snapshot!(of(""), @"[c0:4, c1:8], [c1:8, c2:16], -, - -> i32[c0:4, c2:16]");
    }
}
