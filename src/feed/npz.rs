//! Samples and labels from numpy's files.

use super::{Feed, InputSpec};
use crate::ir::{Atom, DType, Dim, Payload, Tensor};
use ndarray::{ArrayD, IxDyn, OwnedRepr};
use ndarray_npy::{NpzReader, ReadNpyError, ReadNpzError, ReadableElement};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Why samples or labels can't be had from a file.
#[derive(Debug, thiserror::Error)]
pub enum NpzError {
    #[error("{path}: {source}")]
    Open { path: PathBuf, source: std::io::Error },
    #[error("{path}: {message}")]
    Read { path: PathBuf, message: String },
    #[error("{path}: the array {name:?}: {message}")]
    Array { path: PathBuf, name: String, message: String },
    #[error("{path} has no array {name:?}; it has {found:?}")]
    Missing { path: PathBuf, name: String, found: Vec<String> },
    #[error("the array {name:?} has the shape {found:?}, but the input is [{expected}]")]
    Shape { name: String, expected: String, found: Vec<usize> },
    #[error("the array {name:?} has elements of type {found}, which are no {expected}")]
    ElementType { name: String, expected: DType, found: DType },
    #[error("the array {name:?} has {count} samples, but {other:?} has {other_count}")]
    Samples { name: String, count: usize, other: String, other_count: usize },
    #[error("the input {name:?} takes {batch} samples at a time; {count} are no multiple of that")]
    Batch { name: String, batch: usize, count: usize },
    #[error("the array {name:?} makes {symbol} {size}, but another one makes it {other}")]
    Symbol { name: String, symbol: String, size: i64, other: i64 },
    #[error("{0} has no samples")]
    Empty(PathBuf),
    #[error("labels are integers, but {0} has elements of type {1}")]
    Labels(PathBuf, DType),
}

/// Labels, one a sample: the array `labels` of a `.npz` file, or a `.npy` file.
pub fn labels(path: &Path) -> Result<Vec<i64>, NpzError> {
    let tensor = if path.extension().is_some_and(|e| e == "npy") {
        let read = tensor(&mut Npy(path));
        read.map_err(|e| NpzError::Read { path: path.into(), message: e.to_string() })?
    } else {
        Archive::open(path)?.array("labels")?
    };
    tensor.to_i64().ok_or_else(|| NpzError::Labels(path.into(), tensor.dtype))
}

/// See [`Feed::from_npz`].
pub fn feeds(path: &Path, inputs: &[InputSpec], batch: Option<usize>) -> Result<Vec<Feed>, NpzError> {
    let mut archive = Archive::open(path)?;
    let mut symbols = Symbols::default();
    let mut arrays = Vec::with_capacity(inputs.len());
    for input in inputs {
        let tensor = archive.array(&input.name)?;
        let samples = samples(input, &tensor, &mut symbols)?;
        arrays.push((input, converted(input, tensor)?, samples));
    }
    // A single fixed size is all there is where every input fits whole.
    let Some((total, batch)) = split(&arrays, batch)? else {
        let whole = arrays.into_iter().map(|(input, tensor, _)| (input.name.clone(), tensor));
        return Ok(vec![Feed::new(whole.collect())]);
    };
    if total == 0 {
        return Err(NpzError::Empty(path.into()));
    }
    let starts = (0..total).step_by(batch);
    Ok(starts.map(|at| slice(&arrays, at, (at + batch).min(total))).collect())
}

type Arrays<'a> = Vec<(&'a InputSpec, Tensor, Samples)>;

/// How an array serves an input.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Samples {
    /// It is the input, in every feed.
    Whole,
    /// Its first axis counts samples, of which any number can be taken at a time.
    Free,
    /// Its first axis counts samples, of which the model takes just so many at a time.
    By(usize),
}

/// The sizes that symbols have been found to have.
#[derive(Default)]
struct Symbols(BTreeMap<Atom, i64>);

impl Symbols {
    fn check(&mut self, name: &str, dim: &Dim, size: usize) -> Result<(), NpzError> {
        let Some(atom) = dim.as_atom() else { return Ok(()) };
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        let other = *self.0.entry(atom.clone()).or_insert(size);
        if other == size {
            return Ok(());
        }
        Err(NpzError::Symbol { name: name.into(), symbol: atom.to_string(), size, other })
    }
}

/// How the array serves the input, if its shape fits at all.
fn samples(input: &InputSpec, array: &Tensor, symbols: &mut Symbols) -> Result<Samples, NpzError> {
    let misfit = || {
        let expected: Vec<String> = input.shape.iter().map(Dim::to_string).collect();
        NpzError::Shape { name: input.name.clone(), expected: expected.join(", "), found: array.shape.clone() }
    };
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
    let (Some(first), Some(&count)) = (input.shape.first(), array.shape.first()) else { return Ok(Samples::Whole) };
    match first.size() {
        _ if first.fixed().is_none() => Ok(Samples::Free),
        Some(size) if size == count => Ok(Samples::Whole),
        Some(size) if size > 0 => Ok(Samples::By(size)),
        _ => Err(misfit()),
    }
}

/// How many samples there are and how many go into a feed; `None` where all arrays serve whole.
fn split(arrays: &Arrays, batch: Option<usize>) -> Result<Option<(usize, usize)>, NpzError> {
    let counted = arrays.iter().filter(|(_, _, s)| *s != Samples::Whole);
    let counted: Vec<(&str, usize, Samples)> = counted.map(|(i, t, s)| (i.name.as_str(), t.shape[0], *s)).collect();
    let Some(&(first, total, _)) = counted.first() else { return Ok(None) };
    let mut size = batch.unwrap_or(total).max(1);
    for &(name, count, samples) in &counted {
        if count != total {
            let (name, other) = (name.into(), first.into());
            return Err(NpzError::Samples { name, count, other, other_count: total });
        }
        if let Samples::By(batch) = samples {
            if count % batch != 0 {
                return Err(NpzError::Batch { name: name.into(), batch, count });
            }
            size = batch;
        }
    }
    Ok(Some((total, size)))
}

/// The feed of the samples `from..to`.
fn slice(arrays: &Arrays, from: usize, to: usize) -> Feed {
    let part = |(input, tensor, samples): &(&InputSpec, Tensor, Samples)| {
        let mut part = tensor.clone();
        if let (true, Payload::Raw(data)) = (*samples != Samples::Whole, &tensor.payload) {
            let row = data.len() / tensor.shape[0];
            part.payload = Payload::Raw(data.slice(from * row..to * row));
            part.shape[0] = to - from;
        }
        (input.name.clone(), part)
    };
    Feed::new(arrays.iter().map(part).collect())
}

/// The array in the input's element type, if no number changes but by rounding.
fn converted(input: &InputSpec, array: Tensor) -> Result<Tensor, NpzError> {
    let (from, to) = (array.dtype, input.dtype);
    if from == to {
        return Ok(array);
    }
    let refused = || NpzError::ElementType { name: input.name.clone(), expected: to, found: from };
    if from.is_float() && !to.is_float() {
        return Err(refused());
    }
    let values = array.to_f64().map_err(|_| refused())?;
    let result = Tensor::from_f64(to, array.shape.clone(), &values).ok_or_else(refused)?;
    // Integers must come back as they went; floats may be rounded.
    let exact = to.is_float() || result.to_i64() == array.to_i64();
    if exact { Ok(result) } else { Err(refused()) }
}

/// An open `.npz` file.
struct Archive {
    path: PathBuf,
    zip: NpzReader<File>,
}

impl Archive {
    fn open(path: &Path) -> Result<Archive, NpzError> {
        let file = File::open(path).map_err(|source| NpzError::Open { path: path.into(), source })?;
        let zip = NpzReader::new(file).map_err(|e| NpzError::Read { path: path.into(), message: e.to_string() })?;
        Ok(Archive { path: path.into(), zip })
    }

    fn array(&mut self, name: &str) -> Result<Tensor, NpzError> {
        let path = || self.path.clone();
        let found = self.zip.names().map_err(|e| NpzError::Read { path: path(), message: e.to_string() })?;
        if !found.iter().any(|n| n == name) {
            return Err(NpzError::Missing { path: path(), name: name.into(), found });
        }
        let read = tensor(&mut Entry { zip: &mut self.zip, name });
        read.map_err(|e| NpzError::Array { path: self.path.clone(), name: name.into(), message: e.to_string() })
    }
}

/// Something that holds one array, of an element type yet to be found out.
trait Source {
    fn read<T: ReadableElement>(&mut self) -> Result<ArrayD<T>, ReadNpyError>;
}

/// A `.npy` file.
struct Npy<'a>(&'a Path);

impl Source for Npy<'_> {
    fn read<T: ReadableElement>(&mut self) -> Result<ArrayD<T>, ReadNpyError> {
        ndarray_npy::read_npy(self.0)
    }
}

/// An array in an archive.
struct Entry<'a> {
    zip: &'a mut NpzReader<File>,
    name: &'a str,
}

impl Source for Entry<'_> {
    fn read<T: ReadableElement>(&mut self) -> Result<ArrayD<T>, ReadNpyError> {
        self.zip.by_name::<OwnedRepr<T>, IxDyn>(self.name).map_err(|e| match e {
            ReadNpzError::Npy(e) => e,
            ReadNpzError::Zip(e) => ReadNpyError::Io(e.into()),
        })
    }
}

/// The array as a tensor: reads it as one type after the other until its header agrees.
fn tensor(source: &mut impl Source) -> Result<Tensor, ReadNpyError> {
    macro_rules! attempt {
        ($($ty:ty => $dtype:ident, $bytes:expr;)*) => {$(
            match source.read::<$ty>() {
                Err(ReadNpyError::WrongDescriptor(_)) => {}
                Err(error) => return Err(error),
                Ok(array) => {
                    let data: Vec<u8> = array.iter().flat_map($bytes).collect();
                    return Ok(Tensor::new(DType::$dtype, array.shape().to_vec(), data).expect("sizes agree"));
                }
            }
        )*};
    }
    attempt! {
        f32 => F32, |v| v.to_le_bytes();
        f64 => F64, |v| v.to_le_bytes();
        i64 => I64, |v| v.to_le_bytes();
        i32 => I32, |v| v.to_le_bytes();
        i16 => I16, |v| v.to_le_bytes();
        i8 => I8, |v| v.to_le_bytes();
        u64 => U64, |v| v.to_le_bytes();
        u32 => U32, |v| v.to_le_bytes();
        u16 => U16, |v| v.to_le_bytes();
        bool => Bool, |&v| [u8::from(v)];
    }
    // The last one's complaint names the type that the file has.
    let array = source.read::<u8>()?;
    Ok(Tensor::new(DType::U8, array.shape().to_vec(), array.iter().copied().collect::<Vec<u8>>()).expect("sizes agree"))
}

#[cfg(test)]
#[path = "npz_tests.rs"]
mod tests;
