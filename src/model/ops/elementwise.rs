//! Operators that map every element on its own: activations, roots, casts.
//!
//! Their axes pass through, `... -> ...`. What tells them apart is whether the function is zero at zero, which
//! decides where a removed unit stays silent, and what it does to known elements.

use super::shared::content::{self, carry, number, rounded, scalar};
use super::{
    AxisRule, Homogeneity, Interval, Refit, Rule, Site, ValueLaws, ZeroLaws, bounds, homogeneity, lower, zero,
};
use crate::facts::{Element, Fact};
use crate::ir::{DType, Dim};
use crate::program::{Compare, Map};

/// A function of one operand whose result has the operand's type: `... -> ...`.
macro_rules! map {
    ($zero:expr) => {
        map!($zero, |_| Element::Unknown)
    };
    ($zero:expr, $eval:expr) => {
        Rule {
            infer: |site| Ok(vec![mapped(site, site.dtype(0), $eval)]),
            axes: pass,
            zeros: ZeroLaws { results: $zero, ..ZeroLaws::OPAQUE },
            ..Rule::OPAQUE
        }
    };
}

/// A function of one operand with a pole at zero: a constant's axes are pinned, lest zeroing makes infinities.
macro_rules! pole {
    ($eval:expr) => {
        Rule {
            axes: pass_unless_constant,
            zeros: ZeroLaws { pole: zero::first, ..ZeroLaws::OPAQUE },
            ..map!(zero::never, $eval)
        }
    };
}

/// The same for a function that never falls.
macro_rules! rising {
    ($f:expr, $rule:expr) => {
        Rule { values: ValueLaws { bounds: |_, at| Some(at.first()?.rising($f)), ..$rule.values }, ..$rule }
    };
}

/// A test of each element: the result is boolean.
macro_rules! test {
    ($zero:expr, $eval:expr) => {
        Rule {
            infer: |site| Ok(vec![mapped(site, Some(DType::Bool), $eval)]),
            axes: pass,
            zeros: ZeroLaws { results: $zero, ..ZeroLaws::OPAQUE },
            ..Rule::OPAQUE
        }
    };
}

/// The same with what it is made of.
macro_rules! made {
    (|$x:ident| $formula:expr, $rule:expr) => {
        Rule { lower: |_, at| at.at(0).map(|$x| vec![$formula]), ..$rule }
    };
}

pub(super) const RULES: &[(&str, Rule)] = &[
    (
        "Abs",
        Rule {
            values: ValueLaws {
                bounds: |_, at| Some(at.first()?.dipping(f64::abs, 0.0)),
                homogeneity: homogeneity::first_positive,
                ..ValueLaws::OPAQUE
            },
            lower: |_, at| Ok(vec![lower::elementwise::abs(at.at(0)?)]),
            ..map!(zero::first, abs)
        },
    ),
    (
        "Neg",
        Rule {
            values: ValueLaws {
                bounds: |_, at| Some(at.first()?.negated()),
                homogeneity: homogeneity::first,
                ..ValueLaws::OPAQUE
            },
            ..made!(|x| -x, map!(zero::first, neg))
        },
    ),
    ("Sign", made!(|x| lower::elementwise::sign(x), map!(zero::first, sign))),
    ("Ceil", made!(|x| x.map(Map::Ceil), map!(zero::first, |e| float(e, f64::ceil)))),
    ("Floor", made!(|x| x.map(Map::Floor), map!(zero::first, |e| float(e, f64::floor)))),
    ("Round", made!(|x| x.map(Map::Round), map!(zero::first, |e| float(e, f64::round_ties_even)))),
    ("Sqrt", made!(|x| x.sqrt(), rising!(f64::sqrt, map!(zero::first, |e| float(e, f64::sqrt))))),
    ("Exp", made!(|x| x.exp(), rising!(f64::exp, map!(zero::never)))),
    ("Log", made!(|x| x.ln(), pole!(|_| Element::Unknown))),
    ("Reciprocal", made!(|x| x.recip(), pole!(|e| float(e, f64::recip)))),
    (
        "Relu",
        Rule {
            values: ValueLaws {
                bounds: |_, at| Some(at.first()?.rising(|x| x.max(0.0))),
                homogeneity: homogeneity::first_positive,
                ..ValueLaws::OPAQUE
            },
            lower: |_, at| Ok(vec![lower::elementwise::relu(at.at(0)?)]),
            ..map!(zero::first, relu)
        },
    ),
    ("LeakyRelu", LEAKY_RELU),
    ("Elu", Rule { lower: lower::elementwise::elu, ..map!(zero::first) }),
    ("Selu", Rule { lower: lower::elementwise::selu, ..map!(zero::first) }),
    ("Celu", Rule { lower: lower::elementwise::celu, ..map!(zero::first) }),
    ("ThresholdedRelu", Rule { lower: lower::elementwise::thresholded, ..map!(zero::first) }),
    ("Sigmoid", made!(|x| x.sigmoid(), rising!(|x| (1.0 + (-x).exp()).recip(), map!(zero::never)))),
    ("HardSigmoid", HARD_SIGMOID),
    (
        "HardSwish",
        Rule {
            values: ValueLaws { bounds: |_, at| Some(at.first()?.dipping(hard_swish, -1.5)), ..ValueLaws::OPAQUE },
            ..made!(|x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0), map!(zero::first))
        },
    ),
    ("Mish", made!(|x| x * x.softplus().tanh(), map!(zero::first))),
    ("Gelu", GELU),
    ("Swish", Rule { lower: |site, at| lower::elementwise::swish(site, at, 1.0), ..map!(zero::first) }),
    ("com.microsoft.Gelu", GELU),
    (
        "com.microsoft.QuickGelu",
        Rule { lower: |site, at| lower::elementwise::swish(site, at, 1.702), ..map!(zero::first) },
    ),
    ("Tanh", made!(|x| x.tanh(), rising!(f64::tanh, map!(zero::first)))),
    ("Softplus", made!(|x| x.softplus(), map!(zero::never))),
    ("Softsign", made!(|x| x / (x.abs() + 1.0), map!(zero::first))),
    ("Erf", made!(|x| x.erf(), map!(zero::first))),
    ("Sin", made!(|x| x.map(Map::Sin), map!(zero::first))),
    ("Cos", made!(|x| x.map(Map::Cos), map!(zero::never))),
    ("Tan", made!(|x| x.map(Map::Tan), map!(zero::first))),
    ("Asin", made!(|x| x.map(Map::Asin), map!(zero::first))),
    ("Acos", made!(|x| x.map(Map::Acos), map!(zero::never))),
    ("Atan", made!(|x| x.map(Map::Atan), map!(zero::first))),
    ("Sinh", made!(|x| x.map(Map::Sinh), map!(zero::first))),
    ("Cosh", made!(|x| x.map(Map::Cosh), map!(zero::never))),
    ("Asinh", made!(|x| x.map(Map::Asinh), map!(zero::first))),
    (
        "Acosh",
        Rule {
            zeros: ZeroLaws { pole: zero::first, ..ZeroLaws::OPAQUE },
            ..made!(|x| x.map(Map::Acosh), map!(zero::never))
        },
    ),
    ("Atanh", made!(|x| x.map(Map::Atanh), map!(zero::first))),
    ("Shrink", SHRINK),
    ("Not", made!(|x| !x, test!(zero::never, not))),
    ("IsNaN", made!(|x| !x.compare(Compare::Equal, x), test!(zero::first, |e| finite_test(e, f64::is_nan)))),
    ("IsInf", Rule { lower: lower::elementwise::is_infinite, ..test!(zero::first, |_| Element::Unknown) }),
    ("BitwiseNot", map!(zero::never)),
    ("Clip", CLIP),
    ("Cast", CAST),
    ("BitCast", BIT_CAST),
    ("CastLike", CAST_LIKE),
    ("Identity", IDENTITY),
    ("Dropout", DROPOUT),
];

/// Gelu: `x · Φ(x)`, or an approximation by tanh.
const GELU: Rule = Rule { lower: lower::elementwise::gelu, ..map!(zero::first) };

/// Shrink: towards zero by `bias`, and zero up to `lambd`.
const SHRINK: Rule = Rule {
    lower: lower::elementwise::shrink,
    ..map!(|site, z| site.call.float("lambd", 0.5) >= 0.0 && zero::first(site, z))
};

/// LeakyRelu: `x < 0 ? alpha · x : x`.
const LEAKY_RELU: Rule = Rule {
    values: ValueLaws {
        bounds: |site, at| {
            let alpha = f64::from(site.call.float("alpha", 0.01));
            let x = at.first()?;
            (alpha >= 0.0).then(|| x.rising(|x| if x < 0.0 { alpha * x } else { x }))
        },
        homogeneity: homogeneity::first_positive,
        ..ValueLaws::OPAQUE
    },
    lower: lower::elementwise::leaky_relu,
    ..map!(zero::first)
};

/// HardSigmoid: `max(0, min(1, alpha · x + beta))`.
const HARD_SIGMOID: Rule = Rule {
    values: ValueLaws {
        bounds: |site, at| {
            let (alpha, beta) = (site.call.float("alpha", 0.2), site.call.float("beta", 0.5));
            let line = *at.first()? * Interval::point(alpha.into()) + Interval::point(beta.into());
            Some(line.rising(|x| x.clamp(0.0, 1.0)))
        },
        ..ValueLaws::OPAQUE
    },
    lower: |site, at| {
        let (alpha, beta) = (site.call.float("alpha", 0.2), site.call.float("beta", 0.5));
        Ok(vec![(at.at(0)? * f64::from(alpha) + f64::from(beta)).clamp(0.0, 1.0)])
    },
    ..map!(|site, z| site.call.float("beta", 0.5) == 0.0 && zero::first(site, z))
};

/// `x · max(0, min(1, x / 6 + 1 / 2))`: it falls to -3/8 at -3/2, and is 0 up to -3.
fn hard_swish(x: f64) -> f64 {
    if x <= -3.0 { 0.0 } else { x * (x / 6.0 + 0.5).min(1.0) }
}

/// Clip: limits each element to [min, max]. Opset 11 made the attributes `min` and `max` operands.
const CLIP: Rule = Rule {
    infer: |site| Ok(vec![clipped(site)]),
    zeros: ZeroLaws {
        results: |site, z| {
            let (low, high) = limits(site);
            zero::first(site, z) && low.is_some_and(|x| x <= 0.0) && high.is_some_and(|x| x >= 0.0)
        },
        ..ZeroLaws::OPAQUE
    },
    values: ValueLaws {
        identity: |site| limits(site) == (Some(f64::NEG_INFINITY), Some(f64::INFINITY)),
        bounds: |site, at| {
            let (Some(low), Some(high)) = limits(site) else { return None };
            Some(at.first()?.rising(|x| x.max(low).min(high)))
        },
        ..ValueLaws::OPAQUE
    },
    lower: |site, at| match limits(site) {
        (Some(low), Some(high)) => Ok(vec![at.at(0)?.clamp(low, high)]),
        _ => lower::elementwise::clip(at),
    },
    ..map!(zero::never)
};

/// Cast: another element type.
const CAST: Rule = Rule {
    infer: |site| Ok(vec![cast(site, cast_type(site))]),
    axes: |site| pass(site).map(AxisRule::carries),
    values: ValueLaws {
        identity: |site| site.dtype(0).is_some() && site.dtype(0) == cast_type(site),
        bounds: |site, at| cast_bounds(*at.first()?, site.result(0).dtype?),
        ..ValueLaws::OPAQUE
    },
    lower: lower::elementwise::cast,
    ..map!(zero::first)
};

/// What numbers are as another element type, if none of them is out of its reach.
fn cast_bounds(x: Interval, to: DType) -> Option<Interval> {
    match to {
        DType::Bool => Some(Interval::new(0.0, 1.0)),
        DType::F32 | DType::F64 => Some(x),
        // 2^31: beyond it integers wrap around.
        DType::I32 | DType::I64 if x.lo.abs().max(x.hi.abs()) < 2_147_483_648.0 => Some(x.rising(f64::trunc)),
        _ => None,
    }
}

/// CastLike: the element type of the second operand.
const CAST_LIKE: Rule = Rule {
    infer: |site| Ok(vec![cast(site, site.dtype(1))]),
    values: ValueLaws {
        identity: |site| site.dtype(0).is_some() && site.dtype(0) == site.dtype(1),
        ..ValueLaws::OPAQUE
    },
    lower: lower::elementwise::cast,
    ..map!(zero::first)
};

/// BitCast: the same bits as another element type.
const BIT_CAST: Rule = Rule {
    infer: |site| {
        let dtype = cast_type(site);
        if let (Some(from), Some(to)) = (site.dtype(0), dtype)
            && from.bits() != to.bits()
        {
            return Err(format!("the bits of {from} are no {to}"));
        }
        Ok(vec![mapped(site, dtype, |_| Element::Unknown)])
    },
    values: ValueLaws {
        identity: |site| site.dtype(0).is_some() && site.dtype(0) == cast_type(site),
        ..ValueLaws::OPAQUE
    },
    ..map!(zero::first)
};

/// Identity.
const IDENTITY: Rule = Rule {
    infer: |site| Ok(vec![site.fact(0).clone()]),
    axes: |site| pass(site).map(AxisRule::carries),
    values: ValueLaws {
        identity: |_| true,
        bounds: bounds::first,
        homogeneity: homogeneity::first,
        ..ValueLaws::OPAQUE
    },
    lower: lower::first,
    ..map!(zero::first)
};

/// Dropout: the identity unless in training mode (`training_mode` since opset 12, `is_test` before 7). The second
/// result is the mask of what was kept, which is not zero where the operand is.
const DROPOUT: Rule = Rule {
    infer: |site| {
        let fact =
            if is_inference(site) { site.fact(0).clone() } else { mapped(site, site.dtype(0), |_| Element::Unknown) };
        let mask = if site.opset < 10 { site.dtype(0) } else { Some(DType::Bool) };
        Ok(vec![fact, Fact::maybe(mask, site.fact(0).shape.clone())])
    },
    axes: |site| {
        site.rank(0)?;
        Some(AxisRule::new("... -> ..., ..."))
    },
    zeros: ZeroLaws { results: |site, z| !has_mask(site) && zero::first(site, z), ..ZeroLaws::OPAQUE },
    refit: |_, _| Ok(Refit::default()),
    values: ValueLaws {
        identity: |site| is_inference(site) && !has_mask(site),
        bounds: |site, at| if is_inference(site) && !has_mask(site) { bounds::first(site, at) } else { None },
        homogeneity: |site, at| {
            if is_inference(site) && !has_mask(site) { homogeneity::first(site, at) } else { Homogeneity::None }
        },
        ..ValueLaws::OPAQUE
    },
    lower: |site, at| match is_inference(site) {
        true => lower::elementwise::kept(site, at),
        false => Err("it drops at random, as in training".into()),
    },
    ..Rule::OPAQUE
};

fn has_mask(site: &Site) -> bool {
    site.call.results.get(1).is_some_and(|name| !name.is_empty())
}

fn is_inference(site: &Site) -> bool {
    match site.opset {
        ..7 => site.call.int("is_test", 0) != 0,
        7..12 => true,
        _ => !site.has(2) || scalar(site.fact(2)) == Some(Element::Bool(false)),
    }
}

fn pass(site: &Site) -> Option<AxisRule> {
    site.rank(0)?;
    Some(AxisRule::new("... -> ..."))
}

fn pass_unless_constant(site: &Site) -> Option<AxisRule> {
    match site.tensor(0) {
        None => pass(site),
        Some(_) => Some(AxisRule::new("_* -> _*").why("at zero it is infinite: its constant operand can't be zeroed")),
    }
}

fn mapped(site: &Site, dtype: Option<DType>, eval: fn(&Element) -> Element) -> Fact {
    let fact = Fact::maybe(dtype, site.fact(0).shape.clone());
    match &site.fact(0).content {
        Some(c) => carry(fact, c.0.iter().map(|e| rounded(eval(e), dtype)).collect()),
        None => fact,
    }
}

fn float(e: &Element, f: fn(f64) -> f64) -> Element {
    match e {
        Element::Float(x) => Element::Float(f(*x)),
        _ => Element::Unknown,
    }
}

fn finite_test(e: &Element, f: fn(f64) -> bool) -> Element {
    match e {
        Element::Float(x) => Element::Bool(f(*x)),
        _ => Element::Unknown,
    }
}

fn abs(e: &Element) -> Element {
    match e {
        Element::Int(Dim::Fixed(n)) => n.checked_abs().map_or(Element::Unknown, |n| Element::Int(Dim::Fixed(n))),
        Element::Int(d) if d.at_least().is_some_and(|low| low >= 0) => e.clone(),
        _ => float(e, f64::abs),
    }
}

fn relu(e: &Element) -> Element {
    match e {
        Element::Int(_) => content::max(e, &Element::Int(Dim::Fixed(0))),
        _ => float(e, |x| x.max(0.0)),
    }
}

fn neg(e: &Element) -> Element {
    match e {
        Element::Int(d) => Element::Int(-d.clone()),
        _ => float(e, |x| -x),
    }
}

fn sign(e: &Element) -> Element {
    match e {
        Element::Int(Dim::Fixed(n)) => Element::Int(Dim::Fixed(n.signum())),
        Element::Int(d) if d.at_least().is_some_and(|low| low > 0) => Element::Int(Dim::Fixed(1)),
        _ => float(e, |x| if x == 0.0 { 0.0 } else { x.signum() }),
    }
}

fn not(e: &Element) -> Element {
    match e {
        Element::Bool(b) => Element::Bool(!b),
        _ => Element::Unknown,
    }
}

/// Clip's limits; `None` where one is not known before the run.
fn limits(site: &Site) -> (Option<f64>, Option<f64>) {
    let limit = |name: &str, slot: usize, open: f64| {
        let attribute = site.call.has(name).then(|| f64::from(site.call.float(name, open as f32)));
        match attribute {
            Some(x) => Some(x),
            None if site.has(slot) => scalar(site.fact(slot)).as_ref().and_then(number),
            None => Some(open),
        }
    };
    (limit("min", 1, f64::NEG_INFINITY), limit("max", 2, f64::INFINITY))
}

fn clipped(site: &Site) -> Fact {
    let fact = Fact::maybe(site.dtype(0), site.fact(0).shape.clone());
    let Some(known) = &site.fact(0).content else { return fact };
    let bound = |slot: usize| if site.has(slot) { scalar(site.fact(slot)) } else { None };
    let limited = |e: &Element| {
        if (site.has(1) && bound(1).is_none()) || (site.has(2) && bound(2).is_none()) || site.opset < 11 {
            return Element::Unknown;
        }
        let low = bound(1).map_or_else(|| e.clone(), |b| content::max(e, &b));
        bound(2).map_or_else(|| low.clone(), |b| content::min(&low, &b))
    };
    carry(fact, known.0.iter().map(limited).collect())
}

/// Cast's `to`: a code; before opset 6 the type's name.
fn cast_type(site: &Site) -> Option<DType> {
    if let Ok(code) = i32::try_from(site.call.int("to", 0))
        && code > 0
    {
        return DType::from_code(code);
    }
    match site.call.string("to", "") {
        "FLOAT" => Some(DType::F32),
        "FLOAT16" => Some(DType::F16),
        "DOUBLE" => Some(DType::F64),
        "INT64" => Some(DType::I64),
        "INT32" => Some(DType::I32),
        "BOOL" => Some(DType::Bool),
        _ => None,
    }
}

fn cast(site: &Site, to: Option<DType>) -> Fact {
    let fact = Fact::maybe(to, site.fact(0).shape.clone());
    match &site.fact(0).content {
        Some(c) => carry(fact, c.0.iter().map(|e| content::cast(e, to)).collect()),
        None => fact,
    }
}

#[cfg(test)]
mod tests;
