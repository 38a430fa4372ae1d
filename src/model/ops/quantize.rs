//! Quantization: one scale for a tensor, or one for each index of an axis.

use super::shared::dims::{agree, row};
use super::{AxisRule, End, Quantization, Rule, Site, ZeroLaws, lower, zero};
use crate::facts::Fact;
use crate::ir::{DType, Dim};

pub(super) const RULES: &[(&str, Rule)] = &[
    ("DequantizeLinear", DEQUANTIZE),
    ("DynamicQuantizeLinear", DYNAMIC_QUANTIZE),
    ("QuantizeLinear", QUANTIZE),
    ("com.microsoft.DequantizeLinear", DEQUANTIZE),
    ("com.microsoft.QuantizeLinear", QUANTIZE),
];

/// `y = (x - zero_point) · scale`
const DEQUANTIZE: Rule = Rule {
    infer: |site| {
        let dtype = declared_type(site).or(site.dtype(1));
        Ok(vec![Fact::maybe(dtype, scaled_shape(site)?)])
    },
    axes: |site| blocked_axes(site).or_else(|| scaled_axes(site, |axis| format!("a{axis}"))),
    zeros: ZeroLaws { results: |_, at| at.get(1) == Some(&true) || at.first() == Some(&true), ..ZeroLaws::OPAQUE },
    quantization: Quantization {
        zero_point: |end| (end == End::Operand(0)).then_some(End::Operand(2)),
        scale: |slot| (slot == 0).then_some(1),
    },
    lower: |site, at| {
        let layout = scaling(site, 1)?.ok_or("the shape of its scale is not known")?;
        lower::quantize::dequantized(site, at, layout)
    },
    ..Rule::OPAQUE
};

/// `y = saturate(round(x / scale) + zero_point)`. A scale of zero divides by zero: its axis can't be masked.
const QUANTIZE: Rule = Rule {
    infer: |site| {
        let dtype = site.dtype(2).or_else(|| declared_type(site));
        let dtype = if site.has(2) { dtype } else { dtype.or(Some(DType::U8)) };
        Ok(vec![Fact::maybe(dtype, scaled_shape(site)?)])
    },
    axes: |site| Some(scaled_axes(site, |_| "_".into())?.why("it is divided by a scale for each unit")),
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    quantization: Quantization {
        zero_point: |end| (end == End::Result(0)).then_some(End::Operand(2)),
        ..Quantization::NONE
    },
    lower: |site, at| {
        let layout = scaling(site, 1)?.ok_or("the shape of its scale is not known")?;
        lower::quantize::quantized(site, at, layout)
    },
    ..Rule::OPAQUE
};

/// `y, scale, zero_point` for the range of all of x and of 0: units that are zero do not widen it, and may go.
const DYNAMIC_QUANTIZE: Rule = Rule {
    infer: |site| {
        let shape = site.shape(0).map(<[Dim]>::to_vec);
        let scalar = |dtype| Fact::new(dtype, vec![]);
        Ok(vec![Fact::maybe(Some(DType::U8), shape), scalar(DType::F32), scalar(DType::U8)])
    },
    axes: |site| {
        let x = row(site.rank(0)?, |i| format!("a{i}"));
        Some(AxisRule::new(format!("{x} -> {x}, , ")))
    },
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::SUM },
    quantization: Quantization {
        zero_point: |end| (end == End::Result(0)).then_some(End::Result(2)),
        ..Quantization::NONE
    },
    ..Rule::OPAQUE
};

/// The type that `output_dtype` asks for.
fn declared_type(site: &Site) -> Option<DType> {
    i32::try_from(site.call.int("output_dtype", 0)).ok().and_then(DType::from_code)
}

/// How an operand of scales or zero points lies along the input.
pub(super) enum Scaling {
    /// One for all.
    Tensor,
    /// One for each index of this axis.
    Axis(usize),
    /// One for each block of elements.
    Blocks,
}

fn scaling(site: &Site, slot: usize) -> Result<Option<Scaling>, String> {
    let Some(scale) = site.shape(slot) else { return Ok(None) };
    match scale {
        [] => Ok(Some(Scaling::Tensor)),
        _ if site.call.int("block_size", 0) != 0 => Ok(Some(Scaling::Blocks)),
        [Dim::Fixed(1)] => Ok(Some(Scaling::Tensor)),
        [n] => {
            let Some(x) = site.shape(0) else { return Ok(None) };
            // A single number may be written as a vector, and then needs no axis.
            let axis = match (site.axis("axis", 1, x.len()), n) {
                (Err(_), Dim::Open(_)) => return Ok(None),
                (axis, _) => axis?,
            };
            let length = x.get(axis).ok_or("a scalar has no axis to scale")?;
            agree(n, length, |n, d| format!("{n} scales for an axis of length {d}"))?;
            Ok(Some(Scaling::Axis(axis)))
        }
        _ => Ok(Some(Scaling::Blocks)),
    }
}

fn scaled_shape(site: &Site) -> Result<Option<Vec<Dim>>, String> {
    scaling(site, 1)?;
    scaling(site, 2)?;
    Ok(site.shape(0).map(<[Dim]>::to_vec))
}

/// All axes of x pass through; the one that scales lie along is written as told.
fn scaled_axes(site: &Site, scaled: impl Fn(usize) -> String) -> Option<AxisRule> {
    let mut vectors = vec![];
    let mut along = None;
    for slot in (1..=2).filter(|&s| site.has(s)) {
        match scaling(site, slot).ok()?? {
            Scaling::Tensor => vectors.push("_*".to_owned()),
            Scaling::Axis(axis) => {
                along = Some(axis);
                vectors.push(scaled(axis));
            }
            Scaling::Blocks => return None,
        }
    }
    let x = row(site.rank(0)?, |i| if along == Some(i) { scaled(i) } else { format!("a{i}") });
    Some(AxisRule::new(format!("{x}, {} -> {x}", vectors.join(", "))))
}

/// A scale for each block of elements along an axis: blocks go as a whole, and units of the other axes one by one.
fn blocked_axes(site: &Site) -> Option<AxisRule> {
    let (x, block) = (site.shape(0)?, site.call.int("block_size", 0));
    let along = site.axis("axis", 1, x.len()).ok()?;
    let blocks = site.shape(1)?.get(along)?;
    if block < 1 || site.rank(1) != Some(x.len()) || x[along] != blocks.clone() * Dim::Fixed(block) {
        return None;
    }
    let data = row(x.len(), |i| if i == along { format!("(a{i} {block})") } else { format!("a{i}") });
    let scales = row(x.len(), |i| format!("a{i}"));
    let scales = if site.has(2) { format!("{scales}, {scales}") } else { scales };
    Some(AxisRule::new(format!("{data}, {scales} -> {data}")))
}

#[cfg(test)]
mod tests {
    use crate::ops::testing::{Case, show};
    use insta::assert_snapshot;

    #[test]
    fn dequantize() {
        let dq = |attributes: &str, operands: &[&str]| show("DequantizeLinear", 13, attributes, operands);
        assert_snapshot!(dq("", &["i8:=16 8", "=[0.5]"]), @"[c0:16, c1:8], [1] -> f32[c0:16, c1:8]");
        assert_snapshot!(dq("", &["i8:=16 8", "=", "i8:="]), @"[c0:16, c1:8], [], [] -> f32[c0:16, c1:8]");
        assert_snapshot!(
            dq("axis=0", &["i8:=16 8", "=16", "i8:=16"]),
            @"[c0:16, c1:8], [c0:16], [c0:16] -> f32[c0:16, c1:8]"
        );
        assert_snapshot!(dq("axis=-1", &["i8:=16 8", "f16:=8"]), @"[c0:16, c1:8], [c1:8] -> f16[c0:16, c1:8]");
        assert_snapshot!(dq("axis=0", &["i8:=16 8", "=8"]), @"error: 8 scales for an axis of length 16");
        assert_snapshot!(dq("axis=5", &["i8:=16 8", "=8"]), @"error: axis 5 of a tensor of rank 2");
        assert_snapshot!(dq("axis=0", &["i8:=", "=8"]), @"error: a scalar has no axis to scale");
        assert_snapshot!(dq("", &["i8:?", "=8"]), @"[..], [8] -> f32[..]");
        assert_snapshot!(
            show("DequantizeLinear", 21, "block_size=4", &["i8:=16 8", "=16 2"]),
            @"[c0:16, (c1:2 4)], [c0:16, c1:2] -> f32[c0:16, (c1:2 4)]"
        );
        assert_snapshot!(
            show("DequantizeLinear", 23, "output_dtype=10", &["i8:=16 8", "=[0.5]"]),
            @"[c0:16, c1:8], [1] -> f16[c0:16, c1:8]"
        );
    }

    #[test]
    fn quantize() {
        let q = |attributes: &str, operands: &[&str]| show("QuantizeLinear", 13, attributes, operands);
        assert_snapshot!(q("", &["=16 8", "=[0.5]"]), @"[c0:16, c1:8], [1] -> u8[c0:16, c1:8]");
        assert_snapshot!(q("", &["=16 8", "=[0.5]", "i8:=i8[0]"]), @"[c0:16, c1:8], [1], [1] -> i8[c0:16, c1:8]");
        assert_snapshot!(q("axis=0", &["=16 8", "=16", "i8:=16"]), @"[16, c1:8], [16], [16] -> i8[16, c1:8]");
        assert_snapshot!(
            show("QuantizeLinear", 21, "output_dtype=3", &["=16 8", "=[0.5]"]),
            @"[c0:16, c1:8], [1] -> i8[c0:16, c1:8]"
        );
        // Scales and zero points of an open number may be one for all: then there need be no such axis.
        assert_snapshot!(q("", &["=16", "=[0.5]", "i8:n"]), @"[16], [1], [n] -> i8[16]");
        let case = Case::new("QuantizeLinear", 13, "axis=0", &["=16 8", "=16"], 1);
        assert_snapshot!(case.reasons(), @"it is divided by a scale for each unit");
    }

    #[test]
    fn what_is_zero_stands_at_its_zero_point() {
        // Two matrices, both quantized, are multiplied: the inner features are zero if either one's are, at its zero point.
        let features = |zero: &str, other: &str| {
            let text = format!(
                "g (f32[2,4] x, f32[2,4] z) => (f32[2,2] y) {{
                    f32[4,8] a #1
                    f32[4,8] b #2
                    f32[1] s = {{0.5}}
                    u8[1] p = {{{zero}}}
                    u8[1] q = {{{other}}}
                    u = MatMul(x, a)
                    v = MatMul(z, b)
                    uq = QuantizeLinear(u, s, p)
                    vq = QuantizeLinear(v, s, p)
                    turned = Transpose<perm=[1,0]>(vq)
                    ud = DequantizeLinear(uq, s, q)
                    vd = DequantizeLinear(turned, s, q)
                    y = MatMul(ud, vd)
                }}"
            );
            let model = crate::ir::parse(&text, &|_| None).expect("a model");
            let analysis = crate::prune::prepare(&model).expect("it can be analyzed");
            let exact: Vec<usize> = analysis.groups.all.iter().filter(|g| g.is_exact()).map(|g| g.size).collect();
            exact
        };
        assert_eq!(features("0", "0"), [8]);
        assert_eq!(features("3", "3"), [8]);
        assert!(features("3", "4").is_empty());
    }

    #[test]
    fn a_zero_point_of_weights_is_named() {
        let text = "g (f32[2,4] x) => (f32[2,3] y) {
            u8[4,8] a #1
            u8[8,3] b #2
            f32 s = {0.5}
            u8 p = {119}
            ad = DequantizeLinear(a, s, p)
            bd = DequantizeLinear(b, s, p)
            u = MatMul(x, ad)
            y = MatMul(u, bd)
        }";
        let model = crate::ir::parse(text, &|_| None).expect("a model");
        let analysis = crate::prune::prepare(&model).expect("it can be analyzed");
        let hidden = analysis.groups.all.iter().find(|g| g.size == 8).expect("the hidden units");
        let whys: Vec<String> = hidden.inexact.iter().map(|p| p.why.to_string()).collect();
        assert_snapshot!(whys.join("; "), @"its weights have the zero point 119: a weight that the proof sets to 0 is not zero there");
    }

    #[test]
    fn a_dynamic_range_holds_zero_anyway() {
        // Relu keeps what is zero, and Sigmoid does not: the scale would be another one.
        let exact = |op: &str| {
            let text = format!(
                "g (f32[2,4] x) => (f32[2,3] y) {{
                    f32[4,8] a #1
                    i8[8,3] b #2
                    u = MatMul(x, a)
                    v = {op}(u)
                    q, s, p = DynamicQuantizeLinear(v)
                    i = MatMulInteger(q, b, p)
                    f = Cast<to=1>(i)
                    y = Mul(f, s)
                }}"
            );
            let model = crate::ir::parse(&text, &|_| None).expect("a model");
            let analysis = crate::prune::prepare(&model).expect("it can be analyzed");
            analysis.groups.all.iter().any(|g| g.size == 8 && g.is_exact())
        };
        assert!(exact("Relu"));
        assert!(!exact("Sigmoid"));
        let case = Case::new("DynamicQuantizeLinear", 11, "", &["=16 8"], 3);
        assert_snapshot!(case.show(), @"[c0:16, c1:8] -> u8[c0:16, c1:8], f32[], u8[]");
    }
}
