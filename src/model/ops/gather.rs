//! Slices and elements picked by index.
//!
//! Where the indices of a Gather are known, the axis falls into pieces at all boundaries of the ascending runs that they form,
//! and the result is a sum of pieces: `q, k, v = x[0], x[1], x[2]` or a rotation are read like that. A piece that
//! nothing reads is `~p`; one can be read more than once. Indices that are only known at run time pin the axis, unless
//! they were made by counting the same units.

use super::shared::content::{carry, elements, flat, select, small};
use super::{AxisRule, CutSizes, Operands, Refit, Rule, Site, ValueLaws, ZeroLaws, lower, normalize_axis, zero};
use crate::facts::{Element, Fact};
use crate::ir::{DType, Dim};
use std::collections::BTreeSet;

pub(super) const RULES: &[(&str, Rule)] =
    &[("Gather", GATHER), ("GatherElements", GATHER_ELEMENTS), ("GatherND", GATHER_ND)];

/// Indices that form more runs than this are not taken apart.
const RUN_LIMIT: usize = 64;

/// Gather: `data` along `axis` at `indices`, whose axes take the place of that one.
const GATHER: Rule = Rule {
    infer: |site| {
        let (Some(data), Some(indices)) = (site.shape(0), site.shape(1)) else {
            return Ok(vec![Fact::maybe(site.dtype(0), None)]);
        };
        let axis = site.axis("axis", 0, data.len())?;
        if data.is_empty() {
            return Err("a scalar has no slices".into());
        }
        let (before, after) = (data.iter().take(axis), data.iter().skip(axis + 1));
        let shape: Vec<Dim> = before.chain(indices).chain(after).cloned().collect();
        let fact = Fact::maybe(site.dtype(0), Some(shape));
        known_indices(site, data.get(axis))?;
        Ok(vec![match picked(site, axis, &fact) {
            Some(elements) => carry(fact, elements),
            None => fact,
        }])
    },
    axes: |site| {
        let (data, indices) = (site.shape(0)?, site.shape(1)?);
        let axis = site.axis("axis", 0, data.len()).ok().filter(|&a| a < data.len())?;
        let others = |range: std::ops::Range<usize>| range.map(|i| format!("x{i} ")).collect::<String>();
        let (before, after) = (others(0..axis), others(axis + 1..data.len()));
        if let Some(pieces) = Pieces::of(site, axis) {
            let index = if indices.is_empty() { "" } else { "_" };
            let read = pieces.result();
            let text = format!("{before}{} {after}, {index} -> {before}{read} {after}", pieces.operand());
            return Some(AxisRule { sizes: pieces.sizes(), ..AxisRule::new(text) }.carries());
        }
        let rows: String = (0..indices.len()).map(|i| format!("i{i} ")).collect();
        let text = format!("{before}~e {after}, {rows} @e -> {before}{rows}{after}");
        Some(AxisRule::new(text).why("it is looked up by index at run time").carries())
    },
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    refit: |site, cut| Ok(reindexed(site, cut).unwrap_or_default()),
    values: ValueLaws::MOVED,
    operands: Operands {
        indices: |site| {
            let rank = site.rank(0).unwrap_or(0);
            let axis = site.axis("axis", 0, rank).ok().and_then(|axis| site.dim(0, axis));
            axis.map(|size| (1, size.clone())).into_iter().collect()
        },
        ..Operands::OPAQUE
    },
    lower: lower::gather::gathered,
    ..Rule::OPAQUE
};

/// The indices, counted from the front, where they and the axis are known in numbers.
fn known_indices(site: &Site, size: Option<&Dim>) -> Result<Option<Vec<usize>>, String> {
    let (Some(size), Some(indices)) = (size.and_then(Dim::size), site.ints(1)) else { return Ok(None) };
    let index = |&i: &i64| normalize_axis(i, size).ok().filter(|&i| i < size).ok_or(i);
    let found: Result<Vec<usize>, i64> = indices.iter().map(index).collect();
    found.map(Some).map_err(|i| format!("index {i} of an axis of length {size}"))
}

/// The elements of the result, where those of the operand and the indices are known.
fn picked(site: &Site, axis: usize, result: &Fact) -> Option<Vec<Element>> {
    site.fact(0).content.as_ref()?;
    let (from, out) = (small(site.shape(0)?)?, small(result.shape.as_ref()?)?);
    let rank = site.rank(1)?;
    let (known, lengths) = (elements(site.fact(1))?, small(site.shape(1)?)?);
    let at = |index: &[usize]| {
        let Some(Element::Int(i)) = known.get(flat(&index[axis..axis + rank], &lengths)) else { return usize::MAX };
        let Ok(i) = normalize_axis(i.fixed().unwrap_or(i64::MAX), from[axis]) else { return usize::MAX };
        let mut source = index[..axis].to_vec();
        source.push(i);
        source.extend(&index[axis + rank..]);
        flat(&source, &from)
    };
    Some(select(&elements(site.fact(0))?, &out, at))
}

/// How known indices take an axis apart.
struct Pieces {
    /// Length of each piece, and whether anything reads it.
    pieces: Vec<(usize, bool)>,
    /// The pieces that the result reads, in its order.
    read: Vec<usize>,
    scalar: bool,
}

impl Pieces {
    fn of(site: &Site, axis: usize) -> Option<Pieces> {
        if site.rank(1)? > 1 || !matches!(site.dtype(1), Some(DType::I64 | DType::I32)) {
            return None;
        }
        let size = site.dim(0, axis)?.size()?;
        let indices = known_indices(site, site.dim(0, axis)).ok()??;
        let runs = runs(&indices).filter(|r| !r.is_empty())?;
        let ends = runs.iter().flat_map(|&(start, end)| [start, end]).chain([0, size]);
        let ends: Vec<usize> = ends.collect::<BTreeSet<_>>().into_iter().collect();
        let within = |k: usize, &(start, end): &(usize, usize)| start <= ends[k] && ends[k + 1] <= end;
        let count = ends.len() - 1;
        let read: Vec<usize> = runs.iter().flat_map(|r| (0..count).filter(move |&k| within(k, r))).collect();
        let pieces = (0..count).map(|k| (ends[k + 1] - ends[k], read.contains(&k))).collect();
        Some(Pieces { pieces, read, scalar: site.rank(1) == Some(0) })
    }

    fn operand(&self) -> String {
        let piece = |(k, (_, read)): (usize, &(usize, bool))| format!("{}p{k}", if *read { "" } else { "~" });
        self.pieces.iter().enumerate().map(piece).collect::<Vec<_>>().join("+")
    }

    fn result(&self) -> String {
        if self.scalar {
            return String::new();
        }
        self.read.iter().map(|k| format!("p{k}")).collect::<Vec<_>>().join("+")
    }

    fn sizes(&self) -> Vec<(String, Dim)> {
        self.pieces.iter().enumerate().map(|(k, (n, _))| (format!("p{k}"), Dim::from(*n))).collect()
    }
}

/// The maximal ascending runs of consecutive indices, as ranges; `None` where there are too many.
fn runs(indices: &[usize]) -> Option<Vec<(usize, usize)>> {
    let mut runs: Vec<(usize, usize)> = vec![];
    for &i in indices {
        match runs.last_mut() {
            Some((_, end)) if *end == i => *end += 1,
            _ => runs.push((i, i + 1)),
        }
        if runs.len() > RUN_LIMIT {
            return None;
        }
    }
    Some(runs)
}

/// Indices into what is left of the axis, if the pieces got shorter.
fn reindexed(site: &Site, cut: &CutSizes) -> Option<Refit> {
    let axis = site.axis("axis", 0, site.rank(0)?).ok()?;
    let pieces = Pieces::of(site, axis)?;
    let left = |(k, (n, _)): (usize, &(usize, bool))| cut.size(&format!("p{k}")).map_or(Some(*n), |d| d.size());
    let left: Vec<usize> = pieces.pieces.iter().enumerate().map(left).collect::<Option<_>>()?;
    if left.iter().zip(&pieces.pieces).all(|(now, (before, _))| now == before) {
        return None;
    }
    let start = |k: usize| left[..k].iter().sum::<usize>();
    let new: Vec<Dim> = pieces.read.iter().flat_map(|&k| start(k)..start(k) + left[k]).map(Dim::from).collect();
    match (pieces.scalar, new.as_slice()) {
        (true, [one]) => Some(Refit::default().scalar(1, one.clone())),
        (true, _) => None,
        _ => Some(Refit::default().operand(1, new)),
    }
}

/// Why the axes are pinned that indices point into.
pub(super) const INDEXED: &str = "it is indexed at run time";

/// GatherElements: `result[i][j] = data[index[i][j]][j]`, here for axis 0. The result has the indices' shape.
const GATHER_ELEMENTS: Rule = Rule {
    infer: |site| {
        if let (Some(data), Some(index)) = (site.rank(0), site.rank(1)) {
            site.axis("axis", 0, data)?;
            if data != index {
                return Err("data and indices of different ranks".into());
            }
        }
        Ok(vec![Fact::maybe(site.dtype(0), site.fact(1).shape.clone())])
    },
    axes: |site| {
        let (data, index) = (along(site, &[0, 1], "~e")?, along(site, &[0, 1], "_")?);
        Some(AxisRule::new(format!("{data}, {index} @e -> {index}")).why(INDEXED).carries())
    },
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    operands: Operands { indices: along_axis, ..Operands::OPAQUE },
    lower: lower::gather::gathered_each,
    ..Rule::OPAQUE
};

/// Indices along the attribute's axis, in the second operand.
pub(super) fn along_axis(site: &Site) -> Vec<(usize, Dim)> {
    let axis = site.rank(0).and_then(|rank| site.axis("axis", 0, rank).ok());
    axis.and_then(|axis| site.dim(0, axis)).map(|size| (1, size.clone())).into_iter().collect()
}

/// Index tuples in the second operand, which stay within the shortest of the axes that they point into.
pub(super) fn in_tuples(site: &Site) -> Vec<(usize, Dim)> {
    let (Ok(Some((batch, depth))), Some(data)) = (tuples(site), site.shape(0)) else { return vec![] };
    let shortest = data.iter().skip(batch).take(depth).filter_map(Dim::fixed).min();
    shortest.map(|size| (1, Dim::Fixed(size))).into_iter().collect()
}

/// Labels for operands of equal rank: `own` at `axis`, and `_` wherever else they are not equally long.
pub(super) fn along(site: &Site, slots: &[usize], own: &str) -> Option<String> {
    let shapes: Vec<&[Dim]> = slots.iter().map(|&slot| site.shape(slot)).collect::<Option<_>>()?;
    let (data, others) = shapes.split_first()?;
    let axis = site.axis("axis", 0, data.len()).ok().filter(|&a| a < data.len())?;
    if others.iter().any(|s| s.len() != data.len()) {
        return None;
    }
    let label = |i: usize| match others.iter().all(|s| s[i] == data[i]) {
        _ if i == axis => own.to_owned(),
        true => format!("x{i}"),
        false => "_".to_owned(),
    };
    Some((0..data.len()).map(label).collect::<Vec<_>>().join(" "))
}

/// GatherND: each index tuple (the last axis of the indices) picks a slice of the data; the first `batch_dims` axes
/// are shared.
const GATHER_ND: Rule = Rule {
    infer: |site| {
        let Some((batch, depth)) = tuples(site)? else { return Ok(vec![Fact::maybe(site.dtype(0), None)]) };
        let (Some(data), Some(index)) = (site.shape(0), site.shape(1)) else {
            return Ok(vec![Fact::maybe(site.dtype(0), None)]);
        };
        let shape: Vec<Dim> = index[..index.len() - 1].iter().chain(&data[batch + depth..]).cloned().collect();
        Ok(vec![Fact::maybe(site.dtype(0), Some(shape))])
    },
    axes: |site| {
        let (batch, depth) = tuples(site).ok()??;
        let (data, index) = (site.rank(0)?, site.rank(1)?);
        let row = |name: &str, range: std::ops::Range<usize>| range.map(|i| format!("{name}{i} ")).collect::<String>();
        let (shared, rows, rest) = (row("b", 0..batch), row("i", batch..index - 1), row("d", batch + depth..data));
        // A tuple of one number is an index; more of them index several axes at once.
        let (picked, tuple) = if depth == 1 { ("~e ".to_owned(), "1 @e") } else { ("_ ".repeat(depth), "_") };
        let text = format!("{shared}{picked}{rest}, {shared}{rows}{tuple} -> {shared}{rows}{rest}");
        Some(AxisRule::new(text).why(INDEXED).carries())
    },
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    operands: Operands { indices: in_tuples, ..Operands::OPAQUE },
    lower: |site, at| {
        let (batch, depth) = tuples(site)?.ok_or("the length of its index tuples is not known")?;
        lower::gather::gathered_tuples(site, at, batch, depth)
    },
    ..Rule::OPAQUE
};

/// `batch_dims` and how many axes of the data an index tuple addresses; `None` where that is not known.
pub(super) fn tuples(site: &Site) -> Result<Option<(usize, usize)>, String> {
    let (Some(data), Some(index)) = (site.rank(0), site.shape(1)) else { return Ok(None) };
    let batch = usize::try_from(site.call.int("batch_dims", 0)).map_err(|_| "batch_dims is negative")?;
    let Some(depth) = index.last() else { return Err("a scalar holds no index tuples".into()) };
    let Some(depth) = depth.size() else { return Ok(None) };
    let used = batch.checked_add(depth).filter(|&n| n <= data && batch < index.len());
    if used.is_some() { Ok(Some((batch, depth))) } else { Err("index tuples longer than the data's rank".into()) }
}

#[cfg(test)]
mod tests {
    use crate::ir::Tensor;
    use crate::ops::testing::nets::{Net, int};

    #[test]
    fn an_embedding_keeps_its_columns() {
        let mut net = Net::new(17);
        let (table, ids) = (net.weight(&[100, 16]), net.input("i64 n t"));
        let y = net.call("Gather", &[table, ids], &[]);
        assert_eq!(net.show(y), "f32[n, t, 16]");
        assert_eq!(net.show_axes(&[table, y]), "[100, c1:16] [n, t, c1:16]");
        assert_eq!(net.pins(table), ["it is looked up by index at run time"]);
    }

    #[test]
    fn a_scalar_index_takes_a_unit_out() {
        let mut net = Net::new(17);
        let (w, index) = (net.weight(&[3, 8]), net.int(-2));
        let y = net.call("Gather", &[w, index], &[]);
        assert_eq!(net.show(y), "f32[8]");
        // The neighbours are read by nobody.
        assert_eq!(net.show_axes(&[w, y]), "[1+1+1, c0:8] [c0:8]");
        let wide = net.weight(&[8, 8]);
        let z = net.call("Gather", &[wide, index], &[]);
        assert_eq!(net.show_axes(&[wide]), "[c1:6+1+1, c2:8]");
        assert_eq!(net.show_refit(z, &[(wide, 0, 2)]), "@1=2");
    }

    #[test]
    fn known_indices_are_runs() {
        let mut net = Net::new(17);
        let (w, index) = (net.weight(&[4, 12]), net.ints(&[8, 9, 10, 11, 0, 1, 2, 3, 0, 1]));
        let y = net.call("Gather", &[w, index], &[("axis", int(1))]);
        assert_eq!(net.show_axes(&[w, y]), "[c0:4, c1:2+c2:2+c3:4+c4:4] [c0:4, c4:4+c1:2+c2:2+c1:2]");
        assert_eq!(net.show_refit(y, &[(w, 1, 1)]), "@1=[7, 8, 9, 10, 0, 1, 2, 0]");
        assert_eq!(net.show_refit(y, &[]), "");
    }

    #[test]
    fn odd_indices_contradict() {
        let mut net = Net::new(17);
        let (w, index) = (net.weight(&[4, 12]), net.ints(&[4]));
        net.call("Gather", &[w, index], &[]);
        net.call("Gather", &[w, index], &[("axis", int(7))]);
        let scalar = net.weight(&[]);
        net.call("Gather", &[scalar, index], &[]);
        net.axes();
        assert_eq!(net.contradictions().len(), 3);
    }

    #[test]
    fn shapes_are_picked_from() {
        let mut net = Net::new(17);
        let x = net.input("f32 n 3 h");
        let shape = net.call("Shape", &[x], &[]);
        let (last, some) = (net.int(-1), net.ints(&[2, 0]));
        let (h, both) = (net.call("Gather", &[shape, last], &[]), net.call("Gather", &[shape, some], &[]));
        assert_eq!([net.show(h), net.show(both)], ["i64[] = {h}", "i64[2] = {h, n}"]);
    }

    #[test]
    fn axes_beside_the_indexed_one_pass() {
        let mut net = Net::new(17);
        let (w, i) = (net.weight(&[5, 8]), net.constant(Tensor::from_i64(vec![2, 8], &[0; 16])));
        let y = net.call("GatherElements", &[w, i], &[]);
        assert_eq!(net.show(y), "f32[2, 8]");
        assert_eq!(net.show_axes(&[w, i, y]), "[5, c1:8] [2, c1:8] [2, c1:8]");
    }

    #[test]
    fn tuples_pick_slices() {
        let mut net = Net::new(17);
        let (w, i) = (net.weight(&[5, 6, 8]), net.input("i64 n 2"));
        let y = net.call("GatherND", &[w, i], &[]);
        assert_eq!(net.show(y), "f32[n, 8]");
        assert_eq!(net.show_axes(&[w, y]), "[5, 6, c2:8] [n, c2:8]");
        let scalar = net.int(0);
        net.call("GatherND", &[w, scalar], &[]);
        net.call("GatherND", &[y, i], &[("batch_dims", int(2))]);
        assert_eq!(net.contradictions().len(), 2);
    }
}
