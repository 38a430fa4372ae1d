//! Operators that pick, sort or count elements by value: what they return depends on all elements of an axis.

use super::shared::content::{elements, indices, number, scalar, small};
use super::{AxisRule, Operands, Refit, Rule, Site, ZeroLaws, lower, normalize_axis, zero};
use crate::facts::{Element, Fact};
use crate::ir::{DType, Dim};

pub(super) const RULES: &[(&str, Rule)] = &[
    ("Compress", COMPRESS),
    ("NonMaxSuppression", NON_MAX_SUPPRESSION),
    ("NonZero", NON_ZERO),
    ("OneHot", ONE_HOT),
    ("TopK", TOP_K),
    ("Unique", UNIQUE),
];

/// Labels `x0 x1 …` with something else at one axis.
fn row(rank: usize, axis: usize, at: &str) -> String {
    let label = |i| if i == axis { at.to_owned() } else { format!("x{i}") };
    (0..rank).map(label).collect::<Vec<_>>().join(" ")
}

/// An axis that is there: a scalar has none.
fn axis_of(site: &Site, default: i64, rank: usize) -> Result<usize, String> {
    if rank == 0 { Err("a scalar has no axes".into()) } else { site.axis("axis", default, rank) }
}

/// Compress: the slices of an axis at which a condition holds; without `axis` those of the flattened operand.
const COMPRESS: Rule = Rule {
    infer: |site| {
        let count = match site.fact(1).content.as_ref().map(|c| &c.0) {
            Some(c) if c.iter().all(|e| *e != Element::Unknown) => {
                Dim::from(c.iter().filter(|e| **e == Element::Bool(true)).count())
            }
            _ => site.unknown(),
        };
        if !site.call.has("axis") {
            return Ok(vec![Fact::maybe(site.dtype(0), Some(vec![count]))]);
        }
        let Some(shape) = site.shape(0) else { return Ok(vec![Fact::maybe(site.dtype(0), None)]) };
        let mut out = shape.to_vec();
        out[axis_of(site, 0, shape.len())?] = count;
        Ok(vec![Fact::maybe(site.dtype(0), Some(out))])
    },
    axes: |site| {
        let rank = site.rank(0).filter(|_| site.call.has("axis"))?;
        let row = row(rank, axis_of(site, 0, rank).ok()?, "_");
        Some(AxisRule::new(format!("{row}, _* -> {row}")).why("it drops units by a condition"))
    },
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    ..Rule::OPAQUE
};

/// NonMaxSuppression: triples (batch, class, box) of the boxes that stay, as many as there are.
const NON_MAX_SUPPRESSION: Rule =
    Rule { infer: |site| Ok(vec![Fact::new(DType::I64, vec![site.unknown(), Dim::Fixed(3)])]), ..Rule::OPAQUE };

/// NonZero: the indices of the elements that are not zero, a column each.
const NON_ZERO: Rule = Rule {
    infer: |site| {
        let rank = site.rank(0).map_or_else(|| site.unknown(), |r| Dim::from(r.max(1)));
        let columns = known_positions(site);
        let count = columns.as_ref().map_or_else(|| site.unknown(), |c| Dim::from(c.len()));
        let fact = Fact::new(DType::I64, vec![rank, count]);
        let Some(columns) = columns else { return Ok(vec![fact]) };
        let rank = site.rank(0).unwrap_or(0);
        let at = |i: usize| columns.iter().map(move |c| c.get(i).copied().unwrap_or(0));
        Ok(vec![fact.with_content((0..rank).flat_map(at).map(|n| Element::Int(Dim::from(n))).collect())])
    },
    axes: |site| {
        site.rank(0)?;
        Some(AxisRule::new("_* -> _*").why("it counts elements"))
    },
    ..Rule::OPAQUE
};

fn known_positions(site: &Site) -> Option<Vec<Vec<usize>>> {
    site.fact(0).content.as_ref()?;
    let known: Vec<f64> = elements(site.fact(0))?.iter().map(number).collect::<Option<_>>()?;
    let all = indices(&small(site.shape(0)?)?).zip(known);
    Some(all.filter(|(_, x)| *x != 0.0).map(|(index, _)| index).collect())
}

/// OneHot: an axis more, of length `depth`, that tells which index it was.
const ONE_HOT: Rule = Rule {
    infer: |site| {
        let Some(shape) = site.shape(0) else { return Ok(vec![Fact::maybe(site.dtype(2), None)]) };
        let depth = depth_of(site).unwrap_or_else(|| site.unknown());
        let mut out = shape.to_vec();
        out.insert(site.axis("axis", -1, shape.len() + 1)?, depth);
        Ok(vec![Fact::maybe(site.dtype(2), Some(out))])
    },
    axes: |site| {
        let rank = site.rank(0)?;
        let axis = site.axis("axis", -1, rank + 1).ok()?;
        let mut labels: Vec<String> = (0..rank).map(|i| format!("x{i}")).collect();
        let from = labels.join(" ");
        labels.insert(axis, "e".into());
        let rule = AxisRule::new(format!("{from} @e, _*, _* -> {}", labels.join(" ")));
        let depth = site.result_shape(0)?.get(axis)?.clone();
        Some(rule.size("e", depth).why("it encodes indices as positions"))
    },
    operands: Operands {
        indices: |site| depth_of(site).map(|depth| (0, depth)).into_iter().collect(),
        ..Operands::OPAQUE
    },
    refit: |site, cut| match cut.size("e") {
        Some(depth) if depth_of(site).is_some_and(|before| before != depth) => Ok(Refit::default().scalar(1, depth)),
        _ => Ok(Refit::default()),
    },
    lower: lower::select::one_hot,
    ..Rule::OPAQUE
};

/// The length of the axis that OneHot adds.
fn depth_of(site: &Site) -> Option<Dim> {
    match scalar(site.fact(1))? {
        Element::Int(d) => Some(d),
        Element::Float(x) if (0.0..9e15).contains(&x) => Some(Dim::Fixed(x as i64)),
        _ => None,
    }
}

/// TopK: the largest (smallest) k along an axis, and where they were. `k` was an attribute before opset 10.
const TOP_K: Rule = Rule {
    infer: |site| {
        let Some(shape) = site.shape(0) else {
            return Ok(vec![Fact::maybe(site.dtype(0), None), Fact::maybe(Some(DType::I64), None)]);
        };
        let mut out = shape.to_vec();
        out[axis_of(site, -1, shape.len())?] = top(site).unwrap_or_else(|| site.unknown());
        Ok(vec![Fact::maybe(site.dtype(0), Some(out.clone())), Fact::new(DType::I64, out)])
    },
    axes: |site| {
        let rank = site.rank(0)?;
        let axis = axis_of(site, -1, rank).ok()?;
        let (all, best) = (row(rank, axis, "~e!"), row(rank, axis, "_"));
        match top(site).and_then(|k| k.size()) {
            Some(k) => {
                let rule = AxisRule::new(format!("{all}, _* -> {best}, {best} @e")).at_least("e", k);
                Some(rule.why("which are the largest depends on which there are"))
            }
            None => Some(AxisRule::new(format!("{best}, _* -> {best}, {best}")).why("it sorts along this axis")),
        }
    },
    lower: lower::select::top,
    ..Rule::OPAQUE
};

/// How many are taken.
fn top(site: &Site) -> Option<Dim> {
    match (site.call.has("k"), scalar(site.fact(1))) {
        (true, _) => Some(Dim::Fixed(site.call.int("k", 0))),
        (false, Some(Element::Int(k))) => Some(k),
        _ => None,
    }
}

/// Unique: the different elements (or slices of an axis), where they were first, which is which, and how often.
const UNIQUE: Rule = Rule {
    infer: |site| {
        let count = site.unknown();
        let values = match (site.call.has("axis"), site.shape(0)) {
            (false, _) => Some(vec![count.clone()]),
            (true, None) => None,
            (true, Some(shape)) => {
                let mut out = shape.to_vec();
                *out.get_mut(axis_of(site, 0, shape.len())?).ok_or("no such axis")? = count.clone();
                Some(out)
            }
        };
        let list = |d: Dim| Fact::new(DType::I64, vec![d]);
        Ok(vec![Fact::maybe(site.dtype(0), values), list(count.clone()), list(site.unknown()), list(count)])
    },
    ..Rule::OPAQUE
};

/// One axis that is named, as an index; the others pass: shared with [`super::scan`].
pub(super) fn passing(rank: usize, axis: i64) -> Option<String> {
    let axis = normalize_axis(axis, rank).ok().filter(|&a| a < rank)?;
    Some(row(rank, axis, "_"))
}

#[cfg(test)]
mod tests {
    use crate::ir::{DType, Tensor};
    use crate::ops::testing::nets::{Net, int};

    #[test]
    fn what_sorts_is_not_exact() {
        let mut net = Net::new(17);
        let (w, k) = (net.weight(&[5, 8]), net.ints(&[3]));
        let top = net.calls("TopK", &[Some(w), Some(k)], &[("axis", int(0))], 2);
        assert_eq!([net.show(top[0]), net.show(top[1])], ["f32[3, 8]", "i64[3, 8]"]);
        assert_eq!(net.show_axes(&[w, top[1]]), "[c0!:5, c1:8] [3, c1:8]");
        let old = net.calls("TopK", &[Some(w)], &[("k", int(2))], 2);
        assert_eq!(net.show(old[0]), "f32[5, 2]");
    }

    #[test]
    fn experts_are_picked_by_their_numbers() {
        let mut net = Net::new(17);
        let (x, gate, experts) = (net.input("f32 n 4"), net.weight(&[4, 6]), net.weight(&[6, 4, 5]));
        let (k, flat) = (net.ints(&[2]), net.ints(&[-1]));
        let votes = net.call("MatMul", &[x, gate], &[]);
        let best = net.calls("TopK", &[Some(votes), Some(k)], &[], 2);
        let numbers = net.call("Reshape", &[best[1], flat], &[]);
        net.call("Gather", &[experts, numbers], &[]);
        assert_eq!(net.show_axes(&[gate, votes, experts]), "[4, c1!:6] [n, c1!:6] [c1!:6, c2:4, c3:5]");
        let axes = net.axes();
        assert_eq!(axes.floor(axes.solver().leaves(axes.of(gate).unwrap()[1])[0]), 2);
        // Whoever computes with the numbers would notice that they are others.
        net.call("Mul", &[numbers, numbers], &[]);
        assert_eq!(net.show_axes(&[gate, experts]), "[4, 6] [6, c2:4, c3:5]");
    }

    #[test]
    fn indices_become_an_axis_and_back() {
        let mut net = Net::new(17);
        let (x, gate) = (net.input("f32 n 4"), net.weight(&[4, 6]));
        let (k, depth, values) = (net.ints(&[2]), net.int(6), net.weight(&[2]));
        let votes = net.call("MatMul", &[x, gate], &[]);
        let best = net.calls("TopK", &[Some(votes), Some(k)], &[], 2);
        let masks = net.call("OneHot", &[best[1], depth, values], &[]);
        assert_eq!(net.show_axes(&[gate, masks]), "[4, c1!:6] [n, 2, c1!:6]");
        assert_eq!(net.show_refit(masks, &[(gate, 1, 3)]), "@1=3");
        let again = net.call("GatherElements", &[votes, best[1]], &[("axis", int(1))]);
        let spread = net.call("ScatterElements", &[votes, best[1], again], &[("axis", int(1))]);
        assert_eq!(net.show_axes(&[gate, again, spread]), "[4, c1!:6] [n, 2] [n, c1!:6]");
    }

    #[test]
    fn conditions_pick_slices() {
        let mut net = Net::new(17);
        let w = net.weight(&[3, 8]);
        let test = net.constant(Tensor::new(DType::Bool, vec![3], vec![1, 0, 1]).unwrap());
        let (some, all) = (net.call("Compress", &[w, test], &[("axis", int(0))]), net.call("NonZero", &[test], &[]));
        assert_eq!([net.show(some), net.show(all)], ["f32[2, 8]", "i64[1, 2] = {0, 2}"]);
        let x = net.input("f32 n t");
        let open = net.call("NonZero", &[x], &[]);
        assert_eq!(net.show(open), "i64[2, ?0]");
        assert_eq!(net.show_axes(&[w, some]), "[3, c1:8] [2, c1:8]");
    }

    #[test]
    fn one_hot_adds_an_axis() {
        let mut net = Net::new(17);
        let (x, depth, values) = (net.input("i64 n t"), net.int(10), net.weight(&[2]));
        let last = net.call("OneHot", &[x, depth, values], &[]);
        let first = net.call("OneHot", &[x, depth, values], &[("axis", int(0))]);
        assert_eq!([net.show(last), net.show(first)], ["f32[n, t, 10]", "f32[10, n, t]"]);
    }
}
