//! Transposed convolutions, and causal ones.

use super::{biased, flat, lifted};
use crate::ops::Site;
use crate::ops::conv::group;
use crate::ops::shared::window::list;
use crate::program::{Args, Term, Window};

/// ConvTranspose: `x`, `w`, a bias. Of the whole result a part is kept, or zeros are added behind it.
pub(crate) fn transposed<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let (x, w) = (at.at(0)?, at.at(1)?);
    let cuts = Cuts::of(site, x, w)?;
    let axes = cuts.all.len();
    let groups = group(site)?.max(1) as usize;
    // What goes at both ends need not be computed.
    let both: Vec<usize> = cuts.all.iter().map(|c| c.before.min(c.behind.max(0) as usize)).collect();
    let y = flat(x, w, |x, w| {
        let [stride, dilation] = [&cuts.stride, &cuts.dilation].map(|v| lifted(v, x.rank() - 2));
        let mut padding = vec![0; x.rank() - 2 - axes];
        padding.extend(&both);
        let extra = vec![0; padding.len()];
        x.conv_transpose(w, Window { stride, padding, dilation, groups }, extra)
    });
    let mut added = vec![(0, 0); y.rank()];
    let mut kept = y;
    for (axis, (cut, both)) in cuts.all.iter().zip(both).enumerate() {
        let rest = (kept.size(axis + 2) + both).saturating_sub(cut.before).min(cut.length);
        added[axis + 2].1 = cut.length - rest;
        kept = kept.narrow(axis + 2, cut.before - both, rest);
    }
    Ok(vec![biased(kept.pad(&added, 0.0), at.get(2))])
}

/// Which part of the whole result is kept.
struct Cuts {
    stride: Vec<usize>,
    dilation: Vec<usize>,
    all: Vec<Ends>,
}

/// What goes before and behind along an axis, negative where something is added, and what is left.
struct Ends {
    before: usize,
    behind: i64,
    length: usize,
}

impl Cuts {
    fn of(site: &Site, x: Term, w: Term) -> Result<Cuts, String> {
        let axes = x.rank() - 2;
        let numbers = |name: &str, count: usize, default: i64| list(site.call, name, count, default);
        let (stride, dilation) = (numbers("strides", axes, 1)?, numbers("dilations", axes, 1)?);
        let (extra, pads) = (numbers("output_padding", axes, 0)?, numbers("pads", 2 * axes, 0)?);
        let auto = site.call.string("auto_pad", "NOTSET");
        let given = matches!(auto, "NOTSET" | "") && !site.call.has("output_shape");
        let lengths = site.result_shape(0).ok_or("its shape is not known")?;
        let ends = |axis: usize| {
            let length = lengths[axis + 2].size().ok_or("its shape is not known")?;
            let reach = (w.size(axis + 2) as i64 - 1) * dilation[axis] + 1;
            let whole = (x.size(axis + 2) as i64 - 1) * stride[axis] + reach;
            let total = (whole + extra[axis] - length as i64).max(0);
            let before = match (given, auto) {
                (true, _) => pads[axis],
                (_, "VALID") if !site.call.has("output_shape") => 0,
                (_, "SAME_UPPER") => total / 2,
                _ => total - total / 2,
            };
            let before = usize::try_from(before).map_err(|_| "its padding is negative, which is not supported")?;
            Ok(Ends { before, behind: whole - before as i64 - length as i64, length })
        };
        let positive = |numbers: Vec<i64>| numbers.into_iter().map(|n| n.max(1) as usize).collect();
        let all = (0..axes).map(ends).collect::<Result<Vec<_>, String>>()?;
        Ok(Cuts { stride: positive(stride), dilation: positive(dilation), all })
    }
}

/// CausalConvWithState: `x`, weights, a bias, what was before; then what is kept for the next part.
pub(crate) fn causal<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let (x, w) = (at.at(0)?, at.at(1)?);
    let past = w.size(2) - 1;
    let whole = match at.get(3) {
        Some(state) => Term::concat(&[state, x], 2),
        None => x.pad(&[(0, 0), (0, 0), (past, 0)], 0.0),
    };
    let window = Window { stride: vec![1; 2], padding: vec![0; 2], dilation: vec![1; 2], groups: x.size(1) };
    let y = biased(flat(whole, w, |x, w| x.conv(w, window)), at.get(2));
    let y = match site.call.string("activation", "none") {
        "none" => y,
        "silu" | "swish" => y * y.sigmoid(),
        other => return Err(format!("the activation {other:?} is not known")),
    };
    Ok(vec![y, whole.narrow(2, x.size(2), past)])
}

#[cfg(test)]
#[cfg(all(feature = "tract", feature = "gradients"))]
mod tests {
    use crate::autograd::testing::{Trial, close};
    use crate::ir::{DType, Tensor};

    fn trial(attributes: &str, operands: &[&str]) -> Trial {
        Trial::new("ConvTranspose", 11, attributes, operands, 1)
    }

    #[test]
    fn transposed_over_one_to_three_axes() {
        trial("", &["2 3 4", "=3 2 3", "=2"]).check();
        trial("strides=[2,2] pads=[1,1,1,1]", &["2 3 3 4", "=3 2 4 4", "=2"]).check();
        trial("strides=[2,3] pads=[1,0,0,2] dilations=[1,2]", &["1 2 3 4", "=2 3 3 2"]).check();
        trial("strides=[2,2] pads=[1,1,1,1] output_padding=[1,1]", &["1 2 3 3", "=2 2 3 3"]).check();
        trial("strides=[2,2,1] pads=[1,0,1,1,0,1]", &["1 2 2 3 3", "=2 2 3 2 3"]).check();
        trial("strides=[2,2] pads=[1,1,1,1] group=2", &["1 4 3 3", "=4 3 3 3", "=6"]).check();
    }

    #[test]
    fn transposed_to_a_size() {
        let length = |attributes: &str| -> Vec<f64> {
            let x = Tensor::from_f64(DType::F32, vec![1, 1, 2], &[1.0, 10.0]).unwrap();
            let trial = trial(attributes, &["1 1 2", "1 1 3"]).with("x0", x);
            let w = Tensor::from_f64(DType::F32, vec![1, 1, 3], &[1.0, 2.0, 3.0]).unwrap();
            let trial = trial.with("x1", w);
            trial.check_derivative();
            trial.run()[0].1.to_f64().unwrap()
        };
        // The whole result is 1 2 13 20 30.
        let stride = |rest: &str| length(&format!("strides=[2] {rest}"));
        close("pads", &[2.0, 13.0, 20.0], &stride("pads=[1,1]"), 1e-6);
        close("upper", &[1.0, 2.0, 13.0, 20.0], &stride("auto_pad=SAME_UPPER"), 1e-6);
        close("lower", &[2.0, 13.0, 20.0, 30.0], &stride("auto_pad=SAME_LOWER"), 1e-6);
        close("valid", &[1.0, 2.0, 13.0, 20.0, 30.0], &stride("auto_pad=VALID"), 1e-6);
        close("shape", &[1.0, 2.0, 13.0, 20.0], &stride("auto_pad=SAME_UPPER output_shape=[4]"), 1e-6);
        close("more", &[1.0, 2.0, 13.0, 20.0, 30.0, 0.0], &stride("output_padding=[1]"), 1e-6);
    }

    #[test]
    fn causal() {
        let trial = |activation: &str| {
            let operands = ["2 3 5", "=3 1 3", "=3", "2 3 2"];
            Trial::new("CausalConvWithState", 27, &format!("activation={activation}"), &operands, 2)
        };
        trial("none").check_derivative();
        trial("silu").check_derivative();
        let x = Tensor::from_f64(DType::F32, vec![1, 1, 3], &[1.0, 2.0, 3.0]).unwrap();
        let w = Tensor::from_f64(DType::F32, vec![1, 1, 2], &[10.0, 1.0]).unwrap();
        let trial = Trial::new("CausalConvWithState", 27, "", &["1 1 3", "1 1 2"], 2).with("x0", x).with("x1", w);
        let found: Vec<Vec<f64>> = trial.run().iter().map(|(_, t)| t.to_f64().unwrap()).collect();
        close("y", &[1.0, 12.0, 23.0], &found[0], 1e-6);
        close("state", &[3.0], &found[1], 1e-6);
    }
}
