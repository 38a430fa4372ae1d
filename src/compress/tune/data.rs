//! What a training sees: samples in an order of lots, with labels beside them.

use super::TuneError;
use crate::feed::{Feed, Samples};
use crate::ir::{DType, Tensor};
use crate::judge::{self, JudgeError};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// The order of `count` things in an epoch: each once, the same for the same seed.
pub(super) fn order(count: usize, seed: u64, epoch: usize) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(epoch as u64);
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut rng);
    order
}

/// Labels of portions, as 64-bit integers or floats: those of the samples, or the tokens that follow in their feed.
pub(super) fn labels(
    samples: &Samples,
    portions: &[usize],
    feed: &Feed,
    next: bool,
) -> Result<Option<Tensor>, TuneError> {
    let labels = match samples.labels_of(portions) {
        None if next => judge::following(feed)?,
        None => return Ok(None),
        Some(labels) => labels,
    };
    Ok(match labels.dtype {
        d if d.is_float() || d == DType::I64 => Some(labels),
        _ => labels.to_i64().map(|numbers| Tensor::from_i64(labels.shape.clone(), &numbers)),
    })
}

/// Fails if some label is none of so many classes. Negative labels don't count.
pub(super) fn check(samples: &Samples, classes: usize) -> Result<(), TuneError> {
    let labels = samples.labels().and_then(|l| if l.dtype.is_float() { None } else { l.to_i64() });
    let strange = labels.unwrap_or_default().into_iter().find(|&l| l >= 0 && l as usize >= classes);
    strange.map_or(Ok(()), |label| Err(JudgeError::Range { label, classes }.into()))
}

/// An input whose numbers are not all finite.
pub(super) fn strange(feed: &Feed) -> Option<&str> {
    let is_finite = |t: &Tensor| t.to_f64().is_ok_and(|v| v.iter().all(|x| x.is_finite()));
    feed.iter().find(|(_, t)| t.dtype.is_float() && !is_finite(t)).map(|(name, _)| name.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_drawn_for_each_epoch_by_the_seed() {
        let mut first = order(100, 7, 0);
        assert_eq!(first, order(100, 7, 0));
        assert_ne!(first, order(100, 7, 1));
        assert_ne!(first, order(100, 8, 0));
        first.sort_unstable();
        assert!(first.into_iter().eq(0..100));
    }

    #[test]
    fn inputs_that_are_no_numbers_are_found() {
        let feed = |x: f32| Feed::new(vec![("x".into(), Tensor::from_f32(vec![2], &[1.0, x]))]);
        assert_eq!(strange(&feed(f32::INFINITY)), Some("x"));
        assert_eq!(strange(&feed(2.0)), None);
    }
}
