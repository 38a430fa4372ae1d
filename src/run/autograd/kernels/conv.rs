//! Convolutions over two axes as products of matrices, and their derivatives.
//!
//! A matrix of patches has a row for each tap of the kernel and a column for each pixel of the result (im2col:
//! Chellapilla, Puri, Simard, 2006). Groups that make one channel (depthwise) have no use for a product of matrices;
//! theirs are sums of rows.

use super::rows::{Number, add, add_scaled, dot};
use super::sizes::{Fall, Run, WindowSizes};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use std::ops::Range;

/// `[n, o, *result]` of images `x [n, c, *image]` and weights `w [o, c / groups, *kernel]`.
pub(super) fn forward<T: Number>(x: &[T], w: &[T], sizes: &WindowSizes) -> Vec<T> {
    let (results, falls) = (sizes.results(), sizes.stretches());
    let mut y = vec![T::ZERO; sizes.samples * results.of_sample()];
    let (mut patches, mut made) = (vec![], vec![]);
    for part in sizes.parts() {
        for group in 0..sizes.groups {
            let columns = part.len() * results.size;
            Block { sizes, falls: &falls, part: part.clone(), group }.gather(x, &mut patches);
            made.clear();
            made.resize(sizes.made * columns, T::ZERO);
            multiply(&mut made, weights(w, sizes, group), &patches, [sizes.made, sizes.taps(), columns]);
            for (sample, row) in results.rows(&part) {
                y[results.at(sample, group, row)].copy_from_slice(&made[results.beside(&part, sample, row)]);
            }
        }
    }
    y
}

/// The derivatives by the images and by the weights, as far as they are wanted, from that by the result.
pub(super) fn backward<T: Number>(
    x: &[T],
    w: &[T],
    gradient: &[T],
    sizes: &WindowSizes,
    wanted: [bool; 2],
) -> [Option<Vec<T>>; 2] {
    let (results, falls) = (sizes.results(), sizes.stretches());
    let [mut by_x, mut by_w] = [(wanted[0], x.len()), (wanted[1], w.len())].map(|(w, n)| w.then(|| vec![T::ZERO; n]));
    let (mut patches, mut gradients) = (vec![], vec![]);
    for part in sizes.parts() {
        let columns = part.len() * results.size;
        let shape = [sizes.made, sizes.taps(), columns];
        for group in 0..sizes.groups {
            let block = Block { sizes, falls: &falls, part: part.clone(), group };
            gradients.resize(sizes.made * columns, T::ZERO);
            for (sample, row) in results.rows(&part) {
                gradients[results.beside(&part, sample, row)]
                    .copy_from_slice(&gradient[results.at(sample, group, row)]);
            }
            if let Some(by_w) = &mut by_w {
                block.gather(x, &mut patches);
                let span = group * sizes.made * sizes.taps();
                multiply_by_patches(&mut by_w[span..][..sizes.made * sizes.taps()], &gradients, &patches, shape);
            }
            if let Some(by_x) = &mut by_x {
                patches.clear();
                patches.resize(sizes.taps() * columns, T::ZERO);
                multiply_by_weights(&mut patches, weights(w, sizes, group), &gradients, shape);
                block.scatter(&mut patches, by_x);
            }
        }
    }
    [by_x, by_w]
}

/// The weights of a group, `[made, taps]`.
fn weights<'a, T>(w: &'a [T], sizes: &WindowSizes, group: usize) -> &'a [T] {
    let count = sizes.made * sizes.taps();
    &w[group * count..][..count]
}

/// Where the taps of a kernel fall, for a group of channels in some samples.
struct Block<'a> {
    sizes: &'a WindowSizes,
    falls: &'a [Fall],
    part: Range<usize>,
    group: usize,
}

impl Block<'_> {
    /// Each row's stretch for a sample with the plane that it is read from.
    fn rows(&self) -> impl Iterator<Item = (Range<usize>, Range<usize>, &Fall)> {
        let (images, results) = (self.sizes.images(), self.sizes.results());
        images.rows(&self.part).flat_map(move |(sample, channel)| {
            self.falls.iter().enumerate().map(move |(at, fall)| {
                let row = results.beside(&self.part, sample, channel * self.falls.len() + at);
                (row, images.at(sample, self.group, channel), fall)
            })
        })
    }

    /// The patches, side by side: `[taps, samples · pixels]`.
    fn gather<T: Number>(&self, x: &[T], patches: &mut Vec<T>) {
        patches.clear();
        patches.resize(self.sizes.taps() * self.part.len() * self.sizes.results().size, T::ZERO);
        for (row, plane, fall) in self.rows() {
            let (row, plane) = (&mut patches[row], &x[plane]);
            for &Run { to, count, from } in &fall.runs {
                let row = &mut row[to..to + count];
                match self.sizes.step() {
                    1 => row.copy_from_slice(&plane[from..from + count]),
                    step => row.iter_mut().zip(plane[from..].iter().step_by(step)).for_each(|(r, &p)| *r = p),
                }
            }
            fall.gaps.iter().for_each(|gap| row[gap.clone()].fill(T::ZERO));
        }
    }

    /// Adds up patches where they lie on the images.
    fn scatter<T: Number>(&self, patches: &mut [T], x: &mut [T]) {
        for (row, plane, fall) in self.rows() {
            let (row, plane) = (&mut patches[row], &mut x[plane]);
            fall.gaps.iter().for_each(|gap| row[gap.clone()].fill(T::ZERO));
            for &Run { to, count, from } in &fall.runs {
                let row = &row[to..to + count];
                match self.sizes.step() {
                    1 => add(&mut plane[from..from + count], row),
                    step => plane[from..].iter_mut().step_by(step).zip(row).for_each(|(p, &r)| *p += r),
                }
            }
        }
    }
}

/// `y [made, columns] += w [made, taps] · patches [taps, columns]`.
fn multiply<T: Number>(y: &mut [T], w: &[T], patches: &[T], [made, taps, columns]: [usize; 3]) {
    if made == 1 {
        return w.iter().zip(patches.chunks_exact(columns)).for_each(|(&w, row)| add_scaled(y, w, row));
    }
    let (w, patches) = (matrix(w, made, taps), matrix(patches, taps, columns));
    matmul(MatMut::from_row_major_slice_mut(y, made, columns), Accum::Add, w, patches, T::ONE, Par::Seq);
}

/// `w [made, taps] += gradients [made, columns] · patchesᵀ`.
fn multiply_by_patches<T: Number>(w: &mut [T], gradients: &[T], patches: &[T], [made, taps, columns]: [usize; 3]) {
    if made == 1 {
        return w.iter_mut().zip(patches.chunks_exact(columns)).for_each(|(w, row)| *w += dot(gradients, row));
    }
    let (gradients, patches) = (matrix(gradients, made, columns), matrix(patches, taps, columns));
    matmul(
        MatMut::from_row_major_slice_mut(w, made, taps),
        Accum::Add,
        gradients,
        patches.transpose(),
        T::ONE,
        Par::Seq,
    );
}

/// `patches [taps, columns] += wᵀ · gradients [made, columns]`.
fn multiply_by_weights<T: Number>(patches: &mut [T], w: &[T], gradients: &[T], [made, taps, columns]: [usize; 3]) {
    if made == 1 {
        return w.iter().zip(patches.chunks_exact_mut(columns)).for_each(|(&w, row)| add_scaled(row, w, gradients));
    }
    let (w, gradients) = (matrix(w, made, taps), matrix(gradients, made, columns));
    matmul(
        MatMut::from_row_major_slice_mut(patches, taps, columns),
        Accum::Add,
        w.transpose(),
        gradients,
        T::ONE,
        Par::Seq,
    );
}

fn matrix<T>(elements: &[T], rows: usize, columns: usize) -> MatRef<'_, T> {
    MatRef::from_row_major_slice(elements, rows, columns)
}
