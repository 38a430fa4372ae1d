//! The largest in each window, and where it was.

use super::rows::Number;
use super::sizes::{Run, WindowSizes};

/// The largest elements, and their places on their planes; the first where several are. What is no number is larger
/// than all.
pub(super) fn forward<T: Number>(x: &[T], sizes: &WindowSizes) -> (Vec<T>, Vec<u32>) {
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
pub(super) fn backward<T: Number>(gradient: &[T], places: &[u32], sizes: &WindowSizes) -> Vec<T> {
    let (images, results) = (sizes.images().size, sizes.results().size);
    let mut by_x = vec![T::ZERO; gradient.len() / results.max(1) * images];
    let planes = by_x.chunks_exact_mut(images.max(1));
    for ((by_x, gradient), places) in planes.zip(gradient.chunks_exact(results)).zip(places.chunks_exact(results)) {
        for (&gradient, &place) in gradient.iter().zip(places) {
            by_x[place as usize] += gradient;
        }
    }
    by_x
}
