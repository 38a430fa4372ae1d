//! Do two models compute the same?

use crate::compare::CompareError;
use crate::feed::{Feed, FeedError, Sizes};
use crate::ir::{Model, Tensor};
use crate::verify::{self, Role, VerifyError};
use std::fmt;

/// How many inputs are run.
const FEEDS: u64 = 3;

/// What a relative error is measured against, at least; the one of [`crate::compare`].
const FLOOR: f64 = 1e-6;

/// Where two models differ most.
#[derive(Clone, Debug, PartialEq)]
pub struct Mismatch {
    /// The output's name.
    pub output: String,
    /// The element's indices, one for each axis.
    pub at: Vec<usize>,
    /// The element of the first model, and of the second.
    pub values: (f64, f64),
    /// Their difference over the largest value of the first model's output.
    pub relative: f64,
    /// How many elements of the output are off by more than is allowed, and how many there are.
    pub off: (usize, usize),
    /// The seed of the random input.
    pub seed: u64,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let at = self.at.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        let ((a, b), (off, all)) = (self.values, self.off);
        write!(f, "`{}`[{at}] is {a} in the first model and {b} in the second: ", self.output)?;
        write!(f, "off by {:.1e}, {:.1e} of the output's largest value; ", (a - b).abs(), self.relative)?;
        write!(f, "{off} of {all} elements are off (random input of seed {})", self.seed)
    }
}

/// Asserts that two models compute the same for random inputs, in the oracle (tract). Differences count relative to the
/// largest value of an output; what is not finite has to be so in both.
///
/// # Panics
///
/// If they differ by more than `tolerance` (it says which output, where and by how much), if their outputs have other
/// names, types or shapes, or if one of them can't be run.
///
/// ```
/// # use secateur::{ir, testing::assert_equivalent};
/// let model = |op| ir::parse(&format!("g (f32[3] x) => (f32[3] y) {{ y = {op}(x) }}"), &|_| None).unwrap();
/// assert_equivalent(&model("Relu"), &model("Relu"), 1e-6);
/// ```
#[track_caller]
pub fn assert_equivalent(first: &Model, second: &Model, tolerance: f64) {
    match mismatch(first, second, tolerance) {
        Ok(None) => {}
        Ok(Some(found)) => panic!("the models differ by more than {tolerance:.0e}: {found}"),
        Err(e) => panic!("the models can't be compared: {e}"),
    }
}

/// Where two models differ most on random inputs; `None` where they do so by no more than `tolerance`.
pub fn mismatch(first: &Model, second: &Model, tolerance: f64) -> Result<Option<Mismatch>, VerifyError> {
    let specs = verify::input_specs(first)?;
    let feeds = (0..FEEDS).map(|seed| Feed::random_sized(&specs, &Sizes::assume(&specs), seed));
    let feeds: Vec<Feed> = feeds.collect::<Result<_, FeedError>>()?;
    let (a, b) = (verify::runner(first, Role::First, &feeds[0])?, verify::runner(second, Role::Second, &feeds[0])?);
    let mut worst: Option<Mismatch> = None;
    for (seed, feed) in feeds.iter().enumerate() {
        let run = |which| move |error| VerifyError::Oracle { which, error };
        let (left, right) = (a.run(feed).map_err(run(Role::First))?, b.run(feed).map_err(run(Role::Second))?);
        if left.len() != right.len() {
            let extra = right.iter().find(|(n, _)| left.iter().all(|(m, _)| m != n));
            let name = extra.map_or_else(String::new, |(n, _)| n.clone());
            return Err(CompareError::Missing { name, found: left.into_iter().map(|(n, _)| n).collect() }.into());
        }
        for (name, one) in &left {
            let found = || right.iter().map(|(n, _)| n.clone()).collect();
            let other = right.iter().find(|(n, _)| n == name).map(|(_, t)| t);
            let other = other.ok_or_else(|| CompareError::Missing { name: name.clone(), found: found() })?;
            let next = of_output(name, one, other, tolerance, seed as u64)?;
            worst = worst.into_iter().chain(next).reduce(|a, b| if b.relative > a.relative { b } else { a });
        }
    }
    Ok(worst)
}

fn of_output(name: &str, a: &Tensor, b: &Tensor, tolerance: f64, seed: u64) -> Result<Option<Mismatch>, CompareError> {
    let name = name.to_owned();
    if a.shape != b.shape {
        return Err(CompareError::Shape { name, left: a.shape.clone(), right: b.shape.clone() });
    }
    if a.dtype != b.dtype {
        return Err(CompareError::ElementType { name, left: a.dtype.to_string(), right: b.dtype.to_string() });
    }
    let numbers = |t: &Tensor| t.to_f64().map_err(|source| CompareError::Tensor { name: name.clone(), source });
    let (left, right) = (numbers(a)?, numbers(b)?);
    let largest = left.iter().filter(|x| x.is_finite()).fold(FLOOR, |m, x| m.max(x.abs()));
    let distance = |(a, b): (&f64, &f64)| match a == b || a.is_nan() && b.is_nan() {
        true => 0.0,
        false if a.is_finite() && b.is_finite() => (a - b).abs() / largest,
        false => f64::INFINITY,
    };
    let distances: Vec<f64> = left.iter().zip(&right).map(distance).collect();
    let off = distances.iter().filter(|d| **d > tolerance).count();
    let worst = (0..distances.len()).max_by(|&i, &j| distances[i].total_cmp(&distances[j]).then(j.cmp(&i)));
    let Some(i) = worst.filter(|_| off > 0) else { return Ok(None) };
    let (values, relative) = ((left[i], right[i]), distances[i]);
    Ok(Some(Mismatch { output: name, at: indices(i, &a.shape), values, relative, off: (off, left.len()), seed }))
}

/// The indices of an element, row-major.
fn indices(mut element: usize, shape: &[usize]) -> Vec<usize> {
    let mut at: Vec<usize> = shape.iter().map(|_| 0).collect();
    for (slot, &length) in at.iter_mut().zip(shape).rev() {
        *slot = element % length.max(1);
        element /= length.max(1);
    }
    at
}
