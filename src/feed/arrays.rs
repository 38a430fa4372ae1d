//! Samples from arrays, one for each input. They are read once, as a whole; feeds are slices of them.

use super::npz::{self, Archive};
use super::source::{Opened, Source, Together};
use super::{Feed, FeedError, InputSpec};
use crate::ir::{Atom, DType, Dim, Payload, Tensor};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Why an array does not serve an input.
#[derive(Debug, thiserror::Error)]
pub enum ArrayError {
    #[error("the array {name:?} has the shape {found:?}, but the input is [{expected}]")]
    Shape { name: String, expected: String, found: Vec<usize> },
    #[error("the array {name:?} has elements of type {found}, which are no {expected}")]
    ElementType { name: String, expected: DType, found: DType },
    #[error("the array {name:?} has {count} samples, but {other:?} has {other_count}")]
    Samples { name: String, count: usize, other: String, other_count: usize },
    #[error("the input {name:?} takes {batch} samples at a time, but {other:?} takes {other_batch}")]
    Batch { name: String, batch: usize, other: String, other_batch: usize },
    #[error("the array {name:?} makes {symbol} {size}, but another one makes it {other}")]
    Symbol { name: String, symbol: String, size: i64, other: i64 },
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
        arrays.push(Array { name: input.name.clone(), tensor: converted(input, tensor)?, serves });
        Ok(())
    };
    if npz::is_npy(path) {
        let [input] = inputs else {
            return Err(ArrayError::OneArray(inputs.iter().map(|i| i.name.clone()).collect()).into());
        };
        add(input, npz::array(path)?)?;
    } else {
        let mut archive = Archive::open(path)?;
        for input in inputs {
            add(input, archive.array(&input.name)?)?;
        }
    }
    let (samples, together) = count(&arrays)?;
    Ok(Opened { source: Arc::new(Arrays { arrays, together }), samples, together, labels: None })
}

struct Arrays {
    arrays: Vec<Array>,
    together: Together,
}

struct Array {
    name: String,
    tensor: Tensor,
    serves: Serves,
}

/// How an array serves an input.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Serves {
    /// It is the input, in every feed.
    Whole,
    /// Its first axis counts samples, of which any number can be taken at a time.
    Free,
    /// Its first axis counts samples, of which the model takes just so many at a time.
    By(usize),
}

impl Source for Arrays {
    fn feed(&self, portions: &[usize]) -> Result<Feed, FeedError> {
        let n = self.together.portion();
        let rows: Vec<usize> = portions.iter().flat_map(|p| p * n..(p + 1) * n).collect();
        let part = |array: &Array| match array.serves {
            Serves::Whole => (array.name.clone(), array.tensor.clone()),
            _ => (array.name.clone(), taken(&array.tensor, &rows)),
        };
        Ok(Feed::new(self.arrays.iter().map(part).collect()))
    }
}

/// The rows of an array. Neighbours are not copied.
fn taken(tensor: &Tensor, rows: &[usize]) -> Tensor {
    let neighbours = rows.windows(2).all(|w| w[0] + 1 == w[1]);
    let mut part = tensor.clone();
    part.shape[0] = rows.len();
    match (&tensor.payload, rows) {
        (Payload::Raw(data), [first, ..]) if neighbours => {
            let row = data.len() / tensor.shape[0];
            part.payload = Payload::Raw(data.slice(first * row..(first + rows.len()) * row));
            part
        }
        _ => tensor.select(0, rows).unwrap_or(part),
    }
}

/// The sizes that symbols have been found to have.
#[derive(Default)]
pub(super) struct Symbols(BTreeMap<Atom, i64>);

impl Symbols {
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
    for (dim, &size) in input.shape.iter().zip(&array.shape).skip(1) {
        match dim.fixed() {
            Some(n) if Dim::Fixed(n).size() != Some(size) => return Err(misfit()),
            Some(_) => {}
            None => symbols.check(&input.name, dim, size)?,
        }
    }
    let (Some(first), Some(&count)) = (input.shape.first(), array.shape.first()) else { return Ok(Serves::Whole) };
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
        let n = arrays.first().and_then(|a| a.tensor.shape.first()).copied().unwrap_or(1);
        return Ok((n, Together::Just(n)));
    };
    let total = first.tensor.shape[0];
    let mut by: Option<(&str, usize)> = None;
    for Array { name, tensor, serves } in &counted {
        let (name, count) = (name.clone(), tensor.shape[0]);
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
