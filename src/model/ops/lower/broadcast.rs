//! Functions of two numbers and more, element by element.

use super::elementwise::{above, exact_gelu, gate, number, tanh_gelu};
use crate::ops::Site;
use crate::program::{Args, Binary, Compare, Map, NumberKind, Term};

/// The larger of two; of equals the derivative goes to both in equal parts.
pub(crate) fn greatest<'b>(a: Term<'b>, b: Term<'b>) -> Term<'b> {
    shared(a, b, a.max(b))
}

/// The smaller of two; of equals the derivative goes to both in equal parts.
pub(crate) fn least<'b>(a: Term<'b>, b: Term<'b>) -> Term<'b> {
    shared(a, b, a.min(b))
}

fn shared<'b>(a: Term<'b>, b: Term<'b>, one: Term<'b>) -> Term<'b> {
    match one.kind() {
        NumberKind::Float => a.compare(Compare::Equal, b).select(a * 0.5 + b * 0.5, one),
        _ => one,
    }
}

/// The remainder of a division; with the sign of the first if asked for, else of the second.
pub(crate) fn remainder<'b>(x: Term<'b>, y: Term<'b>, sign_of_first: bool) -> Term<'b> {
    match (x.kind(), sign_of_first) {
        (NumberKind::Float, true) => {
            let ratio = x / y;
            let negative = ratio.less(number(ratio, 0.0));
            x - negative.select(ratio.map(Map::Ceil), ratio.map(Map::Floor)).detach() * y
        }
        (NumberKind::Float, false) => x - (x / y).map(Map::Floor).detach() * y,
        (_, true) => x - x / y * y,
        (_, false) => x.binary(Binary::Remainder, y),
    }
}

/// `x ^ exponent`. Small whole exponents are products, which have a derivative everywhere.
pub(crate) fn power(x: Term, exponent: f64) -> Term {
    if x.kind() != NumberKind::Float {
        return power(x.cast(NumberKind::Float), exponent).map(Map::Round).cast(x.kind());
    }
    match exponent {
        1.0 => x,
        2.0 => x.square(),
        3.0 => x.square() * x,
        4.0 => x.square().square(),
        0.5 => x.sqrt(),
        -1.0 => x.recip(),
        -0.5 => x.sqrt().recip(),
        _ => x.powf(exponent),
    }
}

/// `x ^ y`, for exponents of the run. The derivative by the exponent is 0 where there is no logarithm.
pub(crate) fn power_of<'b>(x: Term<'b>, y: Term<'b>) -> Term<'b> {
    if x.kind() != NumberKind::Float {
        return power_of(x.cast(NumberKind::Float), y).map(Map::Round).cast(x.kind());
    }
    let y = y.cast(NumberKind::Float);
    let positive = above(x, 0.0);
    // The engine's derivative by the exponent asks for a logarithm of whatever is there.
    let plain = positive.select(x, number(x, 1.0)).binary(Binary::Pow, y);
    positive.select(plain, x.binary(Binary::Pow, y.detach()))
}

/// `x > 0 ? x : slope · x`.
pub(crate) fn prelu<'b>(x: Term<'b>, slope: Term<'b>) -> Term<'b> {
    above(x, 0.0).select(x, x * slope)
}

/// `a · sigmoid(alpha · a) · b`.
pub(crate) fn swiglu<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    Ok(vec![gate(at.at(0)?, site.call.float("alpha", 1.0).into()) * at.at(1)?])
}

/// Gelu of a sum.
pub(crate) fn bias_gelu<'b>(_: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    Ok(vec![exact_gelu(sum(at)?)])
}

/// Gelu of a sum, by tanh.
pub(crate) fn fast_gelu<'b>(_: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    Ok(vec![tanh_gelu(sum(at)?)])
}

/// The sum of one or two operands.
fn sum<'b>(at: &Args<'b>) -> Result<Term<'b>, String> {
    let x = at.at(0)?;
    Ok(at.get(1).map_or(x, |bias| x + bias))
}

#[cfg(test)]
#[cfg(all(feature = "tract", feature = "gradients"))]
mod tests {
    use crate::autograd::testing::Trial;
    use crate::ir::Tensor;

    fn ints(elements: &[i64]) -> Tensor {
        Tensor::from_i64(vec![elements.len()], elements)
    }

    #[test]
    fn arithmetic_broadcasts() {
        for operands in [["2 3 4", "=3 1"], ["3 1", "=2 3 4"], ["2 1 4", "2 3 1"], ["4", "="]] {
            for op in ["Add", "Sub", "Mul"] {
                Trial::new(op, 13, "", &operands, 1).check();
            }
            Trial::within("Div", 13, "", &operands, 1, 0.3, 2.0).check();
            Trial::within("Pow", 13, "", &operands, 1, 0.3, 2.0).check_derivative();
        }
        Trial::new("Sum", 13, "", &["2 3", "=3", "2 1"], 1).check();
        Trial::new("Mean", 13, "", &["2 3", "=3", "2 1"], 1).check();
        Trial::new("Min", 13, "", &["2 3", "=3", "2 1"], 1).check();
        Trial::new("Max", 13, "", &["2 3", "=3", "2 1"], 1).check();
        Trial::new("Add", 6, "broadcast=1 axis=1", &["2 3 4", "=3"], 1).check_derivative();
    }

    #[test]
    fn powers() {
        for exponent in ["=[1]", "=[2]", "=[3]", "=[4]", "=[-1]", "=[5]"] {
            Trial::within("Pow", 13, "", &["3 4", exponent], 1, -2.0, 2.0).check_derivative();
            Trial::within("Pow", 13, "", &["3 4", exponent], 1, -2.0, 2.0).check_forward();
        }
        for exponent in ["=[0.5]", "=[-0.5]", "=[1.7]", "3 4", "=4"] {
            Trial::within("Pow", 13, "", &["3 4", exponent], 1, 0.3, 2.0).check();
        }
        let at_zero = Tensor::from_f32(vec![2], &[0.0, -2.0]);
        let trial = Trial::new("Pow", 13, "", &["2", "2"], 1).with("x0", at_zero);
        assert_eq!(trial.with("x1", Tensor::from_f32(vec![2], &[2.0, 2.0])).gradient("x1"), [0.0, 0.0]);
    }

    #[test]
    fn integers_are_divided_towards_zero() {
        let divided = |op: &str, attributes: &str| {
            let trial = Trial::new(op, 13, attributes, &["i64:4", "i64:4"], 1).with("x0", ints(&[7, -7, 7, -7]));
            trial.with("x1", ints(&[2, 2, -2, -2])).run()[0].1.to_i64().unwrap()
        };
        assert_eq!(divided("Div", ""), [3, -3, -3, 3]);
        assert_eq!(divided("Mod", ""), [1, 1, -1, -1]);
        assert_eq!(divided("Mod", "fmod=1"), [1, -1, 1, -1]);
        Trial::within("Mod", 13, "fmod=1", &["3 4", "=4"], 1, 0.6, 2.0).check_derivative();
        let negative = Tensor::from_f32(vec![2], &[-5.5, 5.5]);
        let trial = Trial::new("Mod", 13, "fmod=1", &["2", "=[2]"], 1).with("x0", negative);
        assert_eq!(trial.run()[0].1.to_f64().unwrap(), [-1.5, 1.5]);
    }

    #[test]
    fn comparisons_and_choices() {
        for op in ["Less", "Greater", "LessOrEqual", "GreaterOrEqual"] {
            Trial::new(op, 16, "", &["2 3", "=3"], 1).check_forward();
            Trial::new(op, 16, "", &["i64:2 3", "i64:3"], 1).check_forward();
        }
        Trial::new("Equal", 13, "", &["i64:2 3", "i64:3"], 1).check_forward();
        for op in ["And", "Or", "Xor"] {
            Trial::new(op, 13, "", &["bool:2 3", "bool:3"], 1).check_forward();
        }
        Trial::new("Where", 13, "", &["bool:2 3", "2 3", "=3"], 1).check();
        Trial::new("Where", 13, "", &["bool:2 1", "=", "2 3"], 1).check();
        Trial::new("PRelu", 13, "", &["2 3 4", "=3 1"], 1).check();
        Trial::new("PRelu", 6, "", &["2 3 4", "=3"], 1).check_derivative();
    }

    #[test]
    fn equals_share_the_derivative() {
        let ones = || Tensor::from_f32(vec![1], &[1.0]);
        for op in ["Max", "Min"] {
            let trial = Trial::new(op, 13, "", &["1", "1"], 1).with("x0", ones()).with("x1", ones());
            assert_eq!([trial.gradient("x0"), trial.gradient("x1")], [[0.5], [0.5]]);
        }
    }

    #[test]
    fn gates() {
        for (op, opset) in [("SwiGLU", 28), ("com.microsoft.BiasGelu", 1), ("com.microsoft.FastGelu", 1)] {
            Trial::new(op, opset, "", &["2 3", "2 3"], 1).check_derivative();
        }
        let three = Tensor::from_f32(vec![1], &[3.0]);
        let (one, bias) = (Tensor::from_f32(vec![1], &[1.0]), Tensor::from_f32(vec![1], &[-0.5]));
        let swiglu = Trial::new("SwiGLU", 28, "", &["1", "1"], 1).with("x0", one.clone()).with("x1", three);
        // 1 · sigmoid(1) · 3
        assert!((swiglu.run()[0].1.to_f64().unwrap()[0] - 2.193_175_7).abs() < 1e-5);
        for op in ["com.microsoft.BiasGelu", "com.microsoft.FastGelu"] {
            let gelu = Trial::new(op, 1, "", &["1", "1"], 1).with("x0", one.clone()).with("x1", bias.clone());
            // 0.5 · Φ(0.5), by tanh a little off
            assert!((gelu.run()[0].1.to_f64().unwrap()[0] - 0.345_731_2).abs() < 2e-4);
        }
    }
}
