//! Pairs of features turned by an angle for each position.

use crate::ops::Site;
use crate::program::{Args, Span, Term};

/// The standard's RotaryEmbedding: `x`, cosines, sines, positions.
pub(crate) fn rotary<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let (x, cos, sin) = (at.at(0)?, at.at(1)?, at.at(2)?);
    turned(site, x, at.get(3), cos, sin)
}

/// ONNX Runtime's: `x`, positions, cosines, sines.
pub(crate) fn own_rotary<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let unsupported = site.call.int("is_packed_batching", 0) != 0 || site.call.float("scale", 1.0) != 1.0;
    if unsupported {
        return Err("packed batches (`is_packed_batching`) and a `scale` are not supported".into());
    }
    let (x, positions) = (at.at(0)?, at.at(1)?);
    let steps = x.size(x.rank() - 2);
    // A single position is that of the first step.
    let positions = match positions.rank() {
        1 => positions + at.builder.ints((0..steps as i64).collect(), &[steps]),
        _ => positions,
    };
    turned(site, x, Some(positions), at.at(2)?, at.at(3)?)
}

fn turned<'b>(
    site: &Site,
    x: Term<'b>,
    positions: Option<Term<'b>>,
    cos: Term<'b>,
    sin: Term<'b>,
) -> Result<Vec<Term<'b>>, String> {
    let flat = x.rank() == 3;
    let width = 2 * cos.size(cos.rank() - 1);
    let heads = match usize::try_from(site.call.int("num_heads", 0)).unwrap_or(0) {
        0 => x.size(2) / width.max(1),
        h => h,
    };
    let apart = if flat { heads_apart(x, heads)? } else { x };
    let rotation = Rotation { cos, sin, interleaved: site.call.int("interleaved", 0) != 0 };
    let y = rotation.turn(apart, positions)?;
    Ok(vec![if flat { super::attention::joined(y) } else { y }])
}

/// `[b, s, h·d]` as `[b, h, s, d]`.
pub(crate) fn heads_apart(x: Term, heads: usize) -> Result<Term, String> {
    let [b, s, width] = x.shape()[..] else { return Err(format!("an operand of rank {}", x.rank())) };
    if heads == 0 || !width.is_multiple_of(heads) {
        return Err(format!("{width} features do not divide into {heads} heads"));
    }
    Ok(x.reshape(&[b, s, heads, width / heads]).swap(1, 2))
}

/// Cosines and sines of the angles of pairs: a row for each position, or rows that are chosen already.
pub(crate) struct Rotation<'b> {
    pub cos: Term<'b>,
    pub sin: Term<'b>,
    /// Whether pairs lie side by side, instead of half of the features apart.
    pub interleaved: bool,
}

impl<'b> Rotation<'b> {
    /// Turns the first features of each head of `[b, h, s, d]`, as many as there are angles for.
    pub(crate) fn turn(&self, x: Term<'b>, positions: Option<Term<'b>>) -> Result<Term<'b>, String> {
        let [b, h, s, d] = x.shape()[..] else { return Err(format!("an input of rank {}", x.rank())) };
        let half = self.cos.size(self.cos.rank() - 1);
        if 2 * half > d {
            return Err(format!("angles for {} features of {d}", 2 * half));
        }
        let chosen = |table: Term<'b>| match positions {
            Some(p) => table.take(0, p.reshape(&[p.count()])).reshape(&[p.count() / s.max(1), 1, s, half]),
            None => table.reshape(&[table.count() / (s * half).max(1), 1, s, half]),
        };
        let (cos, sin) = (chosen(self.cos), chosen(self.sin));
        let part = |start: usize, step: isize| {
            let mut spans = [b, h, s, half].map(|count| Span { start: 0, count, step: 1 });
            spans[3] = Span { start, count: half, step };
            x.slice(&spans)
        };
        let (re, im) = if self.interleaved { (part(0, 2), part(1, 2)) } else { (part(0, 1), part(half, 1)) };
        let (turned_re, turned_im) = (re * cos - im * sin, re * sin + im * cos);
        let both = match self.interleaved {
            true => Term::concat(&[turned_re.unsqueeze(4), turned_im.unsqueeze(4)], 4).reshape(&[b, h, s, 2 * half]),
            false => Term::concat(&[turned_re, turned_im], 3),
        };
        match d - 2 * half {
            0 => Ok(both),
            rest => Ok(Term::concat(&[both, x.narrow(3, 2 * half, rest)], 3)),
        }
    }
}

#[cfg(test)]
#[cfg(all(feature = "tract", feature = "gradients"))]
mod tests {
    use crate::autograd::testing::{Trial, close};
    use crate::ir::{DType, Tensor};

    #[test]
    fn derivatives() {
        Trial::new("RotaryEmbedding", 23, "", &["2 2 3 4", "2 3 2", "2 3 2"], 1).check_derivative();
        let flat = "num_heads=2 interleaved=1 rotary_embedding_dim=4";
        Trial::new("RotaryEmbedding", 23, flat, &["2 3 12", "5 2", "5 2", "i64:2 3"], 1).check_derivative();
        let own = |positions: &str| ["2 3 8", positions, "=5 2", "=5 2"].map(str::to_owned);
        for positions in ["i64:2 3", "i64:1"] {
            let operands = own(positions);
            let operands: Vec<&str> = operands.iter().map(String::as_str).collect();
            Trial::new("com.microsoft.RotaryEmbedding", 1, "", &operands, 1).check_derivative();
        }
    }

    #[test]
    fn pairs_turn() {
        let tensor = |shape: &[usize], v: &[f64]| Tensor::from_f64(DType::F32, shape.to_vec(), v).unwrap();
        let turn = |attributes: &str| {
            let trial = Trial::new("RotaryEmbedding", 23, attributes, &["1 1 1 5", "1 1 2", "1 1 2"], 1)
                .with("x0", tensor(&[1, 1, 1, 5], &[1.0, 2.0, 3.0, 4.0, 5.0]))
                .with("x1", tensor(&[1, 1, 2], &[0.0, 1.0]))
                .with("x2", tensor(&[1, 1, 2], &[1.0, 0.0]));
            trial.run()[0].1.to_f64().unwrap()
        };
        // The first pair turns by a quarter.
        close("halves", &[-3.0, 2.0, 1.0, 4.0, 5.0], &turn("rotary_embedding_dim=4"), 1e-6);
        close("pairs", &[-2.0, 1.0, 3.0, 4.0, 5.0], &turn("rotary_embedding_dim=4 interleaved=1"), 1e-6);
    }
}
