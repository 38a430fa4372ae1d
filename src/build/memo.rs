//! Hashes that are remembered: a file that nobody touched since is not read again.
//!
//! The memory is a file in the user's cache folder (`SECATEUR_CACHE`, else where the system keeps such). It is no part
//! of a build: without it, files are read.

use crate::{content, files};
use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Files that changed so recently may change again without a trace in their times.
const SETTLED: Duration = Duration::from_secs(2);

/// With more files than this, all are forgotten.
const MOST: usize = 10_000;

/// The hashes of files, by path, with what the files looked like then.
pub(super) struct Memo {
    file: Option<PathBuf>,
    known: BTreeMap<String, (String, String)>,
    changed: bool,
}

impl Memo {
    /// What is remembered.
    pub(super) fn open() -> Memo {
        let file = cache_folder().map(|folder| folder.join("hashes.json"));
        let read = file.as_ref().and_then(|f| serde_json::from_slice(&std::fs::read(f).ok()?).ok());
        Memo { file, known: read.unwrap_or_default(), changed: false }
    }

    /// The content hash of a file or folder.
    pub(super) fn hash(&mut self, path: &Path) -> io::Result<String> {
        content::hash_by(path, &mut |file| self.file(file))
    }

    fn file(&mut self, path: &Path) -> io::Result<String> {
        let before = path.metadata()?;
        let (name, looks) = (path.canonicalize()?.to_string_lossy().into_owned(), looks(&before));
        if let Some((_, hash)) = self.known.get(&name).filter(|(then, _)| *then == looks) {
            return Ok(hash.clone());
        }
        let hash = content::hash(path)?;
        let settled = before.modified().ok().and_then(|t| SystemTime::now().duration_since(t).ok());
        if settled.is_some_and(|age| age > SETTLED) {
            self.known.insert(name, (looks, hash.clone()));
            self.changed = true;
        }
        Ok(hash)
    }
}

impl Drop for Memo {
    /// Writes the memory. That this fails only costs time later.
    fn drop(&mut self) {
        let Some(file) = self.file.as_ref().filter(|_| self.changed) else { return };
        if self.known.len() > MOST {
            self.known.clear();
        }
        let text = serde_json::to_vec(&self.known).map_err(io::Error::other);
        let folder = std::fs::create_dir_all(files::folder(file));
        _ = folder.and(text).and_then(|text| files::write(file, text));
    }
}

/// All that changes when a file does, but for its content.
fn looks(of: &Metadata) -> String {
    let since = |t: SystemTime| t.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    let modified = of.modified().map_or(0, since);
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        format!("{} {modified} {}.{} {} {}", of.len(), of.ctime(), of.ctime_nsec(), of.dev(), of.ino())
    }
    #[cfg(not(unix))]
    {
        format!("{} {modified}", of.len())
    }
}

/// Where this user's programs keep what can be made again.
fn cache_folder() -> Option<PathBuf> {
    let var = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(folder) = var("SECATEUR_CACHE") {
        return Some(folder);
    }
    let system = if cfg!(windows) {
        var("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        var("HOME").map(|home| home.join("Library/Caches"))
    } else {
        var("XDG_CACHE_HOME").or_else(|| var("HOME").map(|home| home.join(".cache")))
    };
    system.map(|folder| folder.join("secateur"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_file_is_read_once_and_a_new_one_always() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "x").unwrap();
        let mut memo = Memo { file: None, known: BTreeMap::new(), changed: false };
        let hash = memo.hash(&path).unwrap();
        assert_eq!(hash, content::of_bytes(b"x"));
        assert!(memo.known.is_empty(), "it may still change");
        let old = SystemTime::now() - Duration::from_secs(60);
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
        assert_eq!(memo.hash(&path).unwrap(), hash);
        assert_eq!(memo.known.len(), 1);
        // What is remembered is believed, as long as the file looks the same.
        memo.known.values_mut().for_each(|(_, h)| *h = "remembered".into());
        assert_eq!(memo.hash(&path).unwrap(), "remembered");
        std::fs::write(&path, "y").unwrap();
        assert_eq!(memo.hash(&path).unwrap(), content::of_bytes(b"y"));
    }
}
