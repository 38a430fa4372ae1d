//! Quantization, which learns as if it did not round: the straight-through estimator of Bengio, Léonard and Courville
//! (2013). What is beyond the range of the type has no derivative.

use crate::ir::DType;
use crate::ops::Site;
use crate::ops::quantize::Scaling;
use crate::program::{Args, Map, NumberKind, Term};

/// `saturate(round(x / scale) + zero point)`: whole numbers as floats, since integers have no derivatives.
pub(crate) fn quantized<'b>(site: &Site, at: &Args<'b>, layout: Scaling) -> Result<Vec<Term<'b>>, String> {
    let x = at.at(0)?;
    let ratio = x / spread(site, x, at.at(1)?, &layout)?;
    let rounded = ratio + (ratio.map(Map::Round) - ratio).detach();
    let moved = match at.get(2) {
        Some(zero) => rounded + spread(site, x, zero.cast(NumberKind::Float), &layout)?,
        None => rounded,
    };
    let dtype = site.result(0).dtype.ok_or("its type is not known")?;
    let (low, high) = range(dtype).ok_or_else(|| format!("numbers are not rounded to {dtype} here"))?;
    Ok(vec![moved.clamp(low, high)])
}

/// `(x - zero point) · scale`.
pub(crate) fn dequantized<'b>(site: &Site, at: &Args<'b>, layout: Scaling) -> Result<Vec<Term<'b>>, String> {
    let x = at.at(0)?.cast(NumberKind::Float);
    let from_zero = match at.get(2) {
        Some(zero) => x - spread(site, x, zero.cast(NumberKind::Float), &layout)?,
        None => x,
    };
    Ok(vec![from_zero * spread(site, x, at.at(1)?, &layout)?])
}

/// Scales or zero points, so that they broadcast to the data.
fn spread<'b>(site: &Site, x: Term<'b>, scale: Term<'b>, layout: &Scaling) -> Result<Term<'b>, String> {
    match layout {
        Scaling::Tensor => Ok(scale.reshape(&vec![1; x.rank()])),
        &Scaling::Axis(axis) => {
            let mut shape = vec![1; x.rank()];
            shape[axis] = scale.count();
            Ok(scale.reshape(&shape))
        }
        Scaling::Blocks if scale.rank() != x.rank() => Err(format!("scales of shape {:?}", scale.shape())),
        Scaling::Blocks => {
            let axis = site.axis("axis", 1, x.rank())?;
            let block = usize::try_from(site.call.int("block_size", 0)).unwrap_or(0).min(x.size(axis));
            if scale.size(axis) != x.size(axis).div_ceil(block.max(1)) {
                return Err(format!("{} scales for blocks of {block}", scale.size(axis)));
            }
            let mut shape = scale.unsqueeze(axis + 1).shape();
            shape[axis + 1] = block;
            let copies = scale.unsqueeze(axis + 1).expand(&shape);
            shape.remove(axis);
            shape[axis] *= scale.size(axis);
            Ok(copies.reshape(&shape).narrow(axis, 0, x.size(axis)))
        }
    }
}

/// The least and the largest number of a type of integers.
fn range(dtype: DType) -> Option<(f64, f64)> {
    let name = dtype.name();
    let (sign, bits) = name.split_at(1);
    let bits: i32 = bits.parse().ok().filter(|&b| b <= 16)?;
    match sign {
        "u" => Some((0.0, 2f64.powi(bits) - 1.0)),
        "i" => Some((-(2f64.powi(bits - 1)), 2f64.powi(bits - 1) - 1.0)),
        _ => None,
    }
}

#[cfg(test)]
#[cfg(all(feature = "tract", feature = "gradients"))]
mod tests {
    use crate::autograd::testing::Trial;
    use crate::ir::Tensor;

    #[test]
    fn numbers_and_back() {
        Trial::new("DequantizeLinear", 13, "", &["u8:2 3", "=[0.5]", "=u8[3]"], 1).check_derivative();
        Trial::new("DequantizeLinear", 13, "axis=1", &["i8:2 3", "=3", "i8:=3"], 1).check();
        Trial::new("DequantizeLinear", 21, "axis=1 block_size=2", &["i8:2 4", "=2 2"], 1).check_derivative();
    }

    #[test]
    fn rounding_passes_the_derivative_on_within_the_range() {
        let x = Tensor::from_f32(vec![4], &[-0.3, 0.26, 0.74, 200.0]);
        let trial = Trial::new("QuantizeLinear", 13, "", &["4", "=[0.5]", "=u8[3]"], 1).with("x0", x);
        assert_eq!(trial.run()[0].1.to_f64().unwrap(), [2.0, 4.0, 4.0, 255.0]);
        assert_eq!(trial.gradient("x0"), [2.0, 2.0, 2.0, 0.0]);
    }
}
