//! Resampling: along each axis a product with a matrix of weights, or a choice of elements.

use crate::ops::Site;
use crate::ops::resize::{AxisTarget, Targets, cropped};
use crate::program::{Args, Span, Term};

/// Resize and Upsample, axis by axis.
pub(crate) fn resize<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let x = at.at(0)?;
    let targets = Targets::of(site)?.ok_or("its scales are not known")?;
    let sampling = Sampling::of(site)?;
    let shape = site.result_shape(0).ok_or("its shape is not known")?;
    let mut y = x;
    for (axis, target) in targets.axes.iter().enumerate() {
        let (before, after) = (x.size(axis), shape[axis].size().ok_or("its shape is not known")?);
        let scale = match target {
            AxisTarget::Same => continue,
            AxisTarget::Scale(s) => *s as f32,
            AxisTarget::Ratio(_) => common_scale(site, &targets).ok_or("its scales are not known")?,
            AxisTarget::Size(_) => after as f32 / before.max(1) as f32,
            AxisTarget::Unknown => return Err("its scales are not known before the run".into()),
        };
        let line = Line { before, after, scale };
        y = match sampling.kind {
            Kind::Nearest => chosen(y, axis, &line.nearest(&sampling)),
            Kind::Linear | Kind::Cubic => mixed(y, axis, &line.weights(&sampling), after),
        };
    }
    Ok(vec![y])
}

/// CenterCropPad: cut off, or filled up with zeros, as much at either end.
pub(crate) fn center<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let mut y = at.at(0)?;
    let shape = site.result_shape(0).ok_or("its shape is not known")?;
    let mut widths = vec![(0, 0); y.rank()];
    for axis in cropped(site, y.rank())? {
        let (before, after) = (y.size(axis), shape[axis].size().ok_or("its shape is not known")?);
        match before >= after {
            true => y = y.narrow(axis, (before - after) / 2, after),
            false => widths[axis] = ((after - before) / 2, (after - before).div_ceil(2)),
        }
    }
    Ok(vec![y.pad(&widths, 0.0)])
}

/// The one scale where the aspect ratio is kept: the smallest or largest of wanted by present lengths.
fn common_scale(site: &Site, targets: &Targets) -> Option<f32> {
    let (slot, spoken) = targets.sizes.as_ref()?;
    let smallest = site.call.string("keep_aspect_ratio_policy", "") == "not_larger";
    let scale = |(wanted, &axis): (i64, &usize)| Some(wanted as f32 / site.dim(0, axis)?.fixed()? as f32);
    let scales: Option<Vec<f32>> = site.ints(*slot)?.into_iter().zip(spoken).map(scale).collect();
    scales?.into_iter().reduce(|a, b| if smallest { a.min(b) } else { a.max(b) })
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Nearest,
    Linear,
    Cubic,
}

/// How samples are taken.
struct Sampling {
    kind: Kind,
    coordinates: String,
    rounding: String,
    /// The parameter of cubic interpolation.
    cubic: f64,
    /// Whether samples beyond the ends have no weight, instead of being what is at the end.
    inside_only: bool,
}

impl Sampling {
    fn of(site: &Site) -> Result<Sampling, String> {
        let old = site.call.op == "Upsample" || site.opset < 11;
        let (coordinates, rounding) = if old { ("asymmetric", "simple") } else { ("half_pixel", "round_prefer_floor") };
        let kind = match site.call.string("mode", "nearest") {
            "nearest" => Kind::Nearest,
            // The first version's names.
            "linear" | "bilinear" => Kind::Linear,
            "cubic" => Kind::Cubic,
            other => return Err(format!("the mode {other:?} is not supported")),
        };
        let coordinates = site.call.string("coordinate_transformation_mode", coordinates);
        if coordinates == "tf_crop_and_resize" {
            return Err("cropping to a region (`tf_crop_and_resize`) is not supported".into());
        }
        if site.call.int("antialias", 0) != 0 {
            return Err("`antialias` is not supported".into());
        }
        Ok(Sampling {
            kind,
            coordinates: coordinates.to_owned(),
            rounding: site.call.string("nearest_mode", rounding).to_owned(),
            cubic: site.call.float("cubic_coeff_a", -0.75).into(),
            inside_only: site.call.int("exclude_outside", 0) != 0,
        })
    }
}

/// An axis that is resampled.
struct Line {
    before: usize,
    after: usize,
    scale: f32,
}

impl Line {
    /// Where a sample lies, in single precision, as run times count.
    fn place(&self, sampling: &Sampling, at: usize) -> f32 {
        let (o, before, after) = (at as f32, self.before as f32, self.after as f32);
        let half = (o + 0.5) / self.scale - 0.5;
        match sampling.coordinates.as_str() {
            "asymmetric" => o / self.scale,
            "align_corners" if self.after == 1 => 0.0,
            "align_corners" => o * (before - 1.0) / (after - 1.0),
            "pytorch_half_pixel" if self.after == 1 => 0.0,
            "tf_half_pixel_for_nn" => (o + 0.5) / self.scale,
            "half_pixel_symmetric" => before / 2.0 * (1.0 - after / (self.scale * before)) + half,
            _ => half,
        }
    }

    /// The element that is nearest to each sample.
    fn nearest(&self, sampling: &Sampling) -> Vec<i64> {
        let near = |at: usize| {
            let x = self.place(sampling, at);
            let rounded = match sampling.rounding.as_str() {
                "floor" => x.floor(),
                "ceil" => x.ceil(),
                "round_prefer_ceil" => (x + 0.5).floor(),
                // Before modes were named: down where it grows, up where it shrinks.
                "simple" if self.scale < 1.0 => x.ceil(),
                "simple" => x.trunc(),
                _ => (x - 0.5).ceil(),
            };
            (rounded as i64).clamp(0, self.before as i64 - 1)
        };
        (0..self.after).map(near).collect()
    }

    /// For each sample the weight of each element.
    fn weights(&self, sampling: &Sampling) -> Vec<f64> {
        let last = self.before as i64 - 1;
        let mut matrix = vec![0.0; self.after * self.before];
        for (at, row) in matrix.chunks_exact_mut(self.before.max(1)).enumerate() {
            let x = self.place(sampling, at);
            let taps = taps(sampling, f64::from(x - x.floor()));
            let first = x.floor() as i64 - (taps.len() as i64 / 2 - 1);
            for (tap, weight) in (first..).zip(taps) {
                if !sampling.inside_only || (0..=last).contains(&tap) {
                    row[tap.clamp(0, last) as usize] += weight;
                }
            }
            let total: f64 = row.iter().sum();
            if sampling.inside_only && total != 0.0 {
                row.iter_mut().for_each(|w| *w /= total);
            }
        }
        matrix
    }
}

/// The weights of the elements around a sample that lies so far behind the middle pair's first.
fn taps(sampling: &Sampling, part: f64) -> Vec<f64> {
    if sampling.kind == Kind::Linear {
        return vec![1.0 - part, part];
    }
    let a = sampling.cubic;
    let near = |t: f64| ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0;
    let far = |t: f64| ((a * t - 5.0 * a) * t + 8.0 * a) * t - 4.0 * a;
    vec![far(part + 1.0), near(part), near(1.0 - part), far(2.0 - part)]
}

/// Elements along an axis. Where each is repeated as often as the others, that is said, for it is quicker.
fn chosen<'b>(x: Term<'b>, axis: usize, indices: &[i64]) -> Term<'b> {
    let (mut shape, before, after) = (x.shape(), x.size(axis), indices.len());
    let times = after / before.max(1);
    if times * before == after && indices.iter().enumerate().all(|(i, &at)| at == (i / times) as i64) {
        shape.insert(axis + 1, times);
        let repeated = x.unsqueeze(axis + 1).expand(&shape);
        shape[axis] = after;
        shape.remove(axis + 1);
        return repeated.reshape(&shape);
    }
    let step = indices.get(1).map_or(1, |second| second - indices[0]);
    if step > 0 && indices.windows(2).all(|w| w[1] - w[0] == step) {
        let mut spans: Vec<Span> = shape.into_iter().map(|count| Span { start: 0, count, step: 1 }).collect();
        spans[axis] = Span { start: indices[0] as usize, count: after, step: step as isize };
        return x.slice(&spans);
    }
    x.take(axis, x.builder().ints(indices.to_vec(), &[after]))
}

/// Sums of elements along an axis, by a matrix with so many rows.
fn mixed<'b>(x: Term<'b>, axis: usize, matrix: &[f64], after: usize) -> Term<'b> {
    let (mut shape, before) = (x.shape(), x.size(axis));
    let straight = |(i, &w): (usize, &f64)| w == if i / before == i % before { 1.0 } else { 0.0 };
    if before == after && matrix.iter().enumerate().all(straight) {
        return x;
    }
    let weights = x.builder().floats(matrix.to_vec(), &[after, before]);
    let lead: usize = shape[..axis].iter().product();
    let rest: usize = shape[axis + 1..].iter().product();
    shape[axis] = after;
    match rest {
        1 => x.reshape(&[lead, before]).matmul(weights.swap(0, 1)).reshape(&shape),
        _ => weights.matmul(x.reshape(&[lead, before, rest])).reshape(&shape),
    }
}

#[cfg(test)]
#[cfg(all(feature = "tract", feature = "gradients"))]
mod tests {
    use crate::autograd::testing::{Trial, close};
    use crate::ir::{DType, Tensor};

    fn resize(attributes: &str, scales: &str, x: &[f64]) -> Vec<f64> {
        let shape = format!("1 1 {}", x.len());
        let x = Tensor::from_f64(DType::F32, vec![1, 1, x.len()], x).unwrap();
        let trial = Trial::new("Resize", 19, attributes, &[&shape, "", scales], 1).with("x0", x);
        trial.check_derivative();
        trial.run()[0].1.to_f64().unwrap()
    }

    #[test]
    fn in_the_plane() {
        let trial = |attributes: &str, scales: &str| {
            Trial::new("Resize", 13, attributes, &["1 2 4 6", "", &format!("=[1 1 {scales}]")], 1)
        };
        trial("mode=nearest coordinate_transformation_mode=asymmetric nearest_mode=floor", "2 3").check();
        trial("mode=nearest", "0.5 1.5").check_derivative();
        for coordinates in ["half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"] {
            trial(&format!("mode=linear coordinate_transformation_mode={coordinates}"), "2 1.5").check();
        }
        trial("mode=cubic", "2 0.5").check();
        Trial::new("Upsample", 9, "mode=linear", &["1 2 3 4", "=[1 1 2 2]"], 1).check_derivative();
        Trial::new("Resize", 13, "mode=linear", &["1 2 4 6", "", "", "=i64[1 2 7 3]"], 1).check();
    }

    #[test]
    fn the_nearest() {
        let nearest = |attributes: &str, scales: &str| {
            resize(&format!("mode=nearest {attributes}"), scales, &[0.1, 1.1, 2.1, 3.1])
        };
        close("half", &[0.1, 2.1], &nearest("", "=[1 1 0.5]"), 1e-6);
        close("ceil", &[1.1, 3.1], &nearest("nearest_mode=ceil", "=[1 1 0.5]"), 1e-6);
        close("prefer", &[1.1, 3.1], &nearest("nearest_mode=round_prefer_ceil", "=[1 1 0.5]"), 1e-6);
        let corners = "coordinate_transformation_mode=align_corners";
        close("corners", &[0.1, 1.1, 1.1, 2.1, 2.1, 3.1], &nearest(corners, "=[1 1 1.5]"), 1e-6);
        let old = Tensor::from_f64(DType::F32, vec![1, 4], &[0.0, 1.0, 2.0, 3.0]).unwrap();
        let old = |scale: &str| Trial::new("Resize", 10, "", &["1 4", scale], 1).with("x0", old.clone());
        assert_eq!(old("=[1 2]").run()[0].1.to_f64().unwrap(), [0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0]);
        assert_eq!(old("=[1 0.75]").run()[0].1.to_f64().unwrap(), [0.0, 2.0, 3.0]);
    }

    #[test]
    fn mixtures() {
        let x = [1.0, 2.0, 3.0, 4.0];
        close("down", &[1.5, 3.5], &resize("mode=linear", "=[1 1 0.5]", &x), 1e-6);
        // From the standard's examples.
        let symmetric = resize("mode=linear coordinate_transformation_mode=half_pixel_symmetric", "=[1 1 0.6]", &x);
        close("symmetric", &[1.6666667, 3.3333333], &symmetric, 1e-6);
        let inside = resize("mode=cubic exclude_outside=1 cubic_coeff_a=-0.5", "=[1 1 2]", &x);
        close("ends", &[inside[0], inside[7]], &[5.0 - inside[7], 5.0 - inside[0]], 1e-6);
        close("middle", &[2.25, 2.75], &inside[3..5], 1e-6);
    }

    #[test]
    fn with_one_scale_for_all() {
        let attributes = "mode=linear axes=[1,2] keep_aspect_ratio_policy=not_larger";
        Trial::new("Resize", 18, attributes, &["1 4 6", "", "", "=i64[7 7]"], 1).check_derivative();
    }

    #[test]
    fn around_the_middle() {
        let trial = Trial::new("CenterCropPad", 18, "axes=[0,1]", &["3 2", "=i64[2 5]"], 1);
        let x = Tensor::from_f64(DType::F32, vec![3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        let trial = trial.with("x0", x);
        trial.check_derivative();
        let expected = [0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 3.0, 4.0, 0.0, 0.0];
        assert_eq!(trial.run()[0].1.to_f64().unwrap(), expected);
    }
}
