//! Operators of two and more operands, element by element, with broadcasting: `..., ... -> ...`.
//!
//! Shapes align from the right and an axis of length 1 stretches, which is what the notation's `...` does. Before
//! opset 7 the second operand aligned at an attribute `axis`, and only where `broadcast` was set.

use super::shared::content::{self, BinaryFn, carry, number, rounded, scalar, small, spread};
use super::{AxisRule, Homogeneity, Interval, Rule, Site, ValueLaws, ZeroLaws, bounds, homogeneity, lower, zero};
use crate::facts::{Element, Fact};
use crate::ir::{DType, Dim, Tensor};
use crate::program::{Args, Compare, Term};

/// No call is evaluated whose operands have more elements than this together, once they are broadcast.
const MOST_SPREAD: usize = 1 << 13;

/// A function of two operands with the first one's element type.
macro_rules! binary {
    ($zero:expr) => {
        binary!($zero, |_, _| Element::Unknown)
    };
    ($zero:expr, $eval:expr) => {
        Rule {
            infer: |site| folded(site, first_dtype(site), $eval),
            axes: aligned,
            zeros: ZeroLaws { results: $zero, ..ZeroLaws::OPAQUE },
            ..Rule::OPAQUE
        }
    };
}

/// A comparison: the result is boolean.
macro_rules! test {
    ($zero:expr, $eval:expr) => {
        Rule {
            infer: |site| folded(site, Some(DType::Bool), $eval),
            axes: aligned,
            zeros: ZeroLaws { results: $zero, ..ZeroLaws::OPAQUE },
            ..Rule::OPAQUE
        }
    };
}

/// A sum of the operands or the like, which is the identity of a single one.
macro_rules! variadic {
    ($zero:expr, $eval:expr) => {
        Rule { values: ValueLaws { identity: is_single, ..ValueLaws::OPAQUE }, ..binary!($zero, $eval) }
    };
}

/// The same of two operands with what it is made of.
macro_rules! made {
    (|$x:ident, $y:ident| $formula:expr, $rule:expr) => {
        Rule { lower: |site, at| pair(site, at).map(|[$x, $y]| vec![$formula]), ..$rule }
    };
}

/// The same of any number of operands.
macro_rules! fold {
    ($f:expr, $rule:expr) => {
        Rule { lower: |site, at| Ok(aligned_terms(site, at)?.into_iter().reduce($f).into_iter().collect()), ..$rule }
    };
}

pub(super) const RULES: &[(&str, Rule)] = &[
    ("Add", Rule { values: ValueLaws { identity: |site| second_is(site, 0.0), bypass: other, ..ADD.values }, ..ADD }),
    ("Sub", SUB),
    ("Mul", MUL),
    ("Div", DIV),
    ("Mod", MOD),
    ("Pow", POW),
    ("And", made!(|x, y| x.and(y), binary!(zero::any, content::and))),
    ("Or", made!(|x, y| x.or(y), binary!(zero::all, content::or))),
    ("Xor", made!(|x, y| !x.compare(Compare::Equal, y), binary!(zero::all, content::xor))),
    ("Equal", made!(|x, y| x.compare(Compare::Equal, y), test!(zero::never, content::equal))),
    ("Less", made!(|x, y| x.less(y), test!(zero::all, content::less))),
    ("Greater", made!(|x, y| y.less(x), test!(zero::all, content::greater))),
    ("LessOrEqual", made!(|x, y| x.compare(Compare::LessEqual, y), test!(zero::never, content::less_or_equal))),
    ("GreaterOrEqual", made!(|x, y| y.compare(Compare::LessEqual, x), test!(zero::never, content::greater_or_equal))),
    (
        "Min",
        Rule {
            values: ValueLaws {
                identity: is_single,
                bounds: least,
                homogeneity: homogeneity::all_positive,
                ..ValueLaws::OPAQUE
            },
            ..fold!(lower::broadcast::least, variadic!(zero::all, content::min))
        },
    ),
    (
        "Max",
        Rule {
            values: ValueLaws {
                identity: is_single,
                bounds: greatest,
                homogeneity: homogeneity::all_positive,
                ..ValueLaws::OPAQUE
            },
            ..fold!(lower::broadcast::greatest, variadic!(zero::all, content::max))
        },
    ),
    ("Sum", Rule { values: ValueLaws { identity: is_single, bypass: other, ..ADD.values }, ..ADD }),
    ("Mean", MEAN),
    ("PRelu", PRELU),
    ("Where", WHERE),
    ("BitShift", binary!(zero::first)),
    ("BitwiseAnd", binary!(zero::any)),
    ("BitwiseOr", binary!(zero::all)),
    ("BitwiseXor", binary!(zero::all)),
    ("SwiGLU", Rule { lower: lower::broadcast::swiglu, ..binary!(zero::any) }),
    ("com.microsoft.BiasGelu", Rule { lower: lower::broadcast::bias_gelu, ..GELU_OF_SUM }),
    ("com.microsoft.FastGelu", Rule { lower: lower::broadcast::fast_gelu, ..GELU_OF_SUM }),
];

/// A sum of all operands.
const ADD: Rule = Rule {
    values: ValueLaws { bounds: bounds::sum, homogeneity: homogeneity::all, ..ValueLaws::OPAQUE },
    ..fold!(|a, b| a + b, binary!(zero::all, content::add))
};

/// Mean: the mean of all operands.
const MEAN: Rule = Rule {
    lower: |site, at| {
        let terms = aligned_terms(site, at)?;
        let count = terms.len() as f64;
        Ok(terms.into_iter().reduce(|a, b| a + b).map(|sum| sum / count).into_iter().collect())
    },
    ..variadic!(zero::all, |_, _| Element::Unknown)
};

/// Sub: `x - y`.
const SUB: Rule = Rule {
    values: ValueLaws {
        identity: |site| second_is(site, 0.0),
        bypass: first,
        bounds: |_, at| if let [x, y] = *at { Some(x - y) } else { None },
        homogeneity: homogeneity::all,
        ..ValueLaws::OPAQUE
    },
    ..made!(|x, y| x - y, binary!(zero::all, content::sub))
};

/// Mul: `x · y`.
const MUL: Rule = Rule {
    values: ValueLaws {
        identity: |site| second_is(site, 1.0),
        bounds: bounds::product,
        homogeneity: homogeneity::one,
        ..ValueLaws::OPAQUE
    },
    ..made!(|x, y| x * y, binary!(zero::any, content::mul))
};

/// Div: `x / y`. Of integers it rounds.
const DIV: Rule = Rule {
    values: ValueLaws {
        identity: |site| second_is(site, 1.0),
        bounds: |_, at| {
            let &[x, y] = at else { return None };
            let apart = y.lo > 0.0 || y.hi < 0.0;
            apart.then(|| x * Interval::new(y.hi.recip(), y.lo.recip()))
        },
        homogeneity: |site, at| {
            if site.dtype(0).is_some_and(DType::is_float) { homogeneity::first(site, at) } else { Homogeneity::None }
        },
        ..ValueLaws::OPAQUE
    },
    axes: divided,
    zeros: ZeroLaws { results: numerator, pole: zero::second, ..ZeroLaws::OPAQUE },
    ..made!(|x, y| x / y, binary!(zero::never, content::div))
};

/// The operands, of which the second lies where it is told to, for the broadcasting of opset 6 and earlier.
fn aligned_terms<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let mut terms = at.all()?;
    if let (Some(axis), [first, second]) = (old_alignment(site), terms.as_mut_slice()) {
        let mut shape = second.shape();
        shape.resize(first.rank().saturating_sub(axis).max(shape.len()), 1);
        *second = second.reshape(&shape);
    }
    Ok(terms)
}

/// Two operands.
fn pair<'b>(site: &Site, at: &Args<'b>) -> Result<[Term<'b>; 2], String> {
    aligned_terms(site, at)?.try_into().map_err(|all: Vec<Term>| format!("it has {} operands, not 2", all.len()))
}

/// Whether there is one operand, which is the result then.
fn is_single(site: &Site) -> bool {
    site.arity() == 1 && keeps_type(site)
}

fn least(_: &Site, at: &[Interval]) -> Option<Interval> {
    at.iter().copied().reduce(|a, b| Interval::new(a.lo.min(b.lo), a.hi.min(b.hi)))
}

fn greatest(_: &Site, at: &[Interval]) -> Option<Interval> {
    at.iter().copied().reduce(|a, b| Interval::new(a.lo.max(b.lo), a.hi.max(b.hi)))
}

/// BiasGelu, FastGelu: Gelu of a sum, or of a single operand, which is not that operand.
const GELU_OF_SUM: Rule =
    Rule { infer: |site| Ok(vec![Fact::maybe(first_dtype(site), broadcast_shape(site)?)]), ..binary!(zero::all) };

/// Mod: the remainder of a division.
const MOD: Rule = Rule {
    infer: |site| match site.call.int("fmod", 0) {
        0 => folded(site, site.dtype(0), content::modulo),
        _ => folded(site, site.dtype(0), content::remainder),
    },
    axes: divided,
    zeros: ZeroLaws { results: numerator, pole: zero::second, ..ZeroLaws::OPAQUE },
    lower: |site, at| {
        pair(site, at).map(|[x, y]| vec![lower::broadcast::remainder(x, y, site.call.int("fmod", 0) != 0)])
    },
    ..binary!(zero::never)
};

/// Pow: `x ^ y`. 0 ^ y is 0 for positive y only.
const POW: Rule = Rule {
    zeros: ZeroLaws {
        results: |site, z| z.first() == Some(&true) && z.get(1) != Some(&true) && has_only(site, 1, |y| y > 0.0),
        pole: |site, z| z.first() == Some(&true) && !has_only(site, 1, |y| y >= 0.0),
        ..ZeroLaws::OPAQUE
    },
    axes: |site| match site.tensor(0) {
        Some(_) if !has_only(site, 1, |y| y >= 0.0) => pinned(site, 0, "zeroing its base would make infinities"),
        _ => aligned(site),
    },
    values: ValueLaws { identity: |site| second_is(site, 1.0), ..ValueLaws::OPAQUE },
    lower: |site, at| {
        let [x, y] = pair(site, at)?;
        Ok(vec![match single(site, 1) {
            Some(exponent) if y.count() == 1 => lower::broadcast::power(x, exponent).expand(&stretched(x, y)),
            _ => lower::broadcast::power_of(x, y),
        }])
    },
    ..binary!(zero::never, content::pow)
};

/// PRelu: `x < 0 ? slope * x : x`. The slope broadcasts to `x`; before opset 7 it was one number per channel.
const PRELU: Rule = Rule {
    infer: |site| Ok(vec![Fact::maybe(site.dtype(0), site.fact(0).shape.clone())]),
    axes: |site| match (site.opset, site.shape(1)?) {
        (..7, [slope]) if *slope != Dim::Fixed(1) && site.rank(0)? >= 2 => Some(AxisRule::new("n c ..., c -> n c ...")),
        (..7, _) => Some(AxisRule::new("..., _* -> ...")).filter(|_| site.rank(0).is_some()),
        // A slope of higher rank would be no operand to broadcast.
        (_, slope) => aligned(site).filter(|_| site.rank(0).is_some_and(|rank| slope.len() <= rank)),
    },
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    values: ValueLaws { homogeneity: homogeneity::first_positive, ..ValueLaws::OPAQUE },
    lower: |site, at| {
        let (x, slope) = (at.at(0)?, at.at(1)?);
        let each = site.opset < 7 && slope.rank() == 1 && slope.count() > 1 && x.rank() >= 2;
        Ok(vec![lower::broadcast::prelu(x, if each { slope.reshape(&channels(x, slope.count())) } else { slope })])
    },
    ..Rule::OPAQUE
};

/// The shape of a number for each channel.
fn channels(x: Term, count: usize) -> Vec<usize> {
    (0..x.rank()).map(|axis| if axis == 1 { count } else { 1 }).collect()
}

/// Where: `condition ? x : y`.
const WHERE: Rule = Rule {
    infer: |site| {
        let fact = Fact::maybe(site.dtype(1).or(site.dtype(2)), broadcast_shape(site)?);
        Ok(vec![chosen(site, &fact).unwrap_or(fact)])
    },
    axes: aligned,
    zeros: ZeroLaws { results: |_, z| z.get(1) == Some(&true) && z.get(2) == Some(&true), ..ZeroLaws::OPAQUE },
    values: ValueLaws {
        bounds: |_, at| if let [_, x, y] = *at { Some(x.hull(y)) } else { None },
        homogeneity: |_, at| if *at == [false, true, true] { Homogeneity::Any } else { Homogeneity::None },
        ..ValueLaws::OPAQUE
    },
    lower: |_, at| Ok(vec![at.at(0)?.select(at.at(1)?, at.at(2)?)]),
    ..Rule::OPAQUE
};

/// A sum of two passes either on. Before opset 7 a single zero does not broadcast by itself.
fn other(site: &Site, zero: usize) -> Option<usize> {
    (site.arity() == 2 && site.opset >= 7).then(|| 1 - zero.min(1))
}

/// A difference passes on what it takes from.
fn first(site: &Site, zero: usize) -> Option<usize> {
    other(site, zero).filter(|&slot| slot == 0)
}

/// A division's law: zero over zero is not zero.
fn numerator(_: &Site, z: &[bool]) -> bool {
    z.first() == Some(&true) && z.get(1) != Some(&true)
}

fn aligned(site: &Site) -> Option<AxisRule> {
    if !site.is_ranked() {
        return None;
    }
    if let Some(at) = old_alignment(site) {
        let rank = site.rank(0)?;
        let axes: Vec<String> = (0..rank).map(|i| format!("x{i}")).collect();
        let second = axes.get(at..at.checked_add(site.rank(1)?)?)?;
        return Some(AxisRule::new(format!("{0}, {1} -> {0}", axes.join(" "), second.join(" "))));
    }
    Some(AxisRule::new(format!("{} -> ...", vec!["..."; site.arity().max(1)].join(", "))))
}

/// Where the second operand's first axis lies in the first operand, for the broadcasting of opset 6 and earlier.
fn old_alignment(site: &Site) -> Option<usize> {
    if site.opset >= 7 || site.call.int("broadcast", 0) == 0 || !site.call.has("axis") {
        return None;
    }
    super::normalize_axis(site.call.int("axis", 0), site.rank(0)?).ok()
}

/// A divisor that is a constant must not be zeroed: its axes are pinned where it has one number for each unit.
fn divided(site: &Site) -> Option<AxisRule> {
    match site.tensor(1) {
        Some(_) => pinned(site, 1, "zeroing its divisor would make infinities"),
        None => aligned(site),
    }
}

/// The rule with those axes pinned that the operand at `slot` does not stretch over.
fn pinned(site: &Site, slot: usize, why: &'static str) -> Option<AxisRule> {
    if !site.is_ranked() || old_alignment(site).is_some() {
        return None;
    }
    let shape = site.shape(slot)?;
    let row = |rank: usize| {
        let axis = |k: usize| match shape.len().checked_sub(k + 1).map(|i| &shape[i]) {
            Some(d) if *d != Dim::Fixed(1) => "_".to_owned(),
            _ => format!("x{k}"),
        };
        (0..rank).rev().map(axis).collect::<Vec<_>>().join(" ")
    };
    let rank = site.rank(0)?.max(site.rank(1)?);
    let text = format!("{}, {} -> {}", row(site.rank(0)?), row(site.rank(1)?), row(rank));
    Some(AxisRule::new(text).why(why))
}

/// The element type of the first operand that has one.
fn first_dtype(site: &Site) -> Option<DType> {
    (0..site.arity()).find_map(|slot| site.dtype(slot))
}

/// Two shapes broadcast together; dimensions of open size are taken to be the same or 1.
pub(super) fn broadcast(a: &[Dim], b: &[Dim], unknown: impl Fn() -> Dim) -> Result<Vec<Dim>, String> {
    let rank = a.len().max(b.len());
    let at = |s: &[Dim], i: usize| (i + s.len()).checked_sub(rank).map_or(Dim::Fixed(1), |i| s[i].clone());
    (0..rank).map(|i| broadcast_dim(at(a, i), at(b, i), &unknown)).collect()
}

fn broadcast_dim(a: Dim, b: Dim, unknown: impl Fn() -> Dim) -> Result<Dim, String> {
    let one = Dim::Fixed(1);
    Ok(match (a.fixed(), b.fixed()) {
        _ if a == b || b == one => a,
        _ if a == one => b,
        (Some(_), Some(_)) => return Err(format!("{a} and {b} do not broadcast")),
        (Some(_), None) => a,
        (None, Some(_)) => b,
        (None, None) if a.has_unknown() && !b.has_unknown() => b,
        (None, None) if b.has_unknown() && !a.has_unknown() => a,
        (None, None) => unknown(),
    })
}

/// The shape of the result, if all ranks are known.
fn broadcast_shape(site: &Site) -> Result<Option<Vec<Dim>>, String> {
    if let Some(at) = old_alignment(site) {
        let end = site.rank(1).unwrap_or(0).saturating_add(at);
        let rank = site.rank(0).unwrap_or(0);
        return if end <= rank { Ok(site.fact(0).shape.clone()) } else { Err("its second operand sticks out".into()) };
    }
    let mut out: Vec<Dim> = vec![];
    for slot in (0..site.arity()).filter(|&slot| site.has(slot)) {
        let Some(shape) = site.shape(slot) else { return Ok(None) };
        out = broadcast(&out, shape, || site.unknown())?;
    }
    Ok(Some(out))
}

fn folded(site: &Site, dtype: Option<DType>, eval: BinaryFn) -> Result<Vec<Fact>, String> {
    let fact = Fact::maybe(dtype, broadcast_shape(site)?);
    let known = old_alignment(site).is_none() && (0..site.arity()).any(|slot| site.fact(slot).content.is_some());
    if !known {
        return Ok(vec![fact]);
    }
    let Some(operands) = spread_operands(site, &fact) else { return Ok(vec![fact]) };
    let combined =
        operands.into_iter().reduce(|a, b| a.iter().zip(&b).map(|(a, b)| rounded(eval(a, b), dtype)).collect());
    Ok(vec![match combined {
        Some(elements) => carry(fact, elements),
        None => fact,
    }])
}

/// The elements of all operands, each broadcast to the result's shape.
fn spread_operands(site: &Site, result: &Fact) -> Option<Vec<Vec<Element>>> {
    let out = small(result.shape.as_ref()?)?;
    if out.iter().product::<usize>().saturating_mul(site.arity()) > MOST_SPREAD {
        return None;
    }
    let operand = |slot| Some(spread(&content::elements(site.fact(slot))?, &small(site.shape(slot)?)?, &out));
    (0..site.arity()).filter(|&slot| site.has(slot)).map(operand).collect()
}

fn chosen(site: &Site, result: &Fact) -> Option<Fact> {
    if site.arity() != 3 || (0..3).all(|slot| site.fact(slot).content.is_none()) {
        return None;
    }
    let operands = spread_operands(site, result)?;
    let [condition, yes, no] = operands.as_slice() else { return None };
    let pick = condition.iter().zip(yes.iter().zip(no)).map(|(c, (y, n))| content::choose(c, y, n));
    Some(carry(result.clone(), pick.collect()))
}

/// Whether the result has the first operand's type.
fn keeps_type(site: &Site) -> bool {
    let (before, after) = (site.fact(0), site.result(0));
    before.shape.is_some() && before.shape == after.shape && before.dtype.is_some() && before.dtype == after.dtype
}

/// Whether every element of the second operand is this number, and the result is the first operand.
fn second_is(site: &Site, wanted: f64) -> bool {
    site.arity() == 2 && has_only(site, 1, |x| x == wanted) && keeps_type(site)
}

/// The one number of an operand, where it is known.
fn single(site: &Site, slot: usize) -> Option<f64> {
    let tensor = || site.tensor(slot).filter(|t| t.count() == 1)?.to_f64().ok()?.first().copied();
    scalar(site.fact(slot)).as_ref().and_then(number).or_else(tensor)
}

/// The shape of a tensor that takes on at least the rank of another.
fn stretched(x: Term, other: Term) -> Vec<usize> {
    let mut shape = vec![1; other.rank().saturating_sub(x.rank())];
    shape.extend(x.shape());
    shape
}

/// Whether all elements of an operand are known, and meet a condition.
fn has_only(site: &Site, slot: usize, condition: impl Fn(f64) -> bool) -> bool {
    if let Some(one) = single(site, slot) {
        return condition(one);
    }
    let values = site.tensor(slot).map(Tensor::to_f64);
    values.is_some_and(|v| v.is_ok_and(|v| !v.is_empty() && v.into_iter().all(&condition)))
}

#[cfg(test)]
mod tests;
