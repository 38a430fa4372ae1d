//! Operators that move slices about: Concat and Split, Pad, and blocks of space to and from depth.

use super::shared::content::{carry, elements, flat, indices, select, small};
use super::{AxisRule, CutSizes, Refit, Rule, Site, ValueLaws, ZeroLaws, lower, zero};
use crate::facts::{Element, Fact};
use crate::ir::{Attribute, Dim};

pub(super) const RULES: &[(&str, Rule)] = &[
    ("Col2Im", COL2IM),
    ("Concat", CONCAT),
    ("Split", SPLIT),
    ("Pad", PAD),
    ("DepthToSpace", DEPTH_TO_SPACE),
    ("SpaceToDepth", SPACE_TO_DEPTH),
];

/// Concat: one after the other along `axis`: `a, b -> a+b`.
const CONCAT: Rule = Rule {
    infer: |site| {
        let slots: Vec<usize> = (0..site.arity()).filter(|&s| site.has(s)).collect();
        let dtype = slots.iter().find_map(|&s| site.dtype(s));
        let Some(first) = slots.iter().find_map(|&s| site.shape(s)) else { return Ok(vec![Fact::maybe(dtype, None)]) };
        let axis = concat_axis(site, first.len())?;
        let mut out = first.to_vec();
        let mut length = Some(Dim::Fixed(0));
        for &slot in &slots {
            let Some(shape) = site.shape(slot) else {
                length = None;
                continue;
            };
            if shape.len() != first.len() || axis >= shape.len() {
                return Err("operands of different ranks, or without axes".into());
            }
            length = length.map(|n| n + shape[axis].clone());
            for (i, d) in shape.iter().enumerate().filter(|&(i, _)| i != axis) {
                out[i] = same(&out[i], d)?;
            }
        }
        if let Some(d) = out.get_mut(axis) {
            *d = length.unwrap_or_else(|| site.unknown());
        }
        let fact = Fact::maybe(dtype, Some(out));
        let joined = joined(site, axis, &fact);
        Ok(vec![joined.map_or(fact.clone(), |e| carry(fact, e))])
    },
    axes: |site| {
        if !site.is_ranked() || (0..site.arity()).any(|slot| !site.has(slot)) {
            return None;
        }
        let rank = site.rank(0)?;
        let axis = concat_axis(site, rank).ok().filter(|&a| a < rank)?;
        let row = |own: String| {
            (0..rank).map(|i| if i == axis { own.clone() } else { format!("x{i}") }).collect::<Vec<_>>().join(" ")
        };
        let operands: Vec<String> = (0..site.arity()).map(|k| row(format!("a{k}"))).collect();
        let sum = (0..site.arity()).map(|k| format!("a{k}")).collect::<Vec<_>>().join("+");
        Some(AxisRule::new(format!("{} -> {}", operands.join(", "), row(sum))))
    },
    zeros: ZeroLaws { results: zero::all, ..ZeroLaws::OPAQUE },
    values: ValueLaws { identity: |site| site.arity() == 1, data_movement: true, ..ValueLaws::OPAQUE },
    lower: |site, at| lower::movement::joined(at.all()?, concat_axis(site, at.at(0)?.rank())?),
    ..Rule::OPAQUE
};

/// Concat's axis; before opset 4 it had a default.
fn concat_axis(site: &Site, rank: usize) -> Result<usize, String> {
    site.axis("axis", if site.opset < 4 { 1 } else { 0 }, rank)
}

/// One dimension that two operands share.
fn same(a: &Dim, b: &Dim) -> Result<Dim, String> {
    match (a.fixed(), b.fixed()) {
        (Some(m), Some(n)) if m != n => Err(format!("{m} and {n} along an axis that is not joined")),
        (Some(_), _) => Ok(a.clone()),
        (_, Some(_)) => Ok(b.clone()),
        _ => Ok(if a.has_unknown() { b.clone() } else { a.clone() }),
    }
}

fn joined(site: &Site, axis: usize, result: &Fact) -> Option<Vec<Element>> {
    if (0..site.arity()).all(|slot| site.fact(slot).content.is_none()) {
        return None;
    }
    let out = small(result.shape.as_ref()?)?;
    let mut parts = vec![Element::Unknown; out.iter().product()];
    let mut offset = 0;
    for slot in (0..site.arity()).filter(|&s| site.has(s)) {
        let (shape, known) = (small(site.shape(slot)?)?, elements(site.fact(slot))?);
        for (mut index, e) in indices(&shape).zip(known) {
            index[axis] += offset;
            *parts.get_mut(flat(&index, &out))? = e;
        }
        offset += shape[axis];
    }
    Some(parts)
}

/// Split: the inverse of Concat. The sizes are an attribute, since opset 13 an operand; without them the parts are
/// equal (the last one of `num_outputs` parts, opset 18, may be smaller).
const SPLIT: Rule = Rule {
    infer: |site| {
        let parts = site.call.results.len();
        let Some(shape) = site.shape(0) else { return Ok(vec![Fact::maybe(site.dtype(0), None); parts]) };
        let axis = site.axis("axis", 0, shape.len())?;
        let Some(whole) = shape.get(axis) else { return Err("a scalar has no parts".into()) };
        let sizes = parts_of(site, whole)?;
        let mut offset = Some(0);
        let part = |size: Option<Dim>| {
            let mut out = shape.to_vec();
            let length = size.as_ref().and_then(Dim::size);
            out[axis] = size.unwrap_or_else(|| site.unknown());
            let fact = Fact::maybe(site.dtype(0), Some(out));
            let part = offset.and_then(|at| cut_out(site, axis, at, &fact));
            offset = offset.and_then(|at| at.checked_add(length?));
            part.map_or(fact.clone(), |e| carry(fact, e))
        };
        Ok(sizes.into_iter().map(part).collect())
    },
    axes: |site| {
        let shape = site.shape(0)?;
        let axis = site.axis("axis", 0, shape.len()).ok().filter(|&a| a < shape.len())?;
        let sizes: Option<Vec<Dim>> = parts_of(site, &shape[axis]).ok()?.into_iter().collect();
        let row = |own: &str| {
            let label = |i| if i == axis { own.to_owned() } else { format!("x{i}") };
            (0..shape.len()).map(label).collect::<Vec<_>>().join(" ")
        };
        let count = site.call.results.len();
        let known = sizes.filter(|s| s.iter().all(|d| d.size().is_some_and(|n| n > 0)) && shape[axis].size().is_some());
        let Some(sizes) = known else {
            let text = format!("{}, _* -> {}", row("_"), vec![row("_"); count].join(", "));
            return Some(AxisRule::new(text).why("the sizes of its parts are not known"));
        };
        let labels: Vec<String> = (0..count).map(|k| format!("a{k}")).collect();
        let results: Vec<String> = labels.iter().map(|l| row(l)).collect();
        let text = format!("{}, _* -> {}", row(&labels.join("+")), results.join(", "));
        Some(AxisRule { sizes: labels.into_iter().zip(sizes).collect(), ..AxisRule::new(text) }.carries())
    },
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    refit: |site, cut| Ok(resized(site, cut).unwrap_or_default()),
    values: ValueLaws {
        identity: |site| site.call.results.len() == 1 && site.rank(0).is_some_and(|r| r > 0),
        data_movement: true,
        ..ValueLaws::OPAQUE
    },
    lower: lower::movement::parts,
    ..Rule::OPAQUE
};

/// The sizes of the parts that are given, if any are.
fn given_sizes(site: &Site) -> Option<Vec<Option<Dim>>> {
    if let Some(sizes) = site.call.ints("split") {
        return Some(sizes.iter().map(|&n| Some(Dim::Fixed(n))).collect());
    }
    if !site.has(1) {
        return None;
    }
    let size = |e| if let Element::Int(d) = e { Some(d) } else { None };
    let unknown = || vec![None; site.call.results.len()];
    Some(elements(site.fact(1)).map_or_else(unknown, |e| e.into_iter().map(size).collect()))
}

/// The size of each part.
fn parts_of(site: &Site, whole: &Dim) -> Result<Vec<Option<Dim>>, String> {
    let count = site.call.results.len();
    let Some(sizes) = given_sizes(site) else { return Ok(equal_parts(whole, count)) };
    if sizes.len() != count {
        return Err(format!("{} sizes of {count} parts", sizes.len()));
    }
    if sizes.iter().flatten().any(|d| d.fixed().is_some_and(|n| n < 0)) {
        return Err("a part of negative size".into());
    }
    let sum = sizes.iter().cloned().sum::<Option<Dim>>().and_then(|d| d.fixed());
    match (sum, whole.fixed()) {
        (Some(sum), Some(whole)) if sum != whole => Err(format!("parts of {sum} in an axis of length {whole}")),
        _ => Ok(sizes),
    }
}

fn equal_parts(whole: &Dim, count: usize) -> Vec<Option<Dim>> {
    if let Some(part) = whole.div_exact(&Dim::from(count)) {
        return vec![Some(part); count];
    }
    let Some(n) = whole.size().filter(|_| count > 0) else { return vec![None; count] };
    let part = n.div_ceil(count);
    (0..count).map(|k| Some(Dim::from(n.saturating_sub(k.saturating_mul(part)).min(part)))).collect()
}

fn cut_out(site: &Site, axis: usize, offset: usize, result: &Fact) -> Option<Vec<Element>> {
    let known = site.fact(0).content.as_ref()?;
    let (from, out) = (small(site.shape(0)?)?, small(result.shape.as_ref()?)?);
    let source = |index: &[usize]| {
        let mut at = index.to_vec();
        at[axis] += offset;
        flat(&at, &from)
    };
    Some(select(&known.0, &out, source))
}

/// The new sizes of the parts, unless what the call says gives them already.
fn resized(site: &Site, cut: &CutSizes) -> Option<Refit> {
    let axis = site.axis("axis", 0, site.rank(0)?).ok()?;
    let count = site.call.results.len();
    let sizes: Vec<Dim> = (0..count).map(|k| cut.result(k)?.get(axis).cloned()).collect::<Option<_>>()?;
    let is_even = sizes.windows(2).all(|pair| pair[0] == pair[1]);
    let said = match given_sizes(site) {
        Some(sizes) => sizes,
        // Only `num_outputs` lets the last part be smaller.
        None if !is_even && !site.call.has("num_outputs") => vec![],
        None => equal_parts(cut.operand(0)?.get(axis)?, count),
    };
    let numbers: Vec<i64> = sizes.iter().map(Dim::fixed).collect::<Option<_>>()?;
    if said.into_iter().eq(sizes.iter().cloned().map(Some)) {
        return None;
    }
    // Opset 1 has both forms; there the attribute is the one that everybody reads.
    let refit = match site.opset {
        ..13 if !site.has(1) => Refit::default().attribute("split", Attribute::Ints(numbers)),
        _ => Refit::default().operand(1, sizes),
    };
    Some(if site.call.has("num_outputs") { Refit { without: vec!["num_outputs"], ..refit } } else { refit })
}

/// Pad: adds a margin to axes. The amounts are an attribute (`paddings` in opset 1), since opset 11 an operand,
/// since opset 18 for the named axes only. A constant margin is a term of its own that nothing else carries:
/// `c -> a+c+b`, as in the shortcuts that widen by padding channels. Other margins repeat the operand.
const PAD: Rule = Rule {
    infer: |site| {
        let Some(shape) = site.shape(0) else { return Ok(vec![Fact::maybe(site.dtype(0), None)]) };
        let margins = margins(site, shape.len())?;
        let padded = |(d, m): (&Dim, &Margin)| match m {
            Some((a, b)) => d.clone() + a.clone() + b.clone(),
            None => site.unknown(),
        };
        let out: Vec<Dim> = shape.iter().zip(&margins).map(padded).collect();
        if out.iter().any(|d| d.fixed().is_some_and(|n| n < 0)) {
            return Err("it cuts off more than there is".into());
        }
        Ok(vec![Fact::maybe(site.dtype(0), Some(out))])
    },
    axes: |site| {
        let shape = site.shape(0)?;
        let margins = margins(site, shape.len()).ok()?;
        let free = is_constant_mode(site) && amounts(site).is_some();
        let (mut from, mut to, mut sizes) = (vec![], vec![], vec![]);
        for (i, (d, margin)) in shape.iter().zip(&margins).enumerate() {
            let numbers = margin.as_ref().and_then(|(a, b)| Some((a.size()?, b.size()?)));
            let (x, y) = match numbers {
                Some((0, 0)) => (format!("x{i}"), format!("x{i}")),
                Some((a, b)) if free && d.size().is_some_and(|n| n > 0) => {
                    let ends = [(format!("a{i}"), a), (format!("x{i}"), 1), (format!("b{i}"), b)];
                    let terms = ends.iter().filter(|e| e.1 > 0).map(|e| e.0.clone()).collect::<Vec<_>>();
                    sizes.extend([(format!("a{i}"), Dim::from(a)), (format!("b{i}"), Dim::from(b))]);
                    (format!("x{i}"), terms.join("+"))
                }
                _ => ("_".into(), "_".into()),
            };
            from.push(x);
            to.push(y);
        }
        let rule = AxisRule::new(format!("{}, _*, _*, _* -> {}", from.join(" "), to.join(" ")));
        Some(AxisRule { sizes, ..rule.why("its margin is not constant, or not known") })
    },
    zeros: ZeroLaws {
        results: |site, z| zero::first(site, z) && (!is_constant_mode(site) || pads_with_zero(site)),
        ..ZeroLaws::OPAQUE
    },
    refit: |site, cut| Ok(repadded(site, cut).unwrap_or_default()),
    values: ValueLaws {
        identity: |site| amounts(site).is_some_and(|a| a.iter().all(|&n| n == 0)),
        ..ValueLaws::OPAQUE
    },
    lower: |site, at| {
        let x = at.at(0)?;
        let number = |d: Dim| d.fixed().ok_or("its margins are computed at run time");
        let known =
            |m: Margin| m.ok_or("its margins are computed at run time").and_then(|(a, b)| Ok((number(a)?, number(b)?)));
        let margins: Vec<(i64, i64)> = margins(site, x.rank())?.into_iter().map(known).collect::<Result<_, _>>()?;
        lower::movement::padded(x, &margins, site.call.string("mode", "constant"), padding(site))
    },
    ..Rule::OPAQUE
};

/// What is added before and after an axis.
type Margin = Option<(Dim, Dim)>;

fn is_constant_mode(site: &Site) -> bool {
    site.call.string("mode", "constant") == "constant"
}

fn pads_with_zero(site: &Site) -> bool {
    padding(site) == Some(0.0)
}

/// The number that fills a constant margin, where it is known.
fn padding(site: &Site) -> Option<f64> {
    if !site.has(2) {
        return Some(site.call.float("value", 0.0).into());
    }
    let value = super::shared::content::scalar(site.fact(2));
    value.as_ref().and_then(super::shared::content::number)
}

/// The attribute that holds the amounts, if one does.
fn amounts_attribute(site: &Site) -> Option<&'static str> {
    ["pads", "paddings"].into_iter().find(|name| site.call.has(name))
}

/// All amounts in numbers, as they stand in the call.
fn amounts(site: &Site) -> Option<Vec<i64>> {
    match amounts_attribute(site) {
        Some(name) => site.call.ints(name).map(<[_]>::to_vec),
        None => site.ints(1),
    }
}

/// The axes that the amounts are for.
fn padded_axes(site: &Site, rank: usize) -> Result<Option<Vec<usize>>, String> {
    if !site.has(3) {
        return Ok(Some((0..rank).collect()));
    }
    let Some(axes) = site.ints(3) else { return Ok(None) };
    let axes = axes.into_iter().map(|a| super::normalize_axis(a, rank)).collect::<Result<Vec<_>, _>>()?;
    if axes.iter().any(|&a| a >= rank) { Err("it pads an axis that is not there".into()) } else { Ok(Some(axes)) }
}

/// What a call puts around its first operand and nothing else: how much before and behind each axis, and the number
/// that it is filled with. `None` for other calls, and where that is not known.
pub fn known_margins(site: &Site) -> Option<(Vec<(i64, i64)>, f64)> {
    if site.call.qualified() != "Pad" || !is_constant_mode(site) {
        return None;
    }
    let margins = margins(site, site.rank(0)?).ok()?;
    let numbers = margins.into_iter().map(|m| m.and_then(|(a, b)| Some((a.fixed()?, b.fixed()?))));
    Some((numbers.collect::<Option<_>>()?, padding(site)?))
}

fn margins(site: &Site, rank: usize) -> Result<Vec<Margin>, String> {
    let Some(axes) = padded_axes(site, rank)? else { return Ok(vec![None; rank]) };
    let amounts = match amounts_attribute(site).and_then(|name| site.call.ints(name)) {
        Some(pads) => Some(pads.iter().map(|&n| Element::Int(Dim::Fixed(n))).collect()),
        None => elements(site.fact(1)),
    };
    let mut margins = vec![None; rank];
    let Some(amounts) = amounts else { return Ok(margins) };
    if amounts.len() != axes.len() * 2 {
        return Err(format!("{} amounts for {} axes", amounts.len(), axes.len()));
    }
    let (begins, ends) = amounts.split_at(axes.len());
    (0..rank).filter(|i| !axes.contains(i)).for_each(|i| margins[i] = Some((Dim::Fixed(0), Dim::Fixed(0))));
    for (i, axis) in axes.into_iter().enumerate() {
        if let (Element::Int(a), Element::Int(b)) = (&begins[i], &ends[i]) {
            margins[axis] = Some((a.clone(), b.clone()));
        }
    }
    Ok(margins)
}

/// The amounts after a cut of the margins.
fn repadded(site: &Site, cut: &CutSizes) -> Option<Refit> {
    let rank = site.rank(0)?;
    let (old, axes) = (amounts(site)?, padded_axes(site, rank).ok()??);
    let mut new = old.clone();
    for (i, axis) in axes.iter().enumerate() {
        let at = |label: &str| cut.size(&format!("{label}{axis}")).and_then(|d| d.fixed());
        if let Some(a) = at("a").filter(|_| old.get(i).is_some_and(|&n| n > 0)) {
            *new.get_mut(i)? = a;
        }
        if let Some(b) = at("b").filter(|_| old.get(axes.len() + i).is_some_and(|&n| n > 0)) {
            *new.get_mut(axes.len() + i)? = b;
        }
    }
    if new == old {
        return None;
    }
    Some(match amounts_attribute(site) {
        Some(name) => Refit::default().attribute(name, Attribute::Ints(new)),
        None => Refit::default().operand(1, new.into_iter().map(Dim::Fixed).collect()),
    })
}

/// DepthToSpace: blocks of channels become blocks of pixels: `(p q c)` in mode DCR, `(c p q)` in CRD.
const DEPTH_TO_SPACE: Rule = Rule {
    infer: |site| {
        let Some((b, [n, c, h, w])) = image(site)? else { return Ok(vec![Fact::maybe(site.dtype(0), None)]) };
        let (block, area) = (Dim::Fixed(b), Dim::Fixed(b.saturating_mul(b)));
        let Some(depth) = c.div_exact(&area) else {
            let open = c.fixed().is_none().then(|| site.unknown());
            let depth = open.ok_or_else(|| format!("{c} channels in blocks of {area}"))?;
            return Ok(vec![Fact::maybe(site.dtype(0), Some(vec![n, depth, h * block.clone(), w * block]))]);
        };
        Ok(vec![Fact::maybe(site.dtype(0), Some(vec![n, depth, h * block.clone(), w * block]))])
    },
    axes: |site| {
        let (b, [_, c, ..]) = image(site).ok()??;
        c.div_exact(&Dim::Fixed(b.checked_mul(b)?))?;
        let channels = match site.call.string("mode", "DCR") {
            "DCR" => format!("({b} {b} c)"),
            "CRD" => format!("(c {b} {b})"),
            _ => return None,
        };
        let rule = AxisRule::new(format!("n {channels} _ _ -> n c _ _"));
        Some(rule.why("blocks of channels become blocks of pixels"))
    },
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    values: ValueLaws::MOVED,
    lower: lower::movement::depth_to_space,
    ..Rule::OPAQUE
};

/// SpaceToDepth: blocks of pixels become blocks of channels.
const SPACE_TO_DEPTH: Rule = Rule {
    infer: |site| {
        let Some((b, [n, c, h, w])) = image(site)? else { return Ok(vec![Fact::maybe(site.dtype(0), None)]) };
        let block = Dim::Fixed(b);
        let shape = vec![n, c * Dim::Fixed(b.saturating_mul(b)), h.div_floor(&block), w.div_floor(&block)];
        Ok(vec![Fact::maybe(site.dtype(0), Some(shape))])
    },
    axes: |site| {
        let (b, _) = image(site).ok()??;
        let rule = AxisRule::new(format!("n c _ _ -> n ({b} {b} c) _ _"));
        Some(rule.why("blocks of pixels become blocks of channels"))
    },
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    values: ValueLaws::MOVED,
    lower: lower::movement::space_to_depth,
    ..Rule::OPAQUE
};

/// The block size and the dimensions of an image.
fn image(site: &Site) -> Result<Option<(i64, [Dim; 4])>, String> {
    let block = site.call.int("blocksize", 1);
    if !(1..=i64::from(u16::MAX)).contains(&block) {
        return Err(format!("blocks of {block}"));
    }
    let Some(shape) = site.shape(0) else { return Ok(None) };
    let image = <[Dim; 4]>::try_from(shape.to_vec()).map_err(|s| format!("an image of rank {}", s.len()))?;
    Ok(Some((block, image)))
}

/// Col2Im: adds the columns of unfolded blocks up to an image: `n (c block) l -> n c ..`.
const COL2IM: Rule = Rule {
    infer: |site| {
        let (Some([n, c, _]), Some(image)) = (site.shape(0), site.dims(1)) else {
            return Ok(vec![Fact::maybe(site.dtype(0), None)]);
        };
        let depth = block(site).and_then(|b| c.div_exact(&Dim::Fixed(b))).unwrap_or_else(|| site.unknown());
        Ok(vec![Fact::maybe(site.dtype(0), Some([vec![n.clone(), depth], image].concat()))])
    },
    axes: |site| {
        let block = block(site).filter(|&b| b > 0)?;
        let [_, c, _] = site.shape(0)? else { return None };
        c.div_exact(&Dim::Fixed(block))?;
        Some(AxisRule::new(format!("n (c {block}) _, _*, _* -> n c _*")).why("blocks overlap in the image"))
    },
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    ..Rule::OPAQUE
};

fn block(site: &Site) -> Option<i64> {
    site.ints(2)?.into_iter().try_fold(1i64, |n, d| n.checked_mul(d))
}

#[cfg(test)]
mod tests;
