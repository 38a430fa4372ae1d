//! Where activations are kept from one stage to the next: in memory as far as that is allowed, else in a temporary file.
//!
//! What is read back is what was put there, so nothing but speed depends on how much memory there is.

use super::StatsError;
use crate::ir::{DType, Tensor};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

/// Tensors of up to so many bytes stay in memory.
const SMALL: usize = 1 << 12;

/// Tensors, in memory or in a file.
#[derive(Debug)]
pub struct Shelf {
    /// How many bytes may be in memory.
    limit: u64,
    used: u64,
    /// How many bytes were in memory at most, and in the file.
    most: u64,
    /// Made when it is needed first; the system removes it when it is closed.
    file: Option<File>,
    length: u64,
    /// Places in the file that are free again, by their length.
    free: BTreeMap<usize, Vec<u64>>,
}

/// A tensor on a shelf.
#[derive(Debug)]
pub enum Held {
    Memory(Tensor),
    File { dtype: DType, shape: Vec<usize>, at: u64, length: usize },
}

impl Held {
    /// Type and shape of the tensor.
    pub fn kind(&self) -> (DType, &[usize]) {
        match self {
            Held::Memory(tensor) => (tensor.dtype, &tensor.shape),
            Held::File { dtype, shape, .. } => (*dtype, shape),
        }
    }

    /// The tensor, if it is in memory, as small ones are.
    pub fn in_memory(&self) -> Option<&Tensor> {
        match self {
            Held::Memory(tensor) => Some(tensor),
            Held::File { .. } => None,
        }
    }
}

impl Shelf {
    /// An empty shelf that takes so many bytes of memory at most.
    pub fn new(limit: u64) -> Shelf {
        Shelf { limit, used: 0, most: 0, file: None, length: 0, free: BTreeMap::new() }
    }

    /// How many bytes were in memory at most.
    pub fn most(&self) -> u64 {
        self.most
    }

    /// How long the file became.
    pub fn in_file(&self) -> u64 {
        self.length
    }

    /// Puts a tensor on the shelf.
    pub fn put(&mut self, tensor: Tensor) -> Result<Held, StatsError> {
        let length = tensor.byte_len();
        let fits = self.used + length as u64 <= self.limit;
        match tensor.raw() {
            Ok(data) if length > SMALL && !fits => {
                let at = self.write(data).map_err(StatsError::Disk)?;
                Ok(Held::File { dtype: tensor.dtype, shape: tensor.shape, at, length })
            }
            _ => {
                self.used += length as u64;
                self.most = self.most.max(self.used);
                Ok(Held::Memory(tensor))
            }
        }
    }

    /// The tensor as it was put there.
    pub fn get(&mut self, held: &Held) -> Result<Tensor, StatsError> {
        match held {
            Held::Memory(tensor) => Ok(tensor.clone()),
            Held::File { dtype, shape, at, length } => {
                let data = self.read(*at, *length).map_err(StatsError::Disk)?;
                let failed = |error| StatsError::Tensor { name: String::new(), error };
                Tensor::new(*dtype, shape.clone(), data).map_err(failed)
            }
        }
    }

    /// Takes a tensor from the shelf, which then has room for others.
    pub fn remove(&mut self, held: Held) {
        match held {
            Held::Memory(tensor) => self.used = self.used.saturating_sub(tensor.byte_len() as u64),
            Held::File { at, length, .. } => self.free.entry(length).or_default().push(at),
        }
    }

    fn write(&mut self, data: &[u8]) -> std::io::Result<u64> {
        let at = self.free.get_mut(&data.len()).and_then(Vec::pop);
        let at = at.unwrap_or(self.length);
        if self.file.is_none() {
            self.file = Some(tempfile::tempfile()?);
        }
        let Some(file) = &mut self.file else { return Ok(at) };
        file.seek(SeekFrom::Start(at))?;
        file.write_all(data)?;
        self.length = self.length.max(at + data.len() as u64);
        Ok(at)
    }

    fn read(&mut self, at: u64, length: usize) -> std::io::Result<Vec<u8>> {
        let mut data = vec![0; length];
        if let Some(file) = &mut self.file {
            file.seek(SeekFrom::Start(at))?;
            file.read_exact(&mut data)?;
        }
        Ok(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(length: usize, start: usize) -> Tensor {
        Tensor::from_f32(vec![length], &(start..start + length).map(|x| x as f32).collect::<Vec<_>>())
    }

    #[test]
    fn what_does_not_fit_comes_back_from_a_file() {
        let mut shelf = Shelf::new(10_000);
        let tensors: Vec<Tensor> = (0..4).map(|k| tensor(2000, 7 * k)).collect();
        let mut held: Vec<Held> = tensors.iter().map(|t| shelf.put(t.clone()).unwrap()).collect();
        assert_eq!((shelf.most(), shelf.in_file()), (8000, 24_000));
        for (tensor, held) in tensors.iter().zip(&held) {
            assert!(shelf.get(held).unwrap().same(tensor));
        }
        // Places that are free are used again.
        shelf.remove(held.remove(2));
        let new = shelf.put(tensor(2000, 99)).unwrap();
        assert!(shelf.get(&new).unwrap().same(&tensor(2000, 99)) && shelf.in_file() == 24_000);
        assert!(shelf.get(&held[2]).unwrap().same(&tensors[3]));
    }

    #[test]
    fn small_tensors_stay_in_memory() {
        let mut shelf = Shelf::new(0);
        assert!(shelf.put(tensor(100, 0)).unwrap().in_memory().is_some());
        assert!(shelf.put(tensor(2000, 0)).unwrap().in_memory().is_none());
    }
}
