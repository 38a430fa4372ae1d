//! First and second moments of vectors, as running sums.
//!
//! Products are made in 32 bits, block by block and about the block's mean, so that large means cost no digits; the sums
//! over blocks are in double precision.

use super::draw::Draw;
use crate::contraction::View;
use crate::ir::{DType, Tensor, TensorError};
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
    pub fn add(&mut self, x: &Mat<f32>, y: &Mat<f32>) {
        let count = x.nrows() as f64;
        if x.nrows() == 0 {
            return;
        }
        self.count += count;
        let (of_x, of_y) = (Centred::new(x), Centred::new(y));
        let mut block = Mat::<f32>::zeros(x.ncols(), y.ncols());
        matmul(block.as_mut(), Accum::Replace, of_x.rest.transpose(), of_y.rest.as_ref(), 1.0, Par::Seq);
        for j in 0..y.ncols() {
            let mean = f64::from(of_y.middle[j]);
            let column = self.product.col_mut(j);
            let block = block.col(j);
            for (i, p) in column.iter_mut().enumerate() {
                // Σ x yᵀ = Σ (x - a)(y - b)ᵀ + a Σ (y - b)ᵀ + Σ x bᵀ
                *p += f64::from(block[i]) + f64::from(of_x.middle[i]) * of_y.left[j] + of_x.sum[i] * mean;
            }
        }
        self.sum.0.iter_mut().zip(&of_x.sum).for_each(|(t, s)| *t += s);
        self.sum.1.iter_mut().zip(&of_y.sum).for_each(|(t, s)| *t += s);
    }

    /// Adds some of the rows.
    pub fn add_rows(&mut self, x: &Mat<f32>, y: &Mat<f32>, rows: std::ops::Range<usize>) {
        if rows.len() == x.nrows() {
            return self.add(x, y);
        }
        let of = |m: &Mat<f32>| m.as_ref().subrows(rows.start, rows.len()).to_owned();
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

/// Rows about numbers near their mean.
struct Centred {
    /// The sums of all columns.
    sum: Vec<f64>,
    /// What was taken away from each.
    middle: Vec<f32>,
    /// The rows without that, and the sums of what is left.
    rest: Mat<f32>,
    left: Vec<f64>,
}

impl Centred {
    fn new(rows: &Mat<f32>) -> Centred {
        let count = rows.nrows().max(1) as f64;
        let total = |j: usize| rows.col(j).iter().map(|x| f64::from(*x)).sum::<f64>();
        let sum: Vec<f64> = (0..rows.ncols()).map(total).collect();
        let middle: Vec<f32> = sum.iter().map(|s| (s / count) as f32).collect();
        let mut rest = rows.clone();
        for (j, middle) in middle.iter().enumerate() {
            rest.col_mut(j).iter_mut().for_each(|x| *x -= middle);
        }
        let left = (0..rest.ncols()).map(|j| rest.col(j).iter().map(|x| f64::from(*x)).sum()).collect();
        Centred { sum, middle, rest, left }
    }
}

/// A tensor's numbers in 32 bits, read where they lie.
pub struct Floats<'a> {
    pub shape: &'a [usize],
    bytes: std::borrow::Cow<'a, [u8]>,
}

impl<'a> Floats<'a> {
    /// The numbers of a tensor.
    pub fn of(tensor: &'a Tensor) -> Result<Floats<'a>, TensorError> {
        let bytes = match tensor.dtype {
            DType::F32 => std::borrow::Cow::Borrowed(tensor.raw()?.as_ref()),
            _ => tensor.to_f64()?.into_iter().flat_map(|x| (x as f32).to_le_bytes()).collect::<Vec<u8>>().into(),
        };
        Ok(Floats { shape: &tensor.shape, bytes })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.bytes.len() / 4
    }

    /// One of them.
    #[inline]
    pub fn at(&self, i: usize) -> f32 {
        let b = &self.bytes[4 * i..4 * i + 4];
        f32::from_le_bytes([b[0], b[1], b[2], b[3]])
    }
}

/// Vectors along the middle of a view of an axis, one for every other position that is drawn, as rows.
pub fn rows(tensor: &Tensor, axis: usize, view: View, draw: Draw) -> Result<Mat<f32>, TensorError> {
    let numbers = Floats::of(tensor)?;
    let behind: usize = tensor.shape[axis + 1..].iter().product();
    let View { outer, length, inner, .. } = view;
    let (stride, block) = (inner * behind, length * inner * behind);
    let total = numbers.count() / length.max(1);
    debug_assert!(outer == 0 || total % outer == 0, "the view fits the axis");
    let starts: Vec<usize> = draw.of(total).map(|row| (row / stride) * block + row % stride).collect();
    Ok(Mat::from_fn(starts.len(), length, |t, k| numbers.at(starts[t] + k * stride)))
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
        let x = Mat::<f32>::from_fn(4, 2, |t, k| [[1.0, 2.0], [3.0, 2.0], [5.0, 0.0], [7.0, 4.0]][t][k]);
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
        let channels = rows(&image, 1, view(1, 3, 1), Draw::ALL).unwrap();
        assert_eq!((channels.nrows(), channels[(1, 0)], channels[(1, 2)], channels[(4, 0)]), (8, 1.0, 9.0, 12.0));
        // The same numbers, flattened: channels with four positions each.
        let flat = Tensor::from_f32(vec![2, 12], &numbers);
        assert_eq!(rows(&flat, 1, view(1, 3, 4), Draw::ALL).unwrap(), channels);
        assert_eq!(rows(&image, 1, view(1, 3, 1), Draw { feed: 0, rows: 3 }).unwrap().nrows(), 3);
    }
}
