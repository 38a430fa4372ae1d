//! Writes a message to a file without building it in memory first.

use crate::files::mapped;
use bytes::buf::UninitSlice;
use bytes::{Buf, BufMut};
use std::io::{self, Write};

const CAPACITY: usize = 64 * 1024;
/// How much of a mapped file is in memory at a time.
const PORTION: usize = 8 << 20;

/// A buffer in front of a writer. Weights, which are long slices, go around the buffer.
pub(super) struct Writer<W> {
    inner: W,
    buffer: Box<[u8]>,
    filled: usize,
    /// The first error. What comes after it is thrown away, because `BufMut` has no way to fail.
    error: Option<io::Error>,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(inner: W) -> Writer<W> {
        Writer { inner, buffer: vec![0; CAPACITY].into(), filled: 0, error: None }
    }

    fn flush(&mut self) {
        let filled = std::mem::take(&mut self.filled);
        if self.error.is_none() {
            self.error = self.inner.write_all(&self.buffer[..filled]).err();
        }
    }

    fn through(&mut self, data: &[u8]) {
        for part in data.chunks(PORTION) {
            if self.error.is_none() {
                self.error = self.inner.write_all(part).err();
            }
            mapped::release(part);
        }
    }

    /// Writes what is still in the buffer, and says what went wrong on the way.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.flush();
        match self.error {
            Some(e) => Err(e),
            None => self.inner.flush(),
        }
    }
}

// SAFETY: `chunk_mut` is the unfilled rest of an initialized buffer, and never empty, since a full buffer is flushed
// first. `advance_mut` moves inside that rest only, which it checks. Nothing reads beyond `filled`.
#[allow(unsafe_code, reason = "the trait is unsafe to implement")]
unsafe impl<W: Write> BufMut for Writer<W> {
    fn remaining_mut(&self) -> usize {
        usize::MAX
    }

    unsafe fn advance_mut(&mut self, count: usize) {
        assert!(count <= CAPACITY - self.filled, "advanced beyond the buffer");
        self.filled += count;
    }

    fn chunk_mut(&mut self) -> &mut UninitSlice {
        if self.filled == CAPACITY {
            self.flush();
        }
        UninitSlice::new(&mut self.buffer[self.filled..])
    }

    fn put<T: Buf>(&mut self, mut data: T) {
        while data.has_remaining() {
            let length = data.chunk().len();
            self.put_slice(data.chunk());
            data.advance(length);
        }
    }

    fn put_slice(&mut self, data: &[u8]) {
        if data.len() > CAPACITY - self.filled {
            self.flush();
        }
        if data.len() >= CAPACITY {
            return self.through(data);
        }
        self.buffer[self.filled..self.filled + data.len()].copy_from_slice(data);
        self.filled += data.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_on_the_way() {
        let (mut out, mut expected) = (vec![], vec![]);
        let mut writer = Writer::new(&mut out);
        for length in [0, 1, 3, CAPACITY - 5, 2, CAPACITY, 7, 3 * CAPACITY + 1, 9] {
            let data: Vec<u8> = (0..length).map(|i| (i * 31 + length) as u8).collect();
            writer.put_slice(&data);
            writer.put(&data[..]);
            writer.put_u8(5);
            expected.extend([&data[..], &data[..], &[5]].concat());
        }
        for i in 0..CAPACITY as u32 {
            writer.put_u32(i);
            expected.extend(i.to_be_bytes());
        }
        writer.finish().unwrap();
        assert!(out == expected);
    }

    #[test]
    fn an_error_of_the_disk_is_kept() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::Error::other("full"))
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut writer = Writer::new(Full);
        writer.put_slice(&[0; 3 * CAPACITY]);
        writer.put_u8(1);
        assert_eq!(writer.finish().unwrap_err().to_string(), "full");
    }
}
