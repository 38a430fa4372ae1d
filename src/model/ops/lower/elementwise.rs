//! Activations and other functions of each element that are more than one operation.
//!
//! Branches are chosen with what they are computed from kept in range, for a derivative of infinity times zero is no
//! number. At kinks derivatives are those of PyTorch.

use crate::ops::Site;
use crate::program::{Args, Compare, Literal, Map, NumberKind, Term, kind_of};
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI};

/// A tensor of one number that broadcasts.
pub(crate) fn number<'b>(x: Term<'b>, value: f64) -> Term<'b> {
    let shape = vec![1; x.rank()];
    match x.kind() {
        NumberKind::Float => x.builder().floats(vec![value], &shape),
        _ => x.builder().ints(vec![value as i64], &shape),
    }
}

/// Whether it is above a number.
pub(crate) fn above<'b>(x: Term<'b>, value: f64) -> Term<'b> {
    number(x, value).less(x)
}

/// `max(x, 0)`.
pub(crate) fn relu(x: Term) -> Term {
    if x.kind() == NumberKind::Float { x.relu() } else { x.clamp(0.0, f64::INFINITY) }
}

/// `|x|`.
pub(crate) fn abs(x: Term) -> Term {
    if x.kind() == NumberKind::Float { x.abs() } else { x.less(number(x, 0.0)).select(-x, x) }
}

/// -1, 0 or 1.
pub(crate) fn sign(x: Term) -> Term {
    match x.kind() {
        NumberKind::Float => x.map(Map::Sign),
        kind => above(x, 0.0).cast(kind) - x.less(number(x, 0.0)).cast(kind),
    }
}

/// `x < 0 ? alpha · x : x`.
pub(crate) fn leaky_relu<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let x = at.at(0)?;
    Ok(vec![above(x, 0.0).select(x, x * f64::from(site.call.float("alpha", 0.01)))])
}

/// `x > 0 ? x : alpha · (exp(x / scale) - 1)`.
fn bent<'b>(x: Term<'b>, alpha: f64, scale: f64) -> Term<'b> {
    let below = x.clamp(f64::NEG_INFINITY, 0.0) / scale;
    above(x, 0.0).select(x, (below.exp() - 1.0) * alpha)
}

/// `x > 0 ? x : alpha · (exp(x) - 1)`.
pub(crate) fn elu<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    Ok(vec![bent(at.at(0)?, site.call.float("alpha", 1.0).into(), 1.0)])
}

/// `x > 0 ? x : alpha · (exp(x / alpha) - 1)`.
pub(crate) fn celu<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let alpha = site.call.float("alpha", 1.0).into();
    Ok(vec![bent(at.at(0)?, alpha, alpha)])
}

/// Elu times `gamma`.
pub(crate) fn selu<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    // The defaults are those of "Self-Normalizing Neural Networks" (Klambauer et al., 2017).
    let (alpha, gamma) = (site.call.float("alpha", 1.673_263_2), site.call.float("gamma", 1.050_701));
    Ok(vec![bent(at.at(0)?, alpha.into(), 1.0) * f64::from(gamma)])
}

/// `x > alpha ? x : 0`.
pub(crate) fn thresholded<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let x = at.at(0)?;
    Ok(vec![above(x, site.call.float("alpha", 1.0).into()).select(x, number(x, 0.0))])
}

/// `x · sigmoid(alpha · x)`.
pub(crate) fn swish<'b>(site: &Site, at: &Args<'b>, alpha: f32) -> Result<Vec<Term<'b>>, String> {
    Ok(vec![gate(at.at(0)?, site.call.float("alpha", alpha).into())])
}

/// `x · sigmoid(alpha · x)`.
pub(crate) fn gate<'b>(x: Term<'b>, alpha: f64) -> Term<'b> {
    x * (x * alpha).sigmoid()
}

/// Gelu as its attribute says.
pub(crate) fn gelu<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let x = at.at(0)?;
    Ok(vec![if site.call.string("approximate", "none") == "tanh" { tanh_gelu(x) } else { exact_gelu(x) }])
}

/// `x · Φ(x)`, of the normal distribution.
pub(crate) fn exact_gelu(x: Term) -> Term {
    x * ((x * FRAC_1_SQRT_2).erf() + 1.0) * 0.5
}

/// `x / 2 · (1 + tanh(√(2 / π) · (x + 0.044715 · x³)))`.
pub(crate) fn tanh_gelu(x: Term) -> Term {
    let inner = (x + x.square() * x * 0.044715) * FRAC_2_PI.sqrt();
    x * (inner.tanh() + 1.0) * 0.5
}

/// Towards zero by `bias`, and zero within `lambd` of it.
pub(crate) fn shrink<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let x = at.at(0)?;
    let (bias, reach) = (f64::from(site.call.float("bias", 0.0)), f64::from(site.call.float("lambd", 0.5)));
    let below = x.less(number(x, -reach)).select(x + bias, number(x, 0.0));
    Ok(vec![above(x, reach).select(x - bias, below)])
}

/// Whether it is infinite, in the ways that are asked for.
pub(crate) fn is_infinite<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let x = at.at(0)?;
    let is = |value: f64| x.compare(Compare::Equal, number(x, value));
    let wanted = |name: &str| site.call.int(name, 1) != 0;
    Ok(vec![match (wanted("detect_positive"), wanted("detect_negative")) {
        (true, true) => is(f64::INFINITY).or(is(f64::NEG_INFINITY)),
        (true, false) => is(f64::INFINITY),
        (false, true) => is(f64::NEG_INFINITY),
        (false, false) => x.less(x),
    }])
}

/// Limits that are computed at run time.
pub(crate) fn clip<'b>(at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let x = at.get(1).map_or(Ok(at.at(0)?), |low| at.at(0).map(|x| x.max(low)))?;
    Ok(vec![at.get(2).map_or(x, |high| x.min(high))])
}

/// In the kind of the result's type. Types of one kind are not told apart: nothing is rounded or wraps around.
pub(crate) fn cast<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let kind = site.result(0).dtype.and_then(kind_of).ok_or("its type is no number")?;
    Ok(vec![at.at(0)?.cast(kind)])
}

/// All that is not dropped in inference: everything.
pub(crate) fn kept<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let x = at.at(0)?;
    let all = x.builder().literal(Literal::Bools(vec![true]), &vec![1; x.rank()]).expand(&x.shape());
    let kind = site.result(1).dtype.and_then(kind_of).unwrap_or(NumberKind::Bool);
    Ok(vec![x, all.cast(kind)])
}

#[cfg(test)]
#[cfg(all(feature = "tract", feature = "gradients"))]
mod tests {
    use crate::autograd::testing::Trial;
    use crate::ir::Tensor;

    /// Numbers on both sides of every kink, and far out.
    fn plain(op: &str, opset: i64, attributes: &str) -> Trial {
        Trial::within(op, opset, attributes, &["3 7"], 1, -4.0, 4.0)
    }

    #[test]
    fn functions_of_every_number() {
        for op in ["Abs", "Neg", "Exp", "Relu", "Sigmoid", "Tanh", "Softplus", "Softsign", "Erf", "Sin", "Cos", "Atan"]
        {
            plain(op, 13, "").check();
        }
        for op in ["Sinh", "Cosh", "Asinh", "HardSwish", "HardSigmoid", "LeakyRelu", "Elu", "Selu", "Identity", "Mish"]
        {
            plain(op, 18, "").check();
        }
    }

    #[test]
    fn functions_of_some_numbers() {
        for (op, low, high) in [
            ("Sqrt", 0.1, 4.0),
            ("Log", 0.1, 4.0),
            ("Reciprocal", 0.2, 3.0),
            ("Tan", -1.0, 1.0),
            ("Asin", -0.9, 0.9),
            ("Acos", -0.9, 0.9),
            ("Acosh", 1.2, 4.0),
            ("Atanh", -0.9, 0.9),
        ] {
            Trial::within(op, 13, "", &["3 4"], 1, low, high).check();
        }
    }

    #[test]
    fn steps_have_no_slope() {
        for op in ["Sign", "Ceil", "Floor", "Round"] {
            plain(op, 13, "").check_forward();
        }
        let halves = Tensor::from_f32(vec![1, 4], &[0.5, 1.5, -0.5, 2.5]);
        Trial::new("Round", 13, "", &["1 4"], 1).with("x0", halves).check_forward();
    }

    #[test]
    fn attributes_bend_them() {
        plain("LeakyRelu", 13, "alpha=0.3").check();
        plain("Elu", 13, "alpha=2.0").check();
        plain("Celu", 13, "alpha=2.0").check();
        plain("Selu", 13, "alpha=1.5 gamma=0.7").check();
        plain("HardSigmoid", 13, "alpha=0.3 beta=0.4").check();
        plain("ThresholdedRelu", 13, "alpha=0.7").check();
        plain("Shrink", 13, "bias=0.2 lambd=0.8").check();
        plain("Gelu", 20, "").check();
        plain("Gelu", 20, "approximate=tanh").check();
    }

    #[test]
    fn what_the_oracle_lacks() {
        let x = || Tensor::from_f32(vec![1, 2], &[-1.0, 2.0]);
        let shown = |op: &str, opset, attributes| {
            let trial = plain(op, opset, attributes);
            trial.check_derivative();
            let found = Trial::new(op, opset, attributes, &["1 2"], 1).with("x0", x()).run();
            found[0].1.to_f64().unwrap().iter().map(|v| format!("{v:.4}")).collect::<Vec<_>>().join(" ")
        };
        // x · sigmoid(alpha · x), and x · Φ(x)
        assert_eq!(shown("Swish", 24, "alpha=0.5"), "-0.3775 1.4621");
        assert_eq!(shown("com.microsoft.QuickGelu", 1, ""), "-0.1542 1.9357");
        assert_eq!(shown("com.microsoft.Gelu", 1, ""), "-0.1587 1.9545");
    }

    #[test]
    fn kinks_are_as_in_pytorch() {
        let gradient = |op: &str, opset| {
            let zero = Tensor::from_f32(vec![1, 1], &[0.0]);
            Trial::new(op, opset, "", &["1 1"], 1).with("x0", zero).gradient("x0")
        };
        let gradients = ["Relu", "Abs", "LeakyRelu", "Elu", "Softplus", "Sigmoid"].map(|op| gradient(op, 13)[0]);
        let close = |found: &f64, expected: f64| (found - expected).abs() < 1e-6;
        let expected = [0.0, 0.0, 0.01, 1.0, 0.5, 0.25];
        assert!(gradients.iter().zip(expected).all(|(f, e)| close(f, e)), "{gradients:?}");
    }

    #[test]
    fn limits_and_kinds() {
        plain("Clip", 6, "min=-1.0 max=2.0").check();
        Trial::within("Clip", 13, "", &["3 7", "=[-1]", "=[2]"], 1, -4.0, 4.0).check_derivative();
        plain("Cast", 13, "to=7").check_forward();
        plain("Cast", 13, "to=9").check_forward();
        plain("Cast", 13, "to=11").check_derivative();
        Trial::new("CastLike", 15, "", &["i64:2 3", "=2"], 1).check_forward();
        Trial::new("Abs", 13, "", &["i64:2 3"], 1).check_forward();
        Trial::new("Not", 13, "", &["bool:2 3"], 1).check_forward();
        Trial::new("Dropout", 13, "", &["2 3"], 1).check();
    }

    #[test]
    fn far_out_slopes_are_numbers() {
        for op in ["Elu", "Selu", "Softplus", "Mish", "Celu", "Sigmoid"] {
            let far = Tensor::from_f32(vec![1, 2], &[-1000.0, 1000.0]);
            let gradient = Trial::new(op, 18, "", &["1 2"], 1).with("x0", far).gradient("x0");
            assert!(gradient.iter().all(|s| s.is_finite()), "{op}: {gradient:?}");
        }
    }
}
