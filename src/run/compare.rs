//! How far the outputs of two models are apart, and how much that says.
//!
//! Equality proves little by itself: a network with untrained weights may answer every input alike. So a
//! comparison comes with the model's [`sensitivity`], how much its own outputs change with the input, in the same
//! measure as [`OutputDifference::max_rel`]. A difference means something where it is far below that.

use crate::ir::{Tensor, TensorError};
use std::fmt;

/// Outputs of one run, by name.
pub(crate) type Outputs = [(String, Tensor)];

/// What a relative error is measured against, at least.
const FLOOR: f64 = 1e-6;

/// Why outputs can't be compared.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say what each is.
pub enum CompareError {
    #[error("there is no output {name:?} on the other side; there are {found:?}")]
    Missing { name: String, found: Vec<String> },
    #[error("the output {name:?} has the shape {left:?} on one side and {right:?} on the other")]
    Shape { name: String, left: Vec<usize>, right: Vec<usize> },
    #[error("the output {name:?} is {left} on one side and {right} on the other")]
    ElementType { name: String, left: String, right: String },
    #[error("the output {name:?}: {source}")]
    Tensor { name: String, source: TensorError },
}

/// How far one output is from its reference, over all feeds so far.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct OutputDifference {
    pub name: String,
    /// The largest |a−b|. Infinite where one side alone is not a number or infinite.
    pub max_abs: f64,
    /// The largest |a−b| over the largest |a| (at least 1e-6).
    pub max_rel: f64,
    /// The cosine of the angle between a and b, all elements as one vector. 1 where both are zero.
    pub cosine: f64,
    /// ‖a−b‖ over ‖a‖ (at least 1e-6).
    pub relative_l2: f64,
    /// The share of elements that differ at all, where the elements are no floats.
    pub differing: Option<f64>,
    /// How many elements were compared.
    pub count: u64,
}

/// The largest of numbers from 0 up, and NaN where one of them is NaN: unlike [`f64::max`], which drops it.
pub(crate) fn largest(numbers: impl IntoIterator<Item = f64>) -> f64 {
    numbers.into_iter().fold(0.0, |most, x| if x.is_nan() || x > most { x } else { most })
}

/// How far the outputs of a model are from those of its reference.
#[derive(Clone, Debug, PartialEq, Default, serde::Serialize)]
pub struct Difference {
    pub outputs: Vec<OutputDifference>,
}

impl Difference {
    /// The largest difference of any output: its `max_rel`, or the share that differs where elements are no floats.
    pub fn worst(&self) -> f64 {
        largest(self.outputs.iter().map(|o| o.differing.unwrap_or(o.max_rel)))
    }

    /// The largest |a−b| of any output.
    pub fn worst_abs(&self) -> f64 {
        largest(self.outputs.iter().map(|o| o.max_abs))
    }

    /// The largest relative L2 distance of any output, or the share that differs where elements are no floats.
    pub fn drift(&self) -> f64 {
        largest(self.outputs.iter().map(|o| o.differing.unwrap_or(o.relative_l2)))
    }
}

impl fmt::Display for OutputDifference {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: max abs {:.1e}, max rel {:.1e}, ", self.name, self.max_abs, self.max_rel)?;
        write!(f, "rel L2 {:.1e}, cosine {:.6}", self.relative_l2, self.cosine)?;
        match self.differing {
            Some(share) => write!(f, ", {:.2} % differ", share * 100.0),
            None => Ok(()),
        }
    }
}

/// Collects differences feed by feed, in double precision.
#[derive(Clone, Debug, Default)]
pub struct Comparison(Vec<(String, Sums)>);

#[derive(Clone, Debug, Default)]
struct Sums {
    max_abs: f64,
    max_a: f64,
    aa: f64,
    bb: f64,
    ab: f64,
    dd: f64,
    count: u64,
    differing: u64,
    float: bool,
    /// A number met something that is not finite, or something else that is not.
    broken: bool,
}

impl Comparison {
    /// Adds the outputs of one feed: the reference's, and the other model's, which may come in another order.
    pub fn add(&mut self, reference: &Outputs, other: &Outputs) -> Result<(), CompareError> {
        for (name, a) in reference {
            let b = other.iter().find(|(n, _)| n == name).map(|(_, b)| b);
            let found = || other.iter().map(|(n, _)| n.clone()).collect();
            let b = b.ok_or_else(|| CompareError::Missing { name: name.clone(), found: found() })?;
            let at = self.0.iter().position(|(n, _)| n == name).unwrap_or_else(|| {
                self.0.push((name.clone(), Sums::default()));
                self.0.len() - 1
            });
            self.0[at].1.add_tensors(name, a, b)?;
        }
        Ok(())
    }

    /// The same where outputs may be of other lengths too: as many as there are of something that is found at run time. What
    /// is of another length is infinitely far away.
    pub fn add_of_any_length(&mut self, reference: &Outputs, other: &Outputs) -> Result<(), CompareError> {
        for output in reference {
            match self.add(std::slice::from_ref(output), other) {
                Err(CompareError::Shape { .. }) => {
                    let sums = self.0.iter_mut().find(|(name, _)| *name == output.0);
                    let float = output.1.dtype.is_float();
                    sums.into_iter().for_each(|(_, sums)| (sums.broken, sums.float) = (true, float));
                }
                found => found?,
            }
        }
        Ok(())
    }

    /// The differences so far.
    pub fn finish(&self) -> Difference {
        Difference { outputs: self.0.iter().map(|(name, sums)| sums.finish(name)).collect() }
    }
}

impl Sums {
    fn add_tensors(&mut self, name: &str, a: &Tensor, b: &Tensor) -> Result<(), CompareError> {
        if a.shape != b.shape {
            let (left, right) = (a.shape.clone(), b.shape.clone());
            return Err(CompareError::Shape { name: name.into(), left, right });
        }
        if a.dtype != b.dtype {
            let (left, right) = (a.dtype.to_string(), b.dtype.to_string());
            return Err(CompareError::ElementType { name: name.into(), left, right });
        }
        self.float = a.dtype.is_float();
        let numbers = |t: &Tensor| t.to_f64().map_err(|source| CompareError::Tensor { name: name.into(), source });
        let (left, right) = (numbers(a)?, numbers(b)?);
        left.into_iter().zip(right).for_each(|(a, b)| self.add(a, b));
        Ok(())
    }

    fn add(&mut self, a: f64, b: f64) {
        self.count += 1;
        if a.is_finite() && b.is_finite() {
            self.max_abs = self.max_abs.max((a - b).abs());
            self.max_a = self.max_a.max(a.abs());
            self.aa += a * a;
            self.bb += b * b;
            self.ab += a * b;
            self.dd += (a - b) * (a - b);
            self.differing += u64::from(a != b);
        } else if !(a == b || a.is_nan() && b.is_nan()) {
            self.differing += 1;
            self.broken = true;
        }
    }

    fn finish(&self, name: &str) -> OutputDifference {
        let finite = |x: f64| if self.broken { f64::INFINITY } else { x };
        let norms = self.aa.sqrt() * self.bb.sqrt();
        let cosine = match (self.aa == 0.0, self.bb == 0.0) {
            (true, true) => 1.0,
            (false, false) => (self.ab / norms).clamp(-1.0, 1.0),
            _ => 0.0,
        };
        OutputDifference {
            name: name.into(),
            max_abs: finite(self.max_abs),
            max_rel: finite(self.max_abs / self.max_a.max(FLOOR)),
            cosine: if self.broken { 0.0 } else { cosine },
            relative_l2: finite(self.dd.sqrt() / self.aa.sqrt().max(FLOOR)),
            differing: (!self.float).then(|| match self.broken {
                true => 1.0,
                false => self.differing as f64 / self.count.max(1) as f64,
            }),
            count: self.count,
        }
    }
}

/// How much a model's outputs change from one feed to another: the `max_rel` of each output, or the share of
/// elements that change where they are no floats. An output whose very shape changes has an infinite sensitivity.
pub(crate) fn sensitivity(one: &Outputs, another: &Outputs) -> Result<Vec<(String, f64)>, CompareError> {
    let of = |(name, tensor): &(String, Tensor)| {
        let mut comparison = Comparison::default();
        match comparison.add(&[(name.clone(), tensor.clone())], another) {
            Ok(()) => Ok((name.clone(), comparison.finish().worst())),
            Err(CompareError::Shape { .. }) => Ok((name.clone(), f64::INFINITY)),
            Err(error) => Err(error),
        }
    };
    one.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::DType;

    fn output(values: &[f32]) -> Vec<(String, Tensor)> {
        vec![("y".into(), Tensor::from_f32(vec![values.len()], values))]
    }

    fn difference(a: &[f32], b: &[f32]) -> OutputDifference {
        let mut comparison = Comparison::default();
        comparison.add(&output(a), &output(b)).unwrap();
        comparison.finish().outputs.remove(0)
    }

    #[test]
    fn measures_of_one_output() {
        let d = difference(&[3.0, -4.0], &[3.0, -3.0]);
        assert_eq!((d.max_abs, d.max_rel, d.relative_l2), (1.0, 0.25, 0.2));
        assert!((d.cosine - 21.0 / (5.0 * 18f64.sqrt())).abs() < 1e-12);
        assert_eq!(difference(&[0.0], &[0.0]).cosine, 1.0);
        assert_eq!(difference(&[0.0], &[1e-6]).max_rel, f64::from(1e-6f32) / 1e-6);
    }

    #[test]
    fn feeds_add_up() {
        let mut comparison = Comparison::default();
        comparison.add(&output(&[10.0]), &output(&[10.0])).unwrap();
        comparison.add(&output(&[1.0, 2.0]), &output(&[1.0, 3.0])).unwrap();
        let d = comparison.finish().outputs.remove(0);
        assert_eq!((d.max_rel, d.count), (0.1, 3));
    }

    #[test]
    fn what_is_not_finite_must_agree() {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        assert_eq!(difference(&[inf, nan, 1.0], &[inf, nan, 1.0]).max_rel, 0.0);
        for (a, b) in [(inf, -inf), (nan, 1.0), (1.0, inf), (nan, inf)] {
            assert_eq!(difference(&[a], &[b]).max_rel, f64::INFINITY);
        }
    }

    #[test]
    fn what_is_not_a_number_is_never_dropped() {
        assert_eq!(largest([0.5, 2.0, 1.0]), 2.0);
        assert_eq!(largest([]), 0.0);
        assert!(largest([f64::NAN, 1.0]).is_nan() && largest([1.0, f64::NAN, 2.0]).is_nan());
        // Sums of squares that overflow leave no distance, which is not the same as none.
        let huge = |x: f64| vec![("y".to_owned(), Tensor::from_f64(DType::F64, vec![2], &[x, -x]).unwrap())];
        let mut comparison = Comparison::default();
        comparison.add(&huge(1e200), &huge(1e199)).unwrap();
        let difference = comparison.finish();
        assert!(difference.drift().is_nan(), "{difference:?}");
        assert!(difference.worst() > 0.8);
    }

    #[test]
    fn integers_are_equal_or_not() {
        let pair = |v: &[i64]| vec![("y".to_owned(), Tensor::from_i64(vec![4], v))];
        let mut comparison = Comparison::default();
        comparison.add(&pair(&[1, 2, 3, 4]), &pair(&[1, 2, 3, 400])).unwrap();
        assert_eq!(comparison.finish().worst(), 0.25);
    }

    #[test]
    fn what_can_not_be_compared_is_an_error() {
        let mut comparison = Comparison::default();
        let error = comparison.add(&output(&[1.0]), &output(&[1.0, 2.0])).unwrap_err();
        assert!(matches!(error, CompareError::Shape { .. }));
        comparison.add_of_any_length(&output(&[1.0]), &output(&[1.0, 2.0])).unwrap();
        assert_eq!(comparison.finish().worst(), f64::INFINITY);
        assert!(matches!(comparison.add(&output(&[1.0]), &[]), Err(CompareError::Missing { .. })));
    }

    #[test]
    fn sensitivity_is_a_difference_between_feeds() {
        let s = sensitivity(&output(&[4.0, 1.0]), &output(&[4.0, 2.0])).unwrap();
        assert_eq!(s, [("y".to_owned(), 0.25)]);
        assert_eq!(sensitivity(&output(&[4.0]), &output(&[4.0, 2.0])).unwrap()[0].1, f64::INFINITY);
        assert!(sensitivity(&output(&[4.0]), &[]).is_err());
    }
}
