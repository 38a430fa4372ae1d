//! Random choices for generators, made from a list of numbers that proptest draws, and shrinks, for us.
//!
//! Every choice takes the next number; once none is left, all are zero. A zero is always the simplest choice, so that
//! a failure shrinks to a small case although the generators are plain functions.

use secateur::ir::{DType, Tensor};

/// The numbers that are left.
pub struct Draw<'a>(pub std::slice::Iter<'a, u32>);

impl<'a> Draw<'a> {
    pub fn new(numbers: &'a [u32]) -> Draw<'a> {
        Draw(numbers.iter())
    }

    fn next(&mut self) -> u32 {
        self.0.next().copied().unwrap_or(0)
    }

    /// A number from `low` to `high`, both included.
    pub fn range(&mut self, low: usize, high: usize) -> usize {
        low + self.next() as usize % (high - low + 1)
    }

    pub fn int(&mut self, low: i64, high: i64) -> i64 {
        low + i64::from(self.next()) % (high - low + 1)
    }

    pub fn flip(&mut self) -> bool {
        self.range(0, 1) == 1
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.range(0, from.len() - 1)]
    }

    /// As many numbers of a range as asked for.
    pub fn list(&mut self, count: usize, low: i64, high: i64) -> Vec<i64> {
        (0..count).map(|_| self.int(low, high)).collect()
    }

    /// A shape of these ranks, of axes of length 1 to 4.
    pub fn shape(&mut self, low: usize, high: usize) -> Vec<usize> {
        let rank = self.range(low, high);
        (0..rank).map(|_| self.range(1, 4)).collect()
    }

    /// An axis of a rank, counted from either end.
    pub fn axis(&mut self, rank: usize) -> i64 {
        let axis = self.range(0, rank - 1) as i64;
        if self.flip() { axis - rank as i64 } else { axis }
    }

    /// Some different axes, at least `least`, in no order; half of them counted from the end.
    pub fn axes(&mut self, rank: usize, least: usize) -> Vec<i64> {
        let mut axes = self.permutation(rank);
        axes.truncate(self.range(least, rank));
        axes.into_iter().map(|a| if self.flip() { a as i64 - rank as i64 } else { a as i64 }).collect()
    }

    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut left: Vec<usize> = (0..n).collect();
        (0..n).map(|_| left.remove(self.range(0, left.len() - 1))).collect()
    }

    /// Some of the indices below `n`, ascending, at least one.
    pub fn keep(&mut self, n: usize, at_least: usize) -> Vec<usize> {
        let mut kept: std::collections::BTreeSet<usize> = (0..n).filter(|_| self.flip()).collect();
        while kept.len() < at_least.clamp(1, n) {
            kept.insert(self.range(0, n - 1));
        }
        kept.into_iter().collect()
    }

    /// A part of a shape that broadcasts to it: leading axes missing, others of length 1.
    pub fn broadcast(&mut self, to: &[usize]) -> Vec<usize> {
        let from = self.range(0, to.len());
        to[from..].iter().map(|&d| if self.range(0, 3) == 3 { 1 } else { d }).collect()
    }

    /// A tensor of numbers spread evenly from `low` to `high`.
    pub fn tensor(&mut self, dtype: DType, shape: &[usize], low: f64, high: f64) -> Tensor {
        let mut state = u64::from(self.next());
        let count = shape.iter().product();
        let whole = !dtype.is_float();
        let values: Vec<f64> = (0..count)
            .map(|_| {
                let unit = (split_mix(&mut state) >> 11) as f64 / (1u64 << 53) as f64;
                if whole { (low + unit * (high - low + 1.0)).floor() } else { low + unit * (high - low) }
            })
            .collect();
        match dtype {
            DType::I64 => Tensor::from_i64(shape.to_vec(), &values.iter().map(|&v| v as i64).collect::<Vec<_>>()),
            _ => Tensor::from_f64(dtype, shape.to_vec(), &values).expect("a type of numbers"),
        }
    }

    /// A float tensor from -1 to 1.
    pub fn floats(&mut self, shape: &[usize]) -> Tensor {
        self.tensor(DType::F32, shape, -1.0, 1.0)
    }
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The index of an axis that may be counted from the end.
pub(crate) fn index(axis: i64, rank: usize) -> usize {
    axis.rem_euclid(rank as i64) as usize
}
