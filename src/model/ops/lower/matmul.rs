//! Products of matrices.

use crate::ops::Site;
use crate::program::{Args, Term};

/// numpy's `matmul`: an operand of one axis is a vector.
pub(crate) fn matmul<'b>(_: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    Ok(vec![product(at.at(0)?, at.at(1)?)])
}

/// `alpha · a · b + beta · c`, with `a` or `b` transposed where asked for.
pub(crate) fn gemm<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let turned = |name: &str, t: Term<'b>| if site.call.int(name, 0) != 0 { t.swap(0, 1) } else { t };
    let sum = turned("transA", at.at(0)?).matmul(turned("transB", at.at(1)?));
    let sum = sum * f64::from(site.call.float("alpha", 1.0));
    Ok(vec![match at.get(2) {
        Some(c) => sum + c * f64::from(site.call.float("beta", 1.0)),
        None => sum,
    }])
}

/// A product of stacks of matrices; an operand of one axis is a row on the left and a column on the right.
pub(crate) fn product<'b>(a: Term<'b>, b: Term<'b>) -> Term<'b> {
    let (row, column) = (a.rank() == 1, b.rank() == 1);
    let a = if row { a.unsqueeze(0) } else { a };
    let b = if column { b.unsqueeze(1) } else { b };
    let y = a.matmul(b);
    let y = if column { y.squeeze(&[y.rank() - 1]) } else { y };
    match row {
        true => y.squeeze(&[y.rank() - if column { 1 } else { 2 }]),
        false => y,
    }
}

#[cfg(test)]
#[cfg(all(feature = "tract", feature = "gradients"))]
mod tests {
    use crate::autograd::testing::Trial;

    #[test]
    fn matrices_and_vectors() {
        for operands in [["2 3", "=3 4"], ["5 2 3", "=3 4"], ["5 1 2 3", "2 3 4"], ["3", "=3 4"], ["2 3", "3"]] {
            Trial::new("MatMul", 13, "", &operands, 1).check();
        }
        Trial::new("MatMul", 13, "", &["3", "3"], 1).check_derivative();
    }

    #[test]
    fn gemm_with_all_its_attributes() {
        Trial::new("Gemm", 13, "", &["2 3", "=3 4", "=4"], 1).check();
        Trial::new("Gemm", 13, "transA=1 transB=1 alpha=0.5 beta=2.0", &["3 2", "=4 3", "=2 1"], 1).check();
        Trial::new("Gemm", 13, "transB=1", &["2 3", "=4 3"], 1).check();
    }
}
