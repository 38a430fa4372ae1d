//! Products with packed weights.

use super::matmul::product;
use crate::ops::Site;
use crate::program::{Args, Binary, NumberKind, Term};

/// `y[…, n] = Σ a[…, k] · (b[n, k] - zero[n, k]) · scale[n, k] + bias[n]`. The packed weights themselves are integers,
/// and nothing is learned by them.
pub(crate) fn packed<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    if site.has(4) {
        return Err("columns in an order of their own (`g_idx`) are not supported".into());
    }
    let size = |name: &str, default: i64| usize::try_from(site.call.int(name, default)).unwrap_or(0);
    let (n, columns, block, bits) = (size("N", 0), size("K", 0), size("block_size", 0), size("bits", 4));
    if n == 0 || columns == 0 || block == 0 || ![1, 2, 4, 8].contains(&bits) {
        return Err(format!("weights of {bits} bits in blocks of {block} are not supported"));
    }
    let blocks = columns.div_ceil(block);
    let weights = unpacked(at.at(1)?, bits).reshape(&[n, blocks, block]).cast(NumberKind::Float);
    let zero = match at.get(3) {
        None => at.builder.full((1 << (bits - 1)) as f64, &[1, 1, 1]),
        Some(z) if z.kind() == NumberKind::Float => z.reshape(&[n, blocks, 1]),
        Some(z) => {
            let bytes = (blocks * bits).div_ceil(8);
            let all = unpacked(z.reshape(&[n, bytes]), bits).reshape(&[n, bytes * 8 / bits]);
            all.narrow(1, 0, blocks).cast(NumberKind::Float).reshape(&[n, blocks, 1])
        }
    };
    let scale = at.at(2)?.reshape(&[n, blocks, 1]);
    let matrix = ((weights - zero) * scale).reshape(&[n, blocks * block]).narrow(1, 0, columns);
    let y = product(at.at(0)?, matrix.swap(0, 1));
    Ok(vec![at.get(5).map_or(y, |bias| y + bias)])
}

/// The numbers of so many bits that bytes hold, the lowest first, along a new last axis.
fn unpacked(bytes: Term, bits: usize) -> Term {
    let number = |value: i64| bytes.builder().ints(vec![value], &[1]);
    let bytes = bytes.unsqueeze(bytes.rank());
    let part = |i: usize| (bytes / number(1 << (i * bits))).binary(Binary::Remainder, number(1 << bits));
    Term::concat(&(0..8 / bits).map(part).collect::<Vec<_>>(), bytes.rank() - 1)
}

#[cfg(test)]
#[cfg(all(feature = "tract", feature = "gradients"))]
mod tests {
    use crate::autograd::testing::{Trial, close};
    use crate::ir::{DType, Tensor};

    fn trial(op: &str, attributes: &str, operands: &[&str]) -> Trial {
        Trial::new(&format!("com.microsoft.{op}"), 1, attributes, operands, 1)
    }

    #[test]
    fn packed_weights() {
        let whole = ["2 40", "u8:=3 3 8", "=3 3"];
        trial("MatMulNBits", "N=3 K=40 bits=4 block_size=16", &whole).check_derivative();
        let tensor = |shape: &[usize], v: &[f64], dtype| Tensor::from_f64(dtype, shape.to_vec(), v).unwrap();
        let operands = ["1 3", "u8:=1 2 1", "=2", "u8:=1", "", "=1"];
        let trial = trial("MatMulNBits", "N=1 K=3 bits=4 block_size=2", &operands)
            .with("x0", tensor(&[1, 3], &[1.0, 10.0, 100.0], DType::F32))
            // 3, 15 and 1; zero points 2 and 7; scales 1 and 0.5.
            .with("x1", tensor(&[1, 2, 1], &[243.0, 1.0], DType::U8))
            .with("x2", tensor(&[2], &[1.0, 0.5], DType::F32))
            .with("x3", tensor(&[1], &[114.0], DType::U8))
            .with("x5", tensor(&[1], &[1000.0], DType::F32));
        close("y", &[1.0 + 130.0 - 300.0 + 1000.0], &trial.run()[0].1.to_f64().unwrap(), 1e-6);
        trial.check_derivative();
    }
}
