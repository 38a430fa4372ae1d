//! What a training sees: samples in an order of lots, with the teacher's outputs and labels beside them.

use super::{Feature, TuneError};
use crate::feed::{Feed, Samples};
use crate::ir::{DType, Tensor};
use crate::judge::{self, JudgeError};
use crate::oracle::{OracleError, Runner, Setup, Signature};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;

/// Outputs of a teacher that are kept take no more memory than this, in bytes; beyond it they are computed each time.
const KEPT: usize = 512 << 20;

/// The order of `count` things in an epoch: each once, the same for the same seed.
pub fn order(count: usize, seed: u64, epoch: usize) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(epoch as u64);
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut rng);
    order
}

/// A model that a student learns from: its outputs, by name.
pub struct Teacher {
    model: Vec<u8>,
    dir: Option<PathBuf>,
    setup: Setup,
    /// Inner values that are told beside the outputs, behind them.
    pub(super) inner: Vec<Feature>,
    runner: RefCell<Option<(Vec<Signature>, Runner)>>,
    kept: RefCell<Kept>,
}

/// Outputs of portions, while they are few enough.
#[derive(Default)]
struct Kept {
    rows: HashMap<usize, Vec<(String, Tensor)>>,
    bytes: usize,
}

impl Teacher {
    /// A teacher from an encoded model.
    pub fn new(model: Vec<u8>, dir: Option<PathBuf>, setup: Setup, inner: Vec<Feature>) -> Teacher {
        Teacher { model, dir, setup, inner, runner: RefCell::default(), kept: RefCell::default() }
    }

    /// A hash of the model.
    pub fn hash(&self) -> u64 {
        xxhash_rust::xxh3::xxh3_64(&self.model)
    }

    /// The outputs for a feed of these portions. A portion is not run twice, if memory allows.
    pub fn outputs(&self, portions: &[usize], feed: &Feed) -> Result<Vec<(String, Tensor)>, TuneError> {
        if let Some(outputs) = self.kept.borrow().all(portions) {
            return Ok(outputs);
        }
        let outputs = self.cut(self.run(feed).map_err(TuneError::Teacher)?)?;
        self.kept.borrow_mut().keep(portions, &outputs);
        Ok(outputs)
    }

    fn run(&self, feed: &Feed) -> Result<Vec<(String, Tensor)>, OracleError> {
        let signature = feed.signature();
        let mut runner = self.runner.borrow_mut();
        if runner.as_ref().is_none_or(|(s, _)| *s != signature) {
            let dir = self.dir.as_deref();
            let made = match self.inner.is_empty() {
                true => Runner::on(&self.setup, &self.model, dir, &signature)?,
                false => {
                    let names: Vec<String> = self.inner.iter().map(|f| f.name.clone()).collect();
                    Runner::with_outputs(&self.model, dir, &signature, &names)?
                }
            };
            *runner = Some((signature, made));
        }
        let (_, runner) = runner.as_ref().expect("it was just made");
        runner.run(feed)
    }

    /// The inner values, as the student has them.
    fn cut(&self, mut outputs: Vec<(String, Tensor)>) -> Result<Vec<(String, Tensor)>, TuneError> {
        for feature in &self.inner {
            let inner = outputs.iter_mut().find(|(name, _)| *name == feature.name);
            let (_, tensor) = inner.ok_or_else(|| TuneError::NoOutput(feature.name.clone()))?;
            *tensor = feature.of(tensor.clone())?;
        }
        Ok(outputs)
    }
}

impl Kept {
    fn all(&self, portions: &[usize]) -> Option<Vec<(String, Tensor)>> {
        let rows: Vec<&Vec<(String, Tensor)>> = portions.iter().map(|p| self.rows.get(p)).collect::<Option<_>>()?;
        let output = |at: usize| {
            let parts: Vec<&Tensor> = rows.iter().map(|row| &row[at].1).collect();
            Some((rows[0][at].0.clone(), joined(&parts)?))
        };
        (0..rows.first()?.len()).map(output).collect()
    }

    /// Keeps what belongs to each portion, if the first axes of the outputs count samples.
    fn keep(&mut self, portions: &[usize], outputs: &[(String, Tensor)]) {
        let bytes: usize = outputs.iter().map(|(_, t)| t.byte_len()).sum();
        let counts = |t: &Tensor| t.shape.first().is_some_and(|&n| n > 0 && n.is_multiple_of(portions.len()));
        if self.bytes + bytes > KEPT || !outputs.iter().all(|(_, t)| counts(t)) {
            return;
        }
        self.bytes += bytes;
        for (at, portion) in portions.iter().enumerate() {
            let part = |(name, t): &(String, Tensor)| {
                let rows = t.shape[0] / portions.len();
                Some((name.clone(), t.select(0, &(at * rows..(at + 1) * rows).collect::<Vec<_>>()).ok()?))
            };
            if let Some(row) = outputs.iter().map(part).collect() {
                self.rows.insert(*portion, row);
            }
        }
    }
}

/// The rows of one tensor after those of another.
fn joined(parts: &[&Tensor]) -> Option<Tensor> {
    let first = parts.first()?;
    let mut bytes = vec![];
    for part in parts {
        bytes.extend_from_slice(part.raw().ok()?);
    }
    let rows = parts.iter().map(|p| p.shape.first().copied().unwrap_or(1)).sum();
    let mut shape = first.shape.clone();
    *shape.first_mut()? = rows;
    Tensor::new(first.dtype, shape, bytes).ok()
}

/// Labels of portions, as 64-bit integers or floats: those of the samples, or the tokens that follow in their feed.
pub fn labels(samples: &Samples, portions: &[usize], feed: &Feed, next: bool) -> Result<Option<Tensor>, TuneError> {
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
pub fn check(samples: &Samples, classes: usize) -> Result<(), TuneError> {
    let labels = samples.labels().and_then(|l| if l.dtype.is_float() { None } else { l.to_i64() });
    let strange = labels.unwrap_or_default().into_iter().find(|&l| l >= 0 && l as usize >= classes);
    strange.map_or(Ok(()), |label| Err(JudgeError::Range { label, classes }.into()))
}

/// An input whose numbers are not all finite.
pub fn strange(feed: &Feed) -> Option<&str> {
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
    fn outputs_of_portions_are_put_together_in_any_order() {
        let mut kept = Kept::default();
        let outputs = |rows: &[f32]| vec![("y".to_owned(), Tensor::from_f32(vec![rows.len() / 2, 2], rows))];
        kept.keep(&[4, 7], &outputs(&[1.0, 2.0, 3.0, 4.0]));
        let found = kept.all(&[7, 4]).expect("both are there");
        assert_eq!((found[0].1.shape.clone(), found[0].1.to_f64()), (vec![2, 2], Ok(vec![3.0, 4.0, 1.0, 2.0])));
        assert!(kept.all(&[4, 5]).is_none());
        // Three rows do not belong to two samples.
        kept.keep(&[1, 2], &outputs(&[0.0; 6]));
        assert!(kept.all(&[1]).is_none());
    }

    #[test]
    fn inputs_that_are_no_numbers_are_found() {
        let feed = |x: f32| Feed::new(vec![("x".into(), Tensor::from_f32(vec![2], &[1.0, x]))]);
        assert_eq!(strange(&feed(f32::INFINITY)), Some("x"));
        assert_eq!(strange(&feed(2.0)), None);
    }
}
