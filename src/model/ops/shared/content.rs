//! Known elements: how the operators of shape arithmetic compute on them.
//!
//! Integers are dimensions, so that `Shape → Gather → Mul → Concat` stays known while the batch is a symbol. Floats
//! are numbers, rounded to the element type after each step, as the run rounds them. Whatever can't be said for
//! certain is [`Element::Unknown`], element by element.

use crate::facts::{CONTENT_LIMIT, Element, Fact, count};
use crate::ir::{DType, Dim};

/// The lengths of a shape that is small enough to hold elements.
pub(crate) fn small(shape: &[Dim]) -> Option<Vec<usize>> {
    count(shape).filter(|&n| n <= CONTENT_LIMIT)?;
    shape.iter().map(Dim::size).collect()
}

/// The elements of a small tensor; all unknown where nothing is said of them.
pub(crate) fn elements(fact: &Fact) -> Option<Vec<Element>> {
    if let Some(content) = &fact.content {
        return Some(content.0.clone());
    }
    let n = count(fact.shape.as_ref()?).filter(|&n| n <= CONTENT_LIMIT)?;
    Some(vec![Element::Unknown; n])
}

/// The single known element of a scalar or of a tensor of length one.
pub(crate) fn scalar(fact: &Fact) -> Option<Element> {
    match fact.content.as_ref()?.0.as_slice() {
        [one] if *one != Element::Unknown => Some(one.clone()),
        _ => None,
    }
}

/// A number out of a known element.
pub(crate) fn number(e: &Element) -> Option<f64> {
    match e {
        Element::Int(d) => d.fixed().map(|n| n as f64),
        Element::Float(x) => Some(*x),
        Element::Bool(b) => Some(f64::from(u8::from(*b))),
        Element::Unknown => None,
    }
}

/// The fact with these elements, where any of them is known.
pub(crate) fn carry(fact: Fact, elements: Vec<Element>) -> Fact {
    match elements.iter().all(|e| *e == Element::Unknown) {
        true if !elements.is_empty() => fact,
        _ => fact.with_content(elements),
    }
}

/// The row-major position of an index.
pub(crate) fn flat(index: &[usize], shape: &[usize]) -> usize {
    index.iter().zip(shape).fold(0, |at, (i, n)| at * n + i)
}

/// All indices of a small shape, row-major.
pub(crate) fn indices(shape: &[usize]) -> impl Iterator<Item = Vec<usize>> + use<> {
    let shape = shape.to_vec();
    (0..shape.iter().product::<usize>()).map(move |mut at| {
        let mut index = vec![0; shape.len()];
        for (i, &n) in index.iter_mut().zip(&shape).rev() {
            *i = at % n;
            at /= n;
        }
        index
    })
}

/// The tensor of shape `out` whose element at each index is the one that `from` says.
pub(crate) fn select(elements: &[Element], out: &[usize], from: impl Fn(&[usize]) -> usize) -> Vec<Element> {
    indices(out).map(|i| elements.get(from(&i)).cloned().unwrap_or(Element::Unknown)).collect()
}

/// Elements broadcast to a larger shape, aligned from the right.
pub(crate) fn spread(elements: &[Element], shape: &[usize], out: &[usize]) -> Vec<Element> {
    let skip = out.len().saturating_sub(shape.len());
    select(elements, out, |index| {
        let mine: Vec<usize> = index[skip..].iter().zip(shape).map(|(&i, &n)| if n == 1 { 0 } else { i }).collect();
        flat(&mine, shape)
    })
}

/// An element as the run has it: floats rounded to the type, integers unknown where they overflow it.
pub(crate) fn rounded(e: Element, dtype: Option<DType>) -> Element {
    match (e, dtype) {
        (Element::Float(x), Some(DType::F32)) => Element::Float(f64::from(x as f32)),
        (Element::Float(x), Some(DType::F16)) => Element::Float(half::f16::from_f64(x).to_f64()),
        (Element::Float(x), Some(DType::BF16)) => Element::Float(half::bf16::from_f64(x).to_f64()),
        (Element::Int(Dim::Fixed(n)), dtype) if !fits(n, dtype) => Element::Unknown,
        (e, _) => e,
    }
}

/// Whether a computed number is one of the type. The ends of the widest type may stand for an overflow.
fn fits(n: i64, dtype: Option<DType>) -> bool {
    match dtype {
        Some(DType::I8) => i8::try_from(n).is_ok(),
        Some(DType::I16) => i16::try_from(n).is_ok(),
        Some(DType::I32) => i32::try_from(n).is_ok(),
        Some(DType::U8) => u8::try_from(n).is_ok(),
        Some(DType::U16) => u16::try_from(n).is_ok(),
        Some(DType::U32) => u32::try_from(n).is_ok(),
        Some(DType::U64) => n >= 0 && n != i64::MAX,
        _ => n != i64::MAX && n != i64::MIN,
    }
}

/// An element in another type.
pub(crate) fn cast(e: &Element, to: Option<DType>) -> Element {
    let Some(to) = to else { return Element::Unknown };
    let out = match e {
        Element::Int(d) if to == DType::Bool => match (d.fixed(), d.at_least()) {
            (Some(n), _) => Element::Bool(n != 0),
            (None, Some(low)) if low > 0 => Element::Bool(true),
            _ => Element::Unknown,
        },
        Element::Int(d) if !to.is_float() => Element::Int(d.clone()),
        _ => match number(e) {
            None => Element::Unknown,
            Some(x) if to == DType::Bool => Element::Bool(x != 0.0),
            Some(x) if to.is_float() => Element::Float(x),
            Some(x) if x.is_finite() && x.abs() < 9e15 => Element::Int(Dim::Fixed(x as i64)),
            Some(_) => Element::Unknown,
        },
    };
    // The largest number is a common `end` of a Slice: casting it to its own type is no overflow.
    if matches!((&out, to), (Element::Int(_), DType::I64)) { out } else { rounded(out, Some(to)) }
}

/// A function of two elements.
pub(crate) type BinaryFn = fn(&Element, &Element) -> Element;

fn ints(a: &Element, b: &Element, f: impl Fn(&Dim, &Dim) -> Option<Dim>) -> Element {
    match (a, b) {
        (Element::Int(a), Element::Int(b)) => f(a, b).map_or(Element::Unknown, Element::Int),
        _ => Element::Unknown,
    }
}

fn numbers(a: &Element, b: &Element, int: impl Fn(&Dim, &Dim) -> Option<Dim>, float: fn(f64, f64) -> f64) -> Element {
    match (a, b) {
        (Element::Float(a), Element::Float(b)) => Element::Float(float(*a, *b)),
        _ => ints(a, b, int),
    }
}

pub(crate) fn add(a: &Element, b: &Element) -> Element {
    numbers(a, b, |a, b| Some(a.clone() + b.clone()), |a, b| a + b)
}

pub(crate) fn sub(a: &Element, b: &Element) -> Element {
    numbers(a, b, |a, b| Some(a.clone() - b.clone()), |a, b| a - b)
}

pub(crate) fn mul(a: &Element, b: &Element) -> Element {
    numbers(a, b, |a, b| Some(a.clone() * b.clone()), |a, b| a * b)
}

/// Integers divide as in C: towards zero.
pub(crate) fn div(a: &Element, b: &Element) -> Element {
    let int = |a: &Dim, b: &Dim| match (a.fixed(), b.fixed()) {
        (Some(a), Some(b)) => a.checked_div(b).map(Dim::Fixed),
        _ if b.fixed() == Some(0) => None,
        _ => a.div_exact(b).or_else(|| (is_size(a) && is_size(b)).then(|| a.div_floor(b))),
    };
    numbers(a, b, int, |a, b| a / b)
}

/// The remainder has the sign of the divisor.
pub(crate) fn modulo(a: &Element, b: &Element) -> Element {
    ints(a, b, |a, b| match (a.fixed(), b.fixed()) {
        (Some(a), Some(b)) => {
            let r = a.checked_rem(b)?;
            Some(Dim::Fixed(if r != 0 && (r < 0) != (b < 0) { r + b } else { r }))
        }
        _ if b.fixed() == Some(0) => None,
        _ => {
            let whole = a.div_exact(b).or_else(|| (is_size(a) && is_size(b)).then(|| a.div_floor(b)))?;
            Some(a.clone() - whole * b.clone())
        }
    })
}

/// The remainder has the sign of the dividend (`fmod`).
pub(crate) fn remainder(a: &Element, b: &Element) -> Element {
    let int = |a: &Dim, b: &Dim| match (a.fixed(), b.fixed()) {
        (Some(a), Some(b)) => a.checked_rem(b).map(Dim::Fixed),
        _ => None,
    };
    numbers(a, b, int, |a, b| a % b)
}

pub(crate) fn pow(a: &Element, b: &Element) -> Element {
    match (a, number(b)) {
        (Element::Float(a), Some(b)) => Element::Float(a.powf(b)),
        (Element::Int(a), Some(1.0)) => Element::Int(a.clone()),
        (Element::Int(a), Some(2.0)) => Element::Int(a.clone() * a.clone()),
        (Element::Int(Dim::Fixed(a)), Some(b)) if b.fract() == 0.0 && (0.0..64.0).contains(&b) => {
            a.checked_pow(b as u32).map_or(Element::Unknown, |n| Element::Int(Dim::Fixed(n)))
        }
        _ => Element::Unknown,
    }
}

fn is_size(d: &Dim) -> bool {
    d.at_least().is_some_and(|low| low >= 0)
}

/// Whether a ≥ b, where that is certain.
fn at_least(a: &Dim, b: &Dim) -> Option<bool> {
    let difference = a.clone() - b.clone();
    match (difference.at_least(), difference.at_most()) {
        (Some(low), _) if low >= 0 => Some(true),
        (_, Some(high)) if high < 0 => Some(false),
        _ => None,
    }
}

pub(crate) fn max(a: &Element, b: &Element) -> Element {
    let int = |a: &Dim, b: &Dim| {
        at_least(a, b).map(|y| if y { a } else { b }).or_else(|| (at_least(b, a)?).then_some(b)).cloned()
    };
    numbers(a, b, int, f64::max)
}

pub(crate) fn min(a: &Element, b: &Element) -> Element {
    let int = |a: &Dim, b: &Dim| {
        at_least(a, b).map(|y| if y { b } else { a }).or_else(|| (at_least(b, a)?).then_some(a)).cloned()
    };
    numbers(a, b, int, f64::min)
}

fn truth(known: Option<bool>) -> Element {
    known.map_or(Element::Unknown, Element::Bool)
}

fn compare(a: &Element, b: &Element, int: impl Fn(&Dim, &Dim) -> Option<bool>, float: fn(f64, f64) -> bool) -> Element {
    match (a, b) {
        (Element::Int(a), Element::Int(b)) => truth(int(a, b)),
        (Element::Float(a), Element::Float(b)) => Element::Bool(float(*a, *b)),
        _ => Element::Unknown,
    }
}

pub(crate) fn equal(a: &Element, b: &Element) -> Element {
    if let (Element::Bool(a), Element::Bool(b)) = (a, b) {
        return Element::Bool(a == b);
    }
    let int = |a: &Dim, b: &Dim| match (at_least(a, b), at_least(b, a)) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    };
    compare(a, b, int, |a, b| a == b)
}

pub(crate) fn less(a: &Element, b: &Element) -> Element {
    compare(a, b, |a, b| at_least(a, b).map(|y| !y), |a, b| a < b)
}

pub(crate) fn less_or_equal(a: &Element, b: &Element) -> Element {
    compare(a, b, |a, b| at_least(b, a), |a, b| a <= b)
}

pub(crate) fn greater(a: &Element, b: &Element) -> Element {
    less(b, a)
}

pub(crate) fn greater_or_equal(a: &Element, b: &Element) -> Element {
    less_or_equal(b, a)
}

pub(crate) fn and(a: &Element, b: &Element) -> Element {
    match (a, b) {
        (Element::Bool(false), _) | (_, Element::Bool(false)) => Element::Bool(false),
        (Element::Bool(true), Element::Bool(true)) => Element::Bool(true),
        _ => Element::Unknown,
    }
}

pub(crate) fn or(a: &Element, b: &Element) -> Element {
    match (a, b) {
        (Element::Bool(true), _) | (_, Element::Bool(true)) => Element::Bool(true),
        (Element::Bool(false), Element::Bool(false)) => Element::Bool(false),
        _ => Element::Unknown,
    }
}

pub(crate) fn xor(a: &Element, b: &Element) -> Element {
    match (a, b) {
        (Element::Bool(a), Element::Bool(b)) => Element::Bool(a != b),
        _ => Element::Unknown,
    }
}

/// Picks one of two by a condition; where that is not known, they may still be the same.
pub(crate) fn choose(condition: &Element, yes: &Element, no: &Element) -> Element {
    match condition {
        Element::Bool(true) => yes.clone(),
        Element::Bool(false) => no.clone(),
        _ if yes == no => yes.clone(),
        _ => Element::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(n: i64) -> Element {
        Element::Int(Dim::Fixed(n))
    }

    fn of(d: Dim) -> Element {
        Element::Int(d)
    }

    #[test]
    fn integers_divide_towards_zero() {
        let n = Dim::symbol("n");
        assert_eq!(div(&int(-7), &int(2)), int(-3));
        assert_eq!(modulo(&int(-7), &int(2)), int(1));
        assert_eq!(remainder(&int(-7), &int(2)), int(-1));
        assert_eq!(div(&of(n.clone() * Dim::Fixed(6)), &int(2)), of(n.clone() * Dim::Fixed(3)));
        assert_eq!(div(&of(n.clone()), &int(2)), of(n.div_floor(&Dim::Fixed(2))));
        assert_eq!(div(&of(-n.clone()), &int(2)), Element::Unknown);
        assert_eq!(div(&of(n), &int(0)), Element::Unknown);
    }

    #[test]
    fn a_size_is_never_minus_one() {
        let n = Dim::symbol("n");
        assert_eq!(equal(&of(n.clone()), &int(-1)), Element::Bool(false));
        assert_eq!(equal(&of(n.clone()), &int(1)), Element::Unknown);
        assert_eq!(max(&of(n.clone()), &int(0)), of(n.clone()));
        assert_eq!(less(&of(n.clone()), &of(n + Dim::Fixed(1))), Element::Bool(true));
    }

    #[test]
    fn overflow_is_unknown() {
        let big = add(&int(i64::MAX - 1), &int(5));
        assert_eq!(rounded(big, Some(DType::I64)), Element::Unknown);
        assert_eq!(rounded(int(-1), Some(DType::U8)), Element::Unknown);
        assert_eq!(cast(&int(i64::MAX), Some(DType::I64)), int(i64::MAX));
        assert_eq!(cast(&Element::Float(-1.5), Some(DType::I64)), int(-1));
    }
}
