//! Files in memory: read when somebody looks, and given back when nobody needs them for now.
//!
//! Bytes of a mapped file count as the process's memory once they were read. Whoever has gone through many of them gives
//! them back; they are read again, mostly from the system's cache, when somebody looks once more.

use bytes::Bytes;
use memmap2::{Mmap, MmapOptions};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// What is shorter is not worth giving back.
const WORTH: usize = 1 << 20;

/// The mappings that there are, by where they begin.
static MAPPINGS: Mutex<BTreeMap<usize, Weak<Mmap>>> = Mutex::new(BTreeMap::new());

fn mappings() -> MutexGuard<'static, BTreeMap<usize, Weak<Mmap>>> {
    MAPPINGS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A mapping that is known as long as it is there.
struct Mapped(Arc<Mmap>);

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        mappings().remove(&(self.0.as_ptr() as usize));
    }
}

/// Maps a file into memory. Nobody may change it in place while the bytes are in use.
pub(crate) fn map(file: &File) -> io::Result<Bytes> {
    match usize::try_from(file.metadata()?.len()).map_err(io::Error::other)? {
        0 => Ok(Bytes::new()),
        length => map_part(file, 0, length),
    }
}

fn map_part(file: &File, at: u64, length: usize) -> io::Result<Bytes> {
    // SAFETY: the mapping is read only and owned by the `Bytes`. Whoever truncates the file while we read it makes
    // the read fault, as with every mapped file; secateur itself replaces files by renaming and never writes into one.
    #[allow(unsafe_code, reason = "nobody may change the file while it is in use: `load` says so")]
    let mapping = Arc::new(unsafe { MmapOptions::new().offset(at).len(length).map(file)? });
    mappings().insert(mapping.as_ptr() as usize, Arc::downgrade(&mapping));
    Ok(Bytes::from_owner(Mapped(mapping)))
}

/// Gives back the memory of a long part of a mapped file; of what is no such part, nothing.
pub(crate) fn release(data: &[u8]) {
    if data.len() < WORTH {
        return;
    }
    let at = data.as_ptr() as usize;
    let Some((start, mapping)) = mappings().range(..=at).next_back().map(|(start, m)| (*start, m.upgrade())) else {
        return;
    };
    let Some(mapping) = mapping.filter(|m| at + data.len() <= start + m.len()) else { return };
    // SAFETY: the mapping is of a file and read only, and never written: what is read again is what was there before.
    #[cfg(unix)]
    #[allow(unsafe_code, reason = "advice that loses what was written into private memory; here nothing is")]
    // Whether it is followed is a matter of memory alone.
    let _ = unsafe { mapping.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, at - start, data.len()) };
    drop(mapping);
}

/// A temporary file for data that would take too much memory; the system removes it with the process.
#[derive(Default)]
pub(crate) struct Spill(Mutex<Option<(File, u64)>>);

impl Spill {
    /// The same bytes, in the file if they are many and there is room for them, else where they are.
    pub(crate) fn keep(&self, data: Vec<u8>) -> Bytes {
        match data.len() >= WORTH {
            true => self.write(&data).unwrap_or_else(|_| data.into()),
            false => data.into(),
        }
    }

    fn write(&self, data: &[u8]) -> io::Result<Bytes> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, at) = match &mut *file {
            Some(known) => known,
            none => none.insert((tempfile::tempfile()?, 0)),
        };
        file.write_all(data)?;
        let start = std::mem::replace(at, *at + data.len() as u64);
        map_part(file, start, data.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_is_still_there() {
        let spill = Spill::default();
        let part = |seed: usize| -> Vec<u8> { (0..3 * WORTH + seed).map(|i| (i * 7 + seed) as u8).collect() };
        let (first, second) = (spill.keep(part(1)), spill.keep(part(5)));
        for _ in 0..2 {
            release(&first);
            release(&second[WORTH..]);
            assert!(first == part(1) && second == part(5));
        }
        drop(first);
        release(&second);
        release(&part(1));
        assert!(second == part(5));
    }
}
