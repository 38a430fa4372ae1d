//! Normalization over the features of each sample, or over groups of them.

use super::norm::{channels, standardized};
use crate::ops::Site;
use crate::program::{Args, NumberKind, Term};

/// LayerNormalization: `x`, a scale, a bias; then the mean and the inverse deviation.
pub(crate) fn layer<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let x = at.at(0)?;
    let (y, mean, inverse) = standardized(x, &features(site, x)?, epsilon(site, 1e-5));
    Ok(vec![affine(y, Some(at.at(1)?), at.get(2)), mean, inverse])
}

/// RMSNormalization: `x` and a scale; then the inverse root of the mean square.
pub(crate) fn rms<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let x = at.at(0)?;
    let inverse = inverse_root(x, &features(site, x)?, epsilon(site, 1e-5));
    Ok(vec![affine(x * inverse, Some(at.at(1)?), None), inverse])
}

/// The layer normalization of `x + skip + bias`: `x`, skip, gamma, beta, bias. The last result is that sum.
pub(crate) fn skip<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let sum = summed(at, 4)?;
    let (y, mean, inverse) = standardized(sum, &last(sum), epsilon(site, 1e-12));
    Ok(vec![affine(y, at.get(2), at.get(3)), mean, inverse, sum])
}

/// The RMS normalization of `x + skip + bias`: `x`, skip, gamma, bias. The last result is that sum.
pub(crate) fn skip_rms<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let sum = summed(at, 3)?;
    let inverse = inverse_root(sum, &last(sum), epsilon(site, 1e-12));
    Ok(vec![affine(sum * inverse, at.get(2), None), sum.mean(&last(sum)), inverse, sum])
}

/// The layer normalization of sums of embeddings: ids, segments, then tables of words, positions and segments, gamma,
/// beta, a mask and positions.
pub(crate) fn embedded<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let ids = at.at(0)?;
    let [batch, steps] = ids.shape()[..] else { return Err("its ids are no matrix".into()) };
    let rows = |table: Term<'b>, ids: Term<'b>| {
        let width = table.size(1);
        let rows = table.take(0, ids.reshape(&[ids.count()]));
        rows.reshape(&[ids.size(0), ids.size(1), width])
    };
    let positions = at.get(8).unwrap_or_else(|| at.builder.ints((0..steps as i64).collect(), &[1, steps]));
    let mut sum = rows(at.at(2)?, ids) + rows(at.at(3)?, positions);
    if let (Some(segments), Some(table)) = (at.get(1), at.get(4)) {
        sum = sum + rows(table, segments);
    }
    let (y, ..) = standardized(sum, &last(sum), epsilon(site, 1e-12));
    let lengths = match at.get(7) {
        Some(mask) => mask.cast(NumberKind::Int).sum(&[1]).reshape(&[batch]),
        None => at.builder.ints(vec![0; batch], &[batch]),
    };
    Ok(vec![affine(y, at.get(5), at.get(6)), lengths, sum])
}

/// GroupNormalization: `x`, a scale, a bias, by group or by channel.
pub(crate) fn group<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let (x, scale, bias) = (at.at(0)?, at.at(1)?, at.at(2)?);
    let groups = site.call.int("num_groups", 1).max(1) as usize;
    let shape = x.shape();
    let rows = [shape[0], groups, x.count() / (shape[0] * groups).max(1)];
    let (y, ..) = standardized(x.reshape(&rows), &[2], epsilon(site, 1e-5));
    let by_channel = |v: Term<'b>| v.count() == shape[1];
    Ok(vec![match by_channel(scale) && by_channel(bias) {
        true => y.reshape(&shape) * channels(scale, x.rank())? + channels(bias, x.rank())?,
        false => (y * channels(scale, 3)? + channels(bias, 3)?).reshape(&shape),
    }])
}

fn epsilon(site: &Site, default: f32) -> f64 {
    f64::from(site.call.float("epsilon", default))
}

/// All axes from `axis` on.
fn features(site: &Site, x: Term) -> Result<Vec<usize>, String> {
    Ok((site.axis("axis", -1, x.rank())?..x.rank()).collect())
}

fn last(x: Term) -> [usize; 1] {
    [x.rank() - 1]
}

fn inverse_root<'b>(x: Term<'b>, axes: &[usize], epsilon: f64) -> Term<'b> {
    (x.square().mean(axes) + epsilon).sqrt().recip()
}

fn affine<'b>(y: Term<'b>, scale: Option<Term<'b>>, bias: Option<Term<'b>>) -> Term<'b> {
    let y = scale.map_or(y, |s| y * s);
    bias.map_or(y, |b| y + b)
}

/// `x + skip`, and a bias where there is one at this slot.
fn summed<'b>(at: &Args<'b>, bias: usize) -> Result<Term<'b>, String> {
    Ok(affine(at.at(0)? + at.at(1)?, None, at.get(bias)))
}

#[cfg(test)]
#[cfg(all(feature = "tract", feature = "gradients"))]
mod tests {
    use crate::autograd::testing::{Trial, close};
    use crate::ir::{DType, Tensor};

    #[test]
    fn layers() {
        Trial::new("LayerNormalization", 17, "", &["2 3 4", "=4", "=4"], 1).check();
        Trial::new("LayerNormalization", 17, "axis=1 epsilon=0.1", &["2 3 4", "=3 4", "=4"], 3).check_derivative();
        Trial::new("LayerNormalization", 17, "axis=1", &["2 3 4", "=3 4"], 1).check();
        Trial::new("RMSNormalization", 23, "axis=-2", &["2 3 4", "=3 4"], 1).check_derivative();
        Trial::new("SimplifiedLayerNormalization", 1, "", &["2 3 4", "=4"], 2).check_derivative();
    }

    #[test]
    fn layers_by_hand() {
        let x = Tensor::from_f64(DType::F32, vec![1, 2], &[3.0, 4.0]).unwrap();
        let results = |op: &str, operands: &[&str], count: usize| -> Vec<Vec<f64>> {
            let trial = Trial::new(op, 23, "epsilon=0.0", operands, count).with("x0", x.clone());
            trial.run().iter().map(|(_, t)| t.to_f64().unwrap()).collect()
        };
        let root = 12.5_f64.sqrt();
        let rms = results("RMSNormalization", &["1 2", "=[2 1]"], 1);
        close("rms", &[6.0 / root, 4.0 / root], &rms[0], 1e-6);
        let layer = results("LayerNormalization", &["1 2", "=[2 1]", "=[0 5]"], 3);
        close("layer", &[-2.0, 6.0], &layer[0], 1e-6);
        close("statistics", &[3.5, 2.0], &[layer[1][0], layer[2][0]], 1e-6);
    }

    #[test]
    fn sums_with_what_is_skipped() {
        let skip = |op: &str, operands: &[&str]| {
            let trial = Trial::new(&format!("com.microsoft.{op}"), 1, "epsilon=0.001", operands, 4);
            trial.check_derivative();
            let x = |at: f64| Tensor::from_f64(DType::F32, vec![1, 1, 2], &[at, 2.0 * at]).unwrap();
            let trial = trial.with("x0", x(1.0)).with("x1", x(2.0));
            trial.run()[3].1.to_f64().unwrap()
        };
        close("plain", &[3.0, 6.0], &skip("SkipLayerNormalization", &["1 1 2", "1 1 2", "=2", "=2"]), 1e-6);
        let biased = skip("SkipLayerNormalization", &["1 1 2", "1 1 2", "=2", "=2", "=[5 0]"]);
        close("biased", &[8.0, 6.0], &biased, 1e-6);
        let simple = skip("SkipSimplifiedLayerNormalization", &["1 1 2", "1 1 2", "=2", "=[5 0]"]);
        close("simple", &[8.0, 6.0], &simple, 1e-6);
    }

    #[test]
    fn embeddings() {
        let operands = ["i32:2 3", "i32:2 3", "=5 4", "=3 4", "=2 4", "=4", "=4", "i32:2 3"];
        let trial = Trial::new("com.microsoft.EmbedLayerNormalization", 1, "", &operands, 3);
        trial.check_derivative();
        let mask = Tensor::from_f64(DType::I32, vec![2, 3], &[1.0, 1.0, 0.0, 1.0, 1.0, 1.0]).unwrap();
        assert_eq!(trial.with("x7", mask).run()[1].1.to_i64().unwrap(), [2, 3]);
    }

    #[test]
    fn groups() {
        for (opset, vector) in [(18, "=2"), (21, "=6")] {
            let trial = |groups: &str| Trial::new("GroupNormalization", opset, groups, &["2 6 3 2", vector, vector], 1);
            trial("num_groups=2 epsilon=0.01").check_derivative();
        }
        // Two groups of two equal parts.
        let x = Tensor::from_f64(DType::F32, vec![1, 4, 1], &[1.0, 3.0, 10.0, 30.0]).unwrap();
        let operands = ["1 4 1", "=[1 2 3 4]", "=[0 0 0 1]"];
        let trial = Trial::new("GroupNormalization", 21, "num_groups=2 epsilon=0.0", &operands, 1).with("x0", x);
        close("y", &[-1.0, 2.0, -3.0, 5.0], &trial.run()[0].1.to_f64().unwrap(), 1e-6);
    }
}
