//! What the slices of a constant are like, along one of its axes: found in one pass over the numbers, where they lie.
//!
//! Of each slice it is known between which numbers it lies, which number is the largest, and what all sum up to. That is
//! all that bounds need, and it tells nearly all slices apart that are no multiples of each other: scaled to the largest
//! number, multiples have it at the same place and the same sum. So only few are ever compared number by number.

use crate::ir::{DType, Tensor};
use crate::ops::Interval;
use std::ops::Add;

/// What the numbers at one index of an axis are like, or all those of a unit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slice {
    /// Between which numbers it lies.
    pub hull: Interval,
    /// The largest number, whatever its sign, the first of several; a NaN, where there is one.
    pub largest: f64,
    /// Where that stands in the slice.
    pub at: usize,
    pub sum: f64,
    /// How many numbers there are.
    pub count: usize,
}

impl Slice {
    const EMPTY: Slice = Slice { hull: Interval::NONE, largest: 0.0, at: usize::MAX, sum: 0.0, count: 0 };

    /// Takes in one number more, at this place.
    fn take(&mut self, x: f64, at: usize) {
        self.hull = self.hull.hull(Interval::point(x));
        self.lead(x, at);
        self.sum += x;
        self.count += 1;
    }

    /// Takes in what another one holds, whose largest number stands at this place of this one.
    fn join(&mut self, other: &Slice, at: usize) {
        self.hull = self.hull.hull(other.hull);
        self.lead(other.largest, at);
        self.sum += other.sum;
        self.count += other.count;
    }

    fn lead(&mut self, x: f64, at: usize) {
        if x.abs().total_cmp(&self.largest.abs()).then(self.at.cmp(&at)).is_gt() {
            (self.largest, self.at) = (x, at);
        }
    }
}

/// The slices of an axis, by index. `None` for what holds no floats.
pub(super) fn along(tensor: &Tensor, axis: usize) -> Option<Vec<Slice>> {
    let raw = tensor.raw().ok()?;
    let shape = Shape::of(tensor, axis);
    let slices = match tensor.dtype {
        DType::F32 => shape.slices(raw, f32::from_le_bytes),
        DType::F64 => shape.slices(raw, f64::from_le_bytes),
        DType::F16 => shape.slices(raw, |b| half::f16::from_le_bytes(b).to_f32()),
        DType::BF16 => shape.slices(raw, |b| half::bf16::from_le_bytes(b).to_f32()),
        _ => return None,
    };
    tensor.release();
    Some(slices)
}

/// Between which numbers lies what a tensor of floats holds.
pub(super) fn hull(tensor: &Tensor) -> Option<Interval> {
    let flat = Tensor { shape: vec![1, tensor.count()], ..tensor.clone() };
    Some(along(&flat, 0)?.first().map_or(Interval::NONE, |s| s.hull))
}

/// The slices of a leaf's units, from those of the axis that alone carries the leaf. `units` has the unit of each index.
pub(super) fn of_units(
    shape: &[usize],
    axis: usize,
    indices: &[Slice],
    units: &[Option<u32>],
    size: usize,
) -> Vec<Slice> {
    let inner: usize = shape[axis + 1..].iter().product();
    let mut indices_of = vec![0; size];
    units.iter().flatten().for_each(|&unit| indices_of[unit as usize] += 1);
    let mut slices = vec![Slice::EMPTY; size];
    let mut rank = vec![0; size];
    for (slice, unit) in indices.iter().zip(units) {
        let Some(unit) = unit.map(|u| u as usize) else { continue };
        // A slice lists its numbers in the order of the tensor: all its indices in each of the parts before the axis.
        let (part, within) = (slice.at / inner.max(1), slice.at % inner.max(1));
        slices[unit].join(slice, (part * indices_of[unit] + rank[unit]) * inner + within);
        rank[unit] += 1;
    }
    slices
}

/// A tensor as `outer × length × inner`, with an axis in the middle.
struct Shape {
    outer: usize,
    length: usize,
    inner: usize,
}

/// Rows of fewer numbers are looked at side by side.
const LONG: usize = 48;
/// How many rows are looked at before the largest number is looked for.
const ROWS: usize = 64;
/// So many rows are looked at together. Sums of so few numbers are as good in the numbers' own precision.
const TOGETHER: usize = 4;

impl Shape {
    fn of(tensor: &Tensor, axis: usize) -> Shape {
        let (before, behind) = (&tensor.shape[..axis], &tensor.shape[axis + 1..]);
        Shape { outer: before.iter().product(), length: tensor.shape[axis], inner: behind.iter().product() }
    }

    fn slices<const N: usize, T: Number>(&self, raw: &[u8], read: impl Fn([u8; N]) -> T + Copy) -> Vec<Slice> {
        let numbers: &[[u8; N]] = raw.as_chunks().0;
        let found = match self.inner >= LONG || self.outer == 1 {
            true => self.by_runs(numbers, read),
            false => self.by_columns(numbers, read),
        };
        // What is no finite number is found by its sum, and looked at again.
        match found.iter().all(|s| s.sum.is_finite()) {
            true => found,
            false => self.one_by_one(numbers, read),
        }
    }

    /// One number after the other.
    fn one_by_one<const N: usize, T: Number>(&self, numbers: &[[u8; N]], read: impl Fn([u8; N]) -> T) -> Vec<Slice> {
        let mut slices = vec![Slice::EMPTY; self.length];
        for (run, numbers) in numbers.chunks_exact(self.inner.max(1)).enumerate() {
            let (part, index) = (run / self.length, run % self.length);
            for (i, &x) in numbers.iter().enumerate() {
                slices[index].take(read(x).double(), part * self.inner + i);
            }
        }
        slices
    }

    /// Run by run, where runs at one index are long.
    fn by_runs<const N: usize, T: Number>(&self, numbers: &[[u8; N]], read: impl Fn([u8; N]) -> T) -> Vec<Slice> {
        let mut slices = vec![Slice::EMPTY; self.length];
        for (run, numbers) in numbers.chunks_exact(self.inner.max(1)).enumerate() {
            let (part, index) = (run / self.length, run % self.length);
            let (least, most, sum) = extremes(numbers, &read);
            let mut found = Slice { hull: Interval::new(least.double(), most.double()), sum, ..Slice::EMPTY };
            found.count = numbers.len();
            let largest = T::larger(most, least.negated());
            let slice = &mut slices[index];
            let at = match largest.double() > slice.largest.abs() || slice.count == 0 {
                true => first_of_size(numbers, largest, &read).unwrap_or(0),
                false => 0,
            };
            found.largest = numbers.get(at).map_or(0.0, |&x| read(x).double());
            slice.join(&found, part * self.inner + at);
        }
        slices
    }

    /// Many short rows: the numbers in a column belong together, and then the columns of an index.
    fn by_columns<const N: usize, T: Number>(&self, numbers: &[[u8; N]], read: impl Fn([u8; N]) -> T) -> Vec<Slice> {
        let width = self.length * self.inner;
        let mut columns = vec![Slice::EMPTY; width];
        let (mut least, mut most, mut sum) = (vec![T::ZERO; width], vec![T::ZERO; width], vec![0.0; width]);
        for (block, numbers) in numbers.chunks(ROWS * width.max(1)).enumerate() {
            let first = &numbers[..width];
            first.iter().zip(least.iter_mut().zip(&mut most)).for_each(|(&x, (l, m))| (*l, *m) = (read(x), read(x)));
            sum.fill(0.0);
            let several = numbers.chunks_exact(TOGETHER * width);
            let rest = several.remainder();
            for rows in several {
                let rows: [&[[u8; N]]; TOGETHER] = std::array::from_fn(|row| &rows[row * width..(row + 1) * width]);
                for (at, ((l, m), s)) in least.iter_mut().zip(&mut most).zip(&mut sum).enumerate() {
                    let x: [T; TOGETHER] = std::array::from_fn(|row| read(rows[row][at]));
                    (*l, *m) = (x.iter().copied().fold(*l, T::smaller), x.iter().copied().fold(*m, T::larger));
                    *s += ((x[0] + x[1]) + (x[2] + x[3])).double();
                }
            }
            for row in rest.chunks_exact(width) {
                for (((&x, l), m), s) in row.iter().zip(&mut least).zip(&mut most).zip(&mut sum) {
                    let x = read(x);
                    (*l, *m) = (T::smaller(*l, x), T::larger(*m, x));
                    *s += x.double();
                }
            }
            for (at, column) in columns.iter_mut().enumerate() {
                let largest = T::larger(most[at], least[at].negated());
                column.hull = column.hull.hull(Interval::new(least[at].double(), most[at].double()));
                column.sum += sum[at];
                column.count += numbers.len() / width;
                if largest.double() > column.largest.abs() || column.at == usize::MAX {
                    let column_of = || numbers.iter().skip(at).step_by(width);
                    let row = column_of().position(|&x| read(x).size() == largest).unwrap_or(0);
                    column.largest = column_of().nth(row).map_or(0.0, |&x| read(x).double());
                    column.at = block * ROWS + row;
                }
            }
        }
        let mut slices = vec![Slice::EMPTY; self.length];
        for (at, column) in columns.iter().enumerate() {
            slices[at / self.inner.max(1)].join(column, column.at * self.inner + at % self.inner.max(1));
        }
        slices
    }
}

/// Where the first number of a size stands. Whether it is in a block is asked of all numbers there at once.
fn first_of_size<const N: usize, T: Number>(
    numbers: &[[u8; N]],
    size: T,
    read: &impl Fn([u8; N]) -> T,
) -> Option<usize> {
    const BLOCK: usize = 64;
    let is_it = |x: &[u8; N]| read(*x).size() == size;
    let has_it = |block: &[[u8; N]]| block.iter().fold(false, |found, x| found | is_it(x));
    let block = numbers.chunks(BLOCK).position(has_it)?;
    numbers[block * BLOCK..].iter().position(is_it).map(|at| block * BLOCK + at)
}

/// The least and the greatest number, and the sum of all, in several lanes at once.
fn extremes<const N: usize, T: Number>(numbers: &[[u8; N]], read: &impl Fn([u8; N]) -> T) -> (T, T, f64) {
    const LANES: usize = 8;
    let first = numbers.first().map_or(T::ZERO, |&x| read(x));
    let (mut least, mut most, mut sum) = ([first; LANES], [first; LANES], 0.0);
    let (lanes, rest) = numbers.as_chunks::<LANES>();
    for lanes in lanes.chunks(LANES) {
        let mut sums = [T::ZERO; LANES];
        for numbers in lanes {
            let x: [T; LANES] = std::array::from_fn(|lane| read(numbers[lane]));
            for lane in 0..LANES {
                least[lane] = T::smaller(least[lane], x[lane]);
                most[lane] = T::larger(most[lane], x[lane]);
                sums[lane] = sums[lane] + x[lane];
            }
        }
        sum += sums.iter().map(|s| s.double()).sum::<f64>();
    }
    for (lane, &x) in rest.iter().enumerate() {
        let x = read(x);
        (least[lane], most[lane]) = (T::smaller(least[lane], x), T::larger(most[lane], x));
        sum += x.double();
    }
    let fold = |lanes: [T; LANES], f: fn(T, T) -> T| lanes.into_iter().fold(first, f);
    (fold(least, T::smaller), fold(most, T::larger), sum)
}

/// A float, as it is read.
trait Number: Copy + PartialEq + Add<Output = Self> {
    const ZERO: Self;
    fn double(self) -> f64;
    fn negated(self) -> Self;
    fn size(self) -> Self;
    fn smaller(a: Self, b: Self) -> Self;
    fn larger(a: Self, b: Self) -> Self;
}

macro_rules! number {
    ($type:ty) => {
        impl Number for $type {
            const ZERO: $type = 0.0;
            #[inline]
            fn double(self) -> f64 {
                self.into()
            }
            #[inline]
            fn negated(self) -> $type {
                -self
            }
            #[inline]
            fn size(self) -> $type {
                self.abs()
            }
            // Comparisons of which NaN knows nothing: they are one instruction, and NaN shows in the sum.
            #[inline]
            fn smaller(a: $type, b: $type) -> $type {
                if b < a { b } else { a }
            }
            #[inline]
            fn larger(a: $type, b: $type) -> $type {
                if b > a { b } else { a }
            }
        }
    };
}

number!(f32);
number!(f64);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_pass_finds_what_looking_at_each_number_finds(
            outer in 1usize..140, length in 1usize..5, inner in prop_oneof![1usize..4, 47usize..60], seed in 0u64..1000,
            odd in prop_oneof![Just(None), Just(Some(f32::NAN)), Just(Some(f32::INFINITY)), Just(Some(9.0))],
        ) {
            let count = outer * length * inner;
            let draw = |k: usize| ((k as u64 * 2_654_435_761 + seed * 977) >> 7) % 13;
            let mut numbers: Vec<f32> = (0..count).map(|k| draw(k) as f32 - 6.0).collect();
            if let Some(odd) = odd {
                numbers[seed as usize % count] = odd;
            }
            let tensor = Tensor::from_f32(vec![outer, length, inner], &numbers);
            let shape = Shape::of(&tensor, 1);
            let raw = tensor.raw().unwrap();
            let slow = shape.one_by_one(raw.as_chunks().0, f32::from_le_bytes);
            for (a, b) in along(&tensor, 1).unwrap().iter().zip(&slow) {
                prop_assert_eq!((a.hull, a.at, a.count), (b.hull, b.at, b.count));
                prop_assert!(a.largest.to_bits() == b.largest.to_bits() && (a.sum == b.sum || a.sum.is_nan() && b.sum.is_nan()));
            }
        }
    }
}
