//! A look at a library before it is loaded: the system's loader dies of a file that was cut off.

use super::System;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Fails for what can't be a library of this system.
pub(super) fn check(path: &Path, os: System) -> Result<(), String> {
    let mut file = File::open(path).map_err(|e| e.to_string())?;
    if !file.metadata().map_err(|e| e.to_string())?.is_file() {
        return Err("it is no file".into());
    }
    let mut start = [0; 64];
    let read = fill(&mut file, &mut start)?;
    let start = &start[..read];
    let is_library = match os {
        System::Linux => start.starts_with(b"\x7fELF"),
        // Thin or fat, for 64 bits.
        System::MacOs => [&[0xcf, 0xfa, 0xed, 0xfe], &[0xca, 0xfe, 0xba, 0xbe], &[0xca, 0xfe, 0xba, 0xbf]]
            .iter()
            .any(|magic: &&[u8; 4]| start.starts_with(&magic[..])),
        System::Windows => start.starts_with(b"MZ"),
    };
    match is_library {
        false => Err("it is no library of this system".into()),
        true if os == System::Linux => whole_elf(&mut file, start),
        true => Ok(()),
    }
}

/// Fails where an ELF file for 64 bits is shorter than its own table of segments says: the loader would map what is
/// not there.
fn whole_elf(file: &mut File, start: &[u8]) -> Result<(), String> {
    let short = || "it is cut off".to_owned();
    let number = |bytes: &[u8], at: usize, size: usize| -> Option<u64> {
        let bytes = bytes.get(at..at + size)?;
        Some(bytes.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b)))
    };
    // Only the usual class and byte order are looked into; the loader refuses others by itself.
    if start.get(4..6) != Some(&[2, 1]) {
        return Ok(());
    }
    let length = file.metadata().map_err(|e| e.to_string())?.len();
    let field = |at, size| number(start, at, size).ok_or_else(short);
    let (table, size, count) = (field(32, 8)?, field(54, 2)?, field(56, 2)?);
    file.seek(SeekFrom::Start(table)).map_err(|_| short())?;
    let mut segments = vec![0; (size * count) as usize];
    if size < 40 || fill(file, &mut segments)? < segments.len() {
        return Err(short());
    }
    let ends = segments.chunks_exact(size as usize).map(|segment| {
        let (offset, bytes) = (number(segment, 8, 8)?, number(segment, 32, 8)?);
        offset.checked_add(bytes)
    });
    let is_whole = ends.into_iter().all(|end| end.is_some_and(|end| end <= length));
    if is_whole { Ok(()) } else { Err(short()) }
}

/// Reads as many bytes as there are and fit.
fn fill(file: &mut File, bytes: &mut [u8]) -> Result<usize, String> {
    let mut read = 0;
    while read < bytes.len() {
        match file.read(&mut bytes[read..]).map_err(|e| e.to_string())? {
            0 => break,
            n => read += n,
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_library_or_cut_off_is_not_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let check = |bytes: &[u8], os| {
            let path = folder.path().join("lib");
            std::fs::write(&path, bytes).unwrap();
            super::check(&path, os).err()
        };
        assert_eq!(check(b"", System::Linux).as_deref(), Some("it is no library of this system"));
        assert_eq!(check(b"MZ", System::MacOs).as_deref(), Some("it is no library of this system"));
        assert_eq!(check(b"MZ and more", System::Windows), None);
        assert_eq!(check(b"\x7fELF\x02\x01", System::Linux).as_deref(), Some("it is cut off"));
        assert_eq!(super::check(folder.path(), System::Linux).err().as_deref(), Some("it is no file"));
        assert!(super::check(&folder.path().join("none"), System::Linux).is_err());
        // A header, and the table with its one segment of 100 bytes at 120.
        let mut elf = [&b"\x7fELF\x02\x01"[..], &[0; 214]].concat();
        for (at, number) in [(32, 64), (54, 56), (56, 1), (64 + 8, 120), (64 + 32, 100)] {
            elf[at] = number;
        }
        assert_eq!(check(&elf, System::Linux), None);
        for length in [219, 119, 100, 64] {
            assert_eq!(check(&elf[..length], System::Linux).as_deref(), Some("it is cut off"), "{length}");
        }
    }
}
