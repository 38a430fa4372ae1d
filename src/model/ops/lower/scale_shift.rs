//! ScaleShift.

use super::norm::channels;
use crate::ops::Site;
use crate::program::{Args, Term};

/// `x · scale + shift`, channel by channel.
pub(crate) fn scale_shift<'b>(_: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let x = at.at(0)?;
    let (scale, shift) = (channels(at.at(1)?, x.rank())?, channels(at.at(2)?, x.rank())?);
    Ok(vec![x * scale + shift])
}

#[cfg(test)]
#[cfg(all(feature = "tract", feature = "gradients"))]
mod tests {
    use crate::autograd::testing::Trial;
    use crate::ir::Tensor;

    #[test]
    fn channel_by_channel() {
        let trial = |operands: &[&str]| Trial::new("com.example.ScaleShift", 1, "", operands, 1);
        trial(&["2 3 4", "3", "3"]).check_derivative();
        let numbers = |v: &[f32]| Tensor::from_f32(vec![v.len()], v);
        let x = Tensor::from_f32(vec![1, 2], &[3.0, 4.0]);
        let found =
            trial(&["1 2", "2", "2"]).with("x0", x).with("x1", numbers(&[2.0, -1.0])).with("x2", numbers(&[1.0, 0.5]));
        assert_eq!(found.run()[0].1.to_f64().unwrap(), [7.0, -3.5]);
    }
}
