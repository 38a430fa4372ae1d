//! Files that are there whole or not at all.

pub(crate) mod mapped;

use std::io::{self, Write};
use std::path::Path;
use tempfile::NamedTempFile;

/// The folder of a file.
pub(crate) fn folder(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether two paths lead to one file that is there, by whatever links.
pub(crate) fn same_file(a: &Path, b: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let id = |p: &Path| p.metadata().map(|m| (m.dev(), m.ino())).ok();
        id(a).is_some_and(|found| Some(found) == id(b))
    }
    #[cfg(not(unix))]
    {
        a.canonicalize().is_ok_and(|found| b.canonicalize().is_ok_and(|other| found == other))
    }
}

/// Whether two paths name one file, which need not be there yet.
pub(crate) fn same_place(a: &Path, b: &Path) -> bool {
    if same_file(a, b) {
        return true;
    }
    // Folders need not be there yet either.
    let place = |p: &Path| {
        let whole = std::path::absolute(p).ok()?;
        let real = |there: &Path| Some(there.canonicalize().ok()?.join(whole.strip_prefix(there).ok()?));
        whole.ancestors().find_map(real)
    };
    place(a).is_some_and(|a| Some(a) == place(b))
}

/// A file that is gone if it never gets a name, with the usual permissions.
pub(crate) fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        // What the process may not give away is masked out.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.prefix(".secateur-").tempfile_in(folder).map_err(plain)
}

/// The error of the system alone: where it came up, the caller says in terms of the file that was asked for.
fn plain(error: io::Error) -> io::Error {
    if error.get_ref().is_some() { error.kind().into() } else { error }
}

/// Writes a file under a temporary name and renames it when it is whole. Behind a link the file it leads to is
/// replaced, and the link stays.
pub(crate) fn write(path: &Path, content: impl AsRef<[u8]>) -> io::Result<()> {
    let path = match path.metadata() {
        // What is no file (a terminal, a pipe) takes what is written, and must not be replaced.
        Ok(there) if !there.is_file() => return std::fs::write(path, content),
        Ok(_) => &path.canonicalize()?,
        Err(_) => path,
    };
    let mut file = temporary(folder(path))?;
    file.write_all(content.as_ref())?;
    file.persist(path).map(drop).map_err(|e| e.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        assert!(write(&dir.path().join("no/a"), "x").is_err());
        assert!(write(dir.path(), "x").is_err());
        write(&path, "x").unwrap();
        write(&path, "y").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"y");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    #[cfg(unix)]
    fn links_and_devices_stay_what_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link, null) = (dir.path().join("a"), dir.path().join("b"), dir.path().join("null"));
        std::fs::write(&file, "x").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        std::os::unix::fs::symlink("/dev/null", &null).unwrap();
        write(&link, "y").unwrap();
        write(&null, "y").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"y");
        assert!(link.is_symlink() && null.is_symlink());
    }
}
