//! Convolutions. A group is a factor of the channels, so that grouped and depthwise need no case of their own.

use super::shared::dims::{agree, elements, expect_rank, expect_vector};
use super::shared::window::{WindowAttributes, list};
use super::{AxisRule, Bias, CutSizes, Operands, Refit, Rule, Site, SlidingWindow, Sum, ZeroLaws, lower};
use crate::facts::Fact;
use crate::ir::{Attribute, Dim};

pub(super) const RULES: &[(&str, Rule)] = &[
    ("Conv", CONV),
    ("ConvTranspose", CONV_TRANSPOSE),
    ("DeformConv", DEFORM_CONV),
    ("CausalConvWithState", CAUSAL_CONV),
];

/// `y[n, (g o), p] = b[(g o)] + Σ x[n, (g i), p + t] · w[(g o), i, t]` over i and the taps t.
const CONV: Rule = Rule {
    infer: |site| Ok(vec![Fact::maybe(site.dtype(0), conv_shape(site, 0, 1, Some(2))?)]),
    axes: |site| {
        let t = Texts::of(site, 0, 1, 0)?;
        Some(t.rule(format!("{}, {}, {} -> {}", t.x, t.w, t.channel, t.y)))
    },
    zeros: ZeroLaws::AFFINE,
    refit: refit_group,
    cost: |site| conv_cost(site, 1),
    operands: Operands {
        bias: |_| Some(Bias::Operand(2)),
        windows: |site| sliding_windows(site).unwrap_or_default(),
        sum: |site| Some(Sum { factor: 1.0, addend: Some((2, 1.0)), full: is_unpadded(site) }),
        ..Operands::OPAQUE
    },
    lower: lower::conv::conv,
    ..Rule::OPAQUE
};

/// The transposed convolution: as Conv, with weights `w[(g i), o, t]`.
const CONV_TRANSPOSE: Rule = Rule {
    infer: |site| Ok(vec![Fact::maybe(site.dtype(0), transposed_shape(site)?)]),
    axes: |site| {
        let t = Texts::of(site, 0, 1, 1)?;
        Some(t.rule(format!("{}, {}, {} -> {}", t.x, t.w, t.channel, t.y)))
    },
    zeros: ZeroLaws::AFFINE,
    refit: refit_group,
    cost: |site| match (site.shape(0), site.shape(1)) {
        (Some(x), Some([_, rest @ ..])) => elements(x) * elements(rest),
        _ => site.unknown(),
    },
    operands: Operands {
        bias: |_| Some(Bias::Operand(2)),
        // How many taps meet in an element depends on where it is.
        sum: |_| Some(Sum { factor: 1.0, addend: Some((2, 1.0)), full: false }),
        ..Operands::OPAQUE
    },
    lower: lower::conv::transposed,
    ..Rule::OPAQUE
};

/// A convolution whose taps are moved by offsets and weighted by a mask: x, w, offset, bias, mask.
const DEFORM_CONV: Rule = Rule {
    infer: |site| Ok(vec![Fact::maybe(site.dtype(0), deformed_shape(site)?)]),
    axes: |site| {
        let t = Texts::of(site, 0, 1, 0)?;
        // Groups of offsets cut the channels elsewhere than groups of weights.
        let shared = site.call.int("offset_group", 1) == 1;
        let text = format!("{}, {}, n _*, {}, n _* -> {}", t.x, t.w, t.channel, t.y);
        shared.then(|| t.rule(text))
    },
    zeros: ZeroLaws {
        results: |site, at| {
            let on = |slot: usize| at.get(slot) == Some(&true);
            (on(0) || on(1)) && (on(3) || !site.has(3))
        },
        ..ZeroLaws::PRODUCT
    },
    refit: refit_group,
    cost: |site| conv_cost(site, 1),
    ..Rule::OPAQUE
};

/// A depthwise convolution of a sequence that looks only back, and keeps what it has to look back on: x, w, bias, state.
const CAUSAL_CONV: Rule = Rule {
    infer: |site| {
        for (slot, name) in [(0, "input"), (1, "weights"), (3, "state")] {
            expect_rank(site, slot, 3, name)?;
        }
        let state = match (site.shape(0), site.dim(1, 2)) {
            (Some([n, c, _]), Some(k)) => Some(vec![n.clone(), c.clone(), k.clone() - Dim::Fixed(1)]),
            _ => None,
        };
        Ok(vec![Fact::maybe(site.dtype(0), site.fact(0).shape.clone()), Fact::maybe(site.dtype(0), state)])
    },
    axes: |_| Some(AxisRule::new("n c _, c 1 _, c, n c _ -> n c _, n c _").why("a window runs along it")),
    zeros: ZeroLaws {
        results: |site, at| {
            let on = |slot: usize| at.get(slot) == Some(&true);
            let past = on(0) && (on(3) || !site.has(3));
            let state = site.call.results.get(1).is_some_and(|r| !r.is_empty());
            (past || on(1) && !state) && (on(2) || !site.has(2))
        },
        ..ZeroLaws::OPAQUE
    },
    cost: |site| match (site.shape(0), site.dim(1, 2)) {
        (Some(x), Some(k)) => elements(x) * k.clone(),
        _ => site.unknown(),
    },
    lower: lower::conv::causal,
    ..Rule::OPAQUE
};

/// The axes of a convolution's tensors as text, and its number of groups.
pub(super) struct Texts {
    pub x: &'static str,
    pub w: &'static str,
    /// An axis of all output channels.
    pub channel: &'static str,
    pub y: &'static str,
    group: i64,
}

impl Texts {
    /// The texts for operands at these slots; `out` is the axis of the weights that holds the output channels.
    /// `None` where the channels are not known to divide into groups.
    pub(super) fn of(site: &Site, x: usize, w: usize, out: usize) -> Option<Texts> {
        let group = group(site).ok()?;
        if group == 1 {
            let w = if out == 0 { "o i _*" } else { "i o _*" };
            return Some(Texts { x: "n i _*", w, channel: "o", y: "n o _*", group });
        }
        let divisor = Dim::Fixed(group);
        let channel = if site.call.int("channels_last", 0) != 0 { site.rank(x)?.checked_sub(1)? } else { 1 };
        site.dim(x, channel)?.div_exact(&divisor)?;
        site.dim(w, 0)?.div_exact(&divisor)?;
        let w = if out == 0 { "(g o) i _*" } else { "(g i) o _*" };
        Some(Texts { x: "n (g i) _*", w, channel: "(g o)", y: "n (g o) _*", group })
    }

    /// The same with the channels of input and result in the last axis.
    pub(super) fn channels_last(self) -> Texts {
        let (x, y) = if self.group == 1 { ("n _* i", "n _* o") } else { ("n _* (g i)", "n _* (g o)") };
        Texts { x, y, ..self }
    }

    pub(super) fn rule(&self, text: String) -> AxisRule {
        let rule = AxisRule::new(text).why("a window runs along it");
        if self.group == 1 { rule } else { rule.size("g", self.group) }
    }
}

pub(super) fn group(site: &Site) -> Result<i64, String> {
    match site.call.int("group", 1) {
        g if g < 1 => Err(format!("`group` is {g}")),
        g => Ok(g),
    }
}

/// The number of groups follows the label `g`.
pub(super) fn refit_group(site: &Site, cut: &CutSizes) -> Result<Refit, String> {
    match cut.size("g") {
        Some(Dim::Fixed(g)) if g != site.call.int("group", 1) => {
            Ok(Refit::default().attribute("group", Attribute::Int(g)))
        }
        _ => Ok(Refit::default()),
    }
}

/// The result's shape of a convolution of the operands at these slots.
pub(super) fn conv_shape(site: &Site, x: usize, w: usize, bias: Option<usize>) -> Result<Option<Vec<Dim>>, String> {
    match (site.shape(x), site.shape(w)) {
        (Some(x), Some(w)) => convolved(site, x, w, bias).map(Some),
        _ => Ok(None),
    }
}

/// The result's shape of a convolution of an input with weights of these shapes.
pub(super) fn convolved(site: &Site, x: &[Dim], w: &[Dim], bias: Option<usize>) -> Result<Vec<Dim>, String> {
    let group = Dim::Fixed(group(site)?);
    let ([n, c, space @ ..], [o, i, kernel @ ..]) = (x, w) else {
        return Err("a convolution needs axes for batch and channels".into());
    };
    check_kernel(site, space, kernel)?;
    agree(&(i.clone() * group.clone()), c, |w, x| {
        format!("the weights expect {w} input channels but the input has {x}")
    })?;
    if let (Some(o), Some(g)) = (o.fixed(), group.fixed())
        && o % g != 0
    {
        return Err(format!("{o} output channels do not divide into {g} groups"));
    }
    if let Some(bias) = bias {
        expect_vector(site, bias, o, "bias")?;
    }
    let window = WindowAttributes::of(site.call, space.len())?;
    let mut shape = vec![n.clone(), o.clone()];
    for (axis, (length, kernel)) in space.iter().zip(kernel).enumerate() {
        shape.push(window.positions(site, axis, length, kernel, false)?);
    }
    Ok(shape)
}

/// A convolution's window, an entry for each axis of space. `None` where padding depends on an open length.
fn sliding_windows(site: &Site) -> Option<Vec<SlidingWindow>> {
    let space = site.shape(0)?.len().checked_sub(2)?;
    let window = WindowAttributes::of(site.call, space).ok()?;
    let along = |i: usize| {
        let (stride, dilation, before) = window.step(i, site.dim(0, i + 2)?, site.dim(1, i + 2)?)?;
        Some(SlidingWindow { data: i + 2, taps: i + 2, result: i + 2, stride, dilation, before })
    };
    (0..space).map(along).collect()
}

/// Whether no window reaches beyond the border.
fn is_unpadded(site: &Site) -> bool {
    let axes = site.rank(0).unwrap_or(2).saturating_sub(2);
    WindowAttributes::of(site.call, axes)
        .is_ok_and(|w| !w.same && (0..axes).all(|axis| w.padding(axis) == Dim::Fixed(0)))
}

fn deformed_shape(site: &Site) -> Result<Option<Vec<Dim>>, String> {
    let shape = conv_shape(site, 0, 1, Some(3))?;
    let rank = shape.as_ref().map_or(4, Vec::len);
    expect_rank(site, 2, rank, "offset")?;
    expect_rank(site, 4, rank, "mask")?;
    Ok(shape)
}

/// A contradiction where the weights' window has another rank than the input, or another length than declared.
fn check_kernel(site: &Site, space: &[Dim], kernel: &[Dim]) -> Result<(), String> {
    if space.len() != kernel.len() {
        return Err(format!("a window over {} axes for an input with {}", kernel.len(), space.len()));
    }
    if let Some(k) = kernel.iter().find(|k| k.fixed().is_some_and(|n| n < 1)) {
        return Err(format!("a window of length {k}"));
    }
    let Some(declared) = site.call.ints("kernel_shape") else { return Ok(()) };
    if declared.len() != kernel.len() {
        return Err(format!("`kernel_shape` has {} entries, not {}", declared.len(), kernel.len()));
    }
    for (&d, k) in declared.iter().zip(kernel) {
        agree(&Dim::Fixed(d), k, |d, k| format!("`kernel_shape` says {d} but the weights have {k}"))?;
    }
    Ok(())
}

fn transposed_shape(site: &Site) -> Result<Option<Vec<Dim>>, String> {
    let group = group(site)?;
    let (Some(x), Some(w)) = (site.shape(0), site.shape(1)) else { return Ok(None) };
    let ([n, c, space @ ..], [i, o, kernel @ ..]) = (x, w) else {
        return Err("a convolution needs axes for batch and channels".into());
    };
    check_kernel(site, space, kernel)?;
    agree(i, c, |w, x| format!("the weights expect {w} input channels but the input has {x}"))?;
    if let Some(c) = c.fixed().filter(|c| c % group != 0) {
        return Err(format!("{c} input channels do not divide into {group} groups"));
    }
    let out = o.clone() * Dim::Fixed(group);
    expect_vector(site, 2, &out, "bias")?;
    let mut shape = vec![n.clone(), out];
    shape.extend(transposed_space(site, space, kernel)?);
    Ok(Some(shape))
}

/// `(length - 1) stride + extent + output_padding - padding`, unless `output_shape` says it.
fn transposed_space(site: &Site, space: &[Dim], kernel: &[Dim]) -> Result<Vec<Dim>, String> {
    let axes = space.len();
    let window = WindowAttributes::of(site.call, axes)?;
    let extra = list(site.call, "output_padding", axes, 0)?;
    if let Some(shape) = site.call.ints("output_shape") {
        // Old exporters list the batch and the channels too.
        let given = if shape.len() == axes + 2 { &shape[2..] } else { shape };
        if given.len() != axes {
            return Err(format!("`output_shape` has {} entries, not {axes}", shape.len()));
        }
        return Ok(given.iter().map(|&d| Dim::Fixed(d)).collect());
    }
    let length = |axis: usize| {
        let stride = Dim::Fixed(window.strides[axis]);
        if window.same {
            return Ok(space[axis].clone() * stride);
        }
        let full = (space[axis].clone() - Dim::Fixed(1)) * stride + window.extent(axis, &kernel[axis]);
        let length = full + Dim::Fixed(extra[axis]) - window.padding(axis);
        match length.fixed() {
            Some(n) if n < 0 => Err(format!("padding leaves {n} elements")),
            _ => Ok(length),
        }
    };
    (0..axes).map(length).collect()
}

/// Every element of the result takes one product for each weight of its channel.
pub(super) fn conv_cost(site: &Site, w: usize) -> Dim {
    match (site.result_shape(0), site.shape(w)) {
        (Some(y), Some([_, rest @ ..])) => elements(y) * elements(rest),
        _ => site.unknown(),
    }
}

#[cfg(test)]
mod tests {
    use crate::ops::testing::{Case, show};
    use insta::assert_snapshot;

    #[test]
    fn channels() {
        assert_snapshot!(
            show("Conv", 11, "", &["=2 64 9 9", "=32 64 3 3", "=32"]),
            @"[c0:2, c1:64, 9, 9], [c4:32, c1:64, 3, 3], [c4:32] -> f32[c0:2, c4:32, 7, 7]"
        );
        assert_snapshot!(
            show("Conv", 1, "", &["=2 64 9", "=32 64 3"]),
            @"[c0:2, c1:64, 9], [c3:32, c1:64, 3] -> f32[c0:2, c3:32, 7]"
        );
        assert_snapshot!(
            show("Conv", 22, "pads=[1,1,1,1,1,1]", &["=2 3 5 9 9", "=32 3 3 3 3"]),
            @"[c0:2, c1:3, 5, 9, 9], [c5:32, c1:3, 3, 3, 3] -> f32[c0:2, c5:32, 5, 9, 9]"
        );
        assert_snapshot!(
            show("Conv", 11, "", &["=2 1 9 9", "=32 1 3 3", "=32"]),
            @"[c0:2, 1, 9, 9], [c3:32, 1, 3, 3], [c3:32] -> f32[c0:2, c3:32, 7, 7]"
        );
    }

    #[test]
    fn groups_lose_the_same_channels() {
        assert_snapshot!(
            show("Conv", 11, "group=4", &["=2 64 9 9", "=32 16 3 3", "=32"]),
            @"[c0:2, (c1:4 c2:16), 9, 9], [(c1:4 c5:8), c2:16, 3, 3], [(c1:4 c5:8)] -> f32[c0:2, (c1:4 c5:8), 7, 7]"
        );
        assert_snapshot!(
            show("Conv", 11, "group=64", &["=2 64 9 9", "=64 1 3 3", "=64"]),
            @"[c0:2, c1:64, 9, 9], [c1:64, 1, 3, 3], [c1:64] -> f32[c0:2, c1:64, 7, 7]"
        );
        assert_snapshot!(
            show("Conv", 11, "group=64", &["=2 64 9 9", "=128 1 3 3", "=128"]),
            @"[c0:2, c1:64, 9, 9], [(c1:64 c4:2), 1, 3, 3], [(c1:64 c4:2)] -> f32[c0:2, (c1:64 c4:2), 7, 7]"
        );
        let case = Case::new("Conv", 11, "group=4", &["=2 64 9 9", "=32 16 3 3"], 1);
        assert_snapshot!(case.refit("g", &[0, 3]), @"group=2");
        assert_snapshot!(case.refit("o", &[0, 3]), @"");
    }

    #[test]
    fn positions_of_the_window() {
        let conv = |attributes: &str| show("Conv", 11, attributes, &["N 3 H 9", "=8 3 3 3"]);
        assert_snapshot!(
            conv("strides=[2,2] pads=[1,1,1,1]"),
            @"[N, 3, H, 9], [c0:8, 3, 3, 3] -> f32[N, c0:8, 1+floor(-1+H / 2), 5]"
        );
        assert_snapshot!(
            conv("strides=[2,2] auto_pad=SAME_UPPER"),
            @"[N, 3, H, 9], [c0:8, 3, 3, 3] -> f32[N, c0:8, floor(1+H / 2), 5]"
        );
        assert_snapshot!(
            conv("auto_pad=VALID pads=[9,9,9,9] dilations=[2,3]"),
            @"[N, 3, H, 9], [c0:8, 3, 3, 3] -> f32[N, c0:8, -4+H, 3]"
        );
        assert_snapshot!(conv("dilations=[2,5]"), @"error: a window of extent 11 does not fit 9 elements");
        assert_snapshot!(
            show("Conv", 11, "", &["N 3 9 9", "? "]),
            @"error: a convolution needs axes for batch and channels"
        );
        assert_snapshot!(show("Conv", 11, "", &["?", "=8 3 3 3"]), @"[..], [8, 3, 3, 3] -> f32[..]");
        assert_snapshot!(
            show("Conv", 11, "group=2", &["N C 9 9", "=8 3 3 3"]),
            @"[N, C, 9, 9], [8, 3, 3, 3] -> f32[N, 8, 7, 7]"
        );
    }

    #[test]
    fn contradictions() {
        let conv = |attributes: &str, w: &str, b: &str| show("Conv", 11, attributes, &["N 32 9 9", w, b]);
        assert_snapshot!(
            conv("", "=8 64 3 3", ""),
            @"error: the weights expect 64 input channels but the input has 32"
        );
        assert_snapshot!(conv("group=0", "=8 32 3 3", ""), @"error: `group` is 0");
        assert_snapshot!(
            conv("group=-9223372036854775808", "=8 32 3 3", ""),
            @"error: `group` is -9223372036854775808"
        );
        assert_snapshot!(
            conv("group=9223372036854775807", "=8 32 3 3", ""),
            @"error: the weights expect 9223372036854775807 input channels but the input has 32"
        );
        assert_snapshot!(conv("group=2", "=7 16 3 3", ""), @"error: 7 output channels do not divide into 2 groups");
        assert_snapshot!(conv("", "=8 32 3", ""), @"error: a window over 1 axes for an input with 2");
        assert_snapshot!(conv("", "=8 32 3 0", ""), @"error: a window of length 0");
        assert_snapshot!(conv("", "=8 32 3 3", "=7"), @"error: the bias has 7 elements but there are 8 channels");
        assert_snapshot!(conv("", "=8 32 3 3", "=1 8 1 1"), @"error: an operand (bias) has rank 4, not 1");
        assert_snapshot!(
            conv("kernel_shape=[3,5]", "=8 32 3 3", ""),
            @"error: `kernel_shape` says 5 but the weights have 3"
        );
        assert_snapshot!(conv("strides=[0,1]", "=8 32 3 3", ""), @"error: `strides` is 0");
        assert_snapshot!(conv("pads=[1,1]", "=8 32 3 3", ""), @"error: `pads` has 2 entries, not 4");
        assert_snapshot!(
            conv("pads=[9223372036854775807,0,9223372036854775807,0]", "=8 32 3 3", ""),
            @"error: a tensor of more elements than can be counted"
        );
        assert_snapshot!(show("Conv", 11, "", &["N 32 9 9"]), @"[N, 32, 9, 9] -> f32[..]");
        assert_snapshot!(show("Conv", 11, "", &[]), @" -> ?[..]");
    }

    #[test]
    fn transposed() {
        let t = |attributes: &str, w: &str| show("ConvTranspose", 11, attributes, &["=2 32 5 5", w, "=16"]);
        assert_snapshot!(
            t("strides=[2,2] pads=[1,1,1,1] output_padding=[1,1]", "=32 16 3 3"),
            @"[c0:2, c1:32, 5, 5], [c1:32, c4:16, 3, 3], [c4:16] -> f32[c0:2, c4:16, 10, 10]"
        );
        assert_snapshot!(
            t("group=4", "=32 4 3 3"),
            @"[c0:2, (c1:4 c2:8), 5, 5], [(c1:4 c2:8), c5:4, 3, 3], [(c1:4 c5:4)] -> f32[c0:2, (c1:4 c5:4), 7, 7]"
        );
        assert_snapshot!(
            t("strides=[2,2] auto_pad=SAME_LOWER", "=32 16 3 3"),
            @"[c0:2, c1:32, 5, 5], [c1:32, c4:16, 3, 3], [c4:16] -> f32[c0:2, c4:16, 10, 10]"
        );
        assert_snapshot!(
            t("strides=[2,2] output_shape=[10,10]", "=32 16 3 3"),
            @"[c0:2, c1:32, 5, 5], [c1:32, c4:16, 3, 3], [c4:16] -> f32[c0:2, c4:16, 10, 10]"
        );
        assert_snapshot!(t("group=3", "=32 4 3 3"), @"error: 32 input channels do not divide into 3 groups");
        assert_snapshot!(t("pads=[9,9,9,9]", "=32 16 3 3"), @"error: padding leaves -11 elements");
    }

    #[test]
    fn deformed() {
        let conv = |attributes: &str, offset: &str| {
            show("DeformConv", 19, attributes, &["=2 8 9 9", "=16 8 3 3", offset, "=16", "=2 9 7 7"])
        };
        assert_snapshot!(
            conv("", "=2 18 7 7"),
            @"[c0:2, c1:8, 9, 9], [c4:16, c1:8, 3, 3], [c0:2, 18, 7, 7], [c4:16], [c0:2, 9, 7, 7] -> f32[c0:2, c4:16, 7, 7]"
        );
        assert_snapshot!(
            conv("offset_group=2", "=2 36 7 7"),
            @"[2, 8, 9, 9], [16, 8, 3, 3], [2, 36, 7, 7], [16], [2, 9, 7, 7] -> f32[2, 16, 7, 7]"
        );
    }

    #[test]
    fn windows_slide() {
        let windows = |attributes: &str, x: &str| {
            let case = Case::new("Conv", 11, attributes, &[x, "=8 32 3 3"], 1);
            let steps = case.windows().into_iter().map(|s| (s.stride, s.dilation, s.before));
            steps.collect::<Vec<_>>()
        };
        assert_eq!(windows("strides=[2,1] pads=[1,0,2,3]", "N 32 9 9"), [(2, 1, 1), (1, 1, 0)]);
        assert_eq!(windows("dilations=[1,2] auto_pad=SAME_UPPER", "N 32 8 8"), [(1, 1, 1), (1, 2, 2)]);
        assert_eq!(windows("strides=[2,2] auto_pad=SAME_UPPER", "N 32 8 9"), [(2, 1, 0), (2, 1, 1)]);
        assert_eq!(windows("strides=[2,2] auto_pad=SAME_LOWER", "N 32 8 9"), [(2, 1, 1), (2, 1, 1)]);
        assert_eq!(windows("auto_pad=SAME_UPPER", "N 32 H 9"), [], "padding that depends on an open length");
        assert_eq!(windows("pads=[-1,0,0,0]", "N 32 9 9"), [], "elements are cut off");
    }

    #[test]
    fn cost_counts_products() {
        let case = Case::new("Conv", 11, "group=4", &["N 64 9 9", "=32 16 3 3"], 1);
        assert_snapshot!(case.cost(), @"225792*N");
        let case = Case::new("ConvTranspose", 11, "", &["N 32 5 5", "=32 16 3 3"], 1);
        assert_snapshot!(case.cost(), @"115200*N");
    }

    #[test]
    fn a_causal_convolution_keeps_its_state() {
        let case = Case::new("CausalConvWithState", 27, "", &["=2 8 5", "=8 1 3", "=8", "=2 8 2"], 2);
        assert_snapshot!(case.show(), @"[c0:2, c1:8, 5], [c1:8, 1, 3], [c1:8], [c0:2, c1:8, 2] -> f32[c0:2, c1:8, 5], f32[c0:2, c1:8, 2]");
        assert_snapshot!(case.cost(), @"240");
        assert!(case.zero(&[true, false, true, true]) && !case.zero(&[true, false, true, false]));
        assert!(!case.zero(&[false, true, true, false]), "the state is there without weights");
    }
}
