//! Elements of a contraction's view are taken out one after the other, and the others take over what they can.
//!
//! With `H` the (damped) covariance of what is read and `W` the weights, elements `S` that go cost
//! `tr(W_S (H⁻¹[S,S])⁻¹ W_Sᵀ)`; then `W` and `H⁻¹` are updated. All matrices are symmetric, so that only lower triangles are
//! computed, and what is gone is left out of them from time to time.

use faer::linalg::matmul::{matmul, triangular};
use faer::linalg::solvers::{DenseSolveCore, Solve};
use faer::{Accum, Mat, MatRef, Par, Side};

/// What is gone is left out of the matrices where it is more than such a part of them.
const SPARSE: usize = 8;

/// Elements that are read together. What went is left out of all matrices from time to time.
pub(super) struct Block {
    /// Where elements stand in the matrices; `None` for those that are gone.
    at: Vec<Option<usize>>,
    /// Which elements the matrices have.
    has: Vec<usize>,
    /// How many of them are gone.
    gone: usize,
    /// `H⁻¹`, the lower triangle; zero for those that are gone.
    inverse: Mat<f64>,
    importance: Importance,
}

/// How much errors matter, as a share of what the contraction computes: `WᵀW`.
enum Importance {
    /// The matrix itself, its lower triangle.
    Product(Mat<f64>),
    /// The weights, `[outputs, elements]`, where they are fewer.
    Weights(Mat<f64>),
}

/// `WᵀW`, the lower triangle.
pub(super) fn square(weights: &Mat<f64>) -> Mat<f64> {
    let n = weights.ncols();
    let mut product = Mat::zeros(n, n);
    lower(&mut product, Accum::Replace, weights.transpose(), weights.as_ref(), 1.0);
    product
}

/// Adds a product to the lower triangle of a matrix that it leaves symmetric.
fn lower(to: &mut Mat<f64>, accum: Accum, a: MatRef<f64>, b: MatRef<f64>, factor: f64) {
    use triangular::BlockStructure::{Rectangular, TriangularLower};
    triangular::matmul(to.as_mut(), TriangularLower, accum, a, Rectangular, b, Rectangular, factor, Par::Seq);
}

/// The sum over all elements of a symmetric matrix, of which there is the lower triangle, times those of a block of another.
pub(super) fn energy(product: &Mat<f64>, covariance: &Mat<f64>, start: usize) -> f64 {
    let column = |j: usize| {
        let below: f64 = (j + 1..product.nrows()).map(|i| product[(i, j)] * covariance[(start + i, start + j)]).sum();
        product[(j, j)] * covariance[(start + j, start + j)] + 2.0 * below
    };
    (0..product.ncols()).map(column).sum()
}

impl Block {
    /// `None` where the covariance is none.
    pub(super) fn new(damped: Mat<f64>, mut weights: Mat<f64>, mut product: Mat<f64>, energy: f64) -> Option<Block> {
        let n = damped.nrows();
        // Nothing large is kept longer than it must be.
        let importance = if weights.nrows() < n {
            weights *= faer::Scale(energy.sqrt().recip());
            Importance::Weights(weights)
        } else {
            product *= faer::Scale(energy.recip());
            Importance::Product(product)
        };
        let llt = damped.llt(Side::Lower).ok()?;
        drop(damped);
        let inverse = llt.inverse();
        Some(Block { at: (0..n).map(Some).collect(), has: (0..n).collect(), gone: 0, inverse, importance })
    }

    /// What an element or several cost; what is gone costs nothing more.
    pub(super) fn cost(&self, part: &[(usize, usize)]) -> f64 {
        let at: Vec<usize> = part.iter().filter_map(|(_, element)| self.at[*element]).collect();
        match at[..] {
            [] => 0.0,
            [one] => self.importance.at(one, one) / self.inverse[(one, one)].max(f64::MIN_POSITIVE),
            ref some => {
                let inverse = Mat::from_fn(some.len(), some.len(), |i, j| symmetric(&self.inverse, some[i], some[j]));
                let importance = Mat::from_fn(some.len(), some.len(), |i, j| self.importance.at(some[i], some[j]));
                match inverse.llt(Side::Lower) {
                    Ok(llt) => {
                        let solved = llt.solve(&importance);
                        (0..some.len()).map(|i| solved[(i, i)]).sum()
                    }
                    Err(_) => 0.0,
                }
            }
        }
    }

    /// Takes elements out.
    pub(super) fn remove(&mut self, part: &[(usize, usize)]) {
        let gone: Vec<usize> = part.iter().filter_map(|(_, element)| self.at[*element]).collect();
        let (n, m) = (self.inverse.nrows(), gone.len());
        let inner = Mat::from_fn(m, m, |i, j| symmetric(&self.inverse, gone[i], gone[j]));
        let rows = Mat::from_fn(m, n, |i, j| symmetric(&self.inverse, gone[i], j));
        let Ok(llt) = inner.llt(Side::Lower) else { return };
        let taken: Mat<f64> = llt.solve(&rows);
        lower(&mut self.inverse, Accum::Add, rows.transpose(), taken.as_ref(), -1.0);
        self.importance.take_over(&gone, &taken);
        part.iter().for_each(|(_, element)| self.at[*element] = None);
        self.gone += m;
        if self.gone * SPARSE > n {
            self.compact();
        }
    }

    /// Leaves out what is gone.
    fn compact(&mut self) {
        let old: Vec<usize> = self.has.iter().filter_map(|&element| self.at[element]).collect();
        self.has.retain(|&element| self.at[element].is_some());
        self.has.iter().enumerate().for_each(|(new, &element)| self.at[element] = Some(new));
        let n = old.len();
        let kept = |m: &Mat<f64>| {
            let mut out = Mat::zeros(n, n);
            for j in 0..n {
                let from = m.col(old[j]);
                out.col_mut(j).iter_mut().zip(&old).skip(j).for_each(|(to, &i)| *to = from[i]);
            }
            out
        };
        self.inverse = kept(&self.inverse);
        match &mut self.importance {
            Importance::Product(product) => *product = kept(product),
            Importance::Weights(w) => *w = Mat::from_fn(w.nrows(), n, |i, j| w[(i, old[j])]),
        }
        self.gone = 0;
    }
}

/// An element of a symmetric matrix of which there is the lower triangle.
fn symmetric(m: &Mat<f64>, i: usize, j: usize) -> f64 {
    m[(i.max(j), i.min(j))]
}

impl Importance {
    fn at(&self, i: usize, j: usize) -> f64 {
        match self {
            Importance::Product(product) => symmetric(product, i, j),
            Importance::Weights(w) => w.col(i).iter().zip(w.col(j).iter()).map(|(a, b)| a * b).sum(),
        }
    }

    /// Elements are gone, and others have taken over so much of them.
    fn take_over(&mut self, gone: &[usize], taken: &Mat<f64>) {
        let (m, n) = (taken.nrows(), taken.ncols());
        match self {
            Importance::Weights(w) => {
                let columns = Mat::from_fn(w.nrows(), m, |i, j| w[(i, gone[j])]);
                matmul(w.as_mut(), Accum::Add, columns.as_ref(), taken.as_ref(), -1.0, Par::Seq);
                gone.iter().for_each(|&g| w.col_mut(g).fill(0.0));
            }
            // W' = W - W[:, gone] T, so WᵀW' = WᵀW - Q T - Tᵀ Qᵀ + Tᵀ Q[gone] T with Q = WᵀW[:, gone].
            Importance::Product(q) => {
                let columns = Mat::from_fn(n, m, |i, j| symmetric(q, i, gone[j]));
                let core = Mat::from_fn(m, m, |i, j| symmetric(q, gone[i], gone[j]));
                let mut half = columns;
                matmul(half.as_mut(), Accum::Add, taken.transpose(), core.as_ref(), -0.5, Par::Seq);
                lower(q, Accum::Add, half.as_ref(), taken.as_ref(), -1.0);
                lower(q, Accum::Add, taken.transpose(), half.transpose(), -1.0);
                for &g in gone {
                    (0..g).for_each(|j| q[(g, j)] = 0.0);
                    (g..n).for_each(|i| q[(i, g)] = 0.0);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(rows: usize, columns: usize, seed: usize) -> Mat<f64> {
        let number = |i: usize, j: usize| ((i * 31 + j * 17 + seed).wrapping_mul(2_654_435_761) >> 9) % 1009;
        Mat::from_fn(rows, columns, |i, j| number(i, j) as f64 / 1009.0 - 0.5)
    }

    /// What units cost one after the other is what they cost together: `tr(W_S (H⁻¹[S,S])⁻¹ W_Sᵀ)`.
    #[test]
    fn costs_add_up() {
        let n = 12;
        let from = draw(40, n, 5);
        let damped = from.transpose() * &from;
        for outputs in [5, 30] {
            let w = draw(outputs, n, 3);
            let mut block = Block::new(damped.clone(), w.clone(), square(&w), 2.0).expect("it is a covariance");
            let inverse = damped.llt(Side::Lower).expect("it is a covariance").inverse();
            let (mut gone, mut sum) = (vec![], 0.0);
            for part in [&[3][..], &[11], &[0, 7], &[8], &[1, 2], &[5], &[4]] {
                let part: Vec<(usize, usize)> = part.iter().map(|&e| (0, e)).collect();
                sum += block.cost(&part);
                block.remove(&part);
                gone.extend(part.iter().map(|(_, e)| *e));
                let m = gone.len();
                let inner = Mat::from_fn(m, m, |i, j| inverse[(gone[i], gone[j])]);
                let of = Mat::from_fn(outputs, m, |i, j| w[(i, gone[j])]);
                let solved = inner.llt(Side::Lower).expect("it is a covariance").solve(of.transpose());
                let wanted =
                    (0..m).map(|k| (0..outputs).map(|i| of[(i, k)] * solved[(k, i)]).sum::<f64>()).sum::<f64>();
                assert!((sum - wanted / 2.0).abs() < 1e-9 * wanted, "{outputs} outputs, {gone:?}: {sum}, {wanted}");
                assert_eq!(block.cost(&part), 0.0);
            }
            assert!(block.inverse.nrows() < n);
        }
    }
}
