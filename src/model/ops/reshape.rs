//! Operators that only rearrange axes: Reshape, Flatten, Squeeze, Unsqueeze, Transpose.
//!
//! A Reshape is understood block by block: the shapes are walked side by side, and wherever the sizes so far have
//! the same product, a block ends. Within a block both sides are products over a common refinement
//! (`12 -> 3 4` is `(a b) -> a b`); a block without one (`6 4 -> 4 6`) is pinned.

use super::shared::content::{carry, elements, flat, select, small};
use super::{AxisRule, CutSizes, Refit, Rule, Site, ValueLaws, ZeroLaws, lower, normalize_axis, zero};
use crate::facts::{Element, Fact};
use crate::ir::{Attribute, Dim};

pub(super) const RULES: &[(&str, Rule)] = &[
    ("Reshape", RESHAPE),
    ("Flatten", FLATTEN),
    ("Squeeze", SQUEEZE),
    ("Unsqueeze", UNSQUEEZE),
    ("Transpose", TRANSPOSE),
];

/// Reshape: the same elements in another shape. In the target, -1 is what remains, and 0 the operand's dimension
/// (unless `allowzero`). Before opset 5 the target was an attribute.
const RESHAPE: Rule = Rule {
    infer: |site| {
        let Some(target) = target(site) else { return Ok(vec![Fact::maybe(site.dtype(0), None)]) };
        let shape = reshaped(site, &target)?;
        Ok(vec![moved(site, shape)])
    },
    axes: |site| {
        let (from, to) = (site.shape(0)?, site.result_shape(0)?);
        let known = site.call.has("shape") || site.tensor(1).is_some();
        if !known && new_target(from, to, &[], allows_zero(site)).is_none() {
            return Some(AxisRule::new("_*, _* -> _*").why("its target shape is computed at run time"));
        }
        let relation = relate(from, to);
        let text = format!("{}, _* -> {}", relation.from.join(" "), relation.to.join(" "));
        let rule = AxisRule { sizes: relation.sizes, ..AxisRule::new(text) };
        let pins = relation.from.iter().chain(&relation.to).any(|x| x == "_");
        let why =
            if pins { "it rearranges these axes in a way that has no common refinement" } else { "a target shape" };
        Some(rule.why(why).carries())
    },
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    refit: |site, cut| retargeted(site, cut),
    values: ValueLaws {
        identity: |site| site.shape(0).is_some() && site.shape(0) == site.result_shape(0),
        data_movement: true,
        ..ValueLaws::OPAQUE
    },
    lower: lower::reshape::reshaped,
    ..Rule::OPAQUE
};

fn allows_zero(site: &Site) -> bool {
    site.call.int("allowzero", 0) != 0
}

/// The target as far as it is known: `None` where not even its length is.
fn target(site: &Site) -> Option<Vec<Option<Dim>>> {
    if let Some(shape) = site.call.ints("shape") {
        return Some(shape.iter().map(|&n| Some(Dim::Fixed(n))).collect());
    }
    let known = |e| if let Element::Int(d) = e { Some(d) } else { None };
    Some(elements(site.fact(1))?.into_iter().map(known).collect())
}

fn reshaped(site: &Site, target: &[Option<Dim>]) -> Result<Vec<Dim>, String> {
    let from = site.shape(0);
    let mut open = vec![];
    let mut out = vec![];
    for (i, d) in target.iter().enumerate() {
        out.push(match d.as_ref().map(|d| (d.fixed(), d)) {
            None | Some((Some(-1), _)) => {
                open.push(i);
                Dim::Fixed(1)
            }
            Some((Some(0), _)) if !allows_zero(site) => match from {
                None => site.unknown(),
                Some(from) => from.get(i).cloned().ok_or("its target copies a dimension that the operand lacks")?,
            },
            Some((Some(n), _)) if n < 0 => return Err(format!("a dimension of {n}")),
            Some((_, d)) => d.clone(),
        });
    }
    // A single dimension that is not known is what remains, whether the target says -1 or computes it.
    match (open.as_slice(), from) {
        ([one], Some(from)) => out[*one] = remainder(from, &out)?.unwrap_or_else(|| site.unknown()),
        ([], Some(from)) => {
            if let (Some(a), Some(b)) = (total(from), total(&out))
                && a != b
            {
                return Err(format!("{a} elements in a shape of {b}"));
            }
        }
        _ => open.into_iter().for_each(|i| out[i] = site.unknown()),
    }
    Ok(out)
}

fn total(shape: &[Dim]) -> Option<i64> {
    shape.iter().cloned().product::<Dim>().fixed()
}

/// What is left of a shape's product; `None` where it can't be said.
fn remainder(from: &[Dim], known: &[Dim]) -> Result<Option<Dim>, String> {
    // Equal dimensions cancel, so that sums divide too.
    let mut left = from.to_vec();
    let mut by = vec![];
    for d in known {
        match left.iter().position(|l| l == d) {
            Some(at) => _ = left.remove(at),
            None => by.push(d.clone()),
        }
    }
    let (left, by): (Dim, Dim) = (left.into_iter().product(), by.into_iter().product());
    if by == Dim::Fixed(0) {
        return Ok(None);
    }
    match left.div_exact(&by) {
        Some(d) => Ok(Some(d)),
        None if left.fixed().is_some() && by.fixed().is_some() => Err(format!("{left} elements do not divide by {by}")),
        None => Ok((!by.has_unknown()).then(|| left.div_floor(&by))),
    }
}

/// The result's fact: the same elements in a new shape.
fn moved(site: &Site, shape: Vec<Dim>) -> Fact {
    let fact = Fact::maybe(site.dtype(0), Some(shape));
    match &site.fact(0).content {
        Some(c) => fact.with_content(c.0.clone()),
        None => fact,
    }
}

/// How the axes of two shapes with the same elements relate.
struct Relation {
    from: Vec<String>,
    to: Vec<String>,
    sizes: Vec<(String, Dim)>,
}

/// The blocks of a Reshape, each refined or pinned.
fn relate(from: &[Dim], to: &[Dim]) -> Relation {
    let start = |shape: &[Dim]| -> Vec<String> {
        shape.iter().map(|d| if *d == Dim::Fixed(1) { "1".into() } else { "_".into() }).collect()
    };
    let mut relation = Relation { from: start(from), to: start(to), sizes: vec![] };
    // Without elements all sizes agree, and say nothing.
    if from.iter().chain(to).any(|d| d.fixed().is_some_and(|n| n <= 0)) {
        return relation;
    }
    let (mut i, mut j) = (0, 0);
    while let Some((a, b)) = first_block(&from[i..], &to[j..]) {
        refine(&mut relation, (&from[i..i + a], i), (&to[j..j + b], j));
        (i, j) = (i + a, j + b);
    }
    // What remains has no common end from the left; it may have one from the right.
    let reversed = |shape: &[Dim]| shape.iter().rev().cloned().collect::<Vec<_>>();
    let (mut m, mut n) = (from.len(), to.len());
    while let Some((a, b)) = first_block(&reversed(&from[i..m]), &reversed(&to[j..n])) {
        refine(&mut relation, (&from[m - a..m], m - a), (&to[n - b..n], n - b));
        (m, n) = (m - a, n - b);
    }
    relation
}

/// The shortest beginnings of two shapes that have the same product.
fn first_block(a: &[Dim], b: &[Dim]) -> Option<(usize, usize)> {
    let products = |shape: &[Dim]| -> Vec<Dim> {
        let next = |product: &mut Dim, d: &Dim| {
            *product = product.clone() * d.clone();
            Some(product.clone())
        };
        shape.iter().scan(Dim::Fixed(1), next).collect()
    };
    let right = products(b);
    let end = |left: &Dim| right.iter().position(|r| r == left);
    products(a).iter().enumerate().find_map(|(i, left)| Some((i + 1, end(left)? + 1)))
}

/// Writes both sides of a block as products of the same factors; leaves them pinned where there are none.
fn refine(relation: &mut Relation, (a, from): (&[Dim], usize), (b, to): (&[Dim], usize)) {
    let Some(factors) = factors(a, b) else { return };
    let mut sides = [vec![vec![]; a.len()], vec![vec![]; b.len()]];
    for (size, i, j) in factors {
        let label = format!("f{}", relation.sizes.len());
        sides[0][i].push(label.clone());
        sides[1][j].push(label.clone());
        relation.sizes.push((label, size));
    }
    let text = |labels: &Vec<String>| match labels.as_slice() {
        [] => "1".to_owned(),
        [one] => one.clone(),
        more => format!("({})", more.join(" ")),
    };
    for (i, labels) in sides[0].iter().enumerate() {
        relation.from[from + i] = text(labels);
    }
    for (j, labels) in sides[1].iter().enumerate() {
        relation.to[to + j] = text(labels);
    }
}

/// The common refinement of two shapes: each factor with the axes that it belongs to.
fn factors(a: &[Dim], b: &[Dim]) -> Option<Vec<(Dim, usize, usize)>> {
    let one = Dim::Fixed(1);
    let mut out = vec![];
    let (mut i, mut j) = (0, 0);
    let (mut x, mut y) = (one.clone(), one.clone());
    loop {
        while x == one && i < a.len() {
            x = a[i].clone();
            i += 1;
        }
        while y == one && j < b.len() {
            y = b[j].clone();
            j += 1;
        }
        if x == one || y == one {
            return (x == y).then_some(out);
        }
        // The smaller one is a factor of the larger one.
        let (f, m, n) = match (y.div_exact(&x), x.div_exact(&y)) {
            (Some(rest), _) => (x, one.clone(), rest),
            (_, Some(rest)) => (y, rest, one.clone()),
            _ => return None,
        };
        out.push((f, i - 1, j - 1));
        (x, y) = (m, n);
    }
}

/// The target that makes one shape of the other: numbers, 0 for a dimension that stays, -1 for one more. `old` is
/// what the target said before: its zeros and its -1 are kept where they are still right.
fn new_target(from: &[Dim], to: &[Dim], old: &[Option<Dim>], allow_zero: bool) -> Option<Vec<Dim>> {
    let said = |i: usize, n: i64| old.get(i) == Some(&Some(Dim::Fixed(n)));
    let copies = |i: usize| !allow_zero && from.get(i) == Some(&to[i]);
    let mut out = vec![];
    let mut open: Vec<usize> = vec![];
    for (i, d) in to.iter().enumerate() {
        out.push(match d.fixed() {
            _ if said(i, 0) && copies(i) => Dim::Fixed(0),
            Some(0) if !allow_zero && !copies(i) => return None,
            Some(_) => d.clone(),
            None if copies(i) && !said(i, -1) => Dim::Fixed(0),
            None => {
                open.push(i);
                d.clone()
            }
        });
    }
    // The dimension that only the run knows must be the -1.
    let rest =
        open.iter().copied().find(|&i| to[i].has_unknown()).or_else(|| open.iter().copied().find(|&i| said(i, -1)));
    if let Some(i) = rest.or(open.last().copied()) {
        out[i] = Dim::Fixed(-1);
    } else if let Some(i) = (0..to.len()).find(|&i| said(i, -1)) {
        out[i] = Dim::Fixed(-1);
    }
    out.iter().all(|d| !d.has_unknown()).then_some(out)
}

/// The target by which a Reshape makes one shape of another: `0` for a dimension that stays where it is, -1 for one that
/// is open. `None` where that can't be said.
pub fn reshape_target(from: &[Dim], to: &[Dim]) -> Option<Vec<Dim>> {
    new_target(from, to, &[], false)
}

fn retargeted(site: &Site, cut: &CutSizes) -> Result<Refit, String> {
    let (Some(from), Some(to)) = (cut.operand(0), cut.result(0)) else { return Ok(Refit::default()) };
    let changed = Some(from) != site.shape(0) || Some(to) != site.result_shape(0);
    let constant = site.call.has("shape") || site.tensor(1).is_some();
    if constant && !changed {
        return Ok(Refit::default());
    }
    let old = target(site).unwrap_or_default();
    let again = |old| new_target(from, to, old, allows_zero(site));
    let Some(new) = again(&old).or_else(|| again(&[])) else {
        let lost = "its target is computed at run time, and can't be rewritten";
        return if changed { Err(lost.into()) } else { Ok(Refit::default()) };
    };
    if constant && old.into_iter().eq(new.iter().cloned().map(Some)) {
        return Ok(Refit::default());
    }
    if !site.call.has("shape") {
        return Ok(Refit::default().operand(1, new));
    }
    let numbers = new.iter().map(Dim::fixed).collect::<Option<Vec<_>>>();
    let numbers = numbers.ok_or("its target is an attribute, and can't hold what is only known at run time")?;
    Ok(Refit::default().attribute("shape", Attribute::Ints(numbers)))
}

/// Flatten: a matrix; the axes before `axis` are its rows.
const FLATTEN: Rule = Rule {
    infer: |site| {
        let Some(shape) = site.shape(0) else {
            return Ok(vec![Fact::maybe(site.dtype(0), Some(vec![site.unknown(), site.unknown()]))]);
        };
        let (rows, columns) = shape.split_at(flat_axis(site, shape.len())?);
        let size = |dims: &[Dim]| dims.iter().cloned().product::<Dim>();
        Ok(vec![moved(site, vec![size(rows), size(columns)])])
    },
    axes: |site| {
        let shape = site.shape(0)?;
        let axis = flat_axis(site, shape.len()).ok()?;
        let labels: Vec<String> = (0..shape.len()).map(|i| format!("x{i}")).collect();
        let side = |labels: &[String]| if labels.is_empty() { "1".into() } else { format!("({})", labels.join(" ")) };
        let (rows, columns) = labels.split_at(axis);
        Some(AxisRule::new(format!("{} -> {} {}", labels.join(" "), side(rows), side(columns))).carries())
    },
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    values: ValueLaws {
        identity: |site| site.shape(0).is_some() && site.shape(0) == site.result_shape(0),
        data_movement: true,
        ..ValueLaws::OPAQUE
    },
    lower: lower::reshape::reshaped,
    ..Rule::OPAQUE
};

fn flat_axis(site: &Site, rank: usize) -> Result<usize, String> {
    let axis = site.call.int("axis", 1);
    if usize::try_from(axis) == Ok(rank) { Ok(rank) } else { normalize_axis(axis, rank) }
}

/// Axes that Squeeze and Unsqueeze name, ascending: an attribute, since opset 13 an operand. `Ok(None)` where they
/// are only known at run time.
fn named_axes(site: &Site, rank: usize) -> Result<Option<Vec<usize>>, String> {
    let Ok(given) = site.ints_from("axes", 1) else { return Ok(None) };
    let Some(given) = given else { return Ok(None) };
    let mut axes = given.into_iter().map(|a| normalize_axis(a, rank)).collect::<Result<Vec<_>, _>>()?;
    axes.sort_unstable();
    if axes.windows(2).any(|w| w[0] == w[1]) || axes.iter().any(|&a| a >= rank) {
        return Err("it names an axis twice, or one that is not there".into());
    }
    Ok(Some(axes))
}

/// Squeeze: removes axes of length 1; all of them where none is named.
const SQUEEZE: Rule = Rule {
    infer: |site| {
        let Some(shape) = site.shape(0) else { return Ok(vec![Fact::maybe(site.dtype(0), None)]) };
        let Some(axes) = squeezed(site, shape)? else { return Ok(vec![Fact::maybe(site.dtype(0), None)]) };
        if let Some(&axis) = axes.iter().find(|&&a| shape[a].fixed().is_some_and(|n| n != 1)) {
            return Err(format!("axis {axis} of length {} is no axis to squeeze", shape[axis]));
        }
        let left = shape.iter().enumerate().filter(|(i, _)| !axes.contains(i)).map(|(_, d)| d.clone());
        Ok(vec![moved(site, left.collect())])
    },
    axes: |site| {
        let shape = site.shape(0)?;
        let axes = squeezed(site, shape).ok()??;
        let label = |i: usize| if axes.contains(&i) { "1".to_owned() } else { format!("x{i}") };
        let from: Vec<String> = (0..shape.len()).map(label).collect();
        let to: Vec<String> = (0..shape.len()).filter(|i| !axes.contains(i)).map(label).collect();
        Some(AxisRule::new(format!("{}, _* -> {}", from.join(" "), to.join(" "))).carries())
    },
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    refit: |site, cut| {
        // Without names it would squeeze an axis that a cut left one unit of.
        let unnamed = !site.call.has("axes") && !site.has(1) && cut.operand(0) != site.shape(0);
        let axes = site.shape(0).and_then(|s| squeezed(site, s).ok().flatten());
        let (true, Some(axes)) = (unnamed, axes) else { return Ok(Refit::default()) };
        let axes: Vec<i64> = axes.into_iter().map(|a| a as i64).collect();
        Ok(match site.opset {
            ..13 => Refit::default().attribute("axes", Attribute::Ints(axes)),
            _ => Refit::default().operand(1, axes.into_iter().map(Dim::Fixed).collect()),
        })
    },
    values: ValueLaws {
        identity: |site| site.shape(0).is_some_and(|s| squeezed(site, s) == Ok(Some(vec![]))),
        data_movement: true,
        ..ValueLaws::OPAQUE
    },
    lower: lower::reshape::reshaped,
    ..Rule::OPAQUE
};

/// The axes that Squeeze removes; `None` where they are only known at run time.
fn squeezed(site: &Site, shape: &[Dim]) -> Result<Option<Vec<usize>>, String> {
    if site.call.has("axes") || site.has(1) {
        return named_axes(site, shape.len());
    }
    let known = shape.iter().all(|d| d.fixed().is_some());
    Ok(known.then(|| (0..shape.len()).filter(|&i| shape[i] == Dim::Fixed(1)).collect()))
}

/// Unsqueeze: inserts axes of length 1. Negative axes count from the end of the result.
const UNSQUEEZE: Rule = Rule {
    infer: |site| {
        let Some(shape) = site.shape(0) else { return Ok(vec![Fact::maybe(site.dtype(0), None)]) };
        let Some(axes) = inserted(site, shape.len())? else { return Ok(vec![Fact::maybe(site.dtype(0), None)]) };
        let mut old = shape.iter().cloned();
        let one = Dim::Fixed(1);
        let dims =
            (0..shape.len() + axes.len()).map(|i| if axes.contains(&i) { Some(one.clone()) } else { old.next() });
        Ok(vec![moved(site, dims.flatten().collect())])
    },
    axes: |site| {
        let rank = site.rank(0)?;
        let axes = inserted(site, rank).ok()??;
        let from: Vec<String> = (0..rank).map(|i| format!("x{i}")).collect();
        let mut old = from.iter().cloned();
        let to = (0..rank + axes.len()).map(|i| if axes.contains(&i) { Some("1".to_owned()) } else { old.next() });
        let to: Vec<String> = to.flatten().collect();
        Some(AxisRule::new(format!("{}, _* -> {}", from.join(" "), to.join(" "))).carries())
    },
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    values: ValueLaws {
        identity: |site| site.rank(0).is_some_and(|rank| inserted(site, rank) == Ok(Some(vec![]))),
        data_movement: true,
        ..ValueLaws::OPAQUE
    },
    lower: lower::reshape::reshaped,
    ..Rule::OPAQUE
};

fn inserted(site: &Site, rank: usize) -> Result<Option<Vec<usize>>, String> {
    let given = site.ints_from("axes", 1).ok().flatten().map_or(0, |axes| axes.len());
    named_axes(site, rank.saturating_add(given))
}

/// Transpose: permutes axes; reverses them where `perm` is not given.
const TRANSPOSE: Rule = Rule {
    infer: |site| {
        let Some(shape) = site.shape(0) else { return Ok(vec![Fact::maybe(site.dtype(0), None)]) };
        let perm = permutation(site, shape.len())?;
        let out: Vec<Dim> = perm.iter().map(|&p| shape[p].clone()).collect();
        let fact = Fact::maybe(site.dtype(0), Some(out.clone()));
        let known = site.fact(0).content.as_ref().and_then(|c| Some((c, small(shape)?, small(&out)?)));
        let Some((content, from, to)) = known else { return Ok(vec![fact]) };
        let source = |index: &[usize]| {
            let mut at = vec![0; from.len()];
            perm.iter().zip(index).for_each(|(&p, &i)| at[p] = i);
            flat(&at, &from)
        };
        Ok(vec![carry(fact, select(&content.0, &to, source))])
    },
    axes: |site| {
        let perm = permutation(site, site.rank(0)?).ok()?;
        let from: Vec<String> = (0..perm.len()).map(|i| format!("x{i}")).collect();
        let to: Vec<String> = perm.iter().map(|i| format!("x{i}")).collect();
        Some(AxisRule::new(format!("{} -> {}", from.join(" "), to.join(" "))).carries())
    },
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    values: ValueLaws {
        identity: |site| site.rank(0).is_some_and(|r| permutation(site, r).is_ok_and(|p| p.is_sorted())),
        data_movement: true,
        ..ValueLaws::OPAQUE
    },
    lower: lower::reshape::transposed,
    ..Rule::OPAQUE
};

fn permutation(site: &Site, rank: usize) -> Result<Vec<usize>, String> {
    let Some(perm) = site.call.ints("perm") else { return Ok((0..rank).rev().collect()) };
    let perm = perm.iter().map(|&p| normalize_axis(p, rank)).collect::<Result<Vec<_>, _>>()?;
    let mut sorted = perm.clone();
    sorted.sort_unstable();
    if sorted.into_iter().eq(0..rank) { Ok(perm) } else { Err(format!("{perm:?} is no permutation of {rank} axes")) }
}
