//! First and second moments of vectors, as running sums in double precision.

use crate::contraction::View;
use crate::ir::{Tensor, TensorError};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};

/// Sums over samples of pairs of vectors: `x` with `m` elements, `y` with `n`.
#[derive(Clone, Debug)]
pub struct Moments {
    pub count: f64,
    /// `Σ x` and `Σ y`.
    pub sum: (Vec<f64>, Vec<f64>),
    /// `Σ x yᵀ`, `[m, n]`.
    pub product: Mat<f64>,
}

impl Moments {
    /// No samples yet.
    pub fn new(m: usize, n: usize) -> Moments {
        Moments { count: 0.0, sum: (vec![0.0; m], vec![0.0; n]), product: Mat::zeros(m, n) }
    }

    /// Adds samples, a row each.
    pub fn add(&mut self, x: &Mat<f64>, y: &Mat<f64>) {
        self.count += x.nrows() as f64;
        add_columns(&mut self.sum.0, x);
        add_columns(&mut self.sum.1, y);
        matmul(self.product.as_mut(), Accum::Add, x.transpose(), y.as_ref(), 1.0, Par::Seq);
    }

    /// Adds some of the rows.
    pub fn add_rows(&mut self, x: &Mat<f64>, y: &Mat<f64>, rows: std::ops::Range<usize>) {
        if rows.len() == x.nrows() {
            return self.add(x, y);
        }
        let of = |m: &Mat<f64>| m.as_ref().subrows(rows.start, rows.len()).to_owned();
        if !rows.is_empty() {
            self.add(&of(x), &of(y));
        }
    }

    /// Both samples together.
    pub fn merged(&self, other: &Moments) -> Moments {
        let add = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x + y).collect();
        Moments {
            count: self.count + other.count,
            sum: (add(&self.sum.0, &other.sum.0), add(&self.sum.1, &other.sum.1)),
            product: &self.product + &other.product,
        }
    }

    /// The means of `x` and of `y`.
    pub fn means(&self) -> (Vec<f64>, Vec<f64>) {
        let mean = |sum: &[f64]| sum.iter().map(|s| s / self.count.max(1.0)).collect();
        (mean(&self.sum.0), mean(&self.sum.1))
    }

    /// The covariance `E[(x - E x)(y - E y)ᵀ]`.
    pub fn covariance(&self) -> Mat<f64> {
        let (x, y) = self.means();
        let n = self.count.max(1.0);
        Mat::from_fn(x.len(), y.len(), |i, j| self.product[(i, j)] / n - x[i] * y[j])
    }
}

fn add_columns(sum: &mut [f64], rows: &Mat<f64>) {
    for (j, total) in sum.iter_mut().enumerate() {
        *total += rows.col(j).iter().sum::<f64>();
    }
}

/// Vectors along the middle of a view of an axis, one for every other position, as rows. Of more than `limit` rows,
/// as many are taken at even distances.
pub fn rows(tensor: &Tensor, axis: usize, view: View, limit: usize) -> Result<Mat<f64>, TensorError> {
    let numbers = tensor.to_f64()?;
    let behind: usize = tensor.shape[axis + 1..].iter().product();
    let View { outer, length, inner, .. } = view;
    let (stride, block) = (inner * behind, length * inner * behind);
    let total = numbers.len() / length.max(1);
    let taken = total.min(limit.max(1));
    debug_assert!(outer == 0 || total % outer == 0, "the view fits the axis");
    let start = |t: usize| {
        // Position of row `t` of `total`, spread evenly; products stay far below 2^64.
        let row = t * total / taken.max(1);
        (row / stride) * block + row % stride
    };
    Ok(Mat::from_fn(taken, length, |t, k| numbers[start(t) + k * stride]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::axes::Solver;

    fn view(outer: usize, length: usize, inner: usize) -> View {
        View { var: Solver::default().fresh(crate::ir::Dim::from(length)), outer, length, inner }
    }

    #[test]
    fn covariances_of_a_few_numbers() {
        let x = Mat::from_fn(4, 2, |t, k| [[1.0, 2.0], [3.0, 2.0], [5.0, 0.0], [7.0, 4.0]][t][k]);
        let mut moments = Moments::new(2, 2);
        moments.add(&x, &x);
        let merged = moments.merged(&moments);
        assert_eq!(merged.means().0, [4.0, 2.0]);
        let c = merged.covariance();
        assert_eq!([c[(0, 0)], c[(0, 1)], c[(1, 0)], c[(1, 1)]], [5.0, 1.0, 1.0, 2.0]);
    }

    #[test]
    fn rows_run_along_the_middle_of_the_axis() {
        let numbers: Vec<f32> = (0..24).map(|x| x as f32).collect();
        let image = Tensor::from_f32(vec![2, 3, 4], &numbers);
        let channels = rows(&image, 1, view(1, 3, 1), 100).unwrap();
        assert_eq!((channels.nrows(), channels[(1, 0)], channels[(1, 2)], channels[(4, 0)]), (8, 1.0, 9.0, 12.0));
        // The same numbers, flattened: channels with four positions each.
        let flat = Tensor::from_f32(vec![2, 12], &numbers);
        assert_eq!(rows(&flat, 1, view(1, 3, 4), 100).unwrap(), channels);
        assert_eq!(rows(&image, 1, view(1, 3, 1), 3).unwrap().nrows(), 3);
    }
}
