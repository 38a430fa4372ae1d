//! Arrays from numpy's files.

use crate::ir::{DType, Tensor};
use ndarray::ArrayD;
use ndarray_npy::{ReadNpyError, ReadNpyExt};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use zip::ZipArchive;

/// Why an array can't be had from a file.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say what each is.
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
    let bytes = std::fs::read(path).map_err(|source| NpzError::Open { path: path.into(), source })?;
    tensor(&bytes).map_err(|message| NpzError::Read { path: path.into(), message })
}

/// An open `.npz` file.
pub(super) struct Archive {
    path: PathBuf,
    zip: ZipArchive<File>,
}

impl Archive {
    pub(super) fn open(path: &Path) -> Result<Archive, NpzError> {
        let file = File::open(path).map_err(|source| NpzError::Open { path: path.into(), source })?;
        let zip = ZipArchive::new(file).map_err(|e| NpzError::Read { path: path.into(), message: e.to_string() })?;
        Ok(Archive { path: path.into(), zip })
    }

    /// The names of all arrays.
    pub(super) fn names(&self) -> Vec<String> {
        self.zip.file_names().map(|file| bare(file).to_owned()).collect()
    }

    pub(super) fn array(&mut self, name: &str) -> Result<Tensor, NpzError> {
        let Some(file) = self.zip.file_names().find(|file| bare(file) == name).map(str::to_owned) else {
            return Err(NpzError::Missing { path: self.path.clone(), name: name.into(), found: self.names() });
        };
        let mut bytes = vec![];
        let read = self.zip.by_name(&file).map_err(|e| e.to_string());
        let read = read.and_then(|mut entry| entry.read_to_end(&mut bytes).map_err(|e| e.to_string()));
        let array = read.and_then(|_| tensor(&bytes));
        array.map_err(|message| NpzError::Array { path: self.path.clone(), name: name.into(), message })
    }
}

/// The name of an array in an archive, where its file has the ending or not.
fn bare(file: &str) -> &str {
    file.strip_suffix(".npy").unwrap_or(file)
}

/// A header has no more bytes than this, and no more brackets inside one another.
const LONGEST: usize = 1 << 16;
const DEEPEST: usize = 8;

/// Checks what a file's header promises before memory is taken for it: it may promise anything.
fn check(bytes: &[u8]) -> Result<(), String> {
    let no_header = || "it does not begin with the header of an array".to_owned();
    let (version, rest) =
        bytes.strip_prefix(b"\x93NUMPY").and_then(<[u8]>::split_first_chunk::<2>).ok_or_else(no_header)?;
    let (length, rest) = match version[0] {
        1 => rest.split_first_chunk().map(|(n, rest)| (usize::from(u16::from_le_bytes(*n)), rest)),
        _ => rest.split_first_chunk().map(|(n, rest)| (u32::from_le_bytes(*n) as usize, rest)),
    }
    .ok_or_else(no_header)?;
    let (header, data) = rest.split_at_checked(length).filter(|_| length <= LONGEST).ok_or_else(no_header)?;
    let header = String::from_utf8_lossy(header);
    let mut depth = 0usize;
    for c in header.chars() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST {
            return Err(format!("its header has more than {DEEPEST} brackets inside one another"));
        }
    }
    // The shape that is checked has to be the one that is read: that of the last of several keys, which may be escaped.
    if header.matches("shape").count() != 1 || header.contains('\\') {
        return Err("its header does not have one shape".into());
    }
    let shape = header.split_once("shape").and_then(|(_, rest)| rest.split_once('(')?.1.split_once(')'));
    let sizes = shape.map_or("", |(inside, _)| inside).split(',').map(str::trim).filter(|size| !size.is_empty());
    let count = sizes.map(|size| size.parse().unwrap_or(usize::MAX)).fold(1, usize::saturating_mul);
    if count > data.len() {
        return Err(format!("its header promises {count} elements, but only {} bytes are there", data.len()));
    }
    Ok(())
}

/// The array in the bytes of a `.npy` file as a tensor: reads it as one type after the other until its header agrees.
fn tensor(bytes: &[u8]) -> Result<Tensor, String> {
    check(bytes)?;
    macro_rules! attempt {
        ($($ty:ty => $dtype:ident, $bytes:expr;)*) => {$(
            match ArrayD::<$ty>::read_npy(bytes) {
                Err(ReadNpyError::WrongDescriptor(_)) => {}
                Err(error) => return Err(error.to_string()),
                Ok(array) => {
                    let data: Vec<u8> = array.iter().flat_map($bytes).collect();
                    return Tensor::new(DType::$dtype, array.shape().to_vec(), data).map_err(|e| e.to_string());
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
    // numpy's halves are no numbers of Rust: they are read as the integers of their bits.
    if let Some(bits) = as_bits(bytes) {
        let numbers = tensor(&bits)?;
        return Ok(Tensor { dtype: DType::F16, ..numbers });
    }
    // The last one's complaint names the type that the file has.
    let array = ArrayD::<u8>::read_npy(bytes).map_err(|e| e.to_string())?;
    Tensor::new(DType::U8, array.shape().to_vec(), array.iter().copied().collect::<Vec<u8>>())
        .map_err(|e| e.to_string())
}

/// The file with `u2` in the place of `f2`, if it is one of halves.
fn as_bits(bytes: &[u8]) -> Option<Vec<u8>> {
    let header = &bytes[..bytes.iter().position(|&b| b == b'}')?];
    let at = header.windows(5).position(|w| w == b"'<f2'")?;
    let mut bits = bytes.to_vec();
    bits[at + 2] = b'u';
    Some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of floats with this header.
    fn file(header: &str, floats: usize) -> Vec<u8> {
        let length = (header.len() as u16).to_le_bytes();
        let parts = [b"\x93NUMPY\x01\0", &length[..], header.as_bytes(), &vec![0; 4 * floats]];
        parts.concat()
    }

    #[test]
    fn promises_of_a_header_take_no_memory() {
        let header = |shape: &str| format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
        assert_eq!(tensor(&file(&header("(2, 3)"), 6)).unwrap().shape, [2, 3]);
        assert_eq!(tensor(&file(&header("()"), 1)).unwrap().shape, [0usize; 0]);
        for shape in ["(999999999999, 4)", "(18446744073709551615, 3)", "(99999999999999999999999,)"] {
            let wrong = tensor(&file(&header(shape), 6)).unwrap_err();
            assert!(wrong.contains("promises") && wrong.contains("24 bytes"), "{wrong}");
        }
        let halves = header("(2, 3)").replace("<f4", "<f2");
        let read = tensor(&file(&halves, 3)).unwrap();
        assert_eq!((read.dtype, read.shape), (DType::F16, vec![2, 3]));
        let hidden = [r"'shape': (1,), 'shape'", r"'sh\x61pe'"].map(|key| header("(9,)").replace("'shape'", key));
        for header in hidden {
            assert!(tensor(&file(&header.replace("(9,)", "(999999999999,)"), 6)).unwrap_err().contains("one shape"));
        }
        assert!(tensor(&file(&"(".repeat(30_000), 0)).unwrap_err().contains("brackets"));
        assert!(tensor(b"\x93NUMPY\x02\0\xff\xff\xff\xff{}").unwrap_err().contains("header"));
    }
}
