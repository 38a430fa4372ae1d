//! Shapes as data (Shape, Size, ConstantOfShape, Range) and repetition (Expand, Tile).
//!
//! These are the operators of run-time shape arithmetic. Their results are small and known ([`super::shared::content`]) as
//! soon as the operand's dimensions are, symbols included.

use super::broadcast::broadcast;
use super::shared::content::{carry, elements, flat, number, scalar, select, small, spread};
use super::{AxisRule, CutSizes, Refit, Rule, Site, ValueLaws, ZeroLaws, lower, normalize_axis, zero};
use crate::facts::{CONTENT_LIMIT, Element, Fact};
use crate::ir::{Attribute, DType, Dim, Tensor};
use std::collections::HashSet;

pub(super) const RULES: &[(&str, Rule)] = &[
    ("Shape", SHAPE),
    ("Size", SIZE),
    ("ConstantOfShape", CONSTANT_OF_SHAPE),
    ("Range", RANGE),
    ("Expand", EXPAND),
    ("Tile", TILE),
];

/// Shape: the operand's dimensions, from `start` up to `end` (opset 15). What is read of them at run time must stay; a
/// pass replaces it where the content is known.
const SHAPE: Rule = Rule {
    infer: |site| {
        let Some(shape) = site.shape(0) else { return Ok(vec![Fact::new(DType::I64, vec![site.unknown()])]) };
        let read = shape[span(site, shape.len())].to_vec();
        let fact = Fact::new(DType::I64, vec![Dim::from(read.len())]);
        Ok(vec![fact.with_content(read.into_iter().map(Element::Int).collect())])
    },
    axes: |site| {
        let rank = site.rank(0)?;
        let span = span(site, rank);
        let read = read(site, span.len());
        let is_read = |i: usize| span.contains(&i) && read.as_ref().is_none_or(|r| r.contains(&(i - span.start)));
        let axis = |i: usize| if is_read(i) { "_".to_owned() } else { format!("~x{i}") };
        let axes: Vec<String> = (0..rank).map(axis).collect();
        Some(AxisRule::new(format!("{} -> _", axes.join(" "))).why("its length is read at run time"))
    },
    ..Rule::OPAQUE
};

/// The positions of a vector that are read, where there are readers and all of them say which.
fn read(site: &Site, count: usize) -> Option<HashSet<usize>> {
    let mut read = HashSet::new();
    let mut readers = site.readers(0).peekable();
    readers.peek()?;
    for reader in readers {
        match reader? {
            (reader, 0) if reader.call.domain.is_empty() => match reader.call.op.as_str() {
                "Gather" => {
                    let positions = reader.ints(1)?.into_iter().map(|i| normalize_axis(i, count).ok());
                    read.extend(positions.collect::<Option<Vec<_>>>()?);
                }
                "Slice" => {
                    let bound = |attribute, slot| reader.ints_from(attribute, slot).ok()??.first().copied();
                    let at =
                        |n: i64| if n < 0 { n.saturating_add(count as i64) } else { n }.clamp(0, count as i64) as usize;
                    if reader.ints_from("steps", 4).ok()?.is_some_and(|s| s != [1]) {
                        return None;
                    }
                    read.extend(at(bound("starts", 1)?)..at(bound("ends", 2)?));
                }
                "Shape" | "Size" => {}
                _ => return None,
            },
            _ => return None,
        }
    }
    Some(read)
}

/// Size: how many elements the operand has.
const SIZE: Rule = Rule {
    infer: |site| {
        let fact = Fact::new(DType::I64, vec![]);
        let Some(shape) = site.shape(0) else { return Ok(vec![fact]) };
        Ok(vec![fact.with_content(vec![Element::Int(shape.iter().cloned().product())])])
    },
    axes: |site| {
        site.rank(0)?;
        Some(AxisRule::new("_* -> ").why("its length is read at run time"))
    },
    ..Rule::OPAQUE
};

/// ConstantOfShape: a tensor of the shape that the operand says, filled with one value.
const CONSTANT_OF_SHAPE: Rule = Rule {
    infer: |site| {
        let value = fill(site);
        let fact = Fact::maybe(value.map_or(Some(DType::F32), |v| Some(v.dtype)), told_shape(site, 0)?);
        let Some(n) = fact.shape.as_deref().and_then(small).map(|s| s.iter().product()) else { return Ok(vec![fact]) };
        let element = match value {
            None => Some(Element::Float(0.0)),
            Some(v) => Fact::of_tensor(v).content.and_then(|c| c.0.first().cloned()),
        };
        Ok(vec![element.map_or(fact.clone(), |e| fact.with_content(vec![e; n]))])
    },
    axes: |site| {
        if !can_write(site, 0, site.result_shape(0)?) {
            return Some(AxisRule::new("_* -> _*").why("its shape is computed at run time"));
        }
        let labels: Vec<String> = (0..site.result_shape(0)?.len()).map(|i| format!("x{i}")).collect();
        Some(AxisRule::new(format!("_* -> {}", labels.join(" "))))
    },
    zeros: ZeroLaws {
        results: |site, _| fill(site).is_none_or(|v| v.to_f64().is_ok_and(|v| v.iter().all(|&x| x == 0.0))),
        ..ZeroLaws::OPAQUE
    },
    lower: |site, at| {
        let value = fill(site).map_or(Some(0.0), |v| v.to_f64().ok()?.first().copied());
        lower::shape::filled(site, at, value.ok_or("it is filled with no number")?)
    },
    refit: |site, cut| {
        let Some(shape) = cut.result(0) else { return Ok(Refit::default()) };
        Ok(rewritten(site, 0, shape.to_vec(), site.result_shape(0) != Some(shape)))
    },
    ..Rule::OPAQUE
};

fn fill<'a>(site: &Site<'a>) -> Option<&'a Tensor> {
    match site.call.attributes.get("value") {
        Some(Attribute::Tensor(t)) => Some(t),
        _ => None,
    }
}

/// Range: `start, start + delta, …` up to `limit`.
const RANGE: Rule = Rule {
    infer: |site| {
        let (length, content) = match [0, 1, 2].map(|slot| scalar(site.fact(slot))) {
            [Some(Element::Int(start)), Some(Element::Int(limit)), Some(Element::Int(delta))] => {
                let length = range_length(&start, &limit, &delta);
                let n = length.as_ref().and_then(Dim::size).filter(|&n| n <= CONTENT_LIMIT);
                let at = |i| Element::Int(start.clone() + delta.clone() * Dim::from(i));
                (length, n.map(|n| (0..n).map(at).collect::<Vec<_>>()))
            }
            [start, limit, delta] => {
                let known = [start, limit, delta].map(|e| e.as_ref().and_then(number));
                (float_length(known), None)
            }
        };
        let dtype = site.dtype(0).or(site.dtype(1));
        let fact = Fact::maybe(dtype, Some(vec![length.unwrap_or_else(|| site.unknown())]));
        Ok(vec![content.map_or(fact.clone(), |c| fact.with_content(c))])
    },
    axes: |_| Some(AxisRule::new("_*, _*, _* -> _").why("its length is computed from its limits")),
    lower: lower::shape::range,
    ..Rule::OPAQUE
};

fn range_length(start: &Dim, limit: &Dim, delta: &Dim) -> Option<Dim> {
    let way = limit.clone() - start.clone();
    if let (Some(way), Some(delta)) = (way.fixed(), delta.fixed()) {
        return float_length([Some(0.0), Some(way as f64), Some(delta as f64)]);
    }
    let delta = delta.fixed().filter(|&d| d > 0)?;
    way.at_least().filter(|&low| low >= 0)?;
    Some(way.div_ceil(&Dim::Fixed(delta)))
}

fn float_length(range: [Option<f64>; 3]) -> Option<Dim> {
    let [Some(start), Some(limit), Some(delta)] = range else { return None };
    let n = ((limit - start) / delta).ceil().max(0.0);
    (n.is_finite() && n < 9e15).then_some(Dim::Fixed(n as i64))
}

/// The dimensions that Shape reads.
fn span(site: &Site, rank: usize) -> std::ops::Range<usize> {
    let clamp = |n: i64| {
        let n = if n < 0 { n.saturating_add(rank as i64) } else { n };
        usize::try_from(n.max(0)).map_or(rank, |n| n.min(rank))
    };
    let start = clamp(site.call.int("start", 0));
    start..clamp(site.call.int("end", i64::MAX)).max(start)
}

/// The shape that an operand's content says; unknown dimensions where it is not known.
fn told_shape(site: &Site, slot: usize) -> Result<Option<Vec<Dim>>, String> {
    let Some(elements) = elements(site.fact(slot)) else { return Ok(None) };
    let dim = |e| match e {
        Element::Int(Dim::Fixed(n)) if n < 0 => Err(format!("a dimension of {n}")),
        Element::Int(d) => Ok(d),
        _ => Ok(site.unknown()),
    };
    elements.into_iter().map(dim).collect::<Result<_, _>>().map(Some)
}

/// Whether an operand that says these sizes can be rewritten: it is a constant, or made of numbers and symbols.
pub(super) fn can_write(site: &Site, slot: usize, sizes: &[Dim]) -> bool {
    site.tensor(slot).is_some() || sizes.iter().all(|d| !d.has_unknown())
}

/// The operand with new sizes, if it is not a constant that says them already, and they can be written.
fn rewritten(site: &Site, slot: usize, sizes: Vec<Dim>, changed: bool) -> Refit {
    let done = !changed && site.tensor(slot).is_some();
    if done || sizes.iter().any(Dim::has_unknown) {
        return Refit::default();
    }
    Refit::default().operand(slot, sizes)
}

/// Expand: broadcasts the operand to a shape, both ways. A stretched axis is a label of its own: nothing in the
/// operand tells its copies apart, and the target shrinks with it.
const EXPAND: Rule = Rule {
    infer: |site| {
        let (Some(shape), Some(target)) = (site.shape(0), told_shape(site, 1)?) else {
            return Ok(vec![Fact::maybe(site.dtype(0), None)]);
        };
        let out = broadcast(shape, &target, || site.unknown())?;
        let fact = Fact::maybe(site.dtype(0), Some(out.clone()));
        let known = site.fact(0).content.as_ref();
        let spread = known.and_then(|c| Some(spread(&c.0, &small(shape)?, &small(&out)?)));
        Ok(vec![spread.map_or(fact.clone(), |e| carry(fact, e))])
    },
    axes: |site| {
        let (from, to) = (site.shape(0)?, site.result_shape(0)?);
        let skip = to.len().checked_sub(from.len())?;
        if expand_target(from, to).is_none() {
            return Some(
                AxisRule::new("_*, _* -> _*").why("the shape that it is broadcast to is computed at run time"),
            );
        }
        let label = |i: usize| match i.checked_sub(skip).map(|k| &from[k]) {
            Some(d) if *d == to[i] => format!("x{i}"),
            None | Some(Dim::Fixed(1)) => format!("e{i}"),
            Some(_) => "_".to_owned(),
        };
        let result: Vec<String> = (0..to.len()).map(label).collect();
        let operand = (skip..to.len()).map(|i| if result[i].starts_with('e') { "1".into() } else { result[i].clone() });
        let operand = operand.collect::<Vec<_>>().join(" ");
        let rule = AxisRule::new(format!("{operand}, _* -> {}", result.join(" ")));
        Some(rule.why("whether it is broadcast is only known at run time").carries())
    },
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    refit: |site, cut| Ok(stretched(site, cut).unwrap_or_default()),
    values: ValueLaws {
        identity: |site| site.shape(0).is_some() && site.shape(0) == site.result_shape(0),
        data_movement: true,
        ..ValueLaws::OPAQUE
    },
    lower: lower::shape::expanded,
    ..Rule::OPAQUE
};

/// A target that expands one shape to another: 1 where they agree.
fn expand_target(from: &[Dim], to: &[Dim]) -> Option<Vec<Dim>> {
    let skip = to.len().checked_sub(from.len())?;
    let axis = |i: usize| match i.checked_sub(skip).map(|k| &from[k]) {
        Some(d) if *d == to[i] => Some(Dim::Fixed(1)),
        _ => (!to[i].has_unknown()).then(|| to[i].clone()),
    };
    (0..to.len()).map(axis).collect()
}

fn stretched(site: &Site, cut: &CutSizes) -> Option<Refit> {
    let (from, to) = (cut.operand(0)?, cut.result(0)?);
    let changed = site.result_shape(0) != Some(to) || site.shape(0) != Some(from);
    Some(rewritten(site, 1, expand_target(from, to)?, changed))
}

/// Tile: repeats the operand along its axes: `c -> (r c)`. The repetitions are units too.
const TILE: Rule = Rule {
    infer: |site| {
        let Some(shape) = site.shape(0).filter(|_| site.opset >= 6) else {
            return Ok(vec![Fact::maybe(site.dtype(0), None)]);
        };
        let Some(repeats) = repeats(site)? else {
            return Ok(vec![Fact::maybe(site.dtype(0), Some(shape.iter().map(|_| site.unknown()).collect()))]);
        };
        let sizes = shape.iter().zip(&repeats).map(|(d, r)| match r {
            Some(r) => d.clone() * r.clone(),
            None => site.unknown(),
        });
        let out: Vec<Dim> = sizes.collect();
        let fact = Fact::maybe(site.dtype(0), Some(out.clone()));
        let known = site.fact(0).content.as_ref().and_then(|c| Some((c, small(shape)?, small(&out)?)));
        Ok(vec![match known {
            Some((c, from, to)) => {
                let source = |i: &[usize]| flat(&i.iter().zip(&from).map(|(i, n)| i % n).collect::<Vec<_>>(), &from);
                carry(fact, select(&c.0, &to, source))
            }
            None => fact,
        }])
    },
    axes: |site| {
        let shape = site.shape(0).filter(|_| site.opset >= 6)?;
        let repeats = repeats(site).ok()?.unwrap_or_else(|| vec![None; shape.len()]);
        let free = repeats.iter().all(|r| r.as_ref().is_some_and(|r| !r.has_unknown()));
        let mut sizes = vec![];
        let result = repeats.iter().enumerate().map(|(i, r)| match r {
            Some(Dim::Fixed(1)) => format!("x{i}"),
            Some(Dim::Fixed(r)) if *r > 1 && free => {
                sizes.push((format!("r{i}"), Dim::Fixed(*r)));
                format!("(r{i} x{i})")
            }
            _ => "_".to_owned(),
        });
        let result: Vec<String> = result.collect();
        let operand: Vec<String> =
            result.iter().enumerate().map(|(i, l)| if l == "_" { l.clone() } else { format!("x{i}") }).collect();
        let text = format!("{}, _* -> {}", operand.join(" "), result.join(" "));
        Some(AxisRule { sizes, ..AxisRule::new(text).why("how often it repeats is computed at run time") })
    },
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    refit: |site, cut| Ok(repeated(site, cut).unwrap_or_default()),
    values: ValueLaws {
        identity: |site| repeats(site).is_ok_and(|r| r.is_some_and(|r| r.iter().all(|r| *r == Some(Dim::Fixed(1))))),
        data_movement: true,
        ..ValueLaws::OPAQUE
    },
    lower: lower::shape::tiled,
    ..Rule::OPAQUE
};

fn repeats(site: &Site) -> Result<Option<Vec<Option<Dim>>>, String> {
    let Some(told) = elements(site.fact(1)) else { return Ok(None) };
    if site.rank(0).is_some_and(|rank| rank != told.len()) {
        return Err(format!("{} repeats of a tensor of rank {}", told.len(), site.rank(0).unwrap_or(0)));
    }
    let repeat = |e| match e {
        Element::Int(Dim::Fixed(n)) if n < 0 => Err(format!("{n} repeats")),
        Element::Int(d) => Ok(Some(d)),
        _ => Ok(None),
    };
    told.into_iter().map(repeat).collect::<Result<_, _>>().map(Some)
}

fn repeated(site: &Site, cut: &CutSizes) -> Option<Refit> {
    let before = repeats(site).ok()??.into_iter().collect::<Option<Vec<Dim>>>()?;
    let left = |i: usize, r: &Dim| cut.size(&format!("r{i}")).unwrap_or_else(|| r.clone());
    let after: Vec<Dim> = before.iter().enumerate().map(|(i, r)| left(i, r)).collect();
    let changed = before != after;
    Some(rewritten(site, 1, after, changed))
}

#[cfg(test)]
mod tests {
    use crate::ops::testing::nets::{Net, int};

    #[test]
    fn shapes_are_known_with_symbols() {
        let mut net = Net::new(17);
        let x = net.input("f32 n 3 ? ?");
        let part = net.call("Shape", &[x], &[("start", int(-4)), ("end", int(-2))]);
        let size = net.call("Size", &[x], &[]);
        assert_eq!(net.show(part), "i64[2] = {n, 3}");
        assert_eq!(net.show(size), "i64[] = {3*n*?0*?1}");
        let open = net.input("f32 ..");
        let none = net.call("Shape", &[open], &[]);
        assert_eq!(net.show(none), "i64[?0]");
    }

    #[test]
    fn what_nobody_picks_of_a_shape_is_not_read() {
        let mut net = Net::new(17);
        let w = net.weight(&[8, 4, 6, 5]);
        let shape = net.call("Shape", &[w], &[]);
        let (last, from, to) = (net.int(-1), net.ints(&[-3]), net.ints(&[-2]));
        net.call("Gather", &[shape, last], &[]);
        net.call("Slice", &[shape, from, to], &[]);
        net.call("Size", &[shape], &[]);
        assert_eq!(net.show_axes(&[w]), "[c0:8, 4, c2:6, 5]");
    }

    #[test]
    fn a_shape_pins_what_it_reads() {
        let mut net = Net::new(17);
        let w = net.weight(&[8, 4]);
        net.call("Shape", &[w], &[("end", int(1))]);
        assert_eq!(net.show_axes(&[w]), "[8, c1:4]");
        assert_eq!(net.pins(w), ["its length is read at run time"]);
    }

    #[test]
    fn constants_of_a_shape_shrink() {
        let mut net = Net::new(17);
        let x = net.input("f32 n 8");
        let batch = net.call("Shape", &[x], &[("end", int(1))]);
        let hidden = net.ints(&[16]);
        let shape = net.call("Concat", &[batch, hidden], &[("axis", int(0))]);
        let state = net.call("ConstantOfShape", &[shape], &[]);
        let w = net.weight(&[16]);
        let sum = net.call("Add", &[state, w], &[]);
        assert_eq!(net.show(state), "f32[n, 16]");
        assert_eq!(net.show_axes(&[state, sum]), "[n, c0:16] [n, c0:16]");
        assert_eq!(net.show_refit(state, &[(w, 0, 12)]), "@0=[n, 12]");
        assert_eq!(net.show_refit(state, &[]), "@0=[n, 16]");
    }

    #[test]
    fn ranges_have_a_length() {
        let mut net = Net::new(17);
        let x = net.input("f32 n 8");
        let (zero, one, seven) = (net.int(0), net.int(1), net.int(7));
        let index = net.int(0);
        let shape = net.call("Shape", &[x], &[]);
        let n = net.call("Gather", &[shape, index], &[]);
        let three = net.int(3);
        let (open, fixed) = (net.call("Range", &[zero, n, one], &[]), net.call("Range", &[one, seven, three], &[]));
        assert_eq!(net.show(open), "i64[n]");
        assert_eq!(net.show(fixed), "i64[2] = {1, 4}");
    }

    #[test]
    fn a_stretched_axis_is_a_label_of_its_own() {
        let mut net = Net::new(17);
        let (x, w) = (net.input("f32 n 1 4"), net.weight(&[8, 1]));
        let target = net.ints(&[8, 1]);
        let wide = net.call("Expand", &[x, target], &[]);
        let y = net.call("Mul", &[wide, w], &[]);
        assert_eq!(net.show(wide), "f32[n, 8, 4]");
        assert_eq!(net.show_axes(&[w, wide, y]), "[c0:8, 1] [n, c0:8, 4] [n, c0:8, 4]");
        assert_eq!(net.show_refit(wide, &[(w, 0, 6)]), "@1=[1, 6, 1]");
        assert_eq!(net.show_refit(wide, &[]), "");
    }

    #[test]
    fn tiles_repeat_their_units() {
        let mut net = Net::new(17);
        let w = net.weight(&[4, 3]);
        let repeats = net.ints(&[2, 1]);
        let y = net.call("Tile", &[w, repeats], &[]);
        assert_eq!(net.show(y), "f32[8, 3]");
        assert_eq!(net.show_axes(&[w, y]), "[c0:4, c1:3] [(2 c0:4), c1:3]");
        assert_eq!(net.show_refit(y, &[(w, 0, 3)]), "");
    }
}
