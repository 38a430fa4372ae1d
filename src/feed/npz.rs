//! Arrays from numpy's files.

use crate::ir::{DType, Tensor};
use ndarray::{ArrayD, IxDyn, OwnedRepr};
use ndarray_npy::{NpzReader, ReadNpyError, ReadNpyExt, ReadNpzError, ReadableElement};
use std::fs::File;
use std::io::{BufReader, Seek};
use std::path::{Path, PathBuf};

/// Why an array can't be had from a file.
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
}

/// Whether a file holds a single array, by its name.
pub(super) fn is_npy(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "npy")
}

/// The array in a `.npy` file.
pub(super) fn array(path: &Path) -> Result<Tensor, NpzError> {
    let file = File::open(path).map_err(|source| NpzError::Open { path: path.into(), source })?;
    tensor(&mut Npy(file)).map_err(|e| NpzError::Read { path: path.into(), message: e.to_string() })
}

/// An open `.npz` file.
pub(super) struct Archive {
    path: PathBuf,
    zip: NpzReader<File>,
}

impl Archive {
    pub fn open(path: &Path) -> Result<Archive, NpzError> {
        let file = File::open(path).map_err(|source| NpzError::Open { path: path.into(), source })?;
        let zip = NpzReader::new(file).map_err(|e| NpzError::Read { path: path.into(), message: e.to_string() })?;
        Ok(Archive { path: path.into(), zip })
    }

    /// The names of all arrays.
    pub fn names(&mut self) -> Result<Vec<String>, NpzError> {
        let path = self.path.clone();
        self.zip.names().map_err(|e| NpzError::Read { path, message: e.to_string() })
    }

    pub fn array(&mut self, name: &str) -> Result<Tensor, NpzError> {
        let found = self.names()?;
        if !found.iter().any(|n| n == name) {
            return Err(NpzError::Missing { path: self.path.clone(), name: name.into(), found });
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
struct Npy(File);

impl Source for Npy {
    fn read<T: ReadableElement>(&mut self) -> Result<ArrayD<T>, ReadNpyError> {
        self.0.rewind()?;
        ReadNpyExt::read_npy(BufReader::new(&mut self.0))
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
