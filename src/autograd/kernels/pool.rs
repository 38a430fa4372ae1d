//! The largest in each window, and where it was.

use super::rows::Number;
use super::sizes::{Run, Sizes};

/// The largest elements, and their places on their planes; the first where several are. What is no number is larger
/// than all.
pub fn forward<T: Number>(x: &[T], sizes: &Sizes) -> (Vec<T>, Vec<u32>) {
    let (images, results) = (sizes.images().size, sizes.results().size);
    let (planes, falls) = (x.len() / images.max(1), sizes.falls());
    let mut largest = vec![T::LEAST; planes * results];
    let mut places = vec![0; planes * results];
    for plane in 0..planes {
        let x = &x[plane * images..][..images];
        let largest = &mut largest[plane * results..][..results];
        let places = &mut places[plane * results..][..results];
        for &Run { to, count, from } in falls.iter().flat_map(|fall| &fall.runs) {
            let seen = x[from..].iter().zip(from as u32..).step_by(sizes.step());
            let so_far = largest[to..to + count].iter_mut().zip(&mut places[to..to + count]);
            for ((largest, place), (&x, at)) in so_far.zip(seen) {
                #[expect(clippy::eq_op, reason = "only what is no number differs from itself")]
                let is_larger = x > *largest || x != x;
                *largest = if is_larger { x } else { *largest };
                *place = if is_larger { at } else { *place };
            }
        }
    }
    (largest, places)
}

/// The derivative by the images, from that by the largest elements.
pub fn backward<T: Number>(slope: &[T], places: &[u32], sizes: &Sizes) -> Vec<T> {
    let (images, results) = (sizes.images().size, sizes.results().size);
    let mut by_x = vec![T::ZERO; slope.len() / results.max(1) * images];
    let planes = by_x.chunks_exact_mut(images.max(1));
    for ((by_x, slope), places) in planes.zip(slope.chunks_exact(results)).zip(places.chunks_exact(results)) {
        for (&slope, &place) in slope.iter().zip(places) {
            by_x[place as usize] += slope;
        }
    }
    by_x
}
