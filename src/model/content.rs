//! Content hashes: what tells whether a file is the one that it was.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

/// How much of a file is in memory at a time.
const PORTION: usize = 1 << 20;

/// The hash of a file's bytes, as sixteen digits; or of all files in a folder, with their names.
pub fn hash(path: &Path) -> io::Result<String> {
    hash_by(path, &mut file)
}

/// The same, with another way to the hash of a file.
pub fn hash_by(path: &Path, of: &mut dyn FnMut(&Path) -> io::Result<String>) -> io::Result<String> {
    match path.is_dir() {
        true => folder(path, of),
        false => of(path),
    }
}

/// The hash of bytes.
pub fn of_bytes(bytes: &[u8]) -> String {
    digits(xxh3_64(bytes))
}

/// One hash for several: itself, if there is one.
pub fn together(hashes: &[String]) -> String {
    match hashes {
        [one] => one.clone(),
        many => of_bytes(many.join("\n").as_bytes()),
    }
}

/// All files in a folder and in those within it, sorted.
pub fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = vec![];
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => found.extend(files(&path)?),
            false => found.push(path),
        }
    }
    found.sort();
    Ok(found)
}

fn digits(hash: u64) -> String {
    format!("{hash:016x}")
}

fn file(path: &Path) -> io::Result<String> {
    let (mut file, mut state) = (File::open(path)?, Xxh3Default::new());
    let mut portion = vec![0; PORTION];
    loop {
        match file.read(&mut portion) {
            Ok(0) => return Ok(digits(state.digest())),
            Ok(n) => state.update(&portion[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

fn folder(path: &Path, of: &mut dyn FnMut(&Path) -> io::Result<String>) -> io::Result<String> {
    let line = |at: PathBuf| {
        // The same names everywhere.
        let name = at.strip_prefix(path).unwrap_or(&at).to_string_lossy().replace('\\', "/");
        Ok(format!("{} {name}\n", of(&at)?))
    };
    let lines = files(path)?.into_iter().map(line).collect::<io::Result<String>>()?;
    Ok(of_bytes(lines.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_its_files_and_their_names() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
            hash(dir.path()).unwrap()
        };
        let one = write("a", "x");
        assert_eq!(hash(&dir.path().join("a")).unwrap(), of_bytes(b"x"));
        let two = write("b/c", "y");
        assert_ne!(one, two);
        assert_ne!(two, write("b/c", "z"));
        assert_eq!(two, write("b/c", "y"));
        std::fs::rename(dir.path().join("b/c"), dir.path().join("b/d")).unwrap();
        assert_ne!(two, hash(dir.path()).unwrap());
    }
}
