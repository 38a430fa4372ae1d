//! Samples from arrays, one for each input. They are read once, as a whole; feeds are slices of them.

use super::npz::{self, Archive};
use super::source::{Opened, Source, Together};
use super::{Feed, FeedError, InputSpec, joined};
use crate::ir::{Atom, DType, Dim, Payload, Tensor};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Why an array does not serve an input.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say what each is.
pub enum ArrayError {
    #[error("the array {name:?} has the shape {found:?}, but the input is [{expected}]")]
    Shape { name: String, expected: String, found: Vec<usize> },
    #[error("the array {name:?} has elements of type {found}, which can't be read as {expected}")]
    ElementType { name: String, expected: DType, found: DType },
    #[error("the array {name:?} has a NaN in sample {sample}, counted from 0; leave such samples out")]
    NotANumber { name: String, sample: usize },
    #[error("the array {name:?} has {count} samples, but {other:?} has {other_count}")]
    Samples { name: String, count: usize, other: String, other_count: usize },
    #[error("the input {name:?} takes {batch} samples at a time, but {other:?} takes {other_batch}")]
    Batch { name: String, batch: usize, other: String, other_batch: usize },
    #[error("the array {name:?} makes {symbol} {size}, but another one makes it {other}")]
    Symbol { name: String, symbol: String, size: i64, other: i64 },
    #[error("zeros for the state {0:?} can't be made; give an array for it")]
    State(String),
    #[error("a .npy file holds one array, but the model has the inputs {0:?}; give a .npz file")]
    OneArray(Vec<String>),
}

impl ArrayError {
    /// The array has another shape than the input.
    pub(super) fn misfit(input: &InputSpec, array: &Tensor) -> ArrayError {
        let expected: Vec<String> = input.shape.iter().map(Dim::to_string).collect();
        ArrayError::Shape { name: input.name.clone(), expected: expected.join(", "), found: array.shape.clone() }
    }
}

/// Opens a `.npz` file, or a `.npy` file for a model of one input.
pub(super) fn open(path: &Path, inputs: &[InputSpec]) -> Result<Opened, FeedError> {
    let mut symbols = Symbols::default();
    let mut arrays = Vec::with_capacity(inputs.len());
    let mut add = |input: &InputSpec, tensor: Tensor| -> Result<(), FeedError> {
        let serves = serves(input, &tensor, &mut symbols)?;
        let (name, axis, tensor) = (input.name.clone(), input.batch, converted(input, tensor)?);
        if let Some(at) = tensor.nan() {
            let (inner, rows) = (tensor.shape.iter().skip(axis + 1).product::<usize>(), tensor.shape.get(axis));
            let sample = at / inner.max(1) % rows.copied().unwrap_or(1).max(1);
            return Err(ArrayError::NotANumber { name, sample }.into());
        }
        arrays.push(Array { name, tensor, axis, serves });
        Ok(())
    };
    let mut left_out = vec![];
    if npz::is_npy(path) {
        let needed: Vec<&InputSpec> = inputs.iter().filter(|i| !i.state).collect();
        let input = match (inputs, &needed[..]) {
            ([one], _) => one,
            (_, [one]) => *one,
            _ => return Err(ArrayError::OneArray(inputs.iter().map(|i| i.name.clone()).collect()).into()),
        };
        add(input, npz::array(path)?)?;
        left_out.extend(inputs.iter().filter(|i| i.name != input.name));
    } else {
        let mut archive = Archive::open(path)?;
        let names = archive.names();
        let known = |name: &String| inputs.iter().any(|i| i.name == *name) || LABELS.contains(&name.as_str());
        // An array that is for no input may be a state by another name.
        let complete = names.iter().all(known) && inputs.iter().any(|i| !i.state && names.contains(&i.name));
        for input in inputs {
            match complete && input.state && !names.contains(&input.name) {
                true => left_out.push(input),
                false => add(input, archive.array(&input.name)?)?,
            }
        }
    }
    let (samples, together) = count(&arrays)?;
    for input in &left_out {
        let shape = zeros_of(input, together.portion(), &|dim| symbols.of(dim));
        arrays.push(zeros(input, shape).ok_or_else(|| ArrayError::State(input.name.clone()))?);
    }
    arrays.sort_by_key(|array| inputs.iter().position(|i| i.name == array.name));
    let left_out = left_out.iter().map(|i| i.name.clone()).collect();
    Ok(Opened { source: Arc::new(Arrays { arrays, together }), samples, together, labels: None, left_out })
}

/// Arrays of an archive that are for no input.
const LABELS: [&str; 2] = ["labels", "targets"];

/// The shape of a state that samples lack, of so many samples: `of` tells the sizes that other inputs have.
pub(super) fn zeros_of(input: &InputSpec, samples: usize, of: &dyn Fn(&Dim) -> Option<i64>) -> Vec<usize> {
    let size = |(axis, dim): (usize, &Dim)| match dim.fixed() {
        Some(n) => n,
        None if axis == input.batch => samples as i64,
        None => of(dim).unwrap_or(input.lengths[axis].size),
    };
    input.shape.iter().enumerate().map(size).map(|n| usize::try_from(n).unwrap_or(0)).collect()
}

/// The zeros that a state begins with.
fn zeros(input: &InputSpec, shape: Vec<usize>) -> Option<Array> {
    let tensor = Tensor::from_f64(input.dtype, shape.clone(), &vec![0.0; shape.iter().product()])?;
    let open = input.shape.get(input.batch).is_some_and(|d| d.fixed().is_none());
    let serves = if open { Serves::Repeated } else { Serves::Whole };
    Some(Array { name: input.name.clone(), tensor, axis: input.batch, serves })
}

struct Arrays {
    arrays: Vec<Array>,
    together: Together,
}

struct Array {
    name: String,
    tensor: Tensor,
    /// The axis that counts samples.
    axis: usize,
    serves: Serves,
}

/// How an array serves an input.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Serves {
    /// It is the input, in every feed.
    Whole,
    /// It is the input for a portion, and repeated for more.
    Repeated,
    /// An axis counts samples, of which any number can be taken at a time.
    Free,
    /// An axis counts samples, of which the model takes just so many at a time.
    By(usize),
}

impl Source for Arrays {
    fn feed(&self, portions: &[usize]) -> Result<Feed, FeedError> {
        let n = self.together.portion();
        let rows: Vec<usize> = portions.iter().flat_map(|p| p * n..(p + 1) * n).collect();
        let part = |array: &Array| match array.serves {
            Serves::Whole => (array.name.clone(), array.tensor.clone()),
            Serves::Repeated => (array.name.clone(), joined(&vec![&array.tensor; portions.len()], array.axis)),
            _ => (array.name.clone(), taken(&array.tensor, array.axis, &rows)),
        };
        Ok(Feed::new(self.arrays.iter().map(part).collect()))
    }
}

/// The rows of an array along an axis. Neighbours along the first one are not copied.
fn taken(tensor: &Tensor, axis: usize, rows: &[usize]) -> Tensor {
    let neighbours = rows.windows(2).all(|w| w[0] + 1 == w[1]);
    let mut part = tensor.clone();
    part.shape[axis] = rows.len();
    match (&tensor.payload, rows) {
        (Payload::Raw(data), [first, ..]) if neighbours && axis == 0 => {
            let row = data.len() / tensor.shape[0];
            part.payload = Payload::Raw(data.slice(first * row..(first + rows.len()) * row));
            part
        }
        _ => tensor.select(axis, rows).unwrap_or(part),
    }
}

/// The sizes that symbols have been found to have.
#[derive(Default)]
pub(super) struct Symbols(BTreeMap<Atom, i64>);

impl Symbols {
    pub(super) fn of(&self, dim: &Dim) -> Option<i64> {
        dim.eval(&|atom| self.0.get(atom).copied())
    }

    fn check(&mut self, name: &str, dim: &Dim, size: usize) -> Result<(), ArrayError> {
        let Some(atom) = dim.as_atom() else { return Ok(()) };
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        let other = *self.0.entry(atom.clone()).or_insert(size);
        if other == size {
            return Ok(());
        }
        Err(ArrayError::Symbol { name: name.into(), symbol: atom.to_string(), size, other })
    }
}

/// How the array serves the input, if its shape fits at all.
pub(super) fn serves(input: &InputSpec, array: &Tensor, symbols: &mut Symbols) -> Result<Serves, ArrayError> {
    let misfit = || ArrayError::misfit(input, array);
    if input.shape.len() != array.shape.len() {
        return Err(misfit());
    }
    let others = input.shape.iter().zip(&array.shape).enumerate().filter(|(axis, _)| *axis != input.batch);
    for (_, (dim, &size)) in others {
        match dim.fixed() {
            Some(n) if Dim::Fixed(n).size() != Some(size) => return Err(misfit()),
            Some(_) => {}
            None => symbols.check(&input.name, dim, size)?,
        }
    }
    let at = input.batch;
    let (Some(first), Some(&count)) = (input.shape.get(at), array.shape.get(at)) else { return Ok(Serves::Whole) };
    match first.size() {
        _ if first.fixed().is_none() => Ok(Serves::Free),
        Some(size) if size == count => Ok(Serves::Whole),
        Some(size) if size > 0 => Ok(Serves::By(size)),
        _ => Err(misfit()),
    }
}

/// How many samples there are and how many go into a feed.
fn count(arrays: &[Array]) -> Result<(usize, Together), ArrayError> {
    let counted: Vec<&Array> = arrays.iter().filter(|a| a.serves != Serves::Whole).collect();
    let Some(first) = counted.first() else {
        // Every input fits whole: there is one feed, of as many samples as the first input's first axis says.
        let n = arrays.first().and_then(|a| a.tensor.shape.get(a.axis)).copied().unwrap_or(1);
        return Ok((n, Together::Just(n)));
    };
    let total = first.tensor.shape[first.axis];
    let mut by: Option<(&str, usize)> = None;
    for Array { name, tensor, axis, serves } in &counted {
        let (name, count) = (name.clone(), tensor.shape[*axis]);
        if count != total {
            return Err(ArrayError::Samples { name, count, other: first.name.clone(), other_count: total });
        }
        match (serves, by) {
            (Serves::By(batch), Some((other, other_batch))) if *batch != other_batch => {
                return Err(ArrayError::Batch { name, batch: *batch, other: other.into(), other_batch });
            }
            (Serves::By(batch), _) => by = Some((&first.name, *batch)),
            _ => {}
        }
    }
    Ok((total, by.map_or(Together::Any, |(_, n)| Together::Just(n))))
}

/// The array in the input's element type, if no number changes but by rounding.
fn converted(input: &InputSpec, array: Tensor) -> Result<Tensor, ArrayError> {
    let (from, to) = (array.dtype, input.dtype);
    if from == to {
        return Ok(array);
    }
    let refused = || ArrayError::ElementType { name: input.name.clone(), expected: to, found: from };
    if from.is_float() && !to.is_float() {
        return Err(refused());
    }
    let values = array.to_f64().map_err(|_| refused())?;
    let result = Tensor::from_f64(to, array.shape.clone(), &values).ok_or_else(refused)?;
    // Integers must come back as they went; floats may be rounded.
    let exact = to.is_float() || result.to_i64() == array.to_i64();
    if exact { Ok(result) } else { Err(refused()) }
}

#[cfg(test)]
#[path = "arrays_tests.rs"]
mod tests;
