//! Gathering and scattering by tensors of indices: the axes that indices point into are pinned unless the indices were
//! made by counting the same units; others pass.

use super::content::{carry, elements, flat, indices, small};
use super::dims::{expect_rank, row};
use super::site::normalize_axis;
use super::{AxisRule, Rule, Site, lower, zero};
use crate::facts::{Element, Fact};
use crate::ir::Dim;

pub const RULES: &[(&str, Rule)] = &[
    ("GatherElements", GATHER_ELEMENTS),
    ("GatherND", GATHER_ND),
    ("Scatter", SCATTER_ELEMENTS),
    ("ScatterElements", SCATTER_ELEMENTS),
    ("ScatterND", SCATTER_ND),
    ("TensorScatter", TENSOR_SCATTER),
];

/// Why the axes are pinned that indices point into.
const INDEXED: &str = "it is indexed at run time";

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
    zero: zero::first,
    indices: along_axis,
    lower: lower::indices::gathered_each,
    ..Rule::OPAQUE
};

/// ScatterElements (Scatter before opset 11): `result[index[i][j]][j] = updates[i][j]`, here for axis 0, and the data
/// elsewhere.
const SCATTER_ELEMENTS: Rule = Rule {
    infer: |site| Ok(vec![Fact::maybe(site.dtype(0), site.fact(0).shape.clone())]),
    axes: |site| {
        let (data, index) = (along(site, &[0, 1, 2], "e")?, along(site, &[0, 1, 2], "_")?);
        Some(AxisRule::new(format!("{data}, {index} @e, {index} -> {data}")).why(INDEXED))
    },
    zero: both,
    indices: along_axis,
    lower: lower::indices::scattered_each,
    ..Rule::OPAQUE
};

/// TensorScatter: a cache with some positions of each sample written anew. Operands: cache, updates, first positions.
const TENSOR_SCATTER: Rule = Rule {
    infer: |site| {
        if let Some(rank) = site.rank(0) {
            expect_rank(site, 1, rank, "updates")?;
        }
        expect_rank(site, 2, 1, "positions")?;
        Ok(vec![Fact::maybe(site.dtype(0), site.fact(0).shape.clone())])
    },
    axes: |site| {
        let rank = site.rank(0)?;
        let axis = site.axis("axis", -2, rank).ok().filter(|&a| a > 0)?;
        let labels = row(rank, |i| if i == axis { "_".into() } else { format!("x{i}") });
        Some(AxisRule::new(format!("{labels}, {labels}, x0 -> {labels}")).why(INDEXED))
    },
    zero: |_, z| z.first() == Some(&true) && z.get(1) == Some(&true),
    indices: |site| {
        let axis = site.rank(0).and_then(|rank| site.axis("axis", -2, rank).ok());
        // All that is written has to fit behind the first position.
        let room = axis.and_then(|a| Some(site.dim(0, a)?.clone() - site.dim(1, a)?.clone() + Dim::Fixed(1)));
        room.map(|room| (2, room)).into_iter().collect()
    },
    ..Rule::OPAQUE
};

/// Indices along the attribute's axis, in the second operand.
fn along_axis(site: &Site) -> Vec<(usize, Dim)> {
    let axis = site.rank(0).and_then(|rank| site.axis("axis", 0, rank).ok());
    axis.and_then(|axis| site.dim(0, axis)).map(|size| (1, size.clone())).into_iter().collect()
}

/// Index tuples in the second operand, which stay within the shortest of the axes that they point into.
fn in_tuples(site: &Site) -> Vec<(usize, Dim)> {
    let (Ok(Some((batch, depth))), Some(data)) = (tuples(site), site.shape(0)) else { return vec![] };
    let shortest = data.iter().skip(batch).take(depth).filter_map(Dim::fixed).min();
    shortest.map(|size| (1, Dim::Fixed(size))).into_iter().collect()
}

/// Data overwritten with updates: zero where both are.
fn both(_: &Site, z: &[bool]) -> bool {
    z.first() == Some(&true) && z.get(2) == Some(&true)
}

/// Labels for operands of equal rank: `own` at `axis`, and `_` wherever else they are not equally long.
fn along(site: &Site, slots: &[usize], own: &str) -> Option<String> {
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
    zero: zero::first,
    indices: in_tuples,
    lower: |site, at| {
        let (batch, depth) = tuples(site)?.ok_or("the length of its index tuples is not known")?;
        lower::indices::gathered_tuples(site, at, batch, depth)
    },
    ..Rule::OPAQUE
};

/// `batch_dims` and how many axes of the data an index tuple addresses; `None` where that is not known.
fn tuples(site: &Site) -> Result<Option<(usize, usize)>, String> {
    let (Some(data), Some(index)) = (site.rank(0), site.shape(1)) else { return Ok(None) };
    let batch = usize::try_from(site.call.int("batch_dims", 0)).map_err(|_| "batch_dims is negative")?;
    let Some(depth) = index.last() else { return Err("a scalar holds no index tuples".into()) };
    let Some(depth) = depth.size() else { return Ok(None) };
    let used = batch.checked_add(depth).filter(|&n| n <= data && batch < index.len());
    if used.is_some() { Ok(Some((batch, depth))) } else { Err("index tuples longer than the data's rank".into()) }
}

/// ScatterND: a copy of the data with the slices that the index tuples pick replaced by the updates.
const SCATTER_ND: Rule = Rule {
    infer: |site| {
        let fact = Fact::maybe(site.dtype(0), site.fact(0).shape.clone());
        Ok(vec![scattered(site).map_or(fact.clone(), |e| carry(fact, e))])
    },
    axes: |site| {
        let (_, depth) = tuples(site).ok()??;
        let (data, index, updates) = (site.rank(0)?, site.rank(1)?, site.rank(2)?);
        let rest: String = (depth..data).map(|i| format!("d{i} ")).collect();
        let pinned = |n: usize| "_ ".repeat(n);
        if updates != index - 1 + data - depth {
            return None;
        }
        let text = format!("{0}{rest}, _*, {1}{rest} -> {0}{rest}", pinned(depth), pinned(index - 1));
        Some(AxisRule::new(text).why(INDEXED))
    },
    indices: in_tuples,
    zero: both,
    lower: |site, at| {
        let (_, depth) = tuples(site)?.ok_or("the length of its index tuples is not known")?;
        lower::indices::scattered_tuples(site, at, depth)
    },
    ..Rule::OPAQUE
};

/// The elements of ScatterND's result, where all indices are known and whole elements are replaced.
fn scattered(site: &Site) -> Option<Vec<Element>> {
    if site.call.string("reduction", "none") != "none" || site.fact(0).content.is_none() {
        return None;
    }
    let (mut out, updates, tuples) = (elements(site.fact(0))?, elements(site.fact(2))?, site.ints(1)?);
    let (data, index) = (small(site.shape(0)?)?, small(site.shape(1)?)?);
    if index.last() != Some(&data.len()) || data.is_empty() || tuples.len() != updates.len() * data.len() {
        return None;
    }
    for (tuple, update) in tuples.chunks(data.len()).zip(updates) {
        let at: Vec<usize> =
            tuple.iter().zip(&data).map(|(&i, &n)| normalize_axis(i, n).ok()).collect::<Option<_>>()?;
        *out.get_mut(flat(&at, &data))? = update;
    }
    debug_assert_eq!(out.len(), indices(&data).count());
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::super::nets::{Net, int};
    use crate::ir::Tensor;
    use crate::ops::testing::show;
    use insta::assert_snapshot;

    #[test]
    fn axes_beside_the_indexed_one_pass() {
        let mut net = Net::new(17);
        let (w, i) = (net.weight(&[5, 8]), net.constant(Tensor::from_i64(vec![2, 8], &[0; 16])));
        let y = net.call("GatherElements", &[w, i], &[]);
        assert_eq!(net.show(y), "f32[2, 8]");
        assert_eq!(net.show_axes(&[w, i, y]), "[5, c1:8] [2, c1:8] [2, c1:8]");
        let v = net.weight(&[2, 8]);
        let z = net.call("ScatterElements", &[w, i, v], &[("axis", int(0))]);
        assert_eq!(net.show_axes(&[v, z]), "[2, c1:8] [5, c1:8]");
    }

    #[test]
    fn tuples_pick_slices() {
        let mut net = Net::new(17);
        let (w, i) = (net.weight(&[5, 6, 8]), net.input("i64 n 2"));
        let y = net.call("GatherND", &[w, i], &[]);
        assert_eq!(net.show(y), "f32[n, 8]");
        assert_eq!(net.show_axes(&[w, y]), "[5, 6, c2:8] [n, c2:8]");
        let z = net.call("ScatterND", &[w, i, y], &[]);
        assert_eq!(net.show_axes(&[z]), "[5, 6, c2:8]");
        let scalar = net.int(0);
        net.call("GatherND", &[w, scalar], &[]);
        net.call("GatherND", &[y, i], &[("batch_dims", int(2))]);
        assert_eq!(net.contradictions().len(), 2);
    }

    #[test]
    fn shapes_are_patched() {
        let mut net = Net::new(17);
        let x = net.input("f32 n 3 h");
        let shape = net.call("Shape", &[x], &[]);
        let (at, nine) = (net.constant(Tensor::from_i64(vec![1, 1], &[-2])), net.ints(&[9]));
        let y = net.call("ScatterND", &[shape, at, nine], &[]);
        assert_eq!(net.show(y), "i64[3] = {n, 9, h}");
    }

    #[test]
    fn a_cache_is_written_at_positions() {
        assert_snapshot!(show("TensorScatter", 24, "", &["=2 8 16 4", "=2 8 1 4", "i64:2"]), @"[2, c1:8, 16, c3:4], [2, c1:8, 1, c3:4], [2] -> f32[2, c1:8, 16, c3:4]");
        assert_snapshot!(show("TensorScatter", 24, "axis=0", &["=2 8", "=1 8"]), @"[2, 8], [1, 8] -> f32[2, 8]");
    }
}
