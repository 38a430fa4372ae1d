//! Resampling. An axis whose scale is 1 is passed through; along the others samples mix.

use super::shared::dims::{expect_rank, row};
use super::{AxisRule, CutSizes, Refit, Rule, Site, ValueLaws, ZeroLaws, lower, normalize_axis, zero};
use crate::facts::{Element, Fact, MOST_AXES};
use crate::ir::{Attribute, Dim};

pub(super) const RULES: &[(&str, Rule)] = &[
    ("AffineGrid", AFFINE_GRID),
    ("CenterCropPad", CENTER_CROP_PAD),
    ("GridSample", GRID_SAMPLE),
    ("com.microsoft.GridSample", GRID_SAMPLE),
    ("Resize", RESIZE),
    ("Upsample", RESIZE),
];

/// Interpolation to `sizes`, or to `floor(x · scales)`; the newer versions name the axes that they speak of.
const RESIZE: Rule = Rule {
    infer: |site| {
        let shape = match (site.shape(0), Targets::of(site)?) {
            (None, _) => None,
            (Some(x), None) => Some(x.iter().map(|_| site.unknown()).collect()),
            (Some(x), Some(t)) => Some(x.iter().zip(&t.axes).map(|(d, to)| length(site, d, to)).collect()),
        };
        Ok(vec![Fact::maybe(site.dtype(0), shape)])
    },
    axes: |site| {
        let kept = passed_through(site)?;
        let labels = row(kept.len(), |i| if kept[i] { format!("a{i}") } else { "_".into() });
        Some(AxisRule::new(format!("{labels} -> {labels}")).why("it is resampled along it"))
    },
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    refit: refit_sizes,
    values: ValueLaws {
        identity: |site| passed_through(site).is_some_and(|kept| kept.iter().all(|&k| k)),
        ..ValueLaws::OPAQUE
    },
    lower: lower::resize::resize,
    ..Rule::OPAQUE
};

/// `y[n, c, p] = x[n, c, grid[n, p]]`, interpolated.
const GRID_SAMPLE: Rule = Rule {
    infer: |site| {
        let shape = match (site.shape(0), site.shape(1)) {
            (Some(x), Some(grid)) if x.len() != grid.len() || x.len() < 3 => {
                return Err(format!("a grid of rank {} for an input of rank {}", grid.len(), x.len()));
            }
            (Some(x), Some(grid)) => Some(x[..2].iter().chain(&grid[1..grid.len() - 1]).cloned().collect()),
            _ => None,
        };
        Ok(vec![Fact::maybe(site.dtype(0), shape)])
    },
    axes: |_| Some(AxisRule::new("n c _*, n _* -> n c _*").why("the grid chooses from it")),
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    ..Rule::OPAQUE
};

/// Points of a plane or of space, moved by a matrix for each sample: `theta[n, 2, 3], size -> grid[n, h, w, 2]`.
const AFFINE_GRID: Rule = Rule {
    infer: |site| {
        expect_rank(site, 0, 3, "matrices")?;
        let rank =
            site.dim(0, 1).and_then(Dim::size).or(site.dim(1, 0).and_then(Dim::size).and_then(|n| n.checked_sub(2)));
        let Some(rank) = rank else { return Ok(vec![Fact::maybe(site.dtype(0), None)]) };
        if rank > MOST_AXES {
            return Err(format!("points of {rank} coordinates"));
        }
        let space = match site.dims(1) {
            Some(size) if size.len() != rank + 2 => return Err(format!("a size of {} axes for {rank}", size.len())),
            Some(size) => size[2..].to_vec(),
            None => (0..rank).map(|_| site.unknown()).collect(),
        };
        let batch = site.dim(0, 0).cloned().unwrap_or_else(|| site.unknown());
        let shape = [batch].into_iter().chain(space).chain([Dim::from(rank)]).collect();
        Ok(vec![Fact::maybe(site.dtype(0), Some(shape))])
    },
    axes: |site| {
        let pins = " _".repeat(site.result_shape(0)?.len().checked_sub(1)?);
        Some(AxisRule::new(format!("n _ _, _* -> n{pins}")).why("a matrix transforms points"))
    },
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    ..Rule::OPAQUE
};

/// Cuts off or fills up with zeros, as much at either end, to the given lengths of `axes`.
const CENTER_CROP_PAD: Rule = Rule {
    infer: |site| {
        let Some(x) = site.shape(0) else { return Ok(vec![Fact::maybe(site.dtype(0), None)]) };
        let (axes, mut shape) = (cropped(site, x.len())?, x.to_vec());
        let lengths = site.dims(1);
        if let Some(v) = lengths.as_ref().filter(|v| v.len() != axes.len()) {
            return Err(format!("{} lengths for {} axes", v.len(), axes.len()));
        }
        for (i, &axis) in axes.iter().enumerate() {
            shape[axis] = lengths.as_ref().map_or_else(|| site.unknown(), |v| v[i].clone());
        }
        Ok(vec![Fact::maybe(site.dtype(0), Some(shape))])
    },
    axes: |site| {
        let rank = site.rank(0)?;
        let axes = cropped(site, rank).ok()?;
        let labels = row(rank, |i| if axes.contains(&i) { "_".into() } else { format!("a{i}") });
        Some(AxisRule::new(format!("{labels}, _* -> {labels}")).why("it is cropped or padded"))
    },
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    lower: lower::resize::center,
    ..Rule::OPAQUE
};

/// The axes that CenterCropPad speaks of: all, unless it says which.
pub(super) fn cropped(site: &Site, rank: usize) -> Result<Vec<usize>, String> {
    match site.call.ints("axes") {
        Some(_) if rank == 0 => Err("a scalar has no axes".into()),
        Some(axes) => axes.iter().map(|&a| normalize_axis(a, rank)).collect(),
        None => Ok((0..rank).collect()),
    }
}

/// What an axis becomes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum AxisTarget {
    /// The axis is not spoken of.
    Same,
    Scale(f64),
    Size(Dim),
    /// The size follows from others by the aspect ratio.
    Ratio(Option<Dim>),
    Unknown,
}

/// What every axis becomes, and how we know.
pub(super) struct Targets {
    pub axes: Vec<AxisTarget>,
    /// The operand of sizes, and the axes that its elements are for.
    pub sizes: Option<(usize, Vec<usize>)>,
}

impl Targets {
    /// `None` where the rank, or whether scales or sizes are given, is not known.
    pub(super) fn of(site: &Site) -> Result<Option<Targets>, String> {
        let Some(rank) = site.rank(0) else { return Ok(None) };
        let spoken = match site.call.ints("axes") {
            Some(axes) => axes.iter().map(|&a| normalize_axis(a, rank)).collect::<Result<Vec<_>, _>>()?,
            None => (0..rank).collect(),
        };
        if spoken.iter().any(|&a| a >= rank) {
            return Err("a scalar has no axes to resize".into());
        }
        let (listed, sizes) = match given(site) {
            Given::Sizes(slot) => (sizes(site, slot, &spoken)?, Some((slot, spoken.clone()))),
            Given::Scales(scales) => {
                (scales.into_iter().map(|s| s.map_or(AxisTarget::Unknown, AxisTarget::Scale)).collect(), None)
            }
            Given::Unknown => return Ok(None),
        };
        if listed.len() != spoken.len() {
            return Err(format!("{} scales or sizes for {} axes", listed.len(), spoken.len()));
        }
        let mut axes = vec![AxisTarget::Same; rank];
        spoken.iter().zip(listed).for_each(|(&axis, target)| axes[axis] = target);
        Ok(Some(Targets { axes, sizes }))
    }
}

enum Given {
    Scales(Vec<Option<f64>>),
    Sizes(usize),
    Unknown,
}

/// Opset 7 has scales as an attribute, 9 and 10 as operand 1, and from 11 on as operand 2, with sizes as operand 3.
fn given(site: &Site) -> Given {
    if let Some(Attribute::Floats(v)) = site.call.attributes.get("scales") {
        return Given::Scales(v.iter().map(|&x| Some(f64::from(x))).collect());
    }
    if site.call.has("height_scale") {
        let scale = |name: &str| Some(f64::from(site.call.float(name, 1.0)));
        return Given::Scales(vec![Some(1.0), Some(1.0), scale("height_scale"), scale("width_scale")]);
    }
    let scales = if site.call.op == "Upsample" || site.opset < 11 { 1 } else { 2 };
    let is_empty = |slot: usize| site.shape(slot) == Some(&[Dim::Fixed(0)]);
    if scales == 2 && site.has(3) && !is_empty(3) {
        return Given::Sizes(3);
    }
    if is_empty(scales) {
        return Given::Unknown;
    }
    let number = |e: &Element| if let Element::Float(x) = e { Some(*x) } else { None };
    match (&site.fact(scales).content, site.dim(scales, 0).and_then(Dim::size)) {
        (Some(content), _) => Given::Scales(content.0.iter().map(number).collect()),
        (None, Some(count)) if count <= 16 => Given::Scales(vec![None; count]),
        _ => Given::Unknown,
    }
}

fn sizes(site: &Site, slot: usize, spoken: &[usize]) -> Result<Vec<AxisTarget>, String> {
    let Some(content) = &site.fact(slot).content else { return Ok(vec![AxisTarget::Unknown; spoken.len()]) };
    let policy = site.call.string("keep_aspect_ratio_policy", "stretch");
    if content.0.len() == spoken.len() && policy != "stretch" {
        let dims: Option<Vec<(i64, i64)>> =
            content.0.iter().zip(spoken).map(|(e, &axis)| fixed(site, e, axis)).collect();
        return Ok(match dims {
            Some(dims) => keep_ratio(&dims, policy == "not_larger"),
            None => vec![AxisTarget::Ratio(None); spoken.len()],
        });
    }
    let target = |e: &Element| if let Element::Int(d) = e { AxisTarget::Size(d.clone()) } else { AxisTarget::Unknown };
    Ok(content.0.iter().map(target).collect())
}

/// The wanted and the present length of an axis.
fn fixed(site: &Site, wanted: &Element, axis: usize) -> Option<(i64, i64)> {
    let Element::Int(wanted) = wanted else { return None };
    Some((wanted.fixed()?, site.dim(0, axis)?.fixed()?))
}

/// One scale for all axes: the smallest or largest of wanted / present, lengths rounded half up.
fn keep_ratio(dims: &[(i64, i64)], smallest: bool) -> Vec<AxisTarget> {
    let scales = dims.iter().filter(|d| d.1 > 0).map(|d| d.0 as f64 / d.1 as f64);
    let scale = scales.reduce(|a, b| if smallest { a.min(b) } else { a.max(b) });
    let length = |d: &(i64, i64)| scale.map(|s| Dim::Fixed((s * d.1 as f64 + 0.5).floor() as i64));
    dims.iter().map(|d| AxisTarget::Ratio(length(d))).collect()
}

/// The length that an axis gets.
fn length(site: &Site, d: &Dim, to: &AxisTarget) -> Dim {
    match to {
        AxisTarget::Same => d.clone(),
        AxisTarget::Size(s) | AxisTarget::Ratio(Some(s)) => s.clone(),
        AxisTarget::Ratio(None) | AxisTarget::Unknown => site.unknown(),
        // The operator crops to a region of interest first.
        AxisTarget::Scale(_) if crops(site) => site.unknown(),
        AxisTarget::Scale(s) if *s == 1.0 => d.clone(),
        AxisTarget::Scale(s) => match d.fixed() {
            // Run times multiply in single precision.
            Some(n) => Dim::Fixed((n as f32 * *s as f32).floor() as i64),
            None if s.fract() == 0.0 && *s >= 1.0 => d.clone() * Dim::Fixed(*s as i64),
            None => site.unknown(),
        },
    }
}

fn crops(site: &Site) -> bool {
    site.call.string("coordinate_transformation_mode", "") == "tf_crop_and_resize"
}

/// Which axes keep each element where it is; `None` where that is not known of any.
fn passed_through(site: &Site) -> Option<Vec<bool>> {
    let nearest = site.call.string("nearest_mode", "round_prefer_floor");
    let shifts = site.call.string("coordinate_transformation_mode", "") == "tf_half_pixel_for_nn"
        && !matches!(nearest, "floor" | "round_prefer_floor");
    if crops(site) || shifts {
        return None;
    }
    let (x, targets) = (site.shape(0)?, Targets::of(site).ok()??);
    let same = |(d, to): (&Dim, &AxisTarget)| match to {
        AxisTarget::Same => true,
        AxisTarget::Scale(s) => *s == 1.0,
        AxisTarget::Size(s) => s == d,
        AxisTarget::Ratio(_) | AxisTarget::Unknown => false,
    };
    Some(x.iter().zip(&targets.axes).map(same).collect())
}

/// Sizes repeat the lengths of the axes that pass through.
fn refit_sizes(site: &Site, cut: &CutSizes) -> Result<Refit, String> {
    let Some((slot, spoken)) = Targets::of(site)?.and_then(|t| t.sizes) else { return Ok(Refit::default()) };
    let (Some(before), Some(after)) = (site.result_shape(0), cut.result(0)) else { return Ok(Refit::default()) };
    if spoken.iter().all(|&axis| before.get(axis) == after.get(axis)) {
        return Ok(Refit::default());
    }
    let content = spoken.iter().map(|&axis| after.get(axis).cloned()).collect::<Option<Vec<_>>>();
    Ok(Refit::default().operand(slot, content.ok_or("the result of a Resize lost its rank")?))
}

#[cfg(test)]
mod tests {
    use crate::ops::testing::{Case, show};
    use insta::assert_snapshot;

    #[test]
    fn scales_of_every_opset() {
        assert_snapshot!(
            show("Upsample", 7, "scales=[1.0,1.0,2.0,2.0]", &["=2 8 5 5"]),
            @"[c0:2, c1:8, 5, 5] -> f32[c0:2, c1:8, 10, 10]"
        );
        assert_snapshot!(
            show("Upsample", 1, "height_scale=2.0 width_scale=1.5", &["=2 8 5 5"]),
            @"[c0:2, c1:8, 5, 5] -> f32[c0:2, c1:8, 10, 7]"
        );
        assert_snapshot!(
            show("Upsample", 9, "", &["=2 8 5 5", "=[1 1 2 2]"]),
            @"[c0:2, c1:8, 5, 5], [4] -> f32[c0:2, c1:8, 10, 10]"
        );
        assert_snapshot!(
            show("Resize", 10, "", &["N 8 H 5", "=[1 1 2 0.5]"]),
            @"[N, 8, H, 5], [4] -> f32[N, 8, 2*H, 2]"
        );
        assert_snapshot!(
            show("Resize", 13, "", &["=2 8 5 5", "", "=[1 1 2 2]"]),
            @"[c0:2, c1:8, 5, 5], -, [4] -> f32[c0:2, c1:8, 10, 10]"
        );
        assert_snapshot!(
            show("Resize", 11, "", &["=2 8 5 5", "=0", "=[1 1 2 2]"]),
            @"[c0:2, c1:8, 5, 5], [0], [4] -> f32[c0:2, c1:8, 10, 10]"
        );
        assert_snapshot!(
            show("Resize", 18, "axes=[2,-1]", &["=2 8 5 5", "", "=[2 2]"]),
            @"[c0:2, c1:8, 5, 5], -, [2] -> f32[c0:2, c1:8, 10, 10]"
        );
        assert_snapshot!(show("Resize", 13, "", &["=2 8 5 5", "", "=[1 2]"]), @"error: 2 scales or sizes for 4 axes");
        assert_snapshot!(
            show("Resize", 13, "", &["=2 8 5 5", "", "4"]),
            @"[2, 8, 5, 5], -, [4] -> f32[?0, ?1, ?2, ?3]"
        );
        assert_snapshot!(
            show("Resize", 18, "axes=[4]", &["=2 8 5 5", "", "=[2]"]),
            @"error: axis 4 of a tensor of rank 4"
        );
    }

    #[test]
    fn sizes_of_every_opset() {
        let case = Case::new("Resize", 13, "", &["=2 8 5 5", "", "", "=i64[2 8 10 10]"], 1);
        assert_snapshot!(case.show(), @"[c0:2, c1:8, 5, 5], -, -, [4] -> f32[c0:2, c1:8, 10, 10]");
        assert_snapshot!(case.refit("a1", &[0, 3, 4]), @"#3=[2, 3, 10, 10]");
        let case = Case::new("Resize", 18, "axes=[2,3]", &["=2 8 5 5", "", "", "=i64[10 10]"], 1);
        assert_snapshot!(case.show(), @"[c0:2, c1:8, 5, 5], -, -, [2] -> f32[c0:2, c1:8, 10, 10]");
        assert_snapshot!(case.refit("a1", &[0, 3, 4]), @"");
        let ratio = |policy: &str| {
            let attributes = format!("axes=[2,3] keep_aspect_ratio_policy={policy}");
            show("Resize", 18, &attributes, &["=2 8 5 10", "", "", "=i64[7 20]"])
        };
        assert_snapshot!(ratio("not_larger"), @"[c0:2, c1:8, 5, 10], -, -, [2] -> f32[c0:2, c1:8, 7, 14]");
        assert_snapshot!(ratio("not_smaller"), @"[c0:2, c1:8, 5, 10], -, -, [2] -> f32[c0:2, c1:8, 10, 20]");
        assert_snapshot!(
            show("Resize", 13, "", &["=2 8 5 5", "", "", "i64:4"]),
            @"[2, 8, 5, 5], -, -, [4] -> f32[?0, ?1, ?2, ?3]"
        );
        assert_snapshot!(show("Resize", 13, "", &["?", "", "", "i64:4"]), @"[..], -, -, [4] -> f32[..]");
    }

    #[test]
    fn modes_that_move_samples() {
        let mode = |attributes: &str| show("Resize", 11, attributes, &["=2 8 5 5", "=0", "=[1 1 2 2]"]);
        assert_snapshot!(
            mode("coordinate_transformation_mode=tf_crop_and_resize"),
            @"[2, 8, 5, 5], [0], [4] -> f32[?0, ?1, ?2, ?3]"
        );
        assert_snapshot!(
            mode("coordinate_transformation_mode=tf_half_pixel_for_nn nearest_mode=ceil"),
            @"[2, 8, 5, 5], [0], [4] -> f32[2, 8, 10, 10]"
        );
        assert_snapshot!(
            mode("coordinate_transformation_mode=tf_half_pixel_for_nn nearest_mode=floor"),
            @"[c0:2, c1:8, 5, 5], [0], [4] -> f32[c0:2, c1:8, 10, 10]"
        );
    }

    #[test]
    fn identities() {
        assert!(Case::new("Resize", 11, "", &["N 8 5 5", "", "=[1 1 1 1]"], 1).is_identity());
        assert!(!Case::new("Resize", 11, "", &["N 8 5 5", "", "=[1 1 1 2]"], 1).is_identity());
    }

    #[test]
    fn grids() {
        assert_snapshot!(
            show("GridSample", 16, "", &["=2 8 5 5", "=2 7 9 2"]),
            @"[c0:2, c1:8, 5, 5], [c0:2, 7, 9, 2] -> f32[c0:2, c1:8, 7, 9]"
        );
        assert_snapshot!(
            show("GridSample", 20, "", &["=2 8 5 5", "=2 7 2"]),
            @"error: a grid of rank 3 for an input of rank 4"
        );
    }

    #[test]
    fn grids_of_points() {
        let grid = |operands: &[&str]| show("AffineGrid", 20, "", operands);
        assert_snapshot!(grid(&["=4 2 3", "=i64[4 3 8 9]"]), @"[c0:4, 2, 3], [4] -> f32[c0:4, 8, 9, 2]");
        assert_snapshot!(grid(&["=4 3 4", "i64:5"]), @"[c0:4, 3, 4], [5] -> f32[c0:4, ?0, ?1, ?2, 3]");
        assert_snapshot!(grid(&["=4 2 3", "=i64[4 3 8]"]), @"error: a size of 3 axes for 2");
        assert_snapshot!(grid(&["1 1000000000000 3", "i64:k"]), @"error: points of 1000000000000 coordinates");
    }

    #[test]
    fn crops_around_the_centre() {
        let crop = |attributes: &str, operands: &[&str]| show("CenterCropPad", 18, attributes, operands);
        assert_snapshot!(crop("axes=[-1,1]", &["=20 8 6", "=i64[4 10]"]), @"[c0:20, 8, 6], [2] -> f32[c0:20, 10, 4]");
        assert_snapshot!(crop("", &["=20 8", "i64:2"]), @"[20, 8], [2] -> f32[?0, ?1]");
        assert_snapshot!(crop("axes=[0]", &["=20 8", "=i64[1 2]"]), @"error: 2 lengths for 1 axes");
    }
}
