//! Slices moved about.

use super::result_shape;
use crate::ops::Site;
use crate::program::{Args, NumberKind, Span, Term};

/// Parts one behind the other; empty ones add nothing.
pub(crate) fn joined<'b>(parts: Vec<Term<'b>>, axis: usize) -> Result<Vec<Term<'b>>, String> {
    let first = *parts.first().ok_or("it joins nothing")?;
    let full: Vec<Term> = parts.into_iter().filter(|t| t.size(axis) > 0).collect();
    Ok(vec![if full.is_empty() { first } else { Term::concat(&full, axis) }])
}

/// Parts of one axis, as long as the results are.
pub(crate) fn parts<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let x = at.at(0)?;
    let axis = site.axis("axis", 0, x.rank())?;
    let size = |port| result_shape(site, port).map(|s| s[axis]);
    let sizes: Vec<usize> = (0..site.call.results.len()).map(size).collect::<Result<_, _>>()?;
    Ok(x.split(axis, &sizes))
}

/// So many elements before and behind each axis; negative ones are taken away.
pub(crate) fn padded<'b>(
    x: Term<'b>,
    margins: &[(i64, i64)],
    mode: &str,
    value: Option<f64>,
) -> Result<Vec<Term<'b>>, String> {
    if mode != "constant" {
        return mirrored(x, margins, mode).map(|t| vec![t]);
    }
    let value = value.ok_or("the number that it pads with is computed at run time")?;
    let spans: Vec<Span> = x.shape().iter().zip(margins).map(|(&n, m)| kept(n, *m)).collect();
    let widths: Vec<(usize, usize)> = margins.iter().map(|m| (m.0.max(0) as usize, m.1.max(0) as usize)).collect();
    let kind = x.kind();
    let x = if kind == NumberKind::Bool { x.cast(NumberKind::Int) } else { x };
    Ok(vec![x.slice(&spans).pad(&widths, value).cast(kind)])
}

/// What negative margins leave.
fn kept(size: usize, (before, behind): (i64, i64)) -> Span {
    let (start, end) = ((-before).max(0) as usize, (-behind).max(0) as usize);
    Span { start, count: size.saturating_sub(start + end), step: 1 }
}

/// Margins of elements that are there already.
fn mirrored<'b>(x: Term<'b>, margins: &[(i64, i64)], mode: &str) -> Result<Term<'b>, String> {
    let mut y = x;
    for (axis, &(before, behind)) in margins.iter().enumerate().filter(|(_, m)| **m != (0, 0)) {
        let size = x.size(axis) as i64;
        let source = |i: i64| match mode {
            "edge" => Ok(i.clamp(0, size - 1)),
            "wrap" => Ok(i.rem_euclid(size)),
            "reflect" if size == 1 => Ok(0),
            "reflect" => {
                let i = i.rem_euclid(2 * (size - 1));
                Ok(i.min(2 * (size - 1) - i))
            }
            _ => Err(format!("`{mode}` is no way to pad")),
        };
        if size == 0 {
            return Err("an empty axis has nothing to repeat".into());
        }
        let indices = (-before..size + behind).map(source).collect::<Result<Vec<i64>, String>>()?;
        let count = indices.len();
        y = y.take(axis, x.builder().ints(indices, &[count]));
    }
    Ok(y)
}

/// Blocks of channels to blocks of pixels.
pub(crate) fn depth_to_space<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let (x, to) = (at.at(0)?, result_shape(site, 0)?);
    let &[n, c, h, w] = x.shape().as_slice() else { return Err("it is no image".into()) };
    let b = site.call.int("blocksize", 1).max(1) as usize;
    let depth = c / (b * b);
    let blocks = match site.call.string("mode", "DCR") {
        "CRD" => x.reshape(&[n, depth, b, b, h, w]).permute(&[0, 1, 4, 2, 5, 3]),
        _ => x.reshape(&[n, b, b, depth, h, w]).permute(&[0, 3, 4, 1, 5, 2]),
    };
    Ok(vec![blocks.reshape(&to)])
}

/// Blocks of pixels to blocks of channels.
pub(crate) fn space_to_depth<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let (x, to) = (at.at(0)?, result_shape(site, 0)?);
    let &[n, c, h, w] = x.shape().as_slice() else { return Err("it is no image".into()) };
    let b = site.call.int("blocksize", 1).max(1) as usize;
    let blocks = x.reshape(&[n, c, h / b, b, w / b, b]).permute(&[0, 3, 5, 1, 2, 4]);
    Ok(vec![blocks.reshape(&to)])
}

#[cfg(test)]
#[cfg(all(feature = "tract", feature = "gradients"))]
mod tests {
    use crate::autograd::testing::Trial;

    #[test]
    fn joined_and_split() {
        Trial::new("Concat", 13, "axis=1", &["2 3", "2 1", "=2 4"], 1).check();
        Trial::new("Concat", 13, "axis=-2", &["2 3 2", "2 1 2"], 1).check();
        Trial::new("Split", 13, "axis=1", &["2 6", "=i64[1 2 3]"], 3).check();
        Trial::new("Split", 11, "axis=1 split=[4,2]", &["2 6"], 2).check();
        Trial::new("Split", 18, "axis=0 num_outputs=2", &["5 2"], 2).check_derivative();
    }

    #[test]
    fn margins() {
        for mode in ["constant", "reflect", "edge"] {
            let attributes = format!("mode={mode}");
            Trial::new("Pad", 13, &attributes, &["2 3 4", "=i64[0 1 2 0 2 3]"], 1).check();
        }
        Trial::new("Pad", 19, "mode=wrap", &["2 3", "=i64[0 4 0 2]"], 1).check_derivative();
        Trial::new("Pad", 13, "", &["2 3", "=i64[1 0 0 2]", "=[2.5]"], 1).check_derivative();
        Trial::new("Pad", 13, "", &["2 5", "=i64[0 -1 1 -2]"], 1).check_derivative();
        Trial::new("Pad", 2, "pads=[0,1,0,2] value=1.5", &["2 3"], 1).check();
        Trial::new("Pad", 18, "", &["2 3 4", "=i64[1 2]", "", "=i64[-1]"], 1).check_derivative();
    }

    #[test]
    fn a_wrapped_margin() {
        let x = crate::ir::Tensor::from_f32(vec![3], &[1.0, 2.0, 3.0]);
        let wrapped = Trial::new("Pad", 19, "mode=wrap", &["3", "=i64[4 2]"], 1).with("x0", x).run();
        assert_eq!(wrapped[0].1.to_f64().unwrap(), [3.0, 1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0, 2.0]);
    }

    #[test]
    fn blocks() {
        Trial::new("DepthToSpace", 13, "blocksize=2", &["2 8 3 2"], 1).check();
        Trial::new("DepthToSpace", 13, "blocksize=2 mode=CRD", &["2 8 3 2"], 1).check();
        Trial::new("SpaceToDepth", 13, "blocksize=2", &["2 3 4 6"], 1).check();
    }
}
