//! Operators of two and more operands, element by element, with broadcasting: `..., ... -> ...`.
//!
//! Shapes align from the right and an axis of length 1 stretches, which is what the notation's `...` does. Before
//! opset 7 the second operand aligned at an attribute `axis`, and only where `broadcast` was set.

use super::content::{self, Binary, carry, number, scalar, settled, small, spread};
use super::lower::elementwise::{exact_gelu, tanh_gelu};
use super::lower::pairs;
use super::{AxisRule, Interval, Rule, Scales, Site, bounds, scales, zero};
use crate::facts::{Element, Fact};
use crate::ir::{DType, Dim, Tensor};
use crate::program::{Args, Compare, Term};

/// No call is evaluated whose operands have more elements than this together, once they are broadcast.
const MOST_SPREAD: usize = 1 << 13;

/// The law of functions that are not zero where their operands are.
const NEVER: fn(&Site, &[bool]) -> bool = Rule::OPAQUE.zero;

/// A function of two operands with the first one's element type.
macro_rules! binary {
    ($zero:expr) => {
        binary!($zero, |_, _| Element::Unknown)
    };
    ($zero:expr, $eval:expr) => {
        Rule { infer: |site| folded(site, first_dtype(site), $eval), axes: aligned, zero: $zero, ..Rule::OPAQUE }
    };
}

/// A comparison: the result is boolean.
macro_rules! test {
    ($zero:expr, $eval:expr) => {
        Rule { infer: |site| folded(site, Some(DType::Bool), $eval), axes: aligned, zero: $zero, ..Rule::OPAQUE }
    };
}

/// A sum of the operands or the like, which is the identity of a single one.
macro_rules! variadic {
    ($zero:expr, $eval:expr) => {
        Rule { is_identity: |site| site.arity() == 1 && keeps_type(site), ..binary!($zero, $eval) }
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

pub const RULES: &[(&str, Rule)] = &[
    ("Add", Rule { is_identity: |site| second_is(site, 0.0), passes_on: other, ..ADD }),
    ("Sub", SUB),
    ("Mul", MUL),
    ("Div", DIV),
    ("Mod", MOD),
    ("Pow", POW),
    ("And", made!(|x, y| x.and(y), binary!(zero::any, content::and))),
    ("Or", made!(|x, y| x.or(y), binary!(zero::all, content::or))),
    ("Xor", made!(|x, y| !x.compare(Compare::Equal, y), binary!(zero::all, content::xor))),
    ("Equal", made!(|x, y| x.compare(Compare::Equal, y), test!(NEVER, content::equal))),
    ("Less", made!(|x, y| x.less(y), test!(zero::all, content::less))),
    ("Greater", made!(|x, y| y.less(x), test!(zero::all, content::greater))),
    ("LessOrEqual", made!(|x, y| x.compare(Compare::LessEqual, y), test!(NEVER, content::less_or_equal))),
    ("GreaterOrEqual", made!(|x, y| y.compare(Compare::LessEqual, x), test!(NEVER, content::greater_or_equal))),
    (
        "Min",
        Rule { bounds: least, scales: scales::all_positive, ..fold!(pairs::least, variadic!(zero::all, content::min)) },
    ),
    (
        "Max",
        Rule {
            bounds: greatest,
            scales: scales::all_positive,
            ..fold!(pairs::greatest, variadic!(zero::all, content::max))
        },
    ),
    ("Sum", Rule { is_identity: |site| site.arity() == 1 && keeps_type(site), passes_on: other, ..ADD }),
    ("Mean", MEAN),
    ("PRelu", PRELU),
    ("Where", WHERE),
    ("BitShift", binary!(zero::first)),
    ("BitwiseAnd", binary!(zero::any)),
    ("BitwiseOr", binary!(zero::all)),
    ("BitwiseXor", binary!(zero::all)),
    ("SwiGLU", Rule { lower: pairs::swiglu, ..binary!(zero::any) }),
    ("com.microsoft.BiasGelu", Rule { lower: |_, at| Ok(vec![exact_gelu(sum(at)?)]), ..GELU_OF_SUM }),
    ("com.microsoft.FastGelu", Rule { lower: |_, at| Ok(vec![tanh_gelu(sum(at)?)]), ..GELU_OF_SUM }),
];

/// A sum of all operands.
const ADD: Rule =
    Rule { bounds: bounds::sum, scales: scales::all, ..fold!(|a, b| a + b, binary!(zero::all, content::add)) };

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
    is_identity: |site| second_is(site, 0.0),
    passes_on: first,
    bounds: |_, at| if let [x, y] = *at { Some(x - y) } else { None },
    scales: scales::all,
    ..made!(|x, y| x - y, binary!(zero::all, content::sub))
};

/// Mul: `x · y`.
const MUL: Rule = Rule {
    is_identity: |site| second_is(site, 1.0),
    bounds: bounds::product,
    scales: scales::one,
    ..made!(|x, y| x * y, binary!(zero::any, content::mul))
};

/// Div: `x / y`. Of integers it rounds.
const DIV: Rule = Rule {
    is_identity: |site| second_is(site, 1.0),
    axes: divided,
    pole: zero::second,
    bounds: |_, at| {
        let &[x, y] = at else { return None };
        let apart = y.lo > 0.0 || y.hi < 0.0;
        apart.then(|| x * Interval::new(y.hi.recip(), y.lo.recip()))
    },
    scales: |site, at| if site.dtype(0).is_some_and(DType::is_float) { scales::first(site, at) } else { Scales::No },
    ..made!(|x, y| x / y, binary!(numerator, content::div))
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

/// The sum of one or two operands.
fn sum<'b>(at: &Args<'b>) -> Result<Term<'b>, String> {
    let x = at.at(0)?;
    Ok(at.get(1).map_or(x, |bias| x + bias))
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
    pole: zero::second,
    lower: |site, at| pair(site, at).map(|[x, y]| vec![pairs::remainder(x, y, site.call.int("fmod", 0) != 0)]),
    ..binary!(numerator)
};

/// Pow: `x ^ y`. 0 ^ y is 0 for positive y only.
const POW: Rule = Rule {
    zero: |site, z| z.first() == Some(&true) && z.get(1) != Some(&true) && has_only(site, 1, |y| y > 0.0),
    axes: |site| match site.tensor(0) {
        Some(_) if !has_only(site, 1, |y| y >= 0.0) => pinned(site, 0, "zeroing its base would make infinities"),
        _ => aligned(site),
    },
    pole: |site, z| z.first() == Some(&true) && !has_only(site, 1, |y| y >= 0.0),
    is_identity: |site| second_is(site, 1.0),
    lower: |site, at| {
        let [x, y] = pair(site, at)?;
        Ok(vec![match single(site, 1) {
            Some(exponent) if y.count() == 1 => pairs::power(x, exponent).expand(&stretched(x, y)),
            _ => pairs::power_of(x, y),
        }])
    },
    ..binary!(NEVER, content::pow)
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
    zero: zero::first,
    scales: scales::first_positive,
    lower: |site, at| {
        let (x, slope) = (at.at(0)?, at.at(1)?);
        let each = site.opset < 7 && slope.rank() == 1 && slope.count() > 1 && x.rank() >= 2;
        Ok(vec![pairs::prelu(x, if each { slope.reshape(&channels(x, slope.count())) } else { slope })])
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
    zero: |_, z| z.get(1) == Some(&true) && z.get(2) == Some(&true),
    bounds: |_, at| if let [_, x, y] = *at { Some(x.hull(y)) } else { None },
    scales: |_, at| if *at == [false, true, true] { Scales::Any } else { Scales::No },
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
    super::site::normalize_axis(site.call.int("axis", 0), site.rank(0)?).ok()
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

fn folded(site: &Site, dtype: Option<DType>, eval: Binary) -> Result<Vec<Fact>, String> {
    let fact = Fact::maybe(dtype, broadcast_shape(site)?);
    let known = old_alignment(site).is_none() && (0..site.arity()).any(|slot| site.fact(slot).content.is_some());
    if !known {
        return Ok(vec![fact]);
    }
    let Some(operands) = spread_operands(site, &fact) else { return Ok(vec![fact]) };
    let combined =
        operands.into_iter().reduce(|a, b| a.iter().zip(&b).map(|(a, b)| settled(eval(a, b), dtype)).collect());
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
mod tests {
    use super::super::nets::{Net, int};
    use crate::ir::Tensor;
    use crate::ops::testing::show;
    use insta::assert_snapshot;

    #[test]
    fn shapes_broadcast_and_symbols_stay() {
        let mut net = Net::new(17);
        let x = net.input("f32 n 8 1 ?");
        let y = net.input("f32 8 5 3");
        let sum = net.call("Add", &[x, y], &[]);
        assert_eq!(net.show(sum), "f32[n, 8, 5, 3]");
        let z = net.input("f32 m 8 1 1");
        let both = net.call("Less", &[x, z], &[]);
        assert_eq!(net.show(both), "bool[?0, 8, 1, ?1]");
        let open = net.input("f32 ..");
        let unranked = net.call("Mul", &[open, x], &[]);
        assert_eq!(net.show(unranked), "f32[..]");
        assert_eq!(net.show_axes(&[unranked]), "");
    }

    #[test]
    fn a_contradiction_is_said() {
        let mut net = Net::new(17);
        let (x, y) = (net.input("f32 n 8"), net.input("f32 7"));
        net.call("Add", &[x, y], &[]);
        assert_eq!(net.contradictions(), ["8 and 7 do not broadcast"]);
    }

    #[test]
    fn stretched_axes_do_not_couple() {
        let mut net = Net::new(17);
        let (w, b, s) = (net.weight(&[8, 4]), net.weight(&[4]), net.weight(&[8, 1]));
        let sum = net.call("Add", &[w, b], &[]);
        let product = net.call("Mul", &[sum, s], &[]);
        assert_eq!(net.show_axes(&[w, b, s, product]), "[c0:8, c1:4] [c1:4] [c0:8, 1] [c0:8, c1:4]");
    }

    #[test]
    fn slopes_align_from_the_right_as_all_operands_do() {
        let mut net = Net::new(17);
        let (w, slope) = (net.weight(&[2, 8, 3, 3]), net.weight(&[8, 1, 1]));
        let y = net.call("PRelu", &[w, slope], &[]);
        assert_eq!(net.show_axes(&[slope, y]), "[c1:8, 1, 1] [c0:2, c1:8, c2:3, c3:3]");
        let mut old = Net::new(6);
        let (w, slope) = (old.weight(&[2, 8, 3, 3]), old.weight(&[8]));
        let y = old.call("PRelu", &[w, slope], &[]);
        assert_eq!(old.show_axes(&[slope, y]), "[c1:8] [c0:2, c1:8, c2:3, c3:3]");
    }

    #[test]
    fn the_second_operand_of_old_aligns_at_its_axis() {
        let mut net = Net::new(6);
        let (w, b) = (net.weight(&[2, 8, 3]), net.weight(&[8]));
        let y = net.call("Add", &[w, b], &[("broadcast", int(1)), ("axis", int(1))]);
        assert_eq!(net.show(y), "f32[2, 8, 3]");
        assert_eq!(net.show_axes(&[b, y]), "[c1:8] [c0:2, c1:8, c2:3]");
    }

    #[test]
    fn a_constant_divisor_is_pinned() {
        let mut net = Net::new(17);
        let (w, d) = (net.weight(&[8, 4]), net.weight(&[4]));
        let y = net.call("Div", &[w, d], &[]);
        assert_eq!(net.show_axes(&[d, y]), "[4] [c0:8, 4]");
        assert_eq!(net.pins(d), ["zeroing its divisor would make infinities"]);
    }

    #[test]
    fn neutral_constants_are_identities() {
        let mut net = Net::new(17);
        let x = net.input("f32 n 4");
        let (one, wide) = (net.weight(&[]), net.weight(&[3, 1, 1]));
        let same = net.call("Mul", &[x, one], &[]);
        let wider = net.call("Div", &[x, wide], &[]);
        let zero = net.constant(Tensor::from_f32(vec![4], &[0.0; 4]));
        let sum = net.call("Add", &[x, zero], &[]);
        let not = net.call("Add", &[x, one], &[]);
        let all = [same, wider, sum, not].map(|v| net.is_identity(v));
        assert_eq!(all, [true, false, true, false]);
    }

    #[test]
    fn shapes_are_chosen_by_condition() {
        // Expand of PyTorch: -1 in a target means the operand's size.
        let mut net = Net::new(17);
        let x = net.input("f32 n 12");
        let shape = net.call("Shape", &[x], &[]);
        let minus = net.ints(&[-1, -1]);
        let test = net.call("Equal", &[shape, minus], &[]);
        let ones = net.ints(&[1]);
        let picked = net.call("Where", &[test, ones, shape], &[]);
        assert_eq!(net.show(test), "bool[2] = {false, false}");
        assert_eq!(net.show(picked), "i64[2] = {n, 12}");
    }

    #[test]
    fn a_gate() {
        assert_snapshot!(show("SwiGLU", 28, "", &["=2 16", "=2 16"]), @"[c0:2, c1:16], [c0:2, c1:16] -> f32[c0:2, c1:16]");
    }
}
