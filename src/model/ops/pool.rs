//! Pooling: each channel by itself, over a window or over all that there is.

use super::shared::dims::expect_rank;
use super::shared::window::WindowAttributes;
use super::{AxisRule, Rule, Site, ValueLaws, ZeroLaws, bounds, homogeneity, lower, zero};
use crate::facts::Fact;
use crate::ir::{DType, Dim};

pub(super) const RULES: &[(&str, Rule)] = &[
    (
        "AveragePool",
        Rule {
            values: ValueLaws { bounds: bounds::first_or_zero, homogeneity: homogeneity::first, ..POOL.values },
            lower: lower::pool::average,
            ..POOL
        },
    ),
    (
        "GlobalAveragePool",
        Rule {
            values: ValueLaws { bounds: bounds::first, homogeneity: homogeneity::first, ..GLOBAL_POOL.values },
            lower: lower::pool::global_average,
            ..GLOBAL_POOL
        },
    ),
    (
        "GlobalLpPool",
        Rule {
            values: ValueLaws { identity: |_| false, ..GLOBAL_POOL.values },
            lower: lower::pool::global_norm,
            ..GLOBAL_POOL
        },
    ),
    (
        "GlobalMaxPool",
        Rule {
            values: ValueLaws { bounds: bounds::first, homogeneity: homogeneity::first_positive, ..GLOBAL_POOL.values },
            lower: lower::pool::global_max,
            ..GLOBAL_POOL
        },
    ),
    ("LpPool", Rule { values: ValueLaws { identity: |_| false, ..POOL.values }, lower: lower::pool::norm, ..POOL }),
    ("MaxPool", MAX_POOL),
    ("MaxRoiPool", MAX_ROI_POOL),
    ("MaxUnpool", MAX_UNPOOL),
    ("RoiAlign", ROI_ALIGN),
];

/// A mean or norm over each window. Padding counts as zero or not at all, so zeros stay zero.
const POOL: Rule = Rule {
    infer: |site| Ok(vec![Fact::maybe(site.dtype(0), site.shape(0).map(|x| pool_shape(site, x)).transpose()?)]),
    axes: |_| Some(AxisRule::new("n c _* -> n c _*").why("a window runs along it")),
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    values: ValueLaws { identity: is_trivial, ..ValueLaws::OPAQUE },
    ..Rule::OPAQUE
};

/// The maximum over each window, and where it was found: as a flat index over all channels, which a cut would move.
const MAX_POOL: Rule = Rule {
    infer: |site| {
        let shape = site.shape(0).map(|x| pool_shape(site, x)).transpose()?;
        Ok(vec![Fact::maybe(site.dtype(0), shape.clone()), Fact::maybe(Some(DType::I64), shape)])
    },
    axes: |site| if wants_indices(site) { None } else { (POOL.axes)(site) },
    values: ValueLaws { identity: |site| !wants_indices(site) && is_trivial(site), data_movement: true, ..POOL.values },
    lower: lower::pool::max,
    ..POOL
};

/// The mean, maximum or norm over everything but batch and channels.
const GLOBAL_POOL: Rule = Rule {
    infer: |site| Ok(vec![Fact::maybe(site.dtype(0), site.shape(0).map(global_shape).transpose()?)]),
    axes: |site| {
        let ones = " 1".repeat(site.rank(0)?.checked_sub(2)?);
        Some(AxisRule::new(format!("n c _* -> n c{ones}")).why("it is pooled along it"))
    },
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    values: ValueLaws {
        identity: |site| site.shape(0).is_some_and(|x| x.len() >= 2 && x[2..].iter().all(|d| *d == Dim::Fixed(1))),
        ..ValueLaws::OPAQUE
    },
    ..Rule::OPAQUE
};

/// Elements put back where a MaxPool found them. The indices are flat ones over all channels, so nothing can be cut.
const MAX_UNPOOL: Rule = Rule {
    infer: |site| {
        let shape = match (site.shape(0), site.has(2)) {
            (Some(x), true) => Some(site.dims(2).unwrap_or_else(|| x.iter().map(|_| site.unknown()).collect())),
            (Some(x), false) => Some(unpooled(site, x)?),
            (None, _) => None,
        };
        Ok(vec![Fact::maybe(site.dtype(0), shape)])
    },
    ..Rule::OPAQUE
};

/// The maximum over cells of regions: `rois[r]` names its image and its corners.
const MAX_ROI_POOL: Rule = Rule {
    infer: |site| {
        let size = site.call.ints("pooled_shape");
        let shape = region_shape(site, size.map(|s| s.iter().map(|&d| Dim::Fixed(d)).collect()))?;
        Ok(vec![Fact::maybe(site.dtype(0), shape)])
    },
    axes: |_| Some(AxisRule::new("_ c _*, r _ -> r c _*").why("regions choose from it")),
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    ..Rule::OPAQUE
};

/// The mean or maximum over interpolated samples in cells of regions.
const ROI_ALIGN: Rule = Rule {
    infer: |site| {
        expect_rank(site, 2, 1, "batch indices")?;
        let size = vec![Dim::Fixed(site.call.int("output_height", 1)), Dim::Fixed(site.call.int("output_width", 1))];
        Ok(vec![Fact::maybe(site.dtype(0), region_shape(site, Some(size))?)])
    },
    axes: |_| Some(AxisRule::new("_ c _*, r _, r -> r c _*").why("regions choose from it")),
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    ..Rule::OPAQUE
};

/// The shape of which a window makes `x`: `(n - 1) · stride + extent - padding` along each axis.
fn unpooled(site: &Site, x: &[Dim]) -> Result<Vec<Dim>, String> {
    let [n, c, space @ ..] = x else { return Err("it needs axes for batch and channels".into()) };
    let kernel = site.call.ints("kernel_shape").filter(|k| k.len() == space.len());
    let kernel = kernel.ok_or("`kernel_shape` is missing, or not for its axes")?;
    let window = WindowAttributes::of(site.call, space.len())?;
    let length = |(axis, (d, &k)): (usize, (&Dim, &i64))| {
        let steps = (d.clone() - Dim::Fixed(1)) * Dim::Fixed(window.strides[axis]);
        steps + window.extent(axis, &Dim::Fixed(k)) - window.padding(axis)
    };
    let lengths = space.iter().zip(kernel).enumerate().map(length);
    Ok([n.clone(), c.clone()].into_iter().chain(lengths).collect())
}

pub(super) fn wants_indices(site: &Site) -> bool {
    site.call.results.get(1).is_some_and(|r| !r.is_empty())
}

/// The result's shape where all positions are pooled.
pub(super) fn global_shape(x: &[Dim]) -> Result<Vec<Dim>, String> {
    let [n, c, space @ ..] = x else { return Err("it needs axes for batch and channels".into()) };
    Ok([n, c].into_iter().cloned().chain(space.iter().map(|_| Dim::Fixed(1))).collect())
}

/// The result's shape where each window is pooled.
pub(super) fn pool_shape(site: &Site, x: &[Dim]) -> Result<Vec<Dim>, String> {
    let [n, c, space @ ..] = x else { return Err("it needs axes for batch and channels".into()) };
    let kernel = site.call.ints("kernel_shape").ok_or("`kernel_shape` is missing")?;
    if kernel.len() != space.len() {
        return Err(format!("`kernel_shape` has {} entries, not {}", kernel.len(), space.len()));
    }
    if let Some(k) = kernel.iter().find(|&&k| k < 1) {
        return Err(format!("a window of length {k}"));
    }
    let window = WindowAttributes::of(site.call, space.len())?;
    let ceil = site.call.int("ceil_mode", 0) != 0;
    let mut shape = vec![n.clone(), c.clone()];
    for (axis, (length, &k)) in space.iter().zip(kernel).enumerate() {
        shape.push(window.positions(site, axis, length, &Dim::Fixed(k), ceil)?);
    }
    Ok(shape)
}

/// Whether every window is one element, and all elements have theirs.
fn is_trivial(site: &Site) -> bool {
    let ones = |name: &str| site.call.ints(name).is_none_or(|v| v.iter().all(|&x| x == 1));
    let unpadded = site.call.ints("pads").is_none_or(|v| v.iter().all(|&x| x == 0));
    site.call.has("kernel_shape") && ones("kernel_shape") && ones("strides") && unpadded
}

fn region_shape(site: &Site, size: Option<Vec<Dim>>) -> Result<Option<Vec<Dim>>, String> {
    let (Some(x), Some(rois)) = (site.shape(0), site.shape(1)) else { return Ok(None) };
    let ([_, c, _, _], [r, _]) = (x, rois) else { return Err("it needs an image and a list of regions".into()) };
    let size = size.filter(|s| s.len() == 2).ok_or("the size of a region's cells is missing")?;
    if size.iter().any(|d| d.size().is_none()) {
        return Err("a region has a negative number of cells".into());
    }
    Ok(Some([r.clone(), c.clone()].into_iter().chain(size).collect()))
}

#[cfg(test)]
mod tests {
    use crate::ops::testing::{Case, show};
    use insta::assert_snapshot;

    #[test]
    fn windows() {
        let pool = |attributes: &str| show("AveragePool", 19, attributes, &["=2 8 9 9"]);
        assert_snapshot!(pool("kernel_shape=[3,3] strides=[2,2]"), @"[c0:2, c1:8, 9, 9] -> f32[c0:2, c1:8, 4, 4]");
        assert_snapshot!(
            pool("kernel_shape=[2,2] strides=[2,2] ceil_mode=1"),
            @"[c0:2, c1:8, 9, 9] -> f32[c0:2, c1:8, 5, 5]"
        );
        assert_snapshot!(
            pool("kernel_shape=[2,2] strides=[3,3] pads=[1,1,1,1] ceil_mode=1"),
            @"[c0:2, c1:8, 9, 9] -> f32[c0:2, c1:8, 4, 4]"
        );
        assert_snapshot!(
            pool("kernel_shape=[2,2] strides=[2,2] auto_pad=SAME_LOWER"),
            @"[c0:2, c1:8, 9, 9] -> f32[c0:2, c1:8, 5, 5]"
        );
        assert_snapshot!(pool("kernel_shape=[3,3] dilations=[2,4]"), @"[c0:2, c1:8, 9, 9] -> f32[c0:2, c1:8, 5, 1]");
        assert_snapshot!(
            pool("kernel_shape=[3,3] dilations=[2,5]"),
            @"error: a window of extent 11 does not fit 9 elements"
        );
        assert_snapshot!(pool("kernel_shape=[3]"), @"error: `kernel_shape` has 1 entries, not 2");
        assert_snapshot!(pool("kernel_shape=[3,0]"), @"error: a window of length 0");
        assert_snapshot!(pool(""), @"error: `kernel_shape` is missing");
        let open = |attributes: &str| show("AveragePool", 19, attributes, &["N 8 H"]);
        assert_snapshot!(
            open("kernel_shape=[2] strides=[2] ceil_mode=1"),
            @"[N, 8, H] -> f32[N, 8, 1+floor(-1+H / 2)]"
        );
        assert_snapshot!(open("kernel_shape=[2] strides=[3] ceil_mode=1"), @"[N, 8, H] -> f32[N, 8, ?0]");
        assert_snapshot!(show("LpPool", 18, "kernel_shape=[2] p=2", &["?"]), @"[..] -> f32[..]");
    }

    #[test]
    fn indices_number_all_channels() {
        let pool = |results| Case::new("MaxPool", 12, "kernel_shape=[2,2]", &["=2 8 9 9"], results).show();
        assert_snapshot!(pool(1), @"[c0:2, c1:8, 9, 9] -> f32[c0:2, c1:8, 8, 8]");
        assert_snapshot!(pool(2), @"[2, 8, 9, 9] -> f32[2, 8, 8, 8], i64[2, 8, 8, 8]");
    }

    #[test]
    fn global() {
        assert_snapshot!(
            show("GlobalAveragePool", 1, "", &["=2 8 9 9"]),
            @"[c0:2, c1:8, 9, 9] -> f32[c0:2, c1:8, 1, 1]"
        );
        assert_snapshot!(show("GlobalMaxPool", 1, "", &["=2 8"]), @"[c0:2, c1:8] -> f32[c0:2, c1:8]");
        assert_snapshot!(show("GlobalLpPool", 2, "", &["=8"]), @"error: it needs axes for batch and channels");
    }

    #[test]
    fn regions() {
        assert_snapshot!(
            show("MaxRoiPool", 1, "pooled_shape=[7,7]", &["=2 8 9 9", "=20 5"]),
            @"[2, c1:8, 9, 9], [c4:20, 5] -> f32[c4:20, c1:8, 7, 7]"
        );
        let align = |rois: &str| show("RoiAlign", 16, "output_height=7 output_width=7", &["=2 8 9 9", rois, "i64:=20"]);
        assert_snapshot!(align("=20 4"), @"[2, c1:8, 9, 9], [c4:20, 4], [c4:20] -> f32[c4:20, c1:8, 7, 7]");
        assert_snapshot!(align("R 4"), @"[2, c1:8, 9, 9], [20, 4], [20] -> f32[20, c1:8, 7, 7]");
        assert_snapshot!(align("4"), @"error: it needs an image and a list of regions");
    }

    #[test]
    fn identities() {
        let is = |op: &str, attributes: &str, x: &str| Case::new(op, 19, attributes, &[x], 1).is_identity();
        assert!(is("MaxPool", "kernel_shape=[1,1]", "N 8 9 9"));
        assert!(!is("MaxPool", "kernel_shape=[1,1] strides=[2,2]", "N 8 9 9"));
        assert!(!is("LpPool", "kernel_shape=[1,1]", "N 8 9 9"));
        assert!(is("GlobalAveragePool", "", "N 8 1 1"));
        assert!(!is("GlobalAveragePool", "", "N 8 1 H"));
    }

    #[test]
    fn unpooling() {
        let unpool = |operands: &[&str]| show("MaxUnpool", 22, "kernel_shape=[2,2] strides=[2,2]", operands);
        assert_snapshot!(unpool(&["1 8 4 n", "i64:1 8 4 n"]), @"[1, 8, 4, n], [1, 8, 4, n] -> f32[1, 8, 8, 2*n]");
        assert_snapshot!(unpool(&["=1 8 4 4", "i64:1 8 4 4", "=i64[1 8 9 9]"]), @"[1, 8, 4, 4], [1, 8, 4, 4], [4] -> f32[1, 8, 9, 9]");
        assert_snapshot!(unpool(&["=1 8 4 4", "i64:1 8 4 4", "i64:4"]), @"[1, 8, 4, 4], [1, 8, 4, 4], [4] -> f32[?0, ?1, ?2, ?3]");
    }
}
