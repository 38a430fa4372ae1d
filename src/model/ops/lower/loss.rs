//! Losses.

use crate::ops::Site;
use crate::program::{Args, Compare, NumberKind, Term};

/// NegativeLogLikelihoodLoss: logarithms of shares, targets, weights of classes.
pub(crate) fn likelihood<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    Ok(vec![reduced(site, at, at.at(0)?)?])
}

/// SoftmaxCrossEntropyLoss: scores, targets, weights of classes; then the logarithms of shares.
pub(crate) fn cross_entropy<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let shares = at.at(0)?.log_softmax(&[1]);
    Ok(vec![reduced(site, at, shares)?, shares])
}

/// `-x[n, target[n, d], d]`, weighted, and zero where the target is to be ignored.
fn reduced<'b>(site: &Site, at: &Args<'b>, x: Term<'b>) -> Result<Term<'b>, String> {
    let mut target = at.at(1)?;
    let ones = vec![1; target.rank()];
    let mut counted = None;
    if site.call.has("ignore_index") {
        let ignored = at.builder.ints(vec![site.call.int("ignore_index", 0)], &ones);
        let skip = target.compare(Compare::Equal, ignored);
        // What is ignored need not be a class.
        target = skip.select(at.builder.ints(vec![0], &ones), target);
        counted = Some((!skip).cast(NumberKind::Float));
    }
    let picked = x.take_along(1, target.unsqueeze(1)).squeeze(&[1]);
    let classes = at.get(2).map(|w| w.take(0, target.reshape(&[target.count()])).reshape(&target.shape()));
    let weights = match (classes, counted) {
        (Some(w), Some(c)) => Some(w * c),
        (w, c) => w.or(c),
    };
    let loss = weights.map_or(-picked, |w| -picked * w);
    Ok(match site.call.string("reduction", "mean") {
        "none" => loss,
        "sum" => loss.total(),
        "mean" => match weights {
            Some(w) => loss.total() / w.total(),
            None => loss.total() / loss.count() as f64,
        },
        other => return Err(format!("the reduction {other:?} is not known")),
    })
}

#[cfg(test)]
#[cfg(all(feature = "tract", feature = "gradients"))]
mod tests {
    use crate::autograd::testing::{Trial, close};
    use crate::ir::{DType, Tensor};

    fn tensor(dtype: DType, shape: &[usize], v: &[f64]) -> Tensor {
        Tensor::from_f64(dtype, shape.to_vec(), v).unwrap()
    }

    #[test]
    fn of_logarithms() {
        let loss = |attributes: &str, weights: &str| {
            let trial = Trial::new("NegativeLogLikelihoodLoss", 13, attributes, &["3 2", "i64:3", weights], 1)
                .with("x0", tensor(DType::F32, &[3, 2], &[-1.0, -2.0, -3.0, -4.0, -5.0, -6.0]))
                .with("x1", tensor(DType::I64, &[3], &[0.0, 1.0, 0.0]));
            trial.check_derivative();
            trial.run()[0].1.to_f64().unwrap()
        };
        close("mean", &[10.0 / 3.0], &loss("", ""), 1e-6);
        close("none", &[1.0, 4.0, 5.0], &loss("reduction=none", ""), 1e-6);
        close("sum", &[14.0], &loss("reduction=sum", "=[1 2]"), 1e-6);
        close("weighted", &[14.0 / 4.0], &loss("", "=[1 2]"), 1e-6);
        close("ignored", &[4.0], &loss("ignore_index=0", "=[1 2]"), 1e-6);
    }

    #[test]
    fn of_scores() {
        let operands = ["2 3 4", "i64:2 4", "=3"];
        let trial = |reduction: &str| {
            let attributes = format!("reduction={reduction} ignore_index=-7");
            let target = tensor(DType::I64, &[2, 4], &[0.0, 1.0, 2.0, -7.0, 2.0, 2.0, 1.0, 0.0]);
            Trial::within("SoftmaxCrossEntropyLoss", 13, &attributes, &operands, 2, 0.5, 1.5).with("x1", target)
        };
        for reduction in ["mean", "sum", "none"] {
            trial(reduction).check_derivative();
        }
        let even = trial("none").with("x0", tensor(DType::F32, &[2, 3, 4], &[0.5; 24]));
        let even = even.with("x2", tensor(DType::F32, &[3], &[1.0, 2.0, 0.0]));
        let third = 3.0_f64.ln();
        let expected = [1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 2.0, 1.0].map(|w| w * third);
        close("even", &expected, &even.run()[0].1.to_f64().unwrap(), 1e-6);
    }
}
