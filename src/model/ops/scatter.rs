//! Scattering by tensors of indices: the axes that indices point into are pinned; others pass.

use super::gather::{INDEXED, along, along_axis, in_tuples, tuples};
use super::shared::content::{carry, elements, flat, indices, small};
use super::shared::dims::{expect_rank, row};
use super::{AxisRule, Operands, Rule, Site, ZeroLaws, lower, normalize_axis};
use crate::facts::{Element, Fact};
use crate::ir::Dim;

pub(super) const RULES: &[(&str, Rule)] = &[
    ("Scatter", SCATTER_ELEMENTS),
    ("ScatterElements", SCATTER_ELEMENTS),
    ("ScatterND", SCATTER_ND),
    ("TensorScatter", TENSOR_SCATTER),
];

/// ScatterElements (Scatter before opset 11): `result[index[i][j]][j] = updates[i][j]`, here for axis 0, and the data
/// elsewhere.
const SCATTER_ELEMENTS: Rule = Rule {
    infer: |site| Ok(vec![Fact::maybe(site.dtype(0), site.fact(0).shape.clone())]),
    axes: |site| {
        let (data, index) = (along(site, &[0, 1, 2], "e")?, along(site, &[0, 1, 2], "_")?);
        Some(AxisRule::new(format!("{data}, {index} @e, {index} -> {data}")).why(INDEXED))
    },
    zeros: ZeroLaws { results: both, ..ZeroLaws::OPAQUE },
    operands: Operands { indices: along_axis, ..Operands::OPAQUE },
    lower: lower::scatter::scattered_each,
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
    zeros: ZeroLaws { results: |_, z| z.first() == Some(&true) && z.get(1) == Some(&true), ..ZeroLaws::OPAQUE },
    operands: Operands {
        indices: |site| {
            let axis = site.rank(0).and_then(|rank| site.axis("axis", -2, rank).ok());
            // All that is written has to fit behind the first position.
            let room = axis.and_then(|a| Some(site.dim(0, a)?.clone() - site.dim(1, a)?.clone() + Dim::Fixed(1)));
            room.map(|room| (2, room)).into_iter().collect()
        },
        ..Operands::OPAQUE
    },
    ..Rule::OPAQUE
};

/// Data overwritten with updates: zero where both are.
fn both(_: &Site, z: &[bool]) -> bool {
    z.first() == Some(&true) && z.get(2) == Some(&true)
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
    operands: Operands { indices: in_tuples, ..Operands::OPAQUE },
    zeros: ZeroLaws { results: both, ..ZeroLaws::OPAQUE },
    lower: |site, at| {
        let (_, depth) = tuples(site)?.ok_or("the length of its index tuples is not known")?;
        lower::scatter::scattered_tuples(site, at, depth)
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
    use crate::ir::Tensor;
    use crate::ops::testing::nets::{Net, int};
    use crate::ops::testing::show;
    use insta::assert_snapshot;

    #[test]
    fn axes_beside_the_indexed_one_pass() {
        let mut net = Net::new(17);
        let (w, i) = (net.weight(&[5, 8]), net.constant(Tensor::from_i64(vec![2, 8], &[0; 16])));
        let v = net.weight(&[2, 8]);
        let z = net.call("ScatterElements", &[w, i, v], &[("axis", int(0))]);
        assert_eq!(net.show_axes(&[i, v, z]), "[2, c1:8] [2, c1:8] [5, c1:8]");
    }

    #[test]
    fn tuples_name_slices() {
        let mut net = Net::new(17);
        let (w, i, y) = (net.weight(&[5, 6, 8]), net.input("i64 n 2"), net.input("f32 n 8"));
        let z = net.call("ScatterND", &[w, i, y], &[]);
        assert_eq!(net.show_axes(&[z]), "[5, 6, 8]");
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
