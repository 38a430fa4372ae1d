//! Products of quantized operands. A zero point is added to each factor, so that a weight of zero need not be zero.

use super::conv::{Texts, conv_cost, conv_shape, refit_group};
use super::dims::{agree, expect_rank, zero_point_is_zero};
use super::matmul::{matmul_cost, matmul_shape, matmul_text};
use super::{AxisRule, Cut, Refit, Rule, Site};
use crate::infer::Fact;
use crate::ir::{Attribute, DType, Dim};

pub const RULES: &[(&str, Rule)] = &[
    ("ConvInteger", CONV_INTEGER),
    ("MatMulInteger", MATMUL_INTEGER),
    ("QLinearConv", QLINEAR_CONV),
    ("QLinearMatMul", QLINEAR_MATMUL),
    ("com.microsoft.MatMulIntegerToFloat", MATMUL_INTEGER_TO_FLOAT),
    ("com.microsoft.MatMulNBits", MATMUL_N_BITS),
];

/// `y = conv(x - x_zero, w - w_zero)` in 32 bits: x, w, x_zero, w_zero.
const CONV_INTEGER: Rule = Rule {
    infer: |site| Ok(vec![Fact::maybe(Some(DType::I32), conv_shape(site, 0, 1, None)?)]),
    axes: |site| {
        let t = Texts::of(site, 0, 1, 0)?;
        let zero = per_channel(site, 3, t.channel)?;
        Some(t.rule(format!("{}, {}, _*, {zero} -> {}", t.x, t.w, t.y)))
    },
    zero: |site, at| factor(site, at, 0, 2) || factor(site, at, 1, 3),
    adds_nothing: |site, at| factor(site, at, 0, 2) || factor(site, at, 1, 3),
    refit: refit_group,
    cost: |site| conv_cost(site, 1),
    ..Rule::OPAQUE
};

/// The quantized convolution: x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias.
const QLINEAR_CONV: Rule = Rule {
    infer: |site| Ok(vec![Fact::maybe(site.dtype(7).or(site.dtype(0)), conv_shape(site, 0, 3, Some(8))?)]),
    axes: |site| {
        let t = Texts::of(site, 0, 3, 0)?;
        let (scale, zero) = (per_channel(site, 4, t.channel)?, per_channel(site, 5, t.channel)?);
        let text = format!("{}, _*, _*, {}, {scale}, {zero}, _*, _*, {} -> {}", t.x, t.w, t.channel, t.y);
        is_single(site, 6).then(|| t.rule(text))
    },
    zero: |site, at| {
        let product = factor(site, at, 0, 2) || factor(site, at, 3, 5) || on(at, 4);
        // The bias is a multiple of the weights' scale.
        let bias = on(at, 8) || on(at, 4) || !site.has(8);
        product && bias && zero_point_is_zero(site, 7)
    },
    adds_nothing: |site, at| factor(site, at, 0, 2) || factor(site, at, 3, 5),
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
    zero: |site, at| factor(site, at, 0, 2) || factor(site, at, 1, 3),
    adds_nothing: |site, at| factor(site, at, 0, 2) || factor(site, at, 1, 3),
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
    zero: |site, at| {
        let product = factor(site, at, 0, 2) || factor(site, at, 3, 5) || on(at, 1) || on(at, 4);
        product && zero_point_is_zero(site, 7)
    },
    adds_nothing: |site, at| factor(site, at, 0, 2) || factor(site, at, 3, 5),
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
    zero: |site, at| {
        let product = factor(site, at, 0, 4) || factor(site, at, 1, 5) || on(at, 3);
        product && (on(at, 6) || !site.has(6))
    },
    adds_nothing: |site, at| factor(site, at, 0, 4) || factor(site, at, 1, 5),
    cost: |site| matmul_cost(site, 0),
    ..Rule::OPAQUE
};

/// `y[…, n] = Σ a[…, k] · (b[n, k] - zero[n, k]) · scale[n, k] + bias[n]`, with b packed in blocks along k.
const MATMUL_N_BITS: Rule = Rule {
    infer: |site| {
        let n = site.call.int("N", 0);
        let Some(a) = site.shape(0) else { return Ok(vec![Fact::maybe(site.dtype(0), None)]) };
        let [lead @ .., k] = a else { return Err("a scalar is no matrix".into()) };
        if n < 1 {
            return Err(format!("`N` is {n}"));
        }
        agree(&Dim::Fixed(site.call.int("K", 0)), k, |w, x| {
            format!("the weights expect {w} features but the input has {x}")
        })?;
        expect_rank(site, 5, 1, "bias")?;
        let shape = lead.iter().cloned().chain([Dim::Fixed(n)]).collect();
        Ok(vec![Fact::maybe(site.dtype(0), Some(shape))])
    },
    axes: |site| {
        let n = site.call.int("N", 0);
        let (b, scale, zero) = (rows(site, 1, n)?, rows(site, 2, n)?, rows(site, 3, n)?);
        let text = format!("... _, {b}, {scale}, {zero}, _*, n -> ... n");
        Some(AxisRule::new(text).size("n", n).why("its weights are packed in blocks along it"))
    },
    // Absent zero points are not zero, but a scale of zero makes all weights zero.
    zero: |site, at| on(at, 2) && (on(at, 5) || !site.has(5)),
    refit: |site, cut: &Cut| match cut.size("n") {
        Some(Dim::Fixed(n)) if n != site.call.int("N", 0) => Ok(Refit::default().attribute("N", Attribute::Int(n))),
        _ => Ok(Refit::default()),
    },
    cost: |site| matmul_cost(site, 0),
    ..Rule::OPAQUE
};

fn on(at: &[bool], slot: usize) -> bool {
    at.get(slot) == Some(&true)
}

/// Whether `v - zero_point` is zero at the unit.
fn factor(site: &Site, at: &[bool], slot: usize, zero_point: usize) -> bool {
    on(at, slot) && (on(at, zero_point) || zero_point_is_zero(site, zero_point))
}

/// Whether an operand has one element, or is absent.
fn is_single(site: &Site, slot: usize) -> bool {
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

/// The axes of an operand that has a whole number of elements for each of n rows, flat or not.
fn rows(site: &Site, slot: usize, n: i64) -> Option<String> {
    if !site.has(slot) {
        return Some(String::new());
    }
    match site.shape(slot)? {
        [d, ..] if n > 1 && *d == Dim::Fixed(n) => Some("n _*".into()),
        [d] if n > 1 => d.div_exact(&Dim::Fixed(n))?.size().filter(|&f| f > 1).map(|f| format!("(n {f})")),
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
    fn a_zero_point_spoils_the_contraction() {
        let of = |zero: &str| show("MatMulInteger", 10, "", &["u8:=4 8", "i8:=8 16", zero, zero]);
        assert_snapshot!(of("=i8[0]"), @"[c0:4, c1:8], [c1:8, c2:16], [1], [1] -> i32[c0:4, c2:16]");
        assert_snapshot!(of("=i8[1]"), @"[c0:4, c1!:8], [c1!:8, c2:16], [1], [1] -> i32[c0:4, c2:16]");
        assert_snapshot!(of(""), @"[c0:4, c1:8], [c1:8, c2:16], -, - -> i32[c0:4, c2:16]");
    }

    #[test]
    fn blocks() {
        let n_bits =
            |operands: &[&str], attributes: &str| Case::new("com.microsoft.MatMulNBits", 1, attributes, operands, 1);
        let case = n_bits(&["2 3 64", "u8:=16 2 16", "=32", "u8:=16"], "N=16 K=64 bits=4 block_size=32");
        assert_snapshot!(case.show(), @"[2, 3, 64], [c0:16, 2, 16], [(c0:16 2)], [c0:16] -> f32[2, 3, c0:16]");
        assert_snapshot!(case.refit("n", &[0, 7]), @"N=2");
        assert_snapshot!(
            n_bits(&["2 3 64", "u8:=16 2 16", "=16 2"], "N=16 K=64").show(),
            @"[2, 3, 64], [c0:16, 2, 16], [c0:16, 2] -> f32[2, 3, c0:16]"
        );
        assert_snapshot!(
            n_bits(&["2 3 64", "u8:=16 2 16", "=33"], "N=16 K=64").show(),
            @"[2, 3, 64], [16, 2, 16], [33] -> f32[2, 3, 16]"
        );
        assert_snapshot!(n_bits(&["2 3 64", "u8:=16 2 16", "=32"], "K=64").show(), @"error: `N` is 0");
    }
}
